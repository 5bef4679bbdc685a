//! What a query is asked with and what it answers.

use model::Labels;

/// From which end of time lines are taken, and in which order they are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Oldest first.
    Forward,
    /// Newest first.
    #[default]
    Backward,
}

/// The times and bounds of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvalParams {
    /// The first step of a metric query; lines from this nanosecond on.
    pub start_ns: i64,
    /// The last step of a metric query; lines up to, without, this nanosecond.
    pub end_ns: i64,
    /// From step to step; 0 evaluates a metric query once, at `end_ns`.
    pub step_ns: i64,
    /// The most lines that are answered.
    pub limit: usize,
    /// From which end of time.
    pub direction: Direction,
    /// The most series that are answered.
    pub max_series: usize,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Lines by their labels, ordered by labels; each stream's lines in the query's direction.
    Streams(Vec<Stream>),
    /// A metric query over several steps, ordered by labels.
    Matrix(Vec<SeriesValues>),
    /// A metric query at one time: labels, milliseconds, number. Ordered by labels unless the query sorts.
    Vector(Vec<(Labels, i64, f64)>),
    /// A number at one time, in milliseconds.
    Scalar(i64, f64),
}

/// Lines that have the same labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// Those of the stream, the structured metadata and what was parsed, errors included.
    pub labels: Labels,
    /// The lines.
    pub entries: Vec<LogEntry>,
}

impl Stream {
    /// The labels without structured metadata and parsed ones: for clients that want each kind apart.
    #[must_use]
    pub fn stream_labels(&self) -> Labels {
        let Some(entry) = self.entries.first() else { return self.labels.clone() };
        let is_other = |name: &str| entry.structured.iter().chain(&entry.parsed).any(|(n, _)| n == name);
        self.labels.filter(|name| !is_other(name))
    }
}

/// A line of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When it was written.
    pub timestamp_ns: i64,
    /// The text, as the pipeline left it.
    pub line: String,
    /// Which labels are structured metadata.
    pub structured: Vec<(String, String)>,
    /// Which labels were parsed or formatted.
    pub parsed: Vec<(String, String)>,
}

/// A series of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesValues {
    /// Its labels.
    pub labels: Labels,
    /// Milliseconds and number, by time.
    pub points: Vec<(i64, f64)>,
}

/// What a query has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of lines that were looked at; 0 where the query reads no lines.
    pub bytes_processed: u64,
    /// Lines that were looked at.
    pub lines_processed: u64,
    /// Lines that were answered.
    pub entries_returned: u64,
}

impl std::ops::AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        self.bytes_processed += other.bytes_processed;
        self.lines_processed += other.lines_processed;
        self.entries_returned += other.entries_returned;
    }
}

/// An answer and what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The answer.
    pub value: Value,
    /// Only what `finish` can know: the entries returned. The workers know the rest.
    pub stats: Stats,
}
