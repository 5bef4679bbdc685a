//! What can go wrong between a text and its result, in Prometheus' words.

use model::Kind;
use model::error::Classified;
use syntax::{Position, Span, SyntaxError};

/// A text that is no query. Shown as `line:column: parse error: ...`; an empty text has no places.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: parse error: {message}", place(.position.as_ref()))]
pub struct ParseError {
    /// Where, as people count.
    pub position: Option<Position>,
    /// Where, in bytes.
    pub span: Span,
    /// What is wrong.
    pub message: String,
}

impl ParseError {
    pub(crate) fn new(source: &str, error: SyntaxError) -> Self {
        let position = (!source.is_empty()).then(|| error.position(source));
        Self { position, span: error.span, message: error.message }
    }

    /// The message with the line of the query and a caret under the place: for terminals.
    #[must_use]
    pub fn with_caret(&self, query: &str) -> String {
        format!("{self}\n{}", syntax::error::caret(query, self.span))
    }
}

fn place(position: Option<&Position>) -> String {
    position.map_or_else(|| "unknown position".to_owned(), ToString::to_string)
}

impl Classified for ParseError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// A query that cannot be planned or computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EvalError {
    /// The range of steps is not one.
    #[error(
        "the range of steps is not valid, or has too many steps: start_ms=`{start_ms}` end_ms=`{end_ms}` \
         step_ms=`{step_ms}` max_steps=`{max}`; ask for a shorter range or a longer step",
        max = crate::vector::MAX_STEPS
    )]
    Steps {
        /// The first step.
        start_ms: i64,
        /// The last moment.
        end_ms: i64,
        /// Between two steps.
        step_ms: i64,
    },
    /// A duration in the text resolves to something that cannot be used.
    #[error("{0}")]
    Duration(String),
    /// The query holds more samples at once than it may.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// Who asked waits no longer.
    #[error("query was stopped")]
    Stopped,
    /// Two series of one result have the same labels.
    #[error("vector cannot contain metrics with the same labelset")]
    SameLabels,
    /// Series of the two sides of an operator do not pair as they must.
    #[error("{0}")]
    Matching(String),
    /// What the query gives has no place in what was asked for.
    #[error("{0}")]
    Type(String),
    /// A parameter is not one that the function takes.
    #[error("{0}")]
    Parameter(String),
    /// The language has it, this engine does not.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// A batch that is not of the leaf's schema, or other than was planned.
    #[error("a batch does not fit its leaf: leaf=`{leaf}`, {what}")]
    Batch {
        /// The leaf's number within the plan.
        leaf: usize,
        /// What does not fit.
        what: String,
    },
}

impl Classified for EvalError {
    fn kind(&self) -> Kind {
        match self {
            EvalError::TooManySamples => Kind::Limited,
            EvalError::Batch { .. } => Kind::Internal,
            _ => Kind::Invalid,
        }
    }
}
