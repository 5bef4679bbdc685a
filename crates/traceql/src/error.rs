//! What can be wrong with a query, in Tempo's words where it has words for it.

use model::Kind;
use model::error::Classified;
use syntax::{Position, Span, SyntaxError};

/// Why a text is not a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The text does not follow the grammar. Columns count bytes, from 1.
    #[error("parse error at line {}, col {}: {}", .position.line, .position.column, .error.message)]
    Syntax {
        /// What is wrong, and the bytes at which it stands.
        error: SyntaxError,
        /// Where it stands, for people.
        position: Position,
    },
    /// The text follows the grammar, but its types do not fit.
    #[error("{0}")]
    Type(String),
    /// The text is a query of a kind that is not answered.
    #[error("{0} not yet supported")]
    Unsupported(String),
}

impl ParseError {
    pub(crate) fn syntax(source: &str, span: Span, message: impl Into<String>) -> Self {
        let error = SyntaxError::new(span, message);
        Self::Syntax { position: error.position(source), error }
    }

    /// The message with the line of the text and a caret under the place, where the place is known.
    #[must_use]
    pub fn with_caret(&self, source: &str) -> String {
        match self {
            Self::Syntax { error, .. } => error.with_caret(source),
            other => other.to_string(),
        }
    }
}

impl Classified for ParseError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// Why a query cannot be planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A regular expression does not compile, or is too large.
    #[error("invalid regular expression: {0}")]
    Regex(String),
    /// The query compares with a regular expression that is not written in it.
    #[error("the right side of a regular expression match must be a string: {0}")]
    DynamicRegex(String),
}

impl Classified for PlanError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// Why a plan cannot be evaluated over what it was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// A batch is not of `model::trace::SPANS_SCHEMA`.
    #[error("the batch does not hold spans: its columns are not those of the span schema")]
    Columns,
}

impl Classified for EvalError {
    fn kind(&self) -> Kind {
        Kind::Internal
    }
}
