//! What OTLP answers: partial success, and errors as statuses of gRPC and HTTP.
//!
//! Source: "OpenTelemetry Protocol Specification" 1.x, sections "Partial Success", "Failures" and "OTLP/HTTP Response".

use bytes::Bytes;
use http::StatusCode;
use model::Signal;
use model::error::{Classified as _, Kind};
use prost::Message as _;
use tonic::Code;
use wire::otlp::{
    self, ExportLogsPartialSuccess, ExportLogsServiceResponse, ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse, ExportTracePartialSuccess, ExportTraceServiceResponse, Format,
};

use super::otlp::Taken;
use crate::error::CollectorError;

/// How many items were rejected, and why; none when all were taken.
struct Rejected {
    items: i64,
    message: String,
}

fn rejected(taken: &Taken) -> Option<Rejected> {
    // A point may become several samples, each of which may be rejected.
    let items = taken.receipt.rejected().min(taken.items);
    let items = i64::try_from(items).unwrap_or(i64::MAX);
    (items > 0).then(|| Rejected { items, message: taken.receipt.summary() })
}

/// The answer to metrics.
pub(super) fn metrics(taken: &Taken) -> ExportMetricsServiceResponse {
    let partial =
        |r: Rejected| ExportMetricsPartialSuccess { rejected_data_points: r.items, error_message: r.message };
    ExportMetricsServiceResponse { partial_success: rejected(taken).map(partial) }
}

/// The answer to logs.
pub(super) fn logs(taken: &Taken) -> ExportLogsServiceResponse {
    let partial =
        |r: Rejected| ExportLogsPartialSuccess { rejected_log_records: r.items, error_message: r.message };
    ExportLogsServiceResponse { partial_success: rejected(taken).map(partial) }
}

/// The answer to spans.
pub(super) fn traces(taken: &Taken) -> ExportTraceServiceResponse {
    let partial =
        |r: Rejected| ExportTracePartialSuccess { rejected_spans: r.items, error_message: r.message };
    ExportTraceServiceResponse { partial_success: rejected(taken).map(partial) }
}

/// The body of a success over HTTP.
pub(super) fn body(signal: Signal, format: Format, taken: &Taken) -> Bytes {
    match signal {
        Signal::Metrics => otlp::encode_metrics_response(format, &metrics(taken)),
        Signal::Logs => otlp::encode_logs_response(format, &logs(taken)),
        Signal::Traces => otlp::encode_traces_response(format, &traces(taken)),
    }
}

/// The HTTP status of an error. What may pass, a fault of ours too, is one that a sender tries again, rather than lose
/// its data: OTLP senders give up on 500 and 507.
pub(super) fn http_status(error: &CollectorError) -> StatusCode {
    match error.kind() {
        Kind::Unavailable | Kind::Internal | Kind::Corrupt => StatusCode::SERVICE_UNAVAILABLE,
        _ => error.http_status(),
    }
}

/// The gRPC code of an error.
pub(super) fn code(error: &CollectorError) -> Code {
    match error.kind() {
        Kind::Invalid | Kind::NotFound => Code::InvalidArgument,
        Kind::Unauthorized => Code::Unauthenticated,
        Kind::Forbidden => Code::PermissionDenied,
        Kind::Limited => Code::ResourceExhausted,
        Kind::Unavailable | Kind::Timeout | Kind::Internal | Kind::Corrupt => Code::Unavailable,
    }
}

/// The body of an error over HTTP.
pub(super) fn error_body(format: Format, error: &CollectorError) -> Bytes {
    let status = otlp::Status { code: code(error) as i32, message: error.to_string() };
    otlp::encode_status(format, &status)
}

/// `google.rpc.Status` with details, as `grpc-status-details-bin` carries it.
#[derive(Clone, PartialEq, prost::Message)]
struct DetailedStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Duration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Duration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// The gRPC status of an error, with `RetryInfo` where trying again may help.
pub(super) fn grpc_status(error: &CollectorError) -> tonic::Status {
    let (code, message) = (code(error), error.to_string());
    let Some(retry_after_s) = error.retry_after_s() else { return tonic::Status::new(code, message) };
    let retry_delay = Some(Duration { seconds: i64::from(retry_after_s), nanos: 0 });
    let retry = Any {
        type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
        value: RetryInfo { retry_delay }.encode_to_vec(),
    };
    let details = DetailedStatus { code: code as i32, message: message.clone(), details: vec![retry] };
    tonic::Status::with_details(code, message, details.encode_to_vec().into())
}
