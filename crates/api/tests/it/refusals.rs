//! Requests that the gateway refuses, in each protocol's shape; and bodies over their bound.

use axum::body::Body;
use http::Request;

use super::fixture::{Fixture, answer};

#[tokio::test]
async fn nobody_is_refused_in_each_protocols_shape() {
    let fixture = Fixture::new().await;
    let json = r#"{"status":"error","errorType":"unauthorized","error":"TENANT_REQUIRED: no org id"}"#;
    let cases = [
        (&fixture.prometheus, "/api/v1/query?query=up", json),
        (&fixture.prometheus, "/api/v1/labels", json),
        (&fixture.loki, "/loki/api/v1/query_range?query=x", "TENANT_REQUIRED: no org id"),
        (&fixture.loki, "/loki/api/v1/labels", "TENANT_REQUIRED: no org id"),
        (&fixture.tempo, "/api/search", "TENANT_REQUIRED: no org id"),
        (&fixture.tempo, "/api/traces/1", "TENANT_REQUIRED: no org id"),
    ];
    for (door, address, expected) in cases {
        let request = || Request::get(address).body(Body::empty()).unwrap();
        let refused = fixture.send(door, None, request()).await;
        assert_eq!((refused.status.as_u16(), refused.text()), (401, expected), "{address}");
        let without_gateway = answer(door, request()).await;
        assert_eq!((without_gateway.status.as_u16(), without_gateway.text()), (401, expected), "{address}");
    }
}

#[tokio::test]
async fn forms_over_the_bound_are_refused() {
    let fixture = Fixture::new().await;
    let form = format!("query={}", "x".repeat(5 << 20));
    let refused = fixture.post(&fixture.prometheus, "one", "/api/v1/query", &form).await;
    assert_eq!(refused.status.as_u16(), 413);
    assert_eq!(refused.json()["errorType"], "bad_data");
    let refused = fixture.post(&fixture.loki, "one", "/loki/api/v1/query_range", &form).await;
    assert_eq!(
        (refused.status.as_u16(), refused.text()),
        (413, "request body is larger than allowed or incomplete: max_bytes=4194304")
    );
}
