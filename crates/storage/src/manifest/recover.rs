//! What is done when a manifest version does not read back: it is copied to the quarantine, the version before it is
//! taken, and the segments that only the damaged one may have named are found in the store.
//!
//! Segments describe themselves: their paths say whose they are, their footers what is in them. What is found is at
//! most more than there was: the inputs of a compaction beside its output, or an upload that was never committed. Both
//! are the same rows twice, and reads drop identical rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use super::commit::{Found, Manifests};
use super::{Manifest, SegmentMeta};
use crate::bounds::MAX_DAMAGED_VERSIONS;
use crate::error::StorageError;
use crate::layout;
use crate::segment::survey;

impl Manifests {
    /// Finds the newest version by listing, once, when the engine opens. Versions that do not read back are made up for
    /// from the one before them and from the segments in the store.
    ///
    /// # Errors
    /// When the store does not answer, or a version was written by a newer version of this program.
    pub(crate) async fn load(&self) -> Result<Manifest, StorageError> {
        let mut versions = self.versions().await?;
        versions.sort_unstable_by_key(|(version, _)| std::cmp::Reverse(*version));
        let mut damaged = Vec::new();
        for (at, (version, path)) in versions.iter().enumerate() {
            match self.get(*version).await? {
                Found::Manifest(manifest) if damaged.is_empty() => return Ok(*manifest),
                Found::Manifest(manifest) => {
                    let older = &versions[at + 1..];
                    return self.recovered(*manifest, damaged, older).await;
                }
                Found::Damaged(reason) => {
                    self.set_aside(path, &reason).await;
                    damaged.push(*version);
                }
                Found::Missing => {}
            }
        }
        let empty = Manifest::empty(&self.tenant, self.signal);
        if damaged.is_empty() { Ok(empty) } else { self.recovered(empty, damaged, &[]).await }
    }

    /// The manifest that follows `base` where the versions after it are damaged. It stands in the place of the newest of
    /// them, and becomes a version of its own with the next commit.
    ///
    /// `older` are versions before `base`: what they name and `base` does not was taken out on purpose.
    pub(super) async fn recovered(
        &self,
        mut base: Manifest,
        mut damaged: Vec<u64>,
        older: &[(u64, Path)],
    ) -> Result<Manifest, StorageError> {
        let mut known: BTreeSet<String> = base.segments.iter().map(|segment| segment.id.clone()).collect();
        known.extend(base.quarantined.iter().map(|aside| aside.segment.id.clone()));
        for (version, _) in older {
            if let Found::Manifest(manifest) = self.get(*version).await? {
                known.extend(manifest.segments.into_iter().map(|segment| segment.id));
            }
        }
        let prefix = layout::segments(&self.tenant, self.signal);
        let objects: Vec<ObjectMeta> = self.store.list(Some(&prefix)).try_collect().await?;
        let mut segments: BTreeMap<String, Vec<ObjectMeta>> = BTreeMap::new();
        for object in objects {
            if let Some(id) = layout::segment_id(&object.location).filter(|id| !known.contains(*id)) {
                segments.entry(id.to_owned()).or_default().push(object);
            }
        }
        let (mut found, mut unreadable) = (0, 0);
        for (id, files) in segments {
            match survey::segment(&*self.store, self.signal, &id, &files).await {
                Ok(Some(segment)) => {
                    insert(&mut base.segments, segment);
                    found += 1;
                }
                // An upload that did not come to its end was never committed.
                Ok(None) => {}
                Err(StorageError::Corrupt { object, reason }) => {
                    let reason = format!("{object}: {reason}");
                    base.quarantined.extend(survey::unread(&id, &files, reason));
                    unreadable += 1;
                }
                Err(error) => return Err(error),
            }
        }
        damaged.sort_unstable();
        base.version = damaged.last().copied().unwrap_or(0).max(base.version);
        base.damaged.extend(damaged);
        base.damaged.sort_unstable();
        base.damaged.dedup();
        let excess = base.damaged.len().saturating_sub(MAX_DAMAGED_VERSIONS);
        base.damaged.drain(..excess);
        tracing::error!(
            tenant = %self.tenant, signal = %self.signal, version = base.version, found, unreadable,
            "manifest versions did not read back: the one before them is used, with the segments that were found in the \
             store beside it; check the store's disk"
        );
        Ok(base)
    }

    /// Goes on from a version that is damaged while the engine runs.
    pub(super) async fn past(
        &self,
        current: &Manifest,
        version: u64,
        reason: &str,
    ) -> Result<Arc<Manifest>, StorageError> {
        self.set_aside(&self.path(version), reason).await;
        let mut older = self.versions().await?;
        older.retain(|(older, _)| *older < current.version);
        Ok(Arc::new(self.recovered(current.clone(), vec![version], &older).await?))
    }

    async fn set_aside(&self, path: &Path, reason: &str) {
        self.metrics.manifests_quarantined.inc();
        let copy = layout::quarantined(path);
        let is_copied = self.store.copy(path, &copy).await.is_ok();
        tracing::error!(
            object = %path, copy = %copy, is_copied, reason, "a manifest version does not read back: it is set aside"
        );
    }
}

/// Puts a segment that was found where its id says: before the first that is younger, so that rows of younger segments
/// hold against its own.
pub(crate) fn insert(segments: &mut Vec<SegmentMeta>, segment: SegmentMeta) {
    let place = segments.iter().position(|other| other.id > segment.id).unwrap_or(segments.len());
    segments.insert(place, segment);
}
