//! A server that was only started: it has its own telemetry to show, through the three APIs, and says where.

use crate::client::{Answer, Api, array};
use crate::server::{Stella, eventually, http_client};

/// Header and URL of the commands that the server proposes.
fn proposals(stdout: &str) -> Vec<(String, String)> {
    let commands = stdout.lines().filter(|line| line.trim_start().starts_with("curl "));
    commands
        .map(|command| {
            let quoted: Vec<&str> = command.split('\'').collect();
            let [_, header, _, url, _] = quoted.as_slice() else { panic!("not to be pasted: {command}") };
            ((*header).to_owned(), (*url).to_owned())
        })
        .collect()
}

async fn get(header: &str, url: &str) -> Answer {
    let (name, value) = header.split_once(": ").unwrap();
    let response = http_client().get(url).header(name, value).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, body: response.bytes().await.unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_ready_line_proposes_answers() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up(folder.path()).await;
    assert_eq!(
        stella.listeners(),
        ["authority", "debug", "health", "loki", "otlp_grpc", "otlp_http", "prometheus", "scrape", "tempo"]
    );
    let offset = stella.port_offset();
    let wanted = [
        ("prometheus", 9090),
        ("loki", 3100),
        ("tempo", 3200),
        ("otlp_grpc", 4317),
        ("otlp_http", 4318),
        ("authority", 8440),
        ("scrape", 9464),
        ("health", 13133),
        ("debug", 1777),
    ];
    for (listener, port) in wanted {
        assert_eq!(stella.address(listener).unwrap().to_string(), format!("127.0.0.1:{}", port + offset));
    }
    let proposals = eventually("three commands to try", async || {
        Some(proposals(&stella.stdout())).filter(|proposals| proposals.len() == 3)
    })
    .await;
    // In the order of the commands: metrics, logs, traces.
    let results = ["/data/result", "/data/result", "/traces"];
    for ((header, url), result) in proposals.iter().zip(results) {
        eventually(&format!("{url} has something to show"), async || {
            let answer = get(header, url).await.json();
            array(answer.pointer(result).unwrap_or(&serde_json::Value::Null)).first().map(|_| ())
        })
        .await;
    }
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_telemetry_is_a_tenant_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up(folder.path()).await;
    let own = stella.tenant("stella");
    let (trace_id, parent_id) = ("5bd66ef5095369c7b0d1f8f4bd33716a", "c532cb4098ac3dd2");
    let request = http_client().get(own.url(Api::Prometheus, "/api/v1/query"));
    let request = request.query(&[("query", "vector(1)")]);
    let traced = request.header("traceparent", format!("00-{trace_id}-{parent_id}-01"));
    assert_eq!(own.send(traced).await.unwrap().status, 200);

    eventually("up is 1", async || {
        own.vector("up{job=\"stella\"}").await.first().filter(|(_, value)| *value == 1.0).cloned()
    })
    .await;
    assert!(!own.vector("{__name__=~\"stella_.+\"}").await.is_empty());
    eventually("the log says that the server is ready", async || {
        own.lines("{service_name=\"stella\"} |= \"ready\"").await.pop()
    })
    .await;
    let trace = eventually("the request has left a span", async || own.trace(trace_id).await).await;
    let span = &trace.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(span.name, "GET /api/v1/query");
    assert_eq!(hex::encode(&span.parent_span_id), parent_id, "it goes on the caller's trace");
    assert!(!own.search("{ name =~ \"GET .*\" && resource.service.name = \"stella\" }").await.is_empty());

    for tenant in ["default", "acme"] {
        let other = stella.tenant(tenant);
        assert!(other.vector("up").await.is_empty(), "{tenant}");
        assert!(other.lines("{service_name=\"stella\"}").await.is_empty(), "{tenant}");
        assert!(other.search("{}").await.is_empty(), "{tenant}");
    }

    // The end is told too, and all of it is there after a restart.
    stella.stop().await;
    let stella = Stella::up(folder.path()).await;
    let own = stella.tenant("stella");
    assert!(!own.lines("{service_name=\"stella\"} |= \"stopping\"").await.is_empty());
    assert!(own.trace(trace_id).await.is_some());
    assert!(own.value("count(count by (instance) (max_over_time(up[5m])))").await >= 1.0);
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_telemetry_can_be_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    assert!(!stella.stdout().contains("curl"), "{}", stella.stdout());
    stella.stop().await;
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    let own = stella.tenant("stella");
    assert!(own.vector("{__name__=~\".+\"}").await.is_empty());
    assert!(own.lines("{service_name=\"stella\"}").await.is_empty());
    assert!(own.search("{}").await.is_empty());
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_routes_need_no_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::serve(folder.path(), "", &[]).await;
    let client = stella.anonymous();
    let table = [
        (Api::Prometheus, "/-/ready", "Ready"),
        (Api::Prometheus, "/-/healthy", "Healthy"),
        (Api::Prometheus, "/metrics", "# TYPE stella_http_requests"),
        (Api::Prometheus, "/api/v1/status/buildinfo", "\"version\""),
        (Api::Loki, "/ready", "ready"),
        (Api::Loki, "/metrics", "# HELP stella_http_requests"),
        (Api::Loki, "/loki/api/v1/status/buildinfo", "\"version\""),
        (Api::Tempo, "/ready", "ready"),
        (Api::Tempo, "/metrics", "# HELP stella_http_requests"),
        (Api::Tempo, "/api/status/buildinfo", "\"version\""),
        (Api::Tempo, "/api/echo", "echo"),
    ];
    for (api, path, word) in table {
        let answer = client.get(api, path, &[]).await;
        assert_eq!(answer.status, 200, "{api:?} {path}: {}", answer.text());
        assert!(answer.text().contains(word), "{api:?} {path}: {}", answer.text());
    }
    stella.stop().await;
}
