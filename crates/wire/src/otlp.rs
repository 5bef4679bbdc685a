//! OTLP: the messages and gRPC services of `opentelemetry-proto`, and the two encodings of OTLP/HTTP. What a
//! message means is the collector's business.
//!
//! Source: "OpenTelemetry Protocol Specification" 1.x, sections "OTLP/HTTP" and "JSON Protobuf Encoding".

pub use opentelemetry_proto::tonic::collector::logs::v1 as collector_logs;
pub use opentelemetry_proto::tonic::collector::metrics::v1 as collector_metrics;
pub use opentelemetry_proto::tonic::collector::trace::v1 as collector_trace;
pub use opentelemetry_proto::tonic::{common::v1 as common, resource::v1 as resource};
pub use opentelemetry_proto::tonic::{logs::v1 as logs, metrics::v1 as metrics, trace::v1 as trace};

pub use collector_logs::{ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse};
pub use collector_metrics::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
pub use collector_trace::{ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse};

pub use view::{
    EventView, ItemView, LinkView, NestedView, PairView, RecordView, RequestView, ResourceView, ScopeView,
    SpanPart, SpanView, ValueView,
};

mod view;

use bytes::Bytes;
use prost::Message;

use crate::error::{WireError, shortened};
use crate::json::schema::{self, Schema};
use crate::json::{self, Style};

/// How an OTLP/HTTP body is written; the reply is written as the request was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

impl Format {
    /// Reads a `Content-Type`; parameters such as `charset` are ignored. A missing one is refused, as the
    /// specification asks of servers.
    ///
    /// # Errors
    /// [`WireError::UnsupportedContentType`] for any other type.
    pub fn from_content_type(header: Option<&str>) -> Result<Self, WireError> {
        let header = header.unwrap_or_default();
        let essence = header.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "application/x-protobuf" | "application/protobuf" => Ok(Self::Protobuf),
            "application/json" => Ok(Self::Json),
            _ => Err(WireError::UnsupportedContentType {
                content_type: shortened(header),
                accepted: "application/x-protobuf or application/json",
            }),
        }
    }

    /// The `Content-Type` of a body in this format.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    /// A body in protobuf, whatever it is written in.
    fn protobuf(self, schema: &'static Schema, body: &Bytes) -> Result<Bytes, WireError> {
        match self {
            Self::Protobuf => Ok(body.clone()),
            Self::Json => json::to_protobuf(schema, body).map(Bytes::from),
        }
    }

    fn encode<M: Message>(self, schema: &'static Schema, message: &M) -> Bytes {
        match self {
            Self::Protobuf => message.encode_to_vec().into(),
            Self::Json => json::encode(schema, message, Style::Otlp)
                .expect("a response is nested two deep and written by prost")
                .into(),
        }
    }
}

/// Decodes a metrics request.
///
/// # Errors
/// [`WireError::Protobuf`] or [`WireError::Json`] when the body is not such a request.
pub fn decode_metrics(format: Format, body: &Bytes) -> Result<ExportMetricsServiceRequest, WireError> {
    let schema = &schema::METRICS_REQUEST;
    ExportMetricsServiceRequest::decode(format.protobuf(schema, body)?)
        .map_err(|source| WireError::protobuf(schema.name, source))
}

/// A body of logs in protobuf: JSON becomes it. What is protobuf is not looked at here.
///
/// # Errors
/// [`WireError::Json`] when the body is not such a request in JSON.
pub fn logs_in_protobuf(format: Format, body: &Bytes) -> Result<Bytes, WireError> {
    format.protobuf(&schema::LOGS_REQUEST, body)
}

/// A body of traces in protobuf, as [`logs_in_protobuf`].
///
/// # Errors
/// [`WireError::Json`] when the body is not such a request in JSON.
pub fn traces_in_protobuf(format: Format, body: &Bytes) -> Result<Bytes, WireError> {
    format.protobuf(&schema::TRACE_REQUEST, body)
}

/// Looks at a logs request in protobuf.
#[must_use]
pub const fn logs_view(body: &[u8]) -> RequestView<'_> {
    RequestView::new(body, schema::LOGS_REQUEST.name)
}

/// Looks at a traces request in protobuf.
#[must_use]
pub const fn traces_view(body: &[u8]) -> RequestView<'_> {
    RequestView::new(body, schema::TRACE_REQUEST.name)
}

/// Encodes the reply to a metrics request.
#[must_use]
pub fn encode_metrics_response(format: Format, response: &ExportMetricsServiceResponse) -> Bytes {
    format.encode(&schema::METRICS_RESPONSE, response)
}

/// Encodes the reply to a logs request.
#[must_use]
pub fn encode_logs_response(format: Format, response: &ExportLogsServiceResponse) -> Bytes {
    format.encode(&schema::LOGS_RESPONSE, response)
}

/// Encodes the reply to a traces request.
#[must_use]
pub fn encode_traces_response(format: Format, response: &ExportTraceServiceResponse) -> Bytes {
    format.encode(&schema::TRACE_RESPONSE, response)
}

/// The body of an OTLP/HTTP error.
///
/// Source: `google/rpc/status.proto`; its `details` are not used here.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Status {
    /// A gRPC code, as in `google/rpc/code.proto`.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// What went wrong and what the sender can do.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// Encodes the body of an error.
#[must_use]
pub fn encode_status(format: Format, status: &Status) -> Bytes {
    format.encode(&schema::RPC_STATUS, status)
}

#[cfg(test)]
mod tests;
