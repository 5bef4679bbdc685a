//! Bits one after the other, the highest of a byte first, and the numbers that chunks write with them.

/// The sizes that small numbers are written in.
const SIZES: [u32; 7] = [3, 6, 9, 12, 18, 25, 56];

/// Bits that grow.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// How many bits of the last byte are free.
    free: u32,
}

/// How a float was written last, for the next one.
#[derive(Debug, Default)]
pub(super) struct XorState {
    /// The zero bits before and behind what was written, where there was any.
    window: Option<(u32, u32)>,
}

impl BitWriter {
    pub(super) fn bit(&mut self, bit: bool) {
        if self.free == 0 {
            self.bytes.push(0);
            self.free = 8;
        }
        self.free -= 1;
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << self.free;
        }
    }

    /// The lowest bits of a number.
    pub(super) fn bits(&mut self, value: u64, count: u32) {
        (0..count).rev().for_each(|place| self.bit(value >> place & 1 == 1));
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.bits(u64::from(byte), 8);
    }

    pub(super) fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.byte(value.to_le_bytes()[0]);
    }

    pub(super) fn varint(&mut self, value: i64) {
        self.uvarint((value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned());
    }

    /// A float as what differs from the one before it.
    pub(super) fn xor(&mut self, before: f64, value: f64, state: &mut XorState) {
        let delta = before.to_bits() ^ value.to_bits();
        if delta == 0 {
            return self.bit(false);
        }
        self.bit(true);
        // Five bits tell how many zeros lead.
        let (leading, trailing) = (delta.leading_zeros().min(31), delta.trailing_zeros());
        if let Some((old_leading, old_trailing)) = state
            .window
            .filter(|(old_leading, old_trailing)| leading >= *old_leading && trailing >= *old_trailing)
        {
            self.bit(false);
            return self.bits(delta >> old_trailing, 64 - old_leading - old_trailing);
        }
        state.window = Some((leading, trailing));
        let significant = 64 - leading - trailing;
        self.bit(true);
        self.bits(u64::from(leading), 5);
        // All 64 are written as 0, which no delta has.
        self.bits(u64::from(significant & 63), 6);
        self.bits(delta >> trailing, significant);
    }

    /// A small number in few bits: a prefix of ones tells how many follow.
    pub(super) fn varbit(&mut self, value: i64) {
        let size = if value == 0 { Some(0) } else { SIZES.into_iter().find(|size| fits(value, *size)) };
        self.sized(value.cast_unsigned(), size);
    }

    /// The same of a number that is not below zero.
    pub(super) fn varbit_unsigned(&mut self, value: u64) {
        let size = if value == 0 { Some(0) } else { SIZES.into_iter().find(|size| value >> size == 0) };
        self.sized(value, size);
    }

    fn sized(&mut self, value: u64, size: Option<u32>) {
        let ones = match size {
            Some(0) => return self.bit(false),
            Some(size) => SIZES.iter().take_while(|one| **one <= size).count(),
            None => SIZES.len() + 1,
        };
        (0..ones).for_each(|_| self.bit(true));
        if size.is_some() {
            self.bit(false);
        }
        self.bits(value, size.unwrap_or(64));
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Whether a number is one of so many bits, of which one more is above zero than below.
pub(super) const fn fits(value: i64, size: u32) -> bool {
    let half = 1_i64 << (size - 1);
    -(half - 1) <= value && value <= half
}
