//! Loki's HTTP API: questions about logs. Push is not here: nothing in this crate writes.
//!
//! Source: "Loki HTTP API" 3, prefix `/loki/api/v1`.

mod params;

mod query;

mod labels;

mod encode;

mod websocket;

mod tail;

use std::sync::Arc;

use ::query::QueryEngine;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use model::Clock;
use tokio_util::sync::CancellationToken;

use crate::build_info::{BuildInfo, LOKI_API_VERSION};
use crate::json::written;
use crate::{Settings, reply};

/// What every handler has.
#[derive(Clone)]
pub(crate) struct Loki {
    engine: QueryEngine,
    clock: Arc<dyn Clock>,
    build: Arc<BuildInfo>,
    /// The origins whose pages may tail.
    tails: Arc<tail::Tails>,
    /// When this is cancelled, tails end.
    stop: CancellationToken,
}

/// The routes below `/loki/api/v1`. Requests carry a `model::tenant::Access` in their extensions; one without is
/// refused. Tails end when `stop` is cancelled.
pub fn loki(
    engine: QueryEngine,
    clock: Arc<dyn Clock>,
    settings: &Settings,
    stop: CancellationToken,
) -> Router {
    let build = Arc::new(settings.build.clone());
    let door = Loki { engine, clock, build, tails: Arc::default(), stop };
    let names = get(labels::names).post(labels::names);
    let router = Router::new()
        .route("/loki/api/v1/query", get(query::instant).post(query::instant))
        .route("/loki/api/v1/query_range", get(query::range).post(query::range))
        .route("/loki/api/v1/format_query", get(query::format).post(query::format))
        .route("/loki/api/v1/labels", names.clone())
        .route("/loki/api/v1/label", names)
        .route("/loki/api/v1/label/{name}/values", get(labels::values).post(labels::values))
        .route("/loki/api/v1/series", get(labels::series).post(labels::series))
        .route("/loki/api/v1/status/buildinfo", get(build_info))
        .with_state(door.clone());
    // What is no answer but a connection is not compressed.
    let tail = Router::new().route("/loki/api/v1/tail", get(tail::tail)).with_state(door);
    reply::compressed(router).merge(tail)
}

/// `GET /loki/api/v1/status/buildinfo`; asks for no tenant.
async fn build_info(State(door): State<Loki>) -> Response {
    reply::json(written(|json| door.build.write(json, LOKI_API_VERSION)))
}
