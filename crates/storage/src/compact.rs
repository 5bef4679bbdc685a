//! Segments become fewer and larger: small ones of a day are merged, so that reads open few files, rows that are in two
//! segments are kept once, a trace that came in pieces is whole, and expired rows leave the disk.
//!
//! Tenants take turns: a round merges once for each that has something due, the one with the most segments first, and no
//! tenant merges a second time before all others had their turn. Until the manifest names it, a merged segment is an
//! object that nobody knows; what is left of a merge that did not end is for the sweep.

pub(crate) mod plan;

pub(crate) mod execute;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, stream};
use model::TenantId;

use crate::bounds::MERGED_SERIES_BYTES;
use crate::error::StorageError;
use crate::hidden::Hidden;
use crate::layout;
use crate::manifest::{Manifest, PartMeta, SegmentMeta};
use crate::metrics::BySignal;
use crate::partition::{Partition, PartitionId};
use crate::retention::AtOnce;
use crate::storage::Engine;
use plan::{Moment, Rules, Task};

/// What a pass of compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionReport {
    /// Merges that were committed, of one segment too.
    pub merges: usize,
    /// Of these, segments that were rewritten for the rows in them that may not be seen.
    pub erased: usize,
    /// Segments that were merged.
    pub segments_in: usize,
    /// Their bytes.
    pub bytes_in: u64,
    /// Bytes of the segments that they became.
    pub bytes_out: u64,
    /// Rows that were read.
    pub rows_in: u64,
    /// Rows that were left out, because they were there twice. Expired rows are not read.
    pub rows_dropped: u64,
    /// The most memory that one merge took, in bytes, about.
    pub peak_bytes: usize,
}

impl CompactionReport {
    pub(crate) fn add(&mut self, merge: &CompactionReport) {
        self.merges += merge.merges;
        self.erased += merge.erased;
        self.segments_in += merge.segments_in;
        self.bytes_in += merge.bytes_in;
        self.bytes_out += merge.bytes_out;
        self.rows_in += merge.rows_in;
        self.rows_dropped += merge.rows_dropped;
        self.peak_bytes = self.peak_bytes.max(merge.peak_bytes);
    }
}

/// A merge that is due.
pub(crate) struct Due {
    pub(crate) partition: Arc<Partition>,
    /// The manifest that it was planned on.
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) inputs: Vec<SegmentMeta>,
    pub(crate) level: u8,
    /// Segments that the partition has.
    pub(crate) segments: usize,
    /// What is left behind.
    pub(crate) hidden: Hidden,
}

impl Engine {
    /// Takes hidden rows out of segments, and merges until nothing is due. `at_once` does not wait until there is much
    /// to be taken out.
    pub(crate) async fn compact(&self, at_once: &AtOnce) -> Result<CompactionReport, StorageError> {
        let _one_pass = self.compacting.acquire().await.map_err(|_| StorageError::Closed)?;
        let mut report = CompactionReport::default();
        let mut failed = HashSet::new();
        let mut first = match self.erase(self.tenants.all(), at_once, &mut report).await {
            Err(StorageError::Closed) => return Err(StorageError::Closed),
            erased => erased,
        };
        loop {
            let round = self.round(&failed);
            if round.is_empty() {
                return first.map(|()| report);
            }
            let mut merges = stream::iter(round)
                .map(|due| async move { (due.partition.id.clone(), Box::pin(self.merge(due)).await) })
                .buffer_unordered(self.settings.compaction.max_concurrent);
            while let Some((id, merged)) = merges.next().await {
                match merged {
                    Ok(merge) => report.add(&merge),
                    Err(StorageError::Closed) => return Err(StorageError::Closed),
                    Err(error) => {
                        self.metrics.compaction_failures.get_or_create(&BySignal::new(id.signal)).inc();
                        tracing::warn!(
                            tenant = %id.tenant, signal = %id.signal, %error,
                            "segments cannot be merged: they stay as they are, and the next pass tries again"
                        );
                        failed.insert(id);
                        first = first.and(Err(error));
                    }
                }
            }
        }
    }

    /// One merge for each tenant with something due, the one with the most segments first.
    fn round(&self, failed: &HashSet<PartitionId>) -> Vec<Due> {
        let mut round: HashMap<TenantId, Due> = HashMap::new();
        let mut backlog = 0;
        for partition in self.tenants.all() {
            if failed.contains(&partition.id) {
                continue;
            }
            let Some(due) = self.due(&partition) else { continue };
            backlog += 1;
            let tenant = partition.id.tenant.clone();
            let needs_more = round.get(&tenant).is_none_or(|other| other.segments < due.segments);
            if needs_more {
                round.insert(tenant, due);
            }
        }
        self.metrics.compaction_backlog.set(backlog);
        let mut round: Vec<Due> = round.into_values().collect();
        round.sort_by(|a, b| b.segments.cmp(&a.segments).then_with(|| a.partition.id.cmp(&b.partition.id)));
        round
    }

    /// What of a tenant's signal is to be merged next.
    fn due(&self, partition: &Arc<Partition>) -> Option<Due> {
        let settings = &self.settings.compaction;
        let rules = Rules {
            fan_in: settings.fan_in,
            max_segment_bytes: settings.max_segment_bytes,
            max_segment_series: (self.merge_share_bytes() / MERGED_SERIES_BYTES) as u64,
            settle_ms: settings.settle_ms,
        };
        let id = &partition.id;
        let manifest = partition.manifest();
        let hidden = self.hidden_from_rewriting(partition, &manifest);
        let hidden = hidden.inspect_err(|error| tracing::error!(%error, "segments are not merged")).ok()?;
        let kept_ns = hidden.longest_ns().filter(|_| hidden.floor_ns() > i64::MIN);
        let moment = Moment { now_ns: self.clock().now().0, kept_ns };
        // What does not read back is left out: neither is it merged, nor does it stand between others.
        let is_readable = |segment: &&SegmentMeta| {
            let path = |part: &PartMeta| layout::segment(&id.tenant, id.signal, segment, &part.name);
            !segment.parts.iter().any(|part| self.suspects.contains(&path(part)))
        };
        let is_live = |segment: &&SegmentMeta| !hidden.is_expired(segment);
        let segments: Vec<&SegmentMeta> =
            manifest.segments.iter().filter(is_live).filter(is_readable).collect();
        let is_waiting = |segment: &SegmentMeta| manifest.awaits_older(segment);
        let kind = |segment: &SegmentMeta| hidden.waiting(segment.clearance());
        let Task { inputs, level, .. } = rules.next(&segments, &is_waiting, &kind, moment)?;
        let inputs = inputs.into_iter().map(|place| segments[place].clone()).collect();
        let segments = segments.len();
        Some(Due { partition: Arc::clone(partition), manifest, inputs, level, segments, hidden })
    }
}
