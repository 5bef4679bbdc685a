//! The same seed makes the same requests, and they hold exactly what was asked for, as the doors read it.

use std::collections::{HashMap, HashSet};

use prost::Message as _;
use wire::loki::PushRequest;
use wire::otlp::{ExportLogsServiceRequest, ExportTraceServiceRequest, Format as Otlp, decode_metrics};
use wire::remote_write::{v1, v2};
use wire::{Encoding, decompress};

use super::*;

const STRETCH: Stretch = Stretch { start_ms: 1_700_000_000_000, end_ms: 1_700_000_600_000 };

fn metrics_plan(format: metrics_encoding::Format) -> metrics::Plan {
    metrics::Plan {
        seed: 7,
        stretch: STRETCH,
        series: 100,
        interval_ms: 15_000,
        churn: 0.5,
        churn_interval_ms: 60_000,
        batch: 300,
        lanes: 3,
        format,
        scrapes: 1,
    }
}

fn logs_plan(format: logs::Format) -> logs::Plan {
    logs::Plan { seed: 7, stretch: STRETCH, lines: 2_345, batch: 100, lanes: 2, format }
}

fn traces_plan() -> traces::Plan {
    traces::Plan { seed: 7, stretch: STRETCH, spans: 3_000, batch: 200, lanes: 2 }
}

fn all(mut source: impl Source) -> Vec<Request> {
    std::iter::from_fn(|| source.next()).collect()
}

fn items(requests: &[Request]) -> u64 {
    requests.iter().map(|request| request.items).sum()
}

fn unpacked(request: &Request) -> Bytes {
    decompress(Encoding::SnappyBlock, request.body.clone(), 64 << 20).unwrap()
}

#[test]
fn the_same_seed_makes_the_same_requests_and_another_makes_others() {
    let metrics = || all(metrics::MetricsSource::new(metrics_plan(metrics_encoding::Format::RemoteWrite2)));
    assert_eq!(metrics(), metrics());
    let logs = |seed| all(logs::LogsSource::new(logs::Plan { seed, ..logs_plan(logs::Format::Loki) }));
    assert_eq!(logs(1), logs(1));
    assert_ne!(logs(1), logs(2));
    let traces = |seed| all(traces::TracesSource::new(traces::Plan { seed, ..traces_plan() }));
    assert_eq!(traces(1), traces(1));
    assert_ne!(traces(1), traces(2));
}

type Sent = Vec<(String, i64, u64)>;

/// What a request of remote write sends.
fn sent(request: &Request, format: metrics_encoding::Format) -> Sent {
    let body = unpacked(request);
    let sample = |labels: &[String], at_ms: i64, value: f64| (labels.join(","), at_ms, value.to_bits());
    if format == metrics_encoding::Format::RemoteWrite1 {
        let all = v1::WriteRequest::decode(body).unwrap().timeseries;
        return all
            .iter()
            .flat_map(|series| {
                let labels: Vec<_> =
                    series.labels.iter().map(|l| format!("{}={}", l.name, l.value)).collect();
                series.samples.iter().map(move |s| sample(&labels, s.timestamp, s.value))
            })
            .collect();
    }
    let message = v2::Request::decode(body).unwrap();
    let symbol = |reference: u32| &message.symbols[reference as usize];
    let of_series = message.timeseries.iter().flat_map(|series| {
        let (pairs, rest) = series.labels_refs.as_chunks::<2>();
        assert!(rest.is_empty());
        let labels: Vec<_> =
            pairs.iter().map(|[name, value]| format!("{}={}", symbol(*name), symbol(*value))).collect();
        series.samples.iter().map(move |s| sample(&labels, s.timestamp, s.value))
    });
    of_series.collect()
}

#[test]
fn every_series_has_a_sample_in_each_scrape_in_both_versions_however_many_are_sent_together() {
    let expected = 40 * 100;
    let mut seen: Vec<Sent> = Vec::new();
    for format in [metrics_encoding::Format::RemoteWrite1, metrics_encoding::Format::RemoteWrite2] {
        for scrapes in [1, 7, 1_000] {
            let plan = metrics::Plan { scrapes, ..metrics_plan(format) };
            let requests = all(metrics::MetricsSource::new(plan));
            assert_eq!(items(&requests), expected);
            let mut sent: Sent = requests.iter().flat_map(|request| sent(request, format)).collect();
            sent.sort_unstable();
            seen.push(sent);
        }
    }
    assert!(seen.iter().all(|sent| *sent == seen[0]));
    let series: HashSet<_> = seen[0].iter().map(|(labels, ..)| labels).collect();
    assert!(series.len() > 150, "pods are replaced: {}", series.len());
    assert!(seen[0].iter().all(|(_, at_ms, _)| (STRETCH.start_ms..STRETCH.end_ms).contains(at_ms)));
    let moments: HashSet<_> = seen[0].iter().map(|(labels, at_ms, _)| (labels, at_ms)).collect();
    assert_eq!(moments.len() as u64, expected, "no sample is there twice");
}

