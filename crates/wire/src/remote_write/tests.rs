//! Both versions field by field against bytes written by hand, and that no bytes panic.

use proptest::prelude::*;
use prost::Message;

use super::v1::{self, WriteRequest};
use super::v2::{self, Request};
use super::*;
use crate::WireError;

fn text(bytes: &[u8]) -> Result<String, WireError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| v1::not_utf8())
}

/// The message that the views of a body show.
fn first(body: &[u8]) -> Result<WriteRequest, WireError> {
    let mut request = WriteRequest::default();
    for field in v1::RequestView::new(body) {
        match field? {
            v1::RequestField::Series(series) => request.timeseries.push(first_series(series)?),
            v1::RequestField::Metadata(metadata) => {
                let family = metadata.read()?;
                request.metadata.push(v1::MetricMetadata {
                    r#type: family.r#type,
                    metric_family_name: family.name.to_owned(),
                    help: family.help.to_owned(),
                    unit: family.unit.to_owned(),
                });
            }
        }
    }
    Ok(request)
}

fn first_series(view: v1::SeriesView<'_>) -> Result<v1::TimeSeries, WireError> {
    let mut series = v1::TimeSeries::default();
    for field in view {
        match field? {
            v1::SeriesField::Label(name, value) => {
                series.labels.push(v1::Label { name: text(name)?, value: text(value)? });
            }
            v1::SeriesField::Sample(sample) => series.samples.push(sample),
            v1::SeriesField::Histogram(histogram) => series.histograms.push(histogram.read()?),
            v1::SeriesField::Exemplar(exemplar) => series.exemplars.push(v1::Exemplar {
                labels: exemplar
                    .labels()
                    .map(|(name, value)| v1::Label { name: name.to_owned(), value: value.to_owned() })
                    .collect(),
                value: exemplar.value,
                timestamp: exemplar.timestamp,
            }),
        }
    }
    Ok(series)
}

/// The message that the views of a body show.
fn second(body: &[u8]) -> Result<Request, WireError> {
    let mut request = Request::default();
    for field in v2::RequestView::new(body) {
        match field? {
            v2::RequestField::Symbol(symbol) => request.symbols.push(symbol.text()?.to_owned()),
            v2::RequestField::Series(series) => request.timeseries.push(second_series(series)?),
        }
    }
    Ok(request)
}

