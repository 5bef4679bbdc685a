//! JSON text into the wire's bytes. Streaming: no tree of the JSON is built, and serde_json bounds the
//! depth. Accepts what the mapping lets a writer choose: numbers as strings, enums by name or number, names
//! in lowerCamelCase or snake_case, `null` for absent.

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost::encoding::{WireType, encode_key, encode_varint};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::schema::{Field, Kind, Schema};
use crate::error::WireError;

/// Either alphabet is turned into the standard one first; padding may be there or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Writes JSON text as the bytes of the message that the schema describes.
pub(crate) fn to_protobuf(schema: &'static Schema, body: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut wire = Vec::with_capacity(body.len() / 2);
    let mut json = serde_json::Deserializer::from_slice(body);
    MessageSeed { schema, wire: &mut wire }
        .deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(|source| WireError::Json { message: schema.name, source })?;
    Ok(wire)
}

/// Reads one JSON object and appends its fields.
struct MessageSeed<'a> {
    schema: &'static Schema,
    wire: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of `{}`", self.schema.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(FieldSeed { schema: self.schema })? {
            match field {
                Some(field) => map.next_value_seed(ValueSeed { field, wire: self.wire })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Reads a key; `None` when the message has no such field.
struct FieldSeed {
    schema: &'static Schema,
}

impl<'de> DeserializeSeed<'de> for FieldSeed {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldSeed {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.schema.fields.iter().find(|field| is_name_of(key, field.name)))
    }
}

/// Whether the key is the name itself or its snake_case form.
fn is_name_of(key: &str, camel: &str) -> bool {
    if key == camel {
        return true;
    }
    let mut raise_next = false;
    let mut expected = camel.bytes();
    for byte in key.bytes() {
        if byte == b'_' {
            raise_next = true;
            continue;
        }
        let byte = if std::mem::take(&mut raise_next) { byte.to_ascii_uppercase() } else { byte };
        if expected.next() != Some(byte) {
            return false;
        }
    }
    !raise_next && expected.next().is_none()
}

/// Reads a field's value, a list of them when the field repeats, and appends it.
struct ValueSeed<'a> {
    field: &'static Field,
    wire: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.field.is_repeated {
            deserializer.deserialize_any(ListVisitor(self))
        } else {
            deserializer.deserialize_any(self)
        }
    }
}

struct ListVisitor<'a>(ValueSeed<'a>);

impl<'de> Visitor<'de> for ListVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array for field=`{}`", self.0.field.name)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list
            .next_element_seed(ElementSeed(ValueSeed { field: self.0.field, wire: self.0.wire }))?
            .is_some()
        {}
        Ok(())
    }
}

/// One element of a list: a value that does not repeat again.
struct ElementSeed<'a>(ValueSeed<'a>);

