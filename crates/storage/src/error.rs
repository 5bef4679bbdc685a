//! What can go wrong in the engine, in one enum, and how each failure is classified for the protocols.

use std::path::PathBuf;

use model::error::{Classified, Kind};
use model::ingest::IngestError;

use crate::bounds::{FULL_RETRY_AFTER_S, RETRY_AFTER_S};
use crate::read::Refusal;

/// A failure of the engine.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A setting does not make sense.
    #[error("invalid storage setting: {0}")]
    Settings(String),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Request(String),
    /// The store's address is of a kind that is not known.
    #[error(
        "unsupported store: url=`{url}`, use s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, \
         file:///absolute/path, a plain path, or memory://"
    )]
    UnsupportedStore {
        /// What was asked for.
        url: String,
    },
    /// The store cannot be used as it is.
    #[error("the store cannot be used: store=`{store}`: {reason}")]
    UnusableStore {
        /// Its address.
        store: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Another process has the data folder open.
    #[error(
        "the data folder is in use by another process: path=`{}`, stop it or choose another folder", path.display()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A file of the data folder could not be read or written.
    #[error("cannot {action}: path=`{}`: {source}", path.display())]
    Io {
        /// What was tried, as a verb with its object.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The object store refused or failed.
    #[error("object store: {0}")]
    Store(#[from] object_store::Error),
    /// A read took so long that what it began with is gone.
    #[error("the read began too long ago: object=`{object}` was merged or removed since, ask again")]
    Outdated {
        /// What is gone.
        object: String,
    },
    /// Stored bytes do not read back as they were written.
    #[error("corrupt object: object=`{object}`: {reason}")]
    Corrupt {
        /// The object or file.
        object: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A Parquet file could not be written or read.
    #[error("parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Columns do not fit together.
    #[error("columns: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// Others kept winning the race for the next manifest version.
    #[error(
        "manifest commit lost the race too often: object=`{object}`, attempts={attempts}, try again later"
    )]
    Conflict {
        /// The version that was tried last.
        object: String,
        /// How often.
        attempts: usize,
    },
    /// A manifest would break a rule that every reader relies on.
    #[error("manifest would be wrong: {0}")]
    Invariant(String),
    /// A bound of the process was reached.
    #[error("{0}")]
    Limited(String),
    /// A read would hold more than its reader allows; the error is the reader's.
    #[error(transparent)]
    Refused(Refusal),
    /// An item is larger than a record of the log may be.
    #[error(
        "an item is too large for the log: record_bytes={bytes}, at most {max_bytes} fit, send smaller items or have \
         memory.limit raised"
    )]
    TooLarge {
        /// What its record would take.
        bytes: usize,
        /// What a record may take.
        max_bytes: usize,
    },
    /// A volume has no room left for writers.
    #[error("{0}")]
    Full(String),
    /// The log does not take records now.
    #[error("write-ahead log is not available: {0}")]
    Wal(String),
    /// The engine is shutting down.
    #[error("storage is shutting down")]
    Closed,
    /// A fault of ours.
    #[error("internal: {0}")]
    Internal(String),
}

impl StorageError {
    /// A failure of a file operation; `action` is a verb with its object.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        StorageError::Io { action, path: path.into(), source }
    }

    /// Stored bytes that do not read back.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers give a path, an error or a text as they have it"
    )]
    pub(crate) fn corrupt(object: impl ToString, reason: impl ToString) -> Self {
        StorageError::Corrupt { object: object.to_string(), reason: reason.to_string() }
    }
}

impl From<StorageError> for IngestError {
    fn from(error: StorageError) -> Self {
        let message = error.to_string();
        match error.kind() {
            _ if matches!(error, StorageError::Full(_)) => {
                IngestError::Full { message, retry_after_s: FULL_RETRY_AFTER_S }
            }
            Kind::Limited => IngestError::Limited { message, retry_after_s: RETRY_AFTER_S },
            Kind::Unavailable => IngestError::Unavailable { message, retry_after_s: RETRY_AFTER_S },
            _ if matches!(error, StorageError::TooLarge { .. }) => IngestError::TooLarge { message },
            _ => IngestError::Internal(message),
        }
    }
}

impl Classified for StorageError {
    fn kind(&self) -> Kind {
        match self {
            StorageError::Settings(_)
            | StorageError::Request(_)
            | StorageError::UnsupportedStore { .. }
            | StorageError::TooLarge { .. } => Kind::Invalid,
            StorageError::Corrupt { .. } => Kind::Corrupt,
            StorageError::Parquet(parquet::errors::ParquetError::External(_)) => Kind::Unavailable,
            StorageError::Parquet(_) => Kind::Corrupt,
            StorageError::Limited(_) | StorageError::Refused(_) => Kind::Limited,
            StorageError::Locked { .. }
            | StorageError::Io { .. }
            | StorageError::Store(_)
            | StorageError::Outdated { .. }
            | StorageError::UnusableStore { .. }
            | StorageError::Conflict { .. }
            | StorageError::Wal(_)
            | StorageError::Full(_)
            | StorageError::Closed => Kind::Unavailable,
            StorageError::Arrow(_) | StorageError::Invariant(_) | StorageError::Internal(_) => Kind::Internal,
        }
    }
}
