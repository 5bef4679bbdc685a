//! Writes the files of one segment, in bounded memory: rows come sorted and without duplicates, bytes are taken out while
//! the files grow.
//!
//! Synchronous: it computes and waits for nothing. Who uploads the bytes is none of its business.

use arrow::array::RecordBatch;
use bytes::Bytes;
use model::labels::Labels;
use model::{Signal, TimeRange};

use super::parquet_file::{Finished, ParquetFile};
use super::schema::{self, SERIES_PART};
use crate::bounds::UPLOAD_PART_BYTES;
use crate::error::StorageError;
use crate::head::series::Info;
use crate::manifest::PartMeta;
use crate::signal::logs::LinesFile;
use crate::signal::metrics::{COUNT_COLUMNS, RowsFile, series_file};
use crate::signal::traces::SpansFile;
use crate::signal::{Keys, Table};

/// Bytes of a segment's file, in the order in which they stand there; a file's pieces follow each other.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Exactly [`UPLOAD_PART_BYTES`] of the file with this part's name; more follows.
    More(&'static str, Bytes),
    /// The rest of a file, which may be all of it.
    Last(&'static str, Bytes, PartMeta),
}

/// What became of the rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    /// The time that they cover.
    pub(crate) range: TimeRange,
    /// How many there are, all tables together.
    pub(crate) rows: u64,
}

/// The file of a table.
enum TableFile {
    Rows(RowsFile),
    Lines(LinesFile),
    Spans(SpansFile),
}

impl TableFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), StorageError> {
        match self {
            TableFile::Rows(file) => file.write(batch),
            TableFile::Lines(file) => file.write(batch),
            TableFile::Spans(file) => file.write(batch),
        }
    }

    fn parquet(&mut self) -> &mut ParquetFile {
        match self {
            TableFile::Rows(file) => &mut file.file,
            TableFile::Lines(file) => &mut file.file,
            TableFile::Spans(file) => &mut file.file,
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            TableFile::Rows(file) => file.file.memory_bytes(),
            TableFile::Lines(file) => file.file.memory_bytes(),
            TableFile::Spans(file) => file.memory_bytes(),
        }
    }
}

/// Writes one segment.
pub(crate) struct SegmentWriter {
    signal: Signal,
    /// Whether the rows come from segments: then the files are read for long and packed tighter.
    is_rewritten: bool,
    series: Vec<(Labels, Info)>,
    series_bytes: usize,
    /// The rows of each series or stream, by table.
    counts: Vec<Vec<u64>>,
    open: Option<(Table, TableFile)>,
    pieces: Vec<Piece>,
    range: Option<TimeRange>,
    rows: u64,
}

impl SegmentWriter {
    /// An empty segment. `series` are the series or streams in the order of their labels; rows carry their places in
    /// this list.
    pub(crate) fn new(signal: Signal, series: Vec<(Labels, Info)>, is_rewritten: bool) -> Self {
        let labels = series.iter().map(|(labels, _)| labels.as_bytes().len());
        let series_bytes = labels.sum::<usize>() + series.len() * size_of::<(Labels, Info)>();
        let tables = Table::of(signal).iter().filter(|table| table.is_numbered());
        let counts = tables.map(|_| vec![0; series.len()]).collect();
        Self {
            signal,
            is_rewritten,
            series,
            series_bytes,
            counts,
            open: None,
            pieces: Vec::new(),
            range: None,
            rows: 0,
        }
    }

    /// Adds rows of a table, in its order; the tables come in the order of [`Table::of`].
    ///
    /// # Errors
    /// When Arrow or Parquet refuses the rows.
    pub(crate) fn write(&mut self, table: Table, batch: &RecordBatch) -> Result<(), StorageError> {
        let keys = Keys::new(table, batch);
        let (Some(first), Some(last)) = (keys.times().iter().min(), keys.times().iter().max()) else {
            return Ok(());
        };
        self.range = Some(crate::head::union(self.range, table.range(*first, *last)));
        self.rows += batch.num_rows() as u64;
        if let Some(counts) = Table::of(self.signal).iter().position(|t| *t == table)
            && table.is_numbered()
        {
            let counts = &mut self.counts[counts];
            for stretch in keys.numbers().chunk_by(|a, b| a == b) {
                counts[stretch[0] as usize] += stretch.len() as u64;
            }
        }
        if self.open.as_ref().is_none_or(|(open, _)| *open != table) {
            self.end_table()?;
            self.open = Some((table, self.table_file(table)?));
        }
        if let Some((_, file)) = &mut self.open {
            file.write(batch)?;
            let parquet = file.parquet();
            while let Some(bytes) = parquet.take(UPLOAD_PART_BYTES) {
                self.pieces.push(Piece::More(schema::part(table), bytes));
            }
        }
        Ok(())
    }

    /// Whether there are bytes to be taken.
    pub(crate) fn has_pieces(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// Takes the bytes that are ready.
    pub(crate) fn pieces(&mut self) -> Vec<Piece> {
        std::mem::take(&mut self.pieces)
    }

    /// Memory that it takes, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::More(_, bytes) | Piece::Last(_, bytes, _) => bytes.len(),
        });
        let counts = self.counts.iter().map(|counts| counts.len() * size_of::<u64>());
        let open = self.open.as_ref().map_or(0, |(_, file)| file.memory_bytes());
        self.series_bytes + counts.sum::<usize>() + open + pieces.sum::<usize>()
    }

    /// Ends the segment; none when there were no rows. Its last pieces are to be taken afterwards.
    ///
    /// # Errors
    /// When Parquet cannot write a footer.
    pub(crate) fn finish(&mut self) -> Result<Option<Summary>, StorageError> {
        self.end_table()?;
        let Some(range) = self.range else {
            return Ok(None);
        };
        if self.signal == Signal::Metrics {
            let mut counts = std::mem::take(&mut self.counts).into_iter();
            let counts = COUNT_COLUMNS.map(|_| counts.next().unwrap_or_default());
            let file = series_file(&self.series, &counts, self.is_rewritten)?;
            self.end_part(SERIES_PART, file);
        }
        Ok(Some(Summary { range, rows: self.rows }))
    }

    fn table_file(&self, table: Table) -> Result<TableFile, StorageError> {
        Ok(match table {
            Table::Samples | Table::Histograms | Table::Exemplars => {
                TableFile::Rows(RowsFile::new(table, self.is_rewritten)?)
            }
            Table::Entries => TableFile::Lines(LinesFile::new(&self.series, self.is_rewritten)?),
            Table::Spans => TableFile::Spans(SpansFile::new(self.is_rewritten)?),
        })
    }

    fn end_table(&mut self) -> Result<(), StorageError> {
        let Some((table, file)) = self.open.take() else {
            return Ok(());
        };
        let finished = match file {
            TableFile::Rows(file) => file.finish()?,
            TableFile::Lines(file) => file.finish(&self.series, &self.counts[0])?,
            TableFile::Spans(file) => file.finish()?,
        };
        self.end_part(schema::part(table), finished);
        Ok(())
    }

    fn end_part(&mut self, name: &'static str, file: Finished) {
        let meta = PartMeta {
            name: name.to_owned(),
            bytes: file.bytes,
            rows: file.rows,
            tail_bytes: file.tail.bytes,
            tail_xxh3: file.tail.checksum,
        };
        self.pieces.push(Piece::Last(name, file.rest, meta));
    }
}
