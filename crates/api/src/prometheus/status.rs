//! `status/…`: what the process says of itself, as far as it is true of us.

use axum::extract::{Request, State};
use axum::response::Response;
use http::Uri;
use model::time::NS_PER_S;

use super::Prometheus;
use super::envelope::{PromError, write_success};
use crate::build_info::PROMETHEUS_API_VERSION;
use crate::error::ApiError;
use crate::json::{Json, written};
use crate::parameters::Asked;
use crate::reply;

/// `GET /api/v1/status/buildinfo`; asks for no tenant, because clients ask it before they know one.
pub(crate) async fn build_info(State(door): State<Prometheus>) -> Response {
    data(|json| door.build.write(json, PROMETHEUS_API_VERSION))
}

/// `GET /version`: the same without the envelope.
pub(crate) async fn version(State(door): State<Prometheus>) -> Response {
    reply::json(written(|json| door.build.write(json, PROMETHEUS_API_VERSION)))
}

/// `GET /api/v1/status/runtimeinfo`: times, and the caller's retention.
pub(crate) async fn runtime_info(
    State(door): State<Prometheus>,
    request: Request,
) -> Result<Response, PromError> {
    let asked = Asked::read(request).await?;
    let retention = match asked.context.limits().retention.metrics_ns {
        Some(ns) => format!("{}s", ns / NS_PER_S),
        None => String::new(),
    };
    let moment =
        |ns: i64| jiff::Timestamp::from_nanosecond(ns.into()).map(|t| t.to_string()).unwrap_or_default();
    Ok(data(|json| {
        json.text_object([
            ("startTime", moment(door.started.0)),
            ("serverTime", moment(door.clock.now().0)),
            ("storageRetention", retention),
        ]);
    }))
}

/// Every other path of the API.
pub(crate) async fn not_found(uri: Uri) -> PromError {
    ApiError::NotFound(format!("no such route: path={:?}", uri.path())).into()
}

fn data(write: impl FnOnce(&mut Json)) -> Response {
    reply::json(written(|json| write_success(json, &[], &[], write)))
}
