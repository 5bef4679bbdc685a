//! The query language of traces: parse, plan, evaluate whole traces, finish. Pure and synchronous; Arrow comes in,
//! matches go out.
//!
//! [`parse`] makes a [`Query`] of a text and checks its types; [`plan()`] makes it ready to run; a [`Worker`] takes
//! whole traces one after the other; [`finish`] joins what the workers found. [`SpanFilter`] runs a query over
//! batches of whole traces for tag values, [`legacy`] and [`parse_valid_matchers`] make queries of other texts.
//!
//! Not here: metrics queries (`| rate()` and its kin), which are refused by name, and comparisons of the aggregates
//! of two pipelines.

pub mod ast;

mod lexer;

mod parser;

mod check;

mod tags;

mod substitute;

mod plan;

mod mentions;

mod glance;

mod value;

mod eval;

mod worker;

mod answer;

mod error;

pub use answer::{ROOT_NOT_RECEIVED, ServiceStats, SpanMatch, SpanSet, TraceMatch};
pub use ast::Query;
pub use error::{EvalError, ParseError, PlanError};
pub use mentions::Columns;
pub use plan::{Leaf, Plan, SearchParams, SpanFilter, finish, plan};
pub use tags::{legacy, parse_valid_matchers};
pub use worker::Worker;

/// Parses a query and checks its types.
///
/// # Errors
/// When the text does not follow the grammar, its types do not fit, or it is a metrics query.
pub fn parse(query: &str) -> Result<Query, ParseError> {
    let parsed = parser::parse(query)?;
    check::query(&parsed)?;
    Ok(parsed)
}
