//! The one place where the parts meet, in reading order: settings, object store, storage, query engine, doors,
//! gateway, listeners. The end is the reverse.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use axum::middleware::from_fn;
use model::audit::Audit;
use model::limits::LimitsSource;
use model::{Clock, Ingest, Pressure};
use prometheus_client::registry::Registry;
use query::late::LateLines;
use query::{QueryEngine, QuerySettings};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use security::authority::Authority;
use security::gateway::Gateway;
use security::tls::{ServerTls, Tellings};
use security::token::external::ExternalIssuer;
use storage::{Storage, Store};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::audit::{self, AuditWriter, Events};
use crate::certificates::CertificateMetrics;
use crate::clock::SystemClock;
use crate::config::{Config, Fsync, Role, make_private};
use crate::doors::Told;
use crate::exposition::Exposition;
use crate::keeping::{self, Keeping, Origins};
use crate::lifecycle::Lifecycle;
use crate::listeners::Listener;
use crate::memory::{Budget, MemoryMetrics, Part};
use crate::overrides::Overrides;
use crate::own::layer::OwnRecords;
use crate::own::writer::OwnWriter;
use crate::process::ProcessMetrics;
use crate::requests::RequestMetrics;
use crate::status::activity::Activity;
use crate::status::kept;
use crate::status::{Status, StatusMetrics};
use crate::{doors, environment, logging, pressure, shutdown, who};

/// The size of the file that is given up when a volume is full to its end: some manifests, and the first of a segment.
const RESERVE_BYTES: u64 = 4 << 20;

/// What a query takes besides what it counts, about: batches of every segment that it reads.
const QUERY_BYTES: usize = 16 << 20;

/// A server whose ports are open and that has not answered anything yet.
pub struct Assembled {
    keeping: Keeping,
    listeners: Vec<Listener>,
    addresses: Vec<(&'static str, SocketAddr)>,
    own: Option<(OwnWriter, OwnRecords)>,
    audit: (AuditWriter, Events),
    authority: Authority,
    issuers: Vec<Arc<ExternalIssuer>>,
    /// The limits of tenants, and where changes of them are told.
    overrides: (Arc<Overrides>, Audit),
    /// What tenants do, and the folder that keeps it.
    activity: (Arc<Activity>, PathBuf),
    stop: CancellationToken,
}

/// Puts the parts together.
///
/// # Errors
/// When the store or the log cannot be opened, or a port is taken.
pub async fn assemble(config: &Config, queries: Handle, cores: usize) -> anyhow::Result<Assembled> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut seeds = StdRng::from_os_rng();
    let records = logging::init(config.own_telemetry.then(|| (Arc::clone(&clock), seeds.random())))?;
    let budget = Budget::find(config.memory.limit.map(|size| size.0), Path::new("/"))?;
    budget.tell();

    let overrides = Arc::new(Overrides::open(&config.tenants(), config.limits())?);
    let limits: Arc<dyn LimitsSource> = Arc::clone(&overrides) as _;
    let (store, storage) = open_storage(config, budget, (&clock, &limits), seeds.random()).await?;

    let mut registry = Registry::default();
    let (audit, events) = audit::open(Arc::clone(&clock), &mut registry);
    register_parts(&mut registry, &storage, &store, &overrides);
    register_process(&mut registry, &*clock, records.as_ref());
    let requests = RequestMetrics::new(&mut registry, Arc::clone(&clock));

    let near_limit = Pressure::new(budget.high_bytes());
    let settings = query_settings(config, budget, cores, near_limit.clone())?;
    let engine = QueryEngine::new(storage.clone(), Arc::clone(&clock), settings, queries);

