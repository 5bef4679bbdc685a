//! The logs' language, pure and synchronous: text is parsed, planned into leaves and a finish; a leaf's workers
//! filter, parse and count lines where they are read; the finish joins what the workers gave.
//!
//! Not here: reading lines, waiting, spreading work. The caller feeds [`Worker`]s.

pub mod ast;

mod lexer;

mod parser;

mod plan;

mod leaf;

mod pipeline;

mod template;

mod range;

mod finish;

pub mod value;

pub mod error;

pub use ast::Expr;
pub use error::{EvalError, ParseError, PlanError};
pub use finish::finish;
pub use leaf::{LINES_SCHEMA, Leaf, SERIES_SCHEMA, Worker};
pub use parser::{parse, parse_selector};
pub use plan::{Plan, plan};
pub use value::{Direction, EvalParams, LogEntry, Output, SeriesValues, Stats, Stream, Value};
