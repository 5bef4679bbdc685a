//! The three tables that SQL sees, and how rows of the store become theirs.
//!
//! The columns are for people who write SQL: ids are text, labels and attributes are maps of text. What a query does
//! not use is not made.

pub(crate) mod logs;

pub(crate) mod metrics;

pub(crate) mod traces;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, FixedSizeBinaryArray, MapBuilder, RecordBatch, RecordBatchOptions, StringBuilder,
};
use arrow::buffer::ScalarBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use model::Labels;
use model::attributes::AttributesView;

use crate::error::QueryError;

/// A table of the tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TableName {
    /// Samples and native histograms.
    Metrics,
    /// Log lines.
    Logs,
    /// Spans.
    Traces,
}

impl TableName {
    /// All of them, in the order of lists.
    pub(crate) const ALL: [TableName; 3] = [TableName::Metrics, TableName::Logs, TableName::Traces];

    /// The name in queries.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            TableName::Metrics => "metrics",
            TableName::Logs => "logs",
            TableName::Traces => "traces",
        }
    }

    /// The columns.
    pub(crate) fn schema(self) -> &'static SchemaRef {
        match self {
            TableName::Metrics => &metrics::SCHEMA,
            TableName::Logs => &logs::SCHEMA,
            TableName::Traces => &traces::SCHEMA,
        }
    }
}

/// Which columns of a table are wanted, in which order.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    places: Vec<usize>,
    schema: SchemaRef,
}

impl Columns {
    /// The columns at these places of the table; all of them where none is told.
    ///
    /// # Errors
    /// When there is no such place.
    pub(crate) fn new(table: TableName, places: Option<&Vec<usize>>) -> Result<Self, QueryError> {
        let all = table.schema();
        let places = places.cloned().unwrap_or_else(|| (0..all.fields().len()).collect());
        let schema = all.project(&places).map_err(|error| QueryError::Internal(error.to_string()))?;
        Ok(Self { places, schema: Arc::new(schema) })
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether a column of the table is wanted.
    pub(crate) fn has(&self, place: usize) -> bool {
        self.places.contains(&place)
    }

    /// The names, for explained plans.
    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        names.join(", ")
    }

    /// A batch of the wanted columns, each made by `column` from its place in the table.
    pub(crate) fn batch(
        &self,
        rows: usize,
        mut column: impl FnMut(usize) -> Result<ArrayRef, QueryError>,
    ) -> Result<RecordBatch, QueryError> {
        let arrays: Result<Vec<ArrayRef>, QueryError> = self.places.iter().map(|at| column(*at)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays?, &options)
            .map_err(|error| QueryError::Internal(error.to_string()))
    }
}

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

/// A moment in UTC.
fn moment(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, Some(UTC.into()))
}

/// The zone of every moment.
const UTC: &str = "UTC";

/// The type of a map from text to text, as [`MapBuilder`] makes it.
fn text_map() -> DataType {
    let entry = Fields::from(vec![
        Field::new("keys", DataType::Utf8, false),
        Field::new("values", DataType::Utf8, true),
    ]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry), false)), false)
}

type TextMapBuilder = MapBuilder<StringBuilder, StringBuilder>;

fn text_map_builder() -> TextMapBuilder {
    MapBuilder::new(None, StringBuilder::new(), StringBuilder::new())
}

/// Ends a row of a map with these pairs.
fn push_map<K: AsRef<str>, V: AsRef<str>>(
    builder: &mut TextMapBuilder,
    pairs: impl IntoIterator<Item = (K, V)>,
) -> Result<(), QueryError> {
    for (key, value) in pairs {
        builder.keys().append_value(key);
        builder.values().append_value(value);
    }
    builder.append(true).map_err(|error| QueryError::Internal(error.to_string()))
}

/// Attributes as maps of text.
fn attribute_maps(column: &ArrayRef) -> Result<ArrayRef, QueryError> {
    let view = AttributesView::new(column)
        .ok_or_else(|| QueryError::Internal("storage gave attributes of another type".into()))?;
    let mut maps = text_map_builder();
    for row in 0..column.len() {
        push_map(&mut maps, view.row(row).map(|(key, value)| (key, value.to_string())))?;
    }
    Ok(Arc::new(maps.finish()))
}

/// Ids as lower-case hexadecimal text; null stays null.
fn hex_ids(ids: &FixedSizeBinaryArray) -> ArrayRef {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let width = usize::try_from(ids.value_length()).unwrap_or(0) * 2;
    let mut texts = StringBuilder::with_capacity(ids.len(), ids.len() * width);
    let mut text = String::with_capacity(width);
    for row in 0..ids.len() {
        if ids.is_null(row) {
            texts.append_null();
            continue;
        }
        text.clear();
        for byte in ids.value(row) {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        texts.append_value(&text);
    }
    Arc::new(texts.finish())
}

/// Numbered series or streams of a batch, each once, and for each row the place of its own among them.
struct Numbered {
    numbers: Vec<u32>,
    rows: arrow::array::UInt32Array,
}

impl Numbered {
    /// Looks at a column of numbers, in which rows of one number stand together.
    fn new(numbers: &ScalarBuffer<u32>) -> Self {
        let mut distinct: Vec<u32> = Vec::new();
        let mut rows = Vec::with_capacity(numbers.len());
        for stretch in numbers.chunk_by(|a, b| a == b) {
            let place = u32::try_from(distinct.len()).unwrap_or(u32::MAX);
            distinct.push(stretch[0]);
            rows.resize(rows.len() + stretch.len(), place);
        }
        Self { numbers: distinct, rows: rows.into() }
    }

    /// A column that has for each row the value of its series.
    fn spread(&self, of_each: &dyn Array) -> Result<ArrayRef, QueryError> {
        take(of_each, &self.rows, None).map_err(|error| QueryError::Internal(error.to_string()))
    }

    /// The labels of each, in the order of [`Numbered::spread`].
    fn labels<'a>(&self, all: &'a [Labels]) -> Result<Vec<&'a Labels>, QueryError> {
        let one = |number: &u32| {
            all.get(*number as usize).ok_or_else(|| {
                QueryError::Internal(format!("storage gave a number that was not selected: number={number}"))
            })
        };
        self.numbers.iter().map(one).collect()
    }
}
