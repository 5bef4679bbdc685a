//! Reads the runs of a head: sorted sources of batches with the reader's numbers.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::take_record_batch;
use hashbrown::HashMap;
use model::TimeRange;

use super::runs::{Place, Run, batch_bytes, sorted};
use crate::bounds::READ_BATCH_ROWS;
use crate::signal::{Key, Table};

/// A sorted source of batches that are in memory.
pub(crate) type BatchIter = Box<dyn Iterator<Item = RecordBatch> + Send>;

/// A source of a head's rows, and the memory of the copies that it gives.
pub(crate) struct HeadRows {
    /// The rows.
    pub(crate) batches: BatchIter,
    /// What they take besides the head; nothing where they are the head's own.
    pub(crate) copied_bytes: usize,
}

impl HeadRows {
    fn own(batches: impl Iterator<Item = RecordBatch> + Send + 'static) -> Self {
        Self { batches: Box::new(batches), copied_bytes: 0 }
    }
}

/// The rows that a reader wants.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// Series or streams: the reader's numbers, ascending, and the head's for each.
    Numbers(Arc<[(u32, u32)]>),
    /// Traces, both ends included.
    Traces(u128, u128),
}

/// The sources of the wanted rows: one for each sorted run, one for all batches that are not sorted.
pub(crate) fn sources(
    table: Table,
    runs: &[Arc<Run>],
    wanted: &Wanted,
    series_count: u32,
    range: TimeRange,
) -> Vec<HeadRows> {
    let bounds = table.bounds(range);
    let mut sources: Vec<HeadRows> = Vec::new();
    let mut arrived = Vec::new();
    for run in runs.iter().filter(|run| run.range().overlaps(range)) {
        if !run.is_sorted() {
            // Only the newest runs are not sorted, so that their one source is the last.
            arrived.push(Arc::clone(run));
            continue;
        }
        let run = Arc::clone(run);
        match wanted {
            Wanted::Numbers(numbers) => {
                let numbers = Arc::clone(numbers);
                sources.push(HeadRows::own(NumberedScan { run, numbers, next: 0, rest: 0..0, bounds }));
            }
            Wanted::Traces(first, last) => {
                sources.push(HeadRows::own(trace_scan(run, *first, *last, bounds)));
            }
        }
    }
    if !arrived.is_empty() {
        let lookup = Lookup::new(wanted, series_count);
        let rows = arrived_rows(table, &arrived, &lookup, bounds);
        let copied_bytes = batch_bytes(&rows);
        sources.push(HeadRows { batches: Box::new(slices(rows)), copied_bytes });
    }
    sources
}

/// Reads a sorted run in the order of the reader's numbers.
struct NumberedScan {
    run: Arc<Run>,
    numbers: Arc<[(u32, u32)]>,
    next: usize,
    /// Rows of the number before `next` that did not fit into the last batch.
    rest: Range<usize>,
    bounds: (i64, i64),
}

impl NumberedScan {
    /// The next rows that lie together, with their number; none at the end.
    fn stretch(&mut self, room: usize) -> Option<(u32, Range<usize>)> {
        while self.rest.is_empty() {
            let (_, local) = *self.numbers.get(self.next)?;
            self.next += 1;
            let groups = self.run.groups.as_ref().expect("only sorted runs are read by number");
            let rows = groups.rows(local);
            let times = &self.run.keys.times()[rows.clone()];
            let start = rows.start + times.partition_point(|t| *t < self.bounds.0);
            let end = rows.start + times.partition_point(|t| *t <= self.bounds.1);
            self.rest = start..end.max(start);
        }
        let number = self.numbers[self.next - 1].0;
        let end = self.rest.end.min(self.rest.start + room);
        let taken = self.rest.start..end;
        self.rest.start = end;
        Some((number, taken))
    }
}

impl Iterator for NumberedScan {
    type Item = RecordBatch;

    fn next(&mut self) -> Option<RecordBatch> {
        let mut numbers: Vec<u32> = Vec::new();
        let mut stretches: Vec<Range<usize>> = Vec::new();
        while numbers.len() < READ_BATCH_ROWS {
            let Some((number, rows)) = self.stretch(READ_BATCH_ROWS - numbers.len()) else { break };
            numbers.resize(numbers.len() + rows.len(), number);
            match stretches.last_mut() {
                Some(last) if last.end == rows.start => last.end = rows.end,
                _ => stretches.push(rows),
            }
        }
        let rows = match stretches.as_slice() {
            [] => return None,
            [one] => self.run.batch.slice(one.start, one.len()),
            many => {
                let indices = many.iter().flat_map(|rows| rows.clone()).map(|row| row as u64);
                take_record_batch(&self.run.batch, &UInt64Array::from_iter_values(indices))
                    .expect("the rows are of the batch")
            }
        };
        Some(with_numbers(&rows, numbers))
    }
}

