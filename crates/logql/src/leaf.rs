//! A leaf of a plan: what to read, and the worker that filters, parses and reduces it where it is read.
//!
//! Not here: reading. The caller hands each stream's entries to a worker, in the order of [`Worker::entries`].

pub(crate) mod entries;
pub(crate) mod lines;
pub(crate) mod samples;

use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use model::attributes::attributes_type;
use model::{Labels, Matcher, TimeRange};

use crate::error::EvalError;
use crate::pipeline::Pipeline;
use crate::value::{Direction, Stats};
use entries::Entries;
use lines::KeptLines;
use samples::{SampleSpec, SeriesSamples};

/// A row per line that a worker kept: `labels` (canonical bytes; those of the stream, the structured metadata and
/// what was parsed), `timestamp_ns`, `line`, and which of the labels are `structured` metadata and which `parsed`.
pub static LINES_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("labels", DataType::Binary, false),
        Field::new("timestamp_ns", DataType::Int64, false),
        Field::new("line", DataType::Utf8, false),
        Field::new("structured", attributes_type(), false),
        Field::new("parsed", attributes_type(), false),
    ]))
});

/// A row per series: `labels` (canonical bytes) and, for each window in turn, the numbers that the aggregation keeps
/// of it in `values` (null where the window is empty). Aggregations that need every sample have them in `values`,
/// with their times in `timestamps_ns`, which is empty otherwise.
pub static SERIES_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let list = |item: DataType, nullable| DataType::List(Arc::new(Field::new("item", item, nullable)));
    Arc::new(Schema::new(vec![
        Field::new("labels", DataType::Binary, false),
        Field::new("timestamps_ns", list(DataType::Int64, true), false),
        Field::new("values", list(DataType::Float64, true), false),
    ]))
});

/// What to read and how to reduce it.
#[derive(Debug)]
pub struct Leaf {
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) range: TimeRange,
    pub(crate) pipeline: Pipeline,
    pub(crate) output: Output,
}

/// What a leaf gives.
#[derive(Debug)]
pub(crate) enum Output {
    /// Lines: at most so many, from this end of time.
    Lines(usize, Direction),
    /// Numbers per window.
    Samples(SampleSpec),
}

impl Leaf {
    /// Which streams.
    #[must_use]
    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    /// Which entries, both ends included.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        self.range
    }

    /// Texts that every line that counts has in it as it is stored.
    #[must_use]
    pub fn needles(&self) -> &[String] {
        self.pipeline.needles()
    }

    /// Whether the text of the lines is read; if not, the column may hold empty texts.
    #[must_use]
    pub fn needs_line(&self) -> bool {
        match &self.output {
            Output::Lines(..) => true,
            Output::Samples(spec) => spec.reads_line() || self.pipeline.reads_line(),
        }
    }

    /// The keys of structured metadata that are looked at, `trace_id` and `span_id` among them; none where all are.
    #[must_use]
    pub fn metadata_keys(&self) -> Option<Vec<String>> {
        match &self.output {
            Output::Lines(..) => None,
            Output::Samples(spec) if !spec.reads_labels() && self.pipeline.is_columnar() => Some(Vec::new()),
            Output::Samples(_) => self.pipeline.metadata().keys(),
        }
    }

    /// For a query that answers with lines: how many at most, and from which end of time.
    #[must_use]
    pub fn lines(&self) -> Option<(usize, Direction)> {
        match self.output {
            Output::Lines(limit, direction) => Some((limit, direction)),
            Output::Samples(_) => None,
        }
    }

    /// [`LINES_SCHEMA`] or [`SERIES_SCHEMA`].
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        match self.output {
            Output::Lines(..) => Arc::clone(&LINES_SCHEMA),
            Output::Samples(_) => Arc::clone(&SERIES_SCHEMA),
        }
    }

    /// A worker for one partition of the streams.
    #[must_use]
    pub fn worker(self: &Arc<Self>) -> Worker {
        let state = match self.output {
            Output::Lines(limit, direction) => State::Lines(KeptLines::new(limit, direction)),
            Output::Samples(_) => State::Samples(SeriesSamples::default()),
        };
        Worker { leaf: Arc::clone(self), state, stats: Stats::default(), rows: Vec::new() }
    }
}

/// Reduces the entries of one partition.
#[derive(Debug)]
pub struct Worker {
    leaf: Arc<Leaf>,
    state: State,
    stats: Stats,
    rows: Vec<u32>,
}

#[derive(Debug)]
enum State {
    Lines(KeptLines),
    Samples(SeriesSamples),
}

impl Worker {
    /// Takes entries of one stream, with ascending times; a stream's batches may come in any order. Those of the query's
    /// direction cost least, stream by stream. The batch is of `model::log::ENTRIES_SCHEMA`.
    ///
    /// # Errors
    /// When the batch has other columns, or a line of a metric query cannot be read by its pipeline.
    pub fn entries(&mut self, labels: &Labels, batch: &RecordBatch) -> Result<(), EvalError> {
        let entries = Entries::new(batch)?;
        let within = entries.within(self.leaf.range);
        let mut rows = std::mem::take(&mut self.rows);
        rows.clear();
        rows.extend(within);
        self.stats.lines_processed += rows.len() as u64;
        self.stats.bytes_processed += entries.bytes(&rows);
        self.leaf.pipeline.select(entries.lines, &mut rows);
        let result = match (&mut self.state, &self.leaf.output) {
            (State::Samples(state), Output::Samples(spec)) => {
                state.entries(spec, &self.leaf.pipeline, labels, &entries, &rows)
            }
            (State::Lines(state), _) => {
                state.entries(&self.leaf.pipeline, labels, &entries, &rows);
                Ok(())
            }
            (State::Samples(_), Output::Lines(..)) => Ok(()),
        };
        self.rows = rows;
        result
    }

    /// Whether entries of a time may change what the worker gives. They do not once it keeps as many lines as the leaf
    /// wants, and all of these come before that time in the query's direction.
    #[must_use]
    pub fn is_wanted(&self, time: TimeRange) -> bool {
        match &self.state {
            State::Lines(state) => state.is_wanted(time),
            State::Samples(_) => true,
        }
    }

    /// How much memory the worker holds.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        match &self.state {
            State::Lines(state) => state.memory_bytes(),
            State::Samples(state) => state.memory_bytes(),
        }
    }

    /// What was read so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The partition's part of the answer, of the leaf's schema.
    ///
    /// # Errors
    /// When the columns do not fit the schema.
    pub fn finish(self) -> Result<RecordBatch, EvalError> {
        match (self.state, &self.leaf.output) {
            (State::Samples(state), Output::Samples(spec)) => state.finish(spec),
            (State::Lines(state), _) => state.finish(),
            (State::Samples(_), Output::Lines(..)) => Err(EvalError::Schema { column: "values" }),
        }
    }
}
