//! LogQL and the lists of streams and labels.

use model::limits::Limits;
use model::log::{Entry, LogBatchBuilder};
use model::time::NS_PER_S;
use model::{Batch, Labels, TimeRange};
use query::{Direction, Labelled, LogRequest, LogValue, QueryError};

use crate::fixture::{Fixture, NOW_S};

const NOW_NS: i64 = NOW_S * NS_PER_S;

/// Two streams with a line every ten seconds of the last `hours` hours.
fn lines(hours: i64) -> Batch {
    let mut builder = LogBatchBuilder::default();
    for app in ["shop", "cart"] {
        let stream = builder.stream(&Labels::from_pairs([("app", app)]));
        for i in 0..hours * 360 {
            let line = format!("{app} line {i} level={}", if i % 10 == 0 { "error" } else { "info" });
            let timestamp_ns = NOW_NS - hours * 3_600 * NS_PER_S + (i + 1) * 10 * NS_PER_S;
            builder.entry(stream, Entry { timestamp_ns, line: &line, ..Entry::default() });
        }
    }
    Batch::Logs(builder.finish())
}

fn request(limit: usize, direction: Direction) -> LogRequest {
    LogRequest {
        start_ns: NOW_NS - 24 * 3_600 * NS_PER_S,
        end_ns: NOW_NS + 1,
        step_ns: None,
        limit,
        direction,
        timeout_ns: None,
    }
}

