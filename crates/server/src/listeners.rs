//! The accept loop of every port: TLS where there are certificates, HTTP/1.1 and HTTP/2 in one, a bound on connections,
//! and an orderly end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use model::audit::{Action, Audit, Event};
use security::PeerAddress;
use security::gateway::StillTaken;
use security::tls::server::peer;
use security::tls::{PeerCertificate, ServerTls};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Connections that one port serves at once; more wait in the backlog of the socket.
const MAX_CONNECTIONS: usize = 4_096;
/// The time that a client has to send the head of a request.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(60);
/// The time that requests under way have after the end was announced.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after the system refused a connection (too many open files, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The time that a client has to send its first byte, where it must begin a handshake.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(10);
/// What is read, at most, of a client that does not speak TLS.
const MAX_UNREAD_BYTES: u64 = 1 << 20;
/// The first byte of a TLS handshake.
const HANDSHAKE_RECORD: u8 = 0x16;
/// What a client is told that does not speak TLS where it must.
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    this port speaks TLS: ask it with https, and with a client certificate where it requires one\n";

/// A port that is open, with what answers on it.
pub struct Listener {
    name: &'static str,
    socket: TcpListener,
    router: Router,
    tls: Option<Arc<ServerTls>>,
    audit: Audit,
}

/// What a connection came through, and where it comes from: for what is told of it.
#[derive(Clone)]
struct Origin {
    listener: &'static str,
    address: PeerAddress,
    audit: Audit,
}

impl Origin {
    /// Tells that somebody was turned away.
    fn tell(&self, action: Action, code: &str, reason: String) {
        let event = Event::new(action).from(self.address.0.ip().to_string()).code(code);
        self.audit.record(event.with("reason", reason).with("listener", self.listener));
    }
}

type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

impl Listener {
    /// Opens a port.
    ///
    /// # Errors
    /// When the address is taken or not one of this machine's; the error names it.
    pub async fn bind(
        name: &'static str,
        address: SocketAddr,
        router: Router,
        tls: Option<Arc<ServerTls>>,
        audit: Audit,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await.map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot listen: listener={name} address={address}: {error}; choose another with --port-offset"),
            )
        })?;
        Ok(Self { name, socket, router, tls, audit })
    }

    /// What the port is for.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The address that it is open on.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until the token is cancelled, then lets requests under way end.
    pub async fn serve(self, stop: CancellationToken) {
        let fresh = self.tls.clone().map(|tls| tokio::spawn(async move { tls.keep_fresh().await }));
        let graceful = GracefulShutdown::new();
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let permit = tokio::select! {
                permit = Arc::clone(&permits).acquire_owned() => permit,
                () = stop.cancelled() => break,
            };
            let Ok(permit) = permit else { break };
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = stop.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let connection = connection(
                        stream,
                        Origin { listener: self.name, address: PeerAddress(peer), audit: self.audit.clone() },
                        self.tls.clone(),
                        self.router.clone(),
                        graceful.watcher(),
                        stop.clone(),
                    );
                    let name = self.name;
                    tokio::spawn(async move {
                        if let Err(error) = connection.await {
                            tracing::debug!(listener = name, %peer, %error, "connection ended");
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(listener = self.name, %error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.socket);
        if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
            tracing::warn!(listener = self.name, "requests were still under way when their time was over");
        }
        if let Some(fresh) = fresh {
            fresh.abort();
        }
    }
}

/// Makes a connection secure where it must be, and serves its requests.
async fn connection(
    mut stream: TcpStream,
    origin: Origin,
    tls: Option<Arc<ServerTls>>,
    router: Router,
    watcher: Watcher,
    stop: CancellationToken,
) -> Result<(), ConnectionError> {
    // Small replies go out at once. A socket that refuses the option works all the same.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return serve(stream, origin, router, None, watcher).await;
    };
    let handshake = async {
        let mut first = [0; 1];
        tokio::time::timeout(FIRST_BYTE_TIMEOUT, stream.peek(&mut first)).await??;
        if first[0] != HANDSHAKE_RECORD {
            tokio::time::timeout(FIRST_BYTE_TIMEOUT, say_not_tls(&mut stream)).await??;
            return Err(ConnectionError::from("the client does not speak TLS"));
        }
        Ok(tls.accept(stream).await?)
    };
    let stream = tokio::select! {
        secured = handshake => secured.inspect_err(|error: &ConnectionError| {
            origin.tell(Action::ConnectionRefused, "ERR_TLS", error.to_string());
        })?,
        () = stop.cancelled() => return Ok(()),
    };
    let certificate = peer(&stream).map(Arc::new);
    serve(stream, origin, router, certificate.map(|certificate| (tls, certificate)), watcher).await
}

/// Tells a client that it does not speak TLS. What it has sent is read first: a connection that is closed with bytes unread
/// is reset, and the client never sees the answer.
async fn say_not_tls(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(NOT_TLS).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(MAX_UNREAD_BYTES);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await.map(drop)
}

/// Serves the requests of a connection.
async fn serve<S>(
    stream: S,
    origin: Origin,
    router: Router,
    peer: Option<(Arc<ServerTls>, Arc<PeerCertificate>)>,
    watcher: Watcher,
) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let still_taken =
        peer.clone().map(|(tls, certificate)| StillTaken(Arc::new(move || tls.still_takes(&certificate))));
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        let router = router.clone();
        let refused = peer.as_ref().is_some_and(|(tls, certificate)| !tls.still_takes(certificate));
        request.extensions_mut().insert(origin.address);
        if refused {
            let reason = "the client certificate of the connection was revoked or has ended";
            origin.tell(Action::RequestRefused, "ERR_CERTIFICATE", reason.to_owned());
        }
        if let Some((_, certificate)) = &peer {
            request.extensions_mut().insert(Arc::clone(certificate));
        }
        if let Some(still_taken) = &still_taken {
            request.extensions_mut().insert(still_taken.clone());
        }
        async move { Ok::<_, Infallible>(if refused { no_longer() } else { answer(router, request).await }) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_READ_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(256);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    watcher.watch(connection).await
}

/// The answer on a connection whose certificate was revoked, or ended, after it had been verified.
fn no_longer() -> http::Response<Body> {
    let said = "the client certificate of this connection was revoked or has ended: connect with another\n";
    (StatusCode::UNAUTHORIZED, said).into_response()
}

async fn answer(router: Router, request: Request<Incoming>) -> http::Response<Body> {
    match router.oneshot(request.map(Body::new)).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
