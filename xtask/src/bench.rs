//! `cargo xtask bench`: every figure of `docs/performance.md`, one after the other: idle memory and readiness, the three
//! loads and their questions, each on a fresh server, Prometheus with the same samples beside it, and a server that was
//! killed with a gibibyte of log. It writes one JSON file a measurement and prints the tables.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;

use crate::workspace::Workspace;

/// Added to every port of the servers that are measured, so that none is in the way of another.
const PORT_OFFSET: u16 = 20_000;
/// Where the Prometheus beside them listens.
const PROMETHEUS_PORT: u16 = 29_991;
/// The longest wait for a server.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Bytes that a line takes in the log, about: to fill it to a gibibyte.
const LOG_BYTES_PER_LINE: u64 = 360;

/// What to measure, and with what.
#[derive(Args)]
pub(crate) struct Run {
    /// The binary that is measured; the release build is made and taken where none is named.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// The folder for data and reports.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// A share of the usual load: 0.1 is a quick look.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Measure the load and the questions of one signal only.
    #[arg(long, value_parser = ["metrics", "logs", "traces"])]
    only: Option<String>,
    /// Series of the metrics at any moment.
    #[arg(long, default_value_t = 10_000)]
    series: u64,
    /// How much time the metrics tell of.
    #[arg(long, default_value = "2h")]
    stretch: String,
    /// Scrapes of a pod that are sent together: 120 load a day soon, and are no load as scrapes make it.
    #[arg(long, default_value_t = 1)]
    scrapes: u64,
}

/// A server that is stopped when it goes out of scope.
struct Server {
    child: Child,
    /// From its start to its first answer.
    ready: Duration,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone then.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The bench: a binary and a folder.
struct Bench {
    binary: PathBuf,
    out: PathBuf,
    scale: f64,
    /// How much time the metrics tell of.
    stretch: String,
    /// Scrapes of a pod that are sent together.
    scrapes: u64,
}

/// Measures everything.
pub(crate) fn run(workspace: &Workspace, run: &Run) -> anyhow::Result<ExitCode> {
    let binary = match &run.binary {
        Some(binary) => binary.clone(),
        None => release_build(workspace)?,
    };
    fs::create_dir_all(&run.out).with_context(|| format!("cannot make {}", run.out.display()))?;
    let stretch = run.stretch.clone();
    let (out, scrapes) = (run.out.canonicalize()?, run.scrapes);
    let bench = Bench { binary, out, scale: run.scale, stretch, scrapes };
    if run.only.is_none() {
        bench.idle()?;
    }
    let loads =
        [("metrics", "--series", run.series), ("logs", "--lines", 1_500_000), ("traces", "--spans", 565_000)];
    let is_wanted = |signal: &str| run.only.as_deref().is_none_or(|only| only == signal);
    for (signal, size, items) in loads.into_iter().filter(|(signal, ..)| is_wanted(signal)) {
        bench.signal(signal, size, items)?;
    }
    if run.only.is_none() {
        bench.other_formats()?;
        bench.killed()?;
    }
    println!("bench: reports are in {}", bench.out.display());
    Ok(ExitCode::SUCCESS)
}

fn release_build(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let status = Command::new("cargo")
        .args(["build", "--release", "--package", "stella"])
        .current_dir(workspace.path("."))
        .status()?;
    ensure!(status.success(), "the release build failed");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.path("target"), PathBuf::from);
    Ok(target.join("release/stella"))
}

impl Bench {
    /// Starts a server on an empty folder, or on what is in it.
    fn serve(&self, name: &str, is_fresh: bool) -> anyhow::Result<Server> {
        let folder = self.out.join(name);
        if is_fresh && folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let log = fs::File::create(self.out.join(format!("{name}.log")))?;
        let mut command = Command::new(&self.binary);
        command.args(["up", "--no-own-telemetry", "--plaintext"]);
        command.args(["--port-offset", &PORT_OFFSET.to_string()]).arg("--data-dir").arg(&folder);
        let child = command.stdout(Stdio::null()).stderr(log).spawn();
        let child = child.with_context(|| format!("cannot start {}", self.binary.display()))?;
        wait_for(child, 9_090 + PORT_OFFSET, "/-/ready")
    }

