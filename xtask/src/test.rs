//! `cargo xtask test`: the steps that must be green, the quick ones first. The first step that fails ends
//! it with that step's exit code.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;
use cargo_metadata::Message;

use crate::setup::{self, Tools};
use crate::tidy;
use crate::workspace::Workspace;

/// Runs format check, tidy, setup, clippy and all tests; the end-to-end tests a second time with their objects in a
/// bucket.
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
    // Everything that fails is told at once.
    let test = ["test", "--workspace", "--no-fail-fast"];
    for step in [clippy.as_slice(), &test] {
        if let Some(code) = cargo(workspace, step, Some(&tools))? {
            return Ok(code);
        }
    }
    Ok(on_bucket(workspace, &tools)?.unwrap_or(ExitCode::SUCCESS))
}

/// Runs the server's tests with their objects in a bucket. Cargo would build much again for the tests of one package
/// alone, so the binary is the one that was just run.
fn on_bucket(workspace: &Workspace, tools: &Tools) -> anyhow::Result<Option<ExitCode>> {
    announce("the end-to-end tests on a bucket");
    let mut build =
        command(workspace, &["test", "--workspace", "--no-run", "--message-format=json"], Some(tools))?;
    let built = build.stderr(Stdio::inherit()).output().context("cargo could not be started")?;
    let folder = workspace.path("crates/server");
    let executable =
        Message::parse_stream(built.stdout.as_slice()).filter_map(Result::ok).find_map(|message| {
            let Message::CompilerArtifact(artifact) = message else { return None };
            let is_ours = artifact.target.name == "it" && artifact.manifest_path.starts_with(&folder);
            artifact.executable.filter(|_| is_ours)
        });
    let executable = executable.context("cargo does not say where the end-to-end tests are")?;
    let mut tests = Command::new(executable);
    with_tools(&mut tests, tools).env("STELLA_TEST_STORE", "s3").current_dir(folder);
    finish(&mut tests, "the end-to-end tests on a bucket")
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
    let step = format!("cargo {}", arguments.join(" "));
    announce(&step);
    finish(&mut command(workspace, arguments, tools)?, &format!("`{step}`"))
}

fn command(workspace: &Workspace, arguments: &[&str], tools: Option<&Tools>) -> anyhow::Result<Command> {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&workspace.root);
    if let Some(tools) = tools {
        with_tools(&mut command, tools);
        if let Some(folders) = promql_scripts(workspace)? {
            command.env("PROMQLTEST_DIRS", folders);
        }
    }
    Ok(command)
}

fn with_tools<'a>(command: &'a mut Command, tools: &Tools) -> &'a mut Command {
    command
        .env("STELLA_TEST_PYTHON", &tools.python)
        .env("STELLA_TEST_PROMETHEUS", &tools.prometheus)
        .env("STELLA_TEST_PROMTOOL", &tools.promtool)
        .env("STELLA_TEST_NODE_MODULES", &tools.node_modules)
}

/// Runs a step to its end; `Some` is the exit code of one that failed.
fn finish(command: &mut Command, step: &str) -> anyhow::Result<Option<ExitCode>> {
    let status = command.status().with_context(|| format!("{step} could not be started"))?;
    if status.success() {
        return Ok(None);
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    eprintln!("error: {step} failed with exit code {code}");
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
