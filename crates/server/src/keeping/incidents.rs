//! Incident mode of a tenant: while it lasts nothing of the tenant goes. It ends by itself.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Request, State};
use model::audit::Action;
use model::time::NS_PER_S;
use model::{Signal, TimeRange};
use serde::{Deserialize, Serialize};
use storage::hold::{HeldSignals, HoldRequest};
use storage::manifest::keeping::{Hold, HoldKind};

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
    /// How bad it is, in the words of who begins it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// What it is about, in the words of who begins it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Whether its end is answered with a report.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub report: bool,
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
    /// How bad it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub severity: Option<String>,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scope: Option<String>,
    /// What there is to tell of one that has ended, where that is asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub report: Option<IncidentReport>,
}

/// What there is to tell of an incident that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentReport {
    /// The id of its last hold, which events of the audit name.
    pub id: String,
    /// RFC 3339.
    pub began_at: String,
    /// RFC 3339.
    pub ended_at: String,
    /// How long it lasted.
    pub seconds: i64,
    /// Who began it.
    pub began_by: String,
    /// Who ended it.
    pub ended_by: String,
    /// Why it began.
    pub reason: String,
    /// How it ended.
    pub resolution: String,
    /// How bad it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub severity: Option<String>,
    /// What it was about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scope: Option<String>,
    /// What was held, a signal each.
    pub held: Vec<HeldFigures>,
}

/// What there is of a signal when an incident ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldFigures {
    /// `metrics`, `logs` or `traces`.
    pub signal: String,
    /// Segments in the store.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// RFC 3339: the time of the oldest data; left out where there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub oldest: Option<String>,
}

/// The names of what is noted of an incident's hold.
const SEVERITY: &str = "severity";
const SCOPE: &str = "scope";
/// When it began, where it went on for longer since.
const BEGAN: &str = "began_ns";

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
            notes: notes(&order, before.first()),
        };
        let hold = keeping.storage.hold(&asked.context, &request).await?;
        let mut event = asked.event(Action::IncidentStarted, &hold.id).with("reason", &order.reason);
        for (name, note) in [SEVERITY, SCOPE].iter().filter_map(|name| Some((*name, hold.notes.get(*name)?)))
        {
            event = event.with(name, note);
        }
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
    let report = before.last().filter(|_| begun.is_none() && order.report);
    let report = report.map(|held| report_of(&keeping, &asked, &held.hold, &order));
    Ok(Json(IncidentAnswer { report, ..answer(&asked, begun.as_ref()) }))
}

/// What is noted of an incident: what is said now, else what was said when it began.
fn notes(order: &IncidentOrder, before: Option<&HeldSignals>) -> BTreeMap<String, String> {
    let mut notes = before.map(|held| held.hold.notes.clone()).unwrap_or_default();
    if let Some(held) = before {
        notes.entry(BEGAN.to_owned()).or_insert_with(|| held.hold.since_ns.to_string());
    }
    for (name, said) in [(SEVERITY, &order.severity), (SCOPE, &order.scope)] {
        notes.extend(said.iter().map(|said| (name.to_owned(), said.clone())));
    }
    notes
}

/// When an incident began: its hold may be a later one.
fn began_ns(hold: &Hold) -> i64 {
    hold.notes.get(BEGAN).and_then(|ns| ns.parse().ok()).unwrap_or(hold.since_ns)
}

fn report_of(keeping: &Keeping, asked: &Asked, hold: &Hold, order: &IncidentOrder) -> IncidentReport {
    let (began_ns, now_ns) = (began_ns(hold), keeping.clock.now().0);
    let figures = |signal: Signal| {
        let usage = keeping.storage.usage(asked.context.tenant(), signal)?;
        Some(HeldFigures {
            signal: signal.as_str().to_owned(),
            segments: usage.segments,
            bytes: usage.stored_bytes,
            oldest: usage.time.map(|time| moment(time.start_ns)),
        })
    };
    IncidentReport {
        id: hold.id.clone(),
        began_at: moment(began_ns),
        ended_at: moment(now_ns),
        seconds: now_ns.saturating_sub(began_ns) / NS_PER_S,
        began_by: hold.actor.clone(),
        ended_by: asked.actor.clone(),
        reason: hold.reason.clone(),
        resolution: order.reason.clone(),
        severity: hold.notes.get(SEVERITY).cloned(),
        scope: hold.notes.get(SCOPE).cloned(),
        held: Signal::ALL.into_iter().filter_map(figures).collect(),
    }
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
        set_at: Some(moment(began_ns(hold))),
        expires_at: hold.until_ns.map(moment),
        actor: Some(hold.actor.clone()),
        reason: Some(hold.reason.clone()),
        severity: hold.notes.get(SEVERITY).cloned(),
        scope: hold.notes.get(SCOPE).cloned(),
        report: None,
    }
}