fn with_numbers(rows: &RecordBatch, numbers: Vec<u32>) -> RecordBatch {
    let mut columns = rows.columns().to_vec();
    columns[0] = Arc::new(UInt32Array::from(numbers)) as ArrayRef;
    RecordBatch::try_new(rows.schema(), columns).expect("the column is of the type that it replaces")
}

/// Reads the traces of a sorted run.
fn trace_scan(
    run: Arc<Run>,
    first: u128,
    last: u128,
    bounds: (i64, i64),
) -> impl Iterator<Item = RecordBatch> {
    let start = run.keys.partition(0, |key| key.major < first);
    let end = run.keys.partition(start, |key| key.major <= last);
    (start..end).step_by(READ_BATCH_ROWS).filter_map(move |at| {
        let rows = at..end.min(at + READ_BATCH_ROWS);
        let within = |row: &usize| (bounds.0..=bounds.1).contains(&run.keys.times()[*row]);
        let kept: Vec<u64> = rows.clone().filter(within).map(|row| row as u64).collect();
        match kept.len() {
            0 => None,
            all if all == rows.len() => Some(run.batch.slice(rows.start, rows.len())),
            _ => Some(
                take_record_batch(&run.batch, &UInt64Array::from(kept)).expect("the rows are of the batch"),
            ),
        }
    })
}

/// The reader's number for the head's.
enum Lookup {
    Dense(Vec<u32>),
    Sparse(HashMap<u32, u32>),
    Traces(u128, u128),
}

impl Lookup {
    fn new(wanted: &Wanted, series_count: u32) -> Self {
        match wanted {
            Wanted::Traces(first, last) => Lookup::Traces(*first, *last),
            Wanted::Numbers(numbers) if numbers.len() * 16 < series_count as usize => {
                Lookup::Sparse(numbers.iter().map(|(global, local)| (*local, *global)).collect())
            }
            Wanted::Numbers(numbers) => {
                let mut table = vec![u32::MAX; series_count as usize];
                for (global, local) in numbers.iter() {
                    table[*local as usize] = *global;
                }
                Lookup::Dense(table)
            }
        }
    }

    /// The key in the reader's numbers, where the row is wanted.
    fn key(&self, key: Key) -> Option<Key> {
        let number = u32::try_from(key.major);
        let global = match self {
            Lookup::Traces(first, last) => return (*first <= key.major && key.major <= *last).then_some(key),
            Lookup::Dense(table) => table.get(number.ok()? as usize).copied().filter(|g| *g != u32::MAX)?,
            Lookup::Sparse(table) => *table.get(&number.ok()?)?,
        };
        Some(Key { major: u128::from(global), ..key })
    }
}

/// The wanted rows of batches that are not sorted, sorted.
fn arrived_rows(table: Table, runs: &[Arc<Run>], lookup: &Lookup, bounds: (i64, i64)) -> RecordBatch {
    let mut places: Vec<Place<Key>> = Vec::new();
    for (batch, run) in (0..).zip(runs) {
        for (row, time) in (0..).zip(run.keys.times()) {
            if (bounds.0..=bounds.1).contains(time)
                && let Some(key) = lookup.key(run.keys.get(row as usize))
            {
                places.push((key, batch, row));
            }
        }
    }
    let batches: Vec<&RecordBatch> = runs.iter().map(|run| &run.batch).collect();
    let rows = sorted(table, &batches, places.clone());
    if !table.is_numbered() {
        return rows;
    }
    let mut numbers: Vec<u32> = places
        .iter()
        .map(|(key, ..)| u32::try_from(key.major).expect("the reader's number has 32 bits"))
        .collect();
    // The rows are sorted by number first.
    numbers.sort_unstable();
    with_numbers(&rows, numbers)
}

/// A sorted batch in pieces of the size that readers take.
fn slices(rows: RecordBatch) -> impl Iterator<Item = RecordBatch> {
    (0..rows.num_rows())
        .step_by(READ_BATCH_ROWS)
        .map(move |at| rows.slice(at, READ_BATCH_ROWS.min(rows.num_rows() - at)))
}
