//! Prometheus' API: every route, over samples of two tenants.

use axum::body::Body;
use http::Request;
use model::Batch;
use model::histogram::{NativeHistogram, Span};
use model::metric::{MetricBatchBuilder, MetricType, SeriesInfo};
use serde_json::json;

use super::fixture::{Fixture, NOW_S, answer};
use model::Labels;

async fn fixture() -> Fixture {
    let fixture = Fixture::new().await;
    let mut builder = MetricBatchBuilder::default();
    let info = SeriesInfo { metric_type: MetricType::Counter, unit: "", help: "Requests." };
    for (job, factor) in [("a", 1.0), ("b", 2.0)] {
        let labels = Labels::from_pairs([("__name__", "requests_total"), ("job", job), ("http.path", "/x")]);
        let series = builder.series(&labels, info);
        for minute in 0..10 {
            let timestamp_ms = (NOW_S - 540 + 60 * minute) * 1_000;
            builder.sample(series, timestamp_ms, 0, factor * 60.0 * minute as f64);
        }
    }
    let series = builder.series(&Labels::from_pairs([("__name__", "latency")]), SeriesInfo::default());
    builder.exemplar(series, NOW_S * 1_000 - 500, 0.25, [("trace_id", "abc")]);
    builder.exemplar(series, NOW_S * 1_000 - 90_000, 1e-9, [("trace_id", "def")]);
    let histogram = NativeHistogram {
        count: 3.0,
        sum: 4.5,
        positive_spans: vec![Span { offset: 1, length: 1 }],
        positive_counts: vec![3.0],
        ..NativeHistogram::default()
    };
    builder.histogram(series, NOW_S * 1_000, 0, &histogram);
    fixture.write("one", Batch::Metrics(builder.finish())).await;
    let mut builder = MetricBatchBuilder::default();
    let series = builder.series(&Labels::from_pairs([("__name__", "up")]), SeriesInfo::default());
    builder.sample(series, NOW_S * 1_000, 0, 1.0);
    fixture.write("two", Batch::Metrics(builder.finish())).await;
    fixture
}

