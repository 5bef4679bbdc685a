//! What one tenant may use, and for how long its data is kept.
//!
//! The values come from a [`LimitsSource`]; this file holds the shapes and the defaults, not the files they are
//! read from.

use std::fmt;
use std::sync::Arc;

use crate::matcher::Matcher;
use crate::signal::Signal;
use crate::tenant::TenantId;
use crate::time::NS_PER_S;

const DAY_NS: i64 = 24 * 3_600 * NS_PER_S;

/// The largest number of series, streams or traces that can be a limit: each that was written lately is remembered.
pub const MAX_ACTIVE: u64 = 4 << 20;

/// How long each signal is kept, in nanoseconds; `None` keeps it for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Samples.
    pub metrics_ns: Option<i64>,
    /// Lines.
    pub logs_ns: Option<i64>,
    /// Spans.
    pub traces_ns: Option<i64>,
}

impl Retention {
    /// The period of one signal.
    #[must_use]
    pub const fn of(&self, signal: Signal) -> Option<i64> {
        match signal {
            Signal::Metrics => self.metrics_ns,
            Signal::Logs => self.logs_ns,
            Signal::Traces => self.traces_ns,
        }
    }
}

/// What meets a selector is kept for a period of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepRule {
    /// Labels of a series or stream; of spans `name`, `resource.<key>`, `span.<key>`, or a key of either.
    pub matchers: Vec<Matcher>,
    /// Whether it is of every tenant: the tenant's own go before it, whatever the priorities.
    pub of_everyone: bool,
    /// Of the rules that fit the one with the highest holds.
    pub priority: i64,
    /// The period; `None` keeps it for ever.
    pub period_ns: Option<i64>,
}

/// The rules of each signal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeepRules {
    /// Samples.
    pub metrics: Vec<KeepRule>,
    /// Lines.
    pub logs: Vec<KeepRule>,
    /// Spans.
    pub traces: Vec<KeepRule>,
}

impl KeepRules {
    /// The rules of one signal.
    #[must_use]
    pub fn of(&self, signal: Signal) -> &[KeepRule] {
        match signal {
            Signal::Metrics => &self.metrics,
            Signal::Logs => &self.logs,
            Signal::Traces => &self.traces,
        }
    }

    /// The same, to be changed.
    pub const fn of_mut(&mut self, signal: Signal) -> &mut Vec<KeepRule> {
        match signal {
            Signal::Metrics => &mut self.metrics,
            Signal::Logs => &mut self.logs,
            Signal::Traces => &mut self.traces,
        }
    }
}

/// So many a second, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What comes back each second; with zero nothing is taken.
    pub per_s: u64,
    /// What may be taken at once, after a pause that was long enough.
    pub burst: u64,
}

/// What writers of one signal may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intake {
    /// Samples, histograms and exemplars a second for metrics; bytes a second for lines and spans. `None` takes any rate.
    pub rate_per_s: Option<u64>,
    /// What may come at once where there is a rate; `None` is what comes in one and a half seconds.
    pub burst: Option<u64>,
    /// Series, streams or traces that were written lately; `None` takes any number.
    pub max_active: Option<u64>,
    /// Items older than this at arrival are rejected; `None` accepts any age within the retention.
    pub reject_older_than_ns: Option<i64>,
    /// Items further ahead of the clock than this are rejected.
    pub reject_ahead_ns: i64,
}

/// What the labels of a series or stream may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelLimits {
    /// How many there may be.
    pub max_names: usize,
    /// Length of a name.
    pub max_name_bytes: usize,
    /// Length of a value.
    pub max_value_bytes: usize,
}

/// What queries of one signal may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// Time that one query may take.
    pub timeout_ns: i64,
    /// Time between the first and the last moment of a query; `None` allows any.
    pub max_length_ns: Option<i64>,
    /// What is older is not looked at; `None` looks at all that is kept.
    pub max_lookback_ns: Option<i64>,
    /// Series that a query of metrics may return; `None` allows any number.
    pub max_series: Option<usize>,
    /// Bytes that a query may read of segments and heads; `None` allows any number.
    pub max_bytes_read: Option<u64>,
    /// Queries that run at once; what is more waits. `None` leaves it to the server's own number.
    pub max_concurrent: Option<usize>,
}

