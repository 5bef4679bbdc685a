//! How near the process is to its limit of memory, as the system counts it. Who takes memory that can be refused looks
//! here first; who measures is the server.
//!
//! Not here: the shares of the parts, which each part counts by itself. This is for what nobody counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the process holds and may hold; cheap to clone, and shared by its clones.
#[derive(Clone, Debug)]
pub struct Pressure(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    resident_bytes: AtomicUsize,
    high_bytes: usize,
}

impl Pressure {
    /// Nothing was measured yet; from `high_bytes` of resident memory on it is high.
    #[must_use]
    pub fn new(high_bytes: usize) -> Self {
        Self(Arc::new(Inner { resident_bytes: AtomicUsize::new(0), high_bytes }))
    }

    /// Takes up what was measured, in bytes.
    pub fn note(&self, resident_bytes: usize) {
        self.0.resident_bytes.store(resident_bytes, Ordering::Relaxed);
    }

    /// Whether so much is held that what can wait has to.
    #[must_use]
    pub fn is_high(&self) -> bool {
        self.resident_bytes() >= self.0.high_bytes
    }

    /// What was measured last, in bytes.
    #[must_use]
    pub fn resident_bytes(&self) -> usize {
        self.0.resident_bytes.load(Ordering::Relaxed)
    }

    /// From where on it is high, in bytes.
    #[must_use]
    pub fn high_bytes(&self) -> usize {
        self.0.high_bytes
    }
}

/// Never high.
impl Default for Pressure {
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}
