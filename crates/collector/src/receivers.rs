//! The doors: routers for each port, and what they share.

mod budget;

mod body;

mod deliver;

mod otlp;

mod otlp_http;

mod otlp_grpc;

mod otlp_partial;

mod room;

pub(crate) mod shape;

mod remote_write;

mod loki_push;

mod text;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use model::Ingest;
use model::tenant::{Access, Refusal, TenantContext};
use model::time::Clock;

use crate::error::CollectorError;
use crate::mapping::families::Families;
use crate::metrics::Metrics;
use crate::settings::Settings;
pub(crate) use budget::{Budget, Held};
pub(crate) use room::Room;

/// The parts that the receivers work with.
#[derive(Clone)]
pub struct Components {
    /// Takes the batches.
    pub ingest: Arc<dyn Ingest>,
    /// The time of log records that bring none.
    pub clock: Arc<dyn Clock>,
    /// Counts what comes in.
    pub metrics: Metrics,
}

impl fmt::Debug for Components {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Components").field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// All receivers; cheap to clone. The doors share one bound on the bytes that are being worked on.
#[derive(Clone, Debug)]
pub struct Collector(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    settings: Settings,
    components: Components,
    budget: Budget,
    families: Families,
}

impl Collector {
    /// Joins settings and parts.
    #[must_use]
    pub fn new(settings: Settings, components: Components) -> Self {
        let budget = Budget::new(&settings.bodies);
        Self(Arc::new(Parts { settings, components, budget, families: Families::default() }))
    }

    /// OTLP over HTTP: `/v1/metrics`, `/v1/logs`, `/v1/traces` (port 4318).
    pub fn otlp_http(&self) -> Router {
        self.router(
            Router::new()
                .route("/v1/metrics", post(otlp_http::metrics))
                .route("/v1/logs", post(otlp_http::logs))
                .route("/v1/traces", post(otlp_http::traces)),
        )
    }

    /// OTLP over gRPC: the three `Export` services (port 4317). Other methods answer `UNIMPLEMENTED`.
    pub fn otlp_grpc(&self) -> Router {
        otlp_grpc::router(self)
    }

    /// Remote write 1.0 and 2.0 on `/api/v1/write`, OTLP on `/api/v1/otlp/v1/metrics` (port 9090).
    pub fn prometheus_write(&self) -> Router {
        self.router(
            Router::new()
                .route("/api/v1/write", post(remote_write::write))
                .route("/api/v1/otlp/v1/metrics", post(otlp_http::metrics)),
        )
    }

    /// Loki's push on `/loki/api/v1/push` and `/api/prom/push`, OTLP on `/otlp/v1/logs` (port 3100).
    pub fn loki_push(&self) -> Router {
        self.router(
            Router::new()
                .route("/loki/api/v1/push", post(loki_push::push))
                .route("/api/prom/push", post(loki_push::push))
                .route("/otlp/v1/logs", post(otlp_http::loki_logs)),
        )
    }

    /// OTLP over HTTP on `/v1/traces` (port 3200).
    pub fn tempo_push(&self) -> Router {
        self.router(Router::new().route("/v1/traces", post(otlp_http::traces)))
    }

    fn router(&self, routes: Router<Self>) -> Router {
        // Bodies have bounds of their own, with answers in each protocol's shape.
        routes.layer(DefaultBodyLimit::disable()).with_state(self.clone())
    }

    fn settings(&self) -> &Settings {
        &self.0.settings
    }

    fn components(&self) -> &Components {
        &self.0.components
    }

    /// What all requests hold now, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.0.budget.used_bytes()
    }

    /// A request that holds no memory yet; it counts against the tenant that its headers name.
    fn request(&self, access: &Access) -> Held {
        let context = access.context(None);
        self.0.budget.request(context.as_ref().ok().map(TenantContext::tenant))
    }

    fn families(&self) -> &Families {
        &self.0.families
    }
}

/// What the gateway put into a request's extensions. Without it nobody in particular is asking. Who may not send is refused
/// before anything of the body is read.
fn access(extensions: &http::Extensions) -> Result<Access, CollectorError> {
    let access = extensions.get::<Access>().ok_or(CollectorError::Refused(Refusal::TenantRequired))?;
    match access.refusal() {
        Some(refusal) => Err(CollectorError::Refused(refusal.clone())),
        None => Ok(access.clone()),
    }
}
