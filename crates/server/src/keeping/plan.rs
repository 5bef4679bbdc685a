//! The plan of retention, and doing now what is due.

use axum::Json;
use axum::extract::{Request, State};
use model::audit::{Action, Event};
use model::tenant::{Access, Refusal};
use model::{Matcher, Signal, TenantContext, TenantId, TimeRange};
use security::authority::ANY_TENANT;
use security::gateway::Sight;
use security::token::Tenants;
use serde::{Deserialize, Serialize};
use storage::AtOnce;
use storage::expiry::{DayExpiry, SignalExpiry};
use storage::hold::HeldSignals;
use storage::manifest::keeping::{Policy, selector};

use super::asked::{Asked, Failure};
use super::holds::{HoldAnswer, moment};
use super::{Keeping, Origins};
use crate::overrides::{self, Origin};

/// What goes when of a tenant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanAnswer {
    /// The tenant.
    pub tenant: String,
    /// RFC 3339: the moment of the plan.
    pub now: String,
    /// A signal each.
    pub signals: Vec<PlannedSignal>,
}

/// What goes when of a signal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlannedSignal {
    /// `metrics`, `logs` or `traces`.
    pub signal: String,
    /// The period in force; left out for ever.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub period: Option<String>,
    /// The period in seconds; left out for ever.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub period_s: Option<f64>,
    /// How old what is sent may be, in seconds; left out where it may be of any age.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub oldest_taken_s: Option<f64>,
    /// Where it comes from: a file with its line, or `default`.
    pub from: String,
    /// Selectors with periods of their own, by falling priority.
    pub rules: Vec<String>,
    /// Where these come from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rules_from: Option<String>,
    /// What keeps less and acts later, and when.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
    /// What may not go.
    pub holds: Vec<HoldAnswer>,
    /// Deletions that are not worked off.
    pub deletions: Vec<String>,
    /// What there is, by day.
    pub days: Vec<PlannedDay>,
    /// What is in memory and in no segment yet.
    pub head_bytes: usize,
}

/// The segments of a day.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlannedDay {
    /// `yyyy-mm-dd`.
    pub day: String,
    /// How many.
    pub segments: usize,
    /// Their rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// RFC 3339: when the last of it goes; left out for never.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub goes: Option<String>,
    /// Why then.
    pub why: String,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RunAnswer {
    /// Segments taken out of manifests.
    pub segments_expired: usize,
    /// Segments rewritten without what may not be seen.
    pub segments_rewritten: usize,
    /// Objects deleted.
    pub objects_deleted: usize,
    /// Their bytes.
    pub bytes_deleted: u64,
    /// Bytes that nothing names and that stay for the grace.
    pub expired_bytes_present: u64,
}

/// What the objects of the store have.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredAnswer {
    /// Rows that were looked for.
    pub rows: usize,
    /// The segments that were looked into.
    pub segments: Vec<String>,
    /// Rows that were looked for, in files of the node's log.
    #[serde(default)]
    pub log_rows: usize,
    /// These files.
    #[serde(default)]
    pub log_files: Vec<u64>,
}

/// `GET /telemetry/retention/plan`.
pub(super) async fn of_tenant(
    State(keeping): State<Keeping>,
    request: Request,
) -> Result<Json<PlanAnswer>, Failure> {
    let asked = Asked::read(request).await?;
    Ok(Json(plan(&keeping, &asked.context).await?))
}

/// `GET /telemetry/retention/plan/all`.
pub(super) async fn of_all(
    State(keeping): State<Keeping>,
    request: Request,
) -> Result<Json<Vec<PlanAnswer>>, Failure> {
    let seen = operated(&request)?;
    let mut all = Vec::new();
    for tenant in keeping.storage.tenants().into_iter().filter(|tenant| seen.allow(tenant.as_str())) {
        all.push(plan(&keeping, &keeping.gateway.own(tenant)).await?);
    }
    Ok(Json(all))
}

