//! What is sent: telemetry of a cluster that does not exist, the same for the same seed, as requests that are ready to be
//! sent. Nothing here waits, sends or asks for the time.

pub(super) mod cluster;

pub(super) mod metrics;

pub(super) mod metrics_encoding;

pub(super) mod lines;

pub(super) mod logs;

pub(super) mod traces;

pub(super) mod spans;

use bytes::Bytes;

pub(super) const NS_PER_MS: i64 = 1_000_000;

/// A request's body and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Encoded, and compressed where the protocol compresses.
    pub(super) body: Bytes,
    /// Samples, lines or spans.
    pub(super) items: u64,
    /// Who sends it: what one sender gets is sent in this order.
    pub(super) lane: usize,
}

/// Requests in the order of their telemetry's time.
pub(super) trait Source: Send {
    /// The next request; none when all was sent.
    fn next(&mut self) -> Option<Request>;

    /// What was generated, to be looked for afterwards.
    fn witnesses(&self) -> &[Witness] {
        &[]
    }
}

/// A trace that was generated, and how many spans it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Witness {
    /// Its id in hexadecimal digits.
    pub(super) trace_id: String,
    /// Its spans.
    pub(super) spans: u64,
}

/// The stretch of time that telemetry is generated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// The beginning, in milliseconds since the epoch.
    pub(super) start_ms: i64,
    /// The end, which is not part of it.
    pub(super) end_ms: i64,
}

impl Stretch {
    /// Its length.
    pub(super) const fn length_ms(self) -> i64 {
        self.end_ms - self.start_ms
    }

    /// The moment of the nth of so many items that are spread evenly, in nanoseconds.
    pub(super) fn moment_ns(self, n: u64, of: u64) -> i64 {
        let length_ns = i128::from(self.length_ms()) * i128::from(NS_PER_MS);
        let offset = length_ns * i128::from(n) / i128::from(of.max(1));
        self.start_ms * NS_PER_MS + i64::try_from(offset).expect("a part of a stretch is no longer than it")
    }
}

/// Appends a field of bytes as protobuf writes it.
pub(super) fn put_bytes(buffer: &mut Vec<u8>, tag: u32, bytes: &[u8]) {
    prost::encoding::encode_key(tag, prost::encoding::WireType::LengthDelimited, buffer);
    prost::encoding::encode_varint(bytes.len() as u64, buffer);
    buffer.extend_from_slice(bytes);
}

/// Compressed as remote write and Loki's push are.
pub(super) fn snappy(raw: &[u8]) -> Bytes {
    let compressed = snap::raw::Encoder::new().compress_vec(raw);
    compressed.expect("a request is far below the four gigabytes that snappy can hold").into()
}

#[cfg(test)]
mod tests;
