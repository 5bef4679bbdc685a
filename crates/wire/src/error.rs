//! What can be wrong with bytes from a client. Every variant is the client's to mend; none is about this
//! process.

use model::Kind;
use model::error::Classified;

/// Why a body could not be decompressed or decoded.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// `Content-Encoding` names something that is not spoken here: HTTP 415.
    #[error(
        "content encoding is not supported: encoding=`{encoding}`, send identity, gzip, deflate, zstd or snappy"
    )]
    UnsupportedEncoding {
        /// The name as the client sent it, shortened.
        encoding: String,
    },
    /// `Content-Encoding` lists more steps than are undone here.
    #[error("content encoding lists too many steps: at most `{max}` are undone")]
    TooManyEncodings {
        /// How many steps are undone.
        max: usize,
    },
    /// The body would decode to more than the bound: HTTP 413.
    #[error("body is too large once decompressed: max_bytes=`{max_bytes}`, send smaller batches")]
    TooLarge {
        /// The bound on the decoded size, in bytes.
        max_bytes: usize,
    },
    /// The bytes are not what the encoding's name says.
    #[error("body cannot be decompressed: encoding=`{encoding}`, {reason}")]
    Decompress {
        /// The encoding that was tried.
        encoding: &'static str,
        /// What the decoder met.
        reason: String,
    },
    /// An answer is too large for its encoding.
    #[error("answer cannot be compressed: {reason}")]
    Compress {
        /// What the encoder met.
        reason: String,
    },
    /// `Content-Type` names a format or message that is not spoken here: HTTP 415.
    #[error("content type is not supported: content_type=`{content_type}`, send {accepted}")]
    UnsupportedContentType {
        /// The type as the client sent it, shortened.
        content_type: String,
        /// What is accepted instead.
        accepted: &'static str,
    },
    /// The bytes are not the protobuf message that was expected.
    #[error("body is not a valid protobuf message: message=`{message}`, {reason}")]
    Protobuf {
        /// The message's name.
        message: &'static str,
        /// What the decoder met.
        reason: String,
    },
    /// The text is not the JSON that was expected.
    #[error("body is not valid JSON for this message: message=`{message}`, {source}")]
    Json {
        /// The message's name.
        message: &'static str,
        /// What serde met, with line and column.
        source: serde_json::Error,
    },
    /// A message to be written as JSON is nested too deeply.
    #[error(
        "message cannot be written as JSON: message=`{message}`, values are nested more than `{max}` deep"
    )]
    Nesting {
        /// The message's name.
        message: &'static str,
        /// The deepest nesting that is written.
        max: usize,
    },
    /// The text of a stream's labels is broken.
    #[error("stream labels cannot be read: at=`{at}`, {reason}, send them as `{{name=\"value\"}}`")]
    Labels {
        /// The byte at which it goes wrong, from 0.
        at: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A symbol reference of remote write 2.0 points nowhere, or its pair is incomplete.
    #[error("label references are broken: {reason}")]
    Symbols {
        /// Which reference, and why.
        reason: String,
    },
}

impl Classified for WireError {
    /// Always the client's fault, and never mended by sending the same again.
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl From<&WireError> for Kind {
    fn from(error: &WireError) -> Self {
        error.kind()
    }
}

impl WireError {
    #[cold]
    pub(crate) fn protobuf(message: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Protobuf { message, reason: reason.to_string() }
    }

    /// The HTTP status that says it most exactly, for the protocols that tell these apart.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::UnsupportedEncoding { .. } | Self::UnsupportedContentType { .. } => 415,
            Self::TooLarge { .. } => 413,
            _ => 400,
        }
    }
}

/// The first characters of a client's text, so that an error never repeats a whole body.
pub(crate) fn shortened(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    let mut characters = text.chars();
    let mut short: String = characters.by_ref().take(MAX_CHARS).collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}
