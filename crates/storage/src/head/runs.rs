//! The rows of one table of a head: batches as they arrived, and sorted runs that grow by merging.
//!
//! The list is in the order of arrival, and merges take neighbours only, so that of equal keys the later row stays
//! later.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::compute::interleave_record_batch;
use model::TimeRange;

use crate::bounds::{
    FULL_RUN_BYTES, FULL_RUN_ROWS, MAX_UNSORTED_BATCHES, MAX_UNSORTED_BYTES, MAX_UNSORTED_ROWS,
    RUNS_PER_LEVEL,
};
use crate::signal::{Keys, Table};

/// The level of a run that is not merged any more.
const FULL: u8 = u8::MAX;

/// Where the rows of each number are in a sorted run.
#[derive(Debug)]
pub(crate) enum Groups {
    /// The end of each number's rows, for every number up to the largest.
    Dense(Vec<u32>),
    /// The numbers that there are, and the end of each one's rows.
    Sparse(Vec<u32>, Vec<u32>),
}

impl Groups {
    fn new(numbers: &[u32]) -> Self {
        let at = |row: usize| u32::try_from(row).expect("a run is bounded far below 2^32 rows");
        let largest = numbers.last().map_or(0, |n| *n as usize);
        if largest < numbers.len().saturating_mul(4) {
            let mut ends = vec![0; largest + 1];
            for (row, number) in numbers.iter().enumerate() {
                ends[*number as usize] = at(row + 1);
            }
            // A number without rows ends where the one before it does.
            let mut last = 0;
            for end in &mut ends {
                last = last.max(*end);
                *end = last;
            }
            return Groups::Dense(ends);
        }
        let (mut present, mut ends) = (Vec::new(), Vec::new());
        for (row, number) in numbers.iter().enumerate() {
            if present.last() == Some(number) {
                *ends.last_mut().expect("it has as many as the numbers") = at(row + 1);
            } else {
                present.push(*number);
                ends.push(at(row + 1));
            }
        }
        Groups::Sparse(present, ends)
    }

    /// The rows of a number.
    pub(crate) fn rows(&self, number: u32) -> std::ops::Range<usize> {
        let before = |ends: &[u32], i: usize| if i == 0 { 0 } else { ends[i - 1] as usize };
        match self {
            Groups::Dense(ends) => {
                let i = number as usize;
                if i < ends.len() { before(ends, i)..ends[i] as usize } else { 0..0 }
            }
            Groups::Sparse(present, ends) => match present.binary_search(&number) {
                Ok(i) => before(ends, i)..ends[i] as usize,
                Err(_) => 0..0,
            },
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Groups::Dense(ends) => ends.len() * 4,
            Groups::Sparse(present, ends) => (present.len() + ends.len()) * 4,
        }
    }
}

/// Rows of a table; immutable.
#[derive(Debug)]
pub(crate) struct Run {
    /// The rows; numbers are the head's.
    pub(crate) batch: RecordBatch,
    /// Their keys.
    pub(crate) keys: Keys,
    /// Where each number's rows are, in a sorted run; none in a batch as it arrived.
    pub(crate) groups: Option<Groups>,
    level: u8,
    bytes: usize,
    range: TimeRange,
}

impl Run {
    /// A batch as it arrived, with at least one row.
    pub(crate) fn arrived(table: Table, batch: RecordBatch) -> Self {
        Self::make(table, batch, false, 0)
    }

