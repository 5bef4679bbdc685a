//! A bound on memory that work waits for: who needs bytes takes them before it begins and gives them back at its end.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::StorageError;

/// What one permit stands for, so that their number fits 32 bits.
const PERMIT_BYTES: usize = 1 << 10;

/// So many bytes, shared by all that hold a clone.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    permits: Arc<Semaphore>,
    total: usize,
}

/// Bytes that are held until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    _permit: OwnedSemaphorePermit,
}

impl Room {
    /// A room of so many bytes, at least one permit.
    pub(crate) fn new(bytes: usize) -> Self {
        let total = (bytes / PERMIT_BYTES).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self { permits: Arc::new(Semaphore::new(total)), total }
    }

    /// What is held now, in bytes.
    pub(crate) fn used_bytes(&self) -> usize {
        (self.total - self.permits.available_permits().min(self.total)) * PERMIT_BYTES
    }

    /// Takes bytes as soon as there is room, in the order of asking. What is larger than the room takes all of it, alone.
    ///
    /// # Errors
    /// [`StorageError::Closed`] when nobody will make room any more.
    pub(crate) async fn take(&self, bytes: usize) -> Result<Held, StorageError> {
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES).min(self.total)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.permits).acquire_many_owned(permits).await;
        Ok(Held { _permit: permit.map_err(|_| StorageError::Closed)? })
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn what_is_larger_than_the_room_takes_it_alone() {
        let room = Room::new(10 << 10);
        let small = room.take(1).await.unwrap();
        assert_eq!(room.used_bytes(), 1 << 10);
        let mut large = Box::pin(room.take(1 << 30));
        assert!(large.as_mut().now_or_never().is_none());
        drop(small);
        let large = large.await.unwrap();
        assert_eq!(room.used_bytes(), 10 << 10);
        assert!(room.take(1).now_or_never().is_none());
        drop(large);
        assert_eq!(room.used_bytes(), 0);
    }
}
