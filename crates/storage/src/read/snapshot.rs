//! What a read reads from: one manifest version and the heads that belong to it, taken at one moment.

use std::sync::Arc;

use model::time::NS_PER_MS;
use model::{Clock, Signal, TenantId, TimeRange};
use object_store::ObjectStore;
use roaring::RoaringBitmap;

use super::memory::Bounded;
use crate::error::StorageError;
use crate::head::index::LabelIndex;
use crate::head::{HeadView, Origin};
use crate::hidden::Hidden;
use crate::hidden::rows::Veil;
use crate::hidden::spans::SpanVeil;
use crate::layout;
use crate::manifest::{Cleared, EarlierLog, Manifest, SegmentMeta};
use crate::metrics::{BySignal, Metrics};
use crate::quarantine::{Suspect, Suspects};
use crate::runtime::Runtime;
use crate::segment::blocks::Tail;
use crate::segment::cache::SegmentCache;
use crate::segment::reader::SegmentFile;

/// A tenant's signal at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Whose data it is.
    pub(crate) tenant: TenantId,
    /// Which signal.
    pub(crate) signal: Signal,
    /// The segments.
    pub(crate) manifest: Arc<Manifest>,
    /// The monotonic time at which it was the newest.
    pub(crate) confirmed_ns: u64,
    /// How long what no manifest names any more stays in the store.
    pub(crate) grace_ms: u64,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// The heads that are not in segments yet, the oldest first.
    pub(crate) heads: Vec<HeadView>,
    /// The log that was there when the process began, which the replayed heads are from.
    pub(crate) earlier_log: Arc<EarlierLog>,
    /// Where the segments are.
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Where long work runs.
    pub(crate) runtime: Arc<dyn Runtime>,
    /// What is kept of segments between reads.
    pub(crate) cache: Arc<SegmentCache>,
    /// Files that were found damaged.
    pub(crate) suspects: Arc<Suspects>,
    /// The engine's metrics.
    pub(crate) metrics: Arc<Metrics>,
    /// What may not be seen.
    pub(crate) hidden: Arc<Hidden>,
    /// The last deletion that does not concern rows of the heads.
    pub(crate) heads_cleared: u64,
    /// Where reads take memory.
    pub(crate) memory: Bounded,
    /// What a decoded batch of a segment has at most, about.
    pub(crate) batch_bytes: usize,
}

/// How old rows are against others, in coarse steps: of equal keys the younger row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Age {
    /// In a segment.
    Segment,
    /// In a head, from the log of an earlier run.
    Replayed,
    /// In a segment that was written while that log was replayed.
    YoungSegment,
    /// In a head, from a writer.
    Written,
}

impl Age {
    /// All, the oldest first.
    pub(crate) const ALL: [Self; 4] = [Self::Segment, Self::Replayed, Self::YoungSegment, Self::Written];
}

impl Source {
    /// The age of a segment's rows.
    pub(crate) fn segment_age(&self, meta: &SegmentMeta) -> Age {
        let is_replaying = self.heads.iter().any(|head| head.origin() == Origin::Replay);
        let is_young = |segment: &SegmentMeta| segment.after.as_ref() == Some(&*self.earlier_log);
        let mut young = self.manifest.segments.iter().skip_while(|segment| !is_young(segment));
        let is_among = is_replaying && young.any(|segment| segment.id == meta.id);
        if is_among { Age::YoungSegment } else { Age::Segment }
    }

    /// The segments with data in the range, the oldest commit first.
    pub(crate) fn segments(&self, range: TimeRange) -> impl Iterator<Item = &SegmentMeta> {
        self.manifest.segments.iter().filter(move |meta| meta.range().overlaps(range))
    }

    /// The heads with data in the range, the oldest first.
    pub(crate) fn heads(&self, range: TimeRange) -> impl Iterator<Item = &HeadView> {
        self.heads.iter().filter(move |head| head.time_range().is_some_and(|r| r.overlaps(range)))
    }

    /// Whether some of a segment's rows may have to be left out.
    pub(crate) fn conceals(&self, meta: &SegmentMeta) -> bool {
        self.hidden.concerns(meta.clearance(), meta.range())
    }

    /// What may not be seen of some series or streams of a segment.
    pub(crate) fn segment_veil(
        &self,
        meta: &SegmentMeta,
        index: &LabelIndex,
        among: &RoaringBitmap,
    ) -> Option<Veil> {
        self.hidden.veil(index, among, meta.clearance(), meta.range())
    }

