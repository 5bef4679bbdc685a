//! OTLP over HTTP: protobuf and JSON, answered as asked.
//!
//! Source: "OpenTelemetry Protocol Specification" 1.x, section "OTLP/HTTP".

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use model::Signal;
use wire::otlp::Format;

use super::body::decoded;
use super::budget::Held;
use super::otlp::{Export, Taken};
use super::{Collector, access, otlp_partial, text};
use crate::error::CollectorError;
use crate::metrics::OTLP_HTTP as DOOR;

/// `POST /v1/metrics`
pub(super) async fn metrics(State(collector): State<Collector>, request: Request) -> Response {
    otlp(&collector, Signal::Metrics, request).await
}

/// `POST /v1/logs`
pub(super) async fn logs(State(collector): State<Collector>, request: Request) -> Response {
    otlp(&collector, Signal::Logs, request).await
}

/// `POST /v1/traces`
pub(super) async fn traces(State(collector): State<Collector>, request: Request) -> Response {
    otlp(&collector, Signal::Traces, request).await
}

/// `POST /otlp/v1/logs`: as Loki answers, 204 when all is taken and errors as plain text. A partial success says so
/// in OTLP's shape.
pub(super) async fn loki_logs(State(collector): State<Collector>, request: Request) -> Response {
    let (_, result) = export(&collector, Signal::Logs, request).await;
    match result {
        Ok((_, taken)) if taken.receipt.rejected() == 0 => StatusCode::NO_CONTENT.into_response(),
        Ok((format, taken)) => success(Signal::Logs, format, &taken),
        Err(error) => text::error(&error, otlp_partial::http_status(&error)),
    }
}

async fn otlp(collector: &Collector, signal: Signal, request: Request) -> Response {
    match export(collector, signal, request).await {
        (_, Ok((format, taken))) => success(signal, format, &taken),
        (format, Err(error)) => failure(format, &error),
    }
}

/// Takes a request. The format is also told for errors: JSON, the readable one, where the request's is not known.
async fn export(
    collector: &Collector,
    signal: Signal,
    request: Request,
) -> (Format, Result<(Format, Taken), CollectorError>) {
    let (parts, body) = request.into_parts();
    let format = format(&parts.headers);
    let result = async {
        let format = format_of(&parts.headers)?;
        let access = access(&parts.extensions)?;
        let decoder = collector.clone();
        let size = move |body: &Bytes| Export::decoded_bytes(signal, format, body);
        let held = collector.request(&access);
        let decode = move |body, held: &mut Held| {
            let export = Export::decode(signal, format, &body)?;
            decoder.map(&export, &access, held)
        };
        let (mapped, held) = decoded(held, &parts.headers, body, None, size, decode).await?;
        let taken = collector.take(DOOR, signal, mapped).await?;
        drop(held);
        Ok((format, taken))
    }
    .await;
    collector.done(DOOR, result.as_ref().err());
    (format, result)
}

fn format(headers: &HeaderMap) -> Format {
    format_of(headers).unwrap_or(Format::Json)
}

fn format_of(headers: &HeaderMap) -> Result<Format, CollectorError> {
    let header = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    Ok(Format::from_content_type(header)?)
}

fn success(signal: Signal, format: Format, taken: &Taken) -> Response {
    let content_type = [(CONTENT_TYPE, HeaderValue::from_static(format.content_type()))];
    (StatusCode::OK, content_type, otlp_partial::body(signal, format, taken)).into_response()
}

fn failure(format: Format, error: &CollectorError) -> Response {
    let content_type = [(CONTENT_TYPE, HeaderValue::from_static(format.content_type()))];
    let body = otlp_partial::error_body(format, error);
    let mut response = (otlp_partial::http_status(error), content_type, body).into_response();
    if let Some(seconds) = error.retry_after_s() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
