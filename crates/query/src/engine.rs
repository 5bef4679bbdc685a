//! The engine: admission, time, memory and threads of every query.
//!
//! What the languages ask for is in [`crate::prom`], [`crate::log`] and [`crate::trace`].

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt;
use model::limits::QueryLimits;
use model::time::NS_PER_MS;
use model::{Clock, Signal, TenantContext, TenantId, TimestampNs};
use parking_lot::Mutex;
use storage::{ReplayProgress, Storage};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::answer::QueryStats;
use crate::error::QueryError;
use crate::late::LateLines;
use crate::leaf::{Counters, LeafExec, Work, from_datafusion};
use crate::memory::{PoolLimits, QueryPool, Reads, SharedBudget};
use crate::pace::Pace;
use crate::settings::QuerySettings;
use crate::turns::{Asker, Turn, Turns};

/// Evaluates queries of all tenants; cheap to clone.
#[derive(Clone)]
pub struct QueryEngine {
    inner: Arc<Inner>,
}

struct Inner {
    storage: Storage,
    clock: Arc<dyn Clock>,
    settings: QuerySettings,
    pool: Handle,
    turns: Arc<Turns>,
    late_lines: LateLines,
    /// What all queries hold together.
    memory: Arc<SharedBudget>,
    budgets: Mutex<HashMap<TenantId, Arc<SharedBudget>>>,
}

/// One query while it runs: where it gets its memory, and what it has read.
pub(crate) struct Running {
    /// What it reads; what that holds is in its pool.
    pub(crate) storage: Storage,
    pool: Arc<QueryPool>,
    /// What leaves gave: it stays until the query is over.
    results: MemoryReservation,
    pub(crate) counters: Arc<Counters>,
    started_ns: u64,
    queue_ns: u64,
    handle: Handle,
    clock: Arc<dyn Clock>,
    // Last, and with the query's own parts: a turn is over when nothing of the query runs any more.
    turn: Mutex<Option<Turn>>,
}

/// What an answer holds until it is dropped: its query's turn and memory. So many answers are being written at once as
/// queries may run, and they stay within the memory of queries.
#[derive(Clone, Default)]
pub struct Held(Option<Arc<Running>>);

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.0.as_ref().map_or(0, |running| running.results.size())).finish()
    }
}

impl Held {
    pub(crate) fn new(running: &Arc<Running>) -> Self {
        Self(Some(Arc::clone(running)))
    }

    /// The answer is written, and takes so many bytes until its reader has them. Others may have the turn.
    pub fn written(&self, bytes: usize) {
        if let Some(running) = &self.0 {
            running.results.resize(bytes);
            drop(running.turn.lock().take());
        }
    }
}

/// A query that was started; it stops when this is dropped.
pub(crate) struct Started<T> {
    pub(crate) task: JoinSet<Result<T, QueryError>>,
    pub(crate) timeout: Duration,
    pub(crate) timeout_ms: i64,
}

impl QueryEngine {
    /// An engine over a store. Queries run on the threads of `pool`, which are not those that serve connections. They
    /// have a stack of [`crate::STACK_BYTES`].
    #[must_use]
    pub fn new(storage: Storage, clock: Arc<dyn Clock>, settings: QuerySettings, pool: Handle) -> Self {
        let turns = Turns::new(settings.max_concurrent);
        let memory = Arc::new(SharedBudget::of_all(settings.pressure.clone()));
        let budgets = Mutex::default();
        let late_lines = LateLines::default();
        Self { inner: Arc::new(Inner { storage, clock, settings, pool, turns, late_lines, memory, budgets }) }
    }

    /// Who follows lines. Whoever writes lines tells here that they come.
    #[must_use]
    pub fn late_lines(&self) -> &LateLines {
        &self.inner.late_lines
    }

