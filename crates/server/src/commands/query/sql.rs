//! `stella query sql`: a SQL query by the API, as a table, JSON, CSV or a file of Arrow's IPC stream.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

use super::Server;
use crate::commands::table::{table, text};

/// The longest query that is read from a file: more than the server takes.
const MAX_QUERY_BYTES: u64 = 1 << 20;

/// A SQL query over the tables metrics, logs and traces of a tenant.
#[derive(Debug, Args)]
pub struct SqlQuestion {
    /// The query; `-` reads it from standard input.
    #[arg(required_unless_present = "file")]
    pub query: Option<String>,
    /// Read the query from this file.
    #[arg(long, conflicts_with = "query")]
    pub file: Option<PathBuf>,
    /// Whom to ask, and for whom.
    #[command(flatten)]
    pub server: Server,
    /// Only rows from this moment on: RFC 3339 or Unix seconds.
    #[arg(long)]
    pub start: Option<String>,
    /// Only rows until this moment: RFC 3339 or Unix seconds.
    #[arg(long)]
    pub end: Option<String>,
    /// The most rows.
    #[arg(long)]
    pub limit: Option<usize>,
    /// Print the answer's JSON instead of a table.
    #[arg(long, group = "form")]
    pub json: bool,
    /// Print lines of CSV instead of a table.
    #[arg(long, group = "form")]
    pub csv: bool,
    /// Write the answer into this file as Arrow's IPC stream.
    #[arg(long, group = "form", value_name = "FILE")]
    pub arrow: Option<PathBuf>,
}

impl SqlQuestion {
    /// Asks and prints.
    ///
    /// # Errors
    /// When the query or the file for the answer cannot be opened, or the server cannot be reached or refuses.
    pub(super) async fn run(&self) -> anyhow::Result<()> {
        let format = if self.csv {
            "csv"
        } else if self.arrow.is_some() {
            "arrow"
        } else {
            "json"
        };
        let mut parameters = vec![("query", self.text()?), ("format", format.to_owned())];
        for (name, value) in [("start", &self.start), ("end", &self.end)] {
            parameters.extend(value.clone().map(|value| (name, value)));
        }
        parameters.extend(self.limit.map(|limit| ("limit", limit.to_string())));
        let request = self.server.request(reqwest::Method::POST, 9090, "/api/v1/sql")?.form(&parameters);
        match &self.arrow {
            Some(path) => {
                let response = self.server.send(request).await?;
                let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
                written(response, file).await
            }
            None if self.csv || self.json => {
                let response = self.server.send(request).await?;
                written(response, std::io::stdout()).await?;
                if self.json {
                    say!();
                }
                Ok(())
            }
            None => {
                let answer = self.server.text(request).await?;
                let answer: Value = serde_json::from_str(&answer).context("the answer is not JSON")?;
                say!("{}", rows(&answer["data"]));
                for note in answer["warnings"].as_array().into_iter().flatten() {
                    say!("warnings: {}", text(note));
                }
                Ok(())
            }
        }
    }

    fn text(&self) -> anyhow::Result<String> {
        let mut query = String::new();
        match (&self.file, self.query.as_deref()) {
            (Some(path), _) => {
                let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
                file.take(MAX_QUERY_BYTES).read_to_string(&mut query).context("the query is not text")?;
            }
            (None, Some("-")) => {
                let input = std::io::stdin().take(MAX_QUERY_BYTES).read_to_string(&mut query);
                input.context("the query is not text")?;
            }
            (None, Some(text)) => text.clone_into(&mut query),
            (None, None) => bail!("there is no query"),
        }
        Ok(query)
    }
}

/// Passes an answer on as it comes.
async fn written(mut response: reqwest::Response, mut to: impl Write) -> anyhow::Result<()> {
    while let Some(chunk) = response.chunk().await.context("the answer broke off: the query failed")? {
        to.write_all(&chunk)?;
    }
    Ok(to.flush()?)
}

/// Columns and rows as a table.
fn rows(data: &Value) -> comfy_table::Table {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let names: Vec<String> = list(&data["columns"]).iter().map(|column| text(&column["name"])).collect();
    let mut table = table(&names.iter().map(String::as_str).collect::<Vec<_>>());
    table.add_rows(list(&data["rows"]).iter().map(|row| list(row).iter().map(text).collect::<Vec<_>>()));
    table
}
