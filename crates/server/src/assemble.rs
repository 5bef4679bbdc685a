//! The one place where the parts meet, in reading order: settings, object store, storage, query engine, doors,
//! gateway, listeners. The end is the reverse.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use model::limits::{Limits, LimitsSource, Retention, SameLimits};
use model::tenant::Caller;
use model::{Clock, Ingest, TenantId};
use prometheus_client::registry::Registry;
use query::{QueryEngine, QuerySettings};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use security::gateway::Gateway;
use storage::Storage;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::SystemClock;
use crate::config::{Config, Fsync, Role, units};
use crate::exposition::Exposition;
use crate::listeners::Listener;
use crate::own::layer::OwnRecords;
use crate::own::{self, writer::OwnWriter};
use crate::process::ProcessMetrics;
use crate::requests::RequestMetrics;
use crate::{doors, logging, shutdown};

/// A server whose ports are open and that has not answered anything yet.
pub struct Assembled {
    storage: Storage,
    listeners: Vec<Listener>,
    addresses: Vec<(&'static str, SocketAddr)>,
    own: Option<(OwnWriter, OwnRecords)>,
}

/// Puts the parts together.
///
/// # Errors
/// When the store or the log cannot be opened, or a port is taken.
pub async fn assemble(config: &Config, queries: Handle, cores: usize) -> anyhow::Result<Assembled> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut seeds = StdRng::from_os_rng();
    let records = logging::init(config.own_telemetry.then(|| (Arc::clone(&clock), seeds.random())))?;

    let limits: Arc<dyn LimitsSource> = Arc::new(SameLimits(Arc::new(limits(config))));
    let store_url = config.store_url();
    let store = storage::open_store(&store_url).with_context(|| format!("cannot open the store {store_url}"))?;
    let components = storage::Components {
        clock: Arc::clone(&clock),
        store,
        limits: Arc::clone(&limits),
        seed: seeds.random(),
    };
    let storage = Storage::open(storage_settings(config), components).await?;

    let mut registry = Registry::default();
    storage.register_metrics(&mut registry);
    let started_s = clock.now().0 as f64 / 1e9;
    registry.register_collector(Box::new(ProcessMetrics { started_s }));
    let requests = RequestMetrics::new(&mut registry, Arc::clone(&clock));

    let settings = QuerySettings {
        parallelism: cores,
        max_concurrent: config.query.max_concurrent,
        lookback_ms: i64::try_from(config.query.lookback.as_ms()).unwrap_or(i64::MAX),
    };
    let engine = QueryEngine::new(storage.clone(), Arc::clone(&clock), settings, queries);

    let ingest: Arc<dyn Ingest> = Arc::new(storage.clone());
    let gateway = Gateway::new(config.default_tenant()?, Arc::clone(&limits));
    let parts = doors::Parts {
        ingest: Arc::clone(&ingest),
        engine,
        storage: storage.clone(),
        clock: Arc::clone(&clock),
        requests,
    };
    let doors = doors::open(&parts, &mut registry);
    let exposition = Exposition::new(registry);

    let mut listeners = Vec::new();
    for door in doors.into_iter().filter(|door| config.roles.contains(&door.role)) {
        let router = doors::operations(door.router, &door, &storage, &exposition);
        listeners.push(listen(config, door.name, door.role, &gateway, router).await?);
    }
    let mut addresses = Vec::with_capacity(listeners.len());
    for listener in &listeners {
        addresses.push((listener.name(), listener.address()?));
    }
    let own = own_writer(records, config, ingest, &gateway, clock, exposition)?;
    Ok(Assembled { storage, listeners, addresses, own })
}