    /// What all queries hold now, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.inner.memory.used_bytes()
    }

    /// How far the log of the process before is replayed.
    pub(crate) fn replay_progress(&self) -> ReplayProgress {
        self.inner.storage.replay()
    }

    pub(crate) fn settings(&self) -> &QuerySettings {
        &self.inner.settings
    }

    /// What time it is.
    pub(crate) fn now(&self) -> TimestampNs {
        self.inner.clock.now()
    }

    fn budget(&self, tenant: &TenantId) -> Arc<SharedBudget> {
        let mut budgets = self.inner.budgets.lock();
        if let Some(budget) = budgets.get(tenant) {
            return Arc::clone(budget);
        }
        budgets.retain(|_, budget| Arc::strong_count(budget) > 1);
        Arc::clone(budgets.entry(tenant.clone()).or_default())
    }

    /// Runs a query: waits for its turn, gives it a pool of memory, and stops it when its time is over.
    pub(crate) async fn run<T, F, Fut>(
        &self,
        (context, signal): (&TenantContext, Signal),
        timeout_ns: Option<i64>,
        query: F,
    ) -> Result<T, QueryError>
    where
        T: Send + 'static,
        F: FnOnce(Self, TenantContext, Arc<Running>) -> Fut,
        Fut: Future<Output = Result<T, QueryError>> + Send + 'static,
    {
        let (timeout, timeout_ms) = timeout(context.limits().query(signal), timeout_ns)?;
        let turn = async {
            let asked_ns = self.inner.clock.monotonic_ns();
            let turn = self.turn(context, signal).await?;
            let running = self.running((context, signal), turn, asked_ns);
            let work = query(self.clone(), context.clone(), Arc::new(running));
            // The set stops the query when this future is dropped: at its time-out, or when the caller has gone.
            let mut task = JoinSet::new();
            task.spawn_on(work, &self.inner.pool);
            match task.join_next().await {
                Some(Ok(answer)) => answer,
                Some(Err(error)) => Err(QueryError::Internal(error.to_string())),
                None => Err(QueryError::Internal("the query was not started".into())),
            }
        };
        match tokio::time::timeout(timeout, turn).await {
            Ok(answer) => answer,
            Err(_) => Err(QueryError::Timeout { timeout_ms }),
        }
    }

    /// Starts a query whose answer comes piece by piece: as [`QueryEngine::run`], but its time is over for itself too,
    /// so that a reader who does not read keeps no turn.
    ///
    /// # Errors
    /// When it has no time at all.
    pub(crate) fn start<T, F, Fut>(
        &self,
        (context, signal): (&TenantContext, Signal),
        timeout_ns: Option<i64>,
        query: F,
    ) -> Result<Started<T>, QueryError>
    where
        T: Send + 'static,
        F: FnOnce(Self, TenantContext, Arc<Running>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, QueryError>> + Send + 'static,
    {
        let (timeout, timeout_ms) = timeout(context.limits().query(signal), timeout_ns)?;
        let (engine, context) = (self.clone(), context.clone());
        let work = async move {
            let asked_ns = engine.inner.clock.monotonic_ns();
            let turn = engine.turn(&context, signal).await?;
            let running = engine.running((&context, signal), turn, asked_ns);
            query(engine.clone(), context, Arc::new(running)).await
        };
        let mut task = JoinSet::new();
        task.spawn_on(
            async move {
                let done = tokio::time::timeout(timeout, work).await;
                done.unwrap_or(Err(QueryError::Timeout { timeout_ms }))
            },
            &self.inner.pool,
        );
        Ok(Started { task, timeout, timeout_ms })
    }

    /// Waits for a turn of each tenant that is read.
    async fn turn(&self, context: &TenantContext, signal: Signal) -> Result<Turn, QueryError> {
        let askers = context.members().iter().map(|member| Asker {
            tenant: member.tenant().clone(),
            most: member.limits().query(signal).max_concurrent,
        });
        self.inner.turns.take(context.tenant(), askers.collect(), signal).await
    }

    fn running(&self, (context, signal): (&TenantContext, Signal), turn: Turn, asked_ns: u64) -> Running {
        let started_ns = self.inner.clock.monotonic_ns();
        let limits = PoolLimits::new(context.limits(), self.inner.settings.memory_bytes);
        let budgets = context.members().iter().map(|member| self.budget(member.tenant())).collect();
        let pool = Arc::new(QueryPool::new(Arc::clone(&self.inner.memory), budgets, limits));
        let memory: Arc<dyn MemoryPool> = Arc::clone(&pool) as _;
        let reads = Reads::new(&memory, signal, context.limits().query(signal).max_bytes_read);
        Running {
            storage: self.inner.storage.bounded_by(Arc::new(reads)),
            results: MemoryConsumer::new("results").register(&memory),
            pool,
            counters: Arc::default(),
            started_ns,
            queue_ns: started_ns.saturating_sub(asked_ns),
            handle: self.inner.pool.clone(),
            clock: Arc::clone(&self.inner.clock),
            turn: Mutex::new(Some(turn)),
        }
    }
}

