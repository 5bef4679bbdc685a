//! Loki's API: every route, over lines of two tenants.

use axum::body::Body;
use http::Request;
use model::log::{Entry, LogBatchBuilder};
use model::time::NS_PER_S;
use model::{AttributeRef, Batch, Labels};
use serde_json::json;

use super::fixture::{Answer, Fixture, NOW_NS, NOW_S, answer};

fn entry(number: i64, line: &str) -> Entry<'_> {
    Entry { timestamp_ns: NOW_NS - (10 - number) * NS_PER_S, line, ..Entry::default() }
}

async fn fixture() -> Fixture {
    let fixture = Fixture::new().await;
    let mut builder = LogBatchBuilder::default();
    let shop = builder.stream(&Labels::from_pairs([("app", "shop"), ("env", "test")]));
    let bank = builder.stream(&Labels::from_pairs([("app", "bank")]));
    for number in 0..4 {
        builder.metadata("pod", AttributeRef::String(if number < 2 { "p1" } else { "p2" }));
        builder.entry(shop, entry(number, &format!("level=info n={number}")));
        builder.entry(bank, entry(number, &format!("{{\"n\":{number}}}")));
    }
    fixture.write("one", Batch::Logs(builder.finish())).await;
    let mut builder = LogBatchBuilder::default();
    let stream = builder.stream(&Labels::from_pairs([("app", "other")]));
    builder.entry(stream, Entry { timestamp_ns: NOW_NS - NS_PER_S, line: "x", ..Entry::default() });
    fixture.write("two", Batch::Logs(builder.finish())).await;
    fixture
}

fn address(path: &str, query: &str, rest: &str) -> String {
    let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
    format!("/loki/api/v1/{path}?query={query}{rest}")
}

fn at(number: i64) -> String {
    (NOW_NS - (10 - number) * NS_PER_S).to_string()
}

async fn get(fixture: &Fixture, address: &str) -> Answer {
    fixture.get(&fixture.loki, "one", address).await
}

