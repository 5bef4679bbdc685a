//! Requests that are wrong: each protocol answers as its original does, so that clients show or retry rightly.

use serde_json::{Value, json};

use crate::client::{Api, Client};
use crate::server::Stella;
use crate::telemetry::{now_ms, now_ns, post_json, remote_write, series, span, text_attribute, traces};

type Parameters = &'static [(&'static str, &'static str)];

async fn prometheus_refuses(client: &Client) {
    let table: [(&str, Parameters, u16, &str, &str); 12] = [
        ("/api/v1/query", &[("query", "sum(")], 400, "bad_data", "parse error"),
        ("/api/v1/query", &[], 400, "bad_data", ""),
        ("/api/v1/query", &[("query", "up[5m] + 1")], 400, "bad_data", "parse error"),
        ("/api/v1/query", &[("query", "no_such_function(up)")], 400, "bad_data", "unknown function"),
        ("/api/v1/query", &[("query", "up"), ("time", "soon")], 400, "bad_data", "time"),
        ("/api/v1/query", &[("query", "twins + on () twins")], 422, "execution", "many-to-many"),
        ("/api/v1/query_range", &[("query", "up"), ("start", "1"), ("end", "2")], 400, "bad_data", "step"),
        (
            "/api/v1/query_range",
            &[("query", "up"), ("start", "2"), ("end", "1"), ("step", "1")],
            400,
            "bad_data",
            "end",
        ),
        (
            "/api/v1/query_range",
            &[("query", "up"), ("start", "1"), ("end", "99999"), ("step", "1")],
            400,
            "bad_data",
            "11,000",
        ),
        ("/api/v1/series", &[], 400, "bad_data", "match[]"),
        ("/api/v1/series", &[("match[]", "{job=")], 400, "bad_data", "parse error"),
        ("/api/v1/nothing", &[], 404, "not_found", ""),
    ];
    for (path, parameters, status, kind, word) in table {
        let answer = client.get(Api::Prometheus, path, parameters).await;
        let told = format!("{path} {parameters:?}: {} {}", answer.status, answer.text());
        assert_eq!(answer.status, status, "{told}");
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{told}"));
        assert_eq!(
            (body["status"].as_str(), body["errorType"].as_str()),
            (Some("error"), Some(kind)),
            "{told}"
        );
        assert!(body["error"].as_str().unwrap().contains(word), "{told}");
        assert!(answer.content_type().starts_with("application/json"), "{told}");
        if path.contains("query") || path.contains("series") {
            let posted = client.post_form(Api::Prometheus, path, parameters).await;
            assert_eq!((posted.status, posted.text()), (status, answer.text()), "a form is answered alike");
        }
    }
}

async fn loki_and_tempo_refuse(client: &Client) {
    let table: [(Api, &str, Parameters, u16, &str); 11] = [
        (Api::Loki, "/loki/api/v1/query_range", &[("query", "{app=")], 400, "parse error"),
        (Api::Loki, "/loki/api/v1/query_range", &[("query", "{app=\"a\"} | nothing")], 400, "parse error"),
        (Api::Loki, "/loki/api/v1/query_range", &[("query", "{}")], 400, "at least one"),
        (Api::Loki, "/loki/api/v1/query_range", &[], 400, ""),
        (Api::Loki, "/loki/api/v1/query", &[("query", "{app=\"a\"}"), ("limit", "many")], 400, ""),
        (Api::Loki, "/loki/api/v1/labels", &[("start", "soon")], 400, ""),
        (Api::Tempo, "/api/search", &[("q", "{ name = ")], 400, ""),
        (Api::Tempo, "/api/search", &[("q", "{}"), ("limit", "many")], 400, "limit"),
        (Api::Tempo, "/api/search", &[("q", "{}"), ("start", "20"), ("end", "10")], 400, ""),
        (Api::Tempo, "/api/traces/not-hex", &[], 400, ""),
        (Api::Tempo, "/api/traces/0123456789abcdef0123456789abcdef", &[], 404, ""),
    ];
    for (api, path, parameters, status, word) in table {
        let answer = client.get(api, path, parameters).await;
        let told = format!("{path} {parameters:?}: {} {}", answer.status, answer.text());
        assert_eq!(answer.status, status, "{told}");
        assert!(answer.text().contains(word), "{told}");
        assert!(answer.content_type().starts_with("text/plain") || status == 404, "{told}");
    }
}

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