/// Limits of samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricLimits {
    /// What may be sent.
    pub intake: Intake,
    /// Labels of a series.
    pub labels: LabelLimits,
    /// What may be asked for.
    pub query: QueryLimits,
    /// Samples that one query may load.
    pub max_query_samples: usize,
}

/// Limits of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// What may be sent.
    pub intake: Intake,
    /// Labels of a stream.
    pub labels: LabelLimits,
    /// Length of a line.
    pub max_line_bytes: usize,
    /// Whether a longer line is cut to its length; else it is rejected.
    pub truncates_lines: bool,
    /// What a line that was cut ends with, within its length.
    pub truncation_mark: Arc<str>,
    /// Whether lines may have structured metadata.
    pub allows_metadata: bool,
    /// Structured metadata of a line, number of pairs.
    pub max_metadata_pairs: usize,
    /// Structured metadata of a line, all pairs together.
    pub max_metadata_bytes: usize,
    /// What may be asked for.
    pub query: QueryLimits,
    /// Lines that one query may return.
    pub max_query_entries: usize,
    /// Tails that may be open at once.
    pub max_tails: Option<usize>,
    /// What becomes of lines whose deletion is asked for.
    pub deletions: DeletionMode,
}

/// What becomes of lines whose deletion is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionMode {
    /// It is refused.
    Disabled,
    /// No query gives them out, and they stay in the store.
    FilterOnly,
    /// No query gives them out, and they go from the store.
    #[default]
    FilterAndDelete,
}

impl DeletionMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Disabled, Self::FilterOnly, Self::FilterAndDelete];

    /// The name that Loki gives it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::FilterOnly => "filter-only",
            Self::FilterAndDelete => "filter-and-delete",
        }
    }
}

/// Limits of spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLimits {
    /// What may be sent.
    pub intake: Intake,
    /// What the spans of one trace may take together, while it is written; `None` takes any size.
    pub max_trace_bytes: Option<u64>,
    /// An attribute's value; longer text is cut.
    pub max_attribute_bytes: usize,
    /// What may be asked for.
    pub query: QueryLimits,
}

/// The limits of one tenant. Sizes are in bytes, times in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long each signal is kept.
    pub retention: Retention,
    /// What is kept for another period than its signal.
    pub keep_rules: KeepRules,
    /// Samples.
    pub metrics: MetricLimits,
    /// Lines.
    pub logs: LogLimits,
    /// Spans.
    pub traces: TraceLimits,
    /// Memory that one query may hold.
    pub query_memory_bytes: usize,
    /// Memory that all queries of the tenant may hold together.
    pub tenant_query_memory_bytes: usize,
    /// Bytes of columns that one SQL query may return.
    pub max_sql_answer_bytes: usize,
}

impl Intake {
    /// The rate, where there is one.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        let per_s = self.rate_per_s?;
        Some(Rate { per_s, burst: self.burst.unwrap_or_else(|| per_s.saturating_add(per_s / 2)) })
    }
}

impl QueryLimits {
    /// Of each limit the one that allows less.
    fn strictest(&self, other: &Self) -> Self {
        fn least<T: Ord + Copy>(a: Option<T>, b: Option<T>) -> Option<T> {
            a.into_iter().chain(b).min()
        }
        Self {
            timeout_ns: self.timeout_ns.min(other.timeout_ns),
            max_length_ns: least(self.max_length_ns, other.max_length_ns),
            max_lookback_ns: least(self.max_lookback_ns, other.max_lookback_ns),
            max_series: least(self.max_series, other.max_series),
            max_bytes_read: least(self.max_bytes_read, other.max_bytes_read),
            max_concurrent: least(self.max_concurrent, other.max_concurrent),
        }
    }
}

impl Limits {
    /// The longest period for which anything of a signal is kept; `None` for ever.
    #[must_use]
    pub fn longest_kept(&self, signal: Signal) -> Option<i64> {
        let rules = self.keep_rules.of(signal).iter().map(|rule| rule.period_ns);
        let all: Option<Vec<i64>> = rules.chain([self.retention.of(signal)]).collect();
        all?.into_iter().max()
    }

