//! `stella tenant`: which limits hold for a tenant, and where each comes from.

use std::path::Path;

use anyhow::Context;
use clap::{Args, Subcommand};
use model::{Signal, TenantId};

use super::config::Place;
use super::table::table;
use crate::config::yaml::{self, Node, Value};
use crate::overrides::{self, Explained, Origin};

/// The limits of tenants.
#[derive(Clone, Debug, Args)]
pub struct Tenant {
    /// What to do.
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Show every limit of a tenant with the file and line that it comes from.
    Show(Show),
}

#[derive(Clone, Debug, Args)]
struct Show {
    /// The tenant.
    name: String,
    #[command(flatten)]
    place: Place,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Tenant {
    /// Reads the files and prints the limits.
    ///
    /// # Errors
    /// When the name is no tenant's, or a file cannot be used.
    pub fn run(&self) -> anyhow::Result<()> {
        let What::Show(show) = &self.what;
        let tenant = TenantId::parse(&show.name).with_context(|| format!("tenant={:?}", show.name))?;
        let config = show.place.read()?;
        let path = show.place.file();
        let root = match path {
            Some(path) => yaml::parse(&std::fs::read_to_string(path)?)?,
            None => Node { line: 0, value: Value::Null },
        };
        let origin = |signal, key: &str| of_config(path, &root, signal, key);
        let folder = show.place.tenants(&config);
        let limits = overrides::explain(&folder, &config.limits(), &tenant, origin)?;
        tell(&tenant, &limits, show.json)
    }
}

/// Where in `stella.yaml` a limit comes from that no override sets.
fn of_config(path: Option<&Path>, root: &Node, signal: Signal, key: &str) -> Origin {
    let place = match key {
        "retention_period" | "compaction.block_retention" => format!("retention.{signal}"),
        "query_timeout" => "query.timeout".to_owned(),
        _ => return Origin::Default,
    };
    match (path, root.find(&place)) {
        (Some(path), Some(entry)) => Origin::File { path: path.to_owned(), line: entry.line },
        _ => Origin::Default,
    }
}

fn tell(tenant: &TenantId, limits: &[Explained], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let answer = serde_json::json!({ "tenant": tenant.as_str(), "limits": limits });
        say!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    let rows = limits.iter().map(|limit| {
        let origin = match &limit.origin {
            Origin::Default => "default".to_owned(),
            Origin::File { path, line } => format!("{}:{line}", path.display()),
        };
        [limit.signal, limit.key, &limit.value, &origin, limit.about].map(str::to_owned)
    });
    let mut table = table(&["signal", "limit", "value", "from", "meaning"]);
    table.add_rows(rows);
    say!("{table}");
    Ok(())
}