async fn writes_are_refused(client: &Client) {
    // The path, the type and encoding of the body, the body, and the status.
    let table: [(Api, &str, &str, &str, &str, u16); 13] = [
        (Api::Prometheus, "/api/v1/write", PROTOBUF, "snappy", "not snappy", 400),
        (Api::Prometheus, "/api/v1/write", PROTOBUF, "brotli", "x", 415),
        (Api::Prometheus, "/api/v1/write", "application/x-protobuf;proto=no.such", "snappy", "x", 415),
        (Api::Prometheus, "/api/v1/otlp/v1/metrics", PROTOBUF, "identity", "\u{7f}no", 400),
        (Api::Loki, "/loki/api/v1/push", JSON, "identity", "{\"streams\": [", 400),
        (Api::Loki, "/loki/api/v1/push", PROTOBUF, "identity", "not snappy", 400),
        (Api::Loki, "/otlp/v1/logs", PROTOBUF, "identity", "\u{7f}no", 400),
        (Api::Tempo, "/v1/traces", JSON, "identity", "[]", 400),
        (Api::OtlpHttp, "/v1/logs", JSON, "identity", "{", 400),
        (Api::OtlpHttp, "/v1/metrics", PROTOBUF, "gzip", "not gzip", 400),
        (Api::OtlpHttp, "/v1/traces", PROTOBUF, "identity", "\u{7f}no", 400),
        (Api::OtlpHttp, "/v1/traces", "text/plain", "identity", "x", 415),
        (Api::OtlpHttp, "/v1/nothing", PROTOBUF, "identity", "", 404),
    ];
    for (api, path, content_type, encoding, body, status) in table {
        let headers = [("Content-Type", content_type), ("Content-Encoding", encoding)];
        let answer = client.post(api, path, &headers, body.as_bytes().to_vec()).await.unwrap();
        let told = format!("{path} {headers:?} {body:?}: {} {}", answer.status, answer.text());
        assert_eq!(answer.status, status, "{told}");
        let is_otlp = api == Api::OtlpHttp && status == 400;
        assert!(
            !is_otlp || answer.content_type() == content_type,
            "an error comes as the request did: {told}"
        );
        if is_otlp && content_type == JSON {
            let status: Value = serde_json::from_slice(&answer.body).unwrap();
            assert!(!status["message"].as_str().unwrap().is_empty(), "{told}");
        }
    }
}

/// What is wrong in a request is named; what is right in it stays.
async fn writes_succeed_in_part(client: &Client) {
    let (good, bad) = ("5bd66ef5095369c7b0d1f8f4bd33716a", "00000000000000000000000000000000");
    let spans = [good, bad].map(|trace_id| span(trace_id, "c532cb4098ac3dd2", "pay", now_ns(), &[]));
    let body = traces(&[(vec![text_attribute("service.name", "shop")], spans.to_vec())]);
    let reply = post_json(client, Api::OtlpHttp, "/v1/traces", &body).await.unwrap().json();
    assert_eq!(reply["partialSuccess"]["rejectedSpans"], "1", "{reply}");
    assert!(reply["partialSuccess"]["errorMessage"].as_str().unwrap().contains("trace id"), "{reply}");
    assert!(client.trace(good).await.is_some());

    let ancient = [now_ns() - 400 * 86_400_000_000_000, now_ns()].map(|ns| json!([ns.to_string(), "hello"]));
    let body = json!({"streams": [{"stream": {"app": "partly"}, "values": ancient}]});
    let answer = post_json(client, Api::Loki, "/loki/api/v1/push", &body).await.unwrap();
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(client.lines("{app=\"partly\"}").await.len(), 1, "the line that is not too old");

    let twice = [("__name__", "wrong"), ("a", "1"), ("a", "2")];
    let sent = vec![series(&twice, &[(now_ms(), 1.0)]), series(&[("__name__", "right")], &[(now_ms(), 7.0)])];
    let answer = remote_write(client, sent).await.unwrap();
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(client.value("right").await, 7.0);
    assert!(client.vector("wrong").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_are_answered_in_each_protocols_words() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    let client = stella.tenant("acme");
    let twin = |a| series(&[("__name__", "twins"), ("a", a)], &[(now_ms(), 1.0)]);
    assert_eq!(remote_write(&client, vec![twin("1"), twin("2")]).await.unwrap().status, 204);
    prometheus_refuses(&client).await;
    loki_and_tempo_refuse(&client).await;
    writes_are_refused(&client).await;
    writes_succeed_in_part(&client).await;
    stella.stop().await;
}
