//! `stella.yaml`: our own keys, and what they mean when they are left out.
//!
//! Every unknown key is named with its line, and is an error. Durations are written as Prometheus writes them (`15s`, `30d`),
//! sizes as `64MiB`.

pub mod features;

pub mod identity;

mod shown;

pub mod store;

pub mod tls;

pub mod units;

pub mod yaml;

use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use model::{Limits, Signal, TenantId};
use serde::Deserialize;
use storage::StoreConfig;

use features::Enabled;
use identity::{Authority, Identity};
use store::Store;
use tls::Tls;
use units::{ByteSize, Duration};
use yaml::{Problem, Value};

/// One of the jobs that a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The Prometheus API and remote write, on 9090.
    Metrics,
    /// The Loki API and push, on 3100.
    Logs,
    /// The Tempo API and OTLP traces, on 3200.
    Traces,
    /// OTLP for the three signals, on 4317 and 4318; what the process tells of itself on 9464, 13133 and 1777.
    Collector,
    /// Tokens for clients, on 8440.
    Authority,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 5] = [Role::Metrics, Role::Logs, Role::Traces, Role::Collector, Role::Authority];
}

/// The whole configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the write-ahead log lives, and the store where no other is named.
    pub data_dir: PathBuf,
    /// The object store; `<data_dir>/store` where no address is named.
    pub store: Store,
    /// The jobs of this process.
    pub roles: Vec<Role>,
    /// Who requests that name no tenant act for; such requests are refused where it is left out.
    pub default_tenant: Option<String>,
    /// Whether the server keeps its own logs, metrics and traces, as the tenant `stella`.
    pub own_telemetry: bool,
    /// Ports and the address that they are opened on.
    pub listen: Listen,
    /// Certificates; where they are left out, connections are not encrypted, and only loopback addresses are served.
    pub tls: Option<Tls>,
    /// The Authority of this deployment.
    pub authority: Authority,
    /// How callers are known, besides by tokens of the Authority.
    pub identity: Identity,
    /// Memory.
    pub memory: Memory,
    /// Room on the disk.
    pub disk: Disk,
    /// The write-ahead log.
    pub wal: Wal,
    /// When heads become segments.
    pub flush: Flush,
    /// When segments become fewer and larger.
    pub compaction: Compaction,
    /// How long telemetry is kept.
    pub retention: Retention,
    /// The folder with the override files of tenants; `<data_dir>/tenants` where it is left out.
    pub tenants: Option<PathBuf>,
    /// Queries.
    pub query: Query,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("stella-data"),
            store: Store::default(),
            roles: Role::ALL.to_vec(),
            default_tenant: None,
            own_telemetry: true,
            listen: Listen::default(),
            tls: None,
            authority: Authority::default(),
            identity: Identity::default(),
            memory: Memory::default(),
            disk: Disk::default(),
            wal: Wal::default(),
            flush: Flush::default(),
            compaction: Compaction::default(),
            retention: Retention::default(),
            tenants: None,
            query: Query::default(),
        }
    }
}

/// Ports and the address that they are opened on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// The address; only loopback addresses where there are no certificates.
    pub address: IpAddr,
    /// Added to every port, so that several processes run side by side.
    pub port_offset: u16,
    /// The ports, by the names of the listeners.
    pub ports: Ports,
    /// The origins whose pages may read answers (`https://grafana.example`), or expressions that whole origins match; `*`
    /// stands for every origin.
    pub cors_origins: Vec<String>,
    /// The names by which a server without certificates may be asked, besides `localhost`, addresses and the name of this
    /// machine; `*` stands for every name.
    pub hosts: Vec<String>,
    /// Whether `/-/reload` and `/-/quit` of the Prometheus port are open.
    pub lifecycle: bool,
}

