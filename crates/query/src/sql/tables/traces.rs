//! `traces`: a row per span.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, RecordBatch, StringArray, StructArray, TimestampNanosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int64Type, SchemaRef, TimeUnit, UInt8Type};
use model::AttributeRef;
use model::trace::{FIRST_PROMOTED_COLUMN, SpansView};

use super::{Columns, UTC, attribute_maps, hex_ids, moment, push_map, schema, text_map, text_map_builder};
use crate::error::QueryError;
use crate::tags::view;

fn event_fields() -> Fields {
    Fields::from(vec![
        Field::new("timestamp", moment(TimeUnit::Nanosecond), false),
        Field::new("name", DataType::Utf8, false),
        Field::new("attributes", text_map(), false),
    ])
}

fn link_fields() -> Fields {
    Fields::from(vec![
        Field::new("trace_id", DataType::Utf8, false),
        Field::new("span_id", DataType::Utf8, false),
        Field::new("trace_state", DataType::Utf8, false),
        Field::new("attributes", text_map(), false),
    ])
}

fn list_of(fields: Fields) -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Struct(fields), false)))
}

/// The columns of `traces`.
pub(crate) static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(vec![
        Field::new("timestamp", moment(TimeUnit::Nanosecond), false),
        Field::new("end_timestamp", moment(TimeUnit::Nanosecond), false),
        Field::new("duration_ns", DataType::Int64, false),
        Field::new("trace_id", DataType::Utf8, false),
        Field::new("span_id", DataType::Utf8, false),
        Field::new("parent_span_id", DataType::Utf8, true),
        Field::new("service", DataType::Utf8, true),
        Field::new("name", DataType::Utf8, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("status", DataType::Utf8, false),
        Field::new("status_message", DataType::Utf8, false),
        Field::new("attributes", text_map(), false),
        Field::new("resource", text_map(), false),
        Field::new("scope_name", DataType::Utf8, false),
        Field::new("scope_version", DataType::Utf8, false),
        Field::new("scope_attributes", text_map(), false),
        Field::new("events", list_of(event_fields()), false),
        Field::new("links", list_of(link_fields()), false),
        Field::new("trace_state", DataType::Utf8, false),
        Field::new("flags", DataType::UInt32, false),
        Field::new("dropped_attributes", DataType::UInt32, false),
        Field::new("dropped_events", DataType::UInt32, false),
        Field::new("dropped_links", DataType::UInt32, false),
    ])
});

/// OpenTelemetry's kinds of spans, by number.
const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];
/// OpenTelemetry's statuses, by number.
const STATUSES: [&str; 3] = ["unset", "ok", "error"];

/// Columns of the store's spans.
const PARENT_COLUMN: usize = 2;
const START_COLUMN: usize = 7;
const DURATION_COLUMN: usize = 8;

/// Rows of the store as rows of the table.
///
/// # Errors
/// When the batch is not of the store's schema: a fault of ours.
pub(crate) fn rows(columns: &Columns, batch: &RecordBatch) -> Result<RecordBatch, QueryError> {
    let spans = view(batch)?;
    columns.batch(batch.num_rows(), |place| {
        Ok(match place {
            0 => {
                let starts = batch.column(START_COLUMN).as_primitive::<Int64Type>().values().clone();
                Arc::new(TimestampNanosecondArray::new(starts, None).with_timezone(UTC))
            }
            1 => ends(batch),
            2 => Arc::clone(batch.column(DURATION_COLUMN)),
            3 | 4 => hex_ids(batch.column(place - 3).as_fixed_size_binary()),
            5 => hex_ids(batch.column(PARENT_COLUMN).as_fixed_size_binary()),
            6 => Arc::clone(batch.column(FIRST_PROMOTED_COLUMN)),
            7 => Arc::clone(batch.column(5)),
            8 => names(batch.column(6), &KINDS),
            9 => names(batch.column(9), &STATUSES),
            10 => Arc::clone(batch.column(10)),
            11 => maps(&spans, |spans, row| spans.attributes(row).collect())?,
            12 => maps(&spans, |spans, row| spans.resource_attributes(row).collect())?,
            13 | 14 => Arc::clone(batch.column(place - 2)),
            15 => maps(&spans, |spans, row| spans.scope_attributes(row).collect())?,
            16 => events(batch.column(19).as_list())?,
            17 => links(batch.column(20).as_list())?,
            18 | 19 => Arc::clone(batch.column(place - 15)),
            _ => Arc::clone(batch.column(place - 7)),
        })
    })
}

