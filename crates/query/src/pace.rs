//! Room for others: a query that computes without waiting gives its thread away now and then.
//!
//! Without it, a query over data in memory would hold its thread until it is done: others would not get their turn,
//! and it could not be stopped.

use std::sync::Arc;

use model::Clock;
use model::time::NS_PER_MS;

/// How long a query computes at a stretch.
const SLICE_NS: u64 = 2 * NS_PER_MS as u64;

/// When a query has last given its thread away.
#[derive(Debug)]
pub(crate) struct Pace {
    clock: Arc<dyn Clock>,
    since_ns: u64,
}

impl Pace {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let since_ns = clock.monotonic_ns();
        Self { clock, since_ns }
    }

    /// The pace of another piece of the same query.
    pub(crate) fn again(&self) -> Self {
        Self::new(Arc::clone(&self.clock))
    }

    /// Lets others run when this query has run for long enough. To be called after each piece of work.
    pub(crate) async fn step(&mut self) {
        if self.clock.monotonic_ns().saturating_sub(self.since_ns) >= SLICE_NS {
            tokio::task::yield_now().await;
            self.since_ns = self.clock.monotonic_ns();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use model::TimestampNs;
    use model::time::ManualClock;

    use super::*;

    #[tokio::test]
    async fn the_thread_is_given_away_after_a_slice() {
        let clock = Arc::new(ManualClock::new(TimestampNs(0)));
        let mut pace = Pace::new(Arc::clone(&clock) as Arc<dyn Clock>);
        assert!(pace.step().now_or_never().is_some());
        clock.advance_ns(2 * NS_PER_MS);
        assert!(pace.step().now_or_never().is_none());
        pace.step().await;
        assert!(pace.step().now_or_never().is_some());
    }
}
