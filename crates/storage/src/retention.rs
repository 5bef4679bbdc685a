//! Removes what has outlived its tenant's retention: one manifest transaction takes expired segments out, and from that
//! moment on nobody can read them. The sweep deletes their objects later.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::time::NS_PER_MS;
use model::{Signal, TenantId};

use crate::bounds::{MAX_EXPIRED_PER_COMMIT, MAX_LOG_FILE_AGE_NS};
use crate::error::StorageError;
use crate::hidden::{Hidden, Keeping};
use crate::manifest::commit::Change;
use crate::manifest::keeping::{NextPolicy, Policy, Retained};
use crate::manifest::{Manifest, SegmentMeta};
use crate::metrics::BySignal;
use crate::partition::Partition;
use crate::storage::Engine;
use crate::sweep::Swept;

/// What one pass of retention and sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionReport {
    /// Segments taken out of manifests.
    pub segments_expired: usize,
    /// Segments that were rewritten without rows that may not be seen; counted where that was asked for.
    pub segments_rewritten: usize,
    /// Objects deleted from the store.
    pub objects_deleted: usize,
    /// Their bytes.
    pub bytes_deleted: u64,
    /// Bytes of expired and unreferenced objects that are still in the store, because readers may use them.
    pub expired_bytes_present: u64,
}

/// For whom what is due is not put off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AtOnce {
    /// For nobody.
    Nobody,
    /// For one tenant.
    Tenant(TenantId),
    /// For all.
    Everybody,
}

impl AtOnce {
    pub(crate) fn is_for(&self, tenant: &TenantId) -> bool {
        match self {
            AtOnce::Nobody => false,
            AtOnce::Tenant(one) => one == tenant,
            AtOnce::Everybody => true,
        }
    }
}

impl Engine {
    /// How long a tenant's rows are kept, as it is in force by a manifest.
    pub(crate) fn policy(&self, tenant: &TenantId, signal: Signal, manifest: &Manifest) -> Policy {
        let said = self.said_policy(tenant, signal);
        match &manifest.retention {
            Some(retained) => in_force(retained, said, self.clock().now().0),
            None => said,
        }
    }

    /// How long a tenant's rows are kept by its limits.
    pub(crate) fn said_policy(&self, tenant: &TenantId, signal: Signal) -> Policy {
        let limits = self.components.limits.limits(tenant);
        Policy::of(limits.retention.of(signal), limits.keep_rules.of(signal))
    }

    /// What reads leave out.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] where a stored selector makes no sense.
    pub(crate) fn hidden_from_reads(
        &self,
        partition: &Partition,
        manifest: &Manifest,
    ) -> Result<Hidden, StorageError> {
        self.hidden(partition, manifest, Hidden::of_reads)
    }

    /// What rewriting leaves behind.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] where a stored selector makes no sense.
    pub(crate) fn hidden_from_rewriting(
        &self,
        partition: &Partition,
        manifest: &Manifest,
    ) -> Result<Hidden, StorageError> {
        self.hidden(partition, manifest, Hidden::of_rewriting)
    }

    /// What somebody may not see by a manifest, at this moment.
    fn hidden(
        &self,
        partition: &Partition,
        manifest: &Manifest,
        of: impl FnOnce(Signal, Arc<Keeping>, i64) -> Hidden,
    ) -> Result<Hidden, StorageError> {
        let id = &partition.id;
        let keeping = partition.keeping.get(manifest, self.policy(&id.tenant, id.signal, manifest))?;
        Ok(of(id.signal, keeping, self.clock().now().0))
    }

