//! Deletes objects that no manifest names: segments that were removed, uploads that were never committed, and old
//! manifest versions, and copies of segments in the quarantine that have expired or were restored. Each stays for a grace period after a sweep has seen it first, for readers that still use it and
//! for writers that have not committed yet.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path;

use crate::bounds::{KEPT_MANIFESTS, MAX_SWEPT_PER_PASS, MAX_UNREFERENCED};
use crate::error::StorageError;
use crate::layout;
use crate::manifest::Manifest;
use crate::partition::Partition;
use crate::storage::Engine;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Swept {
    pub(crate) objects: usize,
    pub(crate) bytes: u64,
    /// Bytes of unreferenced segments that are still there.
    pub(crate) bytes_left: u64,
}

/// Objects that no manifest names.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// Files of segments, with their bytes.
    segments: Vec<(Path, u64)>,
    /// Old manifest versions.
    manifests: Vec<Path>,
}

impl Engine {
    /// Finds what no manifest names. The caller has the turn.
    pub(crate) async fn sweepable(&self, partition: &Partition) -> Result<Candidates, StorageError> {
        let version = partition.state().manifest.version;
        let is_due = partition.is_sweep_due.load(Ordering::Relaxed)
            || version >= partition.swept_version.load(Ordering::Relaxed) + KEPT_MANIFESTS as u64;
        if !is_due {
            return Ok(Candidates::default());
        }
        // Whoever leaves an object without a name from now on says so again.
        partition.is_sweep_due.store(false, Ordering::Relaxed);
        let found = self.unnamed(partition).await;
        if found.is_err() {
            partition.is_sweep_due.store(true, Ordering::Relaxed);
        }
        found
    }

    async fn unnamed(&self, partition: &Partition) -> Result<Candidates, StorageError> {
        // Objects first, then what is being written, then the manifest: what is committed in between is named by it.
        let (tenant, signal) = (&partition.id.tenant, partition.id.signal);
        let list = async |prefix: Path| -> Result<Vec<ObjectMeta>, StorageError> {
            Ok(self.components.store.list(Some(&prefix)).try_collect().await?)
        };
        let objects = list(layout::segments(tenant, signal)).await?;
        let copies = list(layout::quarantined_segments(tenant, signal)).await?;
        let claimed = partition.claimed();
        let manifest = self.catch_up(partition).await?;
        let named: HashSet<&str> = manifest.segments.iter().map(|segment| segment.id.as_str()).collect();
        let is_unnamed = |path: &Path| {
            layout::segment_id(path).is_some_and(|id| !named.contains(id) && !claimed.contains(id))
        };
        let aside = manifest.quarantined.iter().map(|aside| aside.segment.id.as_str());
        let aside: HashSet<&str> = aside.collect();
        let is_gone = |path: &Path| layout::quarantined_id(path).is_some_and(|id| !aside.contains(id));
        let objects = objects.into_iter().filter(|meta| is_unnamed(&meta.location));
        let segments: Vec<(Path, u64)> = objects
            .chain(copies.into_iter().filter(|meta| is_gone(&meta.location)))
            .map(|meta| (meta.location, meta.size))
            .collect();
        partition.swept_version.store(manifest.version, Ordering::Relaxed);
        Ok(Candidates { segments, manifests: self.old_manifests(partition, &manifest).await? })
    }

    async fn old_manifests(
        &self,
        partition: &Partition,
        manifest: &Manifest,
    ) -> Result<Vec<Path>, StorageError> {
        let kept_from = manifest.version.saturating_sub(KEPT_MANIFESTS as u64);
        let versions = partition.manifests.versions().await?;
        Ok(versions.into_iter().filter(|(version, _)| *version < kept_from).map(|(_, path)| path).collect())
    }

    /// Deletes the candidates whose grace is over.
    pub(crate) async fn sweep(
        &self,
        partition: &Partition,
        candidates: Candidates,
    ) -> Result<Swept, StorageError> {
        let Candidates { segments, manifests } = candidates;
        let now_ns = self.clock().monotonic_ns();
        let mut still_there = HashMap::new();
        let mut doomed = Vec::new();
        let mut swept = Swept::default();
        let all = segments.into_iter().chain(manifests.into_iter().map(|path| (path, 0)));
        {
            let seen = partition.unreferenced.lock();
            for (path, bytes) in all {
                let since_ns = seen.get(&path).copied().unwrap_or(now_ns);
                let is_over = self.age_ms(since_ns) >= self.settings.retention.sweep_grace_ms;
                if is_over && doomed.len() < MAX_SWEPT_PER_PASS {
                    doomed.push(path.clone());
                    swept.bytes += bytes;
                } else {
                    swept.bytes_left += bytes;
                }
                if still_there.len() < MAX_UNREFERENCED {
                    still_there.insert(path, since_ns);
                }
            }
        }
        swept.objects = doomed.len();
        let deleted = self.delete(doomed).await;
        if deleted.is_err() || !still_there.is_empty() {
            partition.is_sweep_due.store(true, Ordering::Relaxed);
        }
        *partition.unreferenced.lock() = still_there;
        deleted?;
        self.metrics.objects_swept.inc_by(swept.objects as u64);
        self.metrics.bytes_swept.inc_by(swept.bytes);
        Ok(swept)
    }

    async fn delete(&self, paths: Vec<Path>) -> Result<(), StorageError> {
        let paths = stream::iter(paths.into_iter().map(Ok)).boxed();
        let mut deleted = self.components.store.delete_stream(paths);
        while let Some(result) = deleted.next().await {
            match result {
                // Another node may have been faster.
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
