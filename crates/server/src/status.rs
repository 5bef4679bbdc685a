//! `GET /api/status` on the ports of the three APIs: what a tenant has written, asked and stored, what was rejected and
//! why, how long it is kept, and how far it is from its limits; and the same figures as metrics.
//!
//! A caller sees the tenants that it may read. One that operates tenants sees all of these, where it names none.

mod ring;

pub(crate) mod kept;

pub(crate) mod activity;

mod metrics;

mod told;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::CACHE_CONTROL;
use model::limits::LimitsSource;
use model::tenant::{Access, Refusal};
use model::{Clock, Signal, TenantId};
use security::gateway::{Sight, TENANT_HEADER};
use serde_json::{Value, json};
use storage::Storage;

use crate::keeping::Origins;
use crate::who;
use activity::Activity;
pub(crate) use metrics::StatusMetrics;

/// Tenants of one answer; more are asked for with `after`.
const MAX_TENANTS: usize = 1_000;

/// What the figures are taken from; cheap to clone.
#[derive(Clone)]
pub(crate) struct Status {
    pub(crate) storage: Storage,
    pub(crate) activity: Arc<Activity>,
    pub(crate) limits: Arc<dyn LimitsSource>,
    pub(crate) origins: Arc<Origins>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The figures on the port of one signal.
#[derive(Clone)]
struct Port {
    status: Status,
    signal: Signal,
}

impl Status {
    /// The route on the port of a signal.
    pub(crate) fn router(&self, signal: Signal) -> Router {
        let port = Port { status: self.clone(), signal };
        Router::new().route("/api/status", get(answer)).with_state(port)
    }

    /// Remembers whom the questions of a router are about.
    pub(crate) fn observe(&self, signal: Signal, questions: Router) -> Router {
        questions.layer(from_fn_with_state((Arc::clone(&self.activity), signal), asked))
    }
}

async fn asked(
    State((activity, signal)): State<(Arc<Activity>, Signal)>,
    request: Request,
    next: Next,
) -> Response {
    // What the gateway has decided: no other such header comes this far.
    let tenants = request.headers().get(TENANT_HEADER).cloned();
    let response = next.run(request).await;
    if let Some(tenants) = tenants.as_ref().and_then(|tenants| tenants.to_str().ok())
        && response.status().is_success()
    {
        for tenant in tenants.split('|').filter_map(|name| TenantId::parse(name).ok()) {
            activity.asked(&tenant, signal);
        }
    }
    response
}

/// The tenants that a request is about, and whether there are more after them.
fn tenants(
    port: &Port,
    request: &Request,
    parameters: &BTreeMap<String, String>,
) -> Result<(Vec<TenantId>, bool), Refusal> {
    let extensions = request.extensions();
    let access = extensions.get::<Access>().ok_or(Refusal::TenantRequired)?;
    if let Some(refusal) = access.refusal() {
        return Err(refusal.clone());
    }
    match extensions.get::<Sight>() {
        Some(Sight { names_tenants: false, operates: true, tenants: operated }) => {
            let after = parameters.get("after").map(String::as_str).unwrap_or_default();
            let limit = parameters.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(MAX_TENANTS);
            let all = port.status.storage.tenants().into_iter();
            let mut seen: Vec<_> = all
                .filter(|tenant| tenant.as_str() > after && operated.allow(tenant.as_str()))
                .take(limit.clamp(1, MAX_TENANTS) + 1)
                .collect();
            let has_more = seen.len() > limit.clamp(1, MAX_TENANTS);
            seen.truncate(limit.clamp(1, MAX_TENANTS));
            Ok((seen, has_more))
        }
        _ => {
            let context = access.context(None)?;
            Ok((context.members().iter().map(|member| member.tenant().clone()).collect(), false))
        }
    }
}

async fn answer(
    State(port): State<Port>,
    Query(parameters): Query<BTreeMap<String, String>>,
    request: Request,
) -> Response {
    let (found, has_more) = match tenants(&port, &request, &parameters) {
        Ok(found) => found,
        // In the shape of the port's protocol, whose paths this is none of.
        Err(refusal) if port.signal == Signal::Metrics => return who::refused("/api/v1/status", &refusal),
        Err(refusal) => return who::refused(request.uri().path(), &refusal),
    };
    // Limits are told of one tenant: who asks for many asks for their figures.
    let explains = found.len() == 1;
    let next = found.last().filter(|_| has_more).map(|tenant| tenant.as_str().to_owned());
    let told = tokio::task::spawn_blocking(move || {
        let tenants: Vec<Value> =
            found.iter().map(|tenant| port.status.tell(tenant, port.signal, explains)).collect();
        json!({
            "service": match port.signal {
                Signal::Metrics => "prometheus",
                Signal::Logs => "loki",
                Signal::Traces => "tempo",
            },
            "version": env!("CARGO_PKG_VERSION"),
            "signal": port.signal.as_str(),
            "ready": port.status.storage.replay().done,
            "now": told::moment(port.status.clock.now().0),
            "counted_since": told::moment(port.status.activity.since_ns),
            "tenants": tenants,
            "next": next,
        })
    });
    match told.await {
        Ok(told) => ([(CACHE_CONTROL, "no-store")], axum::Json(told)).into_response(),
        Err(_) => http::StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
