//! Deletes objects that no manifest names: segments that were removed, uploads that were never committed, old manifest
//! versions, and copies of segments in the quarantine that have expired or were restored. Each stays for a grace period
//! in which surely nothing has named it, for readers that still use it and for writers that have not committed yet.
//!
//! A pass sees manifests as they are at its time, and not what was between two passes: another node may have named an
//! object and merged it away again. It can have done so only where there were commits, and only within the grace after
//! the object came, because [`in_time`](crate::building::Built::in_time) refuses to name it later. Where both are so the
//! grace begins anew.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::{StreamExt, TryStreamExt, stream};
use model::time::NS_PER_MS;
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

/// Objects that the manifest of a moment does not name.
#[derive(Debug)]
pub(crate) struct Candidates {
    /// Files of segments, with their bytes.
    segments: Vec<(Path, u64)>,
    /// Old manifest versions.
    versions: Vec<Path>,
    /// The manifest.
    manifest: Arc<Manifest>,
    /// The monotonic time at which it was asked for: it was the newest then or later.
    asked_ns: u64,
}

/// What the sweeps of a partition know of objects that no manifest names.
#[derive(Debug, Default)]
pub(crate) struct Unnamed {
    objects: HashMap<Path, Since>,
    /// The manifest of the last sweep, and when it was asked for; none before the first.
    last: Option<(Arc<Manifest>, u64)>,
}

/// Since when an object has no name, in monotonic time.
#[derive(Clone, Copy, Debug)]
struct Since {
    /// Nothing has named it since then.
    unnamed_ns: u64,
    /// When a sweep saw it first, where it may be an upload that is still to be named.
    upload_ns: Option<u64>,
}

/// Which objects a manifest names.
struct Names<'a> {
    segments: HashSet<&'a str>,
    copies: HashSet<&'a str>,
}

impl<'a> Names<'a> {
    fn of(manifest: &'a Manifest) -> Self {
        let segments = manifest.segments.iter().map(|segment| segment.id.as_str());
        let copies = manifest.quarantined.iter().map(|aside| aside.segment.id.as_str());
        Self { segments: segments.collect(), copies: copies.collect() }
    }

    fn has(&self, path: &Path) -> bool {
        let is_among = |ids: &HashSet<&str>, id: Option<&str>| id.is_some_and(|id| ids.contains(id));
        if layout::is_segment(path) {
            is_among(&self.segments, layout::segment_id(path))
        } else {
            is_among(&self.copies, layout::quarantined_id(path))
        }
    }
}

impl Unnamed {
    /// Since when each of a sweep's candidates has no name; `now_ns` is when the sweep knows that it has none.
    fn since(&self, found: &Candidates, now_ns: u64, grace_ns: u64) -> HashMap<Path, Since> {
        let named = self.last.as_ref().map(|(manifest, _)| Names::of(manifest));
        let last = self.last.as_ref().map(|(manifest, asked_ns)| (manifest.version, *asked_ns));
        let of_object = |path: &Path| {
            let Some(since) = self.objects.get(path) else {
                // What had a name is named no second time.
                let had_name = named.as_ref().is_some_and(|named| named.has(path));
                return Since { unnamed_ns: now_ns, upload_ns: (!had_name).then_some(now_ns) };
            };
            let may_have_been_named =
                last.zip(since.upload_ns).is_some_and(|((version, asked_ns), upload_ns)| {
                    version != found.manifest.version && asked_ns.saturating_sub(upload_ns) < grace_ns
                });
            Since { unnamed_ns: if may_have_been_named { now_ns } else { since.unnamed_ns }, ..*since }
        };
        let of_version = |path: &Path| {
            let seen = self.objects.get(path).copied();
            seen.unwrap_or(Since { unnamed_ns: now_ns, upload_ns: None })
        };
        let segments = found.segments.iter().map(|(path, _)| (path.clone(), of_object(path)));
        let versions = found.versions.iter().map(|path| (path.clone(), of_version(path)));
        segments.chain(versions).collect()
    }
}

impl Engine {
    /// Finds what no manifest names; none when a look is not due. The caller has the turn.
    pub(crate) async fn sweepable(&self, partition: &Partition) -> Result<Option<Candidates>, StorageError> {
        let version = partition.state().manifest.version;
        let is_due = partition.is_sweep_due.load(Ordering::Relaxed)
            || version >= partition.swept_version.load(Ordering::Relaxed) + KEPT_MANIFESTS as u64;
        if !is_due {
            return Ok(None);
        }
        // Whoever leaves an object without a name from now on says so again.
        partition.is_sweep_due.store(false, Ordering::Relaxed);
        let found = self.unnamed(partition).await;
        if found.is_err() {
            partition.is_sweep_due.store(true, Ordering::Relaxed);
        }
        found.map(Some)
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
        let asked_ns = self.clock().monotonic_ns();
        let manifest = self.catch_up(partition).await?;
        let names = Names::of(&manifest);
        let is_claimed = |path: &Path| layout::segment_id(path).is_none_or(|id| claimed.contains(id));
        let is_copy = |path: &Path| layout::quarantined_id(path).is_some();
        let objects = objects.into_iter().filter(|meta| !is_claimed(&meta.location));
        let copies = copies.into_iter().filter(|meta| is_copy(&meta.location));
        let unnamed = objects.chain(copies).filter(|meta| !names.has(&meta.location));
        let segments: Vec<(Path, u64)> = unnamed.map(|meta| (meta.location, meta.size)).collect();
        partition.swept_version.store(manifest.version, Ordering::Relaxed);
        let versions = self.old_manifests(partition, &manifest).await?;
        Ok(Candidates { segments, versions, manifest, asked_ns })
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
        let grace_ms = self.settings.retention.sweep_grace_ms;
        let grace_ns = grace_ms.saturating_mul(NS_PER_MS.unsigned_abs());
        let now_ns = self.clock().monotonic_ns();
        let since = partition.unnamed.lock().since(&candidates, now_ns, grace_ns);
        let Candidates { segments, versions, manifest, asked_ns } = candidates;
        let mut still_there = HashMap::new();
        let mut doomed = Vec::new();
        let mut swept = Swept::default();
        let all = segments.into_iter().chain(versions.into_iter().map(|path| (path, 0)));
        for (path, bytes) in all {
            // At the time of the question it had no name, which is known; what came later is not.
            let is_over = asked_ns.saturating_sub(since[&path].unnamed_ns) >= grace_ns;
            if is_over && doomed.len() < MAX_SWEPT_PER_PASS {
                doomed.push(path.clone());
                swept.bytes += bytes;
            } else {
                swept.bytes_left += bytes;
            }
            if still_there.len() < MAX_UNREFERENCED {
                let since = since[&path];
                still_there.insert(path, since);
            }
        }
        swept.objects = doomed.len();
        let deleted = self.delete(doomed).await;
        if deleted.is_err() || !still_there.is_empty() {
            partition.is_sweep_due.store(true, Ordering::Relaxed);
        }
        *partition.unnamed.lock() = Unnamed { objects: still_there, last: Some((manifest, asked_ns)) };
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
