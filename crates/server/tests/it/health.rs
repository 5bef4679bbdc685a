//! The health port: good while writes are taken; 503 with the reason while the disk takes no more, and while the server ends.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{Stella, eventually, http_client};
use crate::telemetry::{loki_push, now_ns};

/// Status and reason, on both of its routes.
async fn health(stella: &Stella) -> (u16, Value) {
    let address = stella.address("health").unwrap();
    let mut told = Vec::new();
    for path in ["/", "/health/status"] {
        let answer = http_client().get(format!("http://{address}{path}")).send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap();
        let expected = if status == 200 { "Server available" } else { "Server not available" };
        assert_eq!(body["status"], expected);
        told.push((status, body["reason"].clone()));
    }
    assert_eq!((told[0].0, told[0].1.is_null()), (told[1].0, told[1].1.is_null()));
    told.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_that_the_disk_takes_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let keys = "own_telemetry: false\ndisk: { min_free: 1000TiB }\n";
    let stella = Stella::serve(folder.path(), keys, &[]).await;
    let (status, reason) = health(&stella).await;
    assert_eq!(status, 503);
    assert!(reason.as_str().unwrap().contains("disk.min_free"), "{reason}");
    // A writer is told the same.
    let line = [(now_ns(), "a line".to_owned())];
    let refused = loki_push(&stella.tenant("acme"), &serde_json::json!({"app": "web"}), &line).await.unwrap();
    assert_eq!(refused.status, 507, "{}", refused.text());
    assert!(refused.text().contains("disk.min_free"), "{}", refused.text());
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_that_the_server_ends_while_requests_under_way_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    assert_eq!(health(&stella).await, (200, Value::Null));
    let line = format!("[\"{}\",\"the last line\"]", now_ns());
    let body = format!("{{\"streams\":[{{\"stream\":{{\"app\":\"web\"}},\"values\":[{line}]}}]}}");
    let mut push = TcpStream::connect(stella.address("loki").unwrap()).await.unwrap();
    let head = format!(
        "POST /loki/api/v1/push HTTP/1.1\r\nHost: localhost\r\nX-Scope-OrgID: acme\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    push.write_all(head.as_bytes()).await.unwrap();
    // The server waits for the body from here on.
    let mut heard = vec![0; 256];
    let read = push.read(&mut heard).await.unwrap();
    assert!(heard[..read].starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&heard[..read]));
    stella.terminate();
    let reason = eventually("an end that is told", async || {
        let (status, reason) = health(&stella).await;
        (status == 503).then_some(reason)
    })
    .await;
    assert!(reason.as_str().unwrap().contains("ends"), "{reason}");
    push.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    push.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    stella.ended().await;

    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    assert_eq!(stella.tenant("acme").lines("{app=\"web\"}").await.len(), 1, "what was acknowledged is kept");
    stella.stop().await;
}
