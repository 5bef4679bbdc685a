//! Both versions field by field against bytes written by hand, and that no bytes panic.

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;

use super::v1::{self, WriteRequest};
use super::v2::{self, Request};
use super::*;

fn histogram() -> Histogram {
    Histogram {
        count: Some(Count::Int(5)),
        sum: 1.5,
        schema: -53,
        zero_threshold: 0.25,
        zero_count: Some(ZeroCount::Float(2.0)),
        negative_spans: vec![BucketSpan { offset: -2, length: 1 }],
        negative_deltas: vec![-1],
        negative_counts: vec![0.5],
        positive_spans: vec![BucketSpan { offset: 3, length: 2 }],
        positive_deltas: vec![1, -1],
        positive_counts: vec![2.0],
        reset_hint: ResetHint::Gauge as i32,
        timestamp: 7,
        custom_values: vec![1.0],
        start_timestamp: 6,
    }
}

/// The histogram as the specification numbers its fields: key, then value.
fn histogram_bytes() -> Vec<u8> {
    let double = |value: f64| value.to_le_bytes().to_vec();
    [
        vec![0x08, 5],
        [vec![0x19], double(1.5)].concat(),
        vec![0x20, 105],
        [vec![0x29], double(0.25)].concat(),
        [vec![0x39], double(2.0)].concat(),
        vec![0x42, 4, 0x08, 3, 0x10, 1],
        vec![0x4a, 1, 1],
        [vec![0x52, 8], double(0.5)].concat(),
        vec![0x5a, 4, 0x08, 6, 0x10, 2],
        vec![0x62, 2, 2, 1],
        [vec![0x6a, 8], double(2.0)].concat(),
        vec![0x70, 3],
        vec![0x78, 7],
        [vec![0x82, 0x01, 8], double(1.0)].concat(),
        vec![0x88, 0x01, 6],
    ]
    .concat()
}

#[test]
fn histograms_have_the_specified_numbers() {
    assert_eq!(Histogram::decode(histogram_bytes().as_slice()).unwrap(), histogram());
}

#[test]
fn the_first_version_has_the_specified_numbers() {
    let label = [vec![0x0a, 1, b'a', 0x12, 1, b'b']].concat();
    let sample = [vec![0x09], 2.0_f64.to_le_bytes().to_vec(), vec![0x10, 9]].concat();
    let exemplar =
        [vec![0x0a, 6], label.clone(), vec![0x11], 3.0_f64.to_le_bytes().to_vec(), vec![0x18, 8]].concat();
    let histogram_bytes = histogram_bytes();
    let series = [
        vec![0x0a, 6],
        label,
        vec![0x12, 11],
        sample,
        vec![0x1a, u8::try_from(exemplar.len()).unwrap()],
        exemplar,
        vec![0x22, u8::try_from(histogram_bytes.len()).unwrap()],
        histogram_bytes,
    ]
    .concat();
    let length = u8::try_from(series.len()).unwrap();
    assert!(length >= 0x80, "the length takes two bytes");
    let metadata = vec![0x1a, 11, 0x08, 1, 0x12, 1, b'm', 0x22, 1, b'h', 0x2a, 1, b'u'];
    let wire = [vec![0x0a, length, 1], series, metadata].concat();

    let label = v1::Label { name: "a".to_owned(), value: "b".to_owned() };
    let expected = WriteRequest {
        timeseries: vec![v1::TimeSeries {
            labels: vec![label.clone()],
            samples: vec![v1::Sample { value: 2.0, timestamp: 9 }],
            exemplars: vec![v1::Exemplar { labels: vec![label], value: 3.0, timestamp: 8 }],
            histograms: vec![histogram()],
        }],
        metadata: vec![v1::MetricMetadata {
            r#type: v1::MetricType::Counter as i32,
            metric_family_name: "m".to_owned(),
            help: "h".to_owned(),
            unit: "u".to_owned(),
        }],
    };
    assert_eq!(WriteRequest::from_body(Bytes::from(wire)).unwrap(), expected);
}

#[test]
fn the_second_version_has_the_specified_numbers() {
    let sample = [vec![0x09], 2.0_f64.to_le_bytes().to_vec(), vec![0x10, 9, 0x18, 8]].concat();
    let exemplar = [vec![0x0a, 2, 1, 2, 0x11], 3.0_f64.to_le_bytes().to_vec(), vec![0x18, 8]].concat();
    let series = [
        // Senders may pack the references or not.
        vec![0x0a, 1, 1],
        vec![0x08, 2],
        vec![0x12, 13],
        sample,
        vec![0x22, 15],
        exemplar,
        vec![0x2a, 6, 0x08, 2, 0x18, 1, 0x20, 2],
        vec![0x30, 5],
    ]
    .concat();
    let symbols = vec![0x22, 0, 0x22, 1, b'a', 0x22, 1, b'b'];
    let wire = [symbols, vec![0x2a, u8::try_from(series.len()).unwrap()], series].concat();
    let expected = Request {
        symbols: vec![String::new(), "a".to_owned(), "b".to_owned()],
        timeseries: vec![v2::TimeSeries {
            labels_refs: vec![1, 2],
            samples: vec![v2::Sample { value: 2.0, timestamp: 9, start_timestamp: 8 }],
            histograms: Vec::new(),
            exemplars: vec![v2::Exemplar { labels_refs: vec![1, 2], value: 3.0, timestamp: 8 }],
            metadata: Some(v2::Metadata { r#type: 2, help_ref: 1, unit_ref: 2 }),
            created_timestamp: 5,
        }],
    };
    let request = Request::from_body(Bytes::from(wire)).unwrap();
    assert_eq!(request, expected);
    assert_eq!(request.labels(&[1, 2, 0, 1]).unwrap(), [("a", "b"), ("", "a")]);
    for (references, expected) in
        [(vec![1], "no pairs"), (vec![1, 3], "reference=`3` is beyond the `3` symbols")]
    {
        let error = request.labels(&references).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn versions_are_told_by_content_type() {
    let cases = [
        (None, Some(Version::V1)),
        (Some("application/x-protobuf"), Some(Version::V1)),
        (Some("application/x-protobuf;proto=prometheus.WriteRequest"), Some(Version::V1)),
        (Some("application/x-protobuf; proto=\"io.prometheus.write.v2.Request\""), Some(Version::V2)),
        (Some("application/x-protobuf;proto=io.prometheus.write.v3.Request"), None),
        (Some("application/json"), None),
    ];
    for (header, expected) in cases {
        assert_eq!(Version::from_content_type(header).ok(), expected, "{header:?}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let body = Bytes::from(bytes);
        let _ = WriteRequest::from_body(body.clone());
        if let Ok(request) = Request::from_body(body) {
            for series in &request.timeseries {
                let _ = request.labels(&series.labels_refs);
            }
        }
    }
}
