//! Removes what has outlived its tenant's retention: one manifest transaction takes expired segments out, and from that
//! moment on nobody can read them. The sweep deletes their objects later.

use std::sync::atomic::Ordering;

use crate::bounds::MAX_EXPIRED_PER_COMMIT;
use crate::error::StorageError;
use crate::manifest::Manifest;
use crate::manifest::SegmentMeta;
use crate::manifest::commit::Change;
use crate::metrics::BySignal;
use crate::partition::Partition;
use crate::storage::Engine;
use crate::sweep::Swept;

/// What one pass of retention and sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionReport {
    /// Segments taken out of manifests.
    pub segments_expired: usize,
    /// Objects deleted from the store.
    pub objects_deleted: usize,
    /// Their bytes.
    pub bytes_deleted: u64,
    /// Bytes of expired and unreferenced objects that are still in the store, because readers may use them.
    pub expired_bytes_present: u64,
}

impl Engine {
    /// One pass over all tenants.
    pub(crate) async fn retain(&self) -> Result<RetentionReport, StorageError> {
        let mut report = RetentionReport::default();
        let mut first_failure = None;
        for partition in self.tenants.all() {
            if let Err(error) = self.retain_partition(&partition, &mut report).await {
                let id = &partition.id;
                self.metrics.retention_failures.inc();
                tracing::warn!(
                    tenant = %id.tenant, signal = %id.signal, %error, "retention failed, the next pass tries again"
                );
                first_failure.get_or_insert(error);
            }
        }
        let present = i64::try_from(report.expired_bytes_present).unwrap_or(i64::MAX);
        self.metrics.expired_bytes_present.set(present);
        first_failure.map_or(Ok(report), Err)
    }

    async fn retain_partition(
        &self,
        partition: &Partition,
        report: &mut RetentionReport,
    ) -> Result<(), StorageError> {
        let turn = partition.turn().await?;
        self.settle(partition).await?;
        report.segments_expired += self.expire(partition).await?;
        let candidates = self.sweepable(partition).await?;
        // What nobody named then, and nobody was writing, nobody will name.
        drop(turn);
        let Some(candidates) = candidates else { return Ok(()) };
        let Swept { objects, bytes, bytes_left } = self.sweep(partition, candidates).await?;
        report.objects_deleted += objects;
        report.bytes_deleted += bytes;
        report.expired_bytes_present += bytes_left;
        Ok(())
    }

    /// Takes up what was restored from the quarantine, and makes a version of a manifest that was made up for damaged
    /// ones. The caller has the turn.
    async fn settle(&self, partition: &Partition) -> Result<(), StorageError> {
        let current = partition.state().manifest.clone();
        if !current.quarantined.is_empty() {
            self.catch_up(partition).await?;
        }
        let current = partition.state().manifest.clone();
        if !current.is_recovered() {
            return Ok(());
        }
        let apply = |manifest: &mut Manifest| match manifest.is_recovered() {
            true => Change::Changed,
            false => Change::Nothing,
        };
        let transaction = self.ids.next(self.clock());
        let manifest = partition.manifests.commit(current, &transaction, &apply).await?;
        partition.is_sweep_due.store(true, Ordering::Relaxed);
        partition.committed(manifest, None);
        Ok(())
    }

    /// Takes expired segments out of the manifest, also those that were set aside. The caller has the turn.
    async fn expire(&self, partition: &Partition) -> Result<usize, StorageError> {
        let id = &partition.id;
        let Some(before_ns) = self.expired_before_ns(&id.tenant, id.signal) else {
            return Ok(0);
        };
        let is_expired = |segment: &SegmentMeta| segment.end_ns < before_ns;
        let expired_in = |manifest: &Manifest| {
            let quarantined = manifest.quarantined.iter().map(|aside| &aside.segment);
            manifest.segments.iter().chain(quarantined).filter(|segment| is_expired(segment)).count()
        };
        let mut expired = 0;
        loop {
            let current = partition.state().manifest.clone();
            let before = expired_in(&current);
            if before == 0 {
                break;
            }
            let apply = |manifest: &mut Manifest| {
                let mut room = MAX_EXPIRED_PER_COMMIT;
                let mut stays = |segment: &SegmentMeta| {
                    let goes = room > 0 && is_expired(segment);
                    room -= usize::from(goes);
                    !goes
                };
                manifest.segments.retain(&mut stays);
                manifest.quarantined.retain(|aside| stays(&aside.segment));
                if room == MAX_EXPIRED_PER_COMMIT { Change::Nothing } else { Change::Changed }
            };
            let transaction = self.ids.next(self.clock());
            let manifest = partition.manifests.commit(current, &transaction, &apply).await?;
            let after = expired_in(&manifest);
            partition.is_sweep_due.store(true, Ordering::Relaxed);
            partition.committed(manifest, None);
            expired += before.saturating_sub(after);
        }
        self.metrics.segments_expired.get_or_create(&BySignal::new(id.signal)).inc_by(expired as u64);
        Ok(expired)
    }
}
