//! The files of a metrics segment: `series`, and a file for each of samples, histograms and exemplars that there are.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Array, Int8Array, Int64Array, RecordBatch, StringArray, StringBuilder,
    UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema};
use model::labels::Labels;
use model::metric::MetricType;

use super::{Keys, Table};
use crate::bounds::SAMPLE_ROW_GROUP_ROWS;
use crate::error::StorageError;
use crate::segment::parquet_file::ParquetFile;
use crate::segment::scale::scale;
use crate::segment::schema::{self, SERIES_PART, label_columns, label_fields, series_properties};
use crate::segment::writer::{NewPart, Rows};

/// The columns of the series file besides the labels; `samples`, `histograms` and `exemplars` are numbers of rows in
/// the other files, so that their sums say where a series' rows begin.
pub(crate) const COUNT_COLUMNS: [(Table, &str); 3] =
    [(Table::Samples, "samples"), (Table::Histograms, "histograms"), (Table::Exemplars, "exemplars")];

/// The files of a segment of the rows.
///
/// # Errors
/// When Arrow or Parquet refuses the rows.
pub(crate) fn parts(rows: &Rows) -> Result<Vec<NewPart>, StorageError> {
    let mut parts = vec![series_part(rows)?];
    for (table, batches) in &rows.tables {
        let schema = if *table == Table::Samples { schema::samples() } else { Arc::clone(table.schema()) };
        let mut file = ParquetFile::new(schema, schema::table_properties(*table)?, SAMPLE_ROW_GROUP_ROWS)?;
        for batch in batches {
            match table {
                Table::Samples => file.write_plain(&scaled(batch)?)?,
                _ => file.write_plain(batch)?,
            }
        }
        parts.push(NewPart::new(schema::part(*table), file.finish(Vec::new())?));
    }
    Ok(parts)
}

/// Samples with their values in the file's columns.
fn scaled(batch: &RecordBatch) -> Result<RecordBatch, StorageError> {
    let keys = Keys::new(Table::Samples, batch);
    let values: &Float64Array =
        batch.column(3).as_any().downcast_ref().expect("the batch is of its table's schema");
    let values = values.values();
    let (mut scales, mut integers) = (Vec::with_capacity(values.len()), Vec::with_capacity(values.len()));
    let mut at = 0;
    for series in keys.numbers().chunk_by(|a, b| a == b) {
        scale(&values[at..at + series.len()], &mut scales, &mut integers);
        at += series.len();
    }
    let floats: Float64Array =
        values.iter().zip(&integers).map(|(value, integer)| integer.is_none().then_some(*value)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::clone(batch.column(0)),
        Arc::clone(batch.column(1)),
        Arc::clone(batch.column(2)),
        Arc::new(Int8Array::from(scales)),
        Arc::new(Int64Array::from(integers)),
        Arc::new(floats),
    ];
    Ok(RecordBatch::try_new(schema::samples(), columns)?)
}

/// A text column for each label name, and one of JSON objects for the labels that have none.
pub(crate) fn label_arrays<'a>(
    sets: impl ExactSizeIterator<Item = &'a Labels>,
    names: &[String],
    has_others: bool,
) -> Vec<StringArray> {
    let columns: hashbrown::HashMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
    let mut builders: Vec<StringBuilder> = names.iter().map(|_| StringBuilder::new()).collect();
    let mut others = StringBuilder::new();
    for (row, labels) in sets.enumerate() {
        let mut rest = serde_json::Map::new();
        for (name, value) in labels {
            match columns.get(name) {
                Some(column) => {
                    let builder = &mut builders[*column];
                    (arrow::array::ArrayBuilder::len(builder)..row).for_each(|_| builder.append_null());
                    builder.append_value(value);
                }
                None => {
                    rest.insert(name.to_owned(), value.into());
                }
            }
        }
        let rows = row + 1;
        for builder in &mut builders {
            (arrow::array::ArrayBuilder::len(builder)..rows).for_each(|_| builder.append_null());
        }
        others.append_option((!rest.is_empty()).then(|| serde_json::Value::Object(rest).to_string()));
    }
    let mut arrays: Vec<StringArray> = builders.iter_mut().map(StringBuilder::finish).collect();
    if has_others {
        arrays.push(others.finish());
    }
    arrays
}

fn series_part(rows: &Rows) -> Result<NewPart, StorageError> {
    let (names, has_others) = label_columns(rows.series.iter().map(|(labels, _)| labels));
    let mut fields = vec![Arc::new(Field::new("number", DataType::UInt32, false))];
    fields.extend(label_fields(&names, has_others, &DataType::Utf8));
    let text = |name: &str| Arc::new(Field::new(name, DataType::Utf8, false));
    fields.extend([text("type"), text("unit"), text("help")]);
    fields.extend(COUNT_COLUMNS.map(|(_, name)| Arc::new(Field::new(name, DataType::UInt64, false))));

    let count = u32::try_from(rows.series.len()).expect("numbers of series are of 32 bits");
    let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from_iter_values(0..count))];
    let labels = label_arrays(rows.series.iter().map(|(labels, _)| labels), &names, has_others);
    columns.extend(labels.into_iter().map(|array| Arc::new(array) as ArrayRef));
    let infos = || rows.series.iter().map(|(_, info)| info);
    let types = infos().map(|info| MetricType::from_u8(info.metric_type).as_str());
    columns.push(Arc::new(StringArray::from_iter_values(types)));
    columns.push(Arc::new(StringArray::from_iter_values(infos().map(|info| &*info.unit))));
    columns.push(Arc::new(StringArray::from_iter_values(infos().map(|info| &*info.help))));
    for (table, _) in COUNT_COLUMNS {
        columns.push(Arc::new(UInt64Array::from(row_counts(rows, table))));
    }
    let schema = Arc::new(Schema::new(fields));
    let sorted_by: Vec<i32> = (1..).take(names.len()).collect();
    let mut file =
        ParquetFile::new(Arc::clone(&schema), series_properties(&sorted_by)?, SAMPLE_ROW_GROUP_ROWS)?;
    file.write_plain(&RecordBatch::try_new(schema, columns)?)?;
    Ok(NewPart::new(SERIES_PART, file.finish(Vec::new())?))
}

/// How many rows of a table each series or stream has.
pub(crate) fn row_counts(rows: &Rows, table: Table) -> Vec<u64> {
    let mut counts = vec![0; rows.series.len()];
    for batch in rows.of(table) {
        Keys::new(table, batch).numbers().iter().for_each(|number| counts[*number as usize] += 1);
    }
    counts
}
