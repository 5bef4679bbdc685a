//! Reads give the same rows wherever they are: in the head, in one segment, or spread over segments and the head.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;
use model::attributes::{AttributeRef, AttributesView};
use model::labels::Labels;
use model::log::{Entry, LogBatchBuilder};
use model::metric::{MetricBatchBuilder, MetricType, SeriesInfo};
use model::trace::{SpanFields, SpansView, TraceBatchBuilder};
use model::{Batch, MatchOp, Matcher, TimeRange};
use proptest::prelude::*;
use storage::read::{LogColumns, LogMetadata, LogScan, SpanColumns, TraceIds, TraceScan};

use super::rig::{BASE_NS, Rig, column, rows_of, run};

const BASE_MS: i64 = BASE_NS / 1_000_000;

/// Where the rows of a batch are when they are read: flushed after it, or not.
type Steps<T> = Vec<(Vec<T>, bool)>;

fn steps<T: Clone + std::fmt::Debug>(
    item: impl Strategy<Value = T> + Clone,
) -> impl Strategy<Value = Steps<T>> {
    prop::collection::vec((prop::collection::vec(item, 0..40), prop::bool::weighted(0.4)), 1..6)
}

fn labels(series: u8) -> Labels {
    let mut pairs = vec![("__name__", format!("m{}", series % 3)), ("job", format!("j{}", series % 2))];
    if series.is_multiple_of(4) {
        pairs.push(("pod", format!("p{series}")));
    }
    if series.is_multiple_of(5) {
        pairs.push(("Zone", "z".to_owned()));
    }
    Labels::from_pairs(pairs)
}

type Sample = (u8, i64, f64);

async fn read_samples(rig: &Rig, matchers: &[Matcher], range: TimeRange) -> Vec<(Labels, i64, u64)> {
    let snapshot = rig.storage.metrics(&rig.ctx, TimeRange::ALL).await.unwrap();
    let set = snapshot.select(matchers).await.unwrap();
    let mut read = Vec::new();
    // In two pieces, as readers that divide the work ask for them.
    let middle = set.labels().len() / 2;
    for part in [0..middle, middle..set.labels().len()] {
        let batches: Vec<_> = set.samples(part, range).try_collect().await.unwrap();
        for batch in batches {
            let series = column::<arrow::array::UInt32Array>(&batch, 0);
            let times = column::<arrow::array::Int64Array>(&batch, 1);
            let values = column::<arrow::array::Float64Array>(&batch, 3);
            for row in 0..batch.num_rows() {
                let labels = set.labels()[series.value(row) as usize].clone();
                read.push((labels, times.value(row), values.value(row).to_bits()));
            }
        }
    }
    read
}

async fn write_samples(rig: &Rig, samples: &[Sample]) {
    let mut builder = MetricBatchBuilder::default();
    for (series, time, value) in samples {
        let info = SeriesInfo { metric_type: MetricType::Gauge, unit: "s", help: "Seconds." };
        let number = builder.series(&labels(*series), info);
        builder.sample(number, BASE_MS + time, 0, *value);
    }
    rig.ingest(Batch::Metrics(builder.finish())).await;
}