    /// What may be sent of one signal.
    #[must_use]
    pub const fn intake(&self, signal: Signal) -> &Intake {
        match signal {
            Signal::Metrics => &self.metrics.intake,
            Signal::Logs => &self.logs.intake,
            Signal::Traces => &self.traces.intake,
        }
    }

    /// The same, with whatever of what queries may ask for is less in the other.
    #[must_use]
    pub fn strictest(mut self, other: &Self) -> Self {
        for signal in Signal::ALL {
            let query = self.query(signal).strictest(other.query(signal));
            *self.query_mut(signal) = query;
        }
        self.metrics.max_query_samples = self.metrics.max_query_samples.min(other.metrics.max_query_samples);
        self.logs.max_query_entries = self.logs.max_query_entries.min(other.logs.max_query_entries);
        self.query_memory_bytes = self.query_memory_bytes.min(other.query_memory_bytes);
        self.tenant_query_memory_bytes = self.tenant_query_memory_bytes.min(other.tenant_query_memory_bytes);
        self.max_sql_answer_bytes = self.max_sql_answer_bytes.min(other.max_sql_answer_bytes);
        self
    }

    /// What queries of one signal may ask for.
    #[must_use]
    pub const fn query(&self, signal: Signal) -> &QueryLimits {
        match signal {
            Signal::Metrics => &self.metrics.query,
            Signal::Logs => &self.logs.query,
            Signal::Traces => &self.traces.query,
        }
    }

    /// The same, to be changed.
    pub const fn query_mut(&mut self, signal: Signal) -> &mut QueryLimits {
        match signal {
            Signal::Metrics => &mut self.metrics.query,
            Signal::Logs => &mut self.logs.query,
            Signal::Traces => &mut self.traces.query,
        }
    }

    /// What may be sent of one signal, to be changed.
    pub const fn intake_mut(&mut self, signal: Signal) -> &mut Intake {
        match signal {
            Signal::Metrics => &mut self.metrics.intake,
            Signal::Logs => &mut self.logs.intake,
            Signal::Traces => &mut self.traces.intake,
        }
    }
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            rate_per_s: None,
            burst: None,
            max_active: None,
            reject_older_than_ns: None,
            reject_ahead_ns: 10 * 60 * NS_PER_S,
        }
    }
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            timeout_ns: 120 * NS_PER_S,
            max_length_ns: None,
            max_lookback_ns: None,
            max_series: None,
            max_bytes_read: None,
            max_concurrent: None,
        }
    }
}

impl Default for LabelLimits {
    fn default() -> Self {
        Self { max_names: 64, max_name_bytes: 1_024, max_value_bytes: 2_048 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let (intake, labels, query) = (Intake::default(), LabelLimits::default(), QueryLimits::default());
        Self {
            retention: Retention {
                metrics_ns: Some(30 * DAY_NS),
                logs_ns: Some(30 * DAY_NS),
                traces_ns: Some(14 * DAY_NS),
            },
            keep_rules: KeepRules::default(),
            metrics: MetricLimits { intake, labels, query, max_query_samples: 50_000_000 },
            logs: LogLimits {
                intake,
                labels,
                max_line_bytes: 256 << 10,
                truncates_lines: false,
                truncation_mark: "".into(),
                allows_metadata: true,
                max_metadata_pairs: 128,
                max_metadata_bytes: 64 << 10,
                query: QueryLimits { max_series: Some(500), ..query },
                max_query_entries: 5_000,
                max_tails: Some(10),
                deletions: DeletionMode::FilterAndDelete,
            },
            traces: TraceLimits { intake, max_trace_bytes: None, max_attribute_bytes: 16 << 10, query },
            query_memory_bytes: 1 << 30,
            tenant_query_memory_bytes: 2 << 30,
            max_sql_answer_bytes: 1 << 30,
        }
    }
}

/// Where the limits of a tenant come from; the answer may change between two calls.
pub trait LimitsSource: Send + Sync + fmt::Debug {
    /// The limits in force now.
    fn limits(&self, tenant: &TenantId) -> Arc<Limits>;
}

/// The same limits for every tenant.
#[derive(Debug)]
pub struct SameLimits(pub Arc<Limits>);

impl LimitsSource for SameLimits {
    fn limits(&self, _tenant: &TenantId) -> Arc<Limits> {
        Arc::clone(&self.0)
    }
}
