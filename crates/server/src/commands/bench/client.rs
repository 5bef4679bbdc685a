//! HTTP to the server that is measured: requests with their time, and the retries that it asks for.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::StatusCode;
use http::header::RETRY_AFTER;
use model::Clock;

use crate::clock::SystemClock;
use crate::commands::connect::Credentials;

/// The most bytes of an answer that are read.
const MAX_ANSWER_BYTES: usize = 256 << 20;
/// A request is given up after so many refusals.
const MAX_RETRIES: u32 = 100;
/// The wait where a refusal names none, in seconds.
const DEFAULT_RETRY_S: u64 = 1;
/// The longest wait that a refusal can ask for, in seconds.
const MAX_RETRY_S: u64 = 60;
/// What is shown of an answer that is an error.
const MAX_SHOWN_CHARS: usize = 500;

/// Sends requests as one tenant; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    clock: Arc<SystemClock>,
    tenant: String,
    credentials: Credentials,
}

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// How long the server asks to wait, where it refused.
    wait_s: u64,
    pub(super) body: Vec<u8>,
    /// From before the request to the last byte of the answer.
    pub(super) took_ns: u64,
}

impl Answer {
    /// The body as text.
    ///
    /// # Errors
    /// When the status is none of success, with what the server said; or the body is no text.
    pub(super) fn into_text(self) -> anyhow::Result<String> {
        let text = String::from_utf8_lossy(&self.body);
        if !self.status.is_success() {
            bail!("{}: {}", self.status, shown(&text));
        }
        Ok(text.into_owned())
    }
}

/// The beginning of what a server said.
pub(super) fn shown(text: &str) -> String {
    text.trim().chars().take(MAX_SHOWN_CHARS).collect()
}

/// What became of a request that was sent until it was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// How long the request took that was taken.
    pub(super) took_ns: u64,
    /// How often it was refused before.
    pub(super) refusals: u32,
}

impl Client {
    /// A client that acts for a tenant. Its certificates are read again when they change: a bench may take long.
    ///
    /// # Errors
    /// When the system gives no sockets, or the certificates cannot be read.
    pub(super) fn new(tenant: &str, credentials: &Credentials) -> anyhow::Result<Self> {
        let (builder, tls) = credentials.client()?;
        if let Some(tls) = tls {
            tokio::spawn(async move { tls.keep_fresh().await });
        }
        let http = builder.no_proxy().tcp_nodelay(true).build()?;
        let (tenant, credentials) = (tenant.to_owned(), credentials.clone());
        Ok(Self { http, clock: Arc::new(SystemClock::new()), tenant, credentials })
    }

    /// Monotonic time.
    pub(super) fn now_ns(&self) -> u64 {
        self.clock.monotonic_ns()
    }

    /// Asks once.
    ///
    /// # Errors
    /// When there is no answer, or it is too large.
    pub(super) async fn get(&self, url: &str, parameters: &[(&str, String)]) -> anyhow::Result<Answer> {
        self.answer(url, self.http.get(url).query(parameters)).await
    }

    /// Asks until the server is not too busy to answer, waiting as long as refusals ask for.
    ///
    /// # Errors
    /// When there is no answer, or it is too large.
    pub(super) async fn get_in_time(
        &self,
        url: &str,
        parameters: &[(&str, String)],
    ) -> anyhow::Result<Answer> {
        let mut refusals = 0;
        loop {
            let answer = self.get(url, parameters).await?;
            if !is_refusal(answer.status) || refusals == MAX_RETRIES {
                return Ok(answer);
            }
            refusals += 1;
            tokio::time::sleep(Duration::from_secs(answer.wait_s)).await;
        }
    }

    /// Tells the server to do something; a server that does not know the path has nothing to do.
    ///
    /// # Errors
    /// When there is no answer, or the server refuses.
    pub(super) async fn post(&self, url: &str) -> anyhow::Result<()> {
        let answer = self.answer(url, self.http.post(url)).await?;
        if !matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
            answer.into_text().with_context(|| format!("{url} refused"))?;
        }
        Ok(())
    }

    /// Sends a body until it is taken, waiting as long as refusals ask for.
    ///
    /// # Errors
    /// When there is no answer, the request is refused for good, or too often.
    pub(super) async fn send(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: &Bytes,
    ) -> anyhow::Result<Sent> {
        let mut refusals = 0;
        loop {
            let mut request = self.http.post(url).body(body.clone());
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let began_ns = self.now_ns();
            let request = self.credentials.authorize(request.header("X-Scope-OrgID", &self.tenant))?;
            let response = request.send().await.with_context(|| format!("cannot send to {url}"))?;
            let (status, wait_s) = (response.status(), retry_after_s(response.headers()));
            let text = response.bytes().await.with_context(|| format!("no answer from {url}"))?;
            let took_ns = self.now_ns() - began_ns;
            match status {
                status if status.is_success() => return Ok(Sent { took_ns, refusals }),
                status if is_refusal(status) && refusals < MAX_RETRIES => {
                    refusals += 1;
                    tokio::time::sleep(Duration::from_secs(wait_s)).await;
                }
                status => bail!("{url} answered {status}: {}", shown(&String::from_utf8_lossy(&text))),
            }
        }
    }

    async fn answer(&self, url: &str, request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
        let began_ns = self.now_ns();
        let request = self.credentials.authorize(request.header("X-Scope-OrgID", &self.tenant))?;
        let mut response = request.send().await.with_context(|| format!("cannot ask {url}"))?;
        let (status, wait_s) = (response.status(), retry_after_s(response.headers()));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                bail!("the answer of {url} is larger than {MAX_ANSWER_BYTES} bytes");
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, wait_s, body, took_ns: self.now_ns() - began_ns })
    }
}

/// Whether the same request may be taken later.
const fn is_refusal(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

fn retry_after_s(headers: &http::HeaderMap) -> u64 {
    let asked = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    asked.unwrap_or(DEFAULT_RETRY_S).min(MAX_RETRY_S)
}
