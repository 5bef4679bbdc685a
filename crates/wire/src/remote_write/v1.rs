//! Remote write 1.0: every series spells out its labels.

use super::Histogram;
use crate::error::WireError;

/// `prometheus.WriteRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WriteRequest {
    /// The series with their samples, in any order.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
    /// What is known of metric families; senders repeat it now and then.
    #[prost(message, repeated, tag = "3")]
    pub metadata: Vec<MetricMetadata>,
}

impl WriteRequest {
    /// Decodes a decompressed body.
    ///
    /// # Errors
    /// [`WireError::Protobuf`] when the body is no such request.
    pub fn from_body(body: bytes::Bytes) -> Result<Self, WireError> {
        prost::Message::decode(body)
            .map_err(|source| WireError::Protobuf { message: "prometheus.WriteRequest", source })
    }
}

/// One series and its values.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeSeries {
    /// Sorted by name by well-behaved senders; `__name__` is the metric's name.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// The samples, oldest first.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    /// Exemplars of the samples.
    #[prost(message, repeated, tag = "3")]
    pub exemplars: Vec<Exemplar>,
    /// Native histograms, instead of samples.
    #[prost(message, repeated, tag = "4")]
    pub histograms: Vec<Histogram>,
}

/// A label of a series or exemplar.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Label {
    /// The label's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The label's value.
    #[prost(string, tag = "2")]
    pub value: String,
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
}

/// One observation that stands for many, usually with a trace id.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Exemplar {
    /// Labels such as `trace_id`.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// The observed value.
    #[prost(double, tag = "2")]
    pub value: f64,
    /// Milliseconds since the epoch; 0 when unknown.
    #[prost(int64, tag = "3")]
    pub timestamp: i64,
}

/// What is known of one metric family.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MetricMetadata {
    /// The family's type.
    #[prost(enumeration = "MetricType", tag = "1")]
    pub r#type: i32,
    /// The family's name, without suffixes such as `_bucket`.
    #[prost(string, tag = "2")]
    pub metric_family_name: String,
    /// The help text.
    #[prost(string, tag = "4")]
    pub help: String,
    /// The unit.
    #[prost(string, tag = "5")]
    pub unit: String,
}

/// The types of metric families in 1.0; 2.0 numbers them alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum MetricType {
    /// Not known.
    Unknown = 0,
    /// Only ever grows, save for resets.
    Counter = 1,
    /// Goes up and down.
    Gauge = 2,
    /// A classic or native histogram.
    Histogram = 3,
    /// A histogram whose buckets go up and down.
    GaugeHistogram = 4,
    /// Quantiles with count and sum.
    Summary = 5,
    /// Labels that describe, with value 1.
    Info = 6,
    /// One of several states.
    Stateset = 7,
}