fn second_series(view: v2::SeriesView<'_>) -> Result<v2::TimeSeries, WireError> {
    let mut series = v2::TimeSeries::default();
    for field in view {
        match field? {
            v2::SeriesField::Labels(references) => references.append_to(&mut series.labels_refs)?,
            v2::SeriesField::Sample(sample) => series.samples.push(sample),
            v2::SeriesField::Histogram(histogram) => series.histograms.push(histogram.read()?),
            v2::SeriesField::Exemplar(exemplar) => {
                let mut labels_refs = Vec::new();
                exemplar.append_labels_to(&mut labels_refs);
                let (value, timestamp) = (exemplar.value, exemplar.timestamp);
                series.exemplars.push(v2::Exemplar { labels_refs, value, timestamp });
            }
            v2::SeriesField::Metadata(view) => view.merge_into(series.metadata.get_or_insert_default())?,
            v2::SeriesField::CreatedTimestamp(created_ms) => series.created_timestamp = created_ms,
        }
    }
    Ok(series)
}

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
    assert_eq!(first(&wire).unwrap(), expected);
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
    assert_eq!(second(&wire).unwrap(), expected);
    let mut symbols = v2::Symbols::default();
    expected.symbols.iter().for_each(|symbol| symbols.push(symbol));
    let labels = |references: &[u32]| symbols.pairs(references)?.collect::<Result<Vec<_>, _>>();
    assert_eq!(labels(&[1, 2, 0, 1]).unwrap(), [("a", "b"), ("", "a")]);
    for (references, expected) in
        [(vec![1], "no pairs"), (vec![1, 3], "reference=`3` is beyond the `3` symbols")]
    {
        let error = labels(&references).unwrap_err().to_string();
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

fn label() -> impl Strategy<Value = v1::Label> {
    ("[a-cé]{0,3}", ".{0,4}").prop_map(|(name, value)| v1::Label { name, value })
}

fn series() -> impl Strategy<Value = (v1::TimeSeries, v2::TimeSeries)> {
    let sample = (any::<f64>(), any::<i64>(), any::<i64>());
    let references = prop::collection::vec(any::<u32>(), 0..5);
    (
        prop::collection::vec(label(), 0..4),
        prop::collection::vec(sample, 0..3),
        references,
        any::<[bool; 3]>(),
    )
        .prop_map(|(labels, samples, labels_refs, [has_histogram, has_exemplar, has_metadata])| {
            let histograms = if has_histogram { vec![histogram()] } else { Vec::new() };
            let exemplar = v1::Exemplar { labels: labels.clone(), value: 1.0, timestamp: -2 };
            let exemplar_v2 = v2::Exemplar { labels_refs: labels_refs.clone(), value: 1.0, timestamp: -2 };
            let samples_v2 = samples.iter().map(|(value, timestamp, start_timestamp)| v2::Sample {
                value: *value,
                timestamp: *timestamp,
                start_timestamp: *start_timestamp,
            });
            let second = v2::TimeSeries {
                labels_refs,
                samples: samples_v2.collect(),
                histograms: histograms.clone(),
                exemplars: if has_exemplar { vec![exemplar_v2] } else { Vec::new() },
                metadata: has_metadata.then_some(v2::Metadata { r#type: 3, help_ref: 1, unit_ref: 300 }),
                created_timestamp: 5,
            };
            let samples = samples.into_iter().map(|(value, timestamp, _)| v1::Sample { value, timestamp });
            let first = v1::TimeSeries {
                labels,
                samples: samples.collect(),
                exemplars: if has_exemplar { vec![exemplar] } else { Vec::new() },
                histograms,
            };
            (first, second)
        })
}

/// What the views show is what prost decodes, and what it refuses they refuse.
fn assert_agree(body: &[u8]) -> Result<(), TestCaseError> {
    // Compared as bytes, as a NaN is not equal to itself.
    let (ours, theirs) = (first(body), WriteRequest::decode(body));
    let bytes = (ours.as_ref().ok().map(Message::encode_to_vec), theirs.ok().map(|m| m.encode_to_vec()));
    prop_assert_eq!(bytes.0, bytes.1, "{:?}", ours);
    let (ours, theirs) = (second(body), Request::decode(body));
    let bytes = (ours.as_ref().ok().map(Message::encode_to_vec), theirs.ok().map(|m| m.encode_to_vec()));
    prop_assert_eq!(bytes.0, bytes.1, "{:?}", ours);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn views_show_what_prost_decodes(
        all in prop::collection::vec(series(), 0..4),
        symbols in prop::collection::vec(".{0,4}", 0..4),
        metadata in prop::collection::vec((0..9_i32, ".{0,4}", ".{0,4}"), 0..2),
        bends in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let (first, second): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        let metadata = metadata.into_iter().map(|(r#type, name, help)| v1::MetricMetadata {
            r#type,
            metric_family_name: name,
            help,
            unit: "s".to_owned(),
        });
        let first = WriteRequest { timeseries: first, metadata: metadata.collect() }.encode_to_vec();
        let second = Request { symbols, timeseries: second }.encode_to_vec();
        for body in [first, second] {
            assert_agree(&body)?;
            let mut bent = body;
            for (at, byte) in &bends {
                if !bent.is_empty() {
                    let at = at.index(bent.len());
                    bent[at] = *byte;
                }
            }
            if is_cut && !bent.is_empty() {
                bent.truncate(cut.index(bent.len()));
            }
            assert_agree(&bent)?;
        }
    }

    #[test]
    fn views_refuse_what_prost_refuses(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        assert_agree(&bytes)?;
    }
}
