//! What has arrived and is not in segments yet: columnar, append-only, readable at once.
//!
//! Arriving batches are kept as they are and, when there are some, sorted into runs; runs of one size are merged into
//! larger ones, so that a read looks into few of them. A view is a list of pointers to runs: readers and writers do not
//! wait for each other. Duplicates stay until a reader or the flush merges the runs.

pub(crate) mod index;

pub(crate) mod series;

pub(crate) mod runs;

pub(crate) mod scan;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use model::{Batch, Signal, TimeRange};
use parking_lot::Mutex;

use crate::partition::HeadCharge;
use crate::read::snapshot::Age;
use crate::signal::{Keys, Table};
use runs::{Run, Runs};
use scan::{HeadRows, Wanted};
use series::{HeadSeries, Known};

/// Where the rows of a head come from. While the log of an earlier run is replayed, writers go on: what is replayed is
/// older than all that they write, and has heads of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// The log, as the process found it.
    Replay,
    /// Writers of this process.
    Writers,
}

/// The rows of one tenant's signal that are not in segments.
#[derive(Debug)]
pub(crate) struct Head {
    signal: Signal,
    origin: Origin,
    series: Arc<HeadSeries>,
    state: Mutex<State>,
    charge: Arc<HeadCharge>,
}

#[derive(Debug)]
struct State {
    /// One entry a table of the signal, in the order of [`Table::of`].
    tables: Vec<Runs>,
    bytes: usize,
    range: Option<TimeRange>,
}

/// What was in a head at one moment.
#[derive(Clone, Debug)]
pub(crate) struct HeadView {
    signal: Signal,
    origin: Origin,
    series: Arc<HeadSeries>,
    series_count: u32,
    tables: Vec<Vec<Arc<Run>>>,
    range: Option<TimeRange>,
    /// The head's memory counts while somebody reads it, also when it is in segments.
    _charge: Arc<HeadCharge>,
}

impl Head {
    /// An empty head.
    pub(crate) fn new(signal: Signal, origin: Origin, charge: Arc<HeadCharge>) -> Self {
        let tables = Table::of(signal).iter().map(|table| Runs::new(*table)).collect();
        let state = State { tables, bytes: 0, range: None };
        Self { signal, origin, series: Arc::new(HeadSeries::default()), state: Mutex::new(state), charge }
    }

    /// Where the rows come from.
    pub(crate) const fn origin(&self) -> Origin {
        self.origin
    }

    /// The series or streams; there are none for spans.
    pub(crate) const fn series(&self) -> &Arc<HeadSeries> {
        &self.series
    }

    /// Adds the rows of a validated batch of the head's signal; they are visible together. `known` is
    /// what a head's series said of the batch before.
    pub(crate) fn append(&self, batch: &Batch, known: Option<Known>) {
        debug_assert_eq!(batch.signal(), self.signal, "a head holds one signal");
        let parts: Vec<(usize, RecordBatch)> = match batch {
            Batch::Metrics(metrics) => {
                let numbers = self.series.resolve(metrics.label_bytes(), Some(&metrics.series), known);
                let tables = [&metrics.samples, &metrics.histograms, &metrics.exemplars];
                let tables = tables.into_iter().enumerate().filter(|(_, rows)| rows.num_rows() > 0);
                tables.map(|(table, rows)| (table, renumbered(rows, &numbers))).collect()
            }
            Batch::Logs(logs) => {
                let numbers = self.series.resolve(logs.label_bytes(), None, known);
                vec![(0, renumbered(&logs.entries, &numbers))]
            }
            Batch::Traces(traces) => vec![(0, traces.spans.clone())],
        };
        self.push(parts);
        self.merge_runs();
    }

    fn push(&self, parts: Vec<(usize, RecordBatch)>) {
        let runs: Vec<(usize, Run)> = parts
            .into_iter()
            .filter(|(_, rows)| rows.num_rows() > 0)
            .map(|(table, rows)| (table, Run::arrived(Table::of(self.signal)[table], rows)))
            .collect();
        let mut state = self.state.lock();
        for (table, run) in runs {
            state.bytes += run.bytes();
            state.range = Some(union(state.range, run.range()));
            state.tables[table].push(run);
        }
    }

