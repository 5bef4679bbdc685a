//! Incident mode of a tenant: while it lasts nothing of the tenant goes. It ends by itself, and what was said of it stays
//! named for a while.

use std::collections::BTreeMap;
use std::time::Duration as Pause;

use axum::Json;
use axum::extract::{Request, State};
use model::audit::{Action, Event};
use model::tenant::Refusal;
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
/// How long it lasts at the most where it is not begun again: the right to begin it is none to keep things for ever.
const MAX_TTL_S: i64 = 30 * 86_400;
/// The pause between two looks for incidents that have ended by themselves.
const LOOK_PAUSE: Pause = Pause::from_secs(10);

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
    /// Whether its end releases the holds that were placed while it lasted; that needs the scope for holds.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub release_holds: bool,
}

/// Whether it is on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentAnswer {
    /// Whose telemetry it is about.
    pub tenant: String,
    /// Whether it is on.
    pub enabled: bool,
    /// Its id: that of its first hold.
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
    /// The holds that its end has released.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub released: Vec<String>,
}

/// An incident as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedIncident {
    /// Its id.
    pub id: String,
    /// The tenant.
    pub tenant: String,
    /// `open` or `closed`.
    pub status: String,
    /// RFC 3339.
    pub began_at: String,
    /// RFC 3339: when it ends by itself, or has ended.
    pub until: String,
    /// Who began it.
    pub began_by: String,
    /// Who ended it; left out where it has not ended or did so by itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_by: Option<String>,
    /// Why it began.
    pub reason: String,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resolution: Option<String>,
    /// How bad it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub severity: Option<String>,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scope: Option<String>,
}

/// What there is to tell of an incident that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentReport {
    /// Its id, which events of the audit name.
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
/// Its id where it went on for longer since, and that of the incident during which another hold was placed.
pub(super) const INCIDENT: &str = "incident";
const ENDED_BY: &str = "ended_by";
const RESOLUTION: &str = "resolution";
/// What is said of how an incident ended whose time was over.
const OVER: &str = "its time was over";

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
        if ttl.as_ms() == 0 || ttl.as_ns() > MAX_TTL_S * NS_PER_S {
            let days = MAX_TTL_S / 86_400;
            let message =
                format!("ttl: longer than nothing and {days}d at most; begin it again to go on for longer");
            return Err(Failure::Invalid(message));
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
        let mut event = asked.event(Action::IncidentStarted, id_of(&hold)).with("reason", &order.reason);
        for (name, note) in [SEVERITY, SCOPE].iter().filter_map(|name| Some((*name, hold.notes.get(*name)?)))
        {
            event = event.with(name, note);
        }
        keeping.audit.record(event.with("until", hold.until_ns.map(moment).unwrap_or_default()));
        begun = Some(HeldSignals { hold, signals: Signal::ALL.to_vec() });
    }
    let mut released = Vec::new();
    for HeldSignals { hold, .. } in &before {
        if begun.is_some() {
            // The new one holds already: nothing goes in between.
            keeping.storage.release(&asked.context, &hold.id).await?;
        } else {
            released.extend(end(&keeping, &asked, hold, &order).await?);
        }
    }
    let report = before.last().filter(|_| begun.is_none() && order.report);
    let report = report.map(|held| report_of(&keeping, &asked, &held.hold, &order));
    Ok(Json(IncidentAnswer { report, released, ..answer(&asked, begun.as_ref()) }))
}

/// Ends an incident; the holds that went with it.
async fn end(
    keeping: &Keeping,
    asked: &Asked,
    hold: &Hold,
    order: &IncidentOrder,
) -> Result<Vec<String>, Failure> {
    let mut placed = Vec::new();
    if order.release_holds {
        let holds = keeping.storage.holds(&asked.context).await?.into_iter();
        let of_it = |held: &HeldSignals| {
            let incident = held.hold.notes.get(INCIDENT).map(String::as_str);
            held.hold.kind == HoldKind::Hold && incident == Some(id_of(hold))
        };
        placed.extend(holds.filter(of_it).map(|held| held.hold.id));
        if !placed.is_empty() && !asked.operates {
            return Err(Refusal::ScopeMismatch("the scope obs:admin, to release holds".to_owned()).into());
        }
    }
    let said = [(ENDED_BY, &asked.actor), (RESOLUTION, &order.reason)];
    let said = said.map(|(name, value)| (name.to_owned(), value.clone())).into();
    keeping.storage.end_incident(&asked.context, &hold.id, &said).await?;
    keeping.audit.record(asked.event(Action::IncidentEnded, id_of(hold)).with("reason", &order.reason));
    for id in &placed {
        keeping.storage.release(&asked.context, id).await?;
        keeping.audit.record(asked.event(Action::HoldReleased, id).with(INCIDENT, id_of(hold)));
    }
    Ok(placed)
}

