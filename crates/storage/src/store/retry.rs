//! Asks a store again that did not answer, a few times and with growing waits, and says in every error what was tried.
//!
//! An answer is an answer: only what says nothing about the request itself (no connection, no reply in time, a server
//! that is busy or broken) is tried again.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::Clock;
use object_store::client::HttpError;
use object_store::{Error, Result};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::config::Patience;
use crate::metrics::{Operation, StoreMetrics};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What was tried, around what came of it.
#[derive(Debug, thiserror::Error)]
#[error("{operation} did not succeed: store={kind}, path=`{path}`, attempts={attempts}: {source}")]
struct Tried {
    kind: &'static str,
    operation: Operation,
    path: String,
    attempts: u32,
    source: Source,
}

/// The store did not answer in the time it had.
#[derive(Debug, thiserror::Error)]
#[error("no answer: waited_ms={0}")]
struct TimedOut(u64);

/// How one store's requests are repeated.
pub(super) struct Attempts {
    kind: &'static str,
    patience: Patience,
    clock: Arc<dyn Clock>,
    jitter: Mutex<StdRng>,
    metrics: Arc<StoreMetrics>,
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempts").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl Attempts {
    pub(super) fn new(
        kind: &'static str,
        patience: Patience,
        clock: Arc<dyn Clock>,
        seed: u64,
        metrics: Arc<StoreMetrics>,
    ) -> Self {
        Self { kind, patience, clock, jitter: Mutex::new(StdRng::seed_from_u64(seed)), metrics }
    }

    /// Tries until there is an answer, or patience is over. `attempt` is told whether an earlier one ended without an
    /// answer: then it may have been carried out all the same.
    pub(super) async fn run<T, F>(
        &self,
        operation: Operation,
        path: &str,
        mut attempt: impl FnMut(bool) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let start_ns = self.clock.monotonic_ns();
        let mut attempts = 0;
        loop {
            let left_ms = self.left_ms(start_ns);
            let limit_ms = self.patience.request_timeout_ms.min(left_ms);
            let result = tokio::time::timeout(Duration::from_millis(limit_ms), attempt(attempts > 0)).await;
            attempts += 1;
            let error = match result {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => error,
                Err(_) => self.timed_out(limit_ms),
            };
            let wait_ms = self.wait_ms(attempts);
            let is_last = attempts >= self.patience.max_attempts || self.left_ms(start_ns) <= wait_ms;
            if is_last || !is_unanswered(&error) {
                return Err(self.tried(operation, path, attempts, error));
            }
            self.metrics.count_retry(operation);
            tracing::warn!(
                store = self.kind, %operation, path, attempts, wait_ms, %error,
                "the store did not answer: asking it again"
            );
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
    }

    /// An error of one attempt, with the words that every error gets.
    pub(super) fn tried(&self, operation: Operation, path: &str, attempts: u32, error: Error) -> Error {
        let kind = self.kind;
        let wrap =
            |source| Box::new(Tried { kind, operation, path: path.to_owned(), attempts, source }) as Source;
        match error {
            Error::NotFound { path, source } => Error::NotFound { path, source: wrap(source) },
            Error::AlreadyExists { path, source } => Error::AlreadyExists { path, source: wrap(source) },
            Error::Precondition { path, source } => Error::Precondition { path, source: wrap(source) },
            Error::NotModified { path, source } => Error::NotModified { path, source: wrap(source) },
            Error::PermissionDenied { path, source } => {
                Error::PermissionDenied { path, source: wrap(source) }
            }
            Error::Unauthenticated { path, source } => Error::Unauthenticated { path, source: wrap(source) },
            Error::NotSupported { source } => Error::NotSupported { source: wrap(source) },
            Error::Generic { source, .. } => Error::Generic { store: self.kind, source: wrap(source) },
            error => Error::Generic { store: self.kind, source: wrap(Box::new(error)) },
        }
    }

    pub(super) const fn max_attempts(&self) -> u32 {
        self.patience.max_attempts
    }

    pub(super) fn timed_out(&self, waited_ms: u64) -> Error {
        Error::Generic { store: self.kind, source: Box::new(TimedOut(waited_ms)) }
    }

    fn left_ms(&self, start_ns: u64) -> u64 {
        let passed_ms = self.clock.monotonic_ns().saturating_sub(start_ns) / 1_000_000;
        self.patience.total_timeout_ms.saturating_sub(passed_ms)
    }

    /// The wait after so many attempts: twice that before, and up to a half less by chance, so that many that failed
    /// together do not come back together.
    fn wait_ms(&self, attempts: u32) -> u64 {
        let doubled = self.patience.backoff_ms.saturating_mul(1 << attempts.saturating_sub(1).min(32));
        let full = doubled.min(self.patience.max_backoff_ms);
        self.jitter.lock().random_range(full / 2..=full)
    }
}

/// Whether the error leaves open what has become of the request.
pub(super) fn is_unanswered(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<HttpError>() || error.is::<TimedOut>() {
            return true;
        }
        cause = error.source();
    }
    false
}
