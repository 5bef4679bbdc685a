//! How often somebody may do something: so many at once, and so many a second after that. Whom it is about is a text;
//! a bounded number of them is remembered, those that did it lately.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Clock;
use parking_lot::Mutex;

use crate::bounds::MAX_THROTTLED;

/// A bound on how often.
#[derive(Debug)]
pub(crate) struct Throttle {
    /// What may be done at once, after a pause that was long enough.
    burst: f64,
    per_s: f64,
    clock: Arc<dyn Clock>,
    /// What each has left, and when that was counted.
    left: Mutex<BTreeMap<String, (f64, u64)>>,
}

impl Throttle {
    pub(crate) fn new(burst: u32, per_s: f64, clock: Arc<dyn Clock>) -> Self {
        Self { burst: f64::from(burst), per_s, clock, left: Mutex::default() }
    }

    fn left(&self, (left, counted_ns): (f64, u64), now_ns: u64) -> f64 {
        let passed_s = now_ns.saturating_sub(counted_ns) as f64 / 1e9;
        (left + passed_s * self.per_s).min(self.burst)
    }

    /// Whether somebody may do it now.
    ///
    /// # Errors
    /// The seconds after which they may.
    pub(crate) fn check(&self, who: &str) -> Result<(), u64> {
        let now_ns = self.clock.monotonic_ns();
        let left = self.left.lock().get(who).map_or(self.burst, |seen| self.left(*seen, now_ns));
        if left >= 1.0 { Ok(()) } else { Err((((1.0 - left) / self.per_s).ceil() as u64).max(1)) }
    }

    /// Counts that they did it.
    pub(crate) fn count(&self, who: &str) {
        let now_ns = self.clock.monotonic_ns();
        let mut seen = self.left.lock();
        let left = seen.get(who).map_or(self.burst, |one| self.left(*one, now_ns));
        if seen.len() >= MAX_THROTTLED && !seen.contains_key(who) {
            // Whoever has all of it again needs not be remembered; else the one that did the least.
            seen.retain(|_, one| self.left(*one, now_ns) < self.burst);
            let least =
                seen.iter().max_by(|a, b| self.left(*a.1, now_ns).total_cmp(&self.left(*b.1, now_ns)));
            if seen.len() >= MAX_THROTTLED
                && let Some(least) = least.map(|(who, _)| who.clone())
            {
                seen.remove(&least);
            }
        }
        seen.insert(who.to_owned(), ((left - 1.0).max(0.0), now_ns));
    }
}

#[cfg(test)]
mod tests {
    use model::time::{ManualClock, TimestampNs};

    use super::*;

    #[test]
    fn a_burst_passes_and_then_a_rate_for_each_by_itself() {
        let clock = Arc::new(ManualClock::new(TimestampNs(0)));
        let throttle = Throttle::new(3, 0.5, Arc::clone(&clock) as _);
        for _ in 0..3 {
            assert_eq!(throttle.check("a"), Ok(()));
            throttle.count("a");
        }
        assert_eq!(throttle.check("a"), Err(2));
        assert_eq!(throttle.check("b"), Ok(()));
        clock.advance_ns(1_000_000_000);
        assert_eq!(throttle.check("a"), Err(1));
        clock.advance_ns(1_000_000_000);
        assert_eq!(throttle.check("a"), Ok(()));
        throttle.count("a");
        assert_eq!(throttle.check("a"), Err(2));
    }

    #[test]
    fn those_who_do_it_most_are_remembered_longest() {
        let clock = Arc::new(ManualClock::new(TimestampNs(0)));
        let throttle = Throttle::new(2, 0.001, Arc::clone(&clock) as _);
        throttle.count("worst");
        throttle.count("worst");
        for n in 0..MAX_THROTTLED + 10 {
            throttle.count(&n.to_string());
        }
        assert_eq!(throttle.left.lock().len(), MAX_THROTTLED);
        assert!(throttle.check("worst").is_err());
    }
}
