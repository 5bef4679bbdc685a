//! Durations and sizes as they are written in configuration files and flags.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A duration, written as `1d12h`, `15s`, `100ms` or `0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration {
    ms: u64,
}

impl Duration {
    /// So many milliseconds.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self { ms }
    }

    /// The length in milliseconds.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.ms
    }

    /// The length in nanoseconds; saturates.
    #[must_use]
    pub fn as_ns(self) -> i64 {
        i64::try_from(self.ms).unwrap_or(i64::MAX).saturating_mul(1_000_000)
    }
}

/// The units, longest first, as Prometheus orders them.
const DURATION_UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("not a duration: {text:?}; write it like 15s, 10m or 1d12h");
        if text == "0" {
            return Ok(Self::default());
        }
        let (mut rest, mut ms, mut next_unit) = (text, 0_u64, 0);
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
            rest = &rest[digits..];
            let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
            let index = DURATION_UNITS.iter().position(|(unit, _)| *unit == &rest[..letters]);
            let index = index.filter(|i| *i >= next_unit).ok_or_else(bad)?;
            ms = number
                .checked_mul(DURATION_UNITS[index].1)
                .and_then(|part| ms.checked_add(part))
                .ok_or_else(bad)?;
            next_unit = index + 1;
            rest = &rest[letters..];
        }
        if text.is_empty() { Err(bad()) } else { Ok(Self { ms }) }
    }
}

/// A number of bytes, written as `64MiB`, `10MB` or `1048576`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub usize);

const SIZE_UNITS: [(&str, u64); 10] = [
    ("KIB", 1 << 10),
    ("MIB", 1 << 20),
    ("GIB", 1 << 30),
    ("TIB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
    ("", 1),
];

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("not a size: {text:?}; write it like 64MiB or 10MB");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = text[..digits].parse().map_err(|_| bad())?;
        let unit = text[digits..].trim().to_ascii_uppercase();
        let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
        let bytes = number.checked_mul(*factor).and_then(|bytes| usize::try_from(bytes).ok());
        bytes.map(Self).ok_or_else(bad)
    }
}

/// Reads text, or a bare number, by `FromStr`.
struct TextVisitor<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = String>> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number with its unit")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [("0", 0), ("0s", 0), ("100ms", 100), ("15s", 15_000), ("1d12h", 129_600_000)] {
            assert_eq!(text.parse(), Ok(Duration { ms }), "{text}");
        }
        for text in ["", "5", "s", "1h1d", "1m1m", "-1s", "1.5h", "99999999999999y", "1µs"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("0", 0), ("12", 12), ("64MiB", 64 << 20), ("10 MB", 10_000_000), ("1kb", 1_000)]
        {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "MiB", "1.5GB", "-1", "1 parsec", "99999999999TiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