impl<'de> DeserializeSeed<'de> for ElementSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self.0)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.field.kind {
            Kind::String => "a string",
            Kind::Bytes => "a base64 string",
            Kind::Id => "a hex string",
            Kind::Bool => "true or false",
            Kind::Double => "a number, or one of the strings NaN, Infinity and -Infinity",
            Kind::Enum(_) => "an enum's name or number",
            Kind::Message(_) => "an object",
            _ => "an integer, or a string that holds one",
        };
        write!(f, "{what} for field=`{}`", self.field.name)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        if !matches!(self.field.kind, Kind::Bool) {
            return Err(E::invalid_type(de::Unexpected::Bool(value), &self));
        }
        self.varint(u64::from(value));
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.integer(i128::from(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.integer(i128::from(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        if matches!(self.field.kind, Kind::Double) {
            self.double(value);
            return Ok(());
        }
        match whole(value) {
            Some(value) => self.integer(value),
            None => Err(E::invalid_value(de::Unexpected::Float(value), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        let invalid =
            |seed: &Self| E::invalid_value(de::Unexpected::Str(&crate::error::shortened(text)), seed);
        match self.field.kind {
            Kind::String => self.bytes(text.as_bytes()),
            Kind::Bytes => {
                let standard = text.replace('-', "+").replace('_', "/");
                let bytes = BASE64.decode(standard).map_err(|_| invalid(&self))?;
                self.bytes(&bytes);
            }
            Kind::Id => {
                let bytes = hex::decode(text).map_err(|_| invalid(&self))?;
                self.bytes(&bytes);
            }
            Kind::Double => {
                let value = match text {
                    "NaN" => f64::NAN,
                    "Infinity" => f64::INFINITY,
                    "-Infinity" => f64::NEG_INFINITY,
                    number => number
                        .parse()
                        .ok()
                        .filter(|value: &f64| value.is_finite())
                        .ok_or_else(|| invalid(&self))?,
                };
                self.double(value);
            }
            Kind::Enum(names) => {
                let number = names.iter().position(|name| *name == text).ok_or_else(|| invalid(&self))?;
                self.varint(number as u64);
            }
            Kind::Bool | Kind::Message(_) => {
                return Err(E::invalid_type(de::Unexpected::Str(&crate::error::shortened(text)), &self));
            }
            _ => {
                let exact = text.parse::<i128>().ok();
                let value =
                    exact.or_else(|| text.parse().ok().and_then(whole)).ok_or_else(|| invalid(&self))?;
                return self.integer(value);
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Kind::Message(schema) = self.field.kind else {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        };
        let mut inner = Vec::new();
        MessageSeed { schema, wire: &mut inner }.visit_map(map)?;
        self.bytes(&inner);
        Ok(())
    }
}

impl ValueSeed<'_> {
    fn key(&mut self, wire_type: WireType) {
        encode_key(self.field.number, wire_type, self.wire);
    }

    fn varint(mut self, value: u64) {
        self.key(WireType::Varint);
        encode_varint(value, self.wire);
    }

    fn bytes(mut self, bytes: &[u8]) {
        self.key(WireType::LengthDelimited);
        encode_varint(bytes.len() as u64, self.wire);
        self.wire.extend_from_slice(bytes);
    }

    fn fixed64(mut self, value: [u8; 8]) {
        self.key(WireType::SixtyFourBit);
        self.wire.extend_from_slice(&value);
    }

    fn double(self, value: f64) {
        self.fixed64(value.to_le_bytes());
    }

    fn integer<E: de::Error>(mut self, value: i128) -> Result<(), E> {
        let range = |seed: &Self| {
            E::custom(format_args!("value={value} is out of range for field=`{}`", seed.field.name))
        };
        match self.field.kind {
            Kind::Double => self.double(value as f64),
            Kind::Int32 | Kind::Enum(_) => {
                let value = i32::try_from(value).map_err(|_| range(&self))?;
                self.varint(i64::from(value).cast_unsigned());
            }
            Kind::Sint32 => {
                let value = i32::try_from(value).map_err(|_| range(&self))?;
                self.varint(u64::from(((value << 1) ^ (value >> 31)).cast_unsigned()));
            }
            Kind::Uint32 => {
                let value = u32::try_from(value).map_err(|_| range(&self))?;
                self.varint(u64::from(value));
            }
            Kind::Fixed32 => {
                let value = u32::try_from(value).map_err(|_| range(&self))?;
                self.key(WireType::ThirtyTwoBit);
                self.wire.extend_from_slice(&value.to_le_bytes());
            }
            Kind::Uint64 => {
                let value = u64::try_from(value).map_err(|_| range(&self))?;
                self.varint(value);
            }
            Kind::Fixed64 => {
                let value = u64::try_from(value).map_err(|_| range(&self))?;
                self.fixed64(value.to_le_bytes());
            }
            Kind::Int64 => {
                let value = i64::try_from(value).map_err(|_| range(&self))?;
                self.varint(value.cast_unsigned());
            }
            Kind::Sfixed64 => {
                let value = i64::try_from(value).map_err(|_| range(&self))?;
                self.fixed64(value.to_le_bytes());
            }
            Kind::String | Kind::Bytes | Kind::Id | Kind::Bool | Kind::Message(_) => {
                return Err(E::invalid_type(de::Unexpected::Other("a number"), &self));
            }
        }
        Ok(())
    }
}

/// The integer that a float stands for, as in `1e3`.
fn whole(value: f64) -> Option<i128> {
    // Beyond 2^64 no field could hold it, and the conversion below would saturate.
    (value.fract() == 0.0 && value.abs() < 1.9e19).then_some(value as i128)
}
