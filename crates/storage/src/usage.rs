//! What each tenant has here: how much is stored, how old it is, and what is being written.

use hashbrown::HashSet;
use model::{Signal, TenantId, TimeRange};
use ulid::Ulid;

use crate::head::union;
use crate::partition::{Partition, State};
use crate::signal::Table;
use crate::storage::Storage;

/// What one tenant has of one signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Which signal.
    pub signal: Signal,
    /// Bytes of segments in the store.
    pub stored_bytes: u64,
    /// Segments in the store.
    pub segments: u64,
    /// Bytes of heads in memory.
    pub head_bytes: u64,
    /// The time that the data covers, in segments and heads; none where there is no data.
    pub time: Option<TimeRange>,
    /// When the oldest segment that is there was written, in Unix milliseconds.
    pub first_segment_ms: Option<u64>,
}

impl Storage {
    /// What a tenant has of a signal; none where it never wrote.
    #[must_use]
    pub fn usage(&self, tenant: &TenantId, signal: Signal) -> Option<Usage> {
        self.engine.tenants.get(tenant, signal).map(|partition| usage(&partition))
    }

    /// How many series, streams or traces the heads of a tenant's signal have rows of: those that are written at present.
    /// For traces the ids of all spans in memory are looked at.
    #[must_use]
    pub fn active(&self, tenant: &TenantId, signal: Signal) -> u64 {
        let Some(partition) = self.engine.tenants.get(tenant, signal) else { return 0 };
        // Where there is a limit of them, what it counts is what there is.
        if let Some(counted) = self.engine.counted(&partition) {
            return counted;
        }
        let views = partition.state().head_views();
        if signal != Signal::Traces {
            return views.iter().map(|view| u64::from(view.series_count())).max().unwrap_or(0);
        }
        let mut traces = HashSet::new();
        for view in &views {
            view.each_keys(Table::Spans, |keys| {
                traces.extend((0..keys.len()).map(|row| keys.get(row).major));
            });
        }
        traces.len() as u64
    }
}

/// The memory of all heads.
fn heads_of(state: &State) -> usize {
    let frozen = state.frozen.iter().map(|frozen| frozen.head.bytes());
    let active = state.replayed.iter().chain([&state.active]).map(|active| active.head.bytes());
    frozen.chain(active).sum()
}

fn usage(partition: &Partition) -> Usage {
    let state = partition.state();
    let segments = &state.manifest.segments;
    let views = state.head_views();
    let heads = views.iter().filter_map(|view| view.time_range());
    let written = segments.iter().filter_map(|segment| Ulid::from_string(&segment.id).ok());
    Usage {
        signal: partition.id.signal,
        stored_bytes: segments.iter().map(|segment| segment.bytes()).sum(),
        segments: segments.len() as u64,
        head_bytes: heads_of(&state) as u64,
        time: segments
            .iter()
            .map(|segment| segment.range())
            .chain(heads)
            .fold(None, |all, range| Some(union(all, range))),
        first_segment_ms: written.map(|id| id.timestamp_ms()).min(),
    }
}
