//! Lines as they come, over a WebSocket that the test speaks itself: what was there, what comes, late or not, for one tenant
//! alone, and no longer than the caller may.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::authority::{Deployment, succeed};
use crate::client::{Api, Client};
use crate::server::{PATIENCE, Stella, eventually};
use crate::telemetry::{loki_push, now_ns};

const SECOND_NS: i64 = 1_000_000_000;

/// A connection that a tail is asked for on.
struct Tail<S> {
    stream: S,
}

/// What came.
#[derive(Debug)]
enum Frame {
    Text(Value),
    Close(u16, String),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Tail<S> {
    /// Asks for a tail; the answer's head, and its body where it is none.
    async fn ask(mut stream: S, path: &str, headers: &str) -> (Self, String) {
        let request = format!(
            "GET /loki/api/v1/tail?{path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        (Self { stream }, String::from_utf8(head).unwrap())
    }

    async fn frame(&mut self) -> Frame {
        let reading = async {
            loop {
                let (first, length) =
                    (self.stream.read_u8().await.unwrap(), self.stream.read_u8().await.unwrap());
                let length = match length {
                    126 => usize::from(self.stream.read_u16().await.unwrap()),
                    127 => usize::try_from(self.stream.read_u64().await.unwrap()).unwrap(),
                    short => usize::from(short),
                };
                let mut payload = vec![0; length];
                self.stream.read_exact(&mut payload).await.unwrap();
                match first & 0xf {
                    1 => return Frame::Text(serde_json::from_slice(&payload).unwrap()),
                    8 => {
                        let reason = String::from_utf8(payload[2..].to_vec()).unwrap();
                        return Frame::Close(u16::from_be_bytes([payload[0], payload[1]]), reason);
                    }
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("a frame comes")
    }

    /// The texts of so many lines.
    async fn lines(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < count {
            let Frame::Text(frame) = self.frame().await else { panic!("the tail ended: {lines:?}") };
            lines.extend(texts(&frame));
        }
        lines
    }
}

fn texts(frame: &Value) -> Vec<String> {
    let streams = frame["streams"].as_array().unwrap();
    let values = streams.iter().flat_map(|stream| stream["values"].as_array().unwrap());
    values.map(|value| value[1].as_str().unwrap().to_owned()).collect()
}

async fn plain(stella: &Stella) -> TcpStream {
    TcpStream::connect(stella.address("loki").unwrap()).await.unwrap()
}

async fn push(client: &Client, app: &str, lines: &[(i64, &str)]) {
    let lines: Vec<(i64, String)> = lines.iter().map(|(ns, line)| (*ns, (*line).to_owned())).collect();
    assert_eq!(loki_push(client, &json!({ "app": app }), &lines).await.unwrap().status, 204);
}

const QUERY: &str = "query=%7Bapp%3D%22web%22%7D";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_and_what_comes_is_told_once_and_to_its_tenant_alone() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::serve(folder.path(), "own_telemetry: false\n", &[]).await;
    let (acme, globex) = (stella.tenant("acme"), stella.tenant("globex"));
    let now = now_ns();
    let old: Vec<(i64, String)> = (1..=5).map(|n| (now - (20 - n) * SECOND_NS, format!("old {n}"))).collect();
    let old: Vec<(i64, &str)> = old.iter().map(|(ns, line)| (*ns, line.as_str())).collect();
    push(&acme, "web", &old).await;
    push(&globex, "web", &[(now, "foreign")]).await;

    let (mut tail, head) =
        Tail::ask(plain(&stella).await, &format!("{QUERY}&limit=2"), "X-Scope-OrgID: acme\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.to_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    assert_eq!(tail.lines(2).await, ["old 4", "old 5"], "the last ones, and no others later");
    push(&acme, "web", &[(now_ns(), "new 1")]).await;
    push(&acme, "api", &[(now_ns(), "of another stream")]).await;
    push(&globex, "web", &[(now_ns(), "foreign")]).await;
    assert_eq!(tail.lines(1).await, ["new 1"]);
    // One that comes late, and one for now: each once.
    push(&acme, "web", &[(now_ns() - 5 * SECOND_NS, "late")]).await;
    assert_eq!(tail.lines(1).await, ["late"]);
    push(&acme, "web", &[(now_ns(), "new 2")]).await;
    assert_eq!(tail.lines(1).await, ["new 2"]);
    // Later than the tail looks back, beside lines that are told already; of a pipeline that changes labels too.
    let long_ago = now_ns() - 600 * SECOND_NS;
    push(&acme, "web", &[(long_ago, "very late 1"), (long_ago + 5 * SECOND_NS, "very late 2")]).await;
    assert_eq!(tail.lines(2).await, ["very late 1", "very late 2"]);
    push(&acme, "web", &[(now - 19 * SECOND_NS + 1, "beside old 1")]).await;
    assert_eq!(tail.lines(1).await, ["beside old 1"]);
    // Many at once come in pieces, and all of them.
    let many: Vec<(i64, String)> = (0..5_000).map(|n| (now_ns() - 1_000 + n, format!("many {n}"))).collect();
    assert_eq!(loki_push(&acme, &json!({"app": "web"}), &many).await.unwrap().status, 204);
    let told = tail.lines(5_000).await;
    assert_eq!((told.len(), told[0].as_str(), told[4_999].as_str()), (5_000, "many 0", "many 4999"));

    // A pipeline, and labels apart.
    let headers = "X-Scope-OrgID: acme\r\nX-Loki-Response-Encoding-Flags: categorize-labels\r\n";
    let query = "query=%7Bapp%3D%22web%22%7D%20%7C%3D%20%22old%22%20%7C%20label_format%20x%3D%22y%22&limit=1";
    let (mut other, _) = Tail::ask(plain(&stella).await, query, headers).await;
    let Frame::Text(frame) = other.frame().await else { panic!("a frame") };
    assert_eq!(frame["encodingFlags"], json!(["categorize-labels"]), "{frame}");
    assert_eq!(frame["streams"][0]["values"][0][2]["parsed"], json!({"x": "y"}), "{frame}");

    // The end of the server is told, and a client's goodbye is answered.
    other.stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
    assert!(matches!(other.frame().await, Frame::Close(1_000, _)));
    let stopping = tokio::spawn(stella.stop());
    assert!(matches!(tail.frame().await, Frame::Close(1_001, _)));
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_tailed_is_refused_in_plain_text() {
    let folder = tempfile::tempdir().unwrap();
    let tenants = folder.path().join("data/tenants");
    std::fs::create_dir_all(&tenants).unwrap();
    let overrides = "overrides:\n  acme:\n    max_concurrent_tail_requests: 2\n";
    std::fs::write(tenants.join("loki-overrides.yaml"), overrides).unwrap();
    let stella = Stella::serve(folder.path(), "own_telemetry: false\n", &[]).await;
    for (path, headers, status) in [
        (QUERY, "X-Scope-OrgID: acme|globex\r\n", 400),
        (QUERY, "X-Scope-OrgID: a/b\r\n", 400),
        (QUERY, "X-Scope-OrgID: acme\r\nX-Scope-OrgID: globex\r\n", 403),
        (QUERY, "X-Scope-OrgID: acme\r\nOrigin: https://evil.example\r\n", 403),
        ("query=%7Bapp%3D", "X-Scope-OrgID: acme\r\n", 400),
        ("query=rate(%7Bapp%3D%22x%22%7D%5B1m%5D)", "X-Scope-OrgID: acme\r\n", 400),
        ("query=%7Bapp%3D%22x%22%7D&delay_for=6", "X-Scope-OrgID: acme\r\n", 400),
        ("query=%7Bapp%3D%22x%22%7D&limit=0", "X-Scope-OrgID: acme\r\n", 400),
    ] {
        let (_, head) = Tail::ask(plain(&stella).await, path, headers).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {headers}: {head}");
    }
    let plain_get = stella.tenant("acme").get(Api::Loki, &format!("/loki/api/v1/tail?{QUERY}"), &[]).await;
    assert_eq!(plain_get.status, 400, "{}", plain_get.text());
    // As many as the tenant may have open, and one more when one has gone.
    let open = async || Tail::ask(plain(&stella).await, QUERY, "X-Scope-OrgID: acme\r\n").await;
    let ((first, one), (_second, two), (_, three)) = (open().await, open().await, open().await);
    assert!(one.contains(" 101 ") && two.contains(" 101 "), "{one}{two}");
    assert!(three.contains(" 429 "), "{three}");
    let (_, foreign) = Tail::ask(plain(&stella).await, QUERY, "X-Scope-OrgID: globex\r\n").await;
    assert!(foreign.contains(" 101 "), "another tenant has its own");
    drop(first);
    eventually("there is room again", async || open().await.1.contains(" 101 ").then_some(())).await;
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_ends_when_its_token_does() {
    let deployment = Deployment::new().await;
    let folder = deployment.folder.path();
    let create = |name: &str, tenant: &str| {
        let flags = format!("--audience observability --scopes obs:logs --tenant {tenant}");
        succeed(folder, &format!("stella authority client create {name} {flags}"));
        succeed(folder, &format!("stella authority token issue {name} --ttl 1h")).trim().to_owned()
    };
    let (acme, globex) = (create("acme", "acme"), create("globex", "globex"));
    eventually("the server knows the clients", async || {
        let path = "/loki/api/v1/labels";
        let status = deployment.ask("loki", path, Some(&globex), None).await.status();
        (status == 200).then_some(())
    })
    .await;
    let line = json!({"streams": [{"stream": {"app": "web"}, "values": [[now_ns().to_string(), "secret"]]}]});
    let send = deployment.http.post(deployment.url("loki", "/loki/api/v1/push")).json(&line);
    assert_eq!(deployment.send(send, Some(&acme), None).await.status(), 204);
    let secured = async || {
        let tls = folder.join("stella-data/tls");
        let files = security::tls::ClientFiles {
            ca: tls.join("collector-ca.crt"),
            identity: Some((tls.join("client.crt"), tls.join("client.key"))),
        };
        let mut config = security::tls::ClientTls::open(&files).unwrap().config();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        let stream = TcpStream::connect(deployment.stella.address("loki").unwrap()).await.unwrap();
        connector.connect("localhost".try_into().unwrap(), stream).await.unwrap()
    };
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let other = format!("{}X-Scope-OrgID: acme\r\n", bearer(&globex));
    let (_, head) = Tail::ask(secured().await, QUERY, &other).await;
    assert!(head.contains(" 403 "), "{head}");
    let (mut foreign, head) = Tail::ask(secured().await, QUERY, &bearer(&globex)).await;
    assert!(head.contains(" 101 "), "{head}");
    let (mut tail, head) = Tail::ask(secured().await, QUERY, &bearer(&acme)).await;
    assert!(head.contains(" 101 "), "{head}");
    assert_eq!(tail.lines(1).await, ["secret"]);
    succeed(folder, &format!("stella authority token revoke {acme}"));
    let Frame::Close(number, reason) = tail.frame().await else { panic!("the tail goes on") };
    assert_eq!(number, 1_008, "{reason}");
    assert!(reason.contains("revoked"), "{reason}");
    let silent = tokio::time::timeout(Duration::from_secs(2), foreign.frame()).await;
    assert!(silent.is_err(), "another tenant's tail says nothing");
    deployment.stella.stop().await;
}
