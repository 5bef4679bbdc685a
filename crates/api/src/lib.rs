//! Every query door out: Prometheus', Loki's and Tempo's HTTP APIs over one engine. Parameters in, answers out, each
//! in the shapes of its original.
//!
//! Not here: writing (`collector`), who is asking (`security`; a request brings its `Access`), and what the
//! languages mean (`query`). `/ready` and `/metrics` belong to the process, not to a protocol.

pub mod build_info;

pub mod failure;

mod prometheus;

mod loki;

mod tempo;

mod parameters;

mod duration;

mod reply;

mod json;

mod error;

mod plain_error;

mod bounds;

pub use build_info::BuildInfo;
pub use loki::loki;
pub use prometheus::{ServerStatus, parse_time as parse_prometheus_time, prometheus};
pub use tempo::tempo;

use model::Origins;

/// What the operator may set of the query doors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Which build is running.
    pub build: BuildInfo,
    /// The origins whose pages may read answers of Prometheus' API.
    pub allowed_origins: Origins,
    /// What the status routes say of the server.
    pub status: ServerStatus,
    /// Whether the routes of Prometheus' experimental search are there.
    pub search: bool,
}