    fn make(table: Table, batch: RecordBatch, is_sorted: bool, level: u8) -> Self {
        let keys = Keys::new(table, &batch);
        let groups = is_sorted.then(|| Groups::new(keys.numbers()));
        let bytes = batch_bytes(&batch) + groups.as_ref().map_or(0, Groups::bytes);
        let times = keys.times();
        let first = times.iter().copied().min().unwrap_or(0);
        let last = times.iter().copied().max().unwrap_or(0);
        Self { batch, range: table.range(first, last), keys, groups, level, bytes }
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// Memory that it takes, about.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The time that the rows cover.
    pub(crate) const fn range(&self) -> TimeRange {
        self.range
    }

    /// Whether the rows are in the table's order, by the head's numbers.
    pub(crate) const fn is_sorted(&self) -> bool {
        self.groups.is_some()
    }
}

/// The memory of the values, whatever larger buffers they lie in.
pub(crate) fn batch_bytes(batch: &RecordBatch) -> usize {
    let column = |column: &dyn Array| {
        column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
    };
    batch.columns().iter().map(|c| column(c)).sum()
}

/// A row to be sorted: its key, the batch that it is in, and the row there.
pub(crate) type Place<K> = (K, u32, u32);

/// Puts rows of batches into the order of their keys; rows with equal keys stay in the order in which they are given.
pub(crate) fn sorted<K: Copy + Ord>(
    table: Table,
    batches: &[&RecordBatch],
    mut places: Vec<Place<K>>,
) -> RecordBatch {
    // Stable, and fast where there are sorted stretches.
    places.sort_by_key(|place| place.0);
    let indices: Vec<(usize, usize)> = places.iter().map(|(_, b, r)| (*b as usize, *r as usize)).collect();
    if indices.is_empty() {
        return RecordBatch::new_empty(table.schema().clone());
    }
    interleave_record_batch(batches, &indices)
        .expect("the batches have the table's schema and the bounds keep offsets within 32 bits")
}

/// Neighbouring runs that become one.
#[derive(Debug)]
pub(crate) struct MergeTask {
    table: Table,
    first: usize,
    runs: Vec<Arc<Run>>,
}

impl MergeTask {
    /// The one run.
    pub(crate) fn run(&self) -> Run {
        let level = self.runs.first().map_or(0, |run| run.level);
        let rows = if self.table.is_numbered() {
            self.sorted_by(|keys, row| (keys.numbers()[row], keys.times()[row]))
        } else {
            self.sorted_by(Keys::get)
        };
        let mut merged = Run::make(self.table, rows, true, level + 1);
        if merged.rows() >= FULL_RUN_ROWS || merged.bytes >= FULL_RUN_BYTES {
            merged.level = FULL;
        }
        merged
    }

    /// All rows, sorted. Keys that are small are moved about faster.
    fn sorted_by<K: Copy + Ord>(&self, key: impl Fn(&Keys, usize) -> K) -> RecordBatch {
        let batches: Vec<&RecordBatch> = self.runs.iter().map(|run| &run.batch).collect();
        let mut places = Vec::with_capacity(self.runs.iter().map(|run| run.rows()).sum());
        for (batch, run) in (0..).zip(&self.runs) {
            places.extend((0..).zip(0..run.rows()).map(|(row, i)| (key(&run.keys, i), batch, row)));
        }
        sorted(self.table, &batches, places)
    }
}

/// The runs of one table, in the order of arrival; levels do not grow along the list, but for full runs.
#[derive(Debug)]
pub(crate) struct Runs {
    table: Table,
    runs: Vec<Arc<Run>>,
    is_merging: bool,
}

impl Runs {
    /// No run yet.
    pub(crate) const fn new(table: Table) -> Self {
        Self { table, runs: Vec::new(), is_merging: false }
    }

    /// Adds a batch as it arrived.
    pub(crate) fn push(&mut self, run: Run) {
        self.runs.push(Arc::new(run));
    }

    /// The runs now.
    pub(crate) fn snapshot(&self) -> Vec<Arc<Run>> {
        self.runs.clone()
    }

    /// Neighbours that should become one, when there are and nobody merges already.
    pub(crate) fn begin_merge(&mut self) -> Option<MergeTask> {
        if self.is_merging {
            return None;
        }
        let mut end = self.runs.len();
        while end > 0 {
            let level = self.runs[end - 1].level;
            if level == FULL {
                return None;
            }
            let start = self.runs[..end].iter().rposition(|run| run.level != level).map_or(0, |i| i + 1);
            let group = &self.runs[start..end];
            let is_due = if level == 0 {
                group.len() >= MAX_UNSORTED_BATCHES
                    || group.iter().map(|run| run.rows()).sum::<usize>() >= MAX_UNSORTED_ROWS
                    || group.iter().map(|run| run.bytes).sum::<usize>() >= MAX_UNSORTED_BYTES
            } else {
                group.len() >= RUNS_PER_LEVEL
            };
            if is_due {
                self.is_merging = true;
                return Some(MergeTask { table: self.table, first: start, runs: group.to_vec() });
            }
            end = start;
        }
        None
    }

    /// Puts the merged run in the place of its parts; gives the bytes freed and taken.
    pub(crate) fn end_merge(&mut self, task: &MergeTask, merged: Run) -> (usize, usize) {
        let freed = task.runs.iter().map(|run| run.bytes).sum();
        let taken = merged.bytes;
        self.runs.splice(task.first..task.first + task.runs.len(), [Arc::new(merged)]);
        self.is_merging = false;
        (freed, taken)
    }
}
