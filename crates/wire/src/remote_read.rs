//! Prometheus remote read: what is asked for, and both forms of the answer: samples in one message, and a stream of
//! messages with the chunks of Prometheus' own storage.
//!
//! Source: `prompb/remote.proto` and `prompb/types.proto` of Prometheus; "Remote Read API". What matchers mean is the
//! API's business.

mod bits;
mod crc;
mod histogram_chunk;
mod xor;

use prost::Message;

use crate::error::WireError;
use crate::remote_write::v1::{Label, TimeSeries};

pub use histogram_chunk::FloatHistogramChunk;
pub use xor::XorChunk;

/// Samples of one chunk at most, as Prometheus cuts them.
pub const MAX_CHUNK_SAMPLES: usize = 120;

/// What a reader asks for.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadRequest {
    /// Each is answered by itself.
    #[prost(message, repeated, tag = "1")]
    pub queries: Vec<Query>,
    /// The forms of answers that the reader takes, the best first; samples where there is none.
    #[prost(enumeration = "ResponseType", repeated, tag = "2")]
    pub accepted_response_types: Vec<i32>,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum ResponseType {
    /// One message with samples, compressed as a snappy block.
    Samples = 0,
    /// A stream of messages with chunks.
    StreamedXorChunks = 1,
}

/// Series and time.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Query {
    /// The first moment, in milliseconds since the epoch.
    #[prost(int64, tag = "1")]
    pub start_timestamp_ms: i64,
    /// The last moment.
    #[prost(int64, tag = "2")]
    pub end_timestamp_ms: i64,
    /// All must hold.
    #[prost(message, repeated, tag = "3")]
    pub matchers: Vec<LabelMatcher>,
}

/// A condition on a label.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LabelMatcher {
    /// How the value is compared.
    #[prost(enumeration = "MatcherType", tag = "1")]
    pub r#type: i32,
    /// The label's name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The value or expression.
    #[prost(string, tag = "3")]
    pub value: String,
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum MatcherType {
    /// `=`
    Equal = 0,
    /// `!=`
    NotEqual = 1,
    /// `=~`
    Regex = 2,
    /// `!~`
    NotRegex = 3,
}

/// The answer with samples.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadResponse {
    /// One for each query, in their order.
    #[prost(message, repeated, tag = "1")]
    pub results: Vec<QueryResult>,
}

/// The series of one query.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QueryResult {
    /// Sorted by labels.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// A message of the streamed answer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChunkedReadResponse {
    /// Series or parts of them.
    #[prost(message, repeated, tag = "1")]
    pub chunked_series: Vec<ChunkedSeries>,
    /// Which query it belongs to.
    #[prost(int64, tag = "2")]
    pub query_index: i64,
}

/// Chunks of a series, the oldest first.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChunkedSeries {
    /// Sorted by name.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// The chunks.
    #[prost(message, repeated, tag = "2")]
    pub chunks: Vec<Chunk>,
}

/// Samples in the encoding of Prometheus' storage.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Chunk {
    /// The time of its first sample.
    #[prost(int64, tag = "1")]
    pub min_time_ms: i64,
    /// The time of its last sample.
    #[prost(int64, tag = "2")]
    pub max_time_ms: i64,
    /// What it encodes.
    #[prost(enumeration = "ChunkEncoding", tag = "3")]
    pub r#type: i32,
    /// The encoded samples.
    #[prost(bytes = "vec", tag = "4")]
    pub data: Vec<u8>,
}

/// What a chunk encodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum ChunkEncoding {
    /// Not told.
    Unknown = 0,
    /// Floats.
    Xor = 1,
    /// Native histograms of whole numbers.
    Histogram = 2,
    /// Native histograms of floats.
    FloatHistogram = 3,
}

impl ReadRequest {
    /// Reads a request that is not compressed any more.
    ///
    /// # Errors
    /// [`WireError::Protobuf`] when the bytes are none.
    pub fn read(bytes: &[u8]) -> Result<Self, WireError> {
        Self::decode(bytes).map_err(|source| WireError::protobuf("ReadRequest", source))
    }

    /// The form of the answer: the first of those that the reader takes.
    #[must_use]
    pub fn response_type(&self) -> ResponseType {
        self.accepted_response_types().next().unwrap_or(ResponseType::Samples)
    }
}

impl ReadResponse {
    /// The body: the message as a snappy block.
    ///
    /// # Errors
    /// [`WireError::Compress`] when it is larger than a block can be.
    pub fn to_body(&self) -> Result<Vec<u8>, WireError> {
        snap::raw::Encoder::new()
            .compress_vec(&self.encode_to_vec())
            .map_err(|error| WireError::Compress { reason: error.to_string() })
    }
}

impl ChunkedReadResponse {
    /// A frame of the stream: the length of the message, its CRC-32C, and the message.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        let message = self.encode_to_vec();
        let mut frame = Vec::with_capacity(message.len() + 14);
        prost::encoding::encode_varint(message.len() as u64, &mut frame);
        frame.extend(crc::castagnoli(&message).to_be_bytes());
        frame.extend(message);
        frame
    }
}

#[cfg(test)]
mod tests;