fn sample() -> impl Strategy<Value = Sample> + Clone {
    let value = prop_oneof![
        Just(f64::NAN),
        Just(-0.0),
        (-1_000_i32..1_000).prop_map(|v| f64::from(v) / 100.0),
        any::<f64>(),
    ];
    // Some of the times lie on the day before.
    (0_u8..12, prop_oneof![-90_000_000_i64..-86_000_000, 0_i64..200], value)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn samples_are_the_last_written_of_each_series_and_time(
        steps in steps(sample()),
        cut in (0_i64..200, 0_i64..200),
        cache_bytes in prop_oneof![Just(0), Just(8 << 10), Just(64 << 20)],
    ) {
        run(async {
            // With a small cache no table of series is made.
            let rig = Rig::caching(cache_bytes).await;
            let mut model = BTreeMap::new();
            for (samples, flush) in &steps {
                write_samples(&rig, samples).await;
                for (series, time, value) in samples {
                    model.insert((labels(*series), BASE_MS + time), value.to_bits());
                }
                if *flush {
                    rig.storage.flush().await.unwrap();
                }
            }
            let expected: Vec<_> = model.iter().map(|((l, t), v)| (l.clone(), *t, *v)).collect();
            assert_eq!(read_samples(&rig, &[], TimeRange::ALL).await, expected);

            let (first, last) = (BASE_MS + cut.0.min(cut.1), BASE_MS + cut.0.max(cut.1));
            let range = TimeRange::from_ms(first, last);
            let within: Vec<_> = expected.iter().filter(|(_, t, _)| (first..=last).contains(t)).cloned().collect();
            assert_eq!(read_samples(&rig, &[], range).await, within);

            for matchers in matcher_sets() {
                let matching = |l: &Labels| matchers.iter().all(|m| m.matches(l.get(&m.name).unwrap_or("")));
                let matched: Vec<_> = expected.iter().filter(|(l, ..)| matching(l)).cloned().collect();
                assert_eq!(read_samples(&rig, &matchers, TimeRange::ALL).await, matched, "{matchers:?}");
                let mut of: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
                for (name, value) in matched.iter().flat_map(|(labels, ..)| labels.iter()) {
                    of.entry(name.to_owned()).or_default().insert(value.to_owned());
                }
                assert_eq!(listed(&rig, matchers).await, of);
            }
        });
    }
}

/// The names of the labels of what meets the matchers, each with its values.
async fn listed(rig: &Rig, matchers: Vec<Matcher>) -> BTreeMap<String, BTreeSet<String>> {
    let snapshot = rig.storage.metrics(&rig.ctx, TimeRange::ALL).await.unwrap();
    let sets = [vec![Matcher::equal("job", "no such")], matchers];
    let mut listed = BTreeMap::new();
    for name in snapshot.label_names(&sets).await.unwrap() {
        let values = snapshot.label_values(&name, &sets).await.unwrap();
        listed
            .insert(name.as_ref().to_owned(), values.iter().map(|value| value.as_ref().to_owned()).collect());
    }
    listed
}

fn matcher_sets() -> Vec<Vec<Matcher>> {
    let matcher = |name: &str, op, value: &str| Matcher::new(name, op, value).unwrap();
    vec![
        vec![Matcher::equal("__name__", "m1")],
        vec![matcher("__name__", MatchOp::Regex, "m1|m2"), matcher("job", MatchOp::NotEqual, "j0")],
        vec![matcher("pod", MatchOp::Equal, "")],
        vec![matcher("pod", MatchOp::NotEqual, "")],
        vec![matcher("pod", MatchOp::Regex, "p.*")],
        vec![matcher("pod", MatchOp::NotRegex, "p[48]")],
        vec![matcher("pod", MatchOp::Regex, "|p4")],
        vec![matcher("absent", MatchOp::Regex, ".+")],
        vec![matcher("absent", MatchOp::NotEqual, "x"), Matcher::equal("Zone", "z")],
    ]
}

#[test]
fn more_labels_than_columns_are_found_whether_columns_are_kept_or_not() {
    run(async {
        for cache_bytes in [0, 64 << 20] {
            let rig = Rig::caching(cache_bytes).await;
            let mut builder = MetricBatchBuilder::default();
            for at in 0..600 {
                let labels = [("__name__", "m".to_owned()), (&*format!("l{at:03}"), format!("v{at}"))];
                let number = builder.series(&Labels::from_pairs(labels), SeriesInfo::default());
                builder.sample(number, BASE_MS, 0, 1.0);
            }
            rig.ingest(Batch::Metrics(builder.finish())).await;
            rig.storage.flush().await.unwrap();
            for at in [0, 511, 512, 599] {
                let name = format!("l{at:03}");
                let found = listed(&rig, vec![Matcher::equal(&name, &format!("v{at}"))]).await;
                let expected = [("__name__", "m".to_owned()), (&name, format!("v{at}"))];
                let expected = expected.map(|(name, value)| (name.to_owned(), BTreeSet::from([value])));
                assert_eq!(found, BTreeMap::from(expected), "cache_bytes={cache_bytes}");
                let read =
                    read_samples(&rig, &[Matcher::equal(&name, &format!("v{at}"))], TimeRange::ALL).await;
                assert_eq!(read.len(), 1);
            }
        }
    });
}

