//! The binary as a child process: started on free ports and a folder of its own, waited for, killed, stopped.
//!
//! Nothing here sleeps and hopes: every wait ends when something is observed, and fails after a generous time.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::client::{Api, Client};
use crate::emulators::{BUCKET, s3};
use crate::tools::python_aside;

/// How long a process may take to start, to stop or to show what it was told. Only failures wait so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two looks at something that is waited for.
pub(crate) const GLANCE: Duration = Duration::from_millis(25);

/// The ports that an offset moves.
const PORTS: [u16; 9] = [9090, 3100, 3200, 4317, 4318, 8440, 9464, 13133, 1777];
/// Offsets keep below the ports that the system gives to outgoing connections.
const OFFSETS: std::ops::Range<u16> = 1_000..19_000;
/// How often another offset is tried when somebody was quicker.
const TRIES: usize = 20;
/// Between the offsets of one test process: beyond the distance of any two of the ports that lie close.
const STRIDE: u16 = 7;

/// The text that a stream of a child has given so far.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<String>>);

impl Heard {
    fn listen(stream: impl Read + Send + 'static) -> Self {
        let heard = Self::default();
        let into = heard.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines() {
                let Ok(line) = line else { return };
                let mut text = into.0.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
            }
        });
        heard
    }

    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

/// A child whose output is collected, and which does not outlive its test.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    pub(crate) stdout: Heard,
    pub(crate) stderr: Heard,
}

impl Process {
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let stdout = Heard::listen(child.stdout.take().unwrap());
        let stderr = Heard::listen(child.stderr.take().unwrap());
        Self { name, child, stdout, stderr }
    }

    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for the end.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.exited() {
                return status;
            }
            assert!(Instant::now() < deadline, "{} does not end", self.name);
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Kills with SIGKILL: the process learns nothing of it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks to stop with SIGTERM.
    pub(crate) fn terminate(&self) {
        let signalled = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        assert!(signalled.unwrap().success(), "{} was gone before it was asked to stop", self.name);
    }

    /// Asks to stop, and waits for the end.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.wait().await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{} said on standard error:\n{}", self.name, self.stderr.text());
        }
    }
}

/// Where the server keeps its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In its data folder.
    Folder,
    /// In a bucket of an S3 server, below a prefix that belongs to the data folder.
    Bucket,
}

impl Place {
    /// What `STELLA_TEST_STORE` asks for (`s3`), so that every test can run on a bucket; a folder otherwise.
    pub(crate) fn chosen() -> Self {
        match std::env::var("STELLA_TEST_STORE").as_deref() {
            Ok("s3") => Place::Bucket,
            Ok("") | Err(_) => Place::Folder,
            Ok(other) => panic!("STELLA_TEST_STORE={other} is neither s3 nor empty"),
        }
    }

    fn prefix(data_dir: &Path) -> String {
        data_dir.to_string_lossy().trim_matches('/').replace(['/', '.'], "-")
    }

    fn tell(self, command: &mut Command, data_dir: &Path) {
        if self == Place::Bucket {
            command.arg("--store").arg(format!("s3://{BUCKET}/{}", Self::prefix(data_dir)));
            command.env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", s3().port));
            command.envs([("AWS_ALLOW_HTTP", "true"), ("AWS_REGION", "us-east-1")]);
            command.envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")]);
        }
    }

    /// The objects as files: the server's own folder, or a copy of what is in the bucket.
    pub(crate) async fn objects(self, data_dir: &Path) -> PathBuf {
        if self == Place::Folder {
            return data_dir.join("store");
        }
        let copy = data_dir.join("copy-of-bucket");
        let (port, folder) = (s3().port.to_string(), copy.display().to_string());
        let arguments = vec![port, BUCKET.to_owned(), Self::prefix(data_dir), folder];
        python_aside("s3_fetch.py", arguments).await;
        copy
    }
}

