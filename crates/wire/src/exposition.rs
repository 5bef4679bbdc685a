//! Prometheus' exposition format in protobuf: metrics as a server is scraped for them, each family a message that is
//! preceded by its length.
//!
//! Source: `io/prometheus/client/metrics.proto` of Prometheus' client model. What is written is here; summaries, counters
//! and exemplars are not written by anybody.

use prost::Message;

/// The name of [`MetricFamily`] in content types.
pub const METRIC_FAMILY: &str = "io.prometheus.client.MetricFamily";

/// All that has one name and one type.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricFamily {
    /// The metric's name.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// What it is.
    #[prost(enumeration = "MetricType", optional, tag = "3")]
    pub r#type: Option<i32>,
    /// Its series.
    #[prost(message, repeated, tag = "4")]
    pub metric: Vec<Metric>,
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum MetricType {
    /// Not told.
    Untyped = 3,
    /// A histogram that counts.
    Histogram = 4,
    /// A histogram of what is there now.
    GaugeHistogram = 5,
}

/// A series with its sample.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metric {
    /// The labels besides the name.
    #[prost(message, repeated, tag = "1")]
    pub label: Vec<LabelPair>,
    /// A number.
    #[prost(message, optional, tag = "5")]
    pub untyped: Option<Untyped>,
    /// A histogram.
    #[prost(message, optional, tag = "7")]
    pub histogram: Option<Histogram>,
    /// When the sample was taken, in milliseconds since the epoch.
    #[prost(int64, optional, tag = "6")]
    pub timestamp_ms: Option<i64>,
}

/// A label.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LabelPair {
    /// The name.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// The value.
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
}

/// A number of a type that is not told.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Untyped {
    /// The number.
    #[prost(double, optional, tag = "1")]
    pub value: Option<f64>,
}

/// A histogram whose counts are floating-point numbers: with exponential buckets, or with bounds of its own.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Histogram {
    /// All observations.
    #[prost(double, optional, tag = "4")]
    pub sample_count_float: Option<f64>,
    /// Their sum.
    #[prost(double, optional, tag = "2")]
    pub sample_sum: Option<f64>,
    /// Buckets with bounds of their own.
    #[prost(message, repeated, tag = "3")]
    pub bucket: Vec<Bucket>,
    /// The resolution of exponential buckets.
    #[prost(sint32, optional, tag = "5")]
    pub schema: Option<i32>,
    /// The width of the zero bucket.
    #[prost(double, optional, tag = "6")]
    pub zero_threshold: Option<f64>,
    /// Observations in the zero bucket.
    #[prost(double, optional, tag = "8")]
    pub zero_count_float: Option<f64>,
    /// Where the negative buckets are.
    #[prost(message, repeated, tag = "9")]
    pub negative_span: Vec<BucketSpan>,
    /// Observations of each.
    #[prost(double, repeated, tag = "11")]
    pub negative_count: Vec<f64>,
    /// Where the positive buckets are.
    #[prost(message, repeated, tag = "12")]
    pub positive_span: Vec<BucketSpan>,
    /// Observations of each.
    #[prost(double, repeated, tag = "14")]
    pub positive_count: Vec<f64>,
}

/// A bucket with the observations up to its bound.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Bucket {
    /// How many.
    #[prost(double, optional, tag = "4")]
    pub cumulative_count_float: Option<f64>,
    /// The bound.
    #[prost(double, optional, tag = "2")]
    pub upper_bound: Option<f64>,
}

/// A run of buckets.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BucketSpan {
    /// Buckets since the end of the run before.
    #[prost(sint32, optional, tag = "1")]
    pub offset: Option<i32>,
    /// Buckets in the run.
    #[prost(uint32, optional, tag = "2")]
    pub length: Option<u32>,
}

/// The families, each after its length.
#[must_use]
pub fn delimited(families: &[MetricFamily]) -> Vec<u8> {
    families.iter().flat_map(Message::encode_length_delimited_to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_follows_its_length() {
        let family = |name: &str| MetricFamily {
            name: Some(name.to_owned()),
            r#type: Some(MetricType::Untyped as i32),
            metric: vec![Metric { untyped: Some(Untyped { value: Some(2.5) }), ..Metric::default() }],
        };
        let (a, b) = (family("up"), family("down"));
        let bytes = delimited(&[a.clone(), b.clone()]);
        let mut rest = bytes.as_slice();
        assert_eq!(MetricFamily::decode_length_delimited(&mut rest), Ok(a));
        assert_eq!(MetricFamily::decode_length_delimited(&mut rest), Ok(b));
        assert!(rest.is_empty());
    }
}
