//! The one way in: batches of columns with the right to write them, and what became of each item.

use std::fmt;

use futures::future::BoxFuture;

use crate::error::{Classified, Kind};
use crate::log::LogBatch;
use crate::metric::MetricBatch;
use crate::signal::Signal;
use crate::tenant::TenantContext;
use crate::trace::TraceBatch;

/// Telemetry of one signal and one tenant.
#[derive(Clone, Debug)]
pub enum Batch {
    /// Samples, histograms and exemplars of series.
    Metrics(MetricBatch),
    /// Lines of streams.
    Logs(LogBatch),
    /// Spans.
    Traces(TraceBatch),
}

impl Batch {
    /// Which of the three it is.
    #[must_use]
    pub const fn signal(&self) -> Signal {
        match self {
            Batch::Metrics(_) => Signal::Metrics,
            Batch::Logs(_) => Signal::Logs,
            Batch::Traces(_) => Signal::Traces,
        }
    }

    /// How many items it holds: samples, histograms and exemplars; lines; spans.
    #[must_use]
    pub fn items(&self) -> usize {
        match self {
            Batch::Metrics(batch) => batch.items(),
            Batch::Logs(batch) => batch.entries.num_rows(),
            Batch::Traces(batch) => batch.spans.num_rows(),
        }
    }
}

/// Why an item was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Older than the tenant's window or retention.
    TooOld,
    /// Too far ahead of the clock.
    TooFarAhead,
    /// No label, a name that is not one, a duplicate name, or no metric name.
    InvalidLabels,
    /// More labels than allowed.
    TooManyLabels,
    /// A label's name over its length.
    LabelNameTooLong,
    /// A label's value over its length.
    LabelValueTooLong,
    /// A line over its length.
    LineTooLong,
    /// Structured metadata over its size or number.
    MetadataTooLarge,
    /// A trace id of another length, or of zeros only.
    InvalidTraceId,
    /// A span id of another length, or of zeros only.
    InvalidSpanId,
    /// A histogram whose buckets do not fit its spans or schema.
    InvalidHistogram,
    /// A point that its protocol does not allow (no name, no value, an unknown kind or temporality).
    InvalidPoint,
    /// Structured metadata where the tenant may have none.
    MetadataNotAllowed,
    /// A series that is new, while the tenant has as many as it may.
    TooManySeries,
    /// A stream that is new, while the tenant has as many as it may.
    TooManyStreams,
    /// A trace that is new, while the tenant has as many as it may.
    TooManyTraces,
    /// A span that would make its trace larger than it may be.
    TraceTooLarge,
    /// Over the tenant's rate.
    RateLimited,
    /// The tenant that the item names was refused.
    Tenant,
}

impl Reason {
    /// The stable name, as in metrics and replies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::TooOld => "greater_than_max_sample_age",
            Reason::TooFarAhead => "too_far_in_future",
            Reason::InvalidLabels => "invalid_labels",
            Reason::TooManyLabels => "max_label_names_per_series",
            Reason::LabelNameTooLong => "label_name_too_long",
            Reason::LabelValueTooLong => "label_value_too_long",
            Reason::LineTooLong => "line_too_long",
            Reason::MetadataTooLarge => "structured_metadata_too_large",
            Reason::InvalidTraceId => "invalid_trace_id",
            Reason::InvalidSpanId => "invalid_span_id",
            Reason::InvalidHistogram => "invalid_histogram",
            Reason::InvalidPoint => "invalid_point",
            Reason::MetadataNotAllowed => "disallowed_structured_metadata",
            Reason::TooManySeries => "per_user_series_limit",
            Reason::TooManyStreams => "stream_limit",
            Reason::TooManyTraces => "live_traces_exceeded",
            Reason::TraceTooLarge => "trace_too_large",
            Reason::RateLimited => "rate_limited",
            Reason::Tenant => "tenant_refused",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Items that were not taken for one reason, with the first of them named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Why.
    pub reason: Reason,
    /// How many items.
    pub items: usize,
    /// The first such item, and what is wrong with it, in a sentence.
    pub example: String,
}

/// What became of a batch: everything that is not rejected is durable and visible.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Items taken, duplicates of what is there included.
    pub accepted: usize,
    /// Items not taken, one entry a reason.
    pub rejections: Vec<Rejection>,
}

impl Receipt {
    /// Counts a rejected item; `example` is only asked for the first one of its reason.
    pub fn reject(&mut self, reason: Reason, items: usize, example: impl FnOnce() -> String) {
        match self.rejections.iter_mut().find(|r| r.reason == reason) {
            Some(rejection) => rejection.items += items,
            None => self.rejections.push(Rejection { reason, items, example: example() }),
        }
    }

    /// Adds what became of another batch of the same request.
    pub fn merge(&mut self, other: Receipt) {
        self.accepted += other.accepted;
        for r in other.rejections {
            self.reject(r.reason, r.items, || r.example);
        }
    }

    /// How many items were not taken.
    #[must_use]
    pub fn rejected(&self) -> usize {
        self.rejections.iter().map(|r| r.items).sum()
    }

    /// One line that names every reason with its number and first example; empty when all was taken.
    #[must_use]
    pub fn summary(&self) -> String {
        let parts: Vec<String> =
            self.rejections.iter().map(|r| format!("{} ({}): {}", r.reason, r.items, r.example)).collect();
        parts.join("; ")
    }
}

/// Why a whole batch was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// A limit of the tenant or of the process; try again after the time.
    #[error("{message}")]
    Limited {
        /// What limit, and what to do.
        message: String,
        /// Seconds after which a retry may succeed.
        retry_after_s: u32,
    },
    /// The store cannot take writes now (starting, stopping, disk); try again after the time.
    #[error("{message}")]
    Unavailable {
        /// Why.
        message: String,
        /// Seconds after which a retry may succeed.
        retry_after_s: u32,
    },
    /// The disk has no room left; try again after the time.
    #[error("{message}")]
    Full {
        /// Which disk, and what to do.
        message: String,
        /// Seconds after which a retry may succeed.
        retry_after_s: u32,
    },
    /// An item is larger than the store can ever take.
    #[error("{message}")]
    TooLarge {
        /// How large, and what is allowed.
        message: String,
    },
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}

impl Classified for IngestError {
    fn kind(&self) -> Kind {
        match self {
            IngestError::Limited { .. } => Kind::Limited,
            IngestError::Unavailable { .. } | IngestError::Full { .. } => Kind::Unavailable,
            IngestError::TooLarge { .. } => Kind::Invalid,
            IngestError::Internal(_) => Kind::Internal,
        }
    }
}

/// Takes telemetry. A reply means that what it accepts is durable and that the next query sees it.
pub trait Ingest: Send + Sync {
    /// Writes a batch for the tenant of the context.
    fn ingest<'a>(
        &'a self,
        context: &'a TenantContext,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Receipt, IngestError>>;
}
