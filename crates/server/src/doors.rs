//! What answers on which port: the doors in and out of a role, joined, and the operations routes beside them.

use std::sync::Arc;

use axum::Router;
use axum::extract::Extension;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};
use collector::Collector;
use collector::settings::BodySettings;
use model::{Clock, Ingest, Signal};
use prometheus_client::registry::Registry;
use query::QueryEngine;
use security::authority::Authority;
use security::gateway::Sight;
use security::scopes::Door as Through;
use security::token::Tenants;
use storage::Storage;
use tokio_util::sync::CancellationToken;

use crate::collector_ports;
use crate::config::{Listen, Role};
use crate::exposition::Exposition;
use crate::keeping::{self, Keeping};
use crate::lifecycle::Lifecycle;
use crate::memory::{Budget, Part};
use crate::requests::RequestMetrics;
use crate::status::Status;

/// The parts that doors open on.
pub(crate) struct Parts {
    pub(crate) ingest: Arc<dyn Ingest>,
    pub(crate) engine: QueryEngine,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) requests: RequestMetrics,
    pub(crate) keeping: Keeping,
    pub(crate) status: Status,
    pub(crate) told: Told,
    /// When this is cancelled, connections that last end.
    pub(crate) stop: CancellationToken,
}

/// What the query doors are told of the process, and the routes that end it.
pub(crate) struct Told {
    pub(crate) settings: api::Settings,
    pub(crate) lifecycle: Lifecycle,
}

/// What one port serves.
pub(crate) struct Door {
    /// The listener's name, as in the ready line, logs and metrics.
    pub(crate) name: &'static str,
    /// The role that it belongs to.
    pub(crate) role: Role,
    /// The port, before the offset.
    pub(crate) port: u16,
    /// The routes of its protocol.
    pub(crate) router: Router,
    /// How the gateway knows it; the Authority's own port is not behind the gateway.
    pub(crate) through: Option<Through>,
}

impl Door {
    /// A port of the collector whose routes are operations.
    fn of_process(name: &'static str, port: u16, through: Through) -> Self {
        Self { name, role: Role::Collector, port, router: Router::new(), through: Some(through) }
    }
}

/// Makes the receivers of all doors in, which share their part of the memory, and registers what they count.
pub(crate) fn receivers(parts: &Parts, budget: Budget, registry: &mut Registry) -> Collector {
    let components = collector::Components {
        ingest: Arc::clone(&parts.ingest),
        clock: Arc::clone(&parts.clock),
        metrics: collector::Metrics::register(registry),
    };
    let bodies = BodySettings { max_in_flight_bytes: budget.of(Part::Requests) };
    Collector::new(collector::Settings { bodies, ..collector::Settings::default() }, components)
}

/// Makes the doors of all roles.
pub(crate) fn open(
    parts: &Parts,
    receivers: &Collector,
    authority: &Authority,
    listen: &Listen,
) -> Vec<Door> {
    let settings = &parts.told.settings;
    let (engine, clock) = (|| parts.engine.clone(), || Arc::clone(&parts.clock));
    let prometheus = api::prometheus(engine(), clock(), settings);
    let loki = api::loki(engine(), clock(), settings, parts.stop.clone());
    let tempo = api::tempo(engine(), clock(), settings);
    // Questions leave a span each; writes are too many for that, and are counted only.
    let three = |name, role, signal, questions, writes: Router| {
        let questions = parts.requests.observe(name, true, parts.status.observe(signal, questions));
        let others = writes.merge(parts.status.router(signal)).merge(keeping::router(role, &parts.keeping));
        questions.merge(parts.requests.observe(name, false, others))
    };
    let writes = |name, router| parts.requests.observe(name, false, router);
    vec![
        Door {
            name: "prometheus",
            role: Role::Metrics,
            port: listen.ports.prometheus,
            router: three(
                "prometheus",
                Role::Metrics,
                Signal::Metrics,
                prometheus,
                receivers.prometheus_write().merge(parts.told.lifecycle.routes()),
            ),
            through: Some(Through::Prometheus),
        },
        Door {
            name: "loki",
            role: Role::Logs,
            port: listen.ports.loki,
            router: three("loki", Role::Logs, Signal::Logs, loki, receivers.loki_push()),
            through: Some(Through::Loki),
        },
        Door {
            name: "tempo",
            role: Role::Traces,
            port: listen.ports.tempo,
            router: three("tempo", Role::Traces, Signal::Traces, tempo, receivers.tempo_push()),
            through: Some(Through::Tempo),
        },
        Door {
            name: "otlp_grpc",
            role: Role::Collector,
            port: listen.ports.otlp_grpc,
            router: writes("otlp_grpc", receivers.otlp_grpc()),
            through: Some(Through::OtlpGrpc),
        },
        Door {
            name: "otlp_http",
            role: Role::Collector,
            port: listen.ports.otlp_http,
            router: writes("otlp_http", receivers.otlp_http()),
            through: Some(Through::OtlpHttp),
        },
        Door::of_process("scrape", listen.ports.scrape, Through::Scrape),
        Door::of_process("health", listen.ports.health, Through::Health),
        Door::of_process("debug", listen.ports.debug, Through::Debug),
        Door {
            name: "authority",
            role: Role::Authority,
            port: listen.ports.authority,
            router: writes("authority", security::authority::http::router(authority)),
            through: None,
        },
    ]
}

