//! `stella up` and `stella serve`: the process that keeps telemetry.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use security::authority::ANY_TENANT;
use security::identity::CertificateRule;
use security::scopes;
use security::tls::dev;

use crate::assemble::{self, Assembled};
use crate::clock::SystemClock;
use crate::config::tls::Tls;
use crate::config::units::ByteSize;
use crate::config::{Config, Role, make_private};

/// Threads of a runtime for work that blocks: each keeps some memory of its own.
const MAX_BLOCKING_THREADS: usize = 64;

/// What the development certificates of `stella up` are named after.
const ENVIRONMENT: &str = "dev";

/// Run everything in one process on this machine, on a folder.
#[derive(Clone, Debug, Args)]
pub struct Up {
    /// The folder that everything is kept in.
    #[arg(long, default_value = "stella-data")]
    pub data_dir: PathBuf,
    /// The object store, `s3://bucket/prefix` for example; a folder in the data folder where none is named.
    #[arg(long)]
    pub store: Option<String>,
    /// Serve without TLS, and believe what requests say of themselves. It is for this machine alone.
    #[arg(long)]
    pub plaintext: bool,
    /// Names by which a server without TLS may be asked, besides localhost, addresses and this machine's own name.
    #[arg(long, value_delimiter = ',', requires = "plaintext")]
    pub hosts: Vec<String>,
    /// A number that is added to every port, so that several run side by side.
    #[arg(long, default_value_t = 0)]
    pub port_offset: u16,
    /// The memory that the process may use, such as 512MiB; its control group's, or half of the machine's, where it is left out.
    #[arg(long)]
    pub memory_limit: Option<ByteSize>,
    /// Do not keep the server's own logs, metrics and traces.
    #[arg(long)]
    pub no_own_telemetry: bool,
    /// Enable what is experimental, by the names of Prometheus' feature flags: promql-experimental-functions for example.
    #[arg(long, value_delimiter = ',')]
    pub enable_feature: Vec<String>,
    /// Open `/-/reload` and `/-/quit` of the Prometheus port.
    #[arg(long)]
    pub enable_lifecycle: bool,
}

/// Run some or all roles with a configuration file.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// The configuration file; the defaults hold where none is named.
    #[arg(long, env = "STELLA_CONFIG")]
    pub config: Option<PathBuf>,
    /// The object store; that of the file where none is named.
    #[arg(long)]
    pub store: Option<String>,
    /// The roles of this process; those of the file, or all, where none is named.
    #[arg(long, value_enum, value_delimiter = ',', num_args = 1..)]
    pub roles: Vec<Role>,
    /// The memory that the process may use, such as 512MiB; the file's where it is left out.
    #[arg(long)]
    pub memory_limit: Option<ByteSize>,
    /// Enable what is experimental, by the names of Prometheus' feature flags, besides what the file enables.
    #[arg(long, value_delimiter = ',')]
    pub enable_feature: Vec<String>,
    /// Open `/-/reload` and `/-/quit` of the Prometheus port, as `listen.lifecycle` does.
    #[arg(long)]
    pub enable_lifecycle: bool,
}

impl Up {
    /// The folder of the development certificates.
    fn certificates(&self) -> PathBuf {
        self.data_dir.join("tls")
    }

    fn config(&self) -> Config {
        let mut config = Config { data_dir: self.data_dir.clone(), ..Config::default() };
        config.default_tenant = Some("default".into());
        config.own_telemetry = !self.no_own_telemetry;
        config.listen.port_offset = self.port_offset;
        config.listen.hosts.clone_from(&self.hosts);
        config.store.keys.url.clone_from(&self.store);
        config.memory.limit = self.memory_limit;
        config.query.enable_feature.clone_from(&self.enable_feature);
        config.listen.lifecycle = self.enable_lifecycle;
        if !self.plaintext {
            let folder = self.certificates();
            let [cert, key] = dev::pair_files("{service}", ENVIRONMENT).map(|name| folder.join(name));
            config.tls = Some(Tls { cert, key, ca: Some(folder.join(dev::CA_FILE)), ..Tls::default() });
            // Whoever may read the data folder may do everything.
            config.identity.certificates.push(CertificateRule {
                issuer: None,
                certificate: format!("cn:{}", dev::CLIENT_NAME),
                tenants: vec![ANY_TENANT.to_owned()],
                tenant: config.default_tenant.clone(),
                scopes: scopes::ALL.iter().map(|scope| (*scope).to_owned()).collect(),
            });
        }
        config
    }

