//! `stella incident`: incident mode of a tenant, on a running server.

use clap::{Args, Subcommand};
use reqwest::Method;

use super::query::Server;
use crate::keeping::{DEFAULT_TTL, INCIDENT_LIST, INCIDENTS, IncidentAnswer, IncidentOrder, ListedIncident};

/// The port of the API where no server is named: that of Prometheus.
const PORT: u16 = 9090;

/// Incident mode of a tenant.
#[derive(Debug, Args)]
pub struct Incident {
    /// What to do.
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Begin, or go on for longer: nothing of the tenant goes until it ends.
    Start(Start),
    /// End it: what was due goes.
    End(End),
    /// Show whether it is on.
    Status(Status),
    /// Show the incidents of the last 30 days, the newest first.
    List(List),
}

#[derive(Debug, Args)]
struct Start {
    /// How long it lasts.
    #[arg(long, default_value = DEFAULT_TTL)]
    ttl: String,
    /// Why.
    #[arg(long, alias = "description")]
    reason: String,
    /// How bad it is.
    #[arg(long)]
    severity: Option<String>,
    /// What it is about.
    #[arg(long)]
    scope: Option<String>,
    #[command(flatten)]
    asked: Status,
}

#[derive(Debug, Args)]
struct End {
    /// How it ended.
    #[arg(long, default_value = "")]
    resolution: String,
    /// Print what there is to tell of it, as JSON.
    #[arg(long, alias = "generate-report")]
    report: bool,
    /// Release the holds that were placed while it lasted; that needs the scope for holds.
    #[arg(long)]
    release_holds: bool,
    #[command(flatten)]
    asked: Status,
}

#[derive(Debug, Args)]
struct List {
    /// Which: `open`, `closed` or `all`.
    #[arg(long, default_value = "all", value_parser = ["open", "closed", "all"])]
    status: String,
    #[command(flatten)]
    asked: Status,
}

#[derive(Debug, Args)]
struct Status {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

impl Incident {
    /// Asks the server and prints what holds now.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses; the error has its words.
    pub fn run(&self) -> anyhow::Result<()> {
        match &self.what {
            What::Start(Start { ttl, reason, severity, scope, asked }) => {
                let (ttl, reason) = (Some(ttl.clone()), reason.clone());
                let (severity, scope) = (severity.clone(), scope.clone());
                asked.order(&IncidentOrder {
                    enabled: true,
                    ttl,
                    reason,
                    severity,
                    scope,
                    ..Default::default()
                })
            }
            What::End(End { resolution, report, release_holds, asked }) => {
                let (report, release_holds) = (*report, *release_holds);
                let reason = resolution.clone();
                asked.order(&IncidentOrder { reason, report, release_holds, ..Default::default() })
            }
            What::Status(asked) => {
                let text = asked.ask(asked.server.request(Method::GET, PORT, INCIDENTS)?)?;
                tell(&text, asked.json)
            }
            What::List(List { status, asked }) => {
                let request = asked.server.request(Method::GET, PORT, INCIDENT_LIST)?;
                let text = asked.ask(request.query(&[("status", status)]))?;
                tell_all(&text, asked.json)
            }
        }
    }
}

impl Status {
    fn ask(&self, request: reqwest::RequestBuilder) -> anyhow::Result<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.server.text(request))
    }

    fn order(&self, order: &IncidentOrder) -> anyhow::Result<()> {
        let text = self.ask(self.server.request(Method::POST, PORT, INCIDENTS)?.json(order))?;
        tell(&text, self.json)
    }
}

fn tell_all(text: &str, as_json: bool) -> anyhow::Result<()> {
    let all: Vec<ListedIncident> = serde_json::from_str(text)?;
    if as_json {
        say!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    for incident in all {
        say!(
            "{} {} from={} until={} actor={} severity={} reason={:?} resolution={:?}",
            incident.id,
            incident.status,
            incident.began_at,
            incident.until,
            incident.began_by,
            incident.severity.unwrap_or_else(|| "none".to_owned()),
            incident.reason,
            incident.resolution.unwrap_or_default(),
        );
    }
    Ok(())
}

fn tell(text: &str, as_json: bool) -> anyhow::Result<()> {
    let answer: IncidentAnswer = serde_json::from_str(text)?;
    if as_json {
        say!("{}", serde_json::to_string_pretty(&answer)?);
    } else if let Some(report) = &answer.report {
        say!("{}", serde_json::to_string_pretty(report)?);
    } else if answer.enabled {
        say!(
            "incident mode is on: tenant={} until={} since={} actor={} severity={} reason={:?}",
            answer.tenant,
            answer.expires_at.unwrap_or_default(),
            answer.set_at.unwrap_or_default(),
            answer.actor.unwrap_or_default(),
            answer.severity.unwrap_or_else(|| "none".to_owned()),
            answer.reason.unwrap_or_default(),
        );
    } else {
        say!("incident mode is off: tenant={}", answer.tenant);
    }
    Ok(())
}