async fn found(fixture: &Fixture, query: &str, request: LogRequest) -> Vec<(i64, String)> {
    let answer = fixture.engine(2).logql(&fixture.context("a"), query, request).await.unwrap();
    let LogValue::Streams(streams) = answer.value else { panic!("lines give streams") };
    let mut lines: Vec<(i64, String)> =
        streams.into_iter().flat_map(|s| s.entries).map(|e| (e.timestamp_ns, e.line)).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn the_newest_and_the_oldest_lines_are_found_in_head_and_segments() {
    let fixture = Fixture::new().await;
    fixture.write("a", lines(5)).await;
    for flushed in [false, true] {
        if flushed {
            fixture.storage.flush().await.unwrap();
        }
        let newest = found(&fixture, "{app=\"shop\"}", request(3, Direction::Backward)).await;
        let numbers: Vec<&str> = newest.iter().map(|(_, line)| line.split(' ').nth(2).unwrap()).collect();
        assert_eq!(numbers, ["1797", "1798", "1799"]);
        let oldest = found(&fixture, "{app=~\".+\"} |= \"error\"", request(4, Direction::Forward)).await;
        let numbers: Vec<&str> = oldest.iter().map(|(_, line)| line.split(' ').nth(2).unwrap()).collect();
        assert_eq!(numbers, ["0", "0", "10", "10"]);
        let one =
            found(&fixture, "{app=\"cart\"} |= \"cart line 17 \"", request(10, Direction::Backward)).await;
        assert_eq!(one.len(), 1);
    }
}

#[tokio::test]
async fn a_few_lines_of_many_cost_no_more_where_many_come_at_once() {
    const LINES: i64 = 80_000;
    let fixture = Fixture::new().await;
    let mut builder = LogBatchBuilder::default();
    let stream = builder.stream(&Labels::from_pairs([("app", "busy")]));
    for i in 0..LINES {
        let timestamp_ns = NOW_NS - (LINES - 1 - i) * NS_PER_S / 1_000;
        builder.entry(stream, Entry { timestamp_ns, line: &format!("line {i}"), ..Entry::default() });
    }
    fixture.write("a", Batch::Logs(builder.finish())).await;
    for flushed in [false, true] {
        if flushed {
            fixture.storage.flush().await.unwrap();
        }
        let engine = fixture.engine(2);
        for (query, direction, found, looked_at) in [
            ("{app=\"busy\"}", Direction::Backward, 10, LINES / 4),
            ("{app=\"busy\"}", Direction::Forward, 10, LINES / 4),
            ("{app=\"busy\"} |= \"line 1234\"", Direction::Backward, 10, LINES * 2),
        ] {
            let answer = engine.logql(&fixture.context("a"), query, request(10, direction)).await.unwrap();
            let LogValue::Streams(streams) = answer.value else { panic!("lines give streams") };
            assert_eq!(streams.iter().map(|s| s.entries.len()).sum::<usize>(), found, "{query}");
            let items = i64::try_from(answer.stats.items).unwrap();
            assert!(items < looked_at, "{query} {direction:?}: {:?}", answer.stats);
        }
    }
}

#[tokio::test]
async fn lines_are_counted_per_label() {
    let fixture = Fixture::new().await;
    fixture.write("a", lines(1)).await;
    let query = "sum by (app) (count_over_time({app=~\".+\"} | logfmt | level=\"error\" [1h]))";
    let request = request(100, Direction::Backward);
    let answer = fixture.engine(2).logql(&fixture.context("a"), query, request).await.unwrap();
    let LogValue::Vector(samples) = answer.value else { panic!("an instant query gives a vector") };
    assert_eq!(samples.len(), 2);
    // 720 lines were looked at, of some 21 bytes each.
    assert_eq!(answer.stats.items, 720);
    assert!((720 * 18..720 * 24).contains(&answer.stats.bytes), "{:?}", answer.stats);
}

#[tokio::test]
async fn lists_and_limits() {
    let fixture = Fixture::new().await;
    fixture.write("a", lines(1)).await;
    let engine = fixture.engine(2);
    let (a, b) = (fixture.context("a"), fixture.context("b"));
    let values =
        engine.label_values(&a, Labelled::Streams, "app", &[], TimeRange::ALL, None).await.unwrap().value;
    assert_eq!(values, ["cart", "shop"]);
    assert!(
        engine.label_names(&b, Labelled::Streams, &[], TimeRange::ALL, None).await.unwrap().value.is_empty()
    );
    let error = engine.logql(&a, "{app=\"shop\"}", request(5_001, Direction::Backward)).await.unwrap_err();
    assert!(matches!(&error, QueryError::Parse(m) if m.contains("(5001 > 5000)")), "{error}");
}

#[tokio::test]
async fn a_tenants_limits_of_queries_are_named_with_who_can_raise_them() {
    let mut limits = Limits::default();
    limits.logs.query.max_length_ns = Some(60 * NS_PER_S);
    limits.logs.query.max_bytes_read = Some(10);
    let fixture = Fixture::with_limits(limits).await;
    fixture.write("a", lines(1)).await;
    fixture.storage.flush().await.unwrap();
    let (engine, a) = (fixture.engine(2), fixture.context("a"));
    let end_ns = NOW_S * NS_PER_S;
    let asked = |seconds: i64| {
        let start_ns = end_ns - seconds * NS_PER_S;
        LogRequest { start_ns, end_ns, ..request(10, Direction::Backward) }
    };
    let error = engine.logql(&a, "{app=\"shop\"}", asked(61)).await.unwrap_err().to_string();
    assert!(error.contains("max_query_length=60s, asked for 61s"), "{error}");
    assert!(error.contains("have the operator raise max_query_length in loki-overrides.yaml"), "{error}");
    let range = TimeRange::new(end_ns - 61 * NS_PER_S, end_ns);
    let names = engine.label_names(&a, Labelled::Streams, &[], range, None).await.unwrap_err().to_string();
    assert!(names.contains("max_query_length=60s, asked for 61s"), "{names}");
    let error = engine.logql(&a, "{app=\"shop\"}", asked(60)).await.unwrap_err().to_string();
    assert!(error.contains("max_query_bytes_read=10, asked for "), "{error}");
}

#[tokio::test]
async fn what_is_further_back_than_a_tenant_may_look_is_not_seen() {
    let mut limits = Limits::default();
    limits.logs.query.max_lookback_ns = Some(25 * NS_PER_S);
    let fixture = Fixture::with_limits(limits).await;
    fixture.write("a", lines(1)).await;
    let (engine, a) = (fixture.engine(2), fixture.context("a"));
    let answer = engine.logql(&a, "{app=\"shop\"}", request(10, Direction::Backward)).await.unwrap();
    assert_eq!(answer.stats.items, 3, "the lines of now and of 10 and 20 seconds ago");
}
