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
use crate::head::series::Info;
use crate::segment::parquet_file::{Finished, ParquetFile};
use crate::segment::scale::scale;
use crate::segment::schema::{self, label_columns, label_fields, series_properties};

/// The columns of the series file besides the labels; `samples`, `histograms` and `exemplars` are numbers of rows in
/// the other files, so that their sums say where a series' rows begin.
pub(crate) const COUNT_COLUMNS: [(Table, &str); 3] =
    [(Table::Samples, "samples"), (Table::Histograms, "histograms"), (Table::Exemplars, "exemplars")];

/// A file of samples, histograms or exemplars.
pub(crate) struct RowsFile {
    table: Table,
    pub(crate) file: ParquetFile,
}

impl RowsFile {
    /// An empty file for a table.
    ///
    /// # Errors
    /// When Parquet cannot keep the schema.
    pub(crate) fn new(table: Table, is_rewritten: bool) -> Result<Self, StorageError> {
        let schema = if table == Table::Samples { schema::samples() } else { Arc::clone(table.schema()) };
        let properties = schema::table_properties(table, is_rewritten)?;
        Ok(Self { table, file: ParquetFile::new(schema, properties, SAMPLE_ROW_GROUP_ROWS)? })
    }

    /// Adds rows of the table, in its order.
    ///
    /// # Errors
    /// When Arrow or Parquet refuses the rows.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), StorageError> {
        match self.table {
            Table::Samples => self.file.write_plain(&scaled(batch)?),
            _ => self.file.write_plain(batch),
        }
    }
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

/// The file of the series, written when the rows of each are counted. `counts` are those of each table, in the order of
/// [`COUNT_COLUMNS`].
///
/// # Errors
/// When Arrow or Parquet refuses the columns.
pub(crate) fn series_file(
    series: &[(Labels, Info)],
    counts: [Vec<u64>; 3],
    is_rewritten: bool,
) -> Result<Finished, StorageError> {
    let (names, has_others) = label_columns(series.iter().map(|(labels, _)| labels));
    let mut fields = vec![Arc::new(Field::new("number", DataType::UInt32, false))];
    fields.extend(label_fields(&names, has_others, &DataType::Utf8));
    let text = |name: &str| Arc::new(Field::new(name, DataType::Utf8, false));
    fields.extend([text("type"), text("unit"), text("help")]);
    fields.extend(COUNT_COLUMNS.map(|(_, name)| Arc::new(Field::new(name, DataType::UInt64, false))));

    let count = u32::try_from(series.len()).expect("numbers of series are of 32 bits");
    let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from_iter_values(0..count))];
    let labels = label_arrays(series.iter().map(|(labels, _)| labels), &names, has_others);
    columns.extend(labels.into_iter().map(|array| Arc::new(array) as ArrayRef));
    let infos = || series.iter().map(|(_, info)| info);
    let types = infos().map(|info| MetricType::from_u8(info.metric_type).as_str());
    columns.push(Arc::new(StringArray::from_iter_values(types)));
    columns.push(Arc::new(StringArray::from_iter_values(infos().map(|info| &*info.unit))));
    columns.push(Arc::new(StringArray::from_iter_values(infos().map(|info| &*info.help))));
    columns.extend(counts.into_iter().map(|counts| Arc::new(UInt64Array::from(counts)) as ArrayRef));
    let schema = Arc::new(Schema::new(fields));
    let sorted_by: Vec<i32> = (1..).take(names.len()).collect();
    let mut file = ParquetFile::new(
        Arc::clone(&schema),
        series_properties(&sorted_by, is_rewritten)?,
        SAMPLE_ROW_GROUP_ROWS,
    )?;
    file.write_plain(&RecordBatch::try_new(schema, columns)?)?;
    file.finish(Vec::new())
}
