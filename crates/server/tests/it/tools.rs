//! The foreign programs of the tests. `cargo xtask setup` installs them; without them the tests fail, they are
//! never skipped.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::emulators::{installed, root};

/// The program that a variable names, else the first of the name on the path.
fn find(variable: &str, name: &str) -> PathBuf {
    if let Some(named) = env::var_os(variable).filter(|named| !named.is_empty()) {
        return named.into();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join(name)).find(|place| place.is_file());
    found.unwrap_or_else(|| panic!("{variable} is not set and `{name}` is not found: run cargo xtask setup"))
}

pub(crate) fn prometheus() -> Command {
    Command::new(find("STELLA_TEST_PROMETHEUS", "prometheus"))
}

/// Runs promtool; its standard output. It must succeed.
pub(crate) fn promtool(arguments: &[&str]) -> String {
    let output = Command::new(find("STELLA_TEST_PROMTOOL", "promtool")).args(arguments).output();
    let output = output.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?} failed:\n{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a script of `tests/python`; the JSON of its only line. It must succeed.
pub(crate) fn python(script: &str, arguments: &[&str]) -> Value {
    let mut command = Command::new(installed("STELLA_TEST_PYTHON", "venv/bin/python"));
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
