//! What clients send and get, byte by byte: protobuf messages, their JSON forms, and the only decompressor.
//! Synchronous and free of I/O. It knows no tenant and no storage: the collector and the API map these
//! messages to and from the nouns of `model`.

pub mod decompress;
mod error;
pub mod exposition;
mod json;
pub mod loki;
pub mod otlp;
mod protobuf;
pub mod remote_read;
pub mod remote_write;
pub mod tempo;

pub use decompress::{Encoding, claimed_len, decompress, decompress_body};
pub use error::WireError;
