//! The nouns that every room shares, and the seams between them: tenants, time, labels, attributes, the three
//! batches as Arrow columns, limits, and the one trait through which telemetry enters.
//!
//! Not here: I/O, a runtime, serialisation. Every protocol owns its encoding.

pub mod tenant;

pub mod time;

pub mod labels;

pub mod matcher;

pub mod pattern;

pub mod origins;

pub mod attributes;

pub mod histogram;

pub mod metric;

pub mod log;

pub mod trace;

pub mod signal;

pub mod limits;

pub mod pressure;

pub mod ingest;

pub mod audit;

pub mod error;

pub use attributes::{AttributeKind, AttributeRef, AttributeValue};
pub use error::Kind;
pub use ingest::{Batch, Ingest, Receipt};
pub use labels::Labels;
pub use limits::Limits;
pub use matcher::{MatchOp, Matcher};
pub use origins::Origins;
pub use pressure::Pressure;
pub use signal::Signal;
pub use tenant::{TenantContext, TenantId};
pub use time::{Clock, TimeRange, TimestampMs, TimestampNs};
