//! The foreign programs of the tests. `cargo xtask setup` installs them; without them the tests fail, they are
//! never skipped.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// The root of the workspace.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The program that a variable names, else the first of the places where it exists.
fn find(variable: &str, places: impl IntoIterator<Item = PathBuf>) -> PathBuf {
    if let Some(named) = env::var_os(variable).filter(|named| !named.is_empty()) {
        return named.into();
    }
    let found = places.into_iter().find(|place| place.is_file());
    found.unwrap_or_else(|| {
        panic!("{variable} is not set and its program is not found: run cargo xtask setup")
    })
}

/// Where `cargo xtask setup` keeps the Python environment: the target folder that this test was built in, or the
/// usual one.
fn environments() -> Vec<PathBuf> {
    let test = env::current_exe().unwrap();
    let built_in = test.ancestors().nth(3).map(PathBuf::from);
    let targets = built_in.into_iter().chain([root().join("target")]);
    targets.map(|target| target.join("venv/bin/python")).collect()
}

fn on_path(name: &str) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join(name)).collect()
}

pub(crate) fn prometheus() -> Command {
    Command::new(find("STELLA_TEST_PROMETHEUS", on_path("prometheus")))
}

/// Runs promtool; its standard output. It must succeed.
pub(crate) fn promtool(arguments: &[&str]) -> String {
    let output = Command::new(find("STELLA_TEST_PROMTOOL", on_path("promtool"))).args(arguments).output();
    let output = output.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?} failed:\n{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a script of `tests/python`; the JSON of its only line. It must succeed.
pub(crate) fn python(script: &str, arguments: &[&str]) -> Value {
    let mut command = Command::new(find("STELLA_TEST_PYTHON", environments()));
    command.arg(root().join("tests/python").join(script)).args(arguments);
    // The exporters read these: a machine that observes itself must not change the test.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OTEL_")) {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script} {arguments:?} failed:\n{stdout}\n{stderr}");
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{script}: {error}:\n{stdout}"))
}

/// The same beside other work.
pub(crate) async fn python_aside(script: &'static str, arguments: Vec<String>) -> Value {
    let run = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        python(script, &arguments)
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}