fn ends(batch: &RecordBatch) -> ArrayRef {
    let starts = batch.column(START_COLUMN).as_primitive::<Int64Type>().values();
    let durations = batch.column(DURATION_COLUMN).as_primitive::<Int64Type>().values();
    let ends = starts.iter().zip(durations).map(|(start, duration)| start.saturating_add(*duration));
    Arc::new(TimestampNanosecondArray::from_iter_values(ends).with_timezone(UTC))
}

/// The names of numbers; a number without a name is written as it is.
fn names(column: &ArrayRef, names: &[&str]) -> ArrayRef {
    let numbers = column.as_primitive::<UInt8Type>().values();
    let texts = numbers.iter().map(|number| match names.get(usize::from(*number)) {
        Some(name) => (*name).to_owned(),
        None => number.to_string(),
    });
    Arc::new(StringArray::from_iter_values(texts))
}

fn maps<'a>(
    spans: &SpansView<'a>,
    of_row: impl Fn(&SpansView<'a>, usize) -> Vec<(&'a str, AttributeRef<'a>)>,
) -> Result<ArrayRef, QueryError> {
    let mut maps = text_map_builder();
    for row in 0..spans.rows() {
        push_map(&mut maps, of_row(spans, row).into_iter().map(|(key, value)| (key, value.to_string())))?;
    }
    Ok(Arc::new(maps.finish()))
}

/// The list without the values of rows that it was cut from.
fn of_its_own(list: &ListArray) -> ListArray {
    let (first, last) = (list.value_offsets()[0], list.value_offsets()[list.len()]);
    let place = |offset: i32| usize::try_from(offset).unwrap_or(0);
    let values = list.values().slice(place(first), place(last) - place(first));
    let DataType::List(item) = list.data_type() else { return list.clone() };
    let offsets = OffsetBuffer::from_lengths(list.offsets().lengths());
    ListArray::new(Arc::clone(item), offsets, values, list.nulls().cloned())
}

/// A list with the structs of another, each with new fields.
fn restructured(list: &ListArray, fields: Fields, columns: Vec<ArrayRef>) -> Result<ArrayRef, QueryError> {
    let fault = |error: arrow::error::ArrowError| QueryError::Internal(error.to_string());
    let item = Arc::new(Field::new("item", DataType::Struct(fields.clone()), false));
    let values = StructArray::try_new(fields, columns, None).map_err(fault)?;
    let list = ListArray::try_new(item, list.offsets().clone(), Arc::new(values), None);
    Ok(Arc::new(list.map_err(fault)?))
}

fn events(list: &ListArray) -> Result<ArrayRef, QueryError> {
    let list = &of_its_own(list);
    let values = list.values().as_struct();
    let moments = values.column(0).as_primitive::<Int64Type>().values().clone();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampNanosecondArray::new(moments, None).with_timezone(UTC)),
        Arc::clone(values.column(1)),
        attribute_maps(values.column(3))?,
    ];
    restructured(list, event_fields(), columns)
}

fn links(list: &ListArray) -> Result<ArrayRef, QueryError> {
    let list = &of_its_own(list);
    let values = list.values().as_struct();
    let columns: Vec<ArrayRef> = vec![
        hex_ids(values.column(0).as_fixed_size_binary()),
        hex_ids(values.column(1).as_fixed_size_binary()),
        Arc::clone(values.column(2)),
        attribute_maps(values.column(5))?,
    ];
    restructured(list, link_fields(), columns)
}
