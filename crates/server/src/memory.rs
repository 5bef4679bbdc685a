//! The one budget of memory: where it comes from, and how it is split among the parts of the process.
//!
//! The parts keep to their share by themselves; here is only the arithmetic, and what is told of it.

use std::fmt;
use std::path::Path;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::cgroup;
use crate::config::ConfigError;

const MIB: usize = 1 << 20;

/// The least memory that the server runs in: below it no request of a usual size would have room.
pub const MIN_LIMIT_BYTES: usize = 192 * MIB;

/// What a machine without a limit gives, as a part of its memory: the rest is for others and for cached files.
const MACHINE_SHARE: usize = 2;

/// Taken where the machine does not say how much memory it has.
const UNKNOWN_MACHINE_BYTES: usize = 2 << 30;

/// What the process takes by itself: code, threads, connections.
const PROCESS_BYTES: usize = 64 * MIB;

/// The part of the limit, one in so many, that stays free for what is not counted: free pages that the allocator keeps,
/// copies that live for a moment.
const SLACK: usize = 4;

/// The part of the limit, one in so many, below which the process is near its limit.
const RESERVE: usize = 8;

/// One part of the process that holds memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What has arrived and is not in segments yet.
    Heads,
    /// Heads being written as segments, and segments being merged.
    Merges,
    /// Queries while they run.
    Queries,
    /// Footers, tables and bytes of segments.
    Caches,
    /// Requests: bodies, decoded and mapped.
    Requests,
    /// Records that wait for the log, or come from it at the start.
    Log,
}

/// A part with its share of what the process itself does not take, in percent, and the most that is of use to it.
struct Share {
    part: Part,
    percent: usize,
    max_bytes: usize,
}

/// The split. README.md has the same table.
const SHARES: [Share; 6] = [
    Share { part: Part::Heads, percent: 25, max_bytes: 1_024 * MIB },
    Share { part: Part::Merges, percent: 15, max_bytes: 512 * MIB },
    Share { part: Part::Queries, percent: 29, max_bytes: usize::MAX },
    Share { part: Part::Caches, percent: 10, max_bytes: usize::MAX },
    Share { part: Part::Requests, percent: 13, max_bytes: 1_024 * MIB },
    Share { part: Part::Log, percent: 8, max_bytes: 512 * MIB },
];

impl Part {
    const ALL: [Part; 6] =
        [Part::Heads, Part::Merges, Part::Queries, Part::Caches, Part::Requests, Part::Log];

    const fn as_str(self) -> &'static str {
        match self {
            Part::Heads => "heads",
            Part::Merges => "merges",
            Part::Queries => "queries",
            Part::Caches => "caches",
            Part::Requests => "requests",
            Part::Log => "log",
        }
    }
}

/// Where the limit comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `memory.limit` or `--memory-limit`.
    Setting,
    /// The control group of the process, or one above it.
    ControlGroup,
    /// Half of what the machine has.
    Machine,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Setting => "setting",
            Source::ControlGroup => "control group",
            Source::Machine => "machine",
        })
    }
}

/// The memory that the process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    pub(crate) limit_bytes: usize,
    pub(crate) source: Source,
}

impl Budget {
    /// The budget by the setting, else by the control group, else by the machine; `root` is `/` but for tests.
    ///
    /// # Errors
    /// When the limit is below [`MIN_LIMIT_BYTES`].
    pub(crate) fn find(setting_bytes: Option<usize>, root: &Path) -> Result<Self, ConfigError> {
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let budget = if let Some(limit_bytes) = setting_bytes {
            Self { limit_bytes, source: Source::Setting }
        } else if let Some(limit) = cgroup::limit_bytes(root) {
            Self { limit_bytes: bytes(limit), source: Source::ControlGroup }
        } else {
            let machine = cgroup::machine_bytes(root).map_or(UNKNOWN_MACHINE_BYTES, bytes);
            Self { limit_bytes: machine / MACHINE_SHARE, source: Source::Machine }
        };
        if budget.limit_bytes < MIN_LIMIT_BYTES {
            let Self { limit_bytes, source } = budget;
            return Err(ConfigError::Value(format!(
                "too little memory: memory.limit={limit_bytes} bytes (by the {source}), at least {MIN_LIMIT_BYTES} \
                 are needed"
            )));
        }
        Ok(budget)
    }

    /// What a part may hold, in bytes.
    pub(crate) fn of(self, part: Part) -> usize {
        let left = self.limit_bytes - PROCESS_BYTES - self.limit_bytes / SLACK;
        let share = SHARES.iter().find(|share| share.part == part).expect("the table has every part");
        (left / 100).saturating_mul(share.percent).min(share.max_bytes)
    }

