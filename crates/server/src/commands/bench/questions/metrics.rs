//! Questions in PromQL.

use super::{Expected, Ground, Question};

const MINUTE_MS: i64 = 60_000;

/// A moment as the API takes it, in seconds.
fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1_000), ms.rem_euclid(1_000))
}

fn instant(kind: &'static str, query: String, at_ms: i64) -> Question {
    let parameters = vec![("query", query), ("time", seconds(at_ms))];
    Question { kind, path: "/api/v1/query".to_owned(), parameters, expected: Expected::Some }
}

fn range(kind: &'static str, query: String, (start_ms, end_ms): (i64, i64), step: &str) -> Question {
    let parameters = vec![
        ("query", query),
        ("start", seconds(start_ms)),
        ("end", seconds(end_ms)),
        ("step", step.to_owned()),
    ];
    Question { kind, path: "/api/v1/query_range".to_owned(), parameters, expected: Expected::Some }
}

/// The questions.
pub(in super::super) fn questions(ground: &Ground) -> Vec<Question> {
    let (pod, end_ms) = (&ground.pod, ground.end_ms);
    let all = (ground.start_ms, end_ms);
    let hour = (end_ms - 60 * MINUTE_MS, end_ms);
    let buckets = "rate(http_request_duration_seconds_bucket[5m])";
    vec![
        instant("one series now", format!("up{{pod=\"{pod}\"}}"), end_ms),
        instant("all of a name now", "http_requests_total".to_owned(), end_ms),
        range("rate of one pod, 1 h", format!("rate(http_requests_total{{pod=\"{pod}\"}}[5m])"), hour, "15s"),
        range(
            "sum of rates by service",
            "sum by (service) (rate(http_requests_total[5m]))".to_owned(),
            all,
            "15s",
        ),
        range(
            "sum of rates by namespace",
            format!("sum by (namespace) ({buckets})"),
            all,
            "15s",
        ),
        range("p99 of every histogram", format!("histogram_quantile(0.99, {buckets})"), all, "15s"),
        range("sum of rates over all buckets", format!("sum by (le) ({buckets})"), all, "15s"),
        range(
            "p99 by service, 1 h",
            format!("histogram_quantile(0.99, sum by (le, service) ({buckets}))"),
            hour,
            "60s",
        ),
        instant("topk", "topk(10, sum by (pod) (rate(http_requests_total[5m])))".to_owned(), end_ms),
        instant("count by name", "count by (__name__) ({__name__!=\"\"})".to_owned(), end_ms),
        Question {
            kind: "label values",
            path: "/api/v1/label/pod/values".to_owned(),
            parameters: vec![("start", seconds(ground.start_ms)), ("end", seconds(end_ms))],
            expected: Expected::Some,
        },
        range(
            "join with group_left",
            "sum by (created_by_kind, service) (rate(container_cpu_usage_seconds_total[5m]) * on (namespace, pod) \
             group_left (created_by_kind) kube_pod_info)"
                .to_owned(),
            all,
            "60s",
        ),
        instant(
            "subquery of rates",
            "max_over_time(sum by (service) (rate(http_requests_total[5m]))[1h:1m])".to_owned(),
            end_ms,
        ),
        range("a whole name at 15 s", "container_memory_working_set_bytes".to_owned(), all, "15s"),
    ]
}
