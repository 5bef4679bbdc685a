//! The operator that reads a table: its partitions beside each other, each a stream of small batches.
//!
//! Unlike the leaves of the other languages it computes nothing: DataFusion's operators above it do.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr,
    PlanProperties, ReplaceChildrenOptions,
};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use storage::StorageError;

use crate::engine::Running;
use crate::error::QueryError;

/// Rows that a scan gives at once are of about so many bytes at most.
const MAX_BATCH_BYTES: usize = 1 << 20;

/// Rows that are taken at once however long they are: the store's batches may share memory, and count as longer.
const MIN_BATCH_ROWS: usize = 64;

/// Batches of the store.
pub(crate) type StoreBatches = BoxStream<'static, std::result::Result<RecordBatch, StorageError>>;

/// What a scan reads and how its rows become the table's.
pub(crate) trait Source: fmt::Debug + Send + Sync + 'static {
    /// The operator's name in an explained plan.
    fn name(&self) -> &'static str;

    /// The columns that it gives.
    fn schema(&self) -> SchemaRef;

    /// How many partitions there are, at least one.
    fn partitions(&self) -> usize;

    /// How many series, streams or traces a partition looks at, where that is known before it is read.
    fn series(&self, partition: usize) -> usize;

    /// Reads a partition.
    fn read(&self, partition: usize) -> StoreBatches;

    /// Rows of the store as rows of the table.
    fn rows(&self, batch: &RecordBatch) -> std::result::Result<RecordBatch, QueryError>;
}

/// The operator.
pub(crate) struct ScanExec {
    source: Arc<dyn Source>,
    running: Arc<Running>,
    /// Rows that a partition gives at most.
    fetch: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ScanExec {
    pub(crate) fn new(source: Arc<dyn Source>, running: Arc<Running>, fetch: Option<usize>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(source.schema()),
            Partitioning::UnknownPartitioning(source.partitions()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        let metrics = ExecutionPlanMetricsSet::new();
        Self { source, running, fetch, properties: Arc::new(properties), metrics }
    }
}

impl fmt::Debug for ScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScanExec").field("source", &self.source).finish_non_exhaustive()
    }
}

impl DisplayAs for ScanExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.source.name(), self.source)?;
        match self.fetch {
            Some(fetch) => write!(f, ", fetch={fetch}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for ScanExec {
    fn name(&self) -> &str {
        self.source.name()
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

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition >= self.source.partitions() {
            return internal_err!("partition out of range: partition={partition}");
        }
        self.running.counters.series.fetch_add(self.source.series(partition) as u64, Ordering::Relaxed);
        let reading = Reading {
            batches: self.source.read(partition),
            source: Arc::clone(&self.source),
            running: Arc::clone(&self.running),
            rest: None,
            max_rows: context.session_config().batch_size().max(1),
            wanted: self.fetch.unwrap_or(usize::MAX),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.source.schema(), reading.into_stream())))
    }
}

/// A partition that is being read.
struct Reading {
    batches: StoreBatches,
    source: Arc<dyn Source>,
    running: Arc<Running>,
    /// What is left of the batch that the store gave last, and how many of its rows are taken at once.
    rest: Option<(RecordBatch, usize)>,
    max_rows: usize,
    wanted: usize,
    metrics: BaselineMetrics,
}

impl Reading {
    fn into_stream(self) -> impl Stream<Item = Result<RecordBatch>> + Send {
        let pace = self.running.pace();
        stream::try_unfold((self, pace), |(mut reading, mut pace)| async move {
            let next = reading.next().await;
            pace.step().await;
            let next = next.map_err(|error| DataFusionError::External(Box::new(error)))?;
            Ok(next.map(|batch| (batch, (reading, pace))))
        })
    }

    async fn next(&mut self) -> std::result::Result<Option<RecordBatch>, QueryError> {
        while self.wanted > 0 {
            let Some(piece) = self.piece().await? else { break };
            let rows = self.source.rows(&piece)?;
            let rows = if rows.num_rows() > self.wanted { rows.slice(0, self.wanted) } else { rows };
            if rows.num_rows() > 0 {
                self.wanted -= rows.num_rows();
                self.metrics.record_output(rows.num_rows());
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }

    /// The next rows of the store, so few that the rows made of them are not large.
    async fn piece(&mut self) -> std::result::Result<Option<RecordBatch>, QueryError> {
        let (batch, at_once) = match self.rest.take() {
            Some(rest) => rest,
            None => match self.batches.next().await.transpose()? {
                Some(batch) => {
                    self.running.counters.read(&batch);
                    let row_bytes = batch.get_array_memory_size() / batch.num_rows().max(1);
                    let at_once = MAX_BATCH_BYTES / row_bytes.max(1);
                    (batch, at_once.clamp(MIN_BATCH_ROWS.min(self.max_rows), self.max_rows))
                }
                None => return Ok(None),
            },
        };
        let rows = at_once.min(batch.num_rows());
        if rows < batch.num_rows() {
            self.rest = Some((batch.slice(rows, batch.num_rows() - rows), at_once));
        }
        Ok(Some(batch.slice(0, rows)))
    }
}
