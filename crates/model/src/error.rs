//! The one classification of errors that crosses rooms: each protocol maps a [`Kind`] to its own status and body.

/// What sort of failure it is, from the caller's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is wrong; sending it again cannot help.
    Invalid,
    /// Nobody in particular is asking.
    Unauthorized,
    /// The caller is known and may not.
    Forbidden,
    /// What was asked for does not exist.
    NotFound,
    /// A limit of the tenant or of the process was reached; the caller may try later or ask for less.
    Limited,
    /// The service cannot answer now; the same request may succeed later.
    Unavailable,
    /// The request took longer than it may.
    Timeout,
    /// Stored data does not read back as it was written.
    Corrupt,
    /// A fault of ours.
    Internal,
}

/// An error that knows its [`Kind`].
pub trait Classified: std::error::Error {
    /// The classification that protocols answer by.
    fn kind(&self) -> Kind;
}
