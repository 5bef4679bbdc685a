//! The write-ahead log: one for all tenants and signals. A record is durable when the log says so; after a restart the
//! records that are not yet in segments are replayed. `docs/format/wal.md` describes the bytes.

pub(crate) mod record;

pub(crate) mod writer;

pub(crate) mod reader;

pub(crate) mod replay;

pub(crate) mod search;

/// The bytes that every log file begins with; its sequence number as a little-endian `u64` follows.
pub(crate) const FILE_MAGIC: [u8; 8] = *b"STLAWAL1";

/// Where the first record of a log file begins.
pub(crate) const FILE_HEADER_BYTES: u64 = 16;

/// The header of a log file.
pub(crate) fn file_header(sequence: u64) -> [u8; 16] {
    let mut header = [0; 16];
    header[..8].copy_from_slice(&FILE_MAGIC);
    header[8..].copy_from_slice(&sequence.to_le_bytes());
    header
}
