//! Questions in LogQL.

use super::{Expected, Ground, Question};

const NS_PER_MS: i64 = 1_000_000;

/// Every stream.
const ALL: &str = "{cluster=\"bench\"}";
/// Services that write JSON.
const JSON: &str =
    "{app=~\"ads|catalog|inventory|pricing|reviews|billing|ledger|auth|users|geo|notifications\"}";
/// Services that write logfmt.
const LOGFMT: &str = "{app=~\"checkout|recommendation|fraud|sessions|media\"}";

fn range(
    kind: &'static str,
    query: String,
    (start_ms, end_ms): (i64, i64),
    rest: &[(&'static str, &str)],
) -> Question {
    let mut parameters = vec![
        ("query", query),
        ("start", (start_ms * NS_PER_MS).to_string()),
        ("end", (end_ms * NS_PER_MS).to_string()),
    ];
    parameters.extend(rest.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Question { kind, path: "/loki/api/v1/query_range".to_owned(), parameters, expected: Expected::Some }
}

/// A number for everything at once, so that nothing ends early because enough lines were found.
fn counted(kind: &'static str, pipeline: &str, ground: &Ground) -> Question {
    let window_ms = ground.end_ms - ground.start_ms;
    let parameters = vec![
        ("query", format!("sum(count_over_time({pipeline} [{window_ms}ms]))")),
        ("time", (ground.end_ms * NS_PER_MS).to_string()),
    ];
    Question { kind, path: "/loki/api/v1/query".to_owned(), parameters, expected: Expected::Some }
}

/// The questions.
pub(in super::super) fn questions(ground: &Ground) -> Vec<Question> {
    [of_lines(ground), of_numbers(ground)].concat()
}

/// Those that find lines, or count them once.
fn of_lines(ground: &Ground) -> Vec<Question> {
    let all = (ground.start_ms, ground.end_ms);
    let lines = &[("limit", "100")][..];
    let no_hit = range("no hit at all", format!("{ALL} |= \"zebra-crossing-42\""), all, lines);
    let regex = "attempts.*[uU]ser[^0-9]+9[0-9]{4}";
    let fields = "<ip> - <user> [<_>] \\\"<method> <path> <_>\\\" <status> <_>";
    vec![
        range("last 100 of a stream", format!("{{pod=\"{}\"}}", ground.pod), all, lines),
        range("a trace id over everything", format!("{ALL} |= \"{}\"", ground.trace_id), all, lines),
        counted("contains then regex", &format!("{ALL} |= \"timed out\" |~ \"{regex}\""), ground),
        counted("json and filter", &format!("{JSON} | json | status >= 500 | duration_ms > 20"), ground),
        counted("logfmt and filter", &format!("{LOGFMT} | logfmt | status >= 500 | duration > 20ms"), ground),
        counted("pattern", &format!("{{app=\"gateway\"}} | pattern \"{fields}\" | status=\"404\""), ground),
        Question { expected: Expected::Nothing, ..no_hit },
        range("last 100 over all streams", ALL.to_owned(), all, lines),
        range(
            "errors of 5 minutes",
            format!("{ALL} | detected_level=\"error\""),
            (ground.end_ms - 300_000, ground.end_ms),
            &[("limit", "1000")],
        ),
    ]
}

/// Those that make numbers of lines, a minute at a time.
fn of_numbers(ground: &Ground) -> Vec<Question> {
    let steps =
        |kind, query: String| range(kind, query, (ground.start_ms, ground.end_ms), &[("step", "60s")]);
    vec![
        steps("count by level", format!("sum by (detected_level) (count_over_time({ALL}[5m]))")),
        steps("rate by service", format!("sum by (app) (rate({ALL}[5m]))")),
        steps("errors by service", format!("sum by (app) (count_over_time({ALL} |= \"error\" [5m]))")),
        steps(
            "p99 of an unwrapped field",
            "quantile_over_time(0.99, {app=\"catalog\"} | json | unwrap duration_ms [5m]) by (app)"
                .to_owned(),
        ),
        steps("topk of pods", format!("topk(10, sum by (pod) (count_over_time({ALL}[5m])))")),
        steps("bytes by namespace", format!("sum by (namespace) (bytes_over_time({ALL}[5m]))")),
    ]
}
