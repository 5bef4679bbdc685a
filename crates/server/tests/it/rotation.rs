//! Certificates of authority, servers and clients are exchanged again and again while data flows, on every port: connections
//! that are open stay, new ones are made with what is new, and nothing that was taken is lost.
//!
//! `STELLA_TEST_ROTATIONS` says how often; a few times where nobody says.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use model::time::{ManualClock, TimestampNs};
use security::tls::{ClientFiles, ClientTls, dev};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::server::{GLANCE, PATIENCE, Stella};
use crate::telemetry::now_ns;
use crate::tls::client;

/// Every listener, with something that it answers to anybody who may connect.
const LISTENERS: [(&str, &str); 9] = [
    ("prometheus", "/-/ready"),
    ("loki", "/ready"),
    ("tempo", "/ready"),
    ("otlp_http", "/v1/logs"),
    ("otlp_grpc", "/"),
    ("authority", "/jwks"),
    ("scrape", "/"),
    ("health", "/"),
    ("debug", "/"),
];

fn make(dir: &Path) {
    let clock = ManualClock::new(TimestampNs(now_ns()));
    dev::make(dir, "stage", true, &clock).unwrap();
}

fn files(dir: &Path) -> ClientFiles {
    let identity = Some((dir.join("client.crt"), dir.join("client.key")));
    ClientFiles { ca: dir.join(dev::CA_FILE), identity }
}

/// A connection that is opened once.
struct Open {
    name: &'static str,
    path: &'static str,
    stream: TlsStream<TcpStream>,
}

impl Open {
    async fn new(
        stella: &Stella,
        (name, path): (&'static str, &'static str),
        tls: &ClientTls,
    ) -> Option<Self> {
        let mut config = tls.config();
        config.alpn_protocols = vec![if name == "otlp_grpc" { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let stream = TcpStream::connect(stella.address(name).unwrap()).await.ok()?;
        let connecting =
            TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), stream);
        let mut stream = tokio::time::timeout(PATIENCE, connecting).await.ok()?.ok()?;
        if name == "otlp_grpc" {
            // The preface of HTTP/2, and settings that say nothing.
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.ok()?;
        }
        let mut open = Self { name, path, stream };
        // A client's certificate is refused after the handshake of TLS 1.3, with the first bytes.
        open.answers().await.then_some(open)
    }

    /// Whether the connection is there and its certificate is taken.
    async fn answers(&mut self) -> bool {
        let asking = async {
            if self.name == "otlp_grpc" {
                self.stream.write_all(b"\0\0\x08\x06\0\0\0\0\0rotation").await.ok()?;
                loop {
                    let mut head = [0; 9];
                    self.stream.read_exact(&mut head).await.ok()?;
                    let length =
                        usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                    let mut payload = vec![0; length];
                    self.stream.read_exact(&mut payload).await.ok()?;
                    if head[3] == 6 && payload == b"rotation" {
                        return Some(());
                    }
                }
            }
            let request = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", self.path);
            self.stream.write_all(request.as_bytes()).await.ok()?;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.stream.read_u8().await.ok()?);
            }
            let head = String::from_utf8(head).ok()?.to_lowercase();
            let (_, length) = head.split_once("content-length: ")?;
            let length: usize = length.split_once("\r\n")?.0.parse().ok()?;
            self.stream.read_exact(&mut vec![0; length]).await.ok()?;
            Some(())
        };
        tokio::time::timeout(PATIENCE, asking).await.ok().flatten().is_some()
    }
}

/// Sends lines, each on a connection of its own, as an exporter does that tries again: so many were taken.
async fn flow(stella: Arc<Stella>, tls: ClientTls, is_over: Arc<AtomicBool>, taken: Arc<AtomicUsize>) {
    let http = reqwest::Client::builder().tls_backend_preconfigured(tls.config()).pool_max_idle_per_host(0);
    let http = http.timeout(PATIENCE).build().unwrap();
    let url = format!("https://localhost:{}/loki/api/v1/push", stella.address("loki").unwrap().port());
    while !is_over.load(Ordering::Relaxed) {
        let number = taken.load(Ordering::Relaxed);
        let values = json!([[now_ns().to_string(), format!("line {number}")]]);
        let body = json!({"streams": [{"stream": {"app": "rotation"}, "values": values}]});
        let sent = http.post(&url).header("X-Scope-OrgID", "acme").json(&body).send().await;
        if sent.is_ok_and(|answer| answer.status() == 204) {
            taken.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(GLANCE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_exchanged_again_and_again_while_data_flows() {
    security::tls::install_provider();
    let rotations: usize =
        std::env::var("STELLA_TEST_ROTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("certificates");
    make(&dir);
    let out = dir.to_str().unwrap();
    let keys = format!(
        "own_telemetry: false\ntls:\n  cert: {out}/{{service}}-stage.crt\n  key: {out}/{{service}}-stage.key\n  \
         ca: {out}/collector-ca.crt\n  client_auth: {{ prometheus: required, authority: required }}\nidentity:\n  \
         certificates:\n    - {{ certificate: 'cn:stella-dev-client', tenants: [acme], scopes: ['obs:logs'] }}\n"
    );
    let stella = Arc::new(Stella::serve_secured(folder.path(), &keys).await);
    let tls = ClientTls::open(&files(&dir)).unwrap();
    let mut looking = tokio::task::JoinSet::new();
    let fresh = tls.clone();
    looking.spawn(async move { fresh.keep_fresh().await });

    let mut open = Vec::new();
    for listener in LISTENERS {
        open.push(Open::new(&stella, listener, &tls).await.unwrap_or_else(|| panic!("{listener:?}")));
    }
    let (is_over, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let flowing = tokio::spawn(flow(Arc::clone(&stella), tls, Arc::clone(&is_over), Arc::clone(&taken)));
    for rotation in 0..rotations {
        make(&dir);
        // What the files say now, and nothing else, is served and taken by every listener.
        let now = ClientTls::open(&files(&dir)).unwrap();
        for listener in LISTENERS {
            let deadline = Instant::now() + PATIENCE;
            while Open::new(&stella, listener, &now).await.is_none() {
                assert!(
                    Instant::now() < deadline,
                    "rotation {rotation}: {listener:?} serves what was before"
                );
                tokio::time::sleep(GLANCE).await;
            }
        }
        for one in &mut open {
            assert!(
                one.answers().await,
                "rotation {rotation}: an open connection to {} was dropped",
                one.name
            );
        }
    }
    // The flow has gone on with what is new.
    let before = taken.load(Ordering::Relaxed);
    let deadline = Instant::now() + PATIENCE;
    while taken.load(Ordering::Relaxed) <= before {
        assert!(Instant::now() < deadline, "the flow does not go on");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    is_over.store(true, Ordering::Relaxed);
    flowing.await.unwrap();
    let http = client(&dir, Some(&dir));
    let url = format!("https://localhost:{}/loki/api/v1/query", stella.address("loki").unwrap().port());
    let query = [("query", "sum(count_over_time({app=\"rotation\"}[24h]))")];
    let answer = http.get(url).query(&query).header("X-Scope-OrgID", "acme").send().await.unwrap();
    let answer: serde_json::Value = answer.json().await.unwrap();
    let counted = answer["data"]["result"][0]["value"][1].as_str().unwrap().to_owned();
    // A line that was taken and whose answer was lost on the way was sent again with another time.
    let counted: usize = counted.parse().unwrap();
    assert!(counted >= taken.load(Ordering::Relaxed), "{answer}: of {}", taken.load(Ordering::Relaxed));
    drop(open);
    Arc::into_inner(stella).expect("nobody else has it").stop().await;
}
