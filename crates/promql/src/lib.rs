//! The metrics' language, pure and synchronous: text is parsed, planned into leaves and a finish; a leaf turns the
//! samples of series into columns with a value per step; the finish joins what the leaves gave.
//!
//! Not here: reading samples, waiting, spreading work. The caller feeds [`Leaf`] workers.

mod lexer;

pub mod ast;

mod parser;

mod typecheck;

mod functions;

pub mod vector;

mod annotations;

mod aggregate;

mod binary;

mod histogram;

mod value;

mod error;

pub use ast::Expr;
pub use error::{EvalError, ParseError};
pub use functions::Function;
pub use parser::{parse, parse_selector};
pub use value::{Point, SeriesValues, Value, ValueType};
