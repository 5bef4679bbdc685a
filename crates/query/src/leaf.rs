//! A leaf of a plan as a DataFusion operator: partitions of a snapshot, each read and reduced by its own worker.
//!
//! What a leaf reads and computes is the signal's ([`metrics`], [`logs`], [`traces`]); how it is scheduled, bounded
//! and stopped is here.

pub(crate) mod metrics;

pub(crate) mod logs;

pub(crate) mod traces;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr,
    PlanProperties, ReplaceChildrenOptions,
};
use futures::future::BoxFuture;
use futures::stream;
use model::Clock;
use parking_lot::Mutex;

use crate::error::QueryError;
use crate::pace::Pace;

/// What was read, counted by all partitions together.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) items: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) series: AtomicU64,
    /// What PromQL's workers were given and held, where that is counted.
    pub(crate) samples: Mutex<Touched>,
}

/// Samples by step, and values that were held.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub(crate) per_step: Vec<u64>,
    pub(crate) held: u64,
}

impl Touched {
    /// Adds the samples of each step.
    pub(crate) fn add(&mut self, per_step: &[u64], held: usize) {
        if self.per_step.len() < per_step.len() {
            self.per_step.resize(per_step.len(), 0);
        }
        self.per_step.iter_mut().zip(per_step).for_each(|(sum, more)| *sum += more);
        self.held += held as u64;
    }
}

impl Counters {
    /// Counts a batch that was read.
    pub(crate) fn read(&self, batch: &RecordBatch) {
        self.add(batch.num_rows() as u64, batch.get_array_memory_size() as u64);
    }

    /// Counts items and their bytes.
    pub(crate) fn add(&self, items: u64, bytes: u64) {
        self.items.fetch_add(items, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The signal's part of a leaf: what one partition reads and computes.
pub(crate) trait Work: fmt::Debug + Send + Sync + 'static {
    /// The operator's name in an explained plan.
    fn name(&self) -> &'static str;

    /// The columns of the partial result.
    fn schema(&self) -> SchemaRef;

    /// How many partitions there are, at least one.
    fn partitions(&self) -> usize;

    /// Reads and computes one partition; holds what `memory` grants, and lets others run as `pace` says.
    fn run(
        &self,
        partition: usize,
        memory: Memory,
        pace: Pace,
    ) -> BoxFuture<'static, Result<Vec<RecordBatch>, QueryError>>;
}

/// The memory that a worker holds, resized as it grows.
pub(crate) struct Memory(MemoryReservation);

impl Memory {
    /// Makes the reservation as large as what is held now.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), QueryError> {
        self.0.try_resize(bytes).map_err(|error| from_datafusion(&error))
    }
}

/// The operator of a leaf.
pub(crate) struct LeafExec {
    work: Arc<dyn Work>,
    clock: Arc<dyn Clock>,
    properties: Arc<PlanProperties>,
}

impl LeafExec {
    pub(crate) fn new(work: Arc<dyn Work>, clock: Arc<dyn Clock>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(work.schema()),
            Partitioning::UnknownPartitioning(work.partitions()),
            EmissionType::Final,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Self { work, clock, properties: Arc::new(properties) }
    }
}

impl fmt::Debug for LeafExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeafExec").field("work", &self.work).finish_non_exhaustive()
    }
}

impl DisplayAs for LeafExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: partitions={}", self.work.name(), self.work.partitions())
    }
}

impl ExecutionPlan for LeafExec {
    fn name(&self) -> &str {
        self.work.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition >= self.work.partitions() {
            return internal_err!("partition out of range: partition={partition}");
        }
        let memory = Memory(MemoryConsumer::new(self.work.name()).register(context.memory_pool()));
        let work = Arc::clone(&self.work);
        let pace = Pace::new(Arc::clone(&self.clock));
        let batches = async move {
            let batches = work.run(partition, memory, pace).await;
            let batches = batches.map_err(|error| DataFusionError::External(Box::new(error)))?;
            Ok::<_, DataFusionError>(stream::iter(batches.into_iter().map(Ok)))
        };
        let batches = futures::TryStreamExt::try_flatten(stream::once(batches));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.work.schema(), batches)))
    }
}

/// Gives the error back that a worker put in, and classifies DataFusion's own.
pub(crate) fn from_datafusion(error: &DataFusionError) -> QueryError {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(message) => QueryError::Limited(message.clone()),
        DataFusionError::External(inner) => match inner.downcast_ref::<QueryError>() {
            Some(own) => own.clone(),
            None => QueryError::Internal(inner.to_string()),
        },
        other => QueryError::Internal(other.to_string()),
    }
}

/// Splits `items` into at most `parts` ranges of about the same length, none of them empty (one empty range for none).
pub(crate) fn split(items: usize, parts: usize) -> Vec<std::ops::Range<usize>> {
    let parts = parts.clamp(1, items.max(1));
    (0..parts).map(|i| i * items / parts..(i + 1) * items / parts).collect()
}