/// A server that answers on its ports.
pub(crate) struct Stella {
    process: Process,
    addresses: BTreeMap<String, SocketAddr>,
    port_offset: u16,
    http: reqwest::Client,
}

impl Stella {
    /// `stella up` on a folder.
    pub(crate) async fn up(data_dir: &Path) -> Self {
        Self::up_with(data_dir, &[]).await
    }

    /// `stella up` with more flags.
    pub(crate) async fn up_with(data_dir: &Path, flags: &[&str]) -> Self {
        Self::up_in(Place::chosen(), data_dir, flags).await
    }

    /// The same, with its objects in this place.
    pub(crate) async fn up_in(place: Place, data_dir: &Path, flags: &[&str]) -> Self {
        let stella = Self::launch(|offset| {
            let mut command = binary();
            command.args(["up", "--plaintext", "--data-dir"]).arg(data_dir);
            command.arg("--port-offset").arg(offset.to_string());
            place.tell(&mut command, data_dir);
            command.args(flags);
            command
        });
        stella.await.replayed().await
    }

    /// `stella up` as it is without flags: with TLS.
    pub(crate) async fn up_secured(data_dir: &Path) -> Self {
        Self::launch(|offset| {
            let mut command = binary();
            command.args(["up", "--data-dir"]).arg(data_dir);
            command.arg("--port-offset").arg(offset.to_string());
            command
        })
        .await
    }

    /// `stella serve` with certificates in its configuration.
    pub(crate) async fn serve_secured(data_dir: &Path, keys: &str) -> Self {
        Self::serve_unready(Place::Folder, data_dir, keys, &[]).await
    }

    /// `stella serve` with a configuration, to which the folder and the port offset are added.
    pub(crate) async fn serve(data_dir: &Path, keys: &str, flags: &[&str]) -> Self {
        Self::serve_in(Place::chosen(), data_dir, keys, flags).await
    }

    /// The same, with its objects in this place.
    pub(crate) async fn serve_in(place: Place, data_dir: &Path, keys: &str, flags: &[&str]) -> Self {
        Self::serve_unready(place, data_dir, keys, flags).await.replayed().await
    }

    /// The same, as soon as the ports are open: the log may still be replayed.
    pub(crate) async fn serve_unready(place: Place, data_dir: &Path, keys: &str, flags: &[&str]) -> Self {
        let config = data_dir.join("stella.yaml");
        Self::launch(|offset| {
            let text = format!(
                "data_dir: {}\nlisten:\n  port_offset: {offset}\n{keys}",
                data_dir.join("data").display()
            );
            std::fs::write(&config, text).unwrap();
            let mut command = binary();
            command.arg("serve").arg("--config").arg(&config).args(flags);
            place.tell(&mut command, &data_dir.join("data"));
            command
        })
        .await
    }

    async fn launch(command: impl Fn(u16) -> Command) -> Self {
        for _ in 0..TRIES {
            let port_offset = free_offset();
            let mut process = Process::start("stella", &mut command(port_offset));
            match ready_line(&mut process).await {
                Ok(line) => {
                    let addresses = addresses(&line);
                    return Self { process, addresses, port_offset, http: http_client() };
                }
                // Somebody took the port between the look and the start.
                Err(said) if said.contains("cannot listen") => {}
                Err(said) => panic!("stella ended before it was ready:\n{said}"),
            }
        }
        panic!("no free ports in {TRIES} tries");
    }

    /// Waits until the log is replayed: until then questions may be answered with less.
    async fn replayed(self) -> Self {
        for (api, path) in [(Api::Prometheus, "/-/ready"), (Api::Loki, "/ready"), (Api::Tempo, "/ready")] {
            if self.address(api.listener()).is_none() {
                continue;
            }
            let client = self.anonymous();
            eventually(&format!("{path} says that the log is replayed"), async || {
                let answer = client.get(api, path, &[]).await;
                (answer.status == 200 && !answer.headers.contains_key("x-stella-replay")).then_some(())
            })
            .await;
        }
        self
    }

