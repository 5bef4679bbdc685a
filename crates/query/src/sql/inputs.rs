//! An operator that bounds what comes into others which do not bound it themselves: windows hold their input without
//! counting it, and a list that is spread over rows makes one batch of each.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::answer::data_bytes;
use crate::error::QueryError;

/// What the rows of a batch may become when their lists are spread, in bytes.
const MAX_SPREAD_BYTES: usize = 16 << 20;

/// What one row may become.
const MAX_SPREAD_ROW_BYTES: usize = 64 << 20;

/// How an input is bounded.
#[derive(Clone, Debug)]
enum Bound {
    /// Everything that passes counts as held until the end.
    Held,
    /// Batches are cut so that spreading the lists of these columns makes no large ones.
    Cut(Vec<usize>),
}

/// The operator.
#[derive(Debug)]
struct InputExec {
    input: Arc<dyn ExecutionPlan>,
    bound: Bound,
}

/// The plan with the inputs bounded of those operators that need it.
///
/// # Errors
/// When an operator does not take its input back: a fault of DataFusion's.
pub(crate) fn with_bounds(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let bounded = plan.transform_up(|node| {
        let bound = if let Some(unnest) = node.downcast_ref::<UnnestExec>() {
            Bound::Cut(unnest.list_column_indices().iter().map(|list| list.index_in_input_schema).collect())
        } else if node.downcast_ref::<WindowAggExec>().is_some()
            || node.downcast_ref::<BoundedWindowAggExec>().is_some()
        {
            Bound::Held
        } else {
            return Ok(Transformed::no(node));
        };
        let wrapped = |input: &Arc<dyn ExecutionPlan>| -> Arc<dyn ExecutionPlan> {
            Arc::new(InputExec { input: Arc::clone(input), bound: bound.clone() })
        };
        let inputs = node.children().into_iter().map(wrapped).collect();
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        Ok(Transformed::yes(node.replace_children(inputs, options)?))
    })?;
    Ok(bounded.data)
}

impl DisplayAs for InputExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bound {
            Bound::Held => f.write_str("InputExec: held"),
            Bound::Cut(columns) => write!(f, "InputExec: cut by columns={columns:?}"),
        }
    }
}

impl ExecutionPlan for InputExec {
    fn name(&self) -> &'static str {
        "InputExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Self { input, bound: self.bound.clone() }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let schema = input.schema();
        let bounded = match &self.bound {
            Bound::Held => {
                let memory = MemoryConsumer::new("window").register(context.memory_pool());
                input.map(move |batch| held(&memory, batch?)).boxed()
            }
            Bound::Cut(columns) => {
                let columns = columns.clone();
                input
                    .map(move |batch| {
                        Ok::<_, DataFusionError>(stream::iter(cut(&columns, &batch?)?.into_iter().map(Ok)))
                    })
                    .try_flatten()
                    .boxed()
            }
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, bounded)))
    }
}

fn held(memory: &MemoryReservation, batch: RecordBatch) -> Result<RecordBatch> {
    memory.try_grow(data_bytes(&batch))?;
    Ok(batch)
}

/// The batch in pieces; one row may be a piece.
fn cut(columns: &[usize], batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
    let row_bytes = data_bytes(batch) / batch.num_rows().max(1) + 1;
    let mut pieces = Vec::new();
    let (mut first, mut bytes) = (0, 0_usize);
    for row in 0..batch.num_rows() {
        let values = columns.iter().map(|column| values(batch.column(*column), row)).max().unwrap_or(1);
        let of_row = values.saturating_mul(row_bytes);
        if of_row > MAX_SPREAD_ROW_BYTES {
            let message = format!(
                "a list is too long to be spread over rows: values={values} row_bytes={row_bytes} \
                 max_bytes={MAX_SPREAD_ROW_BYTES}; select fewer columns beside it"
            );
            return Err(DataFusionError::External(Box::new(QueryError::Execution(message))));
        }
        if bytes.saturating_add(of_row) > MAX_SPREAD_BYTES && row > first {
            pieces.push(batch.slice(first, row - first));
            (first, bytes) = (row, 0);
        }
        bytes = bytes.saturating_add(of_row);
    }
    pieces.push(batch.slice(first, batch.num_rows() - first));
    Ok(pieces)
}

/// How many values a row's list has, those of lists within it counted instead of them.
fn values(column: &ArrayRef, row: usize) -> usize {
    let Some(list) = column.as_list_opt::<i32>() else { return 1 };
    let offsets = list.value_offsets();
    let place = |offset: i32| usize::try_from(offset).unwrap_or(0);
    let (first, last) = (place(offsets[row]), place(offsets[row + 1]));
    match list.values().as_list_opt::<i32>() {
        Some(_) => (first..last).map(|inner| values(list.values(), inner)).sum(),
        None => last - first,
    }
}
