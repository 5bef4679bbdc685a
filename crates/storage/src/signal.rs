//! What tells the three signals apart: their tables, the order of a table's rows, and what a duplicate is.
//!
//! Heads, segments and reads are written against [`Table`] and know nothing else of a signal. What a signal's files
//! look like is in the three modules below.

pub(crate) mod metrics;

pub(crate) mod logs;

pub(crate) mod traces;

use arrow::array::{Array, FixedSizeBinaryArray, Int64Array, RecordBatch, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::SchemaRef;
use model::log::ENTRIES_SCHEMA;
use model::metric::{EXEMPLARS_SCHEMA, HISTOGRAMS_SCHEMA, SAMPLES_SCHEMA};
use model::trace::SPANS_SCHEMA;
use model::{Signal, TimeRange};

/// The column of `start_ns` in the spans' schema.
const SPAN_START_COLUMN: usize = 7;

/// Rows of one shape and one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Table {
    /// Floating-point samples, by series and time.
    Samples,
    /// Native histograms, by series and time.
    Histograms,
    /// Exemplars, by series and time.
    Exemplars,
    /// Log lines, by stream and time.
    Entries,
    /// Spans, by trace, start and span id.
    Spans,
}

/// What happens to rows with the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duplicates {
    /// The row that was written last stays.
    LastWins,
    /// Rows that are equal in every column stay once, in the order of their arrival.
    Identical,
    /// All stay: the sources are known to have no row in common.
    Keep,
}

impl Table {
    /// The tables of a signal, in a fixed order.
    pub(crate) const fn of(signal: Signal) -> &'static [Table] {
        match signal {
            Signal::Metrics => &[Table::Samples, Table::Histograms, Table::Exemplars],
            Signal::Logs => &[Table::Entries],
            Signal::Traces => &[Table::Spans],
        }
    }

    /// The columns, as the model has them.
    pub(crate) fn schema(self) -> &'static SchemaRef {
        match self {
            Table::Samples => &SAMPLES_SCHEMA,
            Table::Histograms => &HISTOGRAMS_SCHEMA,
            Table::Exemplars => &EXEMPLARS_SCHEMA,
            Table::Entries => &ENTRIES_SCHEMA,
            Table::Spans => &SPANS_SCHEMA,
        }
    }

    /// The rule for rows with the same key.
    pub(crate) const fn duplicates(self) -> Duplicates {
        match self {
            Table::Samples | Table::Histograms => Duplicates::LastWins,
            Table::Exemplars | Table::Entries | Table::Spans => Duplicates::Identical,
        }
    }

    /// Whether column 0 is the number of a series or stream.
    pub(crate) const fn is_numbered(self) -> bool {
        !matches!(self, Table::Spans)
    }

    /// The time column.
    pub(crate) const fn time_column(self) -> usize {
        match self {
            Table::Spans => SPAN_START_COLUMN,
            _ => 1,
        }
    }

    /// A range of time in the unit of the time column, both ends included.
    pub(crate) const fn bounds(self, range: TimeRange) -> (i64, i64) {
        match self {
            Table::Samples | Table::Histograms | Table::Exemplars => (range.start_ms(), range.end_ms()),
            Table::Entries | Table::Spans => (range.start_ns, range.end_ns),
        }
    }

    /// The range in nanoseconds of two values of the time column.
    pub(crate) const fn range(self, first: i64, last: i64) -> TimeRange {
        match self {
            Table::Samples | Table::Histograms | Table::Exemplars => TimeRange::from_ms(first, last),
            Table::Entries | Table::Spans => TimeRange::new(first, last),
        }
    }
}

/// The place of a row in its table's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The series, stream or trace.
    pub(crate) major: u128,
    /// The time column.
    pub(crate) time: i64,
    /// The span id; 0 elsewhere.
    pub(crate) minor: u64,
}

/// The keys of a batch's rows, without copying them.
#[derive(Clone, Debug)]
pub(crate) enum Keys {
    /// Number and time.
    Numbered(ScalarBuffer<u32>, ScalarBuffer<i64>),
    /// Trace id, start and span id.
    Spans(FixedSizeBinaryArray, ScalarBuffer<i64>, FixedSizeBinaryArray),
}

fn typed<A: Clone + 'static>(batch: &RecordBatch, column: usize) -> A {
    batch.column(column).as_any().downcast_ref::<A>().expect("the batch is of its table's schema").clone()
}

impl Keys {
    /// The keys of a batch that is of the table's schema.
    pub(crate) fn new(table: Table, batch: &RecordBatch) -> Self {
        let times = typed::<Int64Array>(batch, table.time_column()).values().clone();
        if table.is_numbered() {
            Keys::Numbered(typed::<UInt32Array>(batch, 0).values().clone(), times)
        } else {
            Keys::Spans(typed(batch, 0), times, typed(batch, 1))
        }
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.times().len()
    }

    /// The time column.
    pub(crate) fn times(&self) -> &[i64] {
        match self {
            Keys::Numbered(_, times) | Keys::Spans(_, times, _) => times,
        }
    }

    /// The numbers of series or streams; none for spans.
    pub(crate) fn numbers(&self) -> &[u32] {
        match self {
            Keys::Numbered(numbers, _) => numbers,
            Keys::Spans(..) => &[],
        }
    }

    /// The key of a row.
    pub(crate) fn get(&self, row: usize) -> Key {
        match self {
            Keys::Numbered(numbers, times) => {
                Key { major: u128::from(numbers[row]), time: times[row], minor: 0 }
            }
            Keys::Spans(traces, times, spans) => {
                let trace = traces.value(row).try_into().expect("a trace id has 16 bytes");
                let span = spans.value(row).try_into().expect("a span id has 8 bytes");
                Key { major: u128::from_be_bytes(trace), time: times[row], minor: u64::from_be_bytes(span) }
            }
        }
    }

    /// The first row of `start..end` whose key is that of the row before it; `start` must not be 0.
    pub(crate) fn first_repeat(&self, start: usize, end: usize) -> Option<usize> {
        match self {
            Keys::Numbered(numbers, times) => {
                (start..end).find(|&i| times[i] == times[i - 1] && numbers[i] == numbers[i - 1])
            }
            Keys::Spans(_, times, _) => {
                (start..end).find(|&i| times[i] == times[i - 1] && self.get(i) == self.get(i - 1))
            }
        }
    }

    /// The first row from `start` for which `before` does not hold; it must hold for a prefix of the rows.
    pub(crate) fn partition(&self, start: usize, before: impl Fn(Key) -> bool) -> usize {
        // Galloping: most runs are short against the batch.
        let (mut low, mut step, len) = (start, 1, self.len());
        while low + step <= len && before(self.get(low + step - 1)) {
            low += step;
            step *= 2;
        }
        let mut high = len.min(low + step);
        while low < high {
            let middle = usize::midpoint(low, high);
            if before(self.get(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}
