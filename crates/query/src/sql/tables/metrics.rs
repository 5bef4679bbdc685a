//! `metrics`: a row per sample of a series, floats and native histograms in one table. Markers of a series' end are
//! no samples and are left out.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, StringArray, StructArray,
    TimestampMillisecondArray, new_null_array,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, SchemaRef, TimeUnit, UInt32Type};
use model::Labels;
use model::histogram::histogram_type;
use model::labels::METRIC_NAME;
use model::metric::is_stale;
use storage::MetricMetadata;

use super::{Columns, Numbered, UTC, moment, push_map, schema, text_map, text_map_builder};
use crate::error::QueryError;

/// Places of columns that need more than the samples.
pub(crate) const TYPE: usize = 4;
pub(crate) const UNIT: usize = 5;

/// The columns of `metrics`.
pub(crate) static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(vec![
        Field::new("timestamp", moment(TimeUnit::Millisecond), false),
        Field::new("name", DataType::Utf8, false),
        Field::new("labels", text_map(), false),
        Field::new("value", DataType::Float64, true),
        Field::new("type", DataType::Utf8, false),
        Field::new("unit", DataType::Utf8, false),
        Field::new("start_timestamp", moment(TimeUnit::Millisecond), true),
        Field::new("count", DataType::Float64, true),
        Field::new("sum", DataType::Float64, true),
        Field::new("histogram", histogram_type(), true),
    ])
});

/// The place of `count` within a histogram.
const COUNT_FIELD: usize = 4;
/// The place of `sum` within a histogram.
const SUM_FIELD: usize = 5;

/// What is known of metrics, by name.
pub(crate) type Known = HashMap<String, MetricMetadata>;

/// Rows of samples or histograms as rows of the table.
///
/// # Errors
/// When the batch is not of the store's schema: a fault of ours.
pub(crate) fn rows(
    columns: &Columns,
    labels: &[Labels],
    known: &Known,
    batch: &RecordBatch,
) -> Result<RecordBatch, QueryError> {
    let batch = without_ends(batch)?;
    let numbered = Numbered::new(batch.column(0).as_primitive::<UInt32Type>().values());
    let of_each = numbered.labels(labels)?;
    let name = |labels: &Labels| labels.metric_name().unwrap_or_default().to_owned();
    let told = |tell: &dyn Fn(&MetricMetadata) -> String| -> ArrayRef {
        let texts = of_each.iter().map(|labels| known.get(&name(labels)).map(tell).unwrap_or_default());
        Arc::new(StringArray::from_iter_values(texts))
    };
    columns.batch(batch.num_rows(), |place| match place {
        0 => Ok(milliseconds(&batch, 1, false)),
        1 => numbered.spread(&StringArray::from_iter_values(of_each.iter().map(|labels| name(labels)))),
        2 => {
            let mut maps = text_map_builder();
            for labels in &of_each {
                push_map(&mut maps, labels.iter().filter(|(name, _)| *name != METRIC_NAME))?;
            }
            numbered.spread(&maps.finish())
        }
        TYPE => numbered.spread(&told(&|metadata| metadata.metric_type.as_str().to_owned())),
        UNIT => numbered.spread(&told(&|metadata| metadata.unit.clone())),
        6 => Ok(milliseconds(&batch, 2, true)),
        place => Ok(measured(&batch, place)),
    })
}

/// The batch less the markers that end series.
fn without_ends(batch: &RecordBatch) -> Result<RecordBatch, QueryError> {
    let ends = |values: &Float64Array| -> Option<BooleanArray> {
        let has_end = values.values().iter().any(|value| is_stale(*value));
        has_end.then(|| values.values().iter().map(|value| Some(!is_stale(*value))).collect())
    };
    let keep = match batch.column(3).as_struct_opt() {
        Some(histograms) => ends(histograms.column(SUM_FIELD).as_primitive::<Float64Type>()),
        None => ends(batch.column(3).as_primitive::<Float64Type>()),
    };
    match keep {
        Some(keep) => {
            filter_record_batch(batch, &keep).map_err(|error| QueryError::Internal(error.to_string()))
        }
        None => Ok(batch.clone()),
    }
}

fn milliseconds(batch: &RecordBatch, column: usize, is_zero_unknown: bool) -> ArrayRef {
    let values = batch.column(column).as_primitive::<Int64Type>();
    let moments: TimestampMillisecondArray = if is_zero_unknown {
        values.iter().map(|ms| ms.filter(|ms| *ms != 0)).collect()
    } else {
        TimestampMillisecondArray::new(values.values().clone(), None)
    };
    Arc::new(moments.with_timezone(UTC))
}

/// `value` of floats; `count`, `sum` and `histogram` of histograms; the others are null.
fn measured(batch: &RecordBatch, place: usize) -> ArrayRef {
    let column = batch.column(3);
    let histograms: Option<&StructArray> = column.as_struct_opt();
    match (place, histograms) {
        (3, None) | (9, Some(_)) => Arc::clone(column),
        (7, Some(histograms)) => Arc::clone(histograms.column(COUNT_FIELD)),
        (8, Some(histograms)) => Arc::clone(histograms.column(SUM_FIELD)),
        (9, None) => new_null_array(&histogram_type(), batch.num_rows()),
        _ => Arc::new(Float64Array::new_null(batch.num_rows())),
    }
}
