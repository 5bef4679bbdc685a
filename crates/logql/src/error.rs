//! What can go wrong: with a query's text, with its plan, with its evaluation.

use model::Kind;
use model::error::Classified;
use syntax::Position;

/// A text that is no query, in Loki's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The grammar is broken at a place.
    #[error("parse error at line {}, col {}: {message}", position.line, position.column)]
    At {
        /// Line and column, from 1.
        position: Position,
        /// What is wrong.
        message: String,
    },
    /// The text is grammatical and still means nothing.
    #[error("parse error : {0}")]
    Whole(String),
}

/// A query that parses and cannot be run as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A stage cannot be compiled.
    #[error("parse error : stage '{stage}' : {reason}")]
    Stage {
        /// The stage as it is written.
        stage: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `label_replace` with an expression that is none.
    #[error("invalid regular expression in label_replace: regex=`{regex}` {reason}")]
    Regex {
        /// The expression.
        regex: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The times do not fit: the step is negative, the end lies before the start, or there are too many steps.
    #[error("invalid time range: {0}; ask for a shorter range or a longer step")]
    Steps(String),
}

/// A query that failed while it ran.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// A line of a metric query could not be read.
    #[error(
        "pipeline error: '{error}' for series: '{series}'.\nUse a label filter to intentionally skip this error. \
         (e.g | __error__!=\"{error}\").\nTo skip all potential errors you can match empty errors.(e.g \
         __error__=\"\")\nThe label filter can also be specified after unwrap. (e.g | unwrap latency | \
         __error__=\"\" )\n"
    )]
    Pipeline {
        /// The error label's value.
        error: String,
        /// The labels of the line.
        series: String,
    },
    /// The answer has more series than allowed.
    #[error(
        "maximum of series ({limit}) reached for a single query; consider reducing query cardinality by adding \
         more specific stream selectors, reducing the time range, or aggregating results with functions like sum, \
         count or topk, or have the operator raise max_query_series in loki-overrides.yaml"
    )]
    TooManySeries {
        /// The bound.
        limit: usize,
    },
    /// Two sides of an operator do not match one to one.
    #[error("{0}")]
    Matching(String),
    /// A batch has other columns than the leaf's schema.
    #[error("a batch is not of the leaf's schema: column=`{column}`")]
    Schema {
        /// The column.
        column: &'static str,
    },
}

impl Classified for ParseError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl Classified for PlanError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl Classified for EvalError {
    fn kind(&self) -> Kind {
        match self {
            EvalError::Pipeline { .. } | EvalError::Matching(_) => Kind::Invalid,
            EvalError::TooManySeries { .. } => Kind::Limited,
            EvalError::Schema { .. } => Kind::Internal,
        }
    }
}
