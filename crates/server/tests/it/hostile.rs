//! Bytes that are meant to mislead: requests that two readers would cut apart differently, heads that are too large, and
//! names of tenants that are smuggled in beside those that are looked at. They are refused, or the connection ends, and the
//! server goes on.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::Api;
use crate::server::Stella;
use crate::telemetry::{loki_push, now_ns};

/// Sends bytes to a port and gives what comes back until the connection ends.
async fn raw(stella: &Stella, listener: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(stella.address(listener).unwrap()).await.unwrap();
    // A server that has seen enough may close before it has read all.
    let _cut = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn statuses(answer: &str) -> Vec<&str> {
    answer.split("HTTP/1.1 ").skip(1).map(|rest| rest.get(..3).unwrap_or_default()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_could_be_two_is_never_two() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    let smuggled = "GET /loki/api/v1/labels HTTP/1.1\r\nHost: localhost\r\nX-Scope-OrgID: globex\r\nConnection: close\r\n\r\n";
    let heads = [
        // Two lengths, chunks spelt otherwise, and twice.
        format!("Content-Length: 5\r\nContent-Length: {}\r\n", smuggled.len() + 5),
        "Transfer-Encoding: xchunked\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
        "Transfer-Encoding : chunked\r\n".to_owned(),
        "Transfer-Encoding:\x0bchunked\r\n".to_owned(),
        "Content-Length: +5\r\n".to_owned(),
        "Content-Length: 0x5\r\n".to_owned(),
        "Content-Length: -1\r\n".to_owned(),
        "Content-Length: 99999999999999999999\r\n".to_owned(),
        // A header that goes on in the next line, and a line end that is none.
        "X-A: b\r\n Content-Length: 5\r\n".to_owned(),
        "X-A: b\rContent-Length: 5\r\n".to_owned(),
        "X-A: b\0c\r\n".to_owned(),
    ];
    for (listener, path) in
        [("loki", "/loki/api/v1/push"), ("prometheus", "/api/v1/write"), ("tempo", "/v1/traces")]
    {
        for head in &heads {
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Scope-OrgID: acme\r\nContent-Type: application/json\r\n{head}\r\n\
                 0\r\n\r\n{smuggled}"
            );
            let answer = raw(&stella, listener, request.as_bytes()).await;
            assert_eq!(statuses(&answer), ["400"], "{listener} {head:?}: {answer}");
        }
    }
    // Where chunks and a length meet the chunks count (RFC 9112, section 6.3), whichever comes first: the body is empty, and
    // what follows it is a request by itself.
    let length = format!("Content-Length: {}\r\n", smuggled.len() + 5);
    let chunked = "Transfer-Encoding: chunked\r\n".to_owned();
    for head in [format!("{length}{chunked}"), format!("{chunked}{length}")] {
        let request = format!(
            "POST /loki/api/v1/push HTTP/1.1\r\nHost: localhost\r\nX-Scope-OrgID: acme\r\nContent-Type: application/json\r\n\
             {head}\r\n0\r\n\r\n{smuggled}"
        );
        let answer = raw(&stella, "loki", request.as_bytes()).await;
        let told = statuses(&answer);
        assert!(told == ["400"] || told == ["400", "200"], "{head:?}: {answer}");
    }
    let good = stella.tenant("acme").get(Api::Loki, "/loki/api/v1/labels", &[]).await;
    assert_eq!(good.status, 200, "the server goes on");
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_too_large_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    let many: String = (0..500).map(|n| format!("X-A{n}: b\r\n")).collect();
    let long = format!("X-A: {}\r\n", "b".repeat(2 << 20));
    let endless = format!("X-A: {}", "b".repeat(2 << 20));
    let path = format!("GET /ready?{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(2 << 20));
    let head = |more: &str| format!("GET /ready HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
    for listener in ["prometheus", "loki", "tempo", "otlp_http", "scrape", "health", "debug", "authority"] {
        for request in [head(&many), head(&long), head(&endless), path.clone()] {
            let answer = raw(&stella, listener, request.as_bytes()).await;
            let told = statuses(&answer);
            // A client that is still sending may find the connection reset before it reads the answer.
            assert!(
                told.is_empty() || told == ["431"] || told == ["414"] || told == ["400"],
                "{listener}: {}",
                answer.chars().take(200).collect::<String>()
            );
        }
    }
    for (api, path) in [(Api::Prometheus, "/-/ready"), (Api::Loki, "/ready"), (Api::Tempo, "/ready")] {
        assert_eq!(stella.anonymous().get(api, path, &[]).await.status, 200, "the server goes on");
    }
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_named_once_and_in_one_spelling() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    let line = [(now_ns(), "a secret".to_owned())];
    let pushed =
        loki_push(&stella.tenant("globex"), &serde_json::json!({"hushed": "x"}), &line).await.unwrap();
    assert_eq!(pushed.status, 204);
    for (headers, status) in [
        ("X-Scope-OrgID: acme\r\nX-Scope-OrgID: globex\r\n", "403"),
        ("X-Scope-OrgID: acme\r\nx-scope-orgid: globex\r\n", "403"),
        ("X-Scope-OrgID: acme\r\nX-StellaOps-Tenant: globex\r\n", "403"),
        ("X-Scope-OrgID: acme,globex\r\n", "400"),
        ("X-Scope-OrgID: acme, globex\r\n", "400"),
        ("X-Scope-OrgID: acme\tglobex\r\n", "400"),
        // Other names are other headers, which nobody looks at.
        ("X-Scope-OrgID: acme\r\nX_Scope_OrgID: globex\r\n", "200"),
        ("X-Scope-OrgID: acme\r\nX-Scope-OrgID-bin: Z2xvYmV4\r\n", "200"),
        ("X-Scope-OrgID: acme\r\nX-Stella-Tenant: globex\r\nX-StellaOps-Project: globex\r\n", "200"),
        // What a caller may do is no header's to say.
        ("X-Scope-OrgID: acme\r\nX-StellaOps-Scopes: obs:admin\r\n", "403"),
        // What shows another identity is not nobody.
        ("X-Scope-OrgID: acme\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n", "401"),
        ("X-Scope-OrgID: acme\r\nAuthorization: Basic YTpi\r\n", "401"),
    ] {
        let request = format!(
            "GET /loki/api/v1/labels HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
        );
        let answer = raw(&stella, "loki", request.as_bytes()).await;
        assert_eq!(statuses(&answer), [status], "{headers:?}: {answer}");
        assert!(!answer.contains("hushed"), "{headers:?}: {answer}");
    }
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_certificates_a_name_that_leads_here_is_not_enough() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry", "--hosts", "metrics.example"]).await;
    let asked = async |listener: &str, host: &str, method: &str, path: &str| {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nX-Scope-OrgID: acme\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        raw(&stella, listener, request.as_bytes()).await
    };
    let ways = [
        ("prometheus", "GET", "/api/v1/labels", "\"errorType\":\"forbidden\""),
        ("prometheus", "POST", "/api/v1/admin/tsdb/delete_series?match[]=up", "\"errorType\":\"forbidden\""),
        ("prometheus", "POST", "/api/v1/write", "ERR_HOST_MISMATCH"),
        ("prometheus", "GET", "/metrics", "ERR_HOST_MISMATCH"),
        ("loki", "GET", "/loki/api/v1/labels", "\r\n\r\nERR_HOST_MISMATCH: "),
        ("loki", "GET", "/api/status", "ERR_HOST_MISMATCH"),
        ("tempo", "GET", "/api/search/tags", "\r\n\r\nERR_HOST_MISMATCH: "),
        ("tempo", "POST", "/telemetry/retention/run", "ERR_HOST_MISMATCH"),
        ("otlp_http", "POST", "/v1/logs", "ERR_HOST_MISMATCH"),
        ("debug", "GET", "/debug/memory", "ERR_HOST_MISMATCH"),
    ];
    for (listener, method, path, shape) in ways {
        let refused = asked(listener, "evil.example:9090", method, path).await;
        assert_eq!(statuses(&refused), ["403"], "{listener} {path}: {refused}");
        assert!(refused.contains(shape) && refused.contains("listen.hosts"), "{path}: {refused}");
        for host in ["localhost:1", "127.0.0.1", "host.docker.internal", "Metrics.Example:80"] {
            let taken = asked(listener, host, method, path).await;
            assert!(!taken.contains("ERR_HOST_MISMATCH"), "{listener} {path} {host}: {taken}");
        }
    }
    stella.stop().await;
}
