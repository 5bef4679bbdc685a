//! Protobuf without messages: the fields of a body one after the other, as slices of it. Nothing is copied or
//! allocated, and what a length says is believed only as far as there are bytes.
//!
//! What is accepted is what prost accepts: unknown fields and groups are skipped, scalars that stand twice are the
//! reader's to overwrite, and a known field in another wire type is refused. Source: "Encoding" of the protobuf guides.

/// Messages and groups may lie in each other so deep.
pub(crate) const MAX_DEPTH: u8 = 100;

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// A number, text or message ends beyond the end of the bytes.
    #[error("a field runs over the end")]
    Cut,
    /// A number has more than 64 bits, or a field's number more than 29 or none.
    #[error("a number is not a valid varint")]
    Varint,
    /// A wire type that there is not, or not for this field.
    #[error("field `{number}` has a wrong wire type")]
    WireType {
        /// The field's number.
        number: u32,
    },
    /// A group ends that did not begin, or never ends.
    #[error("a group has no other end")]
    Group,
    /// Messages lie in each other deeper than is read.
    #[error("messages are nested more than `{MAX_DEPTH}` deep")]
    Depth,
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    Utf8,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
    Group,
}

/// A field: its number and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    value: Value<'a>,
}

impl<'a> Field<'a> {
    const fn wrong(self) -> Malformed {
        Malformed::WireType { number: self.number }
    }

    /// Bytes, or a message.
    pub(crate) const fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong()),
        }
    }

    /// Text.
    pub(crate) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed::Utf8)
    }

    /// `uint64`, and what is made of it.
    pub(crate) const fn varint(self) -> Result<u64, Malformed> {
        match self.value {
            Value::Varint(number) => Ok(number),
            _ => Err(self.wrong()),
        }
    }

    /// `int64`.
    pub(crate) const fn int64(self) -> Result<i64, Malformed> {
        match self.varint() {
            Ok(number) => Ok(number.cast_signed()),
            Err(error) => Err(error),
        }
    }

    /// `uint32`; as everywhere, the low bits of a longer number.
    pub(crate) const fn uint32(self) -> Result<u32, Malformed> {
        match self.varint() {
            Ok(number) => Ok(number as u32),
            Err(error) => Err(error),
        }
    }

    /// `int32` or an enumeration.
    pub(crate) const fn int32(self) -> Result<i32, Malformed> {
        match self.uint32() {
            Ok(number) => Ok(number.cast_signed()),
            Err(error) => Err(error),
        }
    }

    /// `fixed64`.
    pub(crate) const fn fixed64(self) -> Result<u64, Malformed> {
        match self.value {
            Value::Fixed64(number) => Ok(number),
            _ => Err(self.wrong()),
        }
    }

    /// `double`.
    pub(crate) const fn double(self) -> Result<f64, Malformed> {
        match self.fixed64() {
            Ok(bits) => Ok(f64::from_bits(bits)),
            Err(error) => Err(error),
        }
    }

    /// `fixed32`.
    pub(crate) const fn fixed32(self) -> Result<u32, Malformed> {
        match self.value {
            Value::Fixed32(number) => Ok(number),
            _ => Err(self.wrong()),
        }
    }

    /// Calls `give` for each number of a repeated `uint32` or `uint64`, packed or not.
    pub(crate) fn varints(self, mut give: impl FnMut(u64)) -> Result<(), Malformed> {
        let Value::Bytes(mut packed) = self.value else { return self.varint().map(give) };
        while !packed.is_empty() {
            give(varint(&mut packed)?);
        }
        Ok(())
    }
}

