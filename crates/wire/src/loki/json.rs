//! The JSON form of a push request. Timestamps may be strings or numbers of nanoseconds; names and values
//! are strings; what is not known is ignored.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::{WireError, shortened};

/// A push request as JSON writes it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct JsonPush {
    /// The streams with their entries, in any order.
    #[serde(deserialize_with = "null_as_default")]
    pub streams: Vec<JsonStream>,
}

impl JsonPush {
    /// Decodes a decompressed body.
    ///
    /// # Errors
    /// [`WireError::Json`] when the body is no such request, with line and column.
    pub fn from_body(body: &[u8]) -> Result<Self, WireError> {
        serde_json::from_slice(body)
            .map_err(|source| WireError::Json { message: "logproto.PushRequest", source })
    }
}

/// One stream and its entries.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct JsonStream {
    /// The labels in the order in which they were sent.
    #[serde(default, deserialize_with = "pairs")]
    pub stream: Vec<(String, String)>,
    /// The lines, in any order.
    #[serde(default, deserialize_with = "null_as_default")]
    pub values: Vec<JsonEntry>,
}

/// One line: an array of time, text and, when there is any, structured metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonEntry {
    /// Nanoseconds since the epoch.
    pub timestamp_ns: i64,
    /// The line's text.
    pub line: String,
    /// Facts about the line that are no part of the stream's labels.
    pub structured_metadata: Vec<(String, String)>,
}

impl<'de> Deserialize<'de> for JsonEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = JsonEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of timestamp, line and optional structured metadata")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entry: A) -> Result<JsonEntry, A::Error> {
        let Nanoseconds(timestamp_ns) =
            entry.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
        let line = entry.next_element()?.ok_or_else(|| de::Error::invalid_length(1, &self))?;
        let Pairs(structured_metadata) = entry.next_element()?.unwrap_or_default();
        while entry.next_element::<IgnoredAny>()?.is_some() {}
        Ok(JsonEntry { timestamp_ns, line, structured_metadata })
    }
}

/// Nanoseconds since the epoch, as a string of digits or a number.
struct Nanoseconds(i64);

impl<'de> Deserialize<'de> for Nanoseconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NanosecondsVisitor)
    }
}

struct NanosecondsVisitor;

impl Visitor<'_> for NanosecondsVisitor {
    type Value = Nanoseconds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nanoseconds since the epoch, as a string or a number")
    }

    fn visit_i64<E>(self, value: i64) -> Result<Nanoseconds, E> {
        Ok(Nanoseconds(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Nanoseconds, E> {
        i64::try_from(value)
            .map(Nanoseconds)
            .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Nanoseconds, E> {
        text.parse()
            .map(Nanoseconds)
            .map_err(|_| E::invalid_value(de::Unexpected::Str(&shortened(text)), &self))
    }
}

/// The members of a flat object of strings, in their order.
#[derive(Default)]
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a flat object of strings")
    }

    fn visit_unit<E>(self) -> Result<Pairs, E> {
        Ok(Pairs::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

fn pairs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    Pairs::deserialize(deserializer).map(|Pairs(pairs)| pairs)
}

fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
