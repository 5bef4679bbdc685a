//! `cargo xtask sim`: the simulation of the storage engine for as long as one likes. It runs the same test as
//! `cargo test`, world after world, and stops at the first promise that is broken; what it prints says how to see that
//! one again.

use std::env;
use std::process::{Command, ExitCode};

use anyhow::Context;
use clap::Args;

use crate::workspace::Workspace;

/// The test that runs the worlds.
const TEST: &str = "sim::what_was_promised_holds_in_every_world";

/// Which worlds, and how far.
#[derive(Args)]
pub(crate) struct Run {
    /// The seed of the first world; the next has the next seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Steps of all worlds together.
    #[arg(long, default_value_t = 100_000)]
    steps: u64,
    /// Build optimised: some ten times as fast, after a longer build.
    #[arg(long)]
    release: bool,
    /// Print every event.
    #[arg(long)]
    trace: bool,
}

/// Runs the test with the worlds that were asked for; its exit code is the test's.
pub(crate) fn run(workspace: &Workspace, run: &Run) -> anyhow::Result<ExitCode> {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(&workspace.root).args(["test", "--package", "stella-storage", "--test", "it"]);
    if run.release {
        command.arg("--release");
    }
    command.args(["--", "--exact", TEST, "--nocapture"]);
    command
        .env("STELLA_SIM_SEED", run.seed.to_string())
        .env("STELLA_SIM_STEPS", run.steps.to_string())
        .env("RUST_BACKTRACE", "0");
    if run.trace {
        command.env("STELLA_SIM_TRACE", "1");
    }
    let status = command.status().context("cargo could not be started")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}
