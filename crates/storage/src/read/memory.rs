//! What a read holds, told to whoever bounds it: bytes of row groups, decoded batches, batches of a merge.
//!
//! Only estimates of what is held for a moment; what a reader keeps of the rows is its own to count.

use std::fmt;
use std::sync::Arc;

use crate::error::StorageError;

/// Why a read may not hold more; the reader's own error.
pub type Refusal = Box<dyn std::error::Error + Send + Sync>;

/// Counts what reads hold, and refuses what is too much.
pub trait ReadMemory: fmt::Debug + Send + Sync {
    /// Takes bytes.
    ///
    /// # Errors
    /// When there are no more; the read ends with this as [`StorageError::Refused`].
    fn take(&self, bytes: usize) -> Result<(), Refusal>;

    /// Gives back what was taken.
    fn give_back(&self, bytes: usize);
}

/// Where reads take memory: of somebody, or without a bound.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bounded(Option<Arc<dyn ReadMemory>>);

impl Bounded {
    /// Reads take memory of this.
    pub(crate) fn by(memory: Arc<dyn ReadMemory>) -> Self {
        Self(Some(memory))
    }

    /// Holds nothing yet.
    pub(crate) fn hold(&self) -> Held {
        Held { memory: self.clone(), bytes: 0 }
    }
}

/// What one part of a read holds, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    memory: Bounded,
    bytes: usize,
}

impl Held {
    /// What is held, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds so many bytes from now on.
    ///
    /// # Errors
    /// [`StorageError::Refused`] where that is more than before and too much; then it holds what it held.
    pub(crate) fn resize(&mut self, bytes: usize) -> Result<(), StorageError> {
        if let Some(memory) = &self.memory.0 {
            match bytes.checked_sub(self.bytes) {
                Some(more) => memory.take(more).map_err(StorageError::Refused)?,
                None => memory.give_back(self.bytes - bytes),
            }
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(memory) = &self.memory.0 {
            memory.give_back(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[derive(Debug)]
    struct AtMost(usize, Mutex<usize>);

    impl ReadMemory for AtMost {
        fn take(&self, bytes: usize) -> Result<(), Refusal> {
            let mut held = self.1.lock();
            if *held + bytes > self.0 {
                return Err("too much".into());
            }
            *held += bytes;
            Ok(())
        }

        fn give_back(&self, bytes: usize) {
            *self.1.lock() -= bytes;
        }
    }

    #[test]
    fn what_is_held_is_given_back_once() {
        let memory = Arc::new(AtMost(100, Mutex::default()));
        let bounded = Bounded::by(Arc::clone(&memory) as _);
        let (mut one, mut two) = (bounded.hold(), bounded.hold());
        one.resize(70).unwrap();
        assert!(matches!(two.resize(40), Err(StorageError::Refused(_))));
        assert_eq!(*memory.1.lock(), 70, "what was refused is not held");
        one.resize(50).unwrap();
        two.resize(40).unwrap();
        assert_eq!(*memory.1.lock(), 90);
        drop((one, two));
        assert_eq!(*memory.1.lock(), 0);
        Bounded::default().hold().resize(usize::MAX).unwrap();
    }
}
