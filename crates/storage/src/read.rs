//! Reads: consistent snapshots of a tenant's signal, from heads and segments together.
//!
//! A snapshot holds one manifest version and the heads that belong to it; writers never wait for it. What it gives out
//! are Arrow batches in the model's schemas, sorted, without duplicates, a few thousand rows at a time.

pub(crate) mod snapshot;

pub(crate) mod select;

pub(crate) mod attributes;

pub(crate) mod listing;

pub(crate) mod lines;

pub(crate) mod look;

pub(crate) mod once;

pub(crate) mod present;

pub(crate) mod pieces;

pub(crate) mod prune;

pub(crate) mod merge;

pub(crate) mod overlap;

pub(crate) mod union;

pub mod memory;

pub mod metrics;

pub mod logs;

pub mod traces;

pub use attributes::Attribute;
pub use logs::{EntrySource, LogColumns, LogMetadata, LogScan, LogsSnapshot, StreamSet};
pub use memory::{ReadMemory, Refusal};
pub use metrics::{MetricMetadata, MetricsSnapshot, SeriesSet};
pub use traces::{MAX_SPAN_SOURCES, SpanColumns, SpanSource, TraceIds, TraceScan, TracesSnapshot};

pub(crate) use snapshot::Source;

use arrow::array::RecordBatch;
use futures::stream::BoxStream;
use model::TimeRange;

use crate::error::StorageError;

/// Batches of rows, in the order that the method which gives them names.
pub type BatchStream = BoxStream<'static, Result<RecordBatch, StorageError>>;

/// What two ranges have in common; empty when they have nothing. What lies before a snapshot's range may have expired.
pub(crate) fn common(a: TimeRange, b: TimeRange) -> TimeRange {
    TimeRange::new(a.start_ns.max(b.start_ns), a.end_ns.min(b.end_ns))
}