/// `POST /telemetry/retention/run`.
pub(super) async fn run(
    State(keeping): State<Keeping>,
    request: Request,
) -> Result<Json<RunAnswer>, Failure> {
    let asked = Asked::read(request).await?;
    let tenant = asked.context.tenant();
    tracing::info!(%tenant, actor = asked.actor, "retention runs on request");
    run_for(&keeping, &AtOnce::Tenant(tenant.clone()), asked.event(Action::RetentionRun, tenant.as_str()))
        .await
}

/// `POST /telemetry/retention/run/all`.
pub(super) async fn run_all(
    State(keeping): State<Keeping>,
    request: Request,
) -> Result<Json<RunAnswer>, Failure> {
    let access = request.extensions().get::<Access>();
    let actor = access.and_then(Access::name).unwrap_or("local").to_owned();
    tracing::info!(actor, "retention of all tenants runs on request");
    let event = Event::new(Action::RetentionRun).by(actor).on(ANY_TENANT);
    run_for(&keeping, &AtOnce::Everybody, event).await
}

/// The tenants that a caller operates.
fn operated(request: &Request) -> Result<Tenants, Failure> {
    match request.extensions().get::<Sight>() {
        Some(Sight { operates: true, tenants, .. }) => Ok(tenants.clone()),
        _ => Err(Refusal::ScopeMismatch("the scope obs:admin".to_owned()).into()),
    }
}

async fn run_for(keeping: &Keeping, at_once: &AtOnce, event: Event) -> Result<Json<RunAnswer>, Failure> {
    let report = keeping.storage.retain_at_once(at_once).await?;
    let event = event.with("segments_expired", report.segments_expired.to_string());
    let event = event.with("segments_rewritten", report.segments_rewritten.to_string());
    keeping.audit.record(event.with("objects_deleted", report.objects_deleted.to_string()));
    Ok(Json(RunAnswer {
        segments_expired: report.segments_expired,
        segments_rewritten: report.segments_rewritten,
        objects_deleted: report.objects_deleted,
        bytes_deleted: report.bytes_deleted,
        expired_bytes_present: report.expired_bytes_present,
    }))
}

/// `GET /telemetry/retention/stored`: `signal`, `time_ns`, and `label` with `value`, or `trace_id`.
pub(super) async fn stored(
    State(keeping): State<Keeping>,
    request: Request,
) -> Result<Json<StoredAnswer>, Failure> {
    let asked = Asked::read(request).await?;
    let wrong = |name: &str| Failure::Invalid(format!("parameter {name} is missing or not what it must be"));
    let signal = Signal::ALL.into_iter().find(|signal| Some(signal.as_str()) == asked.get("signal"));
    let signal = signal.ok_or_else(|| wrong("signal"))?;
    let time_ns: Option<i64> = asked.get("time_ns").and_then(|text| text.parse().ok());
    let time_ns = time_ns.ok_or_else(|| wrong("time_ns"))?;
    let trace_id = asked.get("trace_id").and_then(|text| hex::decode(text).ok());
    let trace_id = trace_id.and_then(|bytes| bytes.try_into().ok());
    let label = asked.get("label").zip(asked.get("value"));
    let matchers: Vec<Matcher> = label.into_iter().map(|(name, value)| Matcher::equal(name, value)).collect();
    if matchers.is_empty() && trace_id.is_none() {
        return Err(wrong("label or trace_id"));
    }
    let range = TimeRange::new(time_ns, time_ns);
    let stored = keeping.storage.stored(&asked.context, signal, &matchers, trace_id, range).await?;
    Ok(Json(StoredAnswer {
        rows: stored.rows,
        segments: stored.segments,
        log_rows: stored.log_rows,
        log_files: stored.log_files,
    }))
}

async fn plan(keeping: &Keeping, ctx: &TenantContext) -> Result<PlanAnswer, Failure> {
    let tenant = ctx.tenant();
    let expiry = keeping.storage.expiry(ctx).await?;
    let origins = keeping.origins.of(tenant);
    let planned = |expiry: &SignalExpiry| PlannedSignal {
        oldest_taken_s: ctx.limits().intake(expiry.signal).reject_older_than_ns.map(|ns| ns as f64 / 1e9),
        ..planned(tenant, expiry, &origins)
    };
    let signals = expiry.iter().map(planned).collect();
    Ok(PlanAnswer { tenant: tenant.as_str().to_owned(), now: moment(keeping.clock.now().0), signals })
}