    let origins = Arc::new(Origins { overrides: Arc::clone(&overrides), base: config.limits() });
    let status = figures(config, (&storage, engine.late_lines()), &limits, &clock, &origins);
    registry.register_collector(Box::new(StatusMetrics(status.clone())));
    let activity = Arc::clone(&status.activity);
    let ingest: Arc<dyn Ingest> = Arc::clone(&activity) as _;
    let authority = who::open_authority(config, &store, Arc::clone(&clock), audit.clone()).await?;
    if config.roles.contains(&Role::Authority) {
        config.doubts().iter().for_each(|doubt| tracing::warn!("{doubt}"));
        authority.establish(&config.issuer()).await?;
    }
    let (gateway, issuers) =
        who::gateway(config, &authority, Arc::clone(&limits), Arc::clone(&clock), audit.clone())?;
    let keeping = keeping(config, (&storage, &clock), &gateway, &audit, origins);
    let (ingests, ticks) = (Arc::clone(&ingest), Arc::clone(&clock));
    let stop = CancellationToken::new();
    let told = Told {
        settings: door_settings(config, budget, cores)?,
        lifecycle: lifecycle(config, &overrides, &audit, &stop),
    };
    let ending = stop.clone();
    let parts =
        doors::Parts { ingest: ingests, engine, clock: ticks, requests, keeping, status, told, stop: ending };
    let receivers = doors::receivers(&parts, budget, &mut registry);
    register_memory(&mut registry, budget, &storage, &parts.engine, &receivers);
    let doors = doors::open(&parts, &receivers, &authority, &config.listen);
    let doors: Vec<_> = doors.into_iter().filter(|door| config.roles.contains(&door.role)).collect();
    let secured = secure(config, doors.iter().map(|door| door.name), &clock)?;
    registry.register_collector(Box::new(CertificateMetrics { listeners: secured.clone() }));
    let exposition = Exposition::new(registry, Arc::clone(&clock));

    let listeners = open_ports(config, doors, &parts, &exposition, &secured).await?;
    let addresses: Vec<_> =
        listeners.iter().map(|l| Ok((l.name(), l.address()?))).collect::<std::io::Result<_>>()?;
    let own = records.map(|records| {
        let instance = addresses.first().map_or_else(String::new, |(_, address)| address.to_string());
        let (ingest, gateway) = (Arc::clone(&ingest), gateway.clone());
        (OwnWriter { ingest, gateway, clock, exposition, instance }, records)
    });
    let events = (AuditWriter { ingest, gateway, objects: store.objects() }, events);
    pressure::watch(near_limit, stop.clone()).context("cannot watch the memory")?;
    Ok(Assembled {
        keeping: parts.keeping,
        listeners,
        addresses,
        own,
        audit: events,
        authority,
        issuers,
        overrides: (overrides, audit),
        activity: (activity, config.data_dir.clone()),
        stop,
    })
}

fn query_settings(
    config: &Config,
    budget: Budget,
    cores: usize,
    pressure: Pressure,
) -> anyhow::Result<QuerySettings> {
    let memory_bytes = budget.of(Part::Queries);
    Ok(QuerySettings {
        parallelism: cores,
        max_concurrent: config.query.max_concurrent.min((memory_bytes / QUERY_BYTES).max(2)),
        lookback_ms: i64::try_from(config.query.lookback.as_ms()).unwrap_or(i64::MAX),
        features: config.features()?.promql,
        memory_bytes,
        pressure,
    })
}

fn lifecycle(
    config: &Config,
    overrides: &Arc<Overrides>,
    audit: &Audit,
    stop: &CancellationToken,
) -> Lifecycle {
    let (overrides, audit, stop) = (Arc::clone(overrides), audit.clone(), stop.clone());
    Lifecycle { is_open: config.listen.lifecycle, overrides, audit, stop }
}

/// What the query doors are told of the server.
fn door_settings(config: &Config, budget: Budget, cores: usize) -> anyhow::Result<api::Settings> {
    let build = api::BuildInfo { version: env!("CARGO_PKG_VERSION").to_owned(), ..api::BuildInfo::default() };
    let status = api::ServerStatus {
        config_yaml: config.to_yaml(),
        flags: config.to_flags(),
        working_directory: std::env::current_dir().unwrap_or_default().display().to_string(),
        hostname: environment::hostname(),
        cores,
        memory_limit_bytes: budget.limit_bytes as u64,
        lifecycle: config.listen.lifecycle,
    };
    let allowed_origins = config.origins()?;
    Ok(api::Settings { build, allowed_origins, status, search: config.features()?.search })
}

/// Opens the object store, and the engine on it.
async fn open_storage(
    config: &Config,
    budget: Budget,
    (clock, limits): (&Arc<dyn Clock>, &Arc<dyn LimitsSource>),
    seed: u64,
) -> anyhow::Result<(Store, Storage)> {
    // It has everybody's data.
    make_private(&config.data_dir)?;
    let store = who::open_store(config, clock)?;
    store.probe().await?;
    let components = storage::Components::new(Arc::clone(clock), store.objects(), Arc::clone(limits), seed);
    let storage = Storage::open(storage_settings(config, budget, &store), components).await?;
    Ok((store, storage))
}

/// Registers what the parts below the doors count.
fn register_parts(registry: &mut Registry, storage: &Storage, store: &Store, overrides: &Overrides) {
    storage.register_metrics(registry);
    store.register_metrics(registry);
    overrides.register_metrics(registry);
}

