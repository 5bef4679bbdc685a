//! Prometheus' HTTP API: questions about metrics, and SQL beside them. Remote write is not here: nothing in this crate writes.
//!
//! Source: "HTTP API" of Prometheus 3, prefix `/api/v1`.

mod params;

mod query;

mod series;

mod exemplars;

mod sql;

mod metadata;

mod status;

mod features;

mod remote_read;

mod search;

mod tree;

mod survey;

mod federate;

mod envelope;

mod encode;

mod histogram;

use std::sync::Arc;

use ::query::QueryEngine;
use axum::Router;
use axum::routing::{any, get, post};
use model::{Clock, TimestampNs};

use crate::build_info::BuildInfo;
use crate::{Settings, reply};

/// What every handler has.
#[derive(Clone)]
pub(crate) struct Prometheus {
    engine: QueryEngine,
    clock: Arc<dyn Clock>,
    build: Arc<BuildInfo>,
    status: Arc<ServerStatus>,
    started: TimestampNs,
}

pub use params::parse_time;
pub use status::ServerStatus;

/// The routes below `/api/v1`, `/federate` and `/version`. Requests carry a `model::tenant::Access` in their extensions; one without is refused.
/// Every other path below `/api/v1` is answered with 404 in Prometheus' form, unless another router that is merged
/// with this one has it.
pub fn prometheus(engine: QueryEngine, clock: Arc<dyn Clock>, settings: &Settings) -> Router {
    let started = clock.now();
    let build = Arc::new(settings.build.clone());
    let status = Arc::new(settings.status.clone());
    let router = Router::new()
        .route("/api/v1/query", get(query::instant).post(query::instant))
        .route("/api/v1/query_range", get(query::range).post(query::range))
        .route("/api/v1/query_exemplars", get(exemplars::exemplars).post(exemplars::exemplars))
        .route("/api/v1/sql", get(sql::sql).post(sql::sql))
        .route("/api/v1/format_query", get(query::format).post(query::format))
        .route("/api/v1/parse_query", get(tree::parse).post(tree::parse))
        .route("/api/v1/labels", get(series::names).post(series::names))
        .route("/api/v1/label/{name}/values", get(series::values))
        .route("/api/v1/series", get(series::series).post(series::series))
        .route("/api/v1/metadata", get(metadata::metadata))
        .route("/api/v1/status/buildinfo", get(status::build_info))
        .route("/api/v1/status/runtimeinfo", get(status::runtime_info))
        .route("/api/v1/status/config", get(status::config))
        .route("/api/v1/status/flags", get(status::flags))
        .route("/api/v1/features", get(features::features))
        .route("/api/v1/read", post(remote_read::read))
        .route("/api/v1/status/walreplay", get(survey::wal_replay))
        .route("/api/v1/status/tsdb", get(survey::tsdb))
        .route("/api/v1/status/tsdb/blocks", get(survey::blocks))
        .route("/federate", get(federate::federate))
        .route("/version", get(status::version))
        .route("/api/v1/{*rest}", any(status::not_found))
        .merge(status::nothing());
    let router = if settings.search {
        router.merge(searches())
    } else {
        router.route("/api/v1/search/{*what}", any(search::disabled))
    };
    let router = router.layer(axum::middleware::from_fn(status::options));
    let router = router.with_state(Prometheus { engine, clock, build, status, started });
    reply::with_origins(reply::compressed(router), &settings.allowed_origins)
}

fn searches() -> Router<Prometheus> {
    Router::new()
        .route("/api/v1/search/metric_names", get(search::metric_names).post(search::metric_names))
        .route("/api/v1/search/label_names", get(search::label_names).post(search::label_names))
        .route("/api/v1/search/label_values", get(search::label_values).post(search::label_values))
}