/// The ports, by the names of the listeners.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ports {
    /// Prometheus.
    pub prometheus: u16,
    /// Loki.
    pub loki: u16,
    /// Tempo.
    pub tempo: u16,
    /// OTLP over gRPC.
    pub otlp_grpc: u16,
    /// OTLP over HTTP.
    pub otlp_http: u16,
    /// The collector's own metrics.
    pub scrape: u16,
    /// The health of the process.
    pub health: u16,
    /// What the process does at this moment.
    pub debug: u16,
    /// The Authority.
    pub authority: u16,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: IpAddr::from([127, 0, 0, 1]),
            port_offset: 0,
            ports: Ports::default(),
            cors_origins: Vec::new(),
            hosts: Vec::new(),
            lifecycle: false,
        }
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            prometheus: 9090,
            loki: 3100,
            tempo: 3200,
            otlp_grpc: 4317,
            otlp_http: 4318,
            scrape: 9464,
            health: 13133,
            debug: 1777,
            authority: 8440,
        }
    }
}

impl Ports {
    /// Names and ports.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, u16); 9] {
        [
            ("prometheus", self.prometheus),
            ("loki", self.loki),
            ("tempo", self.tempo),
            ("otlp_grpc", self.otlp_grpc),
            ("otlp_http", self.otlp_http),
            ("scrape", self.scrape),
            ("health", self.health),
            ("debug", self.debug),
            ("authority", self.authority),
        ]
    }
}

/// Memory.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Memory {
    /// What the process may use; by its control group where it is left out, or half of the machine's.
    pub limit: Option<ByteSize>,
}

/// Room on the disk.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Disk {
    /// Writes are refused while less is free; a twentieth of the volume, at most 2 GiB, where it is left out.
    pub min_free: Option<ByteSize>,
}

/// When a write counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fsync {
    /// After the disk has confirmed it.
    Always,
    /// At once; the disk is asked every `wal.fsync_interval`.
    Interval,
}

/// The write-ahead log.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wal {
    /// When a write counts as durable.
    pub fsync: Fsync,
    /// With `fsync: interval`, how often the disk is asked.
    pub fsync_interval: Duration,
    /// The size at which a new file is begun.
    pub segment_size: ByteSize,
}

impl Default for Wal {
    fn default() -> Self {
        Self {
            fsync: Fsync::Always,
            fsync_interval: Duration::from_ms(100),
            segment_size: ByteSize(64 << 20),
        }
    }
}

/// When heads become segments.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Flush {
    /// The size of one head, at most an eighth of what all heads may take.
    pub max_head_size: ByteSize,
    /// The age of a head.
    pub max_head_age: Duration,
}

impl Default for Flush {
    fn default() -> Self {
        Self { max_head_size: ByteSize(64 << 20), max_head_age: Duration::from_ms(10 * 60_000) }
    }
}

/// When segments become fewer and larger.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compaction {
    /// The pause between two looks for what is due.
    pub interval: Duration,
    /// Merges that run at once.
    pub max_concurrent: usize,
}

impl Default for Compaction {
    fn default() -> Self {
        Self { interval: Duration::from_ms(10_000), max_concurrent: 1 }
    }
}

/// How long telemetry is kept, and how often that is looked after. `0s` keeps for ever.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Samples.
    pub metrics: Duration,
    /// Lines.
    pub logs: Duration,
    /// Spans.
    pub traces: Duration,
    /// The pause between two passes.
    pub interval: Duration,
    /// How long an object that nothing names is left alone before it is removed.
    pub sweep_grace: Duration,
    /// How long a period that becomes shorter waits before it acts, because it may be a mistake.
    pub shorten_grace: Duration,
    /// How long deletions that were asked for as Loki's can be taken back; then segments are rewritten.
    pub delete_cancel_period: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY_MS: u64 = 86_400_000;
        Self {
            metrics: Duration::from_ms(30 * DAY_MS),
            logs: Duration::from_ms(30 * DAY_MS),
            traces: Duration::from_ms(14 * DAY_MS),
            interval: Duration::from_ms(60_000),
            sweep_grace: Duration::from_ms(3_600_000),
            shorten_grace: Duration::from_ms(3_600_000),
            delete_cancel_period: Duration::from_ms(DAY_MS),
        }
    }
}

