//! Remote write 2.0: strings stand once, in a table of symbols, and are referred to by number.

use super::Histogram;
use crate::error::WireError;

/// `io.prometheus.write.v2.Request`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    /// Every string of the request once; the first is empty.
    #[prost(string, repeated, tag = "4")]
    pub symbols: Vec<String>,
    /// The series with their samples, in any order.
    #[prost(message, repeated, tag = "5")]
    pub timeseries: Vec<TimeSeries>,
}

impl Request {
    /// Decodes a decompressed body.
    ///
    /// # Errors
    /// [`WireError::Protobuf`] when the body is no such request.
    pub fn from_body(body: bytes::Bytes) -> Result<Self, WireError> {
        prost::Message::decode(body)
            .map_err(|source| WireError::Protobuf { message: "io.prometheus.write.v2.Request", source })
    }

    /// The string that a reference stands for.
    ///
    /// # Errors
    /// [`WireError::Symbols`] when the table is shorter.
    pub fn symbol(&self, reference: u32) -> Result<&str, WireError> {
        let symbol = usize::try_from(reference).ok().and_then(|index| self.symbols.get(index));
        symbol.map(String::as_str).ok_or_else(|| WireError::Symbols {
            reason: format!("reference=`{reference}` is beyond the `{}` symbols", self.symbols.len()),
        })
    }

    /// The names and values that pairs of references stand for, in their order.
    ///
    /// # Errors
    /// [`WireError::Symbols`] when a reference points nowhere or a name has no value.
    pub fn labels<'a>(&'a self, references: &[u32]) -> Result<Vec<(&'a str, &'a str)>, WireError> {
        let (pairs, rest) = references.as_chunks::<2>();
        if !rest.is_empty() {
            let reason = format!("`{}` references are no pairs of name and value", references.len());
            return Err(WireError::Symbols { reason });
        }
        pairs.iter().map(|&[name, value]| Ok((self.symbol(name)?, self.symbol(value)?))).collect()
    }
}

/// One series and its values.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeSeries {
    /// Pairs of references to a name and a value; `__name__` is the metric's name.
    #[prost(uint32, repeated, tag = "1")]
    pub labels_refs: Vec<u32>,
    /// The samples, oldest first.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    /// Native histograms, instead of samples.
    #[prost(message, repeated, tag = "3")]
    pub histograms: Vec<Histogram>,
    /// Exemplars of the samples.
    #[prost(message, repeated, tag = "4")]
    pub exemplars: Vec<Exemplar>,
    /// What is known of the series' metric family.
    #[prost(message, optional, tag = "5")]
    pub metadata: Option<Metadata>,
    /// When counting began, in milliseconds since the epoch, as drafts of 2.0 wrote it; 0 when unknown.
    /// Samples and histograms carry it themselves since.
    #[prost(int64, tag = "6")]
    pub created_timestamp: i64,
}

/// A value at a time.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Sample {
    /// The value; a certain NaN marks a series as stale.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
    /// When counting began, in milliseconds since the epoch; 0 when unknown.
    #[prost(int64, tag = "3")]
    pub start_timestamp: i64,
}

/// One observation that stands for many, usually with a trace id.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Exemplar {
    /// Pairs of references to labels such as `trace_id`.
    #[prost(uint32, repeated, tag = "1")]
    pub labels_refs: Vec<u32>,
    /// The observed value.
    #[prost(double, tag = "2")]
    pub value: f64,
    /// Milliseconds since the epoch; 0 when unknown.
    #[prost(int64, tag = "3")]
    pub timestamp: i64,
}

/// What is known of a series' metric family.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Metadata {
    /// The family's type.
    #[prost(enumeration = "super::v1::MetricType", tag = "1")]
    pub r#type: i32,
    /// A reference to the help text.
    #[prost(uint32, tag = "3")]
    pub help_ref: u32,
    /// A reference to the unit.
    #[prost(uint32, tag = "4")]
    pub unit_ref: u32,
}
