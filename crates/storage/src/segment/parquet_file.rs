//! Writes one Parquet file, row group by row group, with bytes of ours between the row groups, and takes the checksums of
//! all of it on the way. What was written can be taken out while the file grows: it holds one row group that is not full,
//! and what nobody has taken yet.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::blocks::{HashingSink, Tail};
use super::schema::{BLOCKS_KEY, FORMAT, FORMAT_KEY};
use crate::bounds::MAX_ROW_GROUP_BYTES;
use crate::error::StorageError;

/// A file that is being written.
pub(crate) struct ParquetFile {
    writer: ArrowWriter<HashingSink<Vec<u8>>>,
    group_rows: usize,
    rows_in_group: usize,
    rows: u64,
    taken_bytes: u64,
}

/// A file that is whole.
pub(crate) struct Finished {
    /// What was not taken before.
    pub(crate) rest: Bytes,
    /// All its bytes, those taken before too.
    pub(crate) bytes: u64,
    /// Its rows.
    pub(crate) rows: u64,
    /// What the manifest says of its end.
    pub(crate) tail: Tail,
}

/// A place in the file, as the footer names it: offset and length.
pub(crate) type Place = (u64, u64);

impl ParquetFile {
    /// An empty file with row groups of at most so many rows.
    ///
    /// # Errors
    /// When Parquet cannot keep the schema.
    pub(crate) fn new(
        schema: SchemaRef,
        properties: WriterProperties,
        group_rows: usize,
    ) -> Result<Self, StorageError> {
        let writer = ArrowWriter::try_new(HashingSink::new(Vec::new()), schema, Some(properties))?;
        Ok(Self { writer, group_rows, rows_in_group: 0, rows: 0, taken_bytes: 0 })
    }

    /// Adds rows. `on_rows` sees every stretch of rows that goes into one row group before it is written, `on_group` the
    /// file after each row group that became full.
    ///
    /// # Errors
    /// When Parquet cannot write the rows, or a callback fails.
    pub(crate) fn write(
        &mut self,
        batch: &RecordBatch,
        mut on_rows: impl FnMut(&RecordBatch) -> Result<(), StorageError>,
        mut on_group: impl FnMut(&mut Self) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let mut at = 0;
        while at < batch.num_rows() {
            let rows = (batch.num_rows() - at).min(self.group_rows - self.rows_in_group);
            let part = batch.slice(at, rows);
            on_rows(&part)?;
            self.writer.write(&part)?;
            self.rows_in_group += rows;
            self.rows += rows as u64;
            at += rows;
            if self.rows_in_group == self.group_rows || self.writer.in_progress_size() >= MAX_ROW_GROUP_BYTES
            {
                self.end_group()?;
                on_group(self)?;
            }
        }
        Ok(())
    }

    /// Adds rows to a file that has nothing between its row groups.
    ///
    /// # Errors
    /// When Parquet cannot write the rows.
    pub(crate) fn write_plain(&mut self, batch: &RecordBatch) -> Result<(), StorageError> {
        self.write(batch, |_| Ok(()), |_| Ok(()))
    }

    /// Ends the row group; says whether it had rows.
    ///
    /// # Errors
    /// When Parquet cannot write it.
    pub(crate) fn end_group(&mut self) -> Result<bool, StorageError> {
        let had_rows = self.rows_in_group > 0;
        if had_rows {
            self.writer.flush()?;
            self.rows_in_group = 0;
        }
        Ok(had_rows)
    }

    /// Puts bytes after the row group that was ended last; readers that do not know of them skip them.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(crate) fn embed(&mut self, bytes: &[u8]) -> Result<Place, StorageError> {
        let offset = self.writer.bytes_written() as u64;
        self.writer.write_all(bytes).map_err(|error| not_written(&error))?;
        Ok((offset, bytes.len() as u64))
    }

    /// The next bytes of the file, exactly so many; none while there are fewer.
    pub(crate) fn take(&mut self, bytes: usize) -> Option<Bytes> {
        let written = self.writer.inner_mut().inner_mut();
        if written.len() < bytes {
            return None;
        }
        let rest = written.split_off(bytes);
        let taken = std::mem::replace(written, rest);
        self.taken_bytes += taken.len() as u64;
        Some(taken.into())
    }

    /// Memory that it takes, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.writer.memory_size() + self.writer.inner().inner().len()
    }

    /// Ends the file, with pairs of ours in its footer.
    ///
    /// # Errors
    /// When Parquet cannot write the footer.
    pub(crate) fn finish(mut self, metadata: Vec<(&str, String)>) -> Result<Finished, StorageError> {
        self.end_group()?;
        // What Parquet holds back belongs to the data as well.
        self.writer.sync().map_err(|error| not_written(&error))?;
        let blocks = self.writer.inner_mut().end_data().to_text();
        let ours = [(FORMAT_KEY, FORMAT.to_owned()), (BLOCKS_KEY, blocks)];
        for (key, value) in ours.into_iter().chain(metadata) {
            self.writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        }
        self.writer.finish()?;
        let sink = self.writer.inner_mut();
        let tail = sink.tail();
        let rest: Bytes = std::mem::take(sink.inner_mut()).into();
        Ok(Finished { bytes: self.taken_bytes + rest.len() as u64, rest, rows: self.rows, tail })
    }
}

fn not_written(error: &std::io::Error) -> StorageError {
    StorageError::Internal(format!("writing to memory failed: {error}"))
}
