//! Questions over hundreds of small segments: they are read one after the other, within a memory in which not all of them
//! could be open at once, and find what they find in one.

use model::limits::Limits;
use model::log::{Entry, LogBatchBuilder};
use model::metric::{MetricBatchBuilder, SeriesInfo};
use model::time::{NS_PER_MS, NS_PER_S};
use model::trace::{SpanFields, TraceBatchBuilder};
use model::{AttributeRef, Batch, Labels, TimeRange};
use query::{Direction, Labelled, LogRequest, LogValue, PromRequest, QueryEngine, TagScope, TraceRequest};

use crate::fixture::{Fixture, NOW_S};

const NOW_NS: i64 = NOW_S * NS_PER_S;
const SEGMENTS: i64 = 120;
/// From the first moment of a segment to that of the next.
const STEP_NS: i64 = 10 * 60 * NS_PER_S;
/// What a query may hold over many segments. A reader of one segment's lines holds some 200 kilobytes: so much has room for
/// some of them, and not for all.
const QUERY_BYTES: usize = 6 << 20;

fn start_ns(segment: i64) -> i64 {
    NOW_NS - (SEGMENTS - segment) * STEP_NS
}

/// A text that nothing makes small.
fn noise(seed: i64) -> String {
    let word = |k: i64| (seed * 31 + k).wrapping_mul(0x5851_f42d_4c95_7f2d) as u64;
    (0..12).map(|k| format!("{:016x}", word(k) ^ word(k) >> 31)).collect()
}

/// The lines of a segment: four streams, an error in every fiftieth line, and a line that the segment before has too.
fn lines(segment: i64) -> Batch {
    const LINES: i64 = 300;
    let mut builder = LogBatchBuilder::default();
    let mut line = |segment: i64, n: i64| {
        let service = format!("s{}", n % 4);
        let stream = builder.stream(&Labels::from_pairs([("service_name", service.as_str())]));
        let level = if n % 50 == 7 { "error" } else { "info" };
        let line = format!("level={level} segment={segment} n={n} {}", noise(segment * LINES + n));
        // The last line of a segment is at the first moment of the next one.
        let timestamp_ns = start_ns(segment) + n * STEP_NS / (LINES - 1);
        builder.metadata("n", AttributeRef::Int(n));
        builder.entry(stream, Entry { timestamp_ns, line: &line, ..Entry::default() });
    };
    (0..LINES).for_each(|n| line(segment, n));
    if segment > 0 {
        line(segment - 1, LINES - 1);
    }
    Batch::Logs(builder.finish())
}

