//! What the operator may set of the query engine.

use model::Pressure;
use promql::Features;

/// Settings of the query engine; the limits of a tenant are not here (`model::limits`).
#[derive(Clone, Debug)]
pub struct QuerySettings {
    /// Partitions that one leaf is split into at most: the number of cores.
    pub parallelism: usize,
    /// Queries that run at once; more wait within their time.
    pub max_concurrent: usize,
    /// How far back an instant selector of PromQL looks.
    pub lookback_ms: i64,
    /// What of PromQL is experimental and enabled.
    pub features: Features,
    /// Memory that all queries may hold together, in bytes.
    pub memory_bytes: usize,
    /// What the whole process holds: while that is high, queries get no more memory but for a small part of theirs.
    pub pressure: Pressure,
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self {
            parallelism: 2,
            max_concurrent: 20,
            lookback_ms: 5 * 60 * 1_000,
            features: Features::default(),
            memory_bytes: 4 << 30,
            pressure: Pressure::default(),
        }
    }
}
