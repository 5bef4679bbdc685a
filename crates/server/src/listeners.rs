//! The accept loop of every port: TLS where there are certificates, HTTP/1.1 and HTTP/2 in one, bounds on connections,
//! and an orderly end.

mod addresses;

mod life;

mod patience;

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

use addresses::Addresses;
use life::{Requests, Waits};
use patience::Patient;

/// Connections that one port serves at once; more wait in the backlog of the socket.
const MAX_CONNECTIONS: u32 = 4_096;
/// Those of them that one address may have; more are closed at once.
const MAX_ADDRESS_CONNECTIONS: usize = 1_024;
/// Handshakes of one address that are not through; more are closed at once.
const MAX_ADDRESS_HANDSHAKES: usize = 128;
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

/// What the connections of a port have in common.
#[derive(Clone)]
struct Port {
    tls: Option<Arc<ServerTls>>,
    router: Router,
    handshakes: Addresses,
    stop: CancellationToken,
}

impl Origin {
    /// Tells that somebody was turned away.
    fn tell(&self, action: Action, code: &str, reason: String) {
        let event = Event::new(action).from(self.address.0.ip().to_string()).code(code);
        self.audit.record(event.with("reason", reason).with("listener", self.listener));
    }

    /// Tells that an address has too many of something.
    fn tell_too_many(&self, what: &str, most: usize) {
        let reason = format!("the address has too many {what} on this port: at most {most}");
        self.tell(Action::ConnectionRefused, "ERR_TOO_MANY_CONNECTIONS", reason);
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
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS as usize));
        let addresses = Addresses::new(MAX_ADDRESS_CONNECTIONS);
        let handshakes = Addresses::new(MAX_ADDRESS_HANDSHAKES);
        let port = Port { tls: self.tls, router: self.router, handshakes, stop: stop.clone() };
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
                    let address = PeerAddress(peer);
                    let origin = Origin { listener: self.name, address, audit: self.audit.clone() };
                    let Some(entered) = addresses.enter(peer.ip()) else {
                        origin.tell_too_many("connections", MAX_ADDRESS_CONNECTIONS);
                        continue;
                    };
                    let connection = connection(stream, origin, port.clone());
                    let name = self.name;
                    tokio::spawn(async move {
                        if let Err(error) = connection.await {
                            tracing::debug!(listener = name, %peer, %error, "connection ended");
                        }
                        drop((entered, permit));
                    });
                }
                Err(error) => {
                    tracing::warn!(listener = self.name, %error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.socket);
        // Each connection has its permit until its requests are answered.
        if tokio::time::timeout(DRAIN_TIMEOUT, permits.acquire_many(MAX_CONNECTIONS)).await.is_err() {
            tracing::warn!(listener = self.name, "requests were still under way when their time was over");
        }
        if let Some(fresh) = fresh {
            fresh.abort();
        }
    }
}

/// Makes a connection secure where it must be, and serves its requests.
async fn connection(mut stream: TcpStream, origin: Origin, port: Port) -> Result<(), ConnectionError> {
    // Small replies go out at once. A socket that refuses the option works all the same.
    let _ = stream.set_nodelay(true);
    let Some(tls) = port.tls.clone() else {
        return serve(stream, origin, port, None).await;
    };
    let Some(shaking) = port.handshakes.enter(origin.address.0.ip()) else {
        origin.tell_too_many("handshakes", MAX_ADDRESS_HANDSHAKES);
        return Ok(());
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
        () = port.stop.cancelled() => return Ok(()),
    };
    drop(shaking);
    let certificate = peer(&stream).map(Arc::new);
    serve(stream, origin, port, certificate.map(|certificate| (tls, certificate))).await
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
    port: Port,
    peer: Option<(Arc<ServerTls>, Arc<PeerCertificate>)>,
) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let still_taken =
        peer.clone().map(|(tls, certificate)| StillTaken(Arc::new(move || tls.still_takes(&certificate))));
    let (requests, waits) = (Requests::default(), Waits::default());
    let (counted, router) = (requests.clone(), port.router);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        let (router, asked) = (router.clone(), counted.begin());
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
        async move {
            let answered = if refused { no_longer() } else { answer(router, request, waits).await };
            drop(asked);
            Ok::<_, Infallible>(answered)
        }
    });
    life::live(stream, service, requests, waits, port.stop).await
}

/// The answer on a connection whose certificate was revoked, or ended, after it had been verified.
fn no_longer() -> http::Response<Body> {
    let said = "the client certificate of this connection was revoked or has ended: connect with another\n";
    (StatusCode::UNAUTHORIZED, said).into_response()
}

async fn answer(router: Router, request: Request<Incoming>, waits: Waits) -> http::Response<Body> {
    match router.oneshot(request.map(|body| Body::new(Patient::new(body, waits.body)))).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
