//! The files of a metrics segment: `series`, and a file for each of samples, histograms and exemplars that there are.

use std::cell::RefCell;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, StringBuilder, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use model::labels::Labels;
use model::metric::MetricType;

use super::logs::json;
use super::{Keys, Table};
use crate::bounds::{READ_BATCH_ROWS, SAMPLE_ROW_GROUP_ROWS, SAMPLE_ROW_GROUP_SERIES};
use crate::error::StorageError;
use crate::head::series::Info;
use crate::segment::packed::Packer;
use crate::segment::parquet_file::{Finished, ParquetFile};
use crate::segment::schema::{self, TIMES_KEY, label_columns, label_fields, series_properties};

/// The columns of the series file besides the labels; `samples`, `histograms` and `exemplars` are numbers of rows in
/// the other files, so that their sums say where a series' rows begin.
pub(crate) const COUNT_COLUMNS: [(Table, &str); 3] =
    [(Table::Samples, "samples"), (Table::Histograms, "histograms"), (Table::Exemplars, "exemplars")];

/// The times of a row group without rows.
const NO_TIMES: (i64, i64) = (i64::MAX, i64::MIN);

/// A file of samples, histograms or exemplars.
pub(crate) struct RowsFile {
    table: Table,
    pub(crate) file: ParquetFile,
    packer: Packer,
    /// The first and the last time of each row group of samples, the one that is not full at the end.
    times: Vec<(i64, i64)>,
    /// The first series of that row group.
    group_series: Option<u32>,
}

impl RowsFile {
    /// An empty file for a table.
    ///
    /// # Errors
    /// When Parquet cannot keep the schema.
    pub(crate) fn new(table: Table, is_rewritten: bool) -> Result<Self, StorageError> {
        let schema = if table == Table::Samples { schema::samples() } else { table.schema() };
        let properties = schema::table_properties(table, is_rewritten)?;
        let file = ParquetFile::new(Arc::clone(schema), properties, SAMPLE_ROW_GROUP_ROWS)?;
        Ok(Self { table, file, packer: Packer::new(), times: vec![NO_TIMES], group_series: None })
    }

    /// Adds rows of the table, in its order.
    ///
    /// # Errors
    /// When Arrow or Parquet refuses the rows.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), StorageError> {
        if self.table != Table::Samples {
            return self.file.write_plain(batch);
        }
        let packed = self.packer.pack(batch)?;
        let keys = Keys::new(self.table, batch);
        let mut at = 0;
        while let Some(next) = keys.numbers().get(at) {
            let first = *self.group_series.get_or_insert(*next);
            let rest = &keys.numbers()[at..];
            let rows = rest.partition_point(|number| number - first < SAMPLE_ROW_GROUP_SERIES);
            if rows == 0 {
                self.file.end_group()?;
                self.times.push(NO_TIMES);
                self.group_series = None;
                continue;
            }
            self.write_samples(&packed.slice(at, rows), &keys.times()[at..at + rows])?;
            at += rows;
        }
        Ok(())
    }

    /// Adds rows with these times, whose series have room in the row group.
    fn write_samples(&mut self, packed: &RecordBatch, mut times: &[i64]) -> Result<(), StorageError> {
        // The two callbacks take turns with the row groups.
        let groups = RefCell::new((&mut self.times, &mut self.group_series));
        self.file.write(
            packed,
            |part| {
                let (now, later) = times.split_at(part.num_rows());
                times = later;
                if let Some(group) = groups.borrow_mut().0.last_mut() {
                    *group =
                        now.iter().fold(*group, |(first, last), time| (first.min(*time), last.max(*time)));
                }
                Ok(())
            },
            |_| {
                let (times, group_series) = &mut *groups.borrow_mut();
                times.push(NO_TIMES);
                **group_series = None;
                Ok(())
            },
        )
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When Parquet cannot write the footer.
    pub(crate) fn finish(mut self) -> Result<Finished, StorageError> {
        if self.table != Table::Samples {
            return self.file.finish(Vec::new());
        }
        self.times.retain(|times| *times != NO_TIMES);
        self.file.finish(vec![(TIMES_KEY, json(&self.times)?)])
    }
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
    counts: &[Vec<u64>; 3],
    is_rewritten: bool,
) -> Result<Finished, StorageError> {
    let (names, has_others) = label_columns(series.iter().map(|(labels, _)| labels));
    let mut fields = vec![Arc::new(Field::new("number", DataType::UInt32, false))];
    fields.extend(label_fields(&names, has_others, &DataType::Utf8));
    let text = |name: &str| Arc::new(Field::new(name, DataType::Utf8, false));
    fields.extend([text("type"), text("unit"), text("help")]);
    fields.extend(COUNT_COLUMNS.map(|(_, name)| Arc::new(Field::new(name, DataType::UInt64, false))));

    let schema = Arc::new(Schema::new(fields));
    let sorted_by: Vec<i32> = (1..).take(names.len()).collect();
    let properties = series_properties(&sorted_by, is_rewritten)?;
    let mut file = ParquetFile::new(Arc::clone(&schema), properties, SAMPLE_ROW_GROUP_ROWS)?;
    for at in (0..series.len()).step_by(READ_BATCH_ROWS) {
        let end = series.len().min(at + READ_BATCH_ROWS);
        let mut columns = series_columns(&series[at..end], at, &names, has_others);
        let counts = counts.iter().map(|counts| UInt64Array::from(counts[at..end].to_vec()));
        columns.extend(counts.map(|counts| Arc::new(counts) as ArrayRef));
        file.write_plain(&RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
    }
    file.finish(Vec::new())
}

/// The columns of some series but for the counts; `first` is the number of the first of them.
fn series_columns(
    series: &[(Labels, Info)],
    first: usize,
    names: &[String],
    has_others: bool,
) -> Vec<ArrayRef> {
    let number = |number: usize| u32::try_from(number).expect("numbers of series are of 32 bits");
    let numbers = UInt32Array::from_iter_values((first..first + series.len()).map(number));
    let mut columns: Vec<ArrayRef> = vec![Arc::new(numbers)];
    let labels = label_arrays(series.iter().map(|(labels, _)| labels), names, has_others);
    columns.extend(labels.into_iter().map(|array| Arc::new(array) as ArrayRef));
    let infos = || series.iter().map(|(_, info)| info);
    let types = infos().map(|info| MetricType::from_u8(info.metric_type).as_str());
    columns.push(Arc::new(StringArray::from_iter_values(types)));
    columns.push(Arc::new(StringArray::from_iter_values(infos().map(|info| &*info.unit))));
    columns.push(Arc::new(StringArray::from_iter_values(infos().map(|info| &*info.help))));
    columns
}
