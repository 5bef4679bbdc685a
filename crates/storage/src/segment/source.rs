//! The rows of a segment's file for a merge, row group by row group: somebody fetches the bytes of the next one, the
//! decoding is synchronous and takes a batch at a time.
//!
//! Not for queries: those read only the pages that they want, see [`super::reader`].

use std::io::Cursor;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use model::TimeRange;
use model::trace::SPANS_SCHEMA;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::cost::Cost;
use super::reader::{Footer, SegmentFile};
use crate::error::StorageError;
use crate::head::renumbered;
use crate::head::scan::BatchIter;
use crate::hidden::Unseen;
use crate::read::{logs, metrics, select};
use crate::signal::{Keys, Table};

/// Stands for a series or stream without rows.
pub(crate) const NO_NUMBER: u32 = u32::MAX;

/// What a source has next.
pub(crate) enum Next {
    /// Rows of its table, in its order.
    Rows(RecordBatch),
    /// It needs the bytes of its next row group.
    Hungry,
    /// It has no more rows.
    Over,
}

/// Where sorted rows of a table come from.
pub(crate) enum Source {
    /// Rows in memory.
    Head(BatchIter),
    /// A file in the store.
    Segment(Box<SegmentRows>),
}

impl Source {
    /// What it has next.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] for bytes that do not decode.
    pub(crate) fn next(&mut self) -> Result<Next, StorageError> {
        match self {
            Source::Head(batches) => Ok(batches.next().map_or(Next::Over, Next::Rows)),
            Source::Segment(rows) => rows.next(),
        }
    }

    /// Bytes of the file that it holds.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Source::Head(_) => 0,
            Source::Segment(rows) => rows.group_bytes,
        }
    }
}

/// What is wanted of a file's rows.
pub(crate) struct WantedRows {
    /// The merge's number for each of the file's, [`NO_NUMBER`] for those without rows.
    pub(crate) numbers: Arc<[u32]>,
    /// Rows outside of it are left out.
    pub(crate) range: TimeRange,
    /// And so are these, by the file's numbers.
    pub(crate) unseen: Unseen,
}

/// The rows of one file of a segment.
pub(crate) struct SegmentRows {
    /// The file.
    pub(crate) file: SegmentFile,
    footer: Arc<Footer>,
    table: Table,
    wanted: WantedRows,
    /// What a decoded batch has at most, about.
    batch_bytes: usize,
    next_group: usize,
    reader: Option<ParquetRecordBatchReader>,
    group_bytes: usize,
}

impl SegmentRows {
    /// The wanted rows of a table. Batches have about so many bytes.
    pub(crate) fn new(
        file: SegmentFile,
        footer: Arc<Footer>,
        table: Table,
        wanted: WantedRows,
        batch_bytes: usize,
    ) -> Self {
        Self { file, footer, table, wanted, batch_bytes, next_group: 0, reader: None, group_bytes: 0 }
    }

    /// The file's footer.
    pub(crate) const fn footer(&self) -> &Arc<Footer> {
        &self.footer
    }

    /// The memory that its largest row group takes: as bytes, as what decodes them, as a batch with the one before it.
    pub(crate) fn expected_bytes(&self) -> usize {
        self.cost(0..self.footer.parquet().num_row_groups()).held_bytes
    }

    fn cost(&self, groups: Range<usize>) -> Cost {
        let rows = |group| usize::try_from(self.footer.parquet().row_group(group).num_rows()).unwrap_or(0);
        let groups: Vec<_> = groups.map(|group| (group, std::iter::once(0..rows(group)).collect())).collect();
        Cost::of(&self.footer, &groups, &self.mask(), self.batch_bytes)
    }

    fn columns(&self) -> usize {
        match self.table {
            Table::Samples => super::schema::samples().fields().len(),
            table => table.schema().fields().len(),
        }
    }

    fn mask(&self) -> ProjectionMask {
        ProjectionMask::roots(self.footer.metadata.parquet_schema(), 0..self.columns())
    }

