//! `traces/{id}` in its two versions: one trace, whole.

use arrow::array::RecordBatch;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use wire::tempo::{Trace, TraceByIdMetrics, TraceByIdResponse};

use super::Tempo;
use super::otlp::to_otlp;
use super::params::{trace_id, trace_range};
use crate::error::ApiError;
use crate::parameters::Asked;
use crate::plain_error::PlainError;
use crate::reply;

/// The type that a client names to get protobuf instead of JSON, and that the answer then has.
const PROTOBUF: &str = "application/protobuf";

/// A body in one of the two encodings.
type Body = Result<axum::body::Bytes, ApiError>;

/// `GET /api/traces/{id}`: `{"batches":[…]}`, or `tempopb.Trace`.
pub(crate) async fn first_version(
    State(door): State<Tempo>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, PlainError> {
    answer(&door, id, request, |trace, wants_protobuf| {
        Ok(if wants_protobuf { trace.to_protobuf() } else { trace.to_json()?.into() })
    })
    .await
}

/// `GET /api/v2/traces/{id}`: `{"trace":{"resourceSpans":[…]},…}`, or `tempopb.TraceByIDResponse`.
pub(crate) async fn second_version(
    State(door): State<Tempo>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, PlainError> {
    answer(&door, id, request, |trace, wants_protobuf| {
        let response = TraceByIdResponse {
            trace: Some(trace),
            metrics: Some(TraceByIdMetrics::default()),
            ..TraceByIdResponse::default()
        };
        Ok(if wants_protobuf { response.to_protobuf() } else { response.to_json()?.into() })
    })
    .await
}

async fn answer(
    door: &Tempo,
    id: Result<Path<String>, PathRejection>,
    request: Request,
    encode: fn(Trace, bool) -> Body,
) -> Result<Response, PlainError> {
    let asked = Asked::read(request).await?;
    let Path(id) = id.map_err(|error| ApiError::Request(error.body_text()))?;
    let range = trace_range(&asked.parameters)?;
    let spans = door.engine.trace_by_id(&asked.context, trace_id(&id)?, range).await?;
    let spans = spans.filter(|spans| spans.num_rows() > 0);
    let spans: RecordBatch = spans.ok_or_else(|| ApiError::NotFound("trace not found".into()))?;
    let wants_protobuf = accepts_protobuf(&asked.headers);
    let body = reply::made(spans.num_rows(), move || encode(to_otlp(&spans)?, wants_protobuf)).await??;
    Ok(match wants_protobuf {
        true => ([(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF))], body).into_response(),
        false => reply::json(body),
    })
}

fn accepts_protobuf(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let mut types = values.flat_map(|value| value.split(',')).filter_map(|one| one.split(';').next());
    types.any(|one| one.trim().eq_ignore_ascii_case(PROTOBUF))
}
