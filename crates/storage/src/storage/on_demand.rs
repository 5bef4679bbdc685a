//! Work that the engine does by itself before long, done when somebody asks for it.

use model::{TenantContext, TenantId};

use super::Storage;
use crate::compact::CompactionReport;
use crate::error::StorageError;
use crate::retention::{AtOnce, RetentionReport};

impl Storage {
    /// Writes all heads as segments and deletes the log files that are no longer needed.
    ///
    /// # Errors
    /// The first failure; the other heads are flushed all the same, and what failed stays in memory and in the log.
    pub async fn flush(&self) -> Result<(), StorageError> {
        self.engine.flush_all().await
    }

    /// The same of some tenants only.
    ///
    /// # Errors
    /// As [`Storage::flush`].
    pub async fn flush_of(&self, is_meant: impl Fn(&TenantId) -> bool) -> Result<(), StorageError> {
        self.engine.flush_of(is_meant).await
    }

    /// Merges segments of all tenants until no merge is due.
    ///
    /// # Errors
    /// The first failure; the other tenants' segments are merged all the same, and what failed is as it was before.
    pub async fn compact(&self) -> Result<CompactionReport, StorageError> {
        self.engine.compact(&AtOnce::Nobody).await
    }

    /// Takes hidden rows that are due out of a tenant's segments; how many were rewritten.
    ///
    /// # Errors
    /// The first failure; the other segments are rewritten all the same.
    pub async fn erase(&self, ctx: &TenantContext) -> Result<usize, StorageError> {
        self.engine.erase_of(ctx.tenant()).await
    }

    /// One pass of retention and sweep over all tenants.
    ///
    /// # Errors
    /// The first failure; the other tenants are looked after all the same.
    pub async fn retain(&self) -> Result<RetentionReport, StorageError> {
        self.engine.retain(&AtOnce::Nobody).await
    }

    /// Does all that is due of retention now: heads are flushed, shortened periods act without their grace, hidden rows are
    /// taken out of segments, and what nobody has named for the grace is deleted.
    ///
    /// # Errors
    /// The first failure; the other tenants are looked after all the same.
    pub async fn retain_at_once(&self, at_once: &AtOnce) -> Result<RetentionReport, StorageError> {
        self.engine.flush_all().await?;
        let expired = self.engine.retain(at_once).await;
        let rewritten = self.engine.compact(at_once).await;
        let mut report = expired?;
        report.segments_rewritten = rewritten?.erased;
        let swept = self.engine.retain(at_once).await?;
        report.segments_expired += swept.segments_expired;
        report.objects_deleted += swept.objects_deleted;
        report.bytes_deleted += swept.bytes_deleted;
        report.expired_bytes_present = swept.expired_bytes_present;
        Ok(report)
    }
}
