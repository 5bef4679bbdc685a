//! The workspace's own chores: `tidy` (the house rules, checked), `setup` (what the tests need beyond
//! cargo), `test` (everything that must be green), `sim` (the storage engine in simulated worlds), `fuzz` (the fuzz targets) and
//! `bench`. It is not part of the product: nothing here is linked into `stella`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks on its streams")]

mod bench;
mod fuzz;
mod setup;
mod sim;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Chores of this workspace.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Check the house rules: crate edges, file sizes, words, documented paths.
    Tidy,
    /// Install what the tests need beyond cargo: Prometheus, packages of Python and of node. Quick when present.
    Setup,
    /// Run everything that must be green: format, tidy, setup, clippy and all tests.
    Test,
    /// Run the storage engine in simulated worlds, with crashes and faults of every kind, until a promise is broken.
    Sim(sim::Run),
    /// Run the fuzz targets of every parser and decoder that meets bytes of others.
    Fuzz(fuzz::Run),
    /// Measure the release build: every figure of docs/performance.md, in about ten minutes on a quiet machine.
    Bench(bench::Run),
}

fn main() -> ExitCode {
    match fuzz::compile().unwrap_or_else(|| run(&Arguments::parse())) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    match &arguments.chore {
        Chore::Tidy => tidy::run(&workspace),
        Chore::Setup => setup::run(&workspace).map(|_| ExitCode::SUCCESS),
        Chore::Test => test::run(&workspace),
        Chore::Sim(run) => sim::run(&workspace, run),
        Chore::Fuzz(run) => fuzz::run(&workspace, run),
        Chore::Bench(run) => bench::run(&workspace, run),
    }
}