/// What the doors of deletions, holds and retention need.
fn keeping(
    config: &Config,
    parts: (&Storage, &Arc<dyn Clock>),
    gateway: &Gateway,
    audit: &Audit,
    origins: Arc<Origins>,
) -> Keeping {
    let (storage, clock) = parts;
    Keeping {
        storage: storage.clone(),
        clock: Arc::clone(clock),
        gateway: gateway.clone(),
        cancel_period_ns: config.retention.delete_cancel_period.as_ns(),
        audit: audit.clone(),
        origins,
    }
}

/// What the figures of tenants are taken from: what is written from now on goes through their counts.
fn figures(
    config: &Config,
    (storage, late_lines): (&Storage, &LateLines),
    limits: &Arc<dyn LimitsSource>,
    clock: &Arc<dyn Clock>,
    origins: &Arc<Origins>,
) -> Status {
    let engine = Arc::new(storage.clone());
    Status {
        storage: storage.clone(),
        activity: Arc::new(Activity::open(engine, late_lines.clone(), Arc::clone(clock), &config.data_dir)),
        limits: Arc::clone(limits),
        origins: Arc::clone(origins),
        clock: Arc::clone(clock),
    }
}

/// The listener that tells of the process' health.
const HEALTH: &str = "health";

/// Opens the ports of the doors.
async fn open_ports(
    config: &Config,
    doors: Vec<doors::Door>,
    parts: &doors::Parts,
    exposition: &Exposition,
    secured: &[Arc<ServerTls>],
) -> anyhow::Result<Vec<Listener>> {
    let (listen, Keeping { gateway, audit, .. }) = (&config.listen, &parts.keeping);
    let mut listeners = Vec::new();
    for door in doors {
        let address = SocketAddr::new(listen.address, door.port + listen.port_offset);
        let operations = doors::operations(&door, parts, exposition);
        let mut router = door.router.merge(operations);
        if let Some(through) = door.through {
            router = router.layer(from_fn(who::guard)).layer(gateway.layer(through));
        }
        let tls = secured.iter().find(|tls| tls.name() == door.name).cloned();
        listeners.push(Listener::bind(door.name, address, router, tls, audit.clone()).await?);
    }
    Ok(listeners)
}

/// Reads the certificates of listeners, where any are configured.
fn secure(
    config: &Config,
    names: impl Iterator<Item = &'static str>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Vec<Arc<ServerTls>>> {
    let Some(tls) = &config.tls else { return Ok(Vec::new()) };
    let tellings = Tellings::default();
    let opened = names.map(|name| {
        let auth = tls.client_auth(name);
        ServerTls::open(name, &tls.files(name), auth, Arc::clone(clock), &tellings)
            .map(Arc::new)
            .with_context(|| format!("cannot serve TLS: listener={name}"))
    });
    opened.collect()
}

