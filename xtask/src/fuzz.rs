//! `cargo xtask fuzz`: the fuzz targets, one after the other, for some seconds each. Our crates are compiled with the
//! coverage that libFuzzer steers by, which the stable compiler can do; the libraries are those of every other build.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context;
use clap::Args;

use crate::workspace::Workspace;

/// Set for the compilers of a fuzz build: this program stands before `rustc` then, and adds [`COVERAGE`].
const AS_COMPILER: &str = "XTASK_FUZZ_COMPILER";
/// What makes a crate tell libFuzzer which edges were taken and what was compared with what.
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Copt-level=1",
];

/// Which targets, and for how long.
#[derive(Args)]
pub(crate) struct Run {
    /// The targets, by the names of their files in `fuzz/targets`; all of them without one.
    targets: Vec<String>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// Builds the targets and runs each from the inputs that earlier runs found, which are kept under the target folder. The
/// first target that fails ends it; libFuzzer prints where the input lies that shows the failure.
pub(crate) fn run(workspace: &Workspace, run: &Run) -> anyhow::Result<ExitCode> {
    let known = targets(workspace)?;
    if let Some(unknown) = run.targets.iter().find(|name| !known.contains(name)) {
        anyhow::bail!("no fuzz target has the name {unknown:?}: there are {}", known.join(", "));
    }
    let chosen = if run.targets.is_empty() { &known } else { &run.targets };
    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.current_dir(&workspace.root).args(["build", "--package", "stella-fuzz", "--features", "libfuzzer"]);
    for target in chosen {
        build.args(["--bin", target]);
    }
    build.env("RUSTC_WORKSPACE_WRAPPER", env::current_exe()?).env(AS_COMPILER, "1");
    if !build.status().context("cargo could not be started")?.success() {
        return Ok(ExitCode::FAILURE);
    }
    for target in chosen {
        if !fuzz(workspace, target, run.seconds)? {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The names of the files in `fuzz/targets`.
fn targets(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let folder = workspace.path("fuzz/targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        names.extend(path.file_stem().and_then(OsStr::to_str).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// Whether the target held.
fn fuzz(workspace: &Workspace, target: &str, seconds: u64) -> anyhow::Result<bool> {
    println!("==> {target}");
    let corpus = workspace.target.join("fuzz/corpus").join(target);
    let failures = workspace.target.join("fuzz/failures").join(target);
    for folder in [&corpus, &failures] {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut command = Command::new(workspace.target.join("debug").join(target));
    command
        .arg(format!("-max_total_time={seconds}"))
        .args(["-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"])
        .arg(format!("-artifact_prefix={}/", failures.display()))
        .arg(corpus);
    Ok(command.status().with_context(|| format!("{target} could not be started"))?.success())
}

/// Compiles a crate in place of `rustc` where a fuzz build has set this program before it; `None` when it has not.
pub(crate) fn compile() -> Option<anyhow::Result<ExitCode>> {
    env::var_os(AS_COMPILER)?;
    Some(compile_with_coverage())
}

fn compile_with_coverage() -> anyhow::Result<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let compiler = arguments.next().context("the compiler is missing")?;
    let arguments: Vec<OsString> = arguments.collect();
    let mut command = Command::new(&compiler);
    command.args(&arguments);
    if is_linked_into_target(&arguments) {
        command.args(COVERAGE);
    }
    let status = command
        .status()
        .with_context(|| format!("{} could not be started", Path::new(&compiler).display()))?;
    Ok(ExitCode::from(u8::from(!status.success())))
}

/// Not questions for the compiler's version, and nothing that runs while others compile.
fn is_linked_into_target(arguments: &[OsString]) -> bool {
    let follows =
        |flag: &str, value: &str| arguments.windows(2).any(|pair| pair[0] == flag && pair[1] == value);
    arguments.iter().any(|argument| argument == "--crate-name")
        && !follows("--crate-name", "build_script_build")
        && !follows("--crate-name", "___")
        && !follows("--crate-type", "proc-macro")
}
