//! Memory that queries may hold: a pool per query, inside a budget per tenant.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool, MemoryReservation};

use crate::error::QueryError;

/// What all queries of one tenant hold together.
#[derive(Debug, Default)]
pub(crate) struct TenantBudget {
    used: AtomicUsize,
}

/// The pool of one query.
#[derive(Debug)]
pub(crate) struct QueryPool {
    tenant: Arc<TenantBudget>,
    tenant_limit_bytes: usize,
    limit_bytes: usize,
    used: AtomicUsize,
    peak: AtomicUsize,
}

impl QueryPool {
    pub(crate) fn new(tenant: Arc<TenantBudget>, tenant_limit_bytes: usize, limit_bytes: usize) -> Self {
        Self { tenant, tenant_limit_bytes, limit_bytes, used: AtomicUsize::new(0), peak: AtomicUsize::new(0) }
    }

    /// The most that was held at once, in bytes.
    pub(crate) fn peak_bytes(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    fn note_peak(&self, used: usize) {
        self.peak.fetch_max(used, Ordering::Relaxed);
    }
}

fn take(used: &AtomicUsize, additional: usize, limit: usize) -> std::result::Result<usize, usize> {
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |have| {
        have.checked_add(additional).filter(|sum| *sum <= limit)
    })
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &'static str {
        "query"
    }

    fn grow(&self, _reservation: &MemoryReservation, additional: usize) {
        let used = self.used.fetch_add(additional, Ordering::Relaxed) + additional;
        self.tenant.used.fetch_add(additional, Ordering::Relaxed);
        self.note_peak(used);
    }

    fn shrink(&self, _reservation: &MemoryReservation, shrink: usize) {
        self.used.fetch_sub(shrink, Ordering::Relaxed);
        self.tenant.used.fetch_sub(shrink, Ordering::Relaxed);
    }

    fn try_grow(&self, _reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let before = take(&self.used, additional, self.limit_bytes).map_err(|held| {
            let limit = self.limit_bytes;
            let message = exhausted("the query", "query_memory_bytes", held, additional, limit);
            // To ask again would not help, unlike where the tenant's other queries have the memory.
            DataFusionError::External(Box::new(QueryError::Execution(message)))
        })?;
        if let Err(held) = take(&self.tenant.used, additional, self.tenant_limit_bytes) {
            self.used.fetch_sub(additional, Ordering::Relaxed);
            let limit = self.tenant_limit_bytes;
            let (who, key) = ("the tenant's queries together", "tenant_query_memory_bytes");
            return Err(DataFusionError::ResourcesExhausted(exhausted(who, key, held, additional, limit)));
        }
        self.note_peak(before + additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit_bytes)
    }
}

impl fmt::Display for QueryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "query pool: used_bytes={} limit_bytes={}", self.reserved(), self.limit_bytes)
    }
}

fn exhausted(who: &str, key: &str, held: usize, more: usize, limit: usize) -> String {
    format!(
        "{who} would hold too much memory: held_bytes={held} needed_bytes={more} {key}={limit}; \
         ask for fewer series or a shorter range, or have the limit raised"
    )
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::MemoryConsumer;

    use super::*;

    fn pool(tenant: &Arc<TenantBudget>) -> Arc<dyn MemoryPool> {
        Arc::new(QueryPool::new(Arc::clone(tenant), 150, 100))
    }

    #[test]
    fn a_query_stays_within_its_own_and_its_tenants_limit() {
        let tenant = Arc::new(TenantBudget::default());
        let (one, two) = (pool(&tenant), pool(&tenant));
        let a = MemoryConsumer::new("a").register(&one);
        let b = MemoryConsumer::new("b").register(&two);
        a.try_grow(90).unwrap();
        let own = a.try_grow(20).unwrap_err().to_string();
        assert!(own.contains("query_memory_bytes=100"), "{own}");
        let shared = b.try_grow(70).unwrap_err().to_string();
        assert!(shared.contains("tenant_query_memory_bytes=150"), "{shared}");
        assert_eq!(two.reserved(), 0, "a refused reservation leaves nothing behind");
        drop(a);
        b.try_grow(70).unwrap();
        assert_eq!((one.reserved(), two.reserved()), (0, 70));
    }
}
