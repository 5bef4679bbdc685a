//! Sorted sources become one segment, step by step: a flush and a compaction are the same work on different sources.
//!
//! Synchronous: a step takes what there is and says what it needs. Who fetches and uploads is none of its business. It
//! holds a row group of each source, a batch of each, and the row group that is being written.

use std::collections::VecDeque;

use super::source::{Next, SegmentRows, Source};
use super::writer::{Piece, SegmentWriter, Summary};
use crate::bounds::{BUILD_ROWS_PER_STEP, UPLOAD_PART_BYTES};
use crate::error::StorageError;
use crate::read::merge::Merger;
use crate::signal::Table;

/// What a step came to.
pub(crate) enum Step {
    /// Sources of the current table need their next row group, see [`Build::hungry`].
    Hungry(Vec<usize>),
    /// It is somebody else's turn.
    Paused,
    /// A source does not decode; the build is over.
    Unreadable(usize, StorageError),
    /// The segment is whole; none when there were no rows.
    Done(Option<Summary>),
}

/// A segment that is being built.
pub(crate) struct Build {
    /// The tables that are left, the current one first, each with its sources, the oldest first.
    tables: VecDeque<(Table, Vec<Source>)>,
    merger: Option<Merger>,
    writer: SegmentWriter,
    rows_in: u64,
    peak_bytes: usize,
}

impl Build {
    /// A build of tables in the order of [`Table::of`], each with its sources, the oldest first.
    pub(crate) fn new(tables: Vec<(Table, Vec<Source>)>, writer: SegmentWriter) -> Self {
        let tables = tables.into_iter().filter(|(_, sources)| !sources.is_empty()).collect();
        Self { tables, merger: None, writer, rows_in: 0, peak_bytes: 0 }
    }

    /// Goes on until a source needs bytes, some bytes are ready, or enough was done at once.
    ///
    /// # Errors
    /// When Arrow or Parquet refuses the rows.
    pub(crate) fn step(&mut self) -> Result<Step, StorageError> {
        let mut rows = 0;
        while let Some((table, sources)) = self.tables.front_mut() {
            let duplicates = table.duplicates();
            let merger = self.merger.get_or_insert_with(|| Merger::new(*table, sources.len(), duplicates));
            let mut hungry = Vec::new();
            let needs: Vec<usize> = merger.needs().collect();
            for number in needs {
                match sources[number].next() {
                    Ok(Next::Rows(batch)) => {
                        self.rows_in += batch.num_rows() as u64;
                        merger.feed(number, Some(batch));
                    }
                    Ok(Next::Hungry) => hungry.push(number),
                    Ok(Next::Over) => merger.feed(number, None),
                    Err(error) => return Ok(Step::Unreadable(number, error)),
                }
            }
            if !hungry.is_empty() {
                return Ok(Step::Hungry(hungry));
            }
            match merger.next()? {
                Some(batch) => {
                    rows += batch.num_rows();
                    self.writer.write(*table, &batch)?;
                }
                None if merger.is_over() => {
                    self.merger = None;
                    self.tables.pop_front();
                }
                None => {}
            }
            self.measure();
            if rows >= BUILD_ROWS_PER_STEP || self.writer.has_pieces() {
                return Ok(Step::Paused);
            }
        }
        let summary = self.writer.finish()?;
        self.measure();
        Ok(Step::Done(summary))
    }

    /// The memory that it will take at the most, about: of the table with the largest row groups one of each source, as
    /// bytes and as a batch, and the one that is written.
    pub(crate) fn expected_bytes(&self) -> usize {
        let of_source = |source: &Source| match source {
            Source::Segment(rows) => rows.expected_bytes(),
            Source::Head(_) => 0,
        };
        let of_table = |sources: &[Source]| {
            let bytes = sources.iter().map(of_source);
            bytes.clone().sum::<usize>() + bytes.max().unwrap_or(0)
        };
        let tables = self.tables.iter().map(|(_, sources)| of_table(sources)).max().unwrap_or(0);
        tables + self.writer.memory_bytes() + UPLOAD_PART_BYTES
    }

    /// A source of the current table that comes from a segment.
    pub(crate) fn segment_rows(&mut self, source: usize) -> Option<&mut SegmentRows> {
        match self.tables.front_mut()?.1.get_mut(source)? {
            Source::Segment(rows) => Some(rows),
            Source::Head(_) => None,
        }
    }

    /// Takes the bytes that are ready.
    pub(crate) fn pieces(&mut self) -> Vec<Piece> {
        self.writer.pieces()
    }

    /// Rows that came out of the sources so far.
    pub(crate) const fn rows_in(&self) -> u64 {
        self.rows_in
    }

    /// The most memory that it has taken at once, about.
    pub(crate) const fn peak_bytes(&self) -> usize {
        self.peak_bytes
    }

    fn measure(&mut self) {
        let sources = self.tables.front().map_or(0, |(_, s)| s.iter().map(Source::memory_bytes).sum());
        let merger = self.merger.as_ref().map_or(0, Merger::memory_bytes);
        self.peak_bytes = self.peak_bytes.max(sources + merger + self.writer.memory_bytes());
    }
}
