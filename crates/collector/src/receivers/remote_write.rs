//! Prometheus' remote write, 1.0 and 2.0.
//!
//! Source: "Prometheus Remote-Write 1.0" and "2.0" specifications. What is rejected is named in plain text with status
//! 400, which senders do not repeat; what is not rejected is kept.

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use model::Signal;
use model::ingest::Receipt;
use wire::WireError;
use wire::remote_write::{Version, v1};

use super::body::decoded;
use super::budget::Held;
use super::{Collector, Room, access, text};
use crate::bounds::shortened;
use crate::error::CollectorError;
use crate::mapping::remote_write::{self, Series, Written};
use crate::metrics::REMOTE_WRITE as DOOR;

const SAMPLES_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-samples-written");
const HISTOGRAMS_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-histograms-written");
const EXEMPLARS_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-exemplars-written");

struct Taken {
    receipt: Receipt,
    written: Written,
    items: usize,
}

/// `POST /api/v1/write`
pub(super) async fn write(State(collector): State<Collector>, request: Request) -> Response {
    let header = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let version = Version::from_content_type(header).map_err(CollectorError::from);
    let is_v2 = matches!(version, Ok(Version::V2));
    let result = match version {
        Ok(version) => take(&collector, version, request).await,
        Err(error) => Err(error),
    };
    collector.done(DOOR, result.as_ref().err());
    let written = result.as_ref().map(|taken| taken.written).unwrap_or_default();
    let mut response = match result {
        Ok(taken) if taken.receipt.rejected() == 0 => StatusCode::NO_CONTENT.into_response(),
        Ok(taken) => text::rejected(&taken.receipt, taken.items, "sample"),
        Err(error) => text::error(&error, error.http_status()),
    };
    if is_v2 {
        let counts = [
            (SAMPLES_WRITTEN, written.samples),
            (HISTOGRAMS_WRITTEN, written.histograms),
            (EXEMPLARS_WRITTEN, written.exemplars),
        ];
        for (name, count) in counts {
            response.headers_mut().insert(name, HeaderValue::from(count));
        }
    }
    response
}

async fn take(collector: &Collector, version: Version, request: Request) -> Result<Taken, CollectorError> {
    let (parts, body) = request.into_parts();
    snappy_only(&parts.headers)?;
    let access = access(&parts.extensions)?;
    let context = access.context(None)?;
    let (decoder, tenant) = (collector.clone(), context.tenant().clone());
    // Nothing is made of the body but the batch, which asks for its own room.
    let size = |_: &Bytes| 0;
    let decode = move |body: Bytes, held: &mut Held| {
        let mut room = Room::new(held);
        let learn = |told: &[v1::Family<'_>]| decoder.families().learn(&tenant, told);
        match version {
            Version::V1 => remote_write::from_v1(&body, learn, &mut room),
            Version::V2 => remote_write::from_v2(&body, &learn(&[]), &mut room),
        }
    };
    let held = collector.request(&access);
    let (series, held) = decoded(held, &parts.headers, body, Some("snappy"), size, decode).await?;
    let Series { batch, written, mut receipt } = series;
    let items = written.all() + receipt.rejected();
    let mut stored = Receipt::default();
    let batches = if batch.items() > 0 { vec![(context, batch)] } else { Vec::new() };
    let result = collector.write(batches, &mut stored).await;
    drop(held);
    let written = written.without(&stored);
    receipt.merge(stored);
    collector.count(DOOR, Signal::Metrics, items, result.as_ref().map(|()| receipt.rejected()));
    result.map(|()| Taken { receipt, written, items })
}

/// Both versions are sent as a snappy block and nothing else.
fn snappy_only(headers: &HeaderMap) -> Result<(), CollectorError> {
    let encoding = headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or_default());
    match encoding {
        None | Some("snappy") => Ok(()),
        Some(other) => {
            let encoding = shortened(other).to_owned();
            Err(CollectorError::Wire(WireError::UnsupportedEncoding { encoding }))
        }
    }
}
