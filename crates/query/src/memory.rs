//! Memory that queries may hold: a pool per query, inside a budget per tenant, inside the one of all queries.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use model::{Limits, Pressure, Signal};
use storage::{ReadMemory, Refusal};

use crate::error::QueryError;
use crate::leaf::from_datafusion;
use crate::limits::over;

/// While the process is near its limit a query may still hold this part of the memory of all, one in so many: small ones
/// are answered, and a process that stays there is not deaf.
const SMALL_PART: usize = 16;

/// What all queries of one tenant, or of all tenants, hold together.
#[derive(Debug, Default)]
pub(crate) struct SharedBudget {
    used: AtomicUsize,
    /// What the whole process holds, in the budget of all.
    pressure: Pressure,
}

impl SharedBudget {
    /// The budget of all queries.
    pub(crate) fn of_all(pressure: Pressure) -> Self {
        Self { used: AtomicUsize::new(0), pressure }
    }

    /// What is held now, in bytes.
    pub(crate) fn used_bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// How much a query may hold, and those that it shares memory with. In bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolLimits {
    pub(crate) query_bytes: usize,
    pub(crate) tenant_bytes: usize,
    pub(crate) all_bytes: usize,
}

impl PoolLimits {
    /// A tenant's limits within what the process has for all queries: one query gets at most half of it and one tenant
    /// three quarters, so that others find some.
    pub(crate) fn new(limits: &Limits, all_bytes: usize) -> Self {
        Self {
            query_bytes: limits.query_memory_bytes.min(all_bytes / 2),
            tenant_bytes: limits.tenant_query_memory_bytes.min(all_bytes / 4 * 3),
            all_bytes,
        }
    }
}

/// The pool of one query.
#[derive(Debug)]
pub(crate) struct QueryPool {
    all: Arc<SharedBudget>,
    /// Of each tenant that the query reads: it counts whole in every one.
    tenants: Vec<Arc<SharedBudget>>,
    limits: PoolLimits,
    used: AtomicUsize,
    peak: AtomicUsize,
}

impl QueryPool {
    pub(crate) fn new(all: Arc<SharedBudget>, tenants: Vec<Arc<SharedBudget>>, limits: PoolLimits) -> Self {
        Self { all, tenants, limits, used: AtomicUsize::new(0), peak: AtomicUsize::new(0) }
    }

    /// The most that was held at once, in bytes.
    pub(crate) fn peak_bytes(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Those that it shares memory with.
    fn shared(&self) -> impl Iterator<Item = &SharedBudget> {
        self.tenants.iter().chain([&self.all]).map(AsRef::as_ref)
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
        for budget in self.shared() {
            budget.used.fetch_add(additional, Ordering::Relaxed);
        }
        self.note_peak(used);
    }

    fn shrink(&self, _reservation: &MemoryReservation, shrink: usize) {
        self.used.fetch_sub(shrink, Ordering::Relaxed);
        for budget in self.shared() {
            budget.used.fetch_sub(shrink, Ordering::Relaxed);
        }
    }

    fn try_grow(&self, _reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let PoolLimits { query_bytes, tenant_bytes, all_bytes } = self.limits;
        let before = take(&self.used, additional, query_bytes).map_err(|held| {
            let message = exhausted("the query", "query_memory_bytes", held, additional, query_bytes);
            // To ask again would not help, unlike where other queries have the memory.
            DataFusionError::External(Box::new(QueryError::Execution(message)))
        })?;
        let pressure = &self.all.pressure;
        if pressure.is_high() && before + additional > all_bytes / SMALL_PART {
            self.used.fetch_sub(additional, Ordering::Relaxed);
            return Err(DataFusionError::ResourcesExhausted(format!(
                "the process is near its limit of memory: resident_bytes={} high_bytes={} held_bytes={before} \
                 needed_bytes={additional}; ask again later, or ask for fewer series or a shorter range",
                pressure.resident_bytes(),
                pressure.high_bytes()
            )));
        }
        for (place, budget) in self.shared().enumerate() {
            let (who, key, limit) = if place < self.tenants.len() {
                ("the tenant's queries together", "tenant_query_memory_bytes", tenant_bytes)
            } else {
                ("all queries together", "queries_memory_bytes", all_bytes)
            };
            if let Err(held) = take(&budget.used, additional, limit) {
                self.used.fetch_sub(additional, Ordering::Relaxed);
                for taken in self.shared().take(place) {
                    taken.used.fetch_sub(additional, Ordering::Relaxed);
                }
                let message = exhausted(who, key, held, additional, limit);
                return Err(DataFusionError::ResourcesExhausted(message));
            }
        }
        self.note_peak(before + additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limits.query_bytes)
    }
}

/// What reads of the store hold for a query, in its pool.
#[derive(Debug)]
pub(crate) struct Reads {
    held: MemoryReservation,
    signal: Signal,
    /// All bytes that were decoded so far, also those that are given back.
    read: AtomicU64,
    max_bytes: Option<u64>,
}

impl Reads {
    pub(crate) fn new(pool: &Arc<dyn MemoryPool>, signal: Signal, max_bytes: Option<u64>) -> Self {
        let held = MemoryConsumer::new("reads").register(pool);
        Self { held, signal, read: AtomicU64::new(0), max_bytes }
    }
}

impl ReadMemory for Reads {
    fn take(&self, bytes: usize) -> std::result::Result<(), Refusal> {
        let read = self.read.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if let Some(most) = self.max_bytes.filter(|most| read > *most) {
            let key = match self.signal {
                Signal::Traces => "read.max_query_bytes_read",
                Signal::Metrics | Signal::Logs => "max_query_bytes_read",
            };
            return Err(Box::new(over(self.signal, key, &read.to_string(), &most.to_string())));
        }
        self.held.try_grow(bytes).map_err(|error| Box::new(from_datafusion(&error)) as _)
    }

