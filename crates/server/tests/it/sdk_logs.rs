//! What the SDK logged, asked back in LogQL: streams by resource attributes, the rest as structured metadata.

use std::collections::BTreeMap;

use crate::client::{Api, Client, array, labels, texts};
use crate::sdk::Run;

/// Levels of the items of a trace, and OpenTelemetry's texts for them.
const LEVELS: [(&str, &str); 4] =
    [("info", "INFO"), ("warn", "WARN"), ("error", "ERROR"), ("debug", "DEBUG")];

fn selector(run: &Run) -> String {
    format!("{{service_name=\"shop\", service_instance_id=\"{}\"}}", run.name)
}

fn count(run: &Run, wanted: impl Fn(usize) -> bool) -> usize {
    (0..run.count).filter(|item| wanted(*item)).count()
}

pub(crate) async fn check(client: &Client, run: &Run) {
    let sent: Vec<&str> = array(&run.report["logs"]).iter().map(|line| line.as_str().unwrap()).collect();
    let lines = client.lines(&selector(run)).await;
    assert_eq!(lines.iter().map(|line| line.line.as_str()).collect::<Vec<_>>(), sent);
    for (item, line) in lines.iter().enumerate() {
        let (level, severity_text) = LEVELS[item % 4];
        let index = item.to_string();
        let trace_id = run.trace_id_of(item);
        let want = [
            ("service_name", "shop"),
            ("service_namespace", "demo"),
            ("service_instance_id", run.name.as_str()),
            ("deployment_environment", "test"),
            ("detected_level", level),
            ("severity_text", severity_text),
            ("run", run.name.as_str()),
            ("order_index", index.as_str()),
            ("trace_id", trace_id.as_str()),
        ];
        for (name, value) in want {
            assert_eq!(line.labels.get(name).map(String::as_str), Some(value), "{name} of {line:?}");
        }
        assert_eq!(line.labels["span_id"].len(), 16, "{line:?}");
    }
    check_filters(client, run).await;
    check_counts(client, run).await;
}

async fn check_filters(client: &Client, run: &Run) {
    let selector = selector(run);
    let trace_id = run.trace_id_of(0);
    type Wanted<'a> = Box<dyn Fn(usize) -> bool + 'a>;
    let table: [(String, Wanted<'_>); 11] = [
        (" |= \"order=3 \"".into(), Box::new(|i| i == 3)),
        (" != \"order=3 \"".into(), Box::new(|i| i != 3)),
        (" |~ \"order=[12] \"".into(), Box::new(|i| i == 1 || i == 2)),
        (" !~ `order=\\d `".into(), Box::new(|i| i > 9)),
        (" |= \"ORDER\"".into(), Box::new(|_| false)),
        (" | detected_level=\"error\"".into(), Box::new(|i| i % 4 == 2)),
        (format!(" | trace_id=\"{trace_id}\""), Box::new(|i| i < 4)),
        (" | order_index < 4".into(), Box::new(|i| i < 4)),
        (" | logfmt | order >= 2 | order != 3".into(), Box::new(|i| i >= 2 && i != 3)),
        (
            " |= \"step\" | logfmt | order=\"1\" or detected_level=~\"err.*\"".into(),
            Box::new(|i| i == 1 || i % 4 == 2),
        ),
        (format!(" | run=\"{}\"", run.name), Box::new(|_| true)),
    ];
    for (pipeline, wanted) in table {
        let query = format!("{selector}{pipeline}");
        assert_eq!(client.lines(&query).await.len(), count(run, wanted), "{query}");
    }
}

async fn check_counts(client: &Client, run: &Run) {
    let selector = selector(run);
    let counted = client.log_vector(&format!("sum(count_over_time({selector}[1h]))")).await;
    assert_eq!(counted, [(BTreeMap::new(), run.count as f64)]);
    let query = format!("sum by (detected_level) (count_over_time({selector}[1h]))");
    let by_level: BTreeMap<String, f64> = client
        .log_vector(&query)
        .await
        .into_iter()
        .map(|(mut l, n)| (l.remove("detected_level").unwrap(), n))
        .collect();
    for (at, (level, _)) in LEVELS.iter().enumerate() {
        assert_eq!(
            by_level.get(*level),
            Some(&(count(run, |item| item % 4 == at) as f64)),
            "{query}: {by_level:?}"
        );
    }
    let query = format!("sum by (order) (count_over_time({selector} | logfmt | order < 3 [1h]))");
    assert_eq!(client.log_vector(&query).await.len(), 3, "{query}");
    let query = format!("sum(rate({selector} |= \"taken\" [1h])) * 3600");
    let rate = client.log_vector(&query).await[0].1;
    assert!((rate - run.count as f64).abs() < 1e-6, "{query} is {rate}");
}

pub(crate) async fn check_together(client: &Client, runs: &[Run]) {
    let total: usize = runs.iter().map(|run| run.count).sum();
    assert_eq!(client.lines("{service_name=\"shop\"}").await.len(), total);

    let names = texts(&client.get(Api::Loki, "/loki/api/v1/labels", &[]).await.json()["data"]);
    let wanted = ["deployment_environment", "service_instance_id", "service_name", "service_namespace"];
    assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), wanted);
    let services = client.log_label_values("service_name").await;
    assert_eq!(services.into_iter().collect::<Vec<_>>(), ["shop"]);

    let matched = [("match[]", "{service_namespace=\"demo\"}")];
    let answer = client.get(Api::Loki, "/loki/api/v1/series", &matched).await.json();
    let mut instances: Vec<String> =
        array(&answer["data"]).iter().map(|stream| labels(stream)["service_instance_id"].clone()).collect();
    instances.sort();
    assert_eq!(instances, runs.iter().map(|run| run.name.clone()).collect::<Vec<_>>());
    check_order_and_limit(client, total).await;
}

/// `limit` keeps the newest lines where the direction is backward, the oldest where it is forward.
async fn check_order_and_limit(client: &Client, total: usize) {
    let all = client.lines("{service_name=\"shop\"}").await;
    for (direction, kept) in [("forward", &all[..3]), ("backward", &all[total - 3..])] {
        let parameters = [("query", "{service_name=\"shop\"}"), ("limit", "3"), ("direction", direction)];
        let answer = client.get(Api::Loki, "/loki/api/v1/query_range", &parameters).await.json();
        let mut times: Vec<i64> = array(&answer["data"]["result"])
            .iter()
            .flat_map(|stream| array(&stream["values"]))
            .map(|value| value[0].as_str().unwrap().parse().unwrap())
            .collect();
        times.sort_unstable();
        assert_eq!(times, kept.iter().map(|line| line.timestamp_ns).collect::<Vec<_>>(), "{direction}");
    }
}
