//! The metrics' language, pure and synchronous: text is parsed, planned into leaves and a finish; a leaf turns the
//! samples of series into columns with a value per step; the finish joins what the leaves gave.
//!
//! Not here: reading samples, waiting, spreading work. The caller feeds [`Leaf`] workers.

mod lexer;

pub mod ast;

mod parser;

mod typecheck;

mod functions;

mod plan;

mod leaf;

mod kernels;

mod finish;

pub mod vector;

mod aggregate;

mod binary;

mod histogram;

mod annotations;

mod features;

mod value;

mod error;

pub use annotations::Annotations;
pub use ast::Expr;
pub use error::{EvalError, ParseError};
pub use features::Features;
pub use finish::{Output, finish, finish_unless};
pub use functions::{Function, functions};
pub use kernels::SeriesSamples;
pub use leaf::{Families, Leaf, Worker};
pub use parser::{parse, parse_selector};
pub use plan::{EvalParams, Plan, plan};
pub use value::{Point, SeriesValues, Value, ValueType};