/// Queries.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Query {
    /// Queries that run at once.
    pub max_concurrent: usize,
    /// The time that one may take.
    pub timeout: Duration,
    /// How far back an instant selector of PromQL looks.
    pub lookback: Duration,
    /// What is experimental and enabled, by the names of Prometheus' feature flags.
    pub enable_feature: Vec<String>,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            max_concurrent: 20,
            timeout: Duration::from_ms(120_000),
            lookback: Duration::from_ms(300_000),
            enable_feature: Vec::new(),
        }
    }
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration: path={path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        error: std::io::Error,
    },
    /// The text is not a configuration; the message has the line.
    #[error("the configuration is not valid: path={path}: {}", joined(.problems))]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problems: Vec<Problem>,
    },
    /// A value that cannot be honoured.
    #[error("{0}")]
    Value(String),
}

fn joined(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Makes a folder, where it is not there, that its owner alone can look into.
///
/// # Errors
/// The system's, with the folder.
pub(crate) fn make_private(folder: &Path) -> std::io::Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| {
        std::io::Error::new(error.kind(), format!("cannot make the folder {}: {error}", folder.display()))
    })
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// When the file cannot be read, is not YAML, has an unknown key, or a value that cannot be honoured.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
        let config =
            Self::parse(&text).map_err(|problems| ConfigError::Parse { path: path.to_owned(), problems })?;
        config.check()?;
        Ok(config)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// Every unknown key, and the first value that cannot be read.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let root = yaml::parse(text).map_err(|problem| vec![problem])?;
        match root.value {
            Value::Null => Ok(Self::default()),
            _ => root.read(),
        }
    }

    /// The folder with the override files of tenants.
    #[must_use]
    pub fn tenants(&self) -> PathBuf {
        self.tenants.clone().unwrap_or_else(|| self.data_dir.join("tenants"))
    }

    /// The limits of a tenant for which no override file says otherwise.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let period = |duration: Duration| (duration.as_ms() > 0).then(|| duration.as_ns());
        let mut limits = Limits {
            retention: model::limits::Retention {
                metrics_ns: period(self.retention.metrics),
                logs_ns: period(self.retention.logs),
                traces_ns: period(self.retention.traces),
            },
            ..Limits::default()
        };
        for signal in Signal::ALL {
            limits.query_mut(signal).timeout_ns = self.query.timeout.as_ns();
        }
        limits
    }

    /// Checks what the types do not say.
    ///
    /// # Errors
    /// When a value cannot be honoured.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.tls.is_none() && !self.listen.address.is_loopback() {
            return Err(ConfigError::Value(format!(
                "listen.address={} is not a loopback address: without certificates only those are served; \
                 name them under tls (stella tls dev makes some), or put a proxy that terminates TLS before it",
                self.listen.address
            )));
        }
        if let Some(tls) = &self.tls {
            tls.check().map_err(ConfigError::Value)?;
        }
        if self.roles.is_empty() {
            return Err(ConfigError::Value("roles is empty: name at least one".into()));
        }
        self.default_tenant()?;
        self.features()?;
        self.origins()?;
        for (name, port) in self.listen.ports.named() {
            if port.checked_add(self.listen.port_offset).is_none() {
                return Err(ConfigError::Value(format!(
                    "listen.port_offset={} moves the port of {name} beyond 65535",
                    self.listen.port_offset
                )));
            }
        }
        Ok(())
    }

    /// What is experimental and enabled.
    ///
    /// # Errors
    /// When there is no feature of a name.
    pub fn features(&self) -> Result<Enabled, ConfigError> {
        Enabled::read(&self.query.enable_feature).map_err(ConfigError::Value)
    }

    /// The default tenant, where there is one.
    ///
    /// # Errors
    /// When the name is not one of a tenant.
    pub fn default_tenant(&self) -> Result<Option<TenantId>, ConfigError> {
        let parsed = self.default_tenant.as_deref().map(TenantId::parse).transpose();
        parsed.map_err(|error| ConfigError::Value(format!("default_tenant is not valid: {error}")))
    }

    /// The object store and how it is spoken to.
    #[must_use]
    pub fn store(&self) -> StoreConfig {
        self.store.to_config(self.data_dir.join("store").to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_file_is_the_default() {
        let config = Config::parse("").unwrap();
        assert_eq!(config.listen.ports.prometheus, 9090);
        assert_eq!(config.roles, Role::ALL);
        config.check().unwrap();
    }

    #[test]
    fn keys_are_read_and_unknown_ones_are_named_with_their_line() {
        let text = "data_dir: /var/lib/stella\nroles: [metrics, logs]\nwal:\n  fsync: interval\n  fsync_interval: 1s\n\
                    retention:\n  logs: 7d\nflush:\n  max_head_size: 1MiB\n";
        let config = Config::parse(text).unwrap();
        assert_eq!(config.wal.fsync, Fsync::Interval);
        assert_eq!(config.wal.fsync_interval.as_ms(), 1_000);
        assert_eq!(config.retention.logs.as_ms(), 7 * 86_400_000);
        assert_eq!(config.flush.max_head_size.0, 1 << 20);
        assert_eq!(config.roles, [Role::Metrics, Role::Logs]);
        let problems = Config::parse("data_dir: x\nwall: {}\nwal:\n  fsink: always\n").unwrap_err();
        let lines: Vec<_> = problems.iter().map(|problem| (problem.line, problem.to_string())).collect();
        assert_eq!(lines.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 4], "{lines:?}");
        assert!(lines[0].1.contains("`wall`") && lines[1].1.contains("`wal.fsink`"), "{lines:?}");
    }

    #[test]
    fn a_store_is_an_address_or_a_map() {
        let store = |text: &str| Config::parse(text).unwrap().store();
        assert_eq!(store("data_dir: d\n").url, "d/store");
        let plain = store("store: s3://b/p\n");
        assert_eq!(
            (plain.url.as_str(), plain.profile.as_str(), plain.allow_http),
            ("s3://b/p", "default", false)
        );
        let text = "store:\n  url: s3://b\n  endpoint: http://minio:9000\n  allow_http: true\n  request_timeout: 5s\n";
        let map = store(text);
        assert_eq!(map.endpoint.as_deref(), Some("http://minio:9000"));
        assert_eq!((map.allow_http, map.patience.request_timeout_ms), (true, 5_000));
        let problems = Config::parse("store:\n  url: s3://b\n  secret_key: x\n").unwrap_err();
        assert!(problems[0].message.contains("secret_key") && problems[0].line == 3, "{problems:?}");
        assert!(Config::parse("store: [a]\n").is_err());
    }

    #[test]
    fn what_has_no_effect_is_doubted() {
        let doubts = |text: &str| Config::parse(text).unwrap().doubts();
        let hosts = "listen:\n  hosts: [metrics.example]\n";
        assert!(doubts(hosts).is_empty());
        let tls = format!("{hosts}tls:\n  cert: a.crt\n  key: a.key\n");
        assert!(doubts(&tls).iter().any(|doubt| doubt.starts_with("listen.hosts ")), "{:?}", doubts(&tls));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        let refused = |text: &str, word: &str| {
            let error = Config::parse(text).unwrap().check().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        };
        refused("listen:\n  address: 0.0.0.0\n", "loopback");
        refused("roles: []\n", "roles");
        refused("default_tenant: a/b\n", "default_tenant");
        refused("listen:\n  port_offset: 60000\n", "port_offset");
        refused("tls:\n  cert: a.crt\n  key: a.key\n", "tls.ca");
        let tls = "tls:\n  cert: a.crt\n  key: a.key\n  ca: ca.crt\n";
        refused(&format!("{tls}  client_auth:\n    prometeus: none\n"), "prometeus");
        Config::parse(&format!("{tls}listen:\n  address: 0.0.0.0\n")).unwrap().check().unwrap();
    }
}
