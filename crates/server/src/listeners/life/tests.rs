//! Clients that say nothing, or too slowly: the connection ends. Over a connection in memory, with short waits.

use std::convert::Infallible;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;

use super::super::patience::{BODY_BYTES, Patient};
use super::*;

const SHORT: Duration = Duration::from_millis(200);
/// Nothing waits so long but in a test that has failed.
const LONG: Duration = Duration::from_secs(600);
const PATIENT: Waits = Waits { first_request: LONG, head: LONG, idle: LONG, body: LONG };

type Ended = JoinHandle<Result<(), String>>;

/// A connection that answers with the length of what it is sent; the client's side, and how it ended.
fn connect(waits: Waits) -> (DuplexStream, Ended, CancellationToken) {
    let (client, server) = tokio::io::duplex(64 << 10);
    let (requests, stop) = (Requests::default(), CancellationToken::new());
    let counted = requests.clone();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let asked = counted.begin();
        async move {
            let body = Body::new(Patient::new(request.into_body(), waits.body));
            let read = axum::body::to_bytes(body, 1 << 20).await;
            drop(asked);
            let status = if read.is_ok() { 200 } else { 408 };
            let text = read.map_or_else(|error| error.to_string(), |bytes| bytes.len().to_string());
            Ok::<_, Infallible>(Response::builder().status(status).body(Body::from(text)).expect("it is one"))
        }
    });
    let living = live(server, service, requests, waits, stop.clone());
    let ended = tokio::spawn(async move { living.await.map_err(|error| error.to_string()) });
    (client, ended, stop)
}

/// Sends a byte, again and again, until the server closes.
async fn trickle(client: &mut DuplexStream, bytes: &[u8]) {
    for byte in bytes {
        if client.write_all(&[*byte]).await.is_err() {
            return;
        }
        sleep(SHORT / 4).await;
    }
}

const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: aaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test]
async fn whoever_asks_nothing_in_time_is_let_go() {
    let waits = Waits { first_request: SHORT, ..PATIENT };
    for said in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n", PREFACE, b"GET / HTTP/1.1\r\n"] {
        let (mut client, ended, _stop) = connect(waits);
        client.write_all(said).await.unwrap();
        assert!(ended.await.unwrap().is_err(), "{said:?}");
    }
    for bytes in [HEAD, PREFACE] {
        let (mut client, ended, _stop) = connect(waits);
        trickle(&mut client, bytes).await;
        assert!(ended.await.unwrap().is_err());
    }
}

#[tokio::test]
async fn a_head_that_trickles_on_an_open_connection_ends_it_too() {
    let (mut client, ended, _stop) = connect(Waits { head: SHORT, ..PATIENT });
    client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 16];
    client.read_exact(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    trickle(&mut client, HEAD).await;
    let _how = ended.await.unwrap();
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up_and_one_that_comes_is_read() {
    let post = format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", 4 * BODY_BYTES);
    let (mut client, ended, _stop) = connect(Waits { body: SHORT, ..PATIENT });
    client.write_all(post.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(client);
    let sending = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            sleep(SHORT / 4).await;
        }
    });
    let mut answer = String::new();
    reader.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.ends_with("too slowly"), "{answer}");
    let _how = ended.await.unwrap();
    sending.await.unwrap();

    let (mut client, ended, stop) = connect(PATIENT);
    client.write_all(post.as_bytes()).await.unwrap();
    for _ in 0..8 {
        tokio::task::yield_now().await;
        client.write_all(&vec![b'x'; BODY_BYTES / 2]).await.unwrap();
    }
    let mut answer = vec![0; 256];
    let read = client.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..read]));
    stop.cancel();
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_http_2_connection_is_told_to_end() {
    // The first look comes when the request was answered long ago.
    let (client, ended, _stop) = connect(Waits { idle: SHORT, first_request: 15 * SHORT, ..PATIENT });
    let io = TokioIo::new(client);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Body>(TokioExecutor::new(), io).await.unwrap();
    let connected = tokio::spawn(connection);
    let request = Request::get("http://localhost/").body(Body::from("abc")).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status().as_u16(), 200);
    // The client is told, and may be gone before the server is.
    let _how = ended.await.unwrap();
    let _how = connected.await.unwrap();
}