type Line = (u8, i64, String, Option<u8>);

fn stream_labels(stream: u8) -> Labels {
    Labels::from_pairs([("app", format!("a{stream}")), ("env", "prod".to_owned())])
}

fn line() -> impl Strategy<Value = Line> + Clone {
    let word = prop_oneof![
        Just("error"),
        Just("user_id"),
        Just("4bf92f3577b34da6a3ce929d0e0e4736"),
        Just("id=00f067aa0ba902b7"),
        Just("ünïcode"),
        Just("{}"),
    ];
    let text = prop::collection::vec(word, 0..4).prop_map(|words| words.join(" "));
    // Some moments have many lines, most of the others one.
    (0_u8..4, prop_oneof![0_i64..20, 0_i64..20_000], text, prop::option::of(0_u8..3))
}

async fn write_lines(rig: &Rig, lines: &[Line]) {
    let mut builder = LogBatchBuilder::default();
    for (stream, time, text, metadata) in lines {
        let number = builder.stream(&stream_labels(*stream));
        if let Some(value) = metadata {
            builder.metadata("n", AttributeRef::Int(i64::from(*value)));
        }
        builder.entry(number, Entry { timestamp_ns: BASE_NS + time, line: text, ..Entry::default() });
    }
    rig.ingest(Batch::Logs(builder.finish())).await;
}

async fn read_lines(rig: &Rig, scan: LogScan) -> Vec<Line> {
    let snapshot = rig.storage.logs(&rig.ctx, TimeRange::ALL).await.unwrap();
    let set = snapshot.select(&[Matcher::new("app", MatchOp::Regex, "a.").unwrap()]).await.unwrap();
    let mut read = Vec::new();
    for source in set.sources(0..set.labels().len(), scan).await.unwrap() {
        let batches: Vec<_> = source.entries.try_collect().await.unwrap();
        let lines: Vec<Line> = batches.iter().flat_map(|batch| lines_of(batch, set.labels())).collect();
        assert!(lines.is_sorted_by_key(|(stream, time, ..)| (*stream, *time)), "{lines:?}");
        let is_within =
            |(_, time, ..): &Line| (source.range.start_ns..=source.range.end_ns).contains(&(BASE_NS + time));
        assert!(lines.iter().all(is_within), "{:?} {lines:?}", source.range);
        read.extend(lines);
    }
    read
}

