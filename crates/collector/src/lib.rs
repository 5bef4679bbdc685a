//! Every door in: receivers that turn what clients send into batches of `model`, and hand them to the one
//! [`model::Ingest`].
//!
//! Not here: sockets, certificates, the choice of a tenant (a request brings its [`model::tenant::Access`]), and
//! reading.

pub mod settings;

pub mod receivers;

pub mod exposition;

pub mod metrics;

pub mod error;

mod bounds;

mod mapping;

pub use error::CollectorError;
pub use metrics::Metrics;
pub use receivers::{Collector, Components};
pub use settings::Settings;
