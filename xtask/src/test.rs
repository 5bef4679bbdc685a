//! `cargo xtask test`: the steps that must be green, the quick ones first. The first step that fails ends
//! it with that step's exit code.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::Context;

use crate::setup::{self, Tools};
use crate::tidy;
use crate::workspace::Workspace;

/// Runs format check, tidy, setup, clippy and all tests.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<ExitCode> {
    if let Some(code) = cargo(workspace, &["fmt", "--all", "--check"], None)? {
        return Ok(code);
    }
    announce("tidy");
    let tidy = tidy::run(workspace)?;
    if tidy != ExitCode::SUCCESS {
        return Ok(tidy);
    }
    announce("setup");
    let tools = setup::run(workspace)?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    for step in [clippy.as_slice(), &["test", "--workspace"]] {
        if let Some(code) = cargo(workspace, step, Some(&tools))? {
            return Ok(code);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn announce(step: &str) {
    println!("==> {step}");
}

/// Runs one cargo step; `Some` is the exit code of a step that failed.
fn cargo(
    workspace: &Workspace,
    arguments: &[&str],
    tools: Option<&Tools>,
) -> anyhow::Result<Option<ExitCode>> {
    announce(&format!("cargo {}", arguments.join(" ")));
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&workspace.root);
    if let Some(tools) = tools {
        command
            .env("STELLA_TEST_PYTHON", &tools.python)
            .env("STELLA_TEST_PROMETHEUS", &tools.prometheus)
            .env("STELLA_TEST_PROMTOOL", &tools.promtool)
            .env("STELLA_TEST_NODE_MODULES", &tools.node_modules);
        if let Some(folders) = promql_scripts(workspace)? {
            command.env("PROMQLTEST_DIRS", folders);
        }
    }
    let status = command.status().context("cargo could not be started")?;
    if status.success() {
        return Ok(None);
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    eprintln!("error: `cargo {}` failed with exit code {code}", arguments.join(" "));
    Ok(Some(ExitCode::from(code)))
}

/// What `PROMQLTEST_DIRS` already names, then the scripts that may lie beside the project; `None` when there
/// are neither.
fn promql_scripts(workspace: &Workspace) -> anyhow::Result<Option<OsString>> {
    let mut folders: Vec<PathBuf> = match env::var_os("PROMQLTEST_DIRS") {
        Some(set) if !set.is_empty() => env::split_paths(&set).collect(),
        _ => Vec::new(),
    };
    let beside = workspace.path("../shared/testdata/promqltest");
    if beside.is_dir() && !folders.contains(&beside) {
        folders.push(beside);
    }
    if folders.is_empty() {
        return Ok(None);
    }
    env::join_paths(folders).map(Some).context("a folder in PROMQLTEST_DIRS has a separator in its name")
}