    /// The address of a listener, as the ready line names it.
    pub(crate) fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.addresses.get(listener).copied()
    }

    /// The names of the open listeners, sorted.
    pub(crate) fn listeners(&self) -> Vec<&str> {
        self.addresses.keys().map(String::as_str).collect()
    }

    pub(crate) fn port_offset(&self) -> u16 {
        self.port_offset
    }

    /// Standard output so far.
    pub(crate) fn stdout(&self) -> String {
        self.process.stdout.text()
    }

    /// Requests for a tenant.
    pub(crate) fn tenant(&self, tenant: &str) -> Client {
        Client::new(self.http.clone(), self.addresses.clone(), Some(tenant))
    }

    /// Requests that name nobody.
    pub(crate) fn anonymous(&self) -> Client {
        Client::new(self.http.clone(), self.addresses.clone(), None)
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.process.kill();
    }

    /// SIGTERM; everything must be written and the exit code 0.
    pub(crate) async fn stop(mut self) {
        let status = self.process.stop().await;
        assert!(status.success(), "stopped with {status}:\n{}", self.process.stderr.text());
    }

    /// SIGTERM, without waiting for the end.
    pub(crate) fn terminate(&self) {
        self.process.terminate();
    }

    /// Waits for an end that was asked for; the exit code must be 0.
    pub(crate) async fn ended(mut self) {
        let status = self.process.wait().await;
        assert!(status.success(), "ended with {status}:\n{}", self.process.stderr.text());
    }
}

/// Requests that are not answered in time fail.
pub(crate) fn http_client() -> reqwest::Client {
    security::tls::install_provider();
    reqwest::Client::builder().timeout(PATIENCE).build().unwrap()
}

/// A port that is free at this moment, and not one that the system gives to outgoing connections.
pub(crate) fn free_port() -> u16 {
    PORTS[0] + free_offset()
}

/// The binary under test.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stella"));
    let is_ours = |name: &str| name.starts_with("STELLA_") && !name.starts_with("STELLA_TEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command.env_remove("RUST_LOG");
    // Nor may the machine's clouds.
    let is_cloud = |name: &str| ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|start| name.starts_with(start));
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_cloud(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command
}

/// Looks again and again until there is something to see.
pub(crate) async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(GLANCE).await;
    }
}

/// An offset at which all ports are free at this moment.
fn free_offset() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let width = OFFSETS.end - OFFSETS.start;
    // Test processes that run side by side begin at different places.
    let begin = u16::try_from(std::process::id() % 3_000).unwrap() * STRIDE;
    for _ in 0..width {
        let taken = TAKEN.fetch_add(STRIDE, Ordering::Relaxed) % width;
        let offset = OFFSETS.start + (begin % width + taken) % width;
        let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", port + offset)).is_ok();
        if PORTS.iter().all(is_free) {
            return offset;
        }
    }
    panic!("no offset has all ports free");
}

/// The ready line; what the process said instead where it ended before.
async fn ready_line(process: &mut Process) -> Result<String, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stdout = process.stdout.text();
        // The line and what follows it are written one after the other: the last one ends with the advice.
        if let Some(line) = stdout.lines().find(|line| line.starts_with("stella is ready:")) {
            return Ok(line.to_owned());
        }
        if let Some(status) = process.exited() {
            // The threads that listen may be a moment behind.
            tokio::time::sleep(GLANCE).await;
            return Err(format!("{status}\n{}", process.stderr.text()));
        }
        assert!(Instant::now() < deadline, "no ready line:\n{stdout}\n{}", process.stderr.text());
        tokio::time::sleep(GLANCE).await;
    }
}

/// `name=address` pairs of the ready line.
fn addresses(line: &str) -> BTreeMap<String, SocketAddr> {
    let pairs = line.split_whitespace().filter_map(|word| word.split_once('='));
    pairs.map(|(name, address)| (name.to_owned(), address.parse().unwrap())).collect()
}