    /// From where on the process is near its limit: whatever it is that grew, queries get no more memory then.
    pub(crate) const fn high_bytes(self) -> usize {
        self.limit_bytes - self.limit_bytes / RESERVE
    }

    /// Says once how the memory is split.
    pub(crate) fn tell(self) {
        let mib = |part| self.of(part) / MIB;
        tracing::info!(
            limit_mib = self.limit_bytes / MIB,
            source = %self.source,
            heads_mib = mib(Part::Heads),
            merges_mib = mib(Part::Merges),
            queries_mib = mib(Part::Queries),
            caches_mib = mib(Part::Caches),
            requests_mib = mib(Part::Requests),
            log_mib = mib(Part::Log),
            "memory budget"
        );
    }
}

/// The budget and what is used of it, as metrics that are read when they are asked for.
pub(crate) struct MemoryMetrics {
    pub(crate) budget: Budget,
    /// What a part holds now, in bytes.
    pub(crate) used: Box<dyn Fn(Part) -> usize + Send + Sync>,
}

impl fmt::Debug for MemoryMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryMetrics").field("budget", &self.budget).finish_non_exhaustive()
    }
}

impl Collector for MemoryMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let limit = ConstGauge::new(self.budget.limit_bytes as f64);
        let help = "Memory that the process may use";
        let metric =
            encoder.encode_descriptor("stella_memory_limit_bytes", help, None, limit.metric_type())?;
        limit.encode(metric)?;
        let high = ConstGauge::new(self.budget.high_bytes() as f64);
        let help = "Resident memory from which on queries get no more";
        let metric = encoder.encode_descriptor("stella_memory_high_bytes", help, None, high.metric_type())?;
        high.encode(metric)?;
        let mut parts = |name: &str, help: &str, value: &dyn Fn(Part) -> usize| -> Result<(), fmt::Error> {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for part in Part::ALL {
                let gauge = ConstGauge::new(value(part) as f64);
                gauge.encode(family.encode_family(&[("part", part.as_str())])?)?;
            }
            Ok(())
        };
        let budget = self.budget;
        parts("stella_memory_budget_bytes", "Memory that a part of the process may hold", &|part| {
            budget.of(part)
        })?;
        parts("stella_memory_used_bytes", "Memory that a part of the process holds", &|part| {
            (self.used)(part)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_comes_before_the_control_group_and_that_before_the_machine() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let found = |setting| Budget::find(setting, root.path()).unwrap();
        let of = |limit_bytes, source| Budget { limit_bytes, source };
        assert_eq!(found(None), of(1 << 30, Source::Machine), "a machine that says nothing");
        write("proc/meminfo", "MemTotal: 8388608 kB\n");
        assert_eq!(found(None), of(4 << 30, Source::Machine));
        write("proc/self/cgroup", "0::/a\n");
        write("proc/self/mountinfo", "24 23 0:22 / /cg rw - cgroup2 cgroup2 rw\n");
        write("cg/a/memory.max", "536870912\n");
        assert_eq!(found(None), of(512 * MIB, Source::ControlGroup));
        assert_eq!(found(Some(300 * MIB)), of(300 * MIB, Source::Setting));
        write("cg/a/memory.max", "1048576\n");
        let error = Budget::find(None, root.path()).unwrap_err().to_string();
        assert!(error.contains("memory.limit=1048576") && error.contains("control group"), "{error}");
        assert!(Budget::find(Some(MIN_LIMIT_BYTES - 1), root.path()).is_err());
    }

    #[test]
    fn the_parts_and_the_process_fit_into_the_limit() {
        assert_eq!(SHARES.iter().map(|share| share.percent).sum::<usize>(), 100);
        for limit_bytes in [MIN_LIMIT_BYTES, 512 * MIB, 2 << 30, 1 << 40, usize::MAX] {
            let budget = Budget { limit_bytes, source: Source::Setting };
            let parts: usize = Part::ALL.iter().map(|part| budget.of(*part)).sum();
            assert!(parts + PROCESS_BYTES + limit_bytes / SLACK <= limit_bytes, "{limit_bytes}");
            assert!(Part::ALL.iter().all(|part| budget.of(*part) >= 6 * MIB), "{limit_bytes}");
        }
        let small = Budget { limit_bytes: 512 * MIB, source: Source::Setting };
        assert_eq!(small.of(Part::Heads) / MIB, 79);
        assert_eq!(small.of(Part::Requests) / MIB, 41);
    }
}
