//! Servers of others that tests run against: found where `cargo xtask setup` put them, started once per test binary on a
//! free port, and gone with it: each ends when its standard input does. Included by the test binaries that need it.

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

/// The bucket that every server has.
pub(crate) const BUCKET: &str = "stella-test";

/// A server that was started.
pub(crate) struct Emulator {
    pub(crate) port: u16,
    _stdin: ChildStdin,
    _child: Child,
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What a variable names, else what `cargo xtask setup` has put into the target folder: the one that this test was built
/// in, or the usual one.
pub(crate) fn installed(variable: &str, path: &str) -> PathBuf {
    if let Some(named) = env::var_os(variable).filter(|named| !named.is_empty()) {
        return named.into();
    }
    let test = env::current_exe().unwrap();
    let built_in = test.ancestors().nth(3).map(PathBuf::from);
    let places = built_in.into_iter().chain([root().join("target")]).map(|target| target.join(path));
    let found = places.clone().find(|place| place.exists());
    found.unwrap_or_else(|| panic!("{variable} is not set and there is no {path}: run cargo xtask setup"))
}

impl Emulator {
    /// Starts a server that says its port in a line of JSON.
    pub(crate) fn start(mut command: Command) -> Self {
        // What the machine says of proxies and clouds is not meant for a test.
        for (name, _) in env::vars_os() {
            let upper = name.to_string_lossy().to_uppercase();
            if upper.ends_with("_PROXY") || upper.starts_with("AWS_") || upper.starts_with("AZURE_") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdin = child.stdin.take().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        // Somebody must read what it complains of, or it stops when the pipe is full.
        let complaints = std::thread::spawn(move || {
            let mut text = String::new();
            let _ended = stderr.read_to_string(&mut text);
            text
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line
            .trim()
            .strip_prefix("{\"port\":")
            .and_then(|rest| rest.trim_end_matches('}').trim().parse().ok());
        let Some(port) = port else {
            drop(stdin);
            panic!("{command:?} did not start: {line}\n{}", complaints.join().unwrap_or_default());
        };
        Self { port, _stdin: stdin, _child: child }
    }
}

/// An S3 server.
pub(crate) fn s3() -> &'static Emulator {
    static SERVER: OnceLock<Emulator> = OnceLock::new();
    SERVER.get_or_init(|| {
        let mut command = Command::new(installed("STELLA_TEST_PYTHON", "venv/bin/python"));
        command.arg(root().join("tests/python/s3_server.py")).arg(BUCKET);
        Emulator::start(command)
    })
}
