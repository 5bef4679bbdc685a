//! Incident mode of a tenant: while it lasts nothing of the tenant goes. It ends by itself.

use axum::Json;
use axum::extract::{Request, State};
use model::audit::Action;
use model::{Signal, TimeRange};
use serde::{Deserialize, Serialize};
use storage::hold::{HeldSignals, HoldRequest};
use storage::manifest::keeping::HoldKind;

use super::Keeping;
use super::asked::{Asked, Failure};
use super::holds::moment;
use crate::config::units::Duration;

/// How long incident mode lasts where nobody says.
pub const DEFAULT_TTL: &str = "30m";

/// What is asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IncidentOrder {
    /// Whether it is to be on.
    pub enabled: bool,
    /// How long, as `30m`.
    pub ttl: Option<String>,
    /// Why it begins, or how it ended.
    pub reason: String,
}

/// Whether it is on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentAnswer {
    /// Whose telemetry it is about.
    pub tenant: String,
    /// Whether it is on.
    pub enabled: bool,
    /// The id of the hold.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub set_at: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<String>,
    /// Who began it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub actor: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// `GET /telemetry/incidents/mode`.
pub(super) async fn status(
    State(keeping): State<Keeping>,
    request: Request,
) -> Result<Json<IncidentAnswer>, Failure> {
    let asked = Asked::read(request).await?;
    Ok(Json(answer(&asked, open(&keeping, &asked).await?.pop().as_ref())))
}

/// `POST /telemetry/incidents/mode`: begins, goes on for longer, or ends.
pub(super) async fn order(
    State(keeping): State<Keeping>,
    request: Request,
) -> Result<Json<IncidentAnswer>, Failure> {
    let asked = Asked::read(request).await?;
    let order: IncidentOrder = asked.json()?;
    let before = open(&keeping, &asked).await?;
    let mut begun = None;
    if order.enabled {
        if order.reason.trim().is_empty() {
            return Err(Failure::Invalid("incident mode needs a reason: say what happens".to_owned()));
        }
        let ttl: Result<Duration, String> = order.ttl.as_deref().unwrap_or(DEFAULT_TTL).parse();
        let ttl = ttl.map_err(|reason| Failure::Invalid(format!("ttl: {reason}")))?;
        if ttl.as_ms() == 0 {
            return Err(Failure::Invalid("ttl: it must be longer than nothing".to_owned()));
        }
        let request = HoldRequest {
            kind: HoldKind::Incident,
            signals: Signal::ALL.to_vec(),
            matchers: Vec::new(),
            range: TimeRange::ALL,
            reason: order.reason.clone(),
            actor: asked.actor.clone(),
            until_ns: Some(keeping.clock.now().0.saturating_add(ttl.as_ns())),
        };
        let hold = keeping.storage.hold(&asked.context, &request).await?;
        let event = asked.event(Action::IncidentStarted, &hold.id).with("reason", &order.reason);
        keeping.audit.record(event.with("until", hold.until_ns.map(moment).unwrap_or_default()));
        begun = Some(HeldSignals { hold, signals: Signal::ALL.to_vec() });
    }
    // The new one holds already: nothing goes in between.
    for held in &before {
        keeping.storage.release(&asked.context, &held.hold.id).await?;
        if begun.is_none() {
            let event = asked.event(Action::IncidentEnded, &held.hold.id).with("reason", &order.reason);
            keeping.audit.record(event);
        }
    }
    Ok(Json(answer(&asked, begun.as_ref())))
}

/// The incidents that have not ended; there is more than one only while one takes the place of another.
async fn open(keeping: &Keeping, asked: &Asked) -> Result<Vec<HeldSignals>, Failure> {
    let mut held = keeping.storage.holds(&asked.context).await?;
    held.retain(|held| held.hold.kind == HoldKind::Incident);
    Ok(held)
}

fn answer(asked: &Asked, incident: Option<&HeldSignals>) -> IncidentAnswer {
    let tenant = asked.context.tenant().as_str().to_owned();
    let Some(HeldSignals { hold, .. }) = incident else {
        return IncidentAnswer { tenant, ..IncidentAnswer::default() };
    };
    IncidentAnswer {
        tenant,
        enabled: true,
        id: Some(hold.id.clone()),
        set_at: Some(moment(hold.since_ns)),
        expires_at: hold.until_ns.map(moment),
        actor: Some(hold.actor.clone()),
        reason: Some(hold.reason.clone()),
    }
}