    /// One pass over all tenants. `at_once` lets shortened periods act without their grace.
    pub(crate) async fn retain(&self, at_once: &AtOnce) -> Result<RetentionReport, StorageError> {
        let mut report = RetentionReport::default();
        let mut first_failure = None;
        let log_age_ns = if *at_once == AtOnce::Nobody { MAX_LOG_FILE_AGE_NS } else { 0 };
        if let Err(error) = self.renew_log(log_age_ns).await {
            tracing::warn!(%error, "a log file that is no longer needed stays until the next pass of retention");
        }
        for partition in self.tenants.all() {
            if let Err(error) =
                self.retain_partition(&partition, at_once.is_for(&partition.id.tenant), &mut report).await
            {
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
        is_at_once: bool,
        report: &mut RetentionReport,
    ) -> Result<(), StorageError> {
        let turn = partition.turn().await?;
        self.settle(partition).await?;
        self.settle_policy(partition, is_at_once).await?;
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
        partition.is_sweep_due.store(true, Ordering::Relaxed);
        let manifest = partition.manifests.commit(current, &transaction, &apply).await?;
        partition.committed(manifest, None);
        Ok(())
    }

    /// Says in the manifest how long rows are kept. What keeps less than before acts after a grace, because it may be a
    /// mistake; `is_at_once` does not wait for it. The caller has the turn.
    async fn settle_policy(&self, partition: &Partition, is_at_once: bool) -> Result<(), StorageError> {
        let id = &partition.id;
        let now_ns = self.clock().now().0;
        let grace_ms = if is_at_once { 0 } else { self.settings.retention.shorten_grace_ms };
        let from_ns =
            i64::try_from(grace_ms).unwrap_or(i64::MAX).saturating_mul(NS_PER_MS).saturating_add(now_ns);
        let said = self.said_policy(&id.tenant, id.signal);
        let apply = |manifest: &mut Manifest| {
            let settled = match &manifest.retention {
                Some(retained) => settled(retained, &said, now_ns, from_ns),
                None => Retained { policy: said.clone(), next: None },
            };
            if manifest.version == 0 || manifest.retention.as_ref() == Some(&settled) {
                return Change::Nothing;
            }
            manifest.retention = Some(settled);
            Change::Changed
        };
        if apply(&mut Manifest::clone(&partition.manifest())) == Change::Changed {
            self.commit_in_turn(partition, &apply).await?;
        }
        Ok(())
    }

    /// Takes expired segments out of the manifest, also those that were set aside. The caller has the turn.
    async fn expire(&self, partition: &Partition) -> Result<usize, StorageError> {
        let id = &partition.id;
        let expired_in = |manifest: &Manifest| -> Result<HashSet<String>, StorageError> {
            let hidden = self.hidden_from_rewriting(partition, manifest)?;
            let quarantined = manifest.quarantined.iter().map(|aside| &aside.segment);
            let all = manifest.segments.iter().chain(quarantined);
            Ok(all.filter(|segment| hidden.is_expired(segment)).map(|segment| segment.id.clone()).collect())
        };
        let mut expired = 0;
        loop {
            let current = partition.state().manifest.clone();
            let before = expired_in(&current)?.len();
            if before == 0 {
                break;
            }
            let apply = |manifest: &mut Manifest| {
                // Of the manifest that is changed: a hold may have come.
                let Ok(expired) = expired_in(manifest) else { return Change::Nothing };
                let mut room = MAX_EXPIRED_PER_COMMIT;
                let mut stays = |segment: &SegmentMeta| {
                    let goes = room > 0 && expired.contains(&segment.id);
                    room -= usize::from(goes);
                    !goes
                };
                manifest.segments.retain(&mut stays);
                manifest.quarantined.retain(|aside| stays(&aside.segment));
                if room == MAX_EXPIRED_PER_COMMIT { Change::Nothing } else { Change::Changed }
            };
            let transaction = self.ids.next(self.clock());
            // Also when no answer comes: it may have been committed all the same.
            partition.is_sweep_due.store(true, Ordering::Relaxed);
            let manifest = partition.manifests.commit(current, &transaction, &apply).await?;
            let after = expired_in(&manifest)?.len();
            partition.committed(manifest, None);
            expired += before.saturating_sub(after);
        }
        self.metrics.segments_expired.get_or_create(&BySignal::new(id.signal)).inc_by(expired as u64);
        Ok(expired)
    }
}

/// The policy that holds at a moment: what was said, where that keeps all that was promised.
fn in_force(retained: &Retained, said: Policy, now_ns: i64) -> Policy {
    let next = retained.next.as_ref().filter(|next| next.from_ns <= now_ns);
    let promised = next.map_or(&retained.policy, |next| &next.policy);
    if said.keeps_all_of(promised) { said } else { promised.clone() }
}

/// What a manifest says of the policy after somebody has looked at what was said.
fn settled(retained: &Retained, said: &Policy, now_ns: i64, from_ns: i64) -> Retained {
    let policy = in_force(retained, said.clone(), now_ns);
    if policy == *said || from_ns <= now_ns {
        return Retained { policy: said.clone(), next: None };
    }
    let next = retained.next.clone().filter(|next| next.policy == *said);
    let next = next.unwrap_or_else(|| NextPolicy { policy: said.clone(), from_ns });
    Retained { policy, next: Some(next) }
}
