//! The one execution engine: plans of the three languages as DataFusion physical plans over storage snapshots, with
//! memory limits per query and tenant.
//!
//! Not here: parsing and meaning of the languages (their crates), encoding of answers (`api`). Nobody else sees
//! DataFusion.

pub mod answer;
pub mod error;
pub mod request;

pub use answer::{LogAnswer, LogValue, Limited, PromAnswer, QueryStats, TagValue, TraceAnswer, TraceMatch, Value, ValueType};
pub use error::QueryError;
pub use request::{Direction, LogRequest, PromRequest, Tag, TagScope, TagSearch, TraceRequest};
