//! The engine: one for three signals. Telemetry goes through the log into heads, from heads into Parquet segments, and
//! manifests say which segments there are; reads see a snapshot of all of it.
//!
//! Not here: protocols, query languages, identity. Every call takes a [`model::TenantContext`].

pub mod error;

pub mod settings;

pub(crate) mod bounds;

pub(crate) mod layout;

pub(crate) mod metrics;

pub mod manifest;

pub(crate) mod signal;

pub(crate) mod head;

pub(crate) mod segment;

pub mod read;

pub use error::StorageError;
pub use settings::{
    Components, FlushSettings, Fsync, ReadSettings, RetentionSettings, Settings, WalSettings,
};
