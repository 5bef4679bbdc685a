//! How much may be sent: a bucket of tokens that fills with time.

use model::limits::Rate;
use parking_lot::Mutex;

use crate::bounds::MAX_RATE_RETRY_S;

/// A token, in the parts that come back in a nanosecond at a rate of one a second.
const TOKEN: u128 = 1_000_000_000;

/// The bucket; it is full when it is looked at first.
#[derive(Debug, Default)]
pub(crate) struct Bucket(Mutex<Option<Level>>);

#[derive(Clone, Copy, Debug)]
struct Level {
    parts: u128,
    at_ns: u64,
}

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shortage {
    /// The rate in force.
    pub(crate) rate: Rate,
    /// Seconds after which there is enough, or as much as there can be.
    pub(crate) retry_after_s: u32,
    /// Whether there can never be enough.
    pub(crate) is_over_burst: bool,
}

impl Bucket {
    /// Takes so many tokens, or none. The rate may be another each time: what is in the bucket stays, up to the burst.
    pub(crate) fn take(&self, rate: Rate, tokens: u64, now_ns: u64) -> Result<(), Shortage> {
        let full = u128::from(rate.burst) * TOKEN;
        let mut guard = self.0.lock();
        let level = guard.unwrap_or(Level { parts: full, at_ns: now_ns });
        let elapsed_ns = now_ns.saturating_sub(level.at_ns);
        let back = u128::from(elapsed_ns).saturating_mul(u128::from(rate.per_s));
        let mut parts = level.parts.saturating_add(back).min(full);
        let wanted = u128::from(tokens) * TOKEN;
        let taken = if wanted <= parts {
            parts -= wanted;
            Ok(())
        } else {
            let missing = wanted.min(full).saturating_sub(parts);
            let wait_ns = missing.div_ceil(u128::from(rate.per_s.max(1)));
            let wait_s = u32::try_from(wait_ns.div_ceil(TOKEN)).unwrap_or(u32::MAX);
            let is_never = rate.per_s == 0;
            let retry_after_s = if is_never { MAX_RATE_RETRY_S } else { wait_s.clamp(1, MAX_RATE_RETRY_S) };
            Err(Shortage { rate, retry_after_s, is_over_burst: wanted > full })
        };
        // Two writers may look at the clock in one order and come here in the other.
        *guard = Some(Level { parts, at_ns: now_ns.max(level.at_ns) });
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_is_taken_at_once_and_comes_back_with_time() {
        let (bucket, rate) = (Bucket::default(), Rate { per_s: 10, burst: 20 });
        bucket.take(rate, 15, 0).unwrap();
        bucket.take(rate, 5, 0).unwrap();
        let short = bucket.take(rate, 5, 0).unwrap_err();
        assert_eq!((short.retry_after_s, short.is_over_burst), (1, false));
        bucket.take(rate, 5, SECOND / 2).unwrap();
        bucket.take(rate, 1, SECOND / 2).unwrap_err();
        assert_eq!(bucket.take(rate, 20, SECOND).unwrap_err().retry_after_s, 2);
        bucket.take(rate, 20, 60 * SECOND).unwrap();
        bucket.take(rate, 1, 60 * SECOND).unwrap_err();
    }

    #[test]
    fn what_is_larger_than_the_burst_is_never_taken_and_says_so() {
        let (bucket, rate) = (Bucket::default(), Rate { per_s: 10, burst: 20 });
        let short = bucket.take(rate, 21, 0).unwrap_err();
        assert!(short.is_over_burst);
        bucket.take(rate, 20, 0).unwrap();
    }

    #[test]
    fn rates_change_while_it_runs_and_a_rate_of_zero_takes_nothing() {
        let bucket = Bucket::default();
        bucket.take(Rate { per_s: 10, burst: 10 }, 10, 0).unwrap();
        bucket.take(Rate { per_s: 1_000, burst: 1_000 }, 1_000, SECOND).unwrap();
        bucket.take(Rate { per_s: 10, burst: 10 }, 11, 100 * SECOND).unwrap_err();
        let none = Rate { per_s: 0, burst: 0 };
        assert_eq!(bucket.take(none, 1, 200 * SECOND).unwrap_err().retry_after_s, MAX_RATE_RETRY_S);
        let most = Rate { per_s: u64::MAX, burst: u64::MAX };
        bucket.take(most, u64::MAX, u64::MAX).unwrap();
        bucket.take(most, 1, 0).unwrap_err();
    }
}
