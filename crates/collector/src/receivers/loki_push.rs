//! Loki's push: snappy protobuf, or JSON with any encoding.
//!
//! Source: Loki's HTTP API, section "Ingest logs". What is rejected is named in plain text with status 400; what is
//! not rejected is kept.

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use model::Signal;
use model::ingest::Receipt;
use wire::WireError;
use wire::loki::{JsonPush, PushView};

use super::body::{decoded, take_mapped};
use super::budget::Held;
use super::{Collector, Room, access, shape, text};
use crate::bounds::shortened;
use crate::error::CollectorError;
use crate::mapping::{push, size};
use crate::metrics::LOKI_PUSH as DOOR;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Protobuf,
    Json,
}

/// `POST /loki/api/v1/push` and `POST /api/prom/push`
pub(super) async fn push(State(collector): State<Collector>, request: Request) -> Response {
    let result = take(&collector, request).await;
    collector.done(DOOR, result.as_ref().err());
    match result {
        Ok((receipt, _)) if receipt.rejected() == 0 => StatusCode::NO_CONTENT.into_response(),
        Ok((receipt, items)) => text::rejected(&receipt, items, "entry"),
        Err(error) => text::error(&error, error.http_status()),
    }
}

async fn take(collector: &Collector, request: Request) -> Result<(Receipt, usize), CollectorError> {
    let (parts, body) = request.into_parts();
    let access = access(&parts.extensions)?;
    let context = access.context(None)?;
    let header = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let form = form(header)?;
    let settings = collector.settings().logs.clone();
    let size = move |body: &Bytes| match form {
        // Nothing is made of it but the batch, which asks for its own room.
        Form::Protobuf => 0,
        Form::Json => shape::json_bytes(body),
    };
    let decode = move |body: Bytes, held: &mut Held| match form {
        Form::Protobuf => push::from_protobuf(PushView::new(&body), &settings, &mut Room::new(held)),
        Form::Json => {
            let request = JsonPush::from_body(&body)?;
            take_mapped(held, size::json_push(&request))?;
            Ok(push::from_json(&request, &settings))
        }
    };
    // Protobuf is always a snappy block; senders do not say so.
    let encoding = (form == Form::Protobuf).then_some("snappy");
    let held = collector.request(&access);
    let (pushed, held) = decoded(held, &parts.headers, body, encoding, size, decode).await?;
    let push::Pushed { batch, mut receipt, items } = pushed;
    let batches = if batch.items() > 0 { vec![(context, batch)] } else { Vec::new() };
    let result = collector.write(batches, &mut receipt).await;
    drop(held);
    collector.count(DOOR, Signal::Logs, items, result.as_ref().map(|()| receipt.rejected()));
    result.map(|()| (receipt, items))
}

fn form(header: Option<&str>) -> Result<Form, CollectorError> {
    let essence =
        header.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "" | "application/x-protobuf" => Ok(Form::Protobuf),
        "application/json" => Ok(Form::Json),
        _ => Err(CollectorError::Wire(WireError::UnsupportedContentType {
            content_type: shortened(header.unwrap_or_default()).to_owned(),
            accepted: "application/x-protobuf or application/json",
        })),
    }
}