    fn give_back(&self, bytes: usize) {
        self.held.shrink(bytes);
    }
}

impl fmt::Display for QueryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "query pool: used_bytes={} limit_bytes={}", self.reserved(), self.limits.query_bytes)
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
    use super::*;

    const LIMITS: PoolLimits = PoolLimits { query_bytes: 100, tenant_bytes: 150, all_bytes: 180 };

    fn pool(all: &Arc<SharedBudget>, tenant: &Arc<SharedBudget>) -> Arc<dyn MemoryPool> {
        Arc::new(QueryPool::new(Arc::clone(all), vec![Arc::clone(tenant)], LIMITS))
    }

    #[test]
    fn a_query_stays_within_its_own_its_tenants_and_the_process_limit() {
        let all = Arc::new(SharedBudget::default());
        let (tenant, other) = (Arc::new(SharedBudget::default()), Arc::new(SharedBudget::default()));
        let (one, two, three) = (pool(&all, &tenant), pool(&all, &tenant), pool(&all, &other));
        let a = MemoryConsumer::new("a").register(&one);
        let b = MemoryConsumer::new("b").register(&two);
        let c = MemoryConsumer::new("c").register(&three);
        a.try_grow(90).unwrap();
        let own = a.try_grow(20).unwrap_err().to_string();
        assert!(own.contains("query_memory_bytes=100"), "{own}");
        let shared = b.try_grow(70).unwrap_err();
        assert!(matches!(shared, DataFusionError::ResourcesExhausted(_)), "another try may find room");
        assert!(shared.to_string().contains("tenant_query_memory_bytes=150"), "{shared}");
        let process = c.try_grow(95).unwrap_err();
        assert!(matches!(process, DataFusionError::ResourcesExhausted(_)));
        assert!(process.to_string().contains("queries_memory_bytes=180"), "{process}");
        assert_eq!((two.reserved(), three.reserved()), (0, 0), "a refused reservation leaves nothing behind");
        assert_eq!((tenant.used_bytes(), other.used_bytes(), all.used_bytes()), (90, 0, 90));
        drop(a);
        b.try_grow(70).unwrap();
        assert_eq!((one.reserved(), two.reserved(), all.used_bytes()), (0, 70, 70));
    }

    #[test]
    fn near_the_limit_of_the_process_only_small_queries_get_memory() {
        let pressure = Pressure::new(1_000);
        let all = Arc::new(SharedBudget::of_all(pressure.clone()));
        let pool = pool(&all, &Arc::default());
        let query = MemoryConsumer::new("query").register(&pool);
        query.try_grow(50).unwrap();
        pressure.note(1_000);
        let refused = query.try_grow(1).unwrap_err();
        assert!(matches!(refused, DataFusionError::ResourcesExhausted(_)), "another try may find room");
        assert!(refused.to_string().contains("resident_bytes=1000 high_bytes=1000"), "{refused}");
        assert_eq!(
            (pool.reserved(), all.used_bytes()),
            (50, 50),
            "a refused reservation leaves nothing behind"
        );
        let small = MemoryConsumer::new("small").register(&self::pool(&all, &Arc::default()));
        small.try_grow(180 / SMALL_PART).unwrap();
        pressure.note(999);
        query.try_grow(1).unwrap();
    }

    #[test]
    fn one_query_and_one_tenant_leave_room_for_others() {
        let limits =
            Limits { query_memory_bytes: 300, tenant_query_memory_bytes: 1_000, ..Limits::default() };
        let within = |all| {
            let limits = PoolLimits::new(&limits, all);
            (limits.query_bytes, limits.tenant_bytes)
        };
        assert_eq!(within(400), (200, 300));
        assert_eq!(within(10_000), (300, 1_000));
    }
}