    /// What may not be seen of some series or streams of a head.
    pub(crate) fn head_veil(&self, view: &HeadView, among: &RoaringBitmap) -> Option<Veil> {
        let range = view.time_range()?;
        let mut veil = None;
        view.series()
            .with_index(|index| veil = self.hidden.veil(index, among, self.heads_clearance(), range));
        veil
    }

    /// What may not be seen of the spans of a segment.
    pub(crate) fn segment_span_veil(&self, meta: &SegmentMeta) -> Option<SpanVeil> {
        self.hidden.span_veil(meta.clearance(), meta.range())
    }

    fn heads_clearance(&self) -> Cleared<'static> {
        Cleared::up_to(self.heads_cleared)
    }

    /// What may not be seen of the spans of a head.
    pub(crate) fn head_span_veil(&self, view: &HeadView) -> Option<SpanVeil> {
        self.hidden.span_veil(self.heads_clearance(), view.time_range()?)
    }

    /// A file of a segment; none where the segment has no such part or it is known to be damaged.
    pub(crate) fn file(&self, meta: &SegmentMeta, part: &str) -> Option<SegmentFile> {
        let part = meta.part(part)?;
        let path = layout::segment(&self.tenant, self.signal, meta, &part.name);
        let file = SegmentFile {
            store: Arc::clone(&self.store),
            runtime: Arc::clone(&self.runtime),
            path,
            bytes: part.bytes,
            tail: Tail { bytes: part.tail_bytes, checksum: part.tail_xxh3 },
            cache: Arc::clone(&self.cache),
            read_bytes: self.metrics.read_bytes.get_or_create(&BySignal::new(self.signal)).clone(),
            memory: self.memory.clone(),
            batch_bytes: self.batch_bytes,
        };
        (!self.suspects.contains(&file.path)).then_some(file)
    }

    /// Takes what was read of a file; none when the file is damaged or gone, which is reported once.
    ///
    /// # Errors
    /// All other failures, and [`StorageError::Outdated`] when it is gone and the read has gone on for so long that it may
    /// have been swept.
    pub(crate) fn readable<T>(
        &self,
        file: &SegmentFile,
        read: Result<T, StorageError>,
    ) -> Result<Option<T>, StorageError> {
        let error = match read {
            Ok(read) => return Ok(Some(read)),
            Err(error) => error,
        };
        let is_lost = matches!(
            error,
            StorageError::Corrupt { .. } | StorageError::Store(object_store::Error::NotFound { .. })
        );
        if !is_lost {
            return Err(error);
        }
        if matches!(error, StorageError::Store(_)) && self.is_outdated() {
            return Err(StorageError::Outdated { object: file.path.to_string() });
        }
        let segment = layout::segment_id(&file.path).unwrap_or_default().to_owned();
        let suspect = Suspect { tenant: self.tenant.clone(), signal: self.signal, segment };
        if self.suspects.add(&file.path, suspect) {
            self.metrics.segments_damaged.get_or_create(&BySignal::new(self.signal)).inc();
            tracing::warn!(
                tenant = %self.tenant, signal = %self.signal, object = %file.path, %error,
                "a segment does not read back: reads go on without it, and all of it is looked at"
            );
        }
        Ok(None)
    }

    /// Whether what the manifest names may be swept, because another node has made a newer one.
    fn is_outdated(&self) -> bool {
        let age_ns = self.clock.monotonic_ns().saturating_sub(self.confirmed_ns);
        self.grace_ms > 0 && age_ns >= self.grace_ms.saturating_mul(NS_PER_MS.unsigned_abs())
    }

    /// How many segments with data in the range are missing from reads, because they are damaged.
    pub(crate) fn missing(&self, range: TimeRange) -> usize {
        let quarantined = self.manifest.quarantined.iter().map(|aside| &aside.segment);
        let quarantined = quarantined.filter(|meta| meta.range().overlaps(range)).count();
        let path = |meta: &SegmentMeta, name: &str| layout::segment(&self.tenant, self.signal, meta, name);
        let is_suspect = |meta: &&SegmentMeta| {
            meta.parts.iter().any(|part| self.suspects.contains(&path(meta, &part.name)))
        };
        let suspects = self.segments(range).filter(is_suspect).count();
        quarantined + suspects
    }

    /// The time that the data covers.
    pub(crate) fn time_bounds(&self, range: TimeRange) -> Option<TimeRange> {
        let segments = self.segments(range).map(SegmentMeta::range);
        let heads = self.heads(range).filter_map(HeadView::time_range);
        segments.chain(heads).fold(None, |all, range| Some(crate::head::union(all, range)))
    }
}