/// The answer where nothing is, as the originals give it.
async fn nothing_here() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "404 page not found\n")
}

/// The routes of operations: metrics, flush, readiness and health, which name no tenant and need none.
pub(crate) fn operations(door: &Door, parts: &Parts, exposition: &Exposition) -> Router {
    let Parts { keeping: Keeping { storage, .. }, clock, stop, .. } = parts;
    let metrics = {
        let exposition = exposition.clone();
        get(move |headers: HeaderMap, sight: Option<Extension<Sight>>| async move {
            exposition.response(&headers, sight.map(|Extension(sight)| sight)).await
        })
    };
    let routes = match door.role {
        Role::Metrics => Router::new()
            .route("/metrics", metrics)
            .route("/flush", flush(storage))
            .route("/-/ready", ready(storage, "Prometheus Server is Ready.\n"))
            .route("/-/healthy", get(|| async { "Prometheus Server is Healthy.\n" })),
        Role::Logs | Role::Traces => {
            let ready = ready(storage, "ready\n");
            Router::new().route("/metrics", metrics).route("/flush", flush(storage)).route("/ready", ready)
        }
        Role::Collector => match door.through {
            Some(Through::Scrape) => collector_ports::scrape(exposition),
            Some(Through::Health) => collector_ports::health(storage, clock, stop),
            Some(Through::Debug) => collector_ports::debug(storage),
            // What gRPC answers to an unknown method is the receiver's.
            _ => return Router::new(),
        },
        Role::Authority => return Router::new(),
    };
    routes.fallback(nothing_here)
}

/// Writes everything that is in memory as segments, and answers when it is done: the flush of Loki and Tempo. Who operates
/// some tenants has theirs written. The engine
/// writes a head once, however many ask.
fn flush(storage: &Storage) -> MethodRouter {
    let storage = storage.clone();
    post(move |sight: Option<Extension<Sight>>| async move {
        let flushed = match sight.map(|Extension(sight)| sight.tenants).filter(Tenants::are_some) {
            Some(own) => storage.flush_of(|tenant| own.allow(tenant.as_str())).await,
            None => storage.flush().await,
        };
        match flushed {
            Ok(()) => StatusCode::NO_CONTENT.into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
        }
    })
}

/// Ready from the first moment: what was acknowledged before a crash and is not replayed yet is not refused, it is
/// still to come, and the reply says so.
fn ready(storage: &Storage, text: &'static str) -> MethodRouter {
    let storage = storage.clone();
    get(move || async move {
        let progress = storage.replay();
        if progress.done {
            (StatusCode::OK, text).into_response()
        } else {
            let files = format!("{}/{}", progress.segments_done, progress.segments_total);
            (StatusCode::OK, [("x-stella-replay", files)], text).into_response()
        }
    })
}
