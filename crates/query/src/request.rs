//! What can be asked, besides the text of the query.

use model::TimeRange;

/// How a PromQL query is to be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromRequest {
    /// The first step; for an instant query the same as `end_ms`.
    pub start_ms: i64,
    /// The last moment that a step may fall on.
    pub end_ms: i64,
    /// The distance of steps; none for an instant query at `end_ms`.
    pub step_ms: Option<i64>,
    /// The time it may take; the tenant's limit where none or more is asked for.
    pub timeout_ns: Option<i64>,
    /// How far back an instant selector looks; five minutes where none is asked for.
    pub lookback_ms: Option<i64>,
    /// The most series to answer with.
    pub limit: Option<usize>,
    /// Whether the samples that each step looks at are counted.
    pub counts_samples: bool,
}

/// The order of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    Forward,
    /// Newest first.
    Backward,
}

/// How a LogQL query is to be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRequest {
    /// The first moment, included; for an instant query the same as `end_ns`.
    pub start_ns: i64,
    /// The end: excluded for lines, included for steps of a metric query.
    pub end_ns: i64,
    /// The distance of steps of a metric query; none for an instant query at `end_ns`.
    pub step_ns: Option<i64>,
    /// The most lines to answer with.
    pub limit: usize,
    /// Which lines those are, and their order.
    pub direction: Direction,
    /// The time it may take; the tenant's limit where none or more is asked for.
    pub timeout_ns: Option<i64>,
}

/// How a TraceQL search is to be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceRequest {
    /// Where to look.
    pub range: TimeRange,
    /// The most traces to answer with.
    pub limit: usize,
    /// The most spans of a set to answer with.
    pub spans_per_span_set: usize,
    /// The time it may take; the tenant's limit where none or more is asked for.
    pub timeout_ns: Option<i64>,
}

/// How a SQL query is to be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqlRequest {
    /// Only rows of this time are seen, in every table.
    pub range: TimeRange,
    /// The most rows to answer with.
    pub limit: Option<usize>,
    /// The time it may take; the tenant's limit where none or more is asked for.
    pub timeout_ns: Option<i64>,
}

impl Default for SqlRequest {
    fn default() -> Self {
        Self { range: TimeRange::ALL, limit: None, timeout_ns: None }
    }
}

/// The legacy search: tags as `key=value` pairs, and bounds on the trace's duration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagSearch {
    /// Pairs that a span or its resource must have.
    pub tags: Vec<(String, String)>,
    /// The shortest trace.
    pub min_duration_ns: Option<i64>,
    /// The longest trace.
    pub max_duration_ns: Option<i64>,
}

/// The scope of a tag, as the Tempo API names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TagScope {
    /// Attributes of resources.
    Resource,
    /// Attributes of spans.
    Span,
    /// Attributes of events.
    Event,
    /// Attributes of links.
    Link,
    /// Attributes of instrumentation scopes.
    Instrumentation,
    /// What every span has.
    Intrinsic,
}

impl TagScope {
    /// All of them, in the order of the API's answers.
    pub const ALL: [TagScope; 6] = [
        TagScope::Event,
        TagScope::Instrumentation,
        TagScope::Link,
        TagScope::Resource,
        TagScope::Span,
        TagScope::Intrinsic,
    ];

    /// The name in requests and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            TagScope::Resource => "resource",
            TagScope::Span => "span",
            TagScope::Event => "event",
            TagScope::Link => "link",
            TagScope::Instrumentation => "instrumentation",
            TagScope::Intrinsic => "intrinsic",
        }
    }

    /// The scope of a name; none for another text.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

/// A tag whose values are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The scope; none looks at spans and resources, and at the intrinsic of the name.
    pub scope: Option<TagScope>,
    /// The key, or the name of the intrinsic.
    pub name: String,
}