fn lines_of(batch: &arrow::array::RecordBatch, labels: &[Labels]) -> Vec<Line> {
    let streams = column::<arrow::array::UInt32Array>(batch, 0);
    let times = column::<arrow::array::Int64Array>(batch, 1);
    let lines = column::<arrow::array::StringArray>(batch, 2);
    let metadata = AttributesView::new(batch.column(6)).unwrap();
    let line = |row: usize| {
        let app = labels[streams.value(row) as usize].get("app").unwrap()[1..].parse().unwrap();
        let value = match metadata.get(row, "n") {
            Some(AttributeRef::Int(value)) => Some(u8::try_from(value).unwrap()),
            _ => None,
        };
        (app, times.value(row) - BASE_NS, lines.value(row).to_owned(), value)
    };
    (0..batch.num_rows()).map(line).collect()
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_come_once_each_and_needles_lose_none(
        steps in steps(line()),
        cut in (0_i64..20, prop_oneof![0_i64..20, 0_i64..20_000]),
        needle in prop_oneof![
            Just("error".to_owned()), Just(" user_id ".to_owned()), Just("2f3577b34da6a3ce929d0".to_owned()),
            Just("nïc".to_owned()), Just("d=00f067aa0ba902b7".to_owned()), Just(" absent ".to_owned()),
        ],
    ) {
        run(async {
            let rig = Rig::new().await;
            let mut model = BTreeSet::new();
            for (lines, flush) in &steps {
                write_lines(&rig, lines).await;
                model.extend(lines.iter().cloned());
                if *flush {
                    rig.storage.flush().await.unwrap();
                }
            }
            let all = || LogScan { range: TimeRange::ALL, needles: Vec::new(), columns: LogColumns::ALL };
            let expected: Vec<Line> = model.into_iter().collect();
            assert_eq!(sorted(read_lines(&rig, all()).await), expected);

            let (first, last) = (cut.0.min(cut.1), cut.0.max(cut.1));
            let range = TimeRange::new(BASE_NS + first, BASE_NS + last);
            let within: Vec<_> =
                expected.iter().filter(|(_, t, ..)| (first..=last).contains(t)).cloned().collect();
            assert_eq!(sorted(read_lines(&rig, LogScan { range, ..all() }).await), within);

            // Columns that are not read change no number of rows.
            let columns = LogColumns::NONE;
            let blank = read_lines(&rig, LogScan { range, columns, ..all() }).await;
            assert_eq!(blank.len(), within.len());
            assert!(blank.iter().all(|(_, _, line, metadata)| line.is_empty() && metadata.is_none()));
            let columns = LogColumns { line: true, metadata: LogMetadata::None };
            let lines = read_lines(&rig, LogScan { range, columns, ..all() }).await;
            let without = |lines: &[Line]| sorted(lines.iter().map(|(s, t, l, _)| (*s, *t, l.clone())).collect());
            assert_eq!(without(&lines), without(&within));
            let columns = LogColumns { line: true, metadata: LogMetadata::Keys(vec!["n".to_owned()]) };
            assert_eq!(sorted(read_lines(&rig, LogScan { range, columns, ..all() }).await), within);
            let columns = LogColumns { line: true, metadata: LogMetadata::Keys(vec!["no".to_owned()]) };
            let lines = read_lines(&rig, LogScan { range, columns, ..all() }).await;
            assert_eq!(without(&lines), without(&within));

            let read = read_lines(&rig, LogScan { needles: vec![needle.clone()], ..all() }).await;
            let read: Vec<_> = read.into_iter().filter(|(_, _, line, _)| line.contains(&needle)).collect();
            let with_needle: Vec<_> =
                expected.iter().filter(|(_, _, line, _)| line.contains(&needle)).cloned().collect();
            assert_eq!(sorted(read), with_needle);
        });
    }
}

type Span = (u8, u8, i64, u8);

fn trace_id(trace: u8) -> [u8; 16] {
    let mut id = [7; 16];
    id[0] = trace.wrapping_mul(37).max(1);
    id
}

async fn write_spans(rig: &Rig, spans: &[Span]) {
    let mut builder = TraceBatchBuilder::default();
    for (trace, span, start, service) in spans {
        builder.resource_attribute("service.name", AttributeRef::String(&format!("s{service}")));
        builder.attribute("http.status_code", AttributeRef::Int(200));
        builder.attribute("retry", AttributeRef::Bool(true));
        let parent = (*span > 1).then(|| [span - 1; 8]);
        builder.event(BASE_NS, "event", 0, [("k", AttributeRef::Double(0.5))]);
        builder.span(SpanFields {
            trace_id: trace_id(*trace),
            span_id: [*span; 8],
            parent_span_id: parent,
            name: "work",
            start_ns: BASE_NS + start,
            duration_ns: 5,
            ..SpanFields::default()
        });
    }
    rig.ingest(Batch::Traces(builder.finish())).await;
}

