//! Tempo's HTTP API: questions about traces. Pushing spans is not here: nothing in this crate writes.
//!
//! Source: "Tempo HTTP API" 2.8, and `tempopb` for the shapes of answers.

mod params;

mod tag;

mod logfmt;

mod traces;

mod search;

mod tags;

mod encode;

mod otlp;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use model::Clock;
use query::QueryEngine;

use crate::build_info::{BuildInfo, TEMPO_API_VERSION};
use crate::json::written;
use crate::{Settings, reply};

/// What every handler has.
#[derive(Clone)]
pub(crate) struct Tempo {
    engine: QueryEngine,
    clock: Arc<dyn Clock>,
    build: Arc<BuildInfo>,
}

/// The routes below `/api`. Requests carry a `model::tenant::Access` in their extensions; one without is refused.
pub fn tempo(engine: QueryEngine, clock: Arc<dyn Clock>, settings: &Settings) -> Router {
    let build = Arc::new(settings.build.clone());
    let router = Router::new()
        .route("/api/traces/{id}", get(traces::first_version))
        .route("/api/v2/traces/{id}", get(traces::second_version))
        .route("/api/search", get(search::search))
        .route("/api/search/tags", get(tags::names))
        .route("/api/v2/search/tags", get(tags::names_by_scope))
        .route("/api/search/tag/{tag}/values", get(tags::values))
        .route("/api/v2/search/tag/{tag}/values", get(tags::typed_values))
        .route("/api/echo", get(echo))
        .route("/api/status/buildinfo", get(build_info))
        .with_state(Tempo { engine, clock, build });
    reply::compressed(router)
}

/// `GET /api/echo`: Grafana's health check.
async fn echo() -> Response {
    reply::text(StatusCode::OK, "echo".into())
}

/// `GET /api/status/buildinfo`; asks for no tenant.
async fn build_info(State(door): State<Tempo>) -> Response {
    reply::json(written(|json| door.build.write(json, TEMPO_API_VERSION)))
}
