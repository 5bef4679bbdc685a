//! `stella retention`: what goes when, what may not go, and the proof that what is to go goes; on a running server.

mod prove;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::query::Server;
use super::table::table;
use crate::keeping::{HOLDS, HoldAnswer, HoldOrder, PLAN, PLAN_ALL, PlanAnswer, RUN, RUN_ALL, RunAnswer};
use prove::Prove;

/// The port of the API where no server is named: that of Prometheus.
const PORT: u16 = 9090;

/// What goes when, what may not go, and the proof that what is to go goes.
#[derive(Debug, Args)]
pub struct Retention {
    /// What to do.
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show what goes when, and why; of all tenants where none is named. Nothing is changed.
    Plan(Plain),
    /// Do now what is due, also what a shortened period lets go; for all tenants where none is named.
    Run(Plain),
    /// Send samples of the three signals that expire soon, and show that they are gone then: no query gives them out and no
    /// object has them. Fails where one does.
    Prove(Prove),
    /// Holds: what may not go.
    #[command(subcommand)]
    Hold(HoldAction),
}

#[derive(Debug, Args)]
struct Plain {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Subcommand)]
enum HoldAction {
    /// Hold what a tenant has, or some of it, until it is released.
    Add(AddHold),
    /// Show what is held.
    List(Plain),
    /// Let go of a hold: what was due goes.
    Release(Release),
}

#[derive(Debug, Args)]
struct AddHold {
    /// Why.
    #[arg(long)]
    reason: String,
    /// Of which signal, repeated or separated by commas; of all where none is named.
    #[arg(long = "signal", value_delimiter = ',')]
    signals: Vec<String>,
    /// What of it, as `{app="web"}`. Of spans the names are `name`, `resource.<key>` and `span.<key>`.
    #[arg(long)]
    selector: Option<String>,
    /// The first moment, as `2026-01-31T00:00:00Z`.
    #[arg(long)]
    start: Option<String>,
    /// The last moment.
    #[arg(long)]
    end: Option<String>,
    #[command(flatten)]
    plain: Plain,
}

#[derive(Debug, Args)]
struct Release {
    /// The id of the hold.
    id: String,
    #[command(flatten)]
    plain: Plain,
}

impl Retention {
    /// Asks the server and prints its answer.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses, or the proof fails.
    pub fn run(&self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            match &self.what {
                What::Plan(plain) => plan(plain).await,
                What::Run(plain) => run(plain).await,
                What::Prove(prove) => prove.run().await,
                What::Hold(HoldAction::Add(add)) => add_hold(add).await,
                What::Hold(HoldAction::List(plain)) => {
                    let holds: Vec<HoldAnswer> = ask(&plain.server, Method::GET, HOLDS).await?;
                    show(&holds, plain.json, || holds_table(&holds))
                }
                What::Hold(HoldAction::Release(release)) => {
                    let path = format!("{HOLDS}/{}", release.id);
                    let server = &release.plain.server;
                    server.text(server.request(Method::DELETE, PORT, &path)?).await?;
                    Ok(())
                }
            }
        })
    }
}

/// The answer of the server, as JSON.
async fn ask<T: DeserializeOwned>(server: &Server, method: Method, path: &str) -> anyhow::Result<T> {
    let text = server.text(server.request(method, PORT, path)?).await?;
    Ok(serde_json::from_str(&text)?)
}

async fn plan(plain: &Plain) -> anyhow::Result<()> {
    let plans: Vec<PlanAnswer> = match plain.server.tenant {
        Some(_) => vec![ask(&plain.server, Method::GET, PLAN).await?],
        None => ask(&plain.server, Method::GET, PLAN_ALL).await?,
    };
    show(&plans, plain.json, || plan_text(&plans))
}

async fn run(plain: &Plain) -> anyhow::Result<()> {
    let path = if plain.server.tenant.is_some() { RUN } else { RUN_ALL };
    let done: RunAnswer = ask(&plain.server, Method::POST, path).await?;
    show(&done, plain.json, || {
        format!(
            "segments expired: {}, rewritten: {}; objects deleted: {} ({} bytes); bytes that nothing names any more and that \
             stay for the grace: {}",
            done.segments_expired,
            done.segments_rewritten,
            done.objects_deleted,
            done.bytes_deleted,
            done.expired_bytes_present
        )
    })
}

async fn add_hold(add: &AddHold) -> anyhow::Result<()> {
    let order = HoldOrder {
        signals: add.signals.clone(),
        selector: add.selector.clone(),
        start: add.start.clone(),
        end: add.end.clone(),
        reason: add.reason.clone(),
    };
    let server = &add.plain.server;
    let text = server.text(server.request(Method::POST, PORT, HOLDS)?.json(&order)).await?;
    let hold: HoldAnswer = serde_json::from_str(&text)?;
    show(&hold, add.plain.json, || hold.id.clone())
}

fn show(answer: &impl Serialize, as_json: bool, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    say!("{}", if as_json { serde_json::to_string_pretty(answer)? } else { text() });
    Ok(())
}

fn holds_table(holds: &[HoldAnswer]) -> String {
    let mut table = table(&["id", "kind", "signals", "what", "until", "actor", "reason"]);
    table.add_rows(holds.iter().map(|hold| {
        let what = hold.selector.clone().unwrap_or_else(|| "everything".to_owned());
        let range = match (&hold.start, &hold.end) {
            (None, None) => String::new(),
            (start, end) => {
                let [start, end] =
                    [start, end].map(|moment| moment.clone().unwrap_or_else(|| "…".to_owned()));
                format!(" {start} – {end}")
            }
        };
        let until = hold.until.clone().unwrap_or_else(|| "released".to_owned());
        [
            hold.id.clone(),
            hold.kind.clone(),
            hold.signals.join(", "),
            what + &range,
            until,
            hold.actor.clone(),
            hold.reason.clone(),
        ]
    }));
    table.to_string()
}

fn plan_text(plans: &[PlanAnswer]) -> String {
    let mut text = String::new();
    for plan in plans {
        for signal in &plan.signals {
            let period = signal.period.as_deref().unwrap_or("for ever");
            text.push_str(&format!(
                "tenant {} · {}: kept {period} (from {})\n",
                plan.tenant, signal.signal, signal.from
            ));
            let rules_from = signal.rules_from.as_deref().unwrap_or_default();
            let rules = signal.rules.iter().map(|rule| format!("  rule      {rule} (from {rules_from})\n"));
            let next = signal.next.iter().map(|next| format!("  shorter   {next}\n"));
            let holds =
                signal.holds.iter().map(|hold| format!("  {:<9} {} {}\n", hold.kind, hold.id, hold.reason));
            let deletions = signal.deletions.iter().map(|deletion| format!("  deletion  {deletion}\n"));
            text.extend(rules.chain(next).chain(holds).chain(deletions));
            if signal.days.is_empty() {
                text.push_str("  nothing is in the store\n\n");
                continue;
            }
            let mut table = table(&["day", "segments", "rows", "bytes", "goes", "why"]);
            table.add_rows(signal.days.iter().map(|day| {
                let goes = day.goes.clone().unwrap_or_else(|| "stays".to_owned());
                let [segments, rows, bytes] =
                    [day.segments as u64, day.rows, day.bytes].map(|number| number.to_string());
                [day.day.clone(), segments, rows, bytes, goes, day.why.clone()]
            }));
            text.push_str(&format!("{table}\n\n"));
        }
    }
    text.trim_end().to_owned()
}
