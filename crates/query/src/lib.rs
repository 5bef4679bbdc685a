//! The one execution engine: plans of the three languages and of SQL as DataFusion physical plans over storage snapshots, with
//! memory limits per query and tenant.
//!
//! Not here: parsing and meaning of the languages (their crates), encoding of answers (`api`). Nobody else sees
//! DataFusion.

pub mod settings;

pub mod request;

pub mod answer;

pub mod error;

pub mod engine;

pub mod lists;

pub mod late;

mod prom;

mod log;

mod deletion;

mod trace;

mod sql;

mod federation;

mod leaf;

mod tags;

mod memory;

mod limits;

mod turns;

mod pace;

mod exemplars;

mod survey;

mod latest;

mod raw;

pub use answer::{
    Limited, LogAnswer, LogEntry, LogStream, LogValue, Point, PromAnswer, QueryStats, SampleStats,
    SeriesValues, SpanMatch, SpanSet, TagValue, TraceAnswer, TraceMatch, Value, ValueType,
};
pub use deletion::{LogDeletion, parse_log_deletion};
pub use engine::{Held, QueryEngine};
pub use error::QueryError;
pub use exemplars::{Exemplar, SeriesExemplars};
pub use latest::LatestSample;
pub use lists::Labelled;
pub use log::{format_logql, is_log_query, parse_log_selector};
pub use prom::{explain_promql, parse_metric_selector, parse_promql};
pub use promql::{Features, Function, ast, functions};
pub use raw::{RawAnswer, RawSeries};
pub use request::{Direction, LogRequest, PromRequest, SqlRequest, Tag, TagScope, TagSearch, TraceRequest};
pub use settings::QuerySettings;
pub use sql::{STACK_BYTES, SqlAnswer, SqlEnd};
pub use storage::manifest::SegmentMeta;
pub use storage::{MetricMetadata, ReplayProgress};
pub use survey::{Cardinality, Counted};
