//! What the cache of bytes saves.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Where a chunk was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Tier {
    Memory,
    Disk,
    /// In neither: the store was asked.
    Store,
}

impl EncodeLabelValue for Tier {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        let name = match self {
            Tier::Memory => "memory",
            Tier::Disk => "disk",
            Tier::Store => "store",
        };
        name.encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTier {
    tier: Tier,
}

/// The metrics of the cache; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct CacheMetrics {
    chunks: Family<ByTier, Counter>,
    bytes: Family<ByTier, Counter>,
    joined: Counter,
    size: Family<ByTier, Gauge<i64>>,
    discarded: Counter,
    failures: Counter,
}

impl CacheMetrics {
    pub(crate) fn hit(&self, tier: Tier, bytes: usize) {
        self.chunks.get_or_create(&ByTier { tier }).inc();
        self.bytes.get_or_create(&ByTier { tier }).inc_by(bytes as u64);
    }

    pub(crate) fn fetched(&self, chunks: usize, bytes: usize) {
        let labels = ByTier { tier: Tier::Store };
        self.chunks.get_or_create(&labels).inc_by(chunks as u64);
        self.bytes.get_or_create(&labels).inc_by(bytes as u64);
    }

    pub(crate) fn joined(&self) {
        self.joined.inc();
    }

    pub(crate) fn memory_bytes(&self, bytes: u64) {
        self.set(Tier::Memory, bytes);
    }

    pub(crate) fn disk_bytes(&self, bytes: u64) {
        self.set(Tier::Disk, bytes);
    }

    /// Bytes in memory, as they were told last.
    pub(crate) fn memory_size(&self) -> usize {
        let size = self.size.get_or_create(&ByTier { tier: Tier::Memory }).get();
        usize::try_from(size).unwrap_or(0)
    }

    fn set(&self, tier: Tier, bytes: u64) {
        self.size.get_or_create(&ByTier { tier }).set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn discarded(&self) {
        self.discarded.inc();
    }

    pub(crate) fn failed(&self) {
        self.failures.inc();
    }

    /// Puts the metrics into a registry whose prefix is the engine's.
    pub(crate) fn register(&self, r: &mut Registry) {
        r.register("cache_chunks", "Chunks of segments, by where they were found", self.chunks.clone());
        let bytes = self.bytes.clone();
        r.register_with_unit("cache_read", "Bytes of chunks, by where they were found", Unit::Bytes, bytes);
        r.register("cache_joined", "Chunks that another read was fetching already", self.joined.clone());
        r.register_with_unit("cache_size", "Bytes that the cache holds", Unit::Bytes, self.size.clone());
        let discarded = self.discarded.clone();
        r.register(
            "cache_discarded",
            "Files of the cache that did not read back and were deleted",
            discarded,
        );
        r.register(
            "cache_failures",
            "Files of the cache that could not be written or deleted",
            self.failures.clone(),
        );
    }
}
