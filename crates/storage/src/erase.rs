//! Rewrites segments that have rows which may not be seen: deleted ones, and ones that have outlived a period that is
//! shorter than their signal's longest. A segment without such rows is only noted.
//!
//! A deletion that can still be taken back, or whose time is held, waits, and those after it do not wait for it: segments
//! say which deletions they were rewritten for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::compact::{CompactionReport, Due};
use crate::error::StorageError;
use crate::hidden::Hidden;
use crate::layout;
use crate::manifest::commit::Change;
use crate::manifest::{Looked, Manifest, PartMeta, SegmentMeta};
use crate::metrics::BySignal;
use crate::partition::Partition;
use crate::read::select::picked;
use crate::retention::AtOnce;
use crate::segment::picked::Told;
use crate::storage::Engine;
use model::{Signal, TenantId};

/// A segment may hold rows that outlived their period for one of so many parts of the period, or of its own time.
const OUTLIVED_PER_PERIOD: i64 = 4;

/// What a segment can be cleared of: deletions up to a number, and those of further stretches.
type Clearable = (u64, Vec<(u64, u64)>);

fn is_clearable(segment: &SegmentMeta, clearable: &Clearable) -> bool {
    (segment.cleared, &segment.cleared_also) != (clearable.0, &clearable.1)
}

/// The last looks of this node at segments, by their ids. What it rewrites says so itself: other nodes must not do so again.
#[derive(Debug, Default)]
pub(crate) struct Outlived(HashMap<String, Looked>);

impl Outlived {
    /// Notes that a segment has nothing that had outlived its period at a moment.
    fn note(&mut self, id: &str, looked: Looked) {
        self.0.insert(id.to_owned(), looked);
    }

    /// Forgets what no manifest names any more.
    fn forget(&mut self, manifest: &Manifest) {
        let named: HashSet<&str> = manifest.segments.iter().map(|segment| segment.id.as_str()).collect();
        self.0.retain(|id, _| named.contains(id.as_str()));
    }

    /// Whether so much of a segment may have outlived its period that it is worth a look.
    fn is_due(&self, segment: &SegmentMeta, hidden: &Hidden, now: Looked, is_at_once: bool) -> bool {
        let looks = [self.0.get(&segment.id), segment.looked.as_ref()].into_iter().flatten();
        let looked_ns = looks.filter(|looked| looked.by == now.by).map(|looked| looked.at_ns).max();
        let lasts_ns = segment.end_ns.saturating_sub(segment.start_ns);
        hidden.dividing_periods_ns().any(|kept_ns| {
            let end_ns = segment.end_ns.saturating_add(1);
            let to_ns = now.at_ns.saturating_sub(kept_ns).min(end_ns);
            let from_ns = looked_ns.map_or(i64::MIN, |ns| ns.saturating_sub(kept_ns)).max(segment.start_ns);
            let slack_ns = (kept_ns / OUTLIVED_PER_PERIOD).max(lasts_ns / OUTLIVED_PER_PERIOD);
            let is_enough = is_at_once || to_ns == end_ns || to_ns.saturating_sub(from_ns) > slack_ns;
            from_ns < to_ns && is_enough
        })
    }
}

impl Engine {
    /// Works off what is due of one tenant, and counts the segments that were rewritten.
    pub(crate) async fn erase_of(&self, tenant: &TenantId) -> Result<usize, StorageError> {
        let _one_pass = self.compacting.acquire().await.map_err(|_| StorageError::Closed)?;
        let mut report = CompactionReport::default();
        let own = self.tenants.all().into_iter().filter(|partition| partition.id.tenant == *tenant);
        self.erase(own, &AtOnce::Nobody, &mut report).await.map(|()| report.erased)
    }

    /// Works off what is due. `at_once` does not wait until much of a segment has outlived its period.
    pub(crate) async fn erase(
        &self,
        partitions: impl IntoIterator<Item = Arc<Partition>>,
        at_once: &AtOnce,
        report: &mut CompactionReport,
    ) -> Result<(), StorageError> {
        let mut first = Ok(());
        for partition in partitions {
            let is_at_once = at_once.is_for(&partition.id.tenant);
            match Box::pin(self.erase_partition(&partition, is_at_once, report)).await {
                Ok(()) => {}
                Err(StorageError::Closed) => return Err(StorageError::Closed),
                Err(error) => {
                    let id = &partition.id;
                    self.metrics.compaction_failures.get_or_create(&BySignal::new(id.signal)).inc();
                    tracing::warn!(
                        tenant = %id.tenant, signal = %id.signal, %error,
                        "hidden rows cannot be taken out of segments: nobody reads them, and the next pass tries again"
                    );
                    first = first.and(Err(error));
                }
            }
        }
        first
    }