    /// Runs `stella bench` and keeps its JSON; prints the table of the same figures.
    fn measure(&self, report: &str, arguments: &[&str]) -> anyhow::Result<()> {
        println!("bench: {report}");
        let output = Command::new(&self.binary).arg("bench").args(arguments).arg("--json").output()?;
        fs::write(self.out.join(format!("{report}.json")), &output.stdout)?;
        println!("{}", String::from_utf8_lossy(&output.stdout));
        ensure!(output.status.success(), "{report}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    fn scaled(&self, items: u64) -> String {
        ((items as f64 * self.scale) as u64).to_string()
    }

    /// An empty server: how soon it answers, and the memory that it has then.
    fn idle(&self) -> anyhow::Result<()> {
        let server = self.serve("idle", true)?;
        sleep(Duration::from_secs(5));
        let memory = resident_kib(&server.child)? / 1_024;
        println!("bench: ready after {} ms, idle with {memory} MiB", server.ready.as_millis());
        Ok(())
    }

    /// A load and its questions.
    fn signal(&self, signal: &str, size: &str, items: u64) -> anyhow::Result<()> {
        let server = self.serve(signal, true)?;
        let (offset, folder) = (PORT_OFFSET.to_string(), self.out.join(signal).display().to_string());
        let items = self.scaled(items);
        let stretch: &[&str] = if signal == "metrics" { &["--stretch", &self.stretch] } else { &[] };
        let load = ["ingest", signal, size, &items, "--port-offset", &offset, "--data-dir", &folder];
        let scrapes = self.scrapes.to_string();
        let together: &[&str] = if signal == "metrics" { &["--scrapes", &scrapes] } else { &[] };
        self.measure(&format!("ingest-{signal}"), &[&load[..], stretch, together].concat())?;
        let mut questions = vec!["query", signal, "--port-offset", &offset];
        questions.extend(stretch);
        if signal != "metrics" || !has_prometheus() {
            return self.measure(&format!("query-{signal}"), &questions);
        }
        let prometheus = self.prometheus()?;
        let address = format!("http://127.0.0.1:{PROMETHEUS_PORT}");
        let folder = self.out.join("prometheus").display().to_string();
        let load = ["ingest", signal, size, &items, "--server", &address, "--data-dir", &folder];
        // One sender, as Prometheus takes a series' samples in order only, and a look at each sample would take long.
        let one_by_one = ["--concurrency", "1", "--no-check"];
        self.measure("ingest-prometheus", &[&load[..], stretch, together, &one_by_one].concat())?;
        questions.extend(["--compare", &address]);
        self.measure("query-metrics", &questions)?;
        drop((prometheus, server));
        Ok(())
    }

    fn prometheus(&self) -> anyhow::Result<Server> {
        let folder = self.out.join("prometheus");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let config = self.out.join("prometheus.yml");
        fs::write(&config, "global: {}\n")?;
        let log = fs::File::create(self.out.join("prometheus.log"))?;
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{PROMETHEUS_PORT}"))
            .arg("--web.enable-remote-write-receiver")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        wait_for(child, PROMETHEUS_PORT, "/-/ready")
    }

    /// The other ways in, smaller.
    fn other_formats(&self) -> anyhow::Result<()> {
        let offset = PORT_OFFSET.to_string();
        let (series, lines) = (self.scaled(2_500), self.scaled(300_000));
        let loads = [
            ("remote-write2", ["metrics", "--series", &series, "--format", "remote-write2"]),
            ("otlp-metrics", ["metrics", "--series", &series, "--format", "otlp"]),
            ("loki-json", ["logs", "--lines", &lines, "--format", "loki-json"]),
            ("otlp-logs", ["logs", "--lines", &lines, "--format", "otlp"]),
        ];
        for (name, load) in loads {
            let _server = self.serve(name, true)?;
            let load = [&["ingest"], &load[..], &["--port-offset", &offset]].concat();
            self.measure(&format!("ingest-{name}"), &load)?;
        }
        Ok(())
    }

    /// A server that ends without warning with a log of a gibibyte: how soon it answers again, and that it has all.
    fn killed(&self) -> anyhow::Result<()> {
        let offset = PORT_OFFSET.to_string();
        let lines = ((1_u64 << 30) as f64 * self.scale) as u64 / LOG_BYTES_PER_LINE;
        let mut killed = self.serve("killed", true)?;
        let load = ["ingest", "logs", "--lines", &lines.to_string(), "--port-offset", &offset, "--no-settle"];
        self.measure("ingest-killed", &load)?;
        killed.child.kill()?;
        killed.child.wait()?;
        let log_bytes = log_bytes(&self.out.join("killed/wal"))?;
        let again = self.serve("killed", false)?;
        println!(
            "bench: ready {} ms after a kill with {} MiB of log",
            again.ready.as_millis(),
            log_bytes >> 20
        );
        Ok(())
    }
}

fn has_prometheus() -> bool {
    Command::new("prometheus").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Waits until the server answers that path with success.
fn wait_for(child: Child, port: u16, path: &str) -> anyhow::Result<Server> {
    let began = now();
    let mut server = Server { child, ready: Duration::ZERO };
    while began.elapsed() < START_LIMIT {
        if let Some(status) = server.child.try_wait()? {
            bail!("the server on port {port} ended: {status}");
        }
        if is_ready(port, path) {
            server.ready = began.elapsed();
            return Ok(server);
        }
        sleep(Duration::from_millis(2));
    }
    bail!("the server on port {port} does not answer {path}")
}

#[expect(clippy::disallowed_methods, reason = "a chore measures real processes by the real clock")]
fn now() -> Instant {
    Instant::now()
}

fn is_ready(port: u16, path: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut status = String::new();
        BufReader::new(stream).take(1_024).read_line(&mut status)?;
        Ok(status)
    };
    ask().is_ok_and(|status| status.contains(" 200 "))
}

fn resident_kib(child: &Child) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

fn log_bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}