/// The time that a query may take, also in milliseconds for messages.
fn timeout(limits: &QueryLimits, asked_ns: Option<i64>) -> Result<(Duration, i64), QueryError> {
    let limit_ns = limits.timeout_ns;
    let timeout_ns = asked_ns.map_or(limit_ns, |asked_ns| asked_ns.min(limit_ns));
    let timeout = Duration::from_nanos(u64::try_from(timeout_ns).unwrap_or(0));
    if timeout.is_zero() {
        return Err(QueryError::Timeout { timeout_ms: 0 });
    }
    Ok((timeout, timeout_ns / NS_PER_MS))
}

/// Tells work on another thread that nobody waits for it any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Running {
    /// Runs what computes for long without waiting, beside the threads that other queries need. The work is told
    /// when the query is stopped.
    pub(crate) async fn compute<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&dyn Fn() -> bool) -> T + Send + 'static,
    ) -> Result<T, QueryError> {
        let held = Arc::clone(self);
        let stop = StopOnDrop(Arc::default());
        let is_stopped = Arc::clone(&stop.0);
        let done = self.handle.spawn_blocking(move || {
            let result = work(&|| is_stopped.load(Ordering::Relaxed));
            drop(held);
            result
        });
        done.await.map_err(|error| QueryError::Internal(error.to_string()))
    }

    /// Executes a leaf: its partitions beside each other, each giving its batches.
    pub(crate) async fn leaf(&self, work: impl Work) -> Result<Vec<RecordBatch>, QueryError> {
        let plan: Arc<dyn ExecutionPlan> = Arc::new(LeafExec::new(Arc::new(work), Arc::clone(&self.clock)));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(self.memory()).build_arc();
        let runtime = runtime.map_err(|error| from_datafusion(&error))?;
        let context = Arc::new(TaskContext::default().with_runtime(runtime));
        let mut tasks = JoinSet::new();
        for partition in 0..plan.properties().partitioning.partition_count() {
            let stream = plan.execute(partition, Arc::clone(&context));
            let stream = stream.map_err(|error| from_datafusion(&error))?;
            tasks.spawn_on(async move { (partition, stream.try_collect::<Vec<_>>().await) }, &self.handle);
        }
        let mut parts = Vec::new();
        while let Some(done) = tasks.join_next().await {
            let (partition, batches) = done.map_err(|error| QueryError::Internal(error.to_string()))?;
            let batches = batches.map_err(|error| from_datafusion(&error))?;
            let bytes = batches.iter().map(RecordBatch::get_array_memory_size).sum();
            self.hold(bytes)?;
            parts.push((partition, batches));
        }
        // In the order of partitions, so that an answer does not depend on which of them was faster.
        parts.sort_by_key(|(partition, _)| *partition);
        Ok(parts.into_iter().flat_map(|(_, batches)| batches).collect())
    }

    /// The query's memory.
    pub(crate) fn memory(&self) -> Arc<dyn MemoryPool> {
        Arc::clone(&self.pool) as _
    }

    /// Holds memory until the query is over.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), QueryError> {
        self.results.try_grow(bytes).map_err(|error| from_datafusion(&error))
    }

    /// The pace of work that is not a leaf's.
    pub(crate) fn pace(&self) -> Pace {
        Pace::new(Arc::clone(&self.clock))
    }

    /// The time since the query has its turn.
    pub(crate) fn elapsed_ns(&self) -> u64 {
        self.clock.monotonic_ns().saturating_sub(self.started_ns)
    }

    /// What the query has cost so far.
    pub(crate) fn stats(&self) -> QueryStats {
        QueryStats {
            items: self.counters.items.load(Ordering::Relaxed),
            bytes: self.counters.bytes.load(Ordering::Relaxed),
            series: self.counters.series.load(Ordering::Relaxed),
            exec_ns: self.elapsed_ns(),
            prepare_ns: 0,
            queue_ns: self.queue_ns,
            peak_memory_bytes: self.pool.peak_bytes() as u64,
        }
    }
}
