//! Looks for rows in the files of this node's log, whether they are in segments by now or not: for showing that what was to
//! go has gone. Nothing is decided by it.

use std::io;
use std::path::Path;

use arrow::array::{AsArray, BinaryArray, RecordBatch};
use model::labels::Labels;
use model::{Batch, Matcher, Signal, TenantId, TimeRange};

use super::reader::{LogFile, Step};
use super::record;
use crate::disk::Disk;
use crate::error::StorageError;
use crate::head::index::LabelIndex;
use crate::layout;
use crate::signal::{Keys, Table};

/// Which rows are looked for.
#[derive(Clone, Debug)]
pub(crate) struct Sought {
    pub(crate) tenant: TenantId,
    pub(crate) signal: Signal,
    /// What the labels of metrics and logs meet.
    pub(crate) matchers: Vec<Matcher>,
    /// The trace that spans are of.
    pub(crate) trace_id: Option<[u8; 16]>,
    pub(crate) range: TimeRange,
}

impl Sought {
    /// How many such rows the log files have, by the sequence of the file. What is damaged is left out, and so are files
    /// that go meanwhile.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn in_log(&self, disk: &dyn Disk, data_dir: &Path) -> Result<Vec<(u64, usize)>, StorageError> {
        let dir = layout::wal_dir(data_dir);
        let files = disk.list(&dir).map_err(|error| StorageError::io("list log folder", &dir, error))?;
        let mut found = Vec::new();
        for sequence in files.iter().filter_map(|file| layout::wal_sequence(file)) {
            let path = layout::wal_file(data_dir, sequence);
            match self.in_file(disk, &path, sequence) {
                Ok(0) => {}
                Ok(rows) => found.push((sequence, rows)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(StorageError::io("read log file", path, error)),
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn in_file(&self, disk: &dyn Disk, path: &Path, sequence: u64) -> io::Result<usize> {
        let mut file = LogFile::open(disk, path, sequence)?;
        let mut rows = 0;
        loop {
            match file.step()? {
                Step::Record { bytes, .. } => rows += self.in_record(&bytes),
                Step::Damaged { .. } => {}
                Step::Tail { .. } | Step::End => return Ok(rows),
            }
        }
    }

    fn in_record(&self, bytes: &[u8]) -> usize {
        let is_owner = |(tenant, signal)| tenant == self.tenant && signal == self.signal;
        if !record::owner(bytes).is_ok_and(is_owner) {
            return 0;
        }
        match record::decode(bytes).map(|record| record.batch) {
            Ok(Batch::Metrics(batch)) => {
                let of_table = |(table, rows)| self.numbered(table, batch.label_bytes(), rows);
                [(Table::Samples, &batch.samples), (Table::Histograms, &batch.histograms)]
                    .into_iter()
                    .map(of_table)
                    .sum()
            }
            Ok(Batch::Logs(batch)) => self.numbered(Table::Entries, batch.label_bytes(), &batch.entries),
            Ok(Batch::Traces(batch)) => self.spans(&batch.spans),
            Err(_) => 0,
        }
    }

    fn numbered(&self, table: Table, labels: &BinaryArray, rows: &RecordBatch) -> usize {
        let mut index = LabelIndex::default();
        for bytes in labels.iter().flatten() {
            // What is no label set has no label.
            index.push(Labels::from_bytes(bytes).unwrap_or_default());
        }
        let count = u32::try_from(index.labels().len()).unwrap_or(u32::MAX);
        let wanted = index.select(&self.matchers, count);
        let (first, last) = table.bounds(self.range);
        let keys = Keys::new(table, rows);
        let all = keys.numbers().iter().zip(keys.times());
        all.filter(|(number, time)| wanted.contains(**number) && (first..=last).contains(*time)).count()
    }

    fn spans(&self, spans: &RecordBatch) -> usize {
        let keys = Keys::new(Table::Spans, spans);
        let traces = spans.column(0).as_fixed_size_binary();
        let is_of_trace = |row: usize| self.trace_id.is_none_or(|id| traces.value(row) == id);
        let times = keys.times().iter().enumerate();
        times
            .filter(|(row, time)| {
                (self.range.start_ns..=self.range.end_ns).contains(*time) && is_of_trace(*row)
            })
            .count()
    }
}