/// Where the period of a signal comes from, and where the rules do.
type PeriodOrigins = Vec<(Signal, bool, String)>;

impl Origins {
    /// The files and lines of a tenant's periods.
    fn of(&self, tenant: &TenantId) -> PeriodOrigins {
        let explained = self.overrides.explain(tenant);
        let periods = explained.into_iter().filter_map(|limit| {
            let signal = Signal::ALL.into_iter().find(|signal| signal.as_str() == limit.signal)?;
            let is_rule = limit.key.ends_with("retention_stream");
            let is_period = matches!(limit.key, "retention_period" | "compaction.block_retention");
            let from = match limit.origin {
                Origin::File { path, line } => format!("{}:{line}", path.display()),
                Origin::Default => "stella.yaml or its default".to_owned(),
            };
            (is_period || is_rule).then_some((signal, is_rule, from))
        });
        periods.collect()
    }
}

fn planned(tenant: &TenantId, expiry: &SignalExpiry, origins: &PeriodOrigins) -> PlannedSignal {
    let from = |of_rules: bool| {
        let mut of_signal = origins.iter().filter(|(signal, ..)| *signal == expiry.signal);
        of_signal.find(|(_, is_rule, _)| *is_rule == of_rules).map(|(.., from)| from.clone())
    };
    let day = |day: DayExpiry| {
        let why = match (&day.held_by, day.goes_ns) {
            (Some(id), _) => format!("held by {id}"),
            (None, None) => "kept for ever".to_owned(),
            (None, Some(_)) if expiry.policy.rules.is_empty() => "its period is over then".to_owned(),
            (None, Some(_)) => "the longest of its periods is over then".to_owned(),
        };
        let goes = day.goes_ns.filter(|_| day.held_by.is_none()).map(moment);
        PlannedDay { day: day.day, segments: day.segments, rows: day.rows, bytes: day.bytes, goes, why }
    };
    let deletions = expiry.deletions.iter();
    PlannedSignal {
        signal: expiry.signal.as_str().to_owned(),
        period: expiry.policy.kept_ns.map(spell),
        period_s: expiry.policy.kept_ns.map(|ns| ns as f64 / 1e9),
        oldest_taken_s: None,
        from: from(false).unwrap_or_else(|| "unknown".to_owned()),
        rules: rules(&expiry.policy),
        rules_from: from(true).filter(|_| !expiry.policy.rules.is_empty()),
        next: expiry.next.as_ref().map(|next| {
            let period = next.policy.kept_ns.map_or_else(|| "for ever".to_owned(), spell);
            let rules = rules(&next.policy);
            let rules = if rules.is_empty() { String::new() } else { format!(", {}", rules.join(", ")) };
            format!("{period}{rules} from {} on, or with a run", moment(next.from_ns))
        }),
        holds: expiry
            .holds
            .iter()
            .map(|hold| {
                let held = HeldSignals { hold: hold.clone(), signals: vec![expiry.signal] };
                HoldAnswer::of(tenant.as_str(), &held)
            })
            .collect(),
        deletions: deletions
            .map(|deletion| {
                let what = format!("{} {} by {}", deletion.id, deletion.query, deletion.actor);
                match deletion.due_ns {
                    i64::MAX => format!("{what}, a filter alone: deletion_mode was filter-only"),
                    due_ns => format!("{what}, rewritten from {} on", moment(due_ns)),
                }
            })
            .collect(),
        days: expiry.days.clone().into_iter().map(day).collect(),
        head_bytes: expiry.head_bytes,
    }
}

fn rules(policy: &Policy) -> Vec<String> {
    let rule = |rule: &storage::manifest::keeping::PolicyRule| {
        let period = rule.kept_ns.map_or_else(|| "for ever".to_owned(), spell);
        format!("{} {period} (priority {})", selector(&rule.conditions), rule.priority)
    };
    policy.rules.iter().map(rule).collect()
}

/// A period as configuration writes it.
fn spell(ns: i64) -> String {
    overrides::spell_duration(ns)
}
