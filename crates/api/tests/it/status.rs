//! What Prometheus' API says of the server itself, the search for names, and routes about what there is none of.

use model::Batch;
use model::Labels;
use model::metric::{MetricBatchBuilder, MetricType, SeriesInfo};
use serde_json::{Value, json};

use super::fixture::{Fixture, NOW_S};

async fn fixture() -> Fixture {
    let fixture = Fixture::new().await;
    let mut builder = MetricBatchBuilder::default();
    for (name, pod) in
        [("http_requests_total", "cart"), ("http_errors_total", "cart"), ("memory_bytes", "shop")]
    {
        let info = SeriesInfo { metric_type: MetricType::Counter, unit: "", help: "What it is." };
        let series = builder.series(&Labels::from_pairs([("__name__", name), ("pod", pod)]), info);
        builder.sample(series, NOW_S * 1_000, 0, 1.0);
    }
    fixture.write("one", Batch::Metrics(builder.finish())).await;
    fixture
}

async fn data(fixture: &Fixture, path: &str) -> Value {
    let answer = fixture.get(&fixture.prometheus, "one", path).await;
    assert_eq!(answer.status.as_u16(), 200, "{path}: {}", answer.text());
    answer.json()["data"].clone()
}

#[tokio::test]
async fn the_server_tells_how_it_runs() {
    let fixture = fixture().await;
    assert_eq!(data(&fixture, "/api/v1/status/config").await, json!({"yaml": "data_dir: x\n"}));
    assert_eq!(data(&fixture, "/api/v1/status/flags").await, json!({"query.lookback-delta": "5m"}));
    let runtime = data(&fixture, "/api/v1/status/runtimeinfo").await;
    assert_eq!((&runtime["reloadConfigSuccess"], &runtime["corruptionCount"]), (&json!(true), &json!(0)));
    assert!(runtime["startTime"].is_string() && runtime["storageRetention"].is_string(), "{runtime}");
    let features = data(&fixture, "/api/v1/features").await;
    assert_eq!(features["promql_functions"]["rate"], true);
    assert_eq!(features["promql_functions"]["info"], false);
}

#[tokio::test]
async fn there_are_no_targets_rules_or_alerts() {
    let fixture = fixture().await;
    assert_eq!(data(&fixture, "/api/v1/targets?state=active").await["activeTargets"], json!([]));
    assert_eq!(data(&fixture, "/api/v1/rules?type=alert").await, json!({"groups": []}));
    assert_eq!(data(&fixture, "/api/v1/alerts").await, json!({"alerts": []}));
    assert_eq!(data(&fixture, "/api/v1/alertmanagers").await["activeAlertmanagers"], json!([]));
    assert_eq!(data(&fixture, "/api/v1/targets").await["droppedTargetCounts"], json!({}));
    assert_eq!(data(&fixture, "/api/v1/targets?state=active").await["droppedTargetCounts"], json!(null));
    let other = http::Request::put("/api/v1/targets").body(axum::body::Body::empty()).unwrap();
    let other = fixture.send(&fixture.prometheus, Some("one"), other).await;
    assert_eq!((other.status.as_u16(), other.text()), (405, "Method Not Allowed\n"));
    assert_eq!(other.header("allow"), "GET,HEAD");
    let live = fixture.get(&fixture.prometheus, "one", "/api/v1/notifications/live").await;
    assert_eq!((live.status.as_u16(), live.text()), (204, ""));
    let unknown = "error retrieving scrape config: scrape pool \"x\" not found";
    for (path, wanted) in [
        ("targets/metadata?limit=x", "limit must be a number"),
        ("targets/metadata?match_target=%7B", "invalid parameter \"match_target\": 1:2: parse error: "),
        ("query_exemplars?query=sum(", "1:5: parse error: unclosed left parenthesis"),
        ("scrape_pools/config", "no scrapePool parameter provided"),
        ("scrape_pools/config?scrapePool=x", unknown),
        ("targets/relabel_steps", "no scrapePool parameter provided"),
        ("targets/relabel_steps?scrapePool=x", "no labels parameter provided"),
        ("targets/relabel_steps?scrapePool=x&labels=%5B%5D", "error parsing labels: "),
        ("targets/relabel_steps?scrapePool=x&labels=%7B%22a%22:%22b%22%7D", unknown),
    ] {
        let found = fixture.get(&fixture.prometheus, "one", &format!("/api/v1/{path}")).await;
        let error = found.json()["error"].as_str().unwrap().to_owned();
        assert_eq!((found.status.as_u16(), error.starts_with(wanted)), (400, true), "{path}: {error}");
    }
}

#[tokio::test]
async fn experimental_words_are_refused_where_they_are_not_enabled() {
    let fixture = fixture().await;
    for (query, wanted) in [
        ("info(up)", "1:1: parse error: function \"info\" is not enabled"),
        (
            "limitk(1, up)",
            "1:1: parse error: limitk() is experimental and must be enabled with \
             --enable-feature=promql-experimental-functions",
        ),
        ("rate(up[5m] anchored)", "1:6: parse error: anchored modifier is experimental and not enabled"),
        ("a + fill(0) b", "1:1: parse error: binop fill modifiers are experimental and not enabled"),
    ] {
        let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        for path in ["query", "format_query", "parse_query"] {
            let found =
                fixture.get(&fixture.prometheus, "one", &format!("/api/v1/{path}?query={query}")).await;
            assert_eq!(found.status.as_u16(), 400);
            let wanted = format!("invalid parameter \"query\": {wanted}");
            assert_eq!(found.json()["error"], wanted, "{path}");
        }
    }
}

#[tokio::test]
async fn names_are_found_by_what_they_are_like() {
    let fixture = fixture().await;
    let lines = async |path: &str| -> Vec<Value> {
        let answer = fixture.get(&fixture.prometheus, "one", path).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
        answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let found = lines("/api/v1/search/metric_names?search[]=http&include_metadata=true").await;
    let names: Vec<&str> =
        found[0]["results"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["http_errors_total", "http_requests_total"]);
    assert_eq!(found[0]["results"][0]["type"], "counter");
    assert_eq!(found[1], json!({"status": "success", "has_more": false}));
    let found = lines("/api/v1/search/label_names?search[]=pod").await;
    assert_eq!(found[0], json!({"results": [{"name": "pod"}]}));
    let found = lines("/api/v1/search/label_values?label=pod&match[]=%7B__name__=~%22http.*%22%7D").await;
    assert_eq!(found[0], json!({"results": [{"value": "cart"}]}));
    let before = lines("/api/v1/search/metric_names?end=1600000000&start=1500000000").await;
    assert_eq!(before[0], json!({"results": []}), "names of another time");
    let refused = fixture.get(&fixture.prometheus, "one", "/api/v1/search/label_values").await;
    assert_eq!(refused.status.as_u16(), 400);
    assert_eq!(refused.json()["error"], "missing required parameter \"label\"");
}