    async fn erase_partition(
        &self,
        partition: &Arc<Partition>,
        is_at_once: bool,
        report: &mut CompactionReport,
    ) -> Result<(), StorageError> {
        let mut clear: HashMap<String, (SegmentMeta, Clearable)> = HashMap::new();
        let mut looked_at: HashSet<String> = HashSet::new();
        // Each turn looks at one segment, and what a rewriting makes has nothing to be looked for.
        while let Some((due, clearable)) = self.next_hidden(partition, &looked_at, is_at_once)? {
            let segment = &due.inputs[0];
            looked_at.insert(segment.id.clone());
            match self.has_hidden(&due).await? {
                None => {}
                Some(true) => {
                    let rewritten = Box::pin(self.merge(due)).await?;
                    report.add(&CompactionReport { erased: rewritten.merges, ..rewritten });
                }
                Some(false) => {
                    partition.outlived.lock().note(&segment.id, due.hidden.look());
                    if is_clearable(segment, &clearable) {
                        clear.insert(segment.id.clone(), (segment.clone(), clearable));
                    }
                }
            }
        }
        partition.outlived.lock().forget(&partition.manifest());
        self.note_cleared(partition, &clear).await
    }

    /// The next segment that may have rows to be left behind, and what it can be cleared of.
    fn next_hidden(
        &self,
        partition: &Arc<Partition>,
        looked_at: &HashSet<String>,
        is_at_once: bool,
    ) -> Result<Option<(Due, Clearable)>, StorageError> {
        let id = &partition.id;
        let manifest = partition.manifest();
        let hidden = self.hidden_from_rewriting(partition, &manifest)?;
        let look = hidden.look();
        let is_due = |segment: &SegmentMeta| {
            let outlived = partition.outlived.lock();
            is_clearable(segment, &hidden.clearable(segment.clearance()))
                || outlived.is_due(segment, &hidden, look, is_at_once)
        };
        let is_readable = |segment: &SegmentMeta| {
            let path = |part: &PartMeta| layout::segment(&id.tenant, id.signal, segment, &part.name);
            !segment.parts.iter().any(|part| self.suspects.contains(&path(part)))
        };
        let found = manifest.segments.iter().find(|segment| {
            !looked_at.contains(&segment.id)
                && !hidden.is_expired(segment)
                && !manifest.awaits_older(segment)
                && is_due(segment)
                && is_readable(segment)
        });
        let Some(segment) = found.cloned() else { return Ok(None) };
        let (level, clearable) = (segment.level, hidden.clearable(segment.clearance()));
        let inputs = vec![segment];
        let segments = manifest.segments.len();
        let partition = Arc::clone(partition);
        Ok(Some((Due { partition, manifest, inputs, level, segments, hidden }, clearable)))
    }

    /// Whether a segment has rows to be left behind; none where it does not read back.
    async fn has_hidden(&self, due: &Due) -> Result<Option<bool>, StorageError> {
        let (id, segment) = (&due.partition.id, &due.inputs[0]);
        let may_have = due.hidden.concerns(segment.clearance(), segment.range());
        // Of spans nobody knows before they are read.
        if !may_have || id.signal == Signal::Traces {
            return Ok(Some(may_have));
        }
        let source = self.read_from(
            (id.tenant.clone(), id.signal),
            Arc::clone(&due.manifest),
            due.partition.confirmed_ns(),
            Vec::new(),
            due.hidden.clone(),
        );
        let Some((_, veil, _)) = picked(&source, segment, &[], Told::Labels).await? else { return Ok(None) };
        Ok(Some(veil.is_some()))
    }

    /// Says of segments that deletions do not concern them, and of deletions that no segment has their rows.
    async fn note_cleared(
        &self,
        partition: &Partition,
        clear: &HashMap<String, (SegmentMeta, Clearable)>,
    ) -> Result<(), StorageError> {
        let now_ns = self.clock().now().0;
        let is_over = |manifest: &Manifest, number: u64| {
            let quarantined = manifest.quarantined.iter().map(|aside| &aside.segment);
            let mut segments = manifest.segments.iter().chain(quarantined);
            manifest.cut_at(&self.node) >= number && segments.all(|segment| segment.clearance().has(number))
        };
        let apply = |manifest: &mut Manifest| {
            let mut change = Change::Nothing;
            for segment in &mut manifest.segments {
                // As it was looked at: another node may have cleared it meanwhile.
                let looked_at = clear.get(&segment.id).filter(|(looked_at, _)| looked_at == segment);
                if let Some((_, clearable)) = looked_at {
                    (segment.cleared, segment.cleared_also) = clearable.clone();
                    change = Change::Changed;
                }
            }
            let waiting = manifest.deletions.iter().filter(|deletion| deletion.processed_ns.is_none());
            let over: HashSet<u64> =
                waiting.map(|deletion| deletion.number).filter(|number| is_over(manifest, *number)).collect();
            for deletion in manifest.deletions.iter_mut().filter(|deletion| over.contains(&deletion.number)) {
                if deletion.due_ns <= now_ns {
                    deletion.processed_ns = Some(now_ns);
                    change = Change::Changed;
                }
            }
            change
        };
        if apply(&mut Manifest::clone(&partition.manifest())) == Change::Nothing {
            return Ok(());
        }
        let _turn = partition.turn().await?;
        self.commit_in_turn(partition, &apply).await?;
        Ok(())
    }
}
