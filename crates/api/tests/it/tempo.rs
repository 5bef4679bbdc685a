//! Tempo's API: every route, over spans of two tenants.

use axum::body::Body;
use http::Request;
use model::time::NS_PER_S;
use model::trace::{SpanFields, TraceBatchBuilder};
use model::{AttributeRef, Batch};
use prost::Message;
use serde_json::json;
use wire::tempo::{Trace, TraceByIdResponse};

use super::fixture::{Answer, Fixture, NOW_NS, NOW_S, answer};

const TRACE: &str = "000000000000000000000000000000ab";

async fn fixture() -> Fixture {
    let fixture = Fixture::new().await;
    let mut trace_id = [0; 16];
    trace_id[15] = 0xab;
    let mut builder = TraceBatchBuilder::default();
    for (number, service, name) in [(1, "shop", "GET /"), (2, "bank", "pay")] {
        builder.resource_attribute("service.name", AttributeRef::String(service));
        builder.attribute("http.status_code", AttributeRef::Int(200 + i64::from(number)));
        builder.span(SpanFields {
            trace_id,
            span_id: [0, 0, 0, 0, 0, 0, 0, number],
            parent_span_id: (number > 1).then_some([0, 0, 0, 0, 0, 0, 0, 1]),
            name,
            kind: 2,
            start_ns: NOW_NS - 10 * NS_PER_S + i64::from(number),
            duration_ns: 5_000_000,
            ..SpanFields::default()
        });
    }
    fixture.write("one", Batch::Traces(builder.finish())).await;
    let mut builder = TraceBatchBuilder::default();
    builder.resource_attribute("service.name", AttributeRef::String("other"));
    builder.span(SpanFields {
        trace_id: [9; 16],
        span_id: [9; 8],
        name: "x",
        start_ns: NOW_NS - NS_PER_S,
        duration_ns: 1,
        ..SpanFields::default()
    });
    fixture.write("two", Batch::Traces(builder.finish())).await;
    fixture
}

async fn get(fixture: &Fixture, address: &str) -> Answer {
    fixture.get(&fixture.tempo, "one", address).await
}

fn search(query: &str, rest: &str) -> String {
    let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
    format!("/api/search?q={query}{rest}")
}

