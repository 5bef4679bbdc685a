//! What one tenant may use, and for how long its data is kept.
//!
//! The values come from a [`LimitsSource`]; this file holds the shapes and the defaults, not the files they are
//! read from.

use std::fmt;
use std::sync::Arc;

use crate::signal::Signal;
use crate::tenant::TenantId;
use crate::time::NS_PER_S;

const HOUR_NS: i64 = 3_600 * NS_PER_S;
const DAY_NS: i64 = 24 * HOUR_NS;

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

/// The limits of one tenant. Sizes are in bytes, times in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long each signal is kept.
    pub retention: Retention,
    /// Items older than this at arrival are rejected; `None` accepts any age within the retention.
    pub reject_older_than_ns: Option<i64>,
    /// Items further ahead of the clock than this are rejected.
    pub reject_ahead_ns: i64,
    /// Labels of a series or stream.
    pub max_label_names: usize,
    /// Length of a label's name.
    pub max_label_name_bytes: usize,
    /// Length of a label's value.
    pub max_label_value_bytes: usize,
    /// Length of a log line.
    pub max_line_bytes: usize,
    /// Structured metadata of a log line, number of pairs.
    pub max_metadata_pairs: usize,
    /// Structured metadata of a log line, all pairs together.
    pub max_metadata_bytes: usize,
    /// An attribute's value of a span; longer text is cut.
    pub max_attribute_bytes: usize,
    /// Time that one query may take.
    pub query_timeout_ns: i64,
    /// Memory that one query may hold.
    pub query_memory_bytes: usize,
    /// Memory that all queries of the tenant may hold together.
    pub tenant_query_memory_bytes: usize,
    /// Samples that one PromQL query may load.
    pub max_query_samples: usize,
    /// Series that one LogQL metric query may return.
    pub max_query_series: usize,
    /// Lines that one log query may return.
    pub max_entries_per_query: usize,
    /// Bytes of columns that one SQL query may return.
    pub max_sql_answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            retention: Retention {
                metrics_ns: Some(30 * DAY_NS),
                logs_ns: Some(30 * DAY_NS),
                traces_ns: Some(14 * DAY_NS),
            },
            reject_older_than_ns: None,
            reject_ahead_ns: 10 * 60 * NS_PER_S,
            max_label_names: 64,
            max_label_name_bytes: 1_024,
            max_label_value_bytes: 2_048,
            max_line_bytes: 256 << 10,
            max_metadata_pairs: 128,
            max_metadata_bytes: 64 << 10,
            max_attribute_bytes: 16 << 10,
            query_timeout_ns: 120 * NS_PER_S,
            query_memory_bytes: 1 << 30,
            tenant_query_memory_bytes: 2 << 30,
            max_query_samples: 50_000_000,
            max_query_series: 500,
            max_entries_per_query: 5_000,
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
