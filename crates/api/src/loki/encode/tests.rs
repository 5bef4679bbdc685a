//! What the bodies of Loki's answers look like, to the letter.

use query::Held;

use super::*;
use crate::json::written;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn entry(timestamp_ns: i64, line: &str, structured: &[(&str, &str)], parsed: &[(&str, &str)]) -> LogEntry {
    LogEntry { timestamp_ns, line: line.into(), structured: pairs(structured), parsed: pairs(parsed) }
}

fn text(value: LogValue, categorize_labels: bool) -> String {
    let encoding = Encoding { categorize_labels, direction: Direction::Backward };
    String::from_utf8(written(|json| write_value(json, value, encoding))).unwrap()
}

#[test]
fn numbers_have_their_shapes() {
    let cases = [
        (LogValue::Streams(vec![]), "[]"),
        (
            LogValue::Vector(vec![(labels(&[("app", "a")]), 1_500, 1e21)]),
            r#"[{"metric":{"app":"a"},"value":[1.5,"1000000000000000000000"]}]"#,
        ),
        (LogValue::Scalar(3_000, 4.0), r#"[3,"4"]"#),
    ];
    for (value, expected) in cases {
        assert_eq!(text(value, false), expected);
    }
}

fn two_streams_of_one() -> LogValue {
    LogValue::Streams(vec![
        LogStream {
            labels: labels(&[("app", "a"), ("level", "info"), ("trace_id", "1")]),
            entries: vec![
                entry(3, "third", &[("trace_id", "1")], &[("level", "info")]),
                entry(1, "first \"q\"", &[("trace_id", "1")], &[("level", "info")]),
            ],
        },
        LogStream { labels: labels(&[("app", "a")]), entries: vec![entry(2, "second", &[], &[])] },
    ])
}

#[test]
fn lines_stand_under_all_their_labels() {
    assert_eq!(
        text(two_streams_of_one(), false),
        concat!(
            r#"[{"stream":{"app":"a","level":"info","trace_id":"1"},"#,
            r#""values":[["3","third"],["1","first \"q\""]]},"#,
            r#"{"stream":{"app":"a"},"values":[["2","second"]]}]"#
        )
    );
}

#[test]
fn lines_tell_their_categories_apart_where_that_is_asked_for() {
    assert_eq!(
        text(two_streams_of_one(), true),
        concat!(
            r#"[{"stream":{"app":"a"},"values":["#,
            r#"["3","third",{"structuredMetadata":{"trace_id":"1"},"parsed":{"level":"info"}}],"#,
            r#"["2","second",{}],"#,
            r#"["1","first \"q\"",{"structuredMetadata":{"trace_id":"1"},"parsed":{"level":"info"}}]]}]"#
        )
    );
}

#[test]
fn answers_have_an_envelope_and_figures() {
    let answer = |value| LogAnswer {
        value,
        stats: QueryStats { items: 10, bytes: 200, exec_ns: 500_000_000, ..QueryStats::default() },
        held: Held::default(),
    };
    let text = |value, categorize_labels| {
        let encoding = Encoding { categorize_labels, direction: Direction::Forward };
        String::from_utf8(written(|json| write_answer(json, answer(value), encoding))).unwrap()
    };
    let stats = |entries: usize| {
        format!(
            concat!(
                r#""stats":{{"summary":{{"bytesProcessedPerSecond":400,"linesProcessedPerSecond":20,"#,
                r#""totalBytesProcessed":200,"totalLinesProcessed":10,"totalEntriesReturned":{},"#,
                r#""subqueries":0,"splits":0,"shards":0,"execTime":0.5,"queueTime":0}}}}"#
            ),
            entries
        )
    };
    assert_eq!(
        text(LogValue::Scalar(1_000, 1.0), false),
        format!(r#"{{"status":"success","data":{{"resultType":"scalar","result":[1,"1"],{}}}}}"#, stats(0))
    );
    let streams = LogValue::Streams(vec![LogStream {
        labels: labels(&[("app", "a")]),
        entries: vec![entry(1, "x", &[], &[])],
    }]);
    assert_eq!(
        text(streams, true),
        format!(
            concat!(
                r#"{{"status":"success","data":{{"resultType":"streams","encodingFlags":["categorize-labels"],"#,
                r#""result":[{{"stream":{{"app":"a"}},"values":[["1","x",{{}}]]}}],{}}}}}"#
            ),
            stats(1)
        )
    );
}
