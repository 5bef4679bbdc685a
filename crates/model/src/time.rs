//! Points and ranges of time, and the clock as a part that is passed in.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};

/// Nanoseconds per millisecond.
pub const NS_PER_MS: i64 = 1_000_000;
/// Nanoseconds per second.
pub const NS_PER_S: i64 = 1_000_000_000;

/// Nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimestampNs(pub i64);

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimestampMs(pub i64);

impl TimestampNs {
    /// The same moment in milliseconds, rounded down.
    #[must_use]
    pub const fn to_ms(self) -> TimestampMs {
        TimestampMs(self.0.div_euclid(NS_PER_MS))
    }
}

impl TimestampMs {
    /// The same moment in nanoseconds; saturates some 292 years away from the epoch.
    #[must_use]
    pub const fn to_ns(self) -> TimestampNs {
        TimestampNs(self.0.saturating_mul(NS_PER_MS))
    }
}

/// A range of time in nanoseconds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// The first nanosecond that belongs to it.
    pub start_ns: i64,
    /// The last nanosecond that belongs to it.
    pub end_ns: i64,
}

impl TimeRange {
    /// All of time.
    pub const ALL: TimeRange = TimeRange { start_ns: i64::MIN, end_ns: i64::MAX };

    /// A range of nanoseconds, both ends included; empty when `end_ns < start_ns`.
    #[must_use]
    pub const fn new(start_ns: i64, end_ns: i64) -> Self {
        Self { start_ns, end_ns }
    }

    /// A range of milliseconds: the last millisecond belongs to it whole.
    #[must_use]
    pub const fn from_ms(start_ms: i64, end_ms: i64) -> Self {
        Self {
            start_ns: start_ms.saturating_mul(NS_PER_MS),
            end_ns: end_ms.saturating_mul(NS_PER_MS).saturating_add(NS_PER_MS - 1),
        }
    }

    /// Whether the moment lies in the range.
    #[must_use]
    pub const fn contains(self, timestamp_ns: i64) -> bool {
        self.start_ns <= timestamp_ns && timestamp_ns <= self.end_ns
    }

    /// Whether the two have a moment in common.
    #[must_use]
    pub const fn overlaps(self, other: TimeRange) -> bool {
        self.start_ns <= other.end_ns && other.start_ns <= self.end_ns
    }

    /// The first millisecond whose start is not before the range.
    #[must_use]
    pub const fn start_ms(self) -> i64 {
        let floor = self.start_ns.div_euclid(NS_PER_MS);
        if self.start_ns.rem_euclid(NS_PER_MS) == 0 { floor } else { floor.saturating_add(1) }
    }

    /// The last millisecond whose start is not after the range.
    #[must_use]
    pub const fn end_ms(self) -> i64 {
        self.end_ns.div_euclid(NS_PER_MS)
    }
}

/// The time, as a part that is passed in: the system's in the binary, a simulated one in tests.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Wall-clock time; may jump in either direction.
    fn now(&self) -> TimestampNs;

    /// Nanoseconds since an arbitrary start; never goes back. For ages and time-outs.
    fn monotonic_ns(&self) -> u64;
}

/// A clock that stands still until it is told to move: for tests and simulation.
#[derive(Debug)]
pub struct ManualClock {
    now_ns: AtomicI64,
    monotonic_ns: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at the given moment.
    #[must_use]
    pub const fn new(now: TimestampNs) -> Self {
        Self { now_ns: AtomicI64::new(now.0), monotonic_ns: AtomicI64::new(0) }
    }

    /// Moves both times forward.
    pub fn advance_ns(&self, ns: i64) {
        self.now_ns.fetch_add(ns, Ordering::Relaxed);
        self.monotonic_ns.fetch_add(ns.max(0), Ordering::Relaxed);
    }

    /// Sets the wall clock, as an operator or a time server would; monotonic time is not touched.
    pub fn set(&self, now: TimestampNs) {
        self.now_ns.store(now.0, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> TimestampNs {
        TimestampNs(self.now_ns.load(Ordering::Relaxed))
    }

    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.monotonic_ns.load(Ordering::Relaxed)).unwrap_or(0)
    }
}
