//! How often somebody may do something: so many at once, and so many a second after that. Whom it is about is a text;
//! a bounded number of them is remembered, those that did it lately.
//!
//! Guesses are bounded another way: a proof that is right is never refused because others, or the same one, were wrong. What
//! is bounded is how many are looked at.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use model::Clock;
use parking_lot::Mutex;

use crate::bounds::{LOOKS_PER_S, MAX_LOOKS, MAX_THROTTLED};

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

/// Who has shown wrong proofs lately, and how many more of theirs are looked at.
#[derive(Debug)]
pub(crate) struct Guesses {
    wrong: Throttle,
    /// Shared by all that have shown too many wrong ones.
    looks: Throttle,
}

impl Guesses {
    /// Whoever shows more than `burst` wrong proofs at once, and `per_s` after that, is looked at with care.
    pub(crate) fn new(burst: u32, per_s: f64, clock: Arc<dyn Clock>) -> Self {
        let looks = Throttle::new(MAX_LOOKS, LOOKS_PER_S, Arc::clone(&clock));
        Self { wrong: Throttle::new(burst, per_s, clock), looks }
    }

    /// Whether a proof of somebody may be looked at.
    ///
    /// # Errors
    /// The seconds to wait, where they, and others like them, show far more wrong ones than can be looked at.
    pub(crate) fn look(&self, who: &str) -> Result<(), u64> {
        if self.wrong.check(who).is_ok() {
            return Ok(());
        }
        self.looks.check("")?;
        self.looks.count("");
        Ok(())
    }

    /// Counts that a proof of somebody was wrong.
    pub(crate) fn count(&self, who: &str) {
        self.wrong.count(who);
    }

    /// Counts that a proof of somebody was wrong, and tells whether they have shown too many.
    ///
    /// # Errors
    /// The seconds after which they may show another.
    pub(crate) fn count_and_check(&self, who: &str) -> Result<(), u64> {
        let checked = self.wrong.check(who);
        self.wrong.count(who);
        checked
    }
}

/// Who shows a proof, as far as it is known before the proof is: where they are, the certificate of the connection, and whom
/// they claim to be. Others behind the same address are somebody else.
pub(crate) fn guesser(source: Option<IpAddr>, certificate: Option<&str>, claimed: &str) -> String {
    let source = source.map(|source| neighbourhood(source).to_string()).unwrap_or_default();
    format!("{source} {} {claimed}", certificate.unwrap_or_default())
}

/// An address, or the network of one site where everybody has as many addresses as they like.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        four => four,
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
    fn whoever_guesses_is_looked_at_with_care_and_nobody_else() {
        let clock = Arc::new(ManualClock::new(TimestampNs(0)));
        let guesses = Guesses::new(2, 0.5, Arc::clone(&clock) as _);
        let looked = |who: &str| {
            let looked = guesses.look(who);
            guesses.count(who);
            looked
        };
        for n in 0..2 + MAX_LOOKS {
            assert_eq!(looked("worst"), Ok(()), "{n}");
        }
        assert_eq!(looked("worst"), Err(1), "there are more than are looked at");
        assert_eq!(looked("other"), Ok(()), "that is no reason to look at nobody");
        clock.advance_ns(1_000_000_000);
        let after = (0..).take_while(|_| looked("worst").is_ok()).count();
        assert_eq!(after, LOOKS_PER_S as usize);
    }

    #[test]
    fn an_address_of_a_site_is_the_site() {
        for (address, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            assert_eq!(neighbourhood(address.parse().unwrap()).to_string(), expected);
        }
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