/// The spans of a segment: thirty traces of three spans, of which one has an attribute that the others do not have.
fn spans(segment: i64) -> Batch {
    let mut builder = TraceBatchBuilder::default();
    for n in 0..30_i64 {
        let mut trace_id = [0; 16];
        trace_id[..8]
            .copy_from_slice(&((segment * 30 + n) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        trace_id[15] = 1;
        for span in 0..3_u8 {
            builder.resource_attribute("service.name", AttributeRef::String("shop"));
            builder.attribute("noise", AttributeRef::String(&noise(segment * 100 + n)));
            if n == 17 && segment % 10 == 3 {
                builder.attribute("rare", AttributeRef::Bool(true));
            }
            builder.span(SpanFields {
                trace_id,
                span_id: [span + 1; 8],
                parent_span_id: (span > 0).then_some([1; 8]),
                name: "work",
                start_ns: start_ns(segment) + n * STEP_NS / 40 + i64::from(span),
                duration_ns: 5,
                ..SpanFields::default()
            });
        }
    }
    Batch::Traces(builder.finish())
}

/// The samples of a segment: fifty series, of which ten are the segment's own.
fn samples(segment: i64) -> Batch {
    let mut builder = MetricBatchBuilder::default();
    for n in 0..50_i64 {
        let pod = if n < 40 { format!("p{n}") } else { format!("p{n}-{segment}") };
        let labels = Labels::from_pairs([("__name__", "requests_total"), ("pod", pod.as_str())]);
        let series = builder.series(&labels, SeriesInfo::default());
        for k in 0..20 {
            builder.sample(
                series,
                (start_ns(segment) + k * STEP_NS / 20) / NS_PER_MS,
                0,
                (segment * 20 + k) as f64,
            );
        }
    }
    Batch::Metrics(builder.finish())
}

/// The same telemetry in many segments and in one, where a query may hold little and much.
async fn both(batch: fn(i64) -> Batch, query_bytes: usize) -> [(Fixture, QueryEngine); 2] {
    let limits = Limits { query_memory_bytes: query_bytes, ..Limits::default() };
    let (many, one) = (Fixture::with_limits(limits).await, Fixture::new().await);
    for segment in 0..SEGMENTS {
        many.write("a", batch(segment)).await;
        one.write("a", batch(segment)).await;
        many.storage.flush().await.unwrap();
    }
    one.storage.flush().await.unwrap();
    [many, one].map(|fixture| {
        let engine = fixture.engine(2);
        (fixture, engine)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_many_segments() {
    let [(many, small), (one, large)] = both(lines, QUERY_BYTES).await;
    let (a, b) = (many.context("a"), one.context("a"));
    let request = |limit, direction| LogRequest {
        start_ns: start_ns(0),
        end_ns: NOW_NS + 1,
        step_ns: None,
        limit,
        direction,
        timeout_ns: None,
    };
    for (query, direction, limit, expected) in [
        ("{service_name=~\".+\"} |= \"error\"", Direction::Backward, 600, 600),
        ("{service_name=~\".+\"} |= \"error\"", Direction::Forward, 5_000, 6 * SEGMENTS),
        ("{service_name=\"s3\"} |= \"segment=77 n=7 \"", Direction::Backward, 100, 1),
        ("{service_name=~\".+\"}", Direction::Backward, 100, 100),
    ] {
        let mut answers = Vec::new();
        for (engine, context) in [(&small, &a), (&large, &b)] {
            let answer = engine.logql(context, query, request(limit, direction)).await.unwrap();
            let LogValue::Streams(streams) = answer.value else { panic!("lines give streams") };
            let mut lines: Vec<(i64, String)> =
                streams.into_iter().flat_map(|s| s.entries).map(|e| (e.timestamp_ns, e.line)).collect();
            lines.sort();
            answers.push((lines, answer.stats.peak_memory_bytes));
        }
        assert_eq!(i64::try_from(answers[0].0.len()).unwrap(), expected, "{query}");
        assert_eq!(answers[0].0, answers[1].0, "{query}");
        assert!(answers[0].1 < QUERY_BYTES as u64, "{query}");
    }
    for query in [
        "sum(count_over_time({service_name=~\".+\"}[2d]))",
        "sum by (service_name) (bytes_over_time({service_name=~\".+\"} |= \"error\" [2d]))",
        "max by (service_name) (max_over_time({service_name=~\".+\"} | logfmt | unwrap n [2d]))",
    ] {
        let mut answers = Vec::new();
        for (engine, context) in [(&small, &a), (&large, &b)] {
            let answer = engine.logql(context, query, request(100, Direction::Backward)).await.unwrap();
            let LogValue::Vector(mut samples) = answer.value else { panic!("a vector") };
            samples.sort_by(|(a, ..), (b, ..)| a.cmp(b));
            answers.push(samples.into_iter().map(|(labels, _, value)| (labels, value)).collect::<Vec<_>>());
        }
        assert_eq!(answers[0], answers[1], "{query}");
        if query.starts_with("sum(count") {
            assert_eq!(answers[0][0].1, (300 * SEGMENTS) as f64, "lines that two segments have count once");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_of_many_segments() {
    let [(many, small), (one, large)] = both(spans, QUERY_BYTES).await;
    let (a, b) = (many.context("a"), one.context("a"));
    let range = TimeRange::new(start_ns(0), NOW_NS);
    for (query, limit, expected) in [
        ("{ span.rare = true }", 100, 12),
        ("{ span.rare = true }", 5, 5),
        ("{ name = \"work\" }", 20, 20),
        ("{ span.none = \"x\" }", 20, 0),
        ("{ name = \"work\" } | count() > 3", 20, 0),
    ] {
        let mut answers = Vec::new();
        for (engine, context) in [(&small, &a), (&large, &b)] {
            let request = TraceRequest { range, limit, spans_per_span_set: 3, timeout_ns: None };
            let answer = engine.traceql_search(context, query, request).await.unwrap();
            answers.push(answer.traces.iter().map(|t| (t.start_ns, t.trace_id)).collect::<Vec<_>>());
        }
        assert_eq!((answers[0].len(), &answers[0]), (expected, &answers[1]), "{query}");
    }
    let mut names = Vec::new();
    for (engine, context) in [(&small, &a), (&large, &b)] {
        let (found, stats) =
            engine.trace_tag_names(context, Some(TagScope::Span), TimeRange::ALL, None).await.unwrap();
        assert_eq!(stats.items, 0, "no span is looked at");
        names.push(found);
    }
    assert_eq!(names[0], names[1]);
    assert_eq!(names[0], [(TagScope::Span, vec!["noise".to_owned(), "rare".to_owned()])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn series_of_many_segments() {
    // The samples of a series are needed together: each of the query's two parts has all segments open, with a page each.
    let [(many, small), (one, large)] = both(samples, 3 * QUERY_BYTES).await;
    let (a, b) = (many.context("a"), one.context("a"));
    for range in [TimeRange::ALL, TimeRange::new(start_ns(40) + STEP_NS / 2, start_ns(90) + STEP_NS / 2)] {
        let mut sets = Vec::new();
        for (engine, context) in [(&small, &a), (&large, &b)] {
            sets.push(engine.label_sets(context, Labelled::Series, &[], range, None).await.unwrap().value);
        }
        assert_eq!(sets[0], sets[1]);
        let expected = if range == TimeRange::ALL { 40 + 10 * SEGMENTS } else { 40 + 10 * 51 };
        assert_eq!(i64::try_from(sets[0].len()).unwrap(), expected);
    }
    let mut answers = Vec::new();
    for (engine, context) in [(&small, &a), (&large, &b)] {
        let request = PromRequest {
            start_ms: start_ns(0) / NS_PER_MS,
            end_ms: NOW_NS / NS_PER_MS,
            step_ms: Some(3_600_000),
            timeout_ns: None,
            lookback_ms: None,
            limit: None,
            counts_samples: false,
        };
        let answer = engine.promql(context, "sum(rate(requests_total[1h]))", request).await.unwrap();
        answers.push(format!("{:?}", answer.value));
    }
    assert_eq!(answers[0], answers[1]);
}
