//! Opens the object store that an address names: a folder, memory, or a bucket of S3, Google Cloud Storage or Azure Blob
//! Storage. What the engine relies on is the same in all of them; `tests/it/store_contract.rs` is that contract.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Clock;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use prometheus_client::registry::Registry;

use crate::error::StorageError;
use crate::metrics::StoreMetrics;

use client::Endpoint;
use config::Address;
use folder::Folder;
use remote::Remote;
use retry::Attempts;

pub(crate) mod config;

pub(crate) mod cache;

mod folder;

mod credentials;

mod client;

mod wire;

mod retry;

mod remote;

mod upload;

mod probe;

/// Among the extensions of a read's options: bytes that were cached did not have their checksum. Every cache on the way
/// drops what it has of the object and asks the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fresh;

/// The parts that a store is given.
pub struct StoreParts {
    /// The time, for the durations of requests.
    pub clock: Arc<dyn Clock>,
    /// The start of the random part of waits.
    pub seed: u64,
    /// The environment variables that stores of others may be configured by.
    pub environment: Vec<(String, String)>,
}

impl fmt::Debug for StoreParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment may hold secrets.
        f.debug_struct("StoreParts").field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// An object store that was opened. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    metrics: Arc<StoreMetrics>,
    is_remote: bool,
    folder: Option<PathBuf>,
}

impl Store {
    /// Opens the store that the configuration names; a folder is made where it is missing. Nothing is asked of a store
    /// of others yet: [`Store::probe`] does.
    ///
    /// # Errors
    /// [`StorageError::UnsupportedStore`] for an address that is none; [`StorageError::Settings`] when settings or
    /// credentials are missing or make no sense; otherwise when a folder or file cannot be used.
    pub fn open(config: &config::StoreConfig, parts: &StoreParts) -> Result<Self, StorageError> {
        let metrics = Arc::new(StoreMetrics::default());
        let mut folder = None;
        let (objects, is_remote): (Arc<dyn ObjectStore>, bool) = match Address::parse(&config.url)? {
            Address::Memory => (Arc::new(InMemory::new()), false),
            Address::Folder(path) => (Arc::new(Folder::open(folder.insert(path))?), false),
            Address::Bucket { kind, bucket, prefix } => {
                let clock = Arc::clone(&parts.clock);
                let endpoint = Endpoint { kind, bucket, prefix, config, environment: &parts.environment };
                let (client, prefix) = endpoint.connect(&clock, &metrics)?;
                let attempts =
                    Attempts::new(kind.scheme(), config.patience, clock, parts.seed, Arc::clone(&metrics));
                (Arc::new(Remote::new(client, config.url.clone(), prefix, attempts)), true)
            }
        };
        Ok(Self { objects, metrics, is_remote, folder })
    }

    /// The objects.
    #[must_use]
    pub fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.objects)
    }

    /// Whether every request goes over the network, so that a cache of bytes saves some.
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// The folder that the store is, where it is one.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Checks that the store answers, that it takes objects, and that it does not let one be created twice: commits rely
    /// on that. It leaves one small object, which the next probe finds.
    ///
    /// # Errors
    /// When one of this is not so; the message says what to do.
    pub async fn probe(&self) -> Result<(), StorageError> {
        probe::run(&*self.objects).await
    }

    /// Puts the store's metrics into a registry.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }
}

#[cfg(test)]
mod tests;
