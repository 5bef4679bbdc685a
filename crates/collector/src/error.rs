//! Why a request as a whole was not taken. Rejected items of a request that was taken are a
//! [`model::Receipt`], not an error.

use axum::http::StatusCode;
use model::error::{Classified, Kind};
use model::ingest::IngestError;
use model::tenant::Refusal;
use wire::WireError;

use crate::bounds::RETRY_AFTER_S;

/// A request that was refused or failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// The caller gets no tenant, or may not send.
    #[error("{}", refused(.0))]
    Refused(#[from] Refusal),
    /// The body is not what its headers say, or too large.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The body is over the bound as it arrives.
    #[error("body is too large: max_bytes=`{max_bytes}`, send smaller batches")]
    BodyTooLarge {
        /// The bound, in bytes.
        max_bytes: usize,
    },
    /// The body is over the bound once it is decoded.
    #[error(
        "request has too many parts: bytes_decoded=`{bytes}` max_bytes=`{max_bytes}`, send smaller batches"
    )]
    MessageTooLarge {
        /// The size, about, in bytes.
        bytes: usize,
        /// The bound, in bytes.
        max_bytes: usize,
    },
    /// The items are over the bound once each carries what its resource says.
    #[error(
        "request is too large once every item carries its resource's attributes: bytes=`{bytes}` \
         max_bytes=`{max_bytes}`, send smaller batches"
    )]
    MappedTooLarge {
        /// The size, about, in bytes.
        bytes: usize,
        /// The bound, in bytes.
        max_bytes: usize,
    },
    /// The request is over what one may hold: body, decoded and mapped.
    #[error(
        "request takes too much memory: bytes=`{bytes}` max_bytes=`{max_bytes}`, send smaller batches, or have \
         memory.limit raised"
    )]
    RequestTooLarge {
        /// The size, about, in bytes.
        bytes: usize,
        /// The bound, in bytes.
        max_bytes: usize,
    },
    /// The connection broke while the body was read.
    #[error("body could not be read: {0}")]
    Body(String),
    /// The request is wrong in another way.
    #[error("{0}")]
    Invalid(String),
    /// Too many bytes are being worked on.
    #[error(
        "too many requests {whose}are being worked on: max_in_flight_bytes=`{max_bytes}`, try again later"
    )]
    Busy {
        /// `of the tenant ` with a space behind, or nothing for all.
        whose: &'static str,
        /// The bound, in bytes.
        max_bytes: usize,
    },
    /// The store did not take the batch.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}

impl CollectorError {
    /// Seconds after which the same request may succeed; none where trying again cannot help.
    #[must_use]
    pub const fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::Busy { .. } => Some(RETRY_AFTER_S),
            Self::Ingest(
                IngestError::Limited { retry_after_s, .. }
                | IngestError::Unavailable { retry_after_s, .. }
                | IngestError::Full { retry_after_s, .. },
            ) => Some(*retry_after_s),
            _ => None,
        }
    }

    /// The HTTP status that every protocol here answers with.
    #[must_use]
    pub fn http_status(&self) -> StatusCode {
        match self {
            Self::Wire(error) => StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::BAD_REQUEST),
            Self::BodyTooLarge { .. }
            | Self::MessageTooLarge { .. }
            | Self::MappedTooLarge { .. }
            | Self::RequestTooLarge { .. }
            | Self::Ingest(IngestError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            // Senders of the protocols that answer with it try again after any status of 500 and more.
            Self::Ingest(IngestError::Full { .. }) => StatusCode::INSUFFICIENT_STORAGE,
            _ => match self.kind() {
                Kind::Invalid => StatusCode::BAD_REQUEST,
                Kind::Unauthorized => StatusCode::UNAUTHORIZED,
                Kind::Forbidden => StatusCode::FORBIDDEN,
                Kind::NotFound => StatusCode::NOT_FOUND,
                Kind::Limited => StatusCode::TOO_MANY_REQUESTS,
                Kind::Unavailable | Kind::Timeout => StatusCode::SERVICE_UNAVAILABLE,
                Kind::Corrupt | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }
}

/// A refusal begins with its stable code.
fn refused(refusal: &Refusal) -> String {
    format!("{}: {refusal}", refusal.code())
}

impl Classified for CollectorError {
    fn kind(&self) -> Kind {
        match self {
            Self::Refused(refusal) => refusal.kind(),
            Self::Wire(_)
            | Self::BodyTooLarge { .. }
            | Self::MessageTooLarge { .. }
            | Self::MappedTooLarge { .. }
            | Self::RequestTooLarge { .. }
            | Self::Body(_)
            | Self::Invalid(_) => Kind::Invalid,
            Self::Busy { .. } => Kind::Unavailable,
            Self::Ingest(error) => error.kind(),
            Self::Internal(_) => Kind::Internal,
        }
    }
}

impl From<&CollectorError> for Kind {
    fn from(error: &CollectorError) -> Self {
        error.kind()
    }
}