    /// Runs until a signal.
    ///
    /// # Errors
    /// When a part cannot start, or what is in memory cannot be written at the end.
    pub fn run(&self) -> anyhow::Result<()> {
        let config = self.config();
        config.check()?;
        if !self.plaintext {
            make_private(&self.data_dir)?;
            dev::make(&self.certificates(), ENVIRONMENT, false, &SystemClock::new())?;
        }
        run(&config)
    }
}

impl Serve {
    /// Runs until a signal.
    ///
    /// # Errors
    /// When the configuration is not valid, a part cannot start, or what is in memory cannot be written at the end.
    pub fn run(&self) -> anyhow::Result<()> {
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        if self.store.is_some() {
            config.store.keys.url.clone_from(&self.store);
        }
        if !self.roles.is_empty() {
            config.roles.clone_from(&self.roles);
        }
        config.memory.limit = self.memory_limit.or(config.memory.limit);
        config.query.enable_feature.extend(self.enable_feature.iter().cloned());
        config.listen.lifecycle |= self.enable_lifecycle;
        config.check()?;
        run(&config)
    }
}

fn run(config: &Config) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let doors = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores)
        .thread_name("stella-door")
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .enable_all()
        .build()
        .context("cannot start the threads that serve connections")?;
    let queries = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(query::STACK_BYTES)
        .worker_threads(cores)
        .thread_name("stella-query")
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .enable_all()
        .build()
        .context("cannot start the threads that run queries")?;
    let result = doors.block_on(async {
        let assembled = assemble::assemble(config, queries.handle().clone(), cores).await?;
        tell(&assembled, config);
        assembled.run().await
    });
    queries.shutdown_background();
    doors.shutdown_background();
    result
}

/// Says on standard output where everything is, and what to try first.
fn tell(assembled: &Assembled, config: &Config) {
    let addresses: Vec<String> =
        assembled.addresses().iter().map(|(name, address)| format!("{name}={address}")).collect();
    say!("stella is ready: {}", addresses.join(" "));
    if !config.own_telemetry {
        return;
    }
    let tenant = crate::own::TENANT;
    let server = |wanted: &str| {
        let (_, address) = assembled.addresses().iter().find(|(name, _)| *name == wanted)?;
        // Certificates are made out to names.
        let is_local = address.ip().is_loopback();
        Some(match &config.tls {
            None => format!("http://{address}"),
            Some(_) if is_local => format!("https://localhost:{}", address.port()),
            Some(_) => format!("https://{address}"),
        })
    };
    let curl = match &config.tls {
        None => "curl".to_owned(),
        Some(tls) => {
            let folder = tls.cert.parent().unwrap_or(Path::new("."));
            let file = |name: &str| folder.join(name).display().to_string();
            let (ca, cert, key) = (file(dev::CA_FILE), file("client.crt"), file("client.key"));
            if folder.join("client.crt").is_file() {
                say!("its certificates: export STELLA_CA={ca} STELLA_CERT={cert} STELLA_KEY={key}");
            }
            "curl --cacert $STELLA_CA --cert $STELLA_CERT --key $STELLA_KEY".to_owned()
        }
    };
    say!("its own telemetry is the tenant {tenant:?}; try:");
    if let Some(at) = server("prometheus") {
        say!("  {curl} -H 'X-Scope-OrgID: {tenant}' '{at}/api/v1/query?query=up'");
    }
    if let Some(at) = server("loki") {
        let query = "query=%7Bservice_name%3D%22stella%22%7D";
        say!("  {curl} -H 'X-Scope-OrgID: {tenant}' '{at}/loki/api/v1/query_range?{query}'");
    }
    if let Some(at) = server("tempo") {
        say!("  {curl} -H 'X-Scope-OrgID: {tenant}' '{at}/api/search?q=%7B%7D'");
    }
}
