//! The session of one query: what DataFusion may do for it, and what it may not reach.

use std::sync::Arc;

use datafusion::common::{Result, plan_err};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::object_store::ObjectStore;
use datafusion::prelude::SessionConfig;
use model::TimestampNs;
use url::Url;

use super::catalog::{CATALOG, Catalog, SCHEMA, Tenant};
use super::depth::PARSER_RECURSION;
use super::functions::with_functions;
use super::growth::Ledger;

use crate::error::QueryError;
use crate::leaf::from_datafusion;

/// Rows of a batch.
const BATCH_ROWS: usize = 4_096;

/// A session that sees one tenant, and its ledger.
///
/// # Errors
/// When DataFusion does not take its settings.
pub(crate) fn session(tenant: Tenant, now: TimestampNs) -> Result<(SessionState, Arc<Ledger>), QueryError> {
    let pool: Arc<dyn MemoryPool> = tenant.running.memory();
    let ledger = Arc::new(Ledger::new(MemoryConsumer::new("functions").register(&pool)));
    // Nothing goes to the disk: what does not fit into the query's memory fails.
    let disks = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        .with_disk_manager_builder(disks)
        .with_object_store_registry(Arc::new(NoStores))
        .build_arc()
        .map_err(|error| from_datafusion(&error))?;
    let builder = SessionStateBuilder::new()
        .with_session_id("sql".to_owned())
        .with_config(config(tenant.parallelism))
        .with_runtime_env(runtime)
        .with_execution_props(props(now))
        .with_catalog_list(Arc::new(Catalog(tenant)));
    Ok((with_functions(builder, &ledger).build(), ledger))
}

fn config(parallelism: usize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_batch_size(BATCH_ROWS)
        .with_target_partitions(parallelism.max(1))
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true)
        .set_usize("datafusion.sql_parser.recursion_limit", PARSER_RECURSION);
    let options = config.options_mut();
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.collect_spans = true;
    options.execution.time_zone = Some("UTC".to_owned());
    // A sort that would have to spill needs no memory kept for that.
    options.execution.sort_spill_reservation_bytes = 0;
    options.explain.logical_plan_only = false;
    config
}

/// What `now()` is.
fn props(now: TimestampNs) -> ExecutionProps {
    let props = ExecutionProps::new();
    match arrow::temporal_conversions::timestamp_ns_to_datetime(now.0) {
        Some(now) => props.with_query_execution_start_time(now.and_utc()),
        None => props,
    }
}

/// No store of objects, not even the machine's files: tables are read by `storage` alone.
#[derive(Debug)]
struct NoStores;

impl ObjectStoreRegistry for NoStores {
    fn register_store(&self, _url: &Url, _store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        plan_err!("SQL here reads no files: url={url}")
    }
}
