//! Tries again what the store did not take.

use std::time::Duration;

use crate::bounds::STORE_ATTEMPTS;
use crate::error::StorageError;
use crate::runtime::Runtime;
use crate::volumes::is_full;

/// Tries a few times, waiting longer after each failure of the store.
///
/// # Errors
/// The last failure.
pub(crate) async fn retried<T, F>(
    runtime: &dyn Runtime,
    backoff_ms: u64,
    mut attempt: impl FnMut() -> F,
) -> Result<T, StorageError>
where
    F: Future<Output = Result<T, StorageError>>,
{
    let mut wait = Duration::from_millis(backoff_ms);
    for _ in 1..STORE_ATTEMPTS {
        match attempt().await {
            // Room is not made within a second: the next tick tries again.
            Err(error) if is_full(&error) => return Err(error),
            Err(error @ (StorageError::Store(_) | StorageError::Conflict { .. })) => {
                tracing::warn!(%error, "the store does not take a segment or manifest: trying again");
                runtime.sleep(wait).await;
                wait *= 2;
            }
            result => return result,
        }
    }
    attempt().await
}
