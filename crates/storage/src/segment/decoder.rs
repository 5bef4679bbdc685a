//! Decodes columns of a `series` file into what is kept of them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, DictionaryArray, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use bytes::Bytes;
use model::labels::Labels;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use super::columns::{Column, Part, RowPlaces};
use super::reader::{Footer, SegmentFile};
use super::schema::OTHER_LABELS;
use super::series::Places;
use super::texts::{Builder, Listing, Rows, Texts, push_range};
use crate::bounds::READ_BATCH_ROWS;
use crate::error::StorageError;
use crate::signal::metrics::COUNT_COLUMNS;

/// Decodes the columns of one file.
pub(super) struct Decoder<'a> {
    file: &'a SegmentFile,
    data: &'a Bytes,
    rows: usize,
    /// With all texts as dictionaries, which is how most of them are kept.
    metadata: ArrowReaderMetadata,
}

impl<'a> Decoder<'a> {
    /// A decoder for the bytes of a file before its footer.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] where texts are no texts.
    pub(super) fn new(file: &'a SegmentFile, footer: &Footer, data: &'a Bytes) -> Result<Self, StorageError> {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let fields = footer.metadata.schema().fields().iter().map(|field| match field.data_type() {
            DataType::Utf8 => Field::clone(field).with_data_type(dictionary.clone()),
            _ => Field::clone(field),
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let options = ArrowReaderOptions::new().with_schema(schema);
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(footer.metadata.metadata()), options);
        let metadata = metadata.map_err(|error| file.corrupt(error))?;
        Ok(Self { file, data, rows: footer.rows(), metadata })
    }

    /// Decodes one part.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] for what does not read back.
    pub(super) fn decode(&self, part: Part) -> Result<Column, StorageError> {
        Ok(match part {
            Part::Texts(place) => Column::Texts(self.shared_texts(place)?),
            Part::Others => Column::Others(self.others()?.into()),
            Part::Places => Column::Places(Arc::new(self.places()?)),
        })
    }

    fn batches(
        &self,
        columns: impl IntoIterator<Item = usize>,
    ) -> Result<ParquetRecordBatchReader, StorageError> {
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), columns);
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.data.clone(), self.metadata.clone())
                .with_projection(mask)
                .with_batch_size(READ_BATCH_ROWS);
        builder.build().map_err(|error| self.file.corrupt(error))
    }

    fn place(&self, column: &str) -> Result<usize, StorageError> {
        self.metadata.schema().index_of(column).map_err(|error| self.file.corrupt(error))
    }

    fn texts(&self, place: usize) -> Result<Texts, StorageError> {
        let mut builder = Builder::default();
        for batch in self.batches([place])? {
            let batch = batch.map_err(|error| self.file.corrupt(error))?;
            if !builder.push(batch.column(0)) {
                return Err(self.file.corrupt("a column of texts has another type"));
            }
        }
        self.is_of_all(builder.rows())?;
        Ok(builder.finish())
    }

    /// A column of texts, which shares them with those of the same name that were decoded before it.
    fn shared_texts(&self, place: usize) -> Result<Arc<Texts>, StorageError> {
        let (cache, path) = (&self.file.cache, &self.file.path);
        let (texts, name) = (self.texts(place)?, self.metadata.schema().field(place).name());
        let known = cache.known(path, name).unwrap_or_default();
        let texts = Arc::new(texts.sharing(&known));
        let all = Listing::union(&[Listing::Some(known.to_vec()), Listing::All(Arc::clone(&texts))]);
        if all.len() > known.len() {
            cache.put_known(path, name, all.into());
        }
        Ok(texts)
    }

    fn others(&self) -> Result<Vec<Option<Labels>>, StorageError> {
        let mut others = Vec::with_capacity(self.rows);
        for batch in self.batches([self.place(OTHER_LABELS)?])? {
            let batch = batch.map_err(|error| self.file.corrupt(error))?;
            let column = batch.column(0).as_any().downcast_ref::<DictionaryArray<Int32Type>>();
            let texts = column.and_then(|column| column.downcast_dict::<StringArray>());
            for text in texts.ok_or_else(|| self.file.corrupt("a column of texts has another type"))? {
                let labels = text.map(|text| -> Result<Labels, serde_json::Error> {
                    let labels: BTreeMap<String, String> = serde_json::from_str(text)?;
                    Ok(Labels::from_pairs(labels))
                });
                others.push(labels.transpose().map_err(|error| self.file.corrupt(error))?);
            }
        }
        self.is_of_all(others.len())?;
        Ok(others)
    }

    fn places(&self) -> Result<RowPlaces, StorageError> {
        let mut columns = Vec::with_capacity(COUNT_COLUMNS.len());
        for (_, name) in COUNT_COLUMNS {
            columns.push(self.place(name)?);
        }
        let mut ends = [0_usize; COUNT_COLUMNS.len()];
        let mut places: [Vec<Range<usize>>; COUNT_COLUMNS.len()] = Default::default();
        let (mut present, mut row) = (Rows::new(), 0_u32);
        for batch in self.batches(columns)? {
            let batch = batch.map_err(|error| self.file.corrupt(error))?;
            let mut counts = Vec::with_capacity(COUNT_COLUMNS.len());
            for (_, name) in COUNT_COLUMNS {
                counts.push(self.counts(&batch, name)?);
            }
            for at in 0..batch.num_rows() {
                for ((counts, end), places) in counts.iter().zip(&mut ends).zip(&mut places) {
                    let count = usize::try_from(counts.value(at)).ok();
                    let next = count.and_then(|count| end.checked_add(count));
                    let next = next.ok_or_else(|| self.file.corrupt("too many rows"))?;
                    places.push(*end..next);
                    *end = next;
                }
                let next = row.checked_add(1).ok_or_else(|| self.file.corrupt("too many series"))?;
                if counts.iter().any(|counts| counts.value(at) > 0) {
                    push_range(&mut present, row..next);
                }
                row = next;
            }
        }
        self.is_of_all(row as usize)?;
        let places = Places::new(COUNT_COLUMNS.map(|(table, _)| table).into_iter().zip(places));
        Ok(RowPlaces { places, present })
    }

    fn counts<'b>(&self, batch: &'b RecordBatch, name: &str) -> Result<&'b UInt64Array, StorageError> {
        let column = batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref());
        column.ok_or_else(|| self.file.corrupt(format!("column {name} is of another type")))
    }

    /// Whether a column has the rows that the file has.
    fn is_of_all(&self, rows: usize) -> Result<(), StorageError> {
        if rows == self.rows {
            return Ok(());
        }
        Err(self.file.corrupt("columns of series are of different lengths"))
    }
}
