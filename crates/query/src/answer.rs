//! What comes back.

use model::AttributeValue;

use crate::engine::Held;

pub use logql::{LogEntry, Stream as LogStream, Value as LogValue};
pub use promql::{Point, SeriesValues, Value, ValueType};
pub use traceql::{SpanMatch, SpanSet, TraceMatch};

/// What a query touched and how long it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Samples, lines or spans that were read.
    pub items: u64,
    /// Bytes of columns that were read, decoded.
    pub bytes: u64,
    /// Series, streams or traces that were looked at.
    pub series: u64,
    /// Time from its turn to the answer.
    pub exec_ns: u64,
    /// The part of it until something was read; 0 where that is not told apart.
    pub prepare_ns: u64,
    /// Time that it waited for its turn.
    pub queue_ns: u64,
    /// The most memory that was held at once.
    pub peak_memory_bytes: u64,
}

/// The samples that a PromQL query was computed from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleStats {
    /// The moment of each step, in milliseconds, and the samples that it looked at: one that several steps look at counts
    /// for each of them. What is inside a subquery does not count, its result does.
    pub per_step: Vec<(i64, u64)>,
    /// The most values that were held at once, at most.
    pub peak: u64,
}

impl SampleStats {
    /// Of all steps.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.per_step.iter().map(|(_, samples)| samples).sum()
    }
}

/// The answer to a PromQL query.
#[derive(Clone, Debug)]
pub struct PromAnswer {
    /// The result.
    pub value: Value,
    /// What may be wrong with the result.
    pub warnings: Vec<String>,
    /// What may be wrong with the query.
    pub infos: Vec<String>,
    /// What it cost.
    pub stats: QueryStats,
    /// The samples that it was computed from, where they were counted.
    pub samples: Option<SampleStats>,
    /// What it holds until it is dropped.
    pub held: Held,
}

/// The answer to a LogQL query.
#[derive(Clone, Debug)]
pub struct LogAnswer {
    /// The result.
    pub value: LogValue,
    /// What it cost.
    pub stats: QueryStats,
    /// What it holds until it is dropped.
    pub held: Held,
}

/// The answer to a TraceQL search.
#[derive(Clone, Debug)]
pub struct TraceAnswer {
    /// The traces, newest first.
    pub traces: Vec<TraceMatch>,
    /// What it cost.
    pub stats: QueryStats,
    /// What it holds until it is dropped.
    pub held: Held,
}

/// A list that may have been cut at a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limited<T> {
    /// The list.
    pub value: T,
    /// Whether there would have been more.
    pub truncated: bool,
}

impl<T> Limited<Vec<T>> {
    /// Cuts a list at a limit, where there is one.
    #[must_use]
    pub fn cut(mut value: Vec<T>, limit: Option<usize>) -> Self {
        let limit = limit.filter(|l| *l > 0).unwrap_or(usize::MAX);
        let truncated = value.len() > limit;
        value.truncate(limit);
        Self { value, truncated }
    }
}

/// A value that a tag has.
#[derive(Clone, Debug, PartialEq)]
pub struct TagValue {
    /// `string`, `int`, `float`, `bool`, `duration` or `keyword`.
    pub kind: &'static str,
    /// The value as text.
    pub value: String,
}

impl TagValue {
    /// The value of an attribute.
    #[must_use]
    pub fn of_attribute(value: &AttributeValue) -> Self {
        let kind = match value {
            AttributeValue::Bool(_) => "bool",
            AttributeValue::Int(_) => "int",
            AttributeValue::Double(_) => "float",
            AttributeValue::String(_)
            | AttributeValue::Array(_)
            | AttributeValue::Map(_)
            | AttributeValue::Bytes(_) => "string",
        };
        Self { kind, value: value.as_ref().to_string() }
    }
}
