//! `stella incident`: incident mode of a tenant, on a running server.

use clap::{Args, Subcommand};
use reqwest::Method;

use super::query::Server;
use crate::keeping::{DEFAULT_TTL, INCIDENTS, IncidentAnswer, IncidentOrder};

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
        let (asked, order) = match &self.what {
            What::Start(start) => {
                let (ttl, reason) = (Some(start.ttl.clone()), start.reason.clone());
                let (severity, scope) = (start.severity.clone(), start.scope.clone());
                (
                    &start.asked,
                    Some(IncidentOrder { enabled: true, ttl, reason, severity, scope, report: false }),
                )
            }
            What::End(end) => {
                let reason = end.resolution.clone();
                (&end.asked, Some(IncidentOrder { reason, report: end.report, ..IncidentOrder::default() }))
            }
            What::Status(asked) => (asked, None),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let text = runtime.block_on(async {
            let request = match &order {
                Some(order) => asked.server.request(Method::POST, PORT, INCIDENTS)?.json(order),
                None => asked.server.request(Method::GET, PORT, INCIDENTS)?,
            };
            asked.server.text(request).await
        })?;
        tell(&text, asked.json)
    }
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
