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

mod nothing;

mod openapi;

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
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, any};
use http::Method;
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

/// Routes as they are put together, with what each is asked by.
#[derive(Default)]
struct Routes {
    router: Router<Prometheus>,
    known: Vec<(&'static str, &'static [Method])>,
}

/// How a question is asked whose parameters may be long.
const QUESTION: &[Method] = &[Method::GET, Method::POST];

/// How all others are asked.
const GET: &[Method] = &[Method::GET];

const POST: &[Method] = &[Method::POST];

impl Routes {
    #[expect(clippy::needless_pass_by_value, reason = "handlers are small, and written where they are added")]
    fn on<H, T>(mut self, methods: &'static [Method], path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Prometheus>,
        T: 'static,
    {
        let routed = methods.iter().fold(MethodRouter::new(), |routed, method| {
            let method =
                MethodFilter::try_from(method.clone()).expect("every method here is one of HTTP's own");
            routed.on(method, handler.clone())
        });
        self.router = self.router.route(path, routed);
        self.known.push((path, methods));
        self
    }
}

fn routes(has_search: bool) -> Routes {
    let routes = Routes::default()
        .on(QUESTION, "/api/v1/query", query::instant)
        .on(QUESTION, "/api/v1/query_range", query::range)
        .on(QUESTION, "/api/v1/query_exemplars", exemplars::exemplars)
        .on(QUESTION, "/api/v1/sql", sql::sql)
        .on(QUESTION, "/api/v1/format_query", query::format)
        .on(QUESTION, "/api/v1/parse_query", tree::parse)
        .on(QUESTION, "/api/v1/labels", series::names)
        .on(GET, "/api/v1/label/{name}/values", series::values)
        .on(QUESTION, "/api/v1/series", series::series)
        .on(GET, "/api/v1/metadata", metadata::metadata)
        .on(GET, "/api/v1/status/buildinfo", status::build_info)
        .on(GET, "/api/v1/status/runtimeinfo", status::runtime_info)
        .on(GET, "/api/v1/status/config", status::config)
        .on(GET, "/api/v1/status/flags", status::flags)
        .on(GET, "/api/v1/features", features::features)
        .on(GET, "/api/v1/openapi.yaml", openapi::description)
        .on(POST, "/api/v1/read", remote_read::read)
        .on(GET, "/api/v1/status/walreplay", survey::wal_replay)
        .on(GET, "/api/v1/status/tsdb", survey::tsdb)
        .on(GET, "/api/v1/status/tsdb/blocks", survey::blocks)
        .on(GET, "/federate", federate::federate)
        .on(GET, "/version", status::version);
    let routes = nothing::routes(routes);
    if !has_search {
        return routes;
    }
    routes
        .on(QUESTION, "/api/v1/search/metric_names", search::metric_names)
        .on(QUESTION, "/api/v1/search/label_names", search::label_names)
        .on(QUESTION, "/api/v1/search/label_values", search::label_values)
}

/// The routes below `/api/v1`, `/federate` and `/version`. Requests carry a `model::tenant::Access` in their extensions; one without is refused.
/// Every other path below `/api/v1` is answered with 404 in Prometheus' form, unless another router that is merged
/// with this one has it.
pub fn prometheus(engine: QueryEngine, clock: Arc<dyn Clock>, settings: &Settings) -> Router {
    let started = clock.now();
    let build = Arc::new(settings.build.clone());
    let status = Arc::new(settings.status.clone());
    let router = routes(settings.search).router.route("/api/v1/{*rest}", any(status::not_found));
    let router =
        if settings.search { router } else { router.route("/api/v1/search/{*what}", any(search::disabled)) };
    let router = router.layer(axum::middleware::from_fn(status::options));
    let router = router.with_state(Prometheus { engine, clock, build, status, started });
    reply::with_origins(reply::compressed(router), &settings.allowed_origins)
}
