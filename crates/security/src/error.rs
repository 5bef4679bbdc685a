//! What can go wrong in this room, besides refusals: those are `model::tenant::Refusal`.

use std::io;
use std::path::{Path, PathBuf};

use model::error::{Classified, Kind};

/// Why a certificate, a key or a record of the Authority is not used.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// A file cannot be read.
    #[error("cannot read: path={path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write: path={path}: {error}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
    /// A file does not hold what it should.
    #[error("the file is not usable: path={path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificates that do not make a TLS configuration.
    #[error("certificates are not usable: {0}")]
    Tls(String),
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Issue(#[from] rcgen::Error),
    /// A server cannot be looked at.
    #[error("cannot look at the certificate of {address}: {reason}")]
    Peer {
        /// Whom.
        address: String,
        /// What happened.
        reason: String,
    },
}

impl SecurityError {
    pub(crate) fn read(path: &Path, error: io::Error) -> Self {
        Self::Read { path: path.to_owned(), error }
    }

    pub(crate) fn write(path: &Path, error: io::Error) -> Self {
        Self::Write { path: path.to_owned(), error }
    }

    pub(crate) fn file(path: &Path, reason: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), reason: reason.into() }
    }
}

impl Classified for SecurityError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read { .. } | Self::Write { .. } | Self::Peer { .. } => Kind::Unavailable,
            Self::File { .. } | Self::Tls(_) => Kind::Invalid,
            Self::Issue(_) => Kind::Internal,
        }
    }
}
