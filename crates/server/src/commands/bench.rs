//! `stella bench`: loads a running server with telemetry that it makes itself, asks it questions, and reports what that
//! cost. It is another process than the server, and what it costs itself is told apart.

mod generate;

mod client;

mod observe;

mod load;

mod check;

mod ingest;

mod questions;

mod query;

mod report;

use clap::{Args, Subcommand};

/// Measure a running server.
#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure.
    #[command(subcommand)]
    pub what: What,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Send telemetry of a cluster that does not exist, and report what taking it cost.
    Ingest(Box<ingest::Ingest>),
    /// Ask every kind of question of what was sent, and report how long answers take.
    Query(Box<query::QueryBench>),
}

impl Bench {
    /// Measures and prints the report.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or does not have what it acknowledged.
    pub fn run(&self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        match &self.what {
            What::Ingest(ingest) => runtime.block_on(ingest.run()),
            What::Query(query) => runtime.block_on(query.run()),
        }
    }
}
