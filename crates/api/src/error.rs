//! Why a request is not answered as it was asked. Each protocol turns this into its own status and body, in one
//! function of its own.

use model::Kind;
use model::error::Classified;
use model::tenant::Refusal;
use query::QueryError;
use wire::WireError;

/// An error of a query door.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// A parameter is not what it must be; Prometheus' words.
    #[error("invalid parameter {name:?}: {reason}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The request is wrong in another way; the message is whole.
    #[error("{0}")]
    Request(String),
    /// The gateway gives no tenant.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The engine has no answer.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// What was asked for is not there.
    #[error("{0}")]
    NotFound(String),
    /// The operator has not enabled it.
    #[error("{0} disabled")]
    Disabled(&'static str),
    /// A form is over its bound, or ends early.
    #[error("request body is larger than allowed or incomplete: max_bytes={max_bytes}")]
    Body {
        /// The bound.
        max_bytes: usize,
    },
    /// The answer cannot be written in the protocol's form.
    #[error("answer cannot be written: {0}")]
    Answer(#[from] WireError),
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}

impl ApiError {
    /// An error about one parameter.
    pub(crate) fn parameter(name: &'static str, reason: impl Into<String>) -> Self {
        ApiError::Parameter { name, reason: reason.into() }
    }
}

impl Classified for ApiError {
    fn kind(&self) -> Kind {
        match self {
            ApiError::Parameter { .. } | ApiError::Request(_) | ApiError::Body { .. } => Kind::Invalid,
            ApiError::Refused(refusal) => refusal.kind(),
            ApiError::Query(error) => error.kind(),
            ApiError::NotFound(_) | ApiError::Disabled(_) => Kind::NotFound,
            ApiError::Answer(_) | ApiError::Internal(_) => Kind::Internal,
        }
    }
}

/// Logs an error that somebody must look at; others are the client's business.
pub(crate) fn log(error: &ApiError) {
    match error.kind() {
        Kind::Corrupt | Kind::Internal => tracing::error!(%error, "query failed"),
        Kind::Unavailable | Kind::Timeout => tracing::warn!(%error, "query not answered"),
        _ => tracing::debug!(%error, "query refused"),
    }
}