#[tokio::test]
async fn an_instant_query_is_a_vector() {
    let fixture = fixture().await;
    let cases = [
        (
            "requests_total{job=\"b\"}",
            concat!(
                r#"{"resultType":"vector","result":[{"metric":{"__name__":"requests_total","http.path":"/x","#,
                r#""job":"b"},"value":[1700000000,"1080"]}]}"#
            ),
        ),
        (
            "latency",
            concat!(
                r#"{"resultType":"vector","result":[{"metric":{"__name__":"latency"},"histogram":[1700000000,"#,
                r#"{"count":"3","sum":"4.5","buckets":[[0,"1","2","3"]]}]}]}"#
            ),
        ),
        ("1.5", r#"{"resultType":"scalar","result":[1700000000,"1.5"]}"#),
        ("\"text\"", r#"{"resultType":"string","result":[1700000000,"text"]}"#),
        ("absent_metric", r#"{"resultType":"vector","result":[]}"#),
        ("up", r#"{"resultType":"vector","result":[]}"#),
    ];
    for (query, expected) in cases {
        let address: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let found = fixture.get(&fixture.prometheus, "one", &format!("/api/v1/query?query={address}")).await;
        assert_eq!(found.text(), format!(r#"{{"status":"success","data":{expected}}}"#), "{query}");
        assert_eq!((found.status.as_u16(), found.header("content-type")), (200, "application/json"));
    }
    let other = fixture.get(&fixture.prometheus, "two", "/api/v1/query?query=up").await;
    assert_eq!(other.json()["data"]["result"][0]["value"], json!([NOW_S, "1"]));
}

#[tokio::test]
async fn exemplars_are_those_of_every_selector() {
    let fixture = fixture().await;
    let query = "query=rate(latency[5m])/absent_metric%2Bsum(latency)";
    let found = fixture.get(&fixture.prometheus, "one", &format!("/api/v1/query_exemplars?{query}")).await;
    assert_eq!(
        found.text(),
        concat!(
            r#"{"status":"success","data":[{"seriesLabels":{"__name__":"latency"},"exemplars":["#,
            r#"{"labels":{"trace_id":"def"},"value":"1e-09","timestamp":1699999910},"#,
            r#"{"labels":{"trace_id":"abc"},"value":"0.25","timestamp":1699999999.5}]}]}"#
        )
    );
    let later = format!("query=latency&start={}&end={NOW_S}", NOW_S - 60);
    let found = fixture.post(&fixture.prometheus, "one", "/api/v1/query_exemplars", &later).await;
    assert_eq!(found.json()["data"][0]["exemplars"].as_array().unwrap().len(), 1);
    for (tenant, query, expected) in [
        ("two", "query=latency", r#"{"status":"success","data":[]}"#),
        // A query that selects nothing has an answer of no bytes.
        ("one", "query=1", ""),
        (
            "one",
            "query=latency&start=2&end=1",
            r#"{"status":"error","errorType":"bad_data","error":"end timestamp must not be before start timestamp"}"#,
        ),
    ] {
        let address = format!("/api/v1/query_exemplars?{query}");
        assert_eq!(fixture.get(&fixture.prometheus, tenant, &address).await.text(), expected);
    }
}

#[tokio::test]
async fn parameters_are_refused_where_there_is_nothing_to_tell() {
    let fixture = fixture().await;
    for (path, status, expected) in [
        ("rules?type=record", 200, r#"{"status":"success","data":{"groups":[]}}"#),
        (
            "rules?type=x",
            400,
            concat!(
                r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"type\": "#,
                r#"not supported value \"x\""}"#
            ),
        ),
        ("targets/metadata?limit=3", 200, r#"{"status":"success","data":[]}"#),
        (
            "targets/metadata?limit=x",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"limit must be a number"}"#,
        ),
    ] {
        let found = fixture.get(&fixture.prometheus, "one", &format!("/api/v1/{path}")).await;
        assert_eq!((found.status.as_u16(), found.text()), (status, expected), "{path}");
    }
}

#[tokio::test]
async fn a_query_is_formatted() {
    let fixture = fixture().await;
    let cases = [
        ("sum(rate(x[5m]))by(a)", 200, r#"{"status":"success","data":"sum by (a) (rate(x[5m]))"}"#),
        (
            "sum(",
            400,
            concat!(
                r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": "#,
                r#"1:5: parse error: unclosed left parenthesis"}"#
            ),
        ),
    ];
    for (query, status, expected) in cases {
        let form = format!("query={query}");
        let found = fixture.post(&fixture.prometheus, "one", "/api/v1/format_query", &form).await;
        assert_eq!((found.status.as_u16(), found.text()), (status, expected));
    }
}

#[tokio::test]
async fn a_range_query_is_a_matrix_by_address_and_by_form() {
    let fixture = fixture().await;
    let query = format!("query=sum(rate(requests_total[5m]))&start={}&end={NOW_S}&step=1m", NOW_S - 60);
    let expected = json!({
        "status": "success",
        "data": {
            "resultType": "matrix",
            "result": [{ "metric": {}, "values": [[NOW_S - 60, "3"], [NOW_S, "3"]] }],
        },
    });
    let got = fixture.get(&fixture.prometheus, "one", &format!("/api/v1/query_range?{query}")).await;
    assert_eq!(got.json(), expected);
    let posted = fixture.post(&fixture.prometheus, "one", "/api/v1/query_range", &query).await;
    assert_eq!(posted.json(), expected);
}

#[tokio::test]
async fn a_limit_cuts_and_warns() {
    let fixture = fixture().await;
    let address = "/api/v1/query?query=requests_total&limit=1&stats=all";
    let found = fixture.get(&fixture.prometheus, "one", address).await.json();
    assert_eq!(found["data"]["result"].as_array().unwrap().len(), 1);
    assert_eq!(found["warnings"], json!(["results truncated due to limit"]));
    assert!(found["data"]["stats"]["samples"]["totalQueryableSamples"].as_u64().unwrap() > 0, "{found}");
    let found = fixture.get(&fixture.prometheus, "one", "/api/v1/labels?limit=1").await.text().to_owned();
    assert_eq!(
        found,
        r#"{"status":"success","data":["__name__"],"warnings":["results truncated due to limit"]}"#
    );
}

#[tokio::test]
async fn series_and_labels_are_listed() {
    let fixture = fixture().await;
    let cases = [
        ("/api/v1/labels", json!(["__name__", "http.path", "job"])),
        ("/api/v1/labels?match[]=latency", json!(["__name__"])),
        ("/api/v1/label/job/values", json!(["a", "b"])),
        ("/api/v1/label/U__http_2e_path/values", json!(["/x"])),
        ("/api/v1/label/__name__/values?match[]={job=\"a\"}", json!(["requests_total"])),
        ("/api/v1/label/absent/values", json!([])),
        (
            "/api/v1/series?match[]=requests_total{job=\"a\"}&match[]=latency",
            json!([
                { "__name__": "latency" },
                { "__name__": "requests_total", "http.path": "/x", "job": "a" },
            ]),
        ),
        ("/api/v1/series?match[]=latency&end=1", json!([])),
    ];
    for (address, expected) in cases {
        let address = address.replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
        let found = fixture.get(&fixture.prometheus, "one", &address).await.json();
        assert_eq!(found, json!({ "status": "success", "data": expected }), "{address}");
    }
}

#[tokio::test]
async fn metrics_are_described() {
    let fixture = fixture().await;
    let found = fixture.get(&fixture.prometheus, "one", "/api/v1/metadata?metric=requests_total").await;
    let expected = json!({ "requests_total": [{ "type": "counter", "help": "Requests.", "unit": "" }] });
    assert_eq!(found.json()["data"], expected);
    let found = fixture.get(&fixture.prometheus, "one", "/api/v1/metadata?limit=x").await;
    assert_eq!(
        (found.status.as_u16(), found.text()),
        (400, r#"{"status":"error","errorType":"bad_data","error":"limit must be a number"}"#)
    );
}

#[tokio::test]
async fn the_build_tells_the_level_of_the_api_without_a_tenant() {
    let fixture = fixture().await;
    let request = Request::get("/api/v1/status/buildinfo").body(Body::empty()).unwrap();
    let found = answer(&fixture.prometheus, request).await.json();
    assert_eq!(found["status"], "success");
    assert_eq!((&found["data"]["version"], &found["data"]["revision"]), (&json!("3.5.0"), &json!("abc")));
    assert_eq!(found["data"]["application"], "Stella Telemetry 1.2.3");
    let found = fixture.get(&fixture.prometheus, "one", "/api/v1/status/runtimeinfo").await.json();
    assert_eq!(found["data"]["startTime"], "2023-11-14T22:13:20Z");
    assert_eq!(found["data"]["storageRetention"], "2592000s");
}

#[tokio::test]
async fn errors_have_prometheus_shape() {
    let fixture = fixture().await;
    let cases = [
        ("/api/v1/query?query=sum(", 400, "bad_data", "invalid parameter \"query\": 1:"),
        ("/api/v1/query", 400, "bad_data", "invalid parameter \"query\": "),
        (
            "/api/v1/query_range?query=up&start=1&end=2&step=0",
            400,
            "bad_data",
            "invalid parameter \"step\": ",
        ),
        (
            "/api/v1/query_range?query=up[1m]&start=1&end=2&step=1",
            400,
            "bad_data",
            "invalid parameter \"query\": invalid expression type \"range vector\" for range query",
        ),
        ("/api/v1/series", 400, "bad_data", "no match[] parameter provided"),
        ("/api/v1/labels?match[]=(", 400, "bad_data", "1:"),
        ("/api/v1/nothing", 404, "not_found", "no such route: path=\"/api/v1/nothing\""),
    ];
    for (address, status, error_type, message) in cases {
        let found = fixture.get(&fixture.prometheus, "one", address).await;
        let body = found.json();
        assert_eq!(
            (found.status.as_u16(), &body["errorType"]),
            (status, &json!(error_type)),
            "{address}: {body}"
        );
        assert_eq!(body["status"], "error");
        assert!(body["error"].as_str().unwrap().starts_with(message), "{address}: {body}");
        assert!(body.get("data").is_none());
    }
}

#[tokio::test]
async fn pages_of_allowed_origins_may_read_and_answers_are_compressed() {
    let fixture = fixture().await;
    for (origin, allowed) in [
        ("https://grafana.example", "https://grafana.example"),
        ("https://b.example", "https://b.example"),
        ("https://other.example", ""),
    ] {
        let request = Request::get("/api/v1/labels").header("origin", origin).body(Body::empty()).unwrap();
        let found = fixture.send(&fixture.prometheus, Some("one"), request).await;
        let is = |text: &'static str| if allowed.is_empty() { "" } else { text };
        let said = [
            ("access-control-allow-origin", allowed),
            ("access-control-allow-methods", is("GET, POST, OPTIONS")),
            ("access-control-expose-headers", is("Date")),
        ];
        said.into_iter().for_each(|(name, value)| assert_eq!(found.header(name), value));
        let may_send = found.header("access-control-allow-headers");
        assert!(may_send.starts_with(is("Accept, Authorization, Content-Type, Origin, ")), "{may_send}");
        assert_eq!(found.header("vary"), "accept-encoding");
        let varies = found.headers.get_all("vary").iter();
        assert!(varies.into_iter().any(|one| one == "Origin"));
        let request = Request::options("/api/v1/query")
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        let found = answer(&fixture.prometheus, request.body(Body::empty()).unwrap()).await;
        assert_eq!((found.status.as_u16(), found.header("access-control-allow-origin")), (204, allowed));
    }
    for encoding in ["gzip", "zstd"] {
        let request = Request::get("/api/v1/labels").header("accept-encoding", encoding);
        let found =
            fixture.send(&fixture.prometheus, Some("one"), request.body(Body::empty()).unwrap()).await;
        assert_eq!(found.header("content-encoding"), encoding);
    }
}
