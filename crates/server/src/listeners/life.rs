//! The life of a connection: how long its first request may take, how long it may be idle, and its orderly end.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::ConnectionError;

/// How long a port waits for its clients.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    /// From the connection, or its handshake, to the first whole head of a request.
    pub(super) first_request: Duration,
    /// For the head of a further request, and for one to begin on a connection of HTTP/1.1.
    pub(super) head: Duration,
    /// For a request on a connection of HTTP/2, before it is told to end: this long, or twice.
    pub(super) idle: Duration,
    /// For [`BODY_BYTES`](super::patience::BODY_BYTES) of a body, or its end.
    pub(super) body: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            first_request: Duration::from_secs(15),
            head: Duration::from_secs(60),
            idle: Duration::from_secs(180),
            body: Duration::from_secs(30),
        }
    }
}

/// How often an HTTP/2 client is asked whether it is there, and how long it has to say so.
const PING_PAUSE: Duration = Duration::from_secs(30);
/// Requests of one connection at once.
const MAX_STREAMS: u32 = 256;
/// The largest head of a request, with all its fields.
const MAX_HEAD_BYTES: u32 = 64 << 10;

/// The requests of a connection so far, and how many of them are not answered yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(Arc<(AtomicUsize, AtomicUsize)>);

/// A request that is not answered yet.
pub(super) struct Asked(Requests);

impl Requests {
    /// Counts a request, until what is given is dropped.
    pub(super) fn begin(&self) -> Asked {
        self.0.0.fetch_add(1, Ordering::Relaxed);
        self.0.1.fetch_add(1, Ordering::Relaxed);
        Asked(self.clone())
    }

    fn begun(&self) -> usize {
        self.0.0.load(Ordering::Relaxed)
    }

    fn open(&self) -> usize {
        self.0.1.load(Ordering::Relaxed)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.0.1.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves a connection until its client ends it, it is idle for too long, or the server stops: then requests under way are
/// answered.
///
/// # Errors
/// When the connection breaks, or nothing is asked in time.
pub(super) async fn live<S>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: S,
    requests: Requests,
    waits: Waits,
    stop: CancellationToken,
) -> Result<(), ConnectionError>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = std::convert::Infallible>
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(waits.head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD_BYTES)
        .keep_alive_interval(PING_PAUSE)
        .keep_alive_timeout(PING_PAUSE);
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let mut pause = pin!(sleep(waits.first_request));
    let (mut is_ending, mut seen) = (false, 0);
    loop {
        tokio::select! {
            over = connection.as_mut() => return over,
            () = stop.cancelled(), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
            () = pause.as_mut(), if !is_ending => {
                let begun = requests.begun();
                if begun == 0 {
                    return Err("nothing was asked in time".into());
                }
                if begun == seen && requests.open() == 0 {
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                seen = begun;
                pause.set(sleep(waits.idle));
            }
        }
    }
}

#[cfg(test)]
mod tests;