/// `GET /telemetry/incidents/list`: those of 30 days, the newest first.
pub(super) async fn list(
    State(keeping): State<Keeping>,
    request: Request,
) -> Result<Json<Vec<ListedIncident>>, Failure> {
    let asked = Asked::read(request).await?;
    let status = asked.get("status").unwrap_or("all");
    if !["open", "closed", "all"].contains(&status) {
        return Err(Failure::Invalid(format!("status={status:?}: open, closed or all")));
    }
    // What other nodes have begun and ended is known from here on.
    open(&keeping, &asked).await?;
    let (tenant, now_ns) = (asked.context.tenant(), keeping.clock.now().0);
    let known = keeping.storage.incidents(tenant).into_iter().rev();
    let listed = known.map(|held| listed(tenant.as_str(), &held.hold, now_ns));
    Ok(Json(listed.filter(|incident| status == "all" || incident.status == status).collect()))
}

fn listed(tenant: &str, hold: &Hold, now_ns: i64) -> ListedIncident {
    let is_open = hold.is_active(now_ns);
    let note = |name: &str| hold.notes.get(name).filter(|note| !note.is_empty()).cloned();
    ListedIncident {
        id: id_of(hold).to_owned(),
        tenant: tenant.to_owned(),
        status: if is_open { "open" } else { "closed" }.to_owned(),
        began_at: moment(began_ns(hold)),
        until: moment(hold.until_ns.unwrap_or(i64::MAX)),
        began_by: hold.actor.clone(),
        ended_by: note(ENDED_BY),
        reason: hold.reason.clone(),
        resolution: note(RESOLUTION).or_else(|| (!is_open).then(|| OVER.to_owned())),
        severity: note(SEVERITY),
        scope: note(SCOPE),
    }
}

/// Tells of incidents that have ended by themselves, each once whichever node sees it first.
pub(crate) async fn watch(keeping: Keeping) {
    loop {
        tokio::time::sleep(LOOK_PAUSE).await;
        for tenant in keeping.storage.tenants() {
            for held in keeping.storage.incidents(&tenant) {
                let hold = &held.hold;
                if hold.is_active(keeping.clock.now().0) || hold.notes.contains_key(RESOLUTION) {
                    continue;
                }
                let said = [(RESOLUTION.to_owned(), OVER.to_owned())].into();
                match keeping
                    .storage
                    .end_incident(&keeping.gateway.own(tenant.clone()), &hold.id, &said)
                    .await
                {
                    Ok(true) => {
                        let event = Event::new(Action::IncidentEnded).of_tenant(tenant.as_str());
                        keeping.audit.record(event.on(id_of(hold)).with("reason", OVER));
                    }
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(%tenant, %error, "an incident has ended, which is told later");
                    }
                }
            }
        }
    }
}

/// What an incident is called: it may have gone on for longer with another hold.
fn id_of(hold: &Hold) -> &str {
    hold.notes.get(INCIDENT).unwrap_or(&hold.id)
}

/// The id of the incident that a tenant has at this moment.
pub(super) async fn current(keeping: &Keeping, asked: &Asked) -> Result<Option<String>, Failure> {
    Ok(open(keeping, asked).await?.last().map(|held| id_of(&held.hold).to_owned()))
}

/// What is noted of an incident: what is said now, else what was said when it began.
fn notes(order: &IncidentOrder, before: Option<&HeldSignals>) -> BTreeMap<String, String> {
    let mut notes = before.map(|held| held.hold.notes.clone()).unwrap_or_default();
    if let Some(held) = before {
        notes.entry(BEGAN.to_owned()).or_insert_with(|| held.hold.since_ns.to_string());
        notes.entry(INCIDENT.to_owned()).or_insert_with(|| held.hold.id.clone());
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
        id: id_of(hold).to_owned(),
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
        id: Some(id_of(hold).to_owned()),
        set_at: Some(moment(began_ns(hold))),
        expires_at: hold.until_ns.map(moment),
        actor: Some(hold.actor.clone()),
        reason: Some(hold.reason.clone()),
        severity: hold.notes.get(SEVERITY).cloned(),
        scope: hold.notes.get(SCOPE).cloned(),
        report: None,
        released: Vec::new(),
    }
}
