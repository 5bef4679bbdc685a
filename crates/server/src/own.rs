//! The server's own telemetry, kept in the server: what it logs, the requests it answers and the metrics it counts
//! become telemetry of the tenant `stella`, through the same doors as everybody's.
//!
//! Nothing here may wait or fail a request: where the queue is full, records are dropped and counted.

pub(crate) mod layer;

pub(crate) mod record;

pub(crate) mod writer;

pub use model::tenant::OWN_TENANT as TENANT;

/// The service name of the server's own telemetry.
pub const SERVICE: &str = "stella";