    /// Sorts and merges runs while there are too many; the work is done outside of the lock.
    fn merge_runs(&self) {
        for table in 0..Table::of(self.signal).len() {
            loop {
                let Some(task) = self.state.lock().tables[table].begin_merge() else { break };
                let merged = task.run();
                let mut state = self.state.lock();
                let (freed, taken) = state.tables[table].end_merge(&task, merged);
                state.bytes = (state.bytes + taken).saturating_sub(freed);
            }
        }
    }

    /// Memory that the head takes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().bytes + self.series.bytes()
    }

    /// What the head counts for.
    pub(crate) fn charge(&self) -> &HeadCharge {
        &self.charge
    }

    /// What is in the head now.
    pub(crate) fn view(&self) -> HeadView {
        let state = self.state.lock();
        let tables = state.tables.iter().map(Runs::snapshot).collect();
        let range = state.range;
        drop(state);
        // Counted after the rows were taken: every row's series has a number below it.
        let series_count = self.series.count();
        let (series, _charge) = (Arc::clone(&self.series), Arc::clone(&self.charge));
        let (signal, origin) = (self.signal, self.origin);
        HeadView { signal, origin, series, series_count, tables, range, _charge }
    }
}

impl HeadView {
    /// The signal of the head.
    pub(crate) const fn signal(&self) -> Signal {
        self.signal
    }

    /// Where the rows come from.
    pub(crate) const fn origin(&self) -> Origin {
        self.origin
    }

    /// How old the rows are.
    pub(crate) const fn age(&self) -> Age {
        match self.origin {
            Origin::Replay => Age::Replayed,
            Origin::Writers => Age::Written,
        }
    }

    /// The time that the rows cover.
    pub(crate) const fn time_range(&self) -> Option<TimeRange> {
        self.range
    }

    /// The series or streams; there are none for spans.
    pub(crate) fn series(&self) -> &Arc<HeadSeries> {
        &self.series
    }

    /// How many series or streams the view knows.
    pub(crate) const fn series_count(&self) -> u32 {
        self.series_count
    }

    /// Whether there are rows of a table.
    pub(crate) fn has(&self, table: Table) -> bool {
        self.runs(table).is_some_and(|runs| !runs.is_empty())
    }

    /// How many rows of a table lie in which times.
    pub(crate) fn row_counts(&self, table: Table) -> impl Iterator<Item = (usize, TimeRange)> {
        self.runs(table).into_iter().flatten().map(|run| (run.rows(), run.range()))
    }

    /// The wanted rows of a table within the range, as sorted sources, the oldest first.
    pub(crate) fn sources(&self, table: Table, wanted: &Wanted, range: TimeRange) -> Vec<HeadRows> {
        match self.runs(table) {
            Some(runs) => scan::sources(table, runs, wanted, self.series_count, range),
            None => Vec::new(),
        }
    }

    /// Calls back with the keys of every run of a table; numbers are the head's.
    pub(crate) fn each_keys(&self, table: Table, mut f: impl FnMut(&Keys)) {
        self.runs(table).into_iter().flatten().for_each(|run| f(&run.keys));
    }

    fn runs(&self, table: Table) -> Option<&[Arc<Run>]> {
        let index = Table::of(self.signal).iter().position(|t| *t == table)?;
        Some(&self.tables[index])
    }
}

/// The smallest range that holds both.
pub(crate) fn union(a: Option<TimeRange>, b: TimeRange) -> TimeRange {
    a.map_or(b, |a| TimeRange::new(a.start_ns.min(b.start_ns), a.end_ns.max(b.end_ns)))
}

/// The batch with the numbers of column 0 replaced.
pub(crate) fn renumbered(rows: &RecordBatch, numbers: &[u32]) -> RecordBatch {
    let column: &UInt32Array =
        rows.column(0).as_any().downcast_ref().expect("the batch is of its table's schema");
    let mapped = column.values().iter().map(|&n| numbers[n as usize]);
    let mut columns = rows.columns().to_vec();
    columns[0] = Arc::new(UInt32Array::from_iter_values(mapped)) as ArrayRef;
    RecordBatch::try_new(rows.schema(), columns).expect("the column is of the type that it replaces")
}
