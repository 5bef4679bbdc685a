//! Tempo's answers to "which spans has this trace": its envelopes around OTLP's spans, in protobuf and in
//! the JSON that Tempo and Grafana exchange. Which spans those are is the query's business.
//!
//! Source: `pkg/tempopb/tempo.proto` and `pkg/tempopb/trace_utils.go` of Tempo. Its JSON is the plain mapping
//! of protobuf: ids in base64, 64-bit integers as strings, enums by name, defaults left out.

use bytes::Bytes;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message;

use crate::error::WireError;
use crate::json::{self, Style, schema};

/// `tempopb.Trace`: the whole answer of `/api/traces/{id}`, and a part of the one of `/api/v2/traces/{id}`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Trace {
    /// The spans by resource; `batches` in the JSON of the first version, `resourceSpans` in the second's.
    #[prost(message, repeated, tag = "1")]
    pub resource_spans: Vec<ResourceSpans>,
}

impl Trace {
    /// The body for `Accept: application/protobuf`.
    #[must_use]
    pub fn to_protobuf(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// The JSON body of the first version.
    ///
    /// # Errors
    /// [`WireError::Nesting`] when an attribute is nested too deeply.
    pub fn to_json(&self) -> Result<String, WireError> {
        json::encode(&schema::TRACE_V1, self, Style::Plain)
    }
}

/// Whether an answer has all that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum PartialStatus {
    /// Every span that was found.
    Complete = 0,
    /// Less, for the reason that the message gives.
    Partial = 1,
}

/// `tempopb.TraceByIDMetrics`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct TraceByIdMetrics {
    /// How many bytes were read for the answer.
    #[prost(uint64, tag = "1")]
    pub inspected_bytes: u64,
}

/// `tempopb.TraceByIDResponse`: the answer of `/api/v2/traces/{id}`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TraceByIdResponse {
    /// The trace; absent when nothing was found.
    #[prost(message, optional, tag = "1")]
    pub trace: Option<Trace>,
    /// What the answer took.
    #[prost(message, optional, tag = "2")]
    pub metrics: Option<TraceByIdMetrics>,
    /// Whether the trace is whole.
    #[prost(enumeration = "PartialStatus", tag = "3")]
    pub status: i32,
    /// Why it is not.
    #[prost(string, tag = "4")]
    pub message: String,
}

impl TraceByIdResponse {
    /// The body for `Accept: application/protobuf`.
    #[must_use]
    pub fn to_protobuf(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// The JSON body.
    ///
    /// # Errors
    /// [`WireError::Nesting`] when an attribute is nested too deeply.
    pub fn to_json(&self) -> Result<String, WireError> {
        json::encode(&schema::TRACE_BY_ID_RESPONSE, self, Style::Plain)
    }
}

#[cfg(test)]
mod tests;