#[tokio::test]
async fn a_query_is_formatted() {
    let fixture = fixture().await;
    let cases = [
        ("{app=\"shop\"}|json", 200, r#"{"status":"success","data":"{app=\"shop\"} | json"}"#),
        (
            "{app=",
            400,
            concat!(
                r#"{"status":"invalid-query","error":"parse error at line 1, col 6: syntax error: "#,
                r#"unexpected $end, expecting STRING"}"#
            ),
        ),
    ];
    for (query, status, expected) in cases {
        let found = get(&fixture, &address("format_query", query, "")).await;
        assert_eq!((found.status.as_u16(), found.text()), (status, expected));
    }
}

#[tokio::test]
async fn lines_come_newest_first_under_all_their_labels() {
    let fixture = fixture().await;
    let found = get(&fixture, &address("query_range", "{app=\"shop\"}", "&limit=3")).await.json();
    assert_eq!(found["status"], "success");
    assert_eq!(found["data"]["resultType"], "streams");
    let expected = json!([
        {
            "stream": { "app": "shop", "env": "test", "pod": "p1" },
            "values": [[at(1), "level=info n=1"]],
        },
        {
            "stream": { "app": "shop", "env": "test", "pod": "p2" },
            "values": [[at(3), "level=info n=3"], [at(2), "level=info n=2"]],
        },
    ]);
    assert_eq!(found["data"]["result"], expected);
    let summary = &found["data"]["stats"]["summary"];
    assert_eq!(summary["totalEntriesReturned"], 3);
    assert!(summary["totalLinesProcessed"].as_u64().unwrap() >= 3, "{summary}");
    let forward = address("query_range", "{app=\"bank\"}", "&limit=2&direction=forward");
    let found = get(&fixture, &forward).await.json();
    assert_eq!(
        found["data"]["result"],
        json!([{ "stream": { "app": "bank" }, "values": [[at(0), "{\"n\":0}"], [at(1), "{\"n\":1}"]] }])
    );
}

#[tokio::test]
async fn lines_tell_their_categories_apart_where_the_header_asks() {
    let fixture = fixture().await;
    let address = address("query_range", "{app=\"shop\"} | logfmt | n=\"3\"", "");
    let request = Request::get(address).header("X-Loki-Response-Encoding-Flags", "categorize-labels");
    let found = fixture.send(&fixture.loki, Some("one"), request.body(Body::empty()).unwrap()).await.json();
    assert_eq!(found["data"]["encodingFlags"], json!(["categorize-labels"]));
    let expected = json!([{
        "stream": { "app": "shop", "env": "test" },
        "values": [[
            at(3),
            "level=info n=3",
            { "structuredMetadata": { "pod": "p2" }, "parsed": { "level": "info", "n": "3" } },
        ]],
    }]);
    assert_eq!(found["data"]["result"], expected);
}

#[tokio::test]
async fn metrics_of_lines_are_vectors_and_matrices() {
    let fixture = fixture().await;
    let query = "sum by (app) (count_over_time({app=~\".+\"}[1m]))";
    let found = get(&fixture, &address("query", query, "")).await.json();
    assert_eq!(found["data"]["resultType"], "vector");
    assert_eq!(
        found["data"]["result"],
        json!([
            { "metric": { "app": "bank" }, "value": [NOW_S, "4"] },
            { "metric": { "app": "shop" }, "value": [NOW_S, "4"] },
        ])
    );
    let rest = format!("&start={}&end={NOW_S}&step=60", NOW_S - 60);
    let found = get(&fixture, &address("query_range", query, &rest)).await.json();
    assert_eq!(found["data"]["resultType"], "matrix");
    assert_eq!(
        found["data"]["result"],
        json!([
            { "metric": { "app": "bank" }, "values": [[NOW_S, "4"]] },
            { "metric": { "app": "shop" }, "values": [[NOW_S, "4"]] },
        ])
    );
}

#[tokio::test]
async fn streams_and_labels_are_listed() {
    let fixture = fixture().await;
    let cases = [
        ("/loki/api/v1/labels".to_owned(), json!({ "status": "success", "data": ["app", "env"] })),
        ("/loki/api/v1/label".to_owned(), json!({ "status": "success", "data": ["app", "env"] })),
        (address("labels", "{app=\"bank\"}", ""), json!({ "status": "success", "data": ["app"] })),
        (
            "/loki/api/v1/label/app/values".to_owned(),
            json!({ "status": "success", "data": ["bank", "shop"] }),
        ),
        ("/loki/api/v1/label/absent/values".to_owned(), json!({ "status": "success" })),
        (
            "/loki/api/v1/series?match[]=%7Bapp%3D%22bank%22%7D".to_owned(),
            json!({ "status": "success", "data": [{ "app": "bank" }] }),
        ),
        (
            "/loki/api/v1/series".to_owned(),
            json!({ "status": "success", "data": [{ "app": "bank" }, { "app": "shop", "env": "test" }] }),
        ),
    ];
    for (address, expected) in cases {
        assert_eq!(get(&fixture, &address).await.json(), expected, "{address}");
    }
    let posted = fixture.post(&fixture.loki, "two", "/loki/api/v1/series", "").await;
    assert_eq!(posted.json(), json!({ "status": "success", "data": [{ "app": "other" }] }));
}

#[tokio::test]
async fn errors_are_plain_text() {
    let fixture = fixture().await;
    let instant = "log queries are not supported as an instant query type, \
                   please change your query to a range query type";
    let cases = [
        (address("query", "{app=\"shop\"}", ""), instant),
        (address("query_range", "{app=", ""), "parse error"),
        (address("query_range", "{app=\"shop\"}", "&direction=up"), "invalid direction 'up'"),
        (
            address("query_range", "{app=\"shop\"}", "&limit=5001"),
            "max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)",
        ),
    ];
    for (address, message) in cases {
        let found = get(&fixture, &address).await;
        assert_eq!((found.status.as_u16(), found.header("content-type")), (400, "text/plain; charset=utf-8"));
        assert!(found.text().starts_with(message), "{address}: {}", found.text());
    }
}

#[tokio::test]
async fn the_build_is_told_without_an_envelope() {
    let fixture = fixture().await;
    let request = Request::get("/loki/api/v1/status/buildinfo").body(Body::empty()).unwrap();
    let found = answer(&fixture.loki, request).await.json();
    assert_eq!((&found["version"], &found["revision"]), (&json!("3.5.0"), &json!("abc")));
}