impl Assembled {
    /// Where each port answers.
    #[must_use]
    pub fn addresses(&self) -> &[(&'static str, SocketAddr)] {
        &self.addresses
    }

    /// Serves until a signal; then ports close, requests under way end, and heads become segments.
    ///
    /// # Errors
    /// When signals cannot be waited for, or what is in memory cannot be written at the end. The log has it then.
    pub async fn run(self) -> anyhow::Result<()> {
        let stop = self.stop;
        shutdown::on_signal(stop.clone())?;
        // These only read, and end when they are dropped.
        let mut looking = JoinSet::new();
        looking.spawn(async move { self.authority.keep_fresh().await });
        let (overrides, tells) = self.overrides;
        looking.spawn(overrides.keep_fresh(tells));
        looking.spawn(keeping::watch(self.keeping.clone()));
        for issuer in self.issuers {
            looking.spawn(async move { issuer.keep_fresh().await });
        }
        let (activity, data_dir) = self.activity;
        looking.spawn(kept::keep(Arc::clone(&activity), data_dir.clone()));
        let mut serving = JoinSet::new();
        // Whoever asks for the health while everything ends is told that it ends.
        let (mut telling, told) = (JoinSet::new(), CancellationToken::new());
        for listener in self.listeners {
            match listener.name() {
                HEALTH => telling.spawn(listener.serve(told.clone())),
                _ => serving.spawn(listener.serve(stop.clone())),
            };
        }
        let own_stop = CancellationToken::new();
        let own = self.own.map(|(writer, records)| tokio::spawn(writer.run(records, own_stop.clone())));
        let (writer, events) = self.audit;
        let audit = tokio::spawn(writer.run(events, own_stop.clone()));
        for (listener, address) in &self.addresses {
            tracing::info!(listener, %address, "ready");
        }
        stop.cancelled().await;
        while serving.join_next().await.is_some() {}
        own_stop.cancel();
        if let Some(own) = own {
            own.await.context("the writer of the server's own telemetry failed")?;
        }
        audit.await.context("the writer of audit events failed")?;
        if let Err(error) = kept::save(&activity, &data_dir).await {
            tracing::warn!(%error, "what tenants did since the last minute is not kept");
        }
        self.keeping.storage.shutdown().await.context("cannot write what is in memory; the log keeps it")?;
        told.cancel();
        while telling.join_next().await.is_some() {}
        drop(looking);
        tracing::info!("stopped");
        Ok(())
    }
}

/// Tells of the process, and of its own telemetry.
fn register_process(registry: &mut Registry, clock: &dyn Clock, records: Option<&OwnRecords>) {
    let started_s = clock.now().0 as f64 / 1e9;
    registry.register_collector(Box::new(ProcessMetrics { started_s }));
    if let Some(records) = records {
        let help = "Records of the server's own logs and spans that found their queue full and were dropped";
        registry.register("stella_own_records_dropped", help, records.dropped.clone());
    }
}

/// Tells what each part of the budget holds.
fn register_memory(
    registry: &mut Registry,
    budget: Budget,
    storage: &Storage,
    engine: &QueryEngine,
    receivers: &collector::Collector,
) {
    let (storage, engine, receivers) = (storage.clone(), engine.clone(), receivers.clone());
    let used = Box::new(move |part| {
        let stored = storage.memory();
        match part {
            Part::Heads => stored.head_bytes,
            Part::Merges => stored.merge_bytes,
            Part::Queries => engine.memory_bytes(),
            Part::Caches => stored.cache_bytes,
            Part::Requests => receivers.memory_bytes(),
            Part::Log => stored.log_bytes,
        }
    });
    registry.register_collector(Box::new(MemoryMetrics { budget, used }));
}

fn storage_settings(config: &Config, budget: Budget, store: &Store) -> storage::Settings {
    let heads_bytes = budget.of(Part::Heads);
    let defaults = storage::Settings::default();
    storage::Settings {
        data_dir: config.data_dir.clone(),
        wal: storage::WalSettings {
            fsync: match config.wal.fsync {
                Fsync::Always => storage::Fsync::Always,
                Fsync::Interval => storage::Fsync::IntervalMs(config.wal.fsync_interval.as_ms()),
            },
            segment_bytes: config.wal.segment_size.0 as u64,
        },
        flush: storage::FlushSettings {
            max_head_bytes: config.flush.max_head_size.0.min(heads_bytes / 8),
            max_head_age_ms: config.flush.max_head_age.as_ms(),
            max_total_head_bytes: heads_bytes,
        },
        memory: storage::MemorySettings {
            log_bytes: budget.of(Part::Log),
            merge_bytes: budget.of(Part::Merges),
        },
        disk: storage::DiskSettings {
            min_free_bytes: config.disk.min_free.map(|size| size.0 as u64),
            reserve_bytes: RESERVE_BYTES,
            store_folder: store.folder().map(Path::to_owned),
        },
        read: read_settings(config, budget.of(Part::Caches) as u64, store.is_remote()),
        compaction: storage::CompactionSettings {
            interval_ms: config.compaction.interval.as_ms(),
            max_concurrent: config.compaction.max_concurrent,
            ..defaults.compaction
        },
        retention: storage::RetentionSettings {
            interval_ms: config.retention.interval.as_ms(),
            sweep_grace_ms: config.retention.sweep_grace.as_ms(),
            shorten_grace_ms: config.retention.shorten_grace.as_ms(),
        },
        ..defaults
    }
}

/// The memory of caches: for footers and tables, and half of it for bytes where the store is a bucket.
fn read_settings(config: &Config, caches_bytes: u64, is_remote: bool) -> storage::ReadSettings {
    let wanted = config.store.keys.cache;
    let byte_cache = if is_remote {
        storage::ByteCacheSettings {
            memory_bytes: (caches_bytes / 2).min(wanted.memory.0 as u64),
            disk_bytes: wanted.disk.0 as u64,
        }
    } else {
        storage::ByteCacheSettings::default()
    };
    storage::ReadSettings { cache_bytes: caches_bytes - byte_cache.memory_bytes, byte_cache }
}
