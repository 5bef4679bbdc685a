//! ULIDs for segments and transactions: ascending in this process, and different in every run and node.

use model::{Clock, TimestampNs};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ulid::Ulid;

/// Makes ULIDs from the clock and a seed.
#[derive(Debug)]
pub(crate) struct Ids {
    state: Mutex<(StdRng, Ulid)>,
}

impl Ids {
    /// Starts with a seed; `node` and `run` keep two nodes, and two runs of one node, apart where the seed is the same.
    pub(crate) fn new(seed: u64, node: &str, run: u64) -> Self {
        let salt = xxhash_rust::xxh3::xxh3_64_with_seed(node.as_bytes(), run);
        Self { state: Mutex::new((StdRng::seed_from_u64(seed ^ salt), Ulid::nil())) }
    }

    /// The next id.
    pub(crate) fn next(&self, clock: &dyn Clock) -> String {
        let TimestampNs(now_ns) = clock.now();
        let now_ms = u64::try_from(now_ns / 1_000_000).unwrap_or(0);
        let mut state = self.state.lock();
        let (rng, last) = &mut *state;
        let ascending = if now_ms > last.timestamp_ms() { None } else { last.increment() };
        let next = ascending.unwrap_or_else(|| {
            // 80 bits, with the highest one clear so that counting up does not run over.
            let random = (u128::from(rng.random::<u64>()) << 15) | u128::from(rng.random::<u16>() >> 1);
            Ulid::from_parts(now_ms.max(last.timestamp_ms()), random)
        });
        *last = next;
        next.to_string()
    }
}

#[cfg(test)]
mod tests {
    use model::time::ManualClock;

    use super::*;

    #[test]
    fn ids_ascend_and_runs_differ() {
        let clock = ManualClock::new(TimestampNs(1_700_000_000_000_000_000));
        let ids = Ids::new(1, "n", 1);
        let mut last = ids.next(&clock);
        for step in 0..100 {
            clock.set(TimestampNs(1_700_000_000_000_000_000 + (step % 3 - 1) * 5_000_000));
            let next = ids.next(&clock);
            assert!(next > last, "{next} {last}");
            assert_eq!(next.len(), 26);
            last = next;
        }
        let first = |node: &str, run| Ids::new(1, node, run).next(&clock);
        assert_ne!(first("n", 1), first("n", 2));
        assert_ne!(first("n", 1), first("m", 1));
        assert_eq!(first("n", 1), first("n", 1));
    }
}
