//! Loki's push requests, in protobuf and in JSON. What labels and lines mean is the collector's business. Protobuf is read
//! as views into the body; the messages are for those who send.
//!
//! Source: `pkg/push/push.proto` and the page "Ingest logs" of Loki's HTTP API.

mod json;
mod labels;
mod view;

pub use json::{JsonEntry, JsonPush, JsonStream};
pub use view::{EntryView, Line, PushView, StreamView};

use bytes::Bytes;

/// `logproto.PushRequest`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PushRequest {
    /// The streams with their entries, in any order.
    #[prost(message, repeated, tag = "1")]
    pub streams: Vec<StreamAdapter>,
}

/// One stream and its entries.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StreamAdapter {
    /// The labels as text: `{name="value", …}`.
    #[prost(string, tag = "1")]
    pub labels: String,
    /// The lines, in any order.
    #[prost(message, repeated, tag = "2")]
    pub entries: Vec<EntryAdapter>,
    /// The sender's hash of the labels; not to be relied on.
    #[prost(uint64, tag = "3")]
    pub hash: u64,
}

/// One line.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EntryAdapter {
    /// When the line was written.
    #[prost(message, optional, tag = "1")]
    pub timestamp: Option<Timestamp>,
    /// The line's bytes: Loki takes lines that are not UTF-8.
    #[prost(bytes = "bytes", tag = "2")]
    pub line: Bytes,
    /// Facts about the line that are no part of the stream's labels.
    #[prost(message, repeated, tag = "3")]
    pub structured_metadata: Vec<LabelPairAdapter>,
    /// Labels that the sender parsed from the line.
    #[prost(message, repeated, tag = "4")]
    pub parsed: Vec<LabelPairAdapter>,
}

/// A name and a value.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LabelPairAdapter {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Timestamp {
    /// Seconds since the epoch.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds within the second.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl Timestamp {
    const PER_SECOND: i64 = 1_000_000_000;

    /// From nanoseconds since the epoch.
    #[must_use]
    pub const fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self {
            seconds: nanoseconds.div_euclid(Self::PER_SECOND),
            nanos: nanoseconds.rem_euclid(Self::PER_SECOND) as i32,
        }
    }

    /// Nanoseconds since the epoch; `None` when 64 bits cannot hold them.
    #[must_use]
    pub fn nanoseconds(&self) -> Option<i64> {
        let exact = i128::from(self.seconds) * i128::from(Self::PER_SECOND) + i128::from(self.nanos);
        i64::try_from(exact).ok()
    }
}

#[cfg(test)]
mod tests;
