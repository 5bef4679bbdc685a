//! Why a question has no answer.

use std::sync::Arc;

use model::Kind;
use model::error::Classified;
use storage::StorageError;

/// An error of a query, classified for the protocols.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is not a query of its language, or a parameter does not fit it. The message has the position.
    #[error("{0}")]
    Parse(String),
    /// The query is right and cannot be computed on this data.
    #[error("{0}")]
    Execution(String),
    /// The query is over a limit; the message names it.
    #[error("{0}")]
    Limited(String),
    /// The query took longer than it may.
    #[error(
        "query timed out: timeout_ms={timeout_ms}; ask for less, or have the operator raise query_timeout in the tenant's \
         overrides, or query.timeout in stella.yaml"
    )]
    Timeout {
        /// The time that it had.
        timeout_ms: i64,
    },
    /// The store could not be read.
    #[error(transparent)]
    Storage(Arc<StorageError>),
    /// A fault of ours.
    #[error("query failed: {0}")]
    Internal(String),
}

impl From<StorageError> for QueryError {
    fn from(error: StorageError) -> Self {
        match error {
            // The query's own pool said so.
            StorageError::Refused(why) => match why.downcast::<Self>() {
                Ok(own) => *own,
                Err(other) => QueryError::Limited(other.to_string()),
            },
            error => QueryError::Storage(Arc::new(error)),
        }
    }
}

impl Classified for QueryError {
    fn kind(&self) -> Kind {
        match self {
            QueryError::Parse(_) | QueryError::Execution(_) => Kind::Invalid,
            QueryError::Limited(_) => Kind::Limited,
            QueryError::Timeout { .. } => Kind::Timeout,
            QueryError::Storage(error) => error.kind(),
            QueryError::Internal(_) => Kind::Internal,
        }
    }
}
