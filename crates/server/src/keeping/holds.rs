//! Holds: what may not go. Anybody with the scope for limits and deletes may hold and release.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use model::audit::Action;
use model::{Matcher, Signal, TimeRange};
use serde::{Deserialize, Serialize};
use storage::hold::{HeldSignals, HoldRequest};
use storage::manifest::keeping;
use storage::manifest::keeping::HoldKind;

use super::Keeping;
use super::asked::{Asked, Failure};
use super::incidents::{INCIDENT, current};
use crate::selector;

/// A hold that is asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HoldOrder {
    /// `metrics`, `logs`, `traces`; all where there is none.
    pub signals: Vec<String>,
    /// A selector, as `{app="web"}`; everything where it is left out. Of spans the names are `name`, `resource.<key>` and
    /// `span.<key>`.
    pub selector: Option<String>,
    /// RFC 3339; from the beginning where it is left out.
    pub start: Option<String>,
    /// RFC 3339; to the end where it is left out.
    pub end: Option<String>,
    /// Why.
    pub reason: String,
}

/// A hold as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HoldAnswer {
    /// Its id.
    pub id: String,
    /// `hold` or `incident`.
    pub kind: String,
    /// The tenant.
    pub tenant: String,
    /// What is held.
    pub signals: Vec<String>,
    /// The selector; left out where everything is held.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub selector: Option<String>,
    /// RFC 3339; left out where it holds from the beginning.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub start: Option<String>,
    /// RFC 3339; left out where it holds to the end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub end: Option<String>,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub actor: String,
    /// RFC 3339.
    pub since: String,
    /// The incident during which it was placed, whose end may release it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub incident: Option<String>,
    /// RFC 3339; left out where it does not end by itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<String>,
}

impl HoldAnswer {
    /// A hold of a tenant.
    pub(super) fn of(tenant: &str, held: &HeldSignals) -> Self {
        let hold = &held.hold;
        let kind = match hold.kind {
            HoldKind::Hold => "hold",
            HoldKind::Incident => "incident",
        };
        Self {
            id: hold.id.clone(),
            kind: kind.to_owned(),
            tenant: tenant.to_owned(),
            signals: held.signals.iter().map(|signal| signal.as_str().to_owned()).collect(),
            selector: (!hold.conditions.is_empty()).then(|| keeping::selector(&hold.conditions)),
            start: (hold.start_ns != i64::MIN).then(|| moment(hold.start_ns)),
            end: (hold.end_ns != i64::MAX).then(|| moment(hold.end_ns)),
            reason: hold.reason.clone(),
            actor: hold.actor.clone(),
            since: moment(hold.since_ns),
            incident: hold.notes.get(INCIDENT).cloned(),
            until: hold.until_ns.map(moment),
        }
    }
}

/// A moment as RFC 3339.
pub(super) fn moment(ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(ns))
        .map_or_else(|_| ns.to_string(), |moment| moment.to_string())
}

/// `POST /telemetry/retention/holds`.
pub(super) async fn add(State(keeping): State<Keeping>, request: Request) -> Result<Response, Failure> {
    let asked = Asked::read(request).await?;
    let order: HoldOrder = asked.json()?;
    if order.reason.trim().is_empty() {
        return Err(Failure::Invalid("a hold needs a reason: say why the data must stay".to_owned()));
    }
    let signals = signals(&order.signals)?;
    let matchers = matchers(&signals, order.selector.as_deref())?;
    let start_ns = order.start.as_deref().map_or(Ok(i64::MIN), parse_moment)?;
    let end_ns = order.end.as_deref().map_or(Ok(i64::MAX), parse_moment)?;
    let incident = current(&keeping, &asked).await?;
    let request = HoldRequest {
        kind: HoldKind::Hold,
        signals: signals.clone(),
        matchers,
        range: TimeRange::new(start_ns, end_ns),
        reason: order.reason.clone(),
        actor: asked.actor.clone(),
        until_ns: None,
        notes: incident.map(|id| (INCIDENT.to_owned(), id)).into_iter().collect(),
    };
    let hold = keeping.storage.hold(&asked.context, &request).await?;
    let what = order.selector.as_deref().unwrap_or("everything");
    let event = asked.event(Action::HoldPlaced, what).with("id", &hold.id).with("reason", &hold.reason);
    keeping.audit.record(event);
    let answer = HoldAnswer::of(asked.context.tenant().as_str(), &HeldSignals { hold, signals });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// `GET /telemetry/retention/holds`.
pub(super) async fn list(
    State(keeping): State<Keeping>,
    request: Request,
) -> Result<Json<Vec<HoldAnswer>>, Failure> {
    let asked = Asked::read(request).await?;
    let held = keeping.storage.holds(&asked.context).await?;
    let tenant = asked.context.tenant().as_str();
    Ok(Json(held.iter().map(|held| HoldAnswer::of(tenant, held)).collect()))
}

/// `DELETE /telemetry/retention/holds/{id}`.
pub(super) async fn release(
    State(keeping): State<Keeping>,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, Failure> {
    let asked = Asked::read(request).await?;
    if !keeping.storage.release(&asked.context, &id).await? {
        return Err(Failure::NotFound(format!("no hold of this tenant has this id: id={id}")));
    }
    keeping.audit.record(asked.event(Action::HoldReleased, &id));
    Ok(StatusCode::NO_CONTENT)
}

fn signals(names: &[String]) -> Result<Vec<Signal>, Failure> {
    if names.is_empty() {
        return Ok(Signal::ALL.to_vec());
    }
    let signal = |name: &String| {
        let found = Signal::ALL.into_iter().find(|signal| signal.as_str() == name);
        found.ok_or_else(|| Failure::Invalid(format!("unknown signal {name:?}: metrics, logs or traces")))
    };
    names.iter().map(signal).collect()
}

/// The matchers of a selector, as the first of the signals reads it.
fn matchers(signals: &[Signal], text: Option<&str>) -> Result<Vec<Matcher>, Failure> {
    let Some(text) = text else { return Ok(Vec::new()) };
    // There is one at least.
    let signal = signals.first().copied().unwrap_or(Signal::Logs);
    selector::parse(signal, text).map_err(|error| Failure::Invalid(format!("the selector: {error}")))
}

fn parse_moment(text: &str) -> Result<i64, Failure> {
    let moment: Option<jiff::Timestamp> = text.parse().ok();
    let ns = moment.and_then(|moment| i64::try_from(moment.as_nanosecond()).ok());
    ns.ok_or_else(|| {
        Failure::Invalid(format!("cannot read {text:?} as a moment: write it like 2026-01-31T00:00:00Z"))
    })
}