async fn read_spans(rig: &Rig, scan: TraceScan) -> Vec<([u8; 16], i64, [u8; 8], String)> {
    let snapshot = rig.storage.traces(&rig.ctx, TimeRange::ALL).await.unwrap();
    let batches: Vec<_> = snapshot.scan(scan).try_collect().await.unwrap();
    let mut read = Vec::new();
    for batch in &batches {
        let view = SpansView::new(batch).unwrap();
        for row in 0..view.rows() {
            assert_eq!(view.attribute(row, "http.status_code"), Some(AttributeRef::Int(200)));
            assert_eq!(view.attribute(row, "retry"), Some(AttributeRef::Bool(true)));
            assert_eq!(view.events().of_span(row).len(), 1);
            let service = view.service_name(row).to_owned();
            read.push((view.trace_id(row), view.start_ns(row) - BASE_NS, view.span_id(row), service));
        }
    }
    assert!(read.is_sorted_by_key(|(trace, start, span, _)| (*trace, *start, *span)), "{read:?}");
    read
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spans_come_once_each_by_trace_time_and_service(
        steps in steps((0_u8..8, 1_u8..6, 0_i64..30, 0_u8..3)),
        cut in (0_i64..30, 0_i64..30),
        wanted in 0_u8..9,
    ) {
        run(async {
            let rig = Rig::new().await;
            let mut model = BTreeSet::new();
            for (spans, flush) in &steps {
                write_spans(&rig, spans).await;
                model.extend(spans.iter().map(|(trace, span, start, service)| {
                    (trace_id(*trace), *start, [*span; 8], format!("s{service}"))
                }));
                if *flush {
                    rig.storage.flush().await.unwrap();
                }
            }
            let expected: Vec<_> = model.into_iter().collect();
            let scan = |trace_ids, range| TraceScan { trace_ids, range, service: None };
            assert_eq!(sorted(read_spans(&rig, scan(TraceIds::All, TimeRange::ALL)).await), expected);

            let (first, last) = (cut.0.min(cut.1), cut.0.max(cut.1));
            let range = TimeRange::new(BASE_NS + first, BASE_NS + last);
            let within: Vec<_> =
                expected.iter().filter(|(_, t, ..)| (first..=last).contains(t)).cloned().collect();
            assert_eq!(sorted(read_spans(&rig, scan(TraceIds::All, range)).await), within);

            let id = trace_id(wanted);
            let of_trace: Vec<_> = expected.iter().filter(|(trace, ..)| *trace == id).cloned().collect();
            assert_eq!(sorted(read_spans(&rig, scan(TraceIds::One(id), TimeRange::ALL)).await), of_trace);

            let some = [0, wanted, 200].map(trace_id);
            let some: BTreeSet<[u8; 16]> = some.into_iter().collect();
            let of_some: Vec<_> = expected.iter().filter(|(trace, ..)| some.contains(trace)).cloned().collect();
            let some = TraceIds::Some(some.into_iter().collect());
            assert_eq!(sorted(read_spans(&rig, scan(some, TimeRange::ALL)).await), of_some);

            let half = TraceIds::Range { first: [0; 16], last: id };
            let of_half: Vec<_> = expected.iter().filter(|(trace, ..)| *trace <= id).cloned().collect();
            assert_eq!(sorted(read_spans(&rig, scan(half, TimeRange::ALL)).await), of_half);

            // Spans that are in several places come once also where a list is read for a key that is not in it.
            for key in ["retry", "absent"] {
                let columns = SpanColumns::of(&["resource.service.name"], &[("attributes", key.to_owned())]);
                let snapshot = rig.storage.traces(&rig.ctx, TimeRange::ALL).await.unwrap();
                let batches = snapshot.columns(scan(TraceIds::All, TimeRange::ALL), &columns);
                let batches: Vec<_> = batches.try_collect().await.unwrap();
                assert_eq!(rows_of(&batches), expected.len(), "{key}");
                for batch in &batches {
                    let view = SpansView::new(batch).unwrap();
                    let has = |row| view.attribute(row, key).is_some();
                    assert!((0..view.rows()).all(|row| has(row) == (key == "retry")), "{key}");
                }
            }

            let hinted = TraceScan { service: Some("s1".into()), ..scan(TraceIds::All, TimeRange::ALL) };
            let hinted: Vec<_> =
                read_spans(&rig, hinted).await.into_iter().filter(|(.., service)| service == "s1").collect();
            let of_service: Vec<_> = expected.iter().filter(|(.., service)| service == "s1").cloned().collect();
            assert_eq!(sorted(hinted), of_service);
        });
    }
}