#[test]
fn samples_of_a_lane_are_in_order() {
    let mut last: HashMap<(usize, String), i64> = HashMap::new();
    for request in all(metrics::MetricsSource::new(metrics_plan(metrics_encoding::Format::RemoteWrite1))) {
        for series in v1::WriteRequest::decode(unpacked(&request)).unwrap().timeseries {
            let key = (request.lane, format!("{:?}", series.labels));
            let at_ms = series.samples[0].timestamp;
            assert!(last.insert(key, at_ms).is_none_or(|before| before < at_ms));
        }
    }
}

#[test]
fn otlp_counts_what_prometheus_model_makes_of_it() {
    let requests = all(metrics::MetricsSource::new(metrics_plan(metrics_encoding::Format::Otlp)));
    // Two pods have all 36 series; the third has 28, and its part of a histogram is left out.
    assert_eq!(items(&requests), 40 * (36 + 36 + 22));
    let request = decode_metrics(Otlp::Protobuf, &requests[0].body).unwrap();
    assert!(request.resource_metrics[0].scope_metrics[0].metrics.iter().any(|m| m.name == "http_requests"));
}

#[test]
fn lines_are_as_many_and_as_long_as_asked_for() {
    let requests = all(logs::LogsSource::new(logs_plan(logs::Format::Loki)));
    let (mut lines, mut bytes, mut streams) = (0, 0, HashSet::new());
    for request in &requests {
        let push = PushRequest::decode(unpacked(request)).unwrap();
        for stream in push.streams {
            lines += stream.entries.len();
            bytes += stream.entries.iter().map(|entry| entry.line.len()).sum::<usize>();
            assert!(stream.labels.contains("cluster=\"bench\""), "{}", stream.labels);
            streams.insert(stream.labels);
        }
    }
    assert_eq!((lines, items(&requests)), (2_345, 2_345));
    assert!(streams.len() > 60, "{}", streams.len());
    let mean = bytes / lines;
    assert!((240..=270).contains(&mean), "{mean}");
    let json = all(logs::LogsSource::new(logs_plan(logs::Format::LokiJson)));
    let otlp = all(logs::LogsSource::new(logs_plan(logs::Format::Otlp)));
    assert_eq!((items(&json), items(&otlp)), (2_345, 2_345));
    let records = otlp.iter().map(|r| ExportLogsServiceRequest::decode(r.body.clone()).unwrap());
    let records: usize =
        records.flat_map(|r| r.resource_logs).map(|r| r.scope_logs[0].log_records.len()).sum();
    assert_eq!(records, 2_345);
}

#[test]
fn spans_are_whole_traces_of_known_size() {
    let mut source = traces::TracesSource::new(traces_plan());
    let requests: Vec<_> = std::iter::from_fn(|| source.next()).collect();
    let mut by_trace: HashMap<String, u64> = HashMap::new();
    let (mut spans, mut bytes, mut ids) = (0, 0, HashSet::new());
    for request in &requests {
        bytes += request.body.len();
        for resource in ExportTraceServiceRequest::decode(request.body.clone()).unwrap().resource_spans {
            for span in &resource.scope_spans[0].spans {
                spans += 1;
                *by_trace.entry(hex::encode(&span.trace_id)).or_default() += 1;
                assert!(ids.insert(span.span_id.clone()));
                assert!(span.end_time_unix_nano > span.start_time_unix_nano);
            }
        }
    }
    assert_eq!(items(&requests), spans);
    assert!((3_000..3_060).contains(&spans), "the last trace is whole: {spans}");
    assert!((200..300).contains(&(bytes as u64 / spans)), "{}", bytes as u64 / spans);
    assert!((10..25).contains(&(spans / by_trace.len() as u64)), "{}", spans / by_trace.len() as u64);
    assert!(source.witnesses().len() >= 50);
    for witness in source.witnesses() {
        assert_eq!(by_trace.get(&witness.trace_id), Some(&witness.spans));
    }
}
