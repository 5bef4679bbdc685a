//! The heads of a partition as their memory is counted: those that take rows, and those that wait to become segments.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use model::{Batch, Signal};
use prometheus_client::metrics::gauge::Gauge;

use crate::head::series::Known;
use crate::head::{Head, Origin};
use crate::manifest::WalPosition;

/// The memory of all heads of the process, in bytes: also of those that are in segments already, while a read holds them.
#[derive(Debug, Default)]
pub(crate) struct HeadMemory {
    bytes: AtomicUsize,
    shown: Gauge,
}

impl HeadMemory {
    /// Counts from zero, and shows it.
    pub(crate) fn new(shown: Gauge) -> Self {
        Self { bytes: AtomicUsize::new(0), shown }
    }

    /// What the heads hold now.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// What one head counts for, until the head and the last view of it are dropped.
#[derive(Debug)]
pub(crate) struct HeadCharge {
    memory: Arc<HeadMemory>,
    bytes: AtomicUsize,
}

impl HeadCharge {
    /// A head that counts for nothing yet.
    pub(crate) fn new(memory: &Arc<HeadMemory>) -> Arc<Self> {
        Arc::new(Self { memory: Arc::clone(memory), bytes: AtomicUsize::new(0) })
    }

    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let before = self.memory.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.memory.shown.set(i64::try_from(before.saturating_add(bytes)).unwrap_or(i64::MAX));
    }
}

impl Drop for HeadCharge {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        let before = self.memory.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.memory.shown.set(i64::try_from(before.saturating_sub(bytes)).unwrap_or(i64::MAX));
    }
}

/// No row has come yet.
pub(super) const NEVER: u64 = u64::MAX;

/// A head that takes rows.
pub(crate) struct Active {
    pub(crate) head: Arc<Head>,
    /// The monotonic time of its first row.
    pub(super) since_ns: AtomicU64,
    pub(super) bytes: AtomicUsize,
    rows: AtomicUsize,
}

impl Active {
    /// An empty one.
    pub(super) fn new(signal: Signal, origin: Origin, memory: &Arc<HeadMemory>) -> Arc<Self> {
        Arc::new(Self {
            head: Arc::new(Head::new(signal, origin, HeadCharge::new(memory))),
            since_ns: AtomicU64::new(NEVER),
            bytes: AtomicUsize::new(0),
            rows: AtomicUsize::new(0),
        })
    }

    /// Takes the rows of a batch; gives the head's size in bytes.
    pub(super) fn append(&self, batch: &Batch, known: Option<Known>, now_ns: u64) -> usize {
        self.head.append(batch, known);
        self.since_ns.fetch_min(now_ns, Ordering::Relaxed);
        let bytes = self.head.bytes();
        let before = self.bytes.fetch_max(bytes, Ordering::Relaxed);
        self.head.charge().add(bytes.saturating_sub(before));
        self.rows.fetch_add(batch.items(), Ordering::Relaxed);
        bytes
    }

    /// Whether no row has come.
    pub(super) fn is_empty(&self) -> bool {
        self.since_ns.load(Ordering::Relaxed) == NEVER
    }

    /// What it has, when it takes no more rows.
    pub(super) fn frozen(&self, flushed_to: WalPosition, awaits_older: bool) -> Arc<Frozen> {
        Arc::new(Frozen {
            head: Arc::clone(&self.head),
            flushed_to,
            awaits_older,
            bytes: self.bytes.load(Ordering::Relaxed),
            rows: self.rows.load(Ordering::Relaxed),
        })
    }
}

/// A head that takes no more rows and waits to become segments.
pub(crate) struct Frozen {
    pub(crate) head: Arc<Head>,
    /// Every record of the tenant's signal that begins before this position is in this head or in earlier ones.
    pub(crate) flushed_to: WalPosition,
    /// Whether the replay may still bring older rows.
    pub(crate) awaits_older: bool,
    pub(super) bytes: usize,
    pub(super) rows: usize,
}

impl Frozen {
    /// Memory that the head takes, about.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}
