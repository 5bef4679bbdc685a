//! Where log lines go: standard error for people, and where it is switched on, the server's own telemetry.

use std::io::IsTerminal;
use std::sync::Arc;

use anyhow::Context;
use model::Clock;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::own::layer::{self, OwnRecords};

/// Installs the subscriber. `own` has the clock and the seed of ids for the server's own telemetry.
///
/// The level on standard error is that of `RUST_LOG`, `info` where it is not set.
///
/// # Errors
/// When `RUST_LOG` is not a filter, or a subscriber is installed already.
pub(crate) fn init(own: Option<(Arc<dyn Clock>, u64)>) -> anyhow::Result<Option<OwnRecords>> {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env()
        .context("RUST_LOG is not a filter")?;
    let to_stderr = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_filter(filter);
    let (own_layer, records) = own.map(|(clock, seed)| layer::layer(clock, seed)).unzip();
    // What the libraries below the server say at info is about themselves.
    let own_filter = Targets::new().with_default(LevelFilter::INFO).with_targets([
        ("hyper", LevelFilter::WARN),
        ("h2", LevelFilter::WARN),
        ("tower", LevelFilter::WARN),
    ]);
    tracing_subscriber::registry()
        .with(to_stderr)
        .with(own_layer.map(|layer| layer.with_filter(own_filter)))
        .try_init()
        .context("cannot install the log subscriber")?;
    Ok(records)
}
