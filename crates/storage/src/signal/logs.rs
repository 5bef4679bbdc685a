//! The file of a logs segment: a row per line with the labels of its stream; token filters of its pages between the row
//! groups; the streams in the footer.

use std::cell::RefCell;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, FieldRef, Int32Type, Schema, SchemaRef};
use model::labels::Labels;
use serde::{Deserialize, Serialize};

use super::metrics::label_arrays;
use super::{Keys, Table};
use crate::bounds::{ENTRY_ROW_GROUP_ROWS, TOKEN_FILTER_ROWS};
use crate::error::StorageError;
use crate::head::series::Info;
use crate::segment::filter::TokenFilterBuilder;
use crate::segment::parquet_file::{Finished, ParquetFile, Place};
use crate::segment::schema::{self, STREAMS_KEY, TOKEN_FILTERS_KEY, label_columns, label_fields};

/// The column of the line's text.
const LINE_COLUMN: usize = 2;

/// A stream in the footer; its number is its place in the list, and its rows follow those of the streams before it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StreamMeta {
    /// The labels.
    pub(crate) labels: serde_json::Map<String, serde_json::Value>,
    /// How many rows it has.
    pub(crate) rows: u64,
}

/// The file of log lines.
pub(crate) struct LinesFile {
    pub(crate) file: ParquetFile,
    schema: SchemaRef,
    labels: LabelColumns,
    tokens: Tokens,
    filters: Vec<Vec<Option<Place>>>,
}

/// The token filters of a row group.
#[derive(Default)]
struct Tokens {
    builder: TokenFilterBuilder,
    /// Lines in the builder.
    rows: usize,
    finished: Vec<Option<Vec<u8>>>,
}

impl Tokens {
    fn enter(&mut self, rows: &RecordBatch) {
        let lines: &StringArray =
            rows.column(LINE_COLUMN).as_any().downcast_ref().expect("the batch is of its table's schema");
        for line in lines {
            self.builder.line(line.unwrap_or_default());
            self.rows += 1;
            if self.rows == TOKEN_FILTER_ROWS {
                self.end_page();
            }
        }
    }

    fn end_page(&mut self) {
        self.finished.push(self.builder.finish());
        self.rows = 0;
    }

    /// Puts the filters behind their row group, and begins the next.
    fn embed(&mut self, file: &mut ParquetFile) -> Result<Vec<Option<Place>>, StorageError> {
        if self.rows > 0 {
            self.end_page();
        }
        let finished = std::mem::take(&mut self.finished).into_iter();
        finished.map(|bytes| bytes.map(|bytes| file.embed(&bytes)).transpose()).collect()
    }
}

impl LinesFile {
    /// An empty file for lines of the streams.
    ///
    /// # Errors
    /// When Parquet cannot keep the schema.
    pub(crate) fn new(streams: &[(Labels, Info)], is_rewritten: bool) -> Result<Self, StorageError> {
        let labels = LabelColumns::new(streams);
        let fields = Table::Entries.schema().fields().iter().cloned().chain(labels.fields.iter().cloned());
        let schema = Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>()));
        let properties = schema::table_properties(Table::Entries, is_rewritten)?;
        let file = ParquetFile::new(Arc::clone(&schema), properties, ENTRY_ROW_GROUP_ROWS)?;
        Ok(Self { file, schema, labels, tokens: Tokens::default(), filters: Vec::new() })
    }

    /// Adds lines, in the order of their table.
    ///
    /// # Errors
    /// When Arrow or Parquet refuses the rows.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), StorageError> {
        let mut columns = batch.columns().to_vec();
        columns.extend(self.labels.arrays(batch)?);
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        let (tokens, filters) = (RefCell::new(&mut self.tokens), &mut self.filters);
        // The two callbacks take turns with the filters.
        self.file.write(
            &batch,
            |part| {
                tokens.borrow_mut().enter(part);
                Ok(())
            },
            |file| {
                filters.push(tokens.borrow_mut().embed(file)?);
                Ok(())
            },
        )
    }

    /// Ends the file; `counts` are the lines of each stream.
    ///
    /// # Errors
    /// When Parquet cannot write the footer.
    pub(crate) fn finish(
        mut self,
        streams: &[(Labels, Info)],
        counts: &[u64],
    ) -> Result<Finished, StorageError> {
        if self.file.end_group()? {
            self.filters.push(self.tokens.embed(&mut self.file)?);
        }
        let footer =
            vec![(STREAMS_KEY, streams_json(streams, counts)?), (TOKEN_FILTERS_KEY, json(&self.filters)?)];
        self.file.finish(footer)
    }
}

pub(super) fn json(value: &impl Serialize) -> Result<String, StorageError> {
    serde_json::to_string(value)
        .map_err(|error| StorageError::Internal(format!("a footer does not become JSON: {error}")))
}

fn streams_json(streams: &[(Labels, Info)], counts: &[u64]) -> Result<String, StorageError> {
    let streams: Vec<StreamMeta> = streams
        .iter()
        .zip(counts)
        .map(|((labels, _), rows)| {
            let labels = labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            StreamMeta { labels, rows: *rows }
        })
        .collect();
    json(&streams)
}

/// The labels of the streams as dictionary columns whose keys are stream numbers.
struct LabelColumns {
    fields: Vec<FieldRef>,
    values: Vec<ArrayRef>,
}

impl LabelColumns {
    fn new(streams: &[(Labels, Info)]) -> Self {
        let sets = || streams.iter().map(|(labels, _)| labels);
        let (names, has_others) = label_columns(sets());
        let data_type = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let values = label_arrays(sets(), &names, has_others);
        Self {
            fields: label_fields(&names, has_others, &data_type),
            values: values.into_iter().map(|array| Arc::new(array) as ArrayRef).collect(),
        }
    }

    fn arrays(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, StorageError> {
        let keys = Keys::new(Table::Entries, batch);
        let mut columns = Vec::with_capacity(self.values.len());
        for values in &self.values {
            let keys = keys.numbers().iter().map(|number| {
                let has_label = values.is_valid(*number as usize);
                has_label
                    .then(|| i32::try_from(*number).expect("a segment is bounded far below 2^31 streams"))
            });
            let array =
                DictionaryArray::<Int32Type>::try_new(keys.collect::<Int32Array>(), Arc::clone(values))?;
            columns.push(Arc::new(array) as ArrayRef);
        }
        Ok(columns)
    }
}
