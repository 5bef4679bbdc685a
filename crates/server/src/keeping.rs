//! The doors through which data goes before its time, or stays beyond it: deletions in the shapes of Prometheus and Loki,
//! holds, incidents, and the plan of retention.
//!
//! They stand beside the doors of `api`, which never writes. What is asked of them and done is an event of the audit.

mod asked;

mod prometheus;

mod loki;

mod holds;

mod incidents;

mod plan;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};
use model::audit::Audit;
use model::{Clock, Limits};
use security::gateway::Gateway;
use storage::Storage;

use crate::audit;
use crate::config::Role;
use crate::overrides::Overrides;

pub use holds::{HoldAnswer, HoldOrder};
pub(crate) use incidents::watch;
pub use incidents::{
    DEFAULT_TTL, HeldFigures, IncidentAnswer, IncidentOrder, IncidentReport, ListedIncident,
};
pub use plan::{PlanAnswer, PlannedDay, PlannedSignal, RunAnswer, StoredAnswer};

/// Where incidents are begun and ended.
pub const INCIDENTS: &str = "/telemetry/incidents/mode";
/// Where they are listed.
pub const INCIDENT_LIST: &str = "/telemetry/incidents/list";
/// Where holds are listed and added; one is released below it.
pub const HOLDS: &str = "/telemetry/retention/holds";
/// Where the plan of a tenant is.
pub const PLAN: &str = "/telemetry/retention/plan";
/// Where the plan of all tenants is.
pub const PLAN_ALL: &str = "/telemetry/retention/plan/all";
/// Where what is due of a tenant is done at once.
pub const RUN: &str = "/telemetry/retention/run";
/// Where what is due of all tenants is done at once.
pub const RUN_ALL: &str = "/telemetry/retention/run/all";
/// Where the objects of a tenant are looked into.
pub const STORED: &str = "/telemetry/retention/stored";

/// What these doors need.
#[derive(Clone)]
pub(crate) struct Keeping {
    pub(crate) storage: Storage,
    pub(crate) clock: Arc<dyn Clock>,
    /// Where what was done is told.
    pub(crate) audit: Audit,
    /// For acting for tenants that no request names.
    pub(crate) gateway: Gateway,
    /// How long a deletion of Loki's door can be taken back, in nanoseconds.
    pub(crate) cancel_period_ns: i64,
    /// Where limits come from, for saying so.
    pub(crate) origins: Arc<Origins>,
}

/// What says how long things are kept.
#[derive(Debug)]
pub(crate) struct Origins {
    /// The limits in force.
    pub(crate) overrides: Arc<Overrides>,
    /// What holds where they say nothing.
    pub(crate) base: Limits,
}

/// The routes of a role.
pub(crate) fn router(role: Role, keeping: &Keeping) -> Router {
    let own: Router<Keeping> = match role {
        Role::Metrics => {
            let delete_series = post(prometheus::delete_series).put(prometheus::delete_series);
            let clean = post(prometheus::clean_tombstones).put(prometheus::clean_tombstones);
            Router::new()
                .route("/api/v1/admin/tsdb/delete_series", delete_series)
                .route("/api/v1/admin/tsdb/clean_tombstones", clean)
                .route("/api/v1/admin/tsdb/snapshot", post(prometheus::snapshot).put(prometheus::snapshot))
        }
        Role::Logs => {
            let deletes = post(loki::add).put(loki::add).get(loki::list).delete(loki::cancel);
            Router::new().route("/loki/api/v1/delete", deletes)
        }
        Role::Traces => Router::new(),
        Role::Collector | Role::Authority => return Router::new(),
    };
    own.route(INCIDENTS, get(incidents::status).post(incidents::order))
        .route(INCIDENT_LIST, get(incidents::list))
        .route(HOLDS, get(holds::list).post(holds::add))
        .route(&format!("{HOLDS}/{{id}}"), delete(holds::release))
        .route(PLAN, get(plan::of_tenant))
        .route(PLAN_ALL, get(plan::of_all))
        .route(RUN, post(plan::run))
        .route(RUN_ALL, post(plan::run_all))
        .route(STORED, get(plan::stored))
        .layer(from_fn_with_state(keeping.audit.clone(), audit::settled))
        .with_state(keeping.clone())
}
