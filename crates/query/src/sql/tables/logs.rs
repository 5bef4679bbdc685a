//! `logs`: a row per line.

use std::sync::{Arc, LazyLock};

use arrow::array::{AsArray, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, SchemaRef, TimeUnit, UInt8Type, UInt32Type};
use model::Labels;

use super::{
    Columns, Numbered, UTC, attribute_maps, hex_ids, moment, push_map, schema, text_map, text_map_builder,
};
use crate::error::QueryError;

/// The place of the column of lines.
pub(crate) const LINE: usize = 2;
/// The first place of the columns that the store keeps beside the line.
pub(crate) const FIRST_METADATA: usize = 3;

/// The columns of `logs`.
pub(crate) static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(vec![
        Field::new("timestamp", moment(TimeUnit::Nanosecond), false),
        Field::new("labels", text_map(), false),
        Field::new("line", DataType::Utf8, false),
        Field::new("severity", DataType::Utf8, true),
        Field::new("severity_number", DataType::UInt8, false),
        Field::new("trace_id", DataType::Utf8, true),
        Field::new("span_id", DataType::Utf8, true),
        Field::new("metadata", text_map(), false),
    ])
});

/// OpenTelemetry's short names, for each four numbers from 1 on.
const SEVERITIES: [&str; 6] = ["trace", "debug", "info", "warn", "error", "fatal"];

fn severity(number: u8) -> Option<&'static str> {
    SEVERITIES.get(usize::from(number.checked_sub(1)? / 4)).copied()
}

/// Rows of the store as rows of the table.
///
/// # Errors
/// When the batch is not of the store's schema: a fault of ours.
pub(crate) fn rows(
    columns: &Columns,
    labels: &[Labels],
    batch: &RecordBatch,
) -> Result<RecordBatch, QueryError> {
    let numbered = Numbered::new(batch.column(0).as_primitive::<UInt32Type>().values());
    columns.batch(batch.num_rows(), |place| {
        Ok(match place {
            0 => {
                let moments = batch.column(1).as_primitive::<Int64Type>().values().clone();
                Arc::new(TimestampNanosecondArray::new(moments, None).with_timezone(UTC))
            }
            1 => {
                let mut maps = text_map_builder();
                for labels in numbered.labels(labels)? {
                    push_map(&mut maps, labels)?;
                }
                numbered.spread(&maps.finish())?
            }
            3 => {
                let numbers = batch.column(3).as_primitive::<UInt8Type>().values();
                Arc::new(numbers.iter().map(|number| severity(*number)).collect::<StringArray>())
            }
            5 | 6 => hex_ids(batch.column(place - 1).as_fixed_size_binary()),
            7 => attribute_maps(batch.column(6))?,
            // The line is column 2 in both; the number of the severity is column 3 of the store.
            LINE => Arc::clone(batch.column(2)),
            _ => Arc::clone(batch.column(3)),
        })
    })
}