/// The fields of one message, in the order in which they were sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of a message.
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field; none at the end.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.key()?;
        let value = match wire_type {
            2 => {
                let len = usize::try_from(varint(&mut self.rest)?).map_err(|_| Malformed::Cut)?;
                let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Cut)?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            0 => Value::Varint(varint(&mut self.rest)?),
            1 => Value::Fixed64(u64::from_le_bytes(self.chunk()?)),
            5 => Value::Fixed32(u32::from_le_bytes(self.chunk()?)),
            3 => {
                self.skip_group(number)?;
                Value::Group
            }
            4 => return Err(Malformed::Group),
            _ => return Err(Malformed::WireType { number }),
        };
        Ok(Some(Field { number, value }))
    }

    fn key(&mut self) -> Result<(u32, u8), Malformed> {
        let key = u32::try_from(varint(&mut self.rest)?).map_err(|_| Malformed::Varint)?;
        let (number, wire_type) = (key >> 3, (key & 7) as u8);
        if number == 0 { Err(Malformed::Varint) } else { Ok((number, wire_type)) }
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (chunk, rest) = self.rest.split_first_chunk().ok_or(Malformed::Cut)?;
        self.rest = rest;
        Ok(*chunk)
    }

    /// Goes on after the end of the group that has just begun.
    #[cold]
    fn skip_group(&mut self, number: u32) -> Result<(), Malformed> {
        let mut open = vec![number];
        while let Some(innermost) = open.last() {
            let (number, wire_type) = self.key()?;
            match wire_type {
                0 => drop(varint(&mut self.rest)?),
                1 => drop(self.chunk::<8>()?),
                5 => drop(self.chunk::<4>()?),
                2 => {
                    let len = usize::try_from(varint(&mut self.rest)?).map_err(|_| Malformed::Cut)?;
                    self.rest = self.rest.get(len..).ok_or(Malformed::Cut)?;
                }
                3 if open.len() < usize::from(MAX_DEPTH) => open.push(number),
                3 => return Err(Malformed::Depth),
                4 if *innermost == number => drop(open.pop()),
                4 => return Err(Malformed::Group),
                _ => return Err(Malformed::WireType { number }),
            }
        }
        Ok(())
    }
}

#[inline]
fn varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    match rest.split_first() {
        Some((byte, after)) if *byte < 0x80 => {
            *rest = after;
            Ok(u64::from(*byte))
        }
        Some(_) => long_varint(rest),
        None => Err(Malformed::Cut),
    }
}

fn long_varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0;
    for (index, byte) in rest.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            if index == 9 && *byte > 1 {
                return Err(Malformed::Varint);
            }
            *rest = &rest[index + 1..];
            return Ok(number);
        }
    }
    Err(if rest.len() < 10 { Malformed::Cut } else { Malformed::Varint })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    /// Every kind of field that is read here.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Known {
        #[prost(uint64, tag = "1")]
        number: u64,
        #[prost(double, tag = "2")]
        double: f64,
        #[prost(fixed32, tag = "3")]
        fixed: u32,
        #[prost(string, tag = "4")]
        text: String,
        #[prost(uint32, repeated, tag = "5")]
        numbers: Vec<u32>,
        #[prost(int32, tag = "6")]
        int: i32,
    }

    fn read(body: &[u8]) -> Result<Known, Malformed> {
        let mut fields = Fields::new(body);
        let mut known = Known::default();
        while let Some(field) = fields.next()? {
            match field.number {
                1 => known.number = field.varint()?,
                2 => known.double = field.double()?,
                3 => known.fixed = field.fixed32()?,
                4 => known.text = field.text()?.to_owned(),
                5 => field.varints(|number| known.numbers.push(number as u32))?,
                6 => known.int = field.int32()?,
                _ => {}
            }
        }
        Ok(known)
    }

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..12),
            (1_u8..8, 0_u8..8).prop_map(|(number, wire_type)| vec![number << 3 | wire_type]),
            (1_u8..8, any::<u64>()).prop_map(|(number, value)| {
                let mut bytes = vec![number << 3];
                prost::encoding::encode_varint(value, &mut bytes);
                bytes
            }),
            (1_u8..8, prop::collection::vec(any::<u8>(), 0..6)).prop_map(|(number, text)| {
                [&[number << 3 | 2, text.len() as u8], text.as_slice()].concat()
            }),
            (1_u8..8, any::<[u8; 8]>()).prop_map(|(number, bits)| [&[number << 3 | 1], &bits[..]].concat()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn prost_reads_the_same(pieces in prop::collection::vec(piece(), 0..8)) {
            let body = pieces.concat();
            match (read(&body), Known::decode(body.as_slice())) {
                // Compared as bytes: a NaN is not equal to itself.
                (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours.encode_to_vec(), theirs.encode_to_vec()),
                (ours, theirs) => prop_assert!(ours.is_err() && theirs.is_err(), "{ours:?} {theirs:?}"),
            }
        }
    }

    #[test]
    fn groups_are_skipped_to_a_depth() {
        let nested = |depth: usize| [vec![0x7b; depth], vec![0x7c; depth], vec![0x08, 7]].concat();
        assert_eq!(read(&nested(100)).map(|known| known.number), Ok(7));
        assert_eq!(Known::decode(nested(100).as_slice()).map(|known| known.number), Ok(7));
        assert_eq!(read(&nested(101)), Err(Malformed::Depth));
        assert!(Known::decode(nested(101).as_slice()).is_err());
        assert_eq!(read(&[0x7b, 0x74]), Err(Malformed::Group));
        assert_eq!(read(&[0x7b]), Err(Malformed::Cut));
    }
}