    /// Where the bytes of the next row group are; none after the last.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] where the footer makes no sense.
    pub(crate) fn next_range(&self) -> Result<Option<Range<u64>>, StorageError> {
        let Some(group) = self.footer.parquet().row_groups().get(self.next_group) else {
            return Ok(None);
        };
        let mask = self.mask();
        self.file.decode(|| {
            let columns = group.columns().iter().enumerate();
            let ranges = columns.filter(|(leaf, _)| mask.leaf_included(*leaf)).map(|(_, column)| {
                let (start, bytes) = column.byte_range();
                start..start.saturating_add(bytes)
            });
            let all = ranges.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end));
            all.map(Some).ok_or_else(|| self.file.corrupt("a row group without columns"))
        })
    }

    /// Takes the bytes of the next row group.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] for what is not one.
    pub(crate) fn feed(&mut self, start: u64, bytes: Bytes) -> Result<(), StorageError> {
        let group = self.next_group;
        self.next_group += 1;
        self.group_bytes = bytes.len();
        let input = GroupBytes { start, bytes, file_bytes: self.file.bytes };
        let batch_rows = self.cost(group..group + 1).batch_rows;
        let reader = self.file.decode(|| {
            ParquetRecordBatchReaderBuilder::new_with_metadata(input, self.footer.metadata.clone())
                .with_batch_size(batch_rows)
                .with_row_groups(vec![group])
                .with_projection(self.mask())
                .build()
                .map_err(|error| self.file.corrupt(error))
        })?;
        self.reader = Some(reader);
        Ok(())
    }

    fn next(&mut self) -> Result<Next, StorageError> {
        let Some(reader) = &mut self.reader else {
            let is_over = self.next_group >= self.footer.parquet().num_row_groups();
            return Ok(if is_over { Next::Over } else { Next::Hungry });
        };
        let file = &self.file;
        let batch = file.decode(|| reader.next().transpose().map_err(|error| file.corrupt(error)))?;
        let Some(batch) = batch else {
            (self.reader, self.group_bytes) = (None, 0);
            return self.next();
        };
        file.decode(|| self.table_rows(&batch)).map(Next::Rows)
    }

    /// Rows of the file as rows of the table under the merge's numbers.
    fn table_rows(&self, batch: &RecordBatch) -> Result<RecordBatch, StorageError> {
        let batch = match self.table {
            Table::Samples | Table::Histograms | Table::Exemplars => {
                metrics::table_rows(&self.file, self.table, batch)?
            }
            Table::Entries => logs::table_rows(&self.file, batch, logs::ALL_COLUMNS)?,
            Table::Spans => RecordBatch::try_new(Arc::clone(&SPANS_SCHEMA), batch.columns().to_vec())
                .map_err(|error| self.file.corrupt(error))?,
        };
        let keys = Keys::new(self.table, &batch);
        let (first, last) = self.table.bounds(self.wanted.range);
        let batch = select::in_time(&batch, keys.times(), first, last)?;
        let batch = self.wanted.unseen.visible(self.table, batch)?;
        if !self.table.is_numbered() {
            return Ok(batch);
        }
        let keys = Keys::new(self.table, &batch);
        let is_known =
            |number: &u32| self.wanted.numbers.get(*number as usize).is_some_and(|n| *n != NO_NUMBER);
        if !keys.numbers().iter().all(is_known) {
            return Err(self.file.corrupt("a row of a series or stream that is not there"));
        }
        Ok(renumbered(&batch, &self.wanted.numbers))
    }
}

/// The bytes of one row group, at their place in the file.
struct GroupBytes {
    start: u64,
    bytes: Bytes,
    file_bytes: u64,
}

impl GroupBytes {
    fn from(&self, start: u64) -> Result<Bytes, ParquetError> {
        let at = start.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
        let at = at.filter(|at| *at <= self.bytes.len());
        let at = at.ok_or_else(|| ParquetError::EOF(format!("offset {start} is in another row group")))?;
        Ok(self.bytes.slice(at..))
    }
}

impl Length for GroupBytes {
    fn len(&self) -> u64 {
        self.file_bytes
    }
}

impl ChunkReader for GroupBytes {
    type T = Cursor<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        self.from(start).map(Cursor::new)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.from(start)?;
        if length > bytes.len() {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} are beyond the row group")));
        }
        Ok(bytes.slice(..length))
    }
}