#[test]
fn histograms_and_exemplars_come_back_and_metadata_is_known() {
    run(async {
        let rig = Rig::new().await;
        for flushed in [false, true] {
            let mut builder = MetricBatchBuilder::default();
            let info = SeriesInfo { metric_type: MetricType::Histogram, unit: "s", help: "Latency." };
            let number = builder.series(&labels(1), info);
            let histogram = model::histogram::NativeHistogram { count: 3.0, ..Default::default() };
            builder.histogram(number, BASE_MS, 0, &histogram);
            builder.exemplar(number, BASE_MS, 0.5, [("trace_id", "abc")]);
            rig.ingest(Batch::Metrics(builder.finish())).await;
            if flushed {
                rig.storage.flush().await.unwrap();
            }
            let snapshot = rig.storage.metrics(&rig.ctx, TimeRange::ALL).await.unwrap();
            let set = snapshot.select(&[]).await.unwrap();
            assert!(set.has_histograms());
            let histograms: Vec<_> = set.histograms(0..1, TimeRange::ALL).try_collect().await.unwrap();
            assert_eq!(rows_of(&histograms), 1, "flushed={flushed}");
            let view = model::histogram::HistogramsView::new(histograms[0].column(3)).unwrap();
            assert_eq!(view.get(0), Some(histogram));
            let exemplars: Vec<_> = set.exemplars(0..1, TimeRange::ALL).try_collect().await.unwrap();
            assert_eq!(rows_of(&exemplars), 1, "flushed={flushed}");
            let metadata = snapshot.metadata().await.unwrap();
            assert_eq!(metadata.len(), 1);
            assert_eq!((metadata[0].name.as_str(), metadata[0].metric_type), ("m1", MetricType::Histogram));
            assert_eq!((metadata[0].unit.as_str(), metadata[0].help.as_str()), ("s", "Latency."));
        }
    });
}

#[test]
fn a_rare_needle_is_found_wherever_it_stands() {
    run(async {
        let rig = Rig::new().await;
        // A full row group and one page of the next.
        let rare = [4_096_usize, 5_000, 8_191];
        let id = |row: usize| {
            let spread = |n: u128| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            let n = spread(row as u128 + 1);
            // Multiples alone would be shifted copies of each other.
            format!("{:032x}", spread(n ^ n >> 61))
        };
        let line = |row: usize| {
            let rarity = if rare.contains(&row) { "zebra-crossing-42" } else { "plain" };
            let metadata = if row.is_multiple_of(2) { u8::try_from(row % 200).ok() } else { None };
            (0, row as i64, format!("{rarity} trace={}", id(row)), metadata)
        };
        let lines: Vec<Line> = (0..20_000).map(line).collect();
        write_lines(&rig, &lines).await;
        rig.storage.flush().await.unwrap();
        for columns in [
            LogColumns::ALL,
            LogColumns { line: true, metadata: LogMetadata::None },
            LogColumns { line: true, metadata: LogMetadata::Keys(vec!["n".to_owned()]) },
        ] {
            let has_metadata = columns.metadata != LogMetadata::None;
            let find = async |needle: String| {
                let needles = vec![needle];
                read_lines(&rig, LogScan { range: TimeRange::ALL, needles, columns: columns.clone() }).await
            };
            let expected = |row: usize| {
                let (stream, time, text, metadata) = line(row);
                (stream, time, text, metadata.filter(|_| has_metadata))
            };
            for row in [0, 1, 4_095, 4_096, 12_345, 16_384, 19_999] {
                assert_eq!(find(id(row)).await, [expected(row)], "{columns:?}");
            }
            let found = find("zebra-crossing-42".to_owned()).await;
            let found: Vec<Line> = found.into_iter().filter(|line| line.2.starts_with("zebra")).collect();
            assert_eq!(found, rare.map(expected));
            assert!(find("0".repeat(32)).await.is_empty());
        }
    });
}

#[test]
fn lines_of_one_moment_keep_the_order_of_their_arrival() {
    run(async {
        let rig = Rig::new().await;
        let texts = ["c", "a", "b", "a"];
        for (i, text) in texts.iter().enumerate() {
            write_lines(&rig, &[(0, 5, (*text).to_owned(), None)]).await;
            if i == 1 {
                rig.storage.flush().await.unwrap();
            }
        }
        let scan = LogScan { range: TimeRange::ALL, needles: Vec::new(), columns: LogColumns::ALL };
        let lines: Vec<String> =
            read_lines(&rig, scan).await.into_iter().map(|(_, _, line, _)| line).collect();
        assert_eq!(lines, ["c", "a", "b"]);
    });
}