#[tokio::test]
async fn a_trace_is_found_by_its_id_in_either_version_and_encoding() {
    let fixture = fixture().await;
    for id in [TRACE, "ab", "AB"] {
        let found = get(&fixture, &format!("/api/traces/{id}")).await;
        assert_eq!((found.status.as_u16(), found.header("content-type")), (200, "application/json"));
        let body = found.json();
        assert_eq!(body["batches"].as_array().unwrap().len(), 2, "{body}");
        let span = &body["batches"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!((&span["name"], &span["kind"]), (&json!("GET /"), &json!("SPAN_KIND_SERVER")), "{span}");
    }
    let found = get(&fixture, &format!("/api/v2/traces/{TRACE}")).await.json();
    assert_eq!(found["trace"]["resourceSpans"].as_array().unwrap().len(), 2, "{found}");
    let protobuf = async |version: &str| {
        let request =
            Request::get(format!("/api/{version}traces/{TRACE}")).header("accept", "application/protobuf");
        let found = fixture.send(&fixture.tempo, Some("one"), request.body(Body::empty()).unwrap()).await;
        assert_eq!(found.header("content-type"), "application/protobuf");
        found.body
    };
    let first = Trace::decode(protobuf("").await.as_slice()).unwrap();
    assert_eq!(first.resource_spans.len(), 2);
    let second = TraceByIdResponse::decode(protobuf("v2/").await.as_slice()).unwrap();
    assert_eq!(second.trace, Some(first));
}

#[tokio::test]
async fn a_trace_that_is_not_there_is_told_so() {
    let fixture = fixture().await;
    let cases = [
        ("/api/traces/1234", 404, "trace not found"),
        ("/api/v2/traces/1234", 404, "trace not found"),
        ("/api/traces/09090909090909090909090909090909", 404, "trace not found"),
        (
            "/api/traces/xyz",
            400,
            "trace IDs can only contain hex characters: invalid character 'x' at position 1",
        ),
    ];
    for (address, status, message) in cases {
        let found = get(&fixture, address).await;
        assert_eq!((found.status.as_u16(), found.text()), (status, message), "{address}");
    }
}

#[tokio::test]
async fn traces_are_searched_by_query_and_by_tags() {
    let fixture = fixture().await;
    let range = format!("start={}&end={NOW_S}", NOW_S - 60);
    let addresses = [
        search("{ span.http.status_code = 202 }", ""),
        search("{ span.http.status_code = 202 }", &format!("&{range}")),
        format!("/api/search?tags=http.status_code%3D202&{range}"),
        "/api/search?tags=service.name%3Dbank&minDuration=1ms".to_owned(),
    ];
    for address in addresses {
        let found = get(&fixture, &address).await.json();
        let trace = &found["traces"][0];
        assert_eq!(found["traces"].as_array().map(Vec::len), Some(1), "{address}: {found}");
        assert_eq!(trace["traceID"], TRACE);
        assert_eq!(
            (&trace["rootServiceName"], &trace["rootTraceName"], &trace["durationMs"]),
            (&json!("shop"), &json!("GET /"), &json!(5))
        );
        assert_eq!(trace["spanSets"][0]["matched"], 1);
        assert_eq!(trace["spanSet"]["spans"][0]["spanID"], "0000000000000002");
        assert_eq!(trace["serviceStats"], json!({ "bank": { "spanCount": 1 }, "shop": { "spanCount": 1 } }));
    }
    for address in [search("{ name = \"absent\" }", ""), search("{}", "&start=1&end=2")] {
        assert_eq!(get(&fixture, &address).await.json()["traces"], json!([]), "{address}");
    }
    let found = get(&fixture, &search("{ name = ", "")).await;
    assert_eq!(found.status.as_u16(), 400);
    assert!(found.text().starts_with("invalid TraceQL query: "), "{}", found.text());
}

#[tokio::test]
async fn tags_and_their_values_are_listed() {
    let fixture = fixture().await;
    let cases = [
        ("/api/search/tags?scope=span", "tagNames", json!(["http.status_code"])),
        (
            "/api/v2/search/tags?scope=resource",
            "scopes",
            json!([{ "name": "resource", "tags": ["service.name"] }]),
        ),
        ("/api/search/tag/service.name/values", "tagValues", json!(["bank", "shop"])),
        (
            "/api/v2/search/tag/resource.service.name/values",
            "tagValues",
            json!([{ "type": "string", "value": "bank" }, { "type": "string", "value": "shop" }]),
        ),
        (
            "/api/v2/search/tag/.http.status_code/values?q=%7B%20resource.service.name%20%3D%20%22bank%22%20%7D",
            "tagValues",
            json!([{ "type": "int", "value": "202" }]),
        ),
        ("/api/v2/search/tag/kind/values", "tagValues", json!([{ "type": "keyword", "value": "server" }])),
    ];
    for (address, name, expected) in cases {
        let found = get(&fixture, address).await.json();
        assert_eq!(found[name], expected, "{address}: {found}");
        assert!(found["metrics"]["inspectedBytes"].is_string(), "{address}: {found}");
    }
    let found = get(&fixture, "/api/v2/search/tag/nothing/values").await;
    assert_eq!(
        (found.status.as_u16(), found.text()),
        (400, "tag name is not valid intrinsic or scoped attribute: nothing")
    );
}

#[tokio::test]
async fn grafana_finds_the_door() {
    let fixture = fixture().await;
    let request = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    assert_eq!(answer(&fixture.tempo, request("/api/echo")).await.text(), "echo");
    let found = answer(&fixture.tempo, request("/api/status/buildinfo")).await.json();
    assert_eq!(found["version"], "2.8.0");
}
