//! Prometheus remote write: the requests of versions 1.0 and 2.0. What labels and samples mean is the
//! collector's business.
//!
//! Source: `prompb/remote.proto`, `prompb/types.proto` and `prompb/io/prometheus/write/v2/types.proto` of
//! Prometheus; "Remote-Write 1.0" and "Remote-Write 2.0" specifications.

pub mod v1;
pub mod v2;

use crate::error::{WireError, shortened};

/// Which message a request carries, as its `Content-Type` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

impl Version {
    /// Reads a `Content-Type`. A missing one, or one without `proto`, means 1.0.
    ///
    /// # Errors
    /// [`WireError::UnsupportedContentType`] for another type or message.
    pub fn from_content_type(header: Option<&str>) -> Result<Self, WireError> {
        let Some(header) = header else { return Ok(Self::V1) };
        let unsupported = || WireError::UnsupportedContentType {
            content_type: shortened(header),
            accepted: "application/x-protobuf, with proto=prometheus.WriteRequest or \
                       proto=io.prometheus.write.v2.Request",
        };
        let mut parts = header.split(';').map(str::trim);
        if !parts.next().unwrap_or_default().eq_ignore_ascii_case("application/x-protobuf") {
            return Err(unsupported());
        }
        let message = parts
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("proto"))
            .map(|(_, value)| value.trim().trim_matches('"'));
        match message {
            None | Some("prometheus.WriteRequest") => Ok(Self::V1),
            Some("io.prometheus.write.v2.Request") => Ok(Self::V2),
            Some(_) => Err(unsupported()),
        }
    }
}

/// A run of consecutive buckets of a native histogram; both versions write it alike.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct BucketSpan {
    /// The gap to the previous span; for the first span its starting index, which may be negative.
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    /// How many buckets follow each other.
    #[prost(uint32, tag = "2")]
    pub length: u32,
}

/// What is known of a counter reset before a native histogram; both versions number it alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum ResetHint {
    /// A reader must find out by comparing.
    Unknown = 0,
    /// The histogram is the first after a reset.
    Yes = 1,
    /// There was no reset since the previous histogram.
    No = 2,
    /// The histogram is a gauge and never resets.
    Gauge = 3,
}

/// How many observations a native histogram counts: whole numbers, or floats after arithmetic.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum Count {
    /// Of an integer histogram.
    #[prost(uint64, tag = "1")]
    Int(u64),
    /// Of a float histogram.
    #[prost(double, tag = "2")]
    Float(f64),
}

/// How many observations fell into a native histogram's zero bucket.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum ZeroCount {
    /// Of an integer histogram.
    #[prost(uint64, tag = "6")]
    Int(u64),
    /// Of a float histogram.
    #[prost(double, tag = "7")]
    Float(f64),
}

/// A native histogram as it stands in a body.
#[derive(Debug, Clone, Copy)]
pub struct HistogramView<'a> {
    bytes: &'a [u8],
    message: &'static str,
}

impl HistogramView<'_> {
    /// How many bytes the message has. What is read of it takes eight times as much at most.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.bytes.len()
    }

    /// Reads the message.
    ///
    /// # Errors
    /// [`WireError::Protobuf`] when the bytes are none.
    pub fn read(self) -> Result<Histogram, WireError> {
        prost::Message::decode(self.bytes).map_err(|source| WireError::protobuf(self.message, source))
    }
}

/// A native histogram at one time. Both versions number its fields alike; the start timestamp is 2.0's.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Histogram {
    /// All observations.
    #[prost(oneof = "Count", tags = "1, 2")]
    pub count: Option<Count>,
    /// The sum of all observations.
    #[prost(double, tag = "3")]
    pub sum: f64,
    /// -4 to 8 for exponential buckets, -53 for custom ones.
    #[prost(sint32, tag = "4")]
    pub schema: i32,
    /// The breadth of the zero bucket.
    #[prost(double, tag = "5")]
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    #[prost(oneof = "ZeroCount", tags = "6, 7")]
    pub zero_count: Option<ZeroCount>,
    /// Where the negative buckets are.
    #[prost(message, repeated, tag = "8")]
    pub negative_spans: Vec<BucketSpan>,
    /// Integer histograms: each negative bucket's count less the one before.
    #[prost(sint64, repeated, tag = "9")]
    pub negative_deltas: Vec<i64>,
    /// Float histograms: each negative bucket's count.
    #[prost(double, repeated, tag = "10")]
    pub negative_counts: Vec<f64>,
    /// Where the positive buckets are.
    #[prost(message, repeated, tag = "11")]
    pub positive_spans: Vec<BucketSpan>,
    /// Integer histograms: each positive bucket's count less the one before.
    #[prost(sint64, repeated, tag = "12")]
    pub positive_deltas: Vec<i64>,
    /// Float histograms: each positive bucket's count.
    #[prost(double, repeated, tag = "13")]
    pub positive_counts: Vec<f64>,
    /// What is known of a counter reset.
    #[prost(enumeration = "ResetHint", tag = "14")]
    pub reset_hint: i32,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "15")]
    pub timestamp: i64,
    /// Schema -53: the upper inclusive bounds of the buckets, increasing.
    #[prost(double, repeated, tag = "16")]
    pub custom_values: Vec<f64>,
    /// When counting began, in milliseconds since the epoch; 0 when unknown.
    #[prost(int64, tag = "17")]
    pub start_timestamp: i64,
}

#[cfg(test)]
mod tests;
