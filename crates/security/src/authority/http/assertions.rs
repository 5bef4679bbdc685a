//! Assertions that were used, until they end: none is good twice at this node. A client that makes very many of them is
//! refused more, and keeps nobody else from being taken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::digest;
use model::Clock;
use model::time::NS_PER_S;
use parking_lot::Mutex;

use crate::bounds::{CLOCK_SKEW_S, MAX_ASSERTIONS, MAX_CLIENT_ASSERTIONS, OWN_ASSERTIONS};

/// What an assertion is remembered by: of its client and its identifier, however long that is.
type Name = [u8; 32];

/// Assertions that were used.
#[derive(Debug)]
pub(super) struct Assertions {
    used: Mutex<Used>,
    clock: Arc<dyn Clock>,
}

/// Why an assertion is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// It was used before.
    Again,
    /// The client has too many that have not ended.
    TooMany,
}

#[derive(Debug, Default)]
struct Used {
    names: BTreeSet<Name>,
    /// By the Unix second after which each has ended, with its client.
    ends: BTreeMap<(i64, Name), Arc<str>>,
    clients: BTreeMap<Arc<str>, usize>,
    /// Those that their clients have beyond [`OWN_ASSERTIONS`].
    beyond: usize,
}

impl Assertions {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { used: Mutex::default(), clock }
    }

    /// Now, in Unix seconds.
    pub(super) fn now_s(&self) -> i64 {
        self.clock.now().0.div_euclid(NS_PER_S)
    }

    /// Remembers an assertion.
    ///
    /// # Errors
    /// When it was used before, or there is no room to remember it.
    pub(super) fn take(&self, client: &str, jti: &str, expires_s: i64) -> Result<(), NotTaken> {
        let name = name(client, jti);
        let mut used = self.used.lock();
        used.forget(self.now_s());
        used.take(client, name, expires_s + CLOCK_SKEW_S)
    }
}

impl Used {
    fn forget(&mut self, now_s: i64) {
        while let Some(first) = self.ends.first_entry().filter(|first| first.key().0 < now_s) {
            let ((_, name), client) = first.remove_entry();
            self.names.remove(&name);
            let Some(count) = self.clients.get_mut(&client) else { continue };
            *count -= 1;
            if *count >= OWN_ASSERTIONS {
                self.beyond -= 1;
            }
            if *count == 0 {
                self.clients.remove(&client);
            }
        }
    }

    fn take(&mut self, client: &str, name: Name, until_s: i64) -> Result<(), NotTaken> {
        if self.names.contains(&name) {
            return Err(NotTaken::Again);
        }
        let known = self.clients.get_key_value(client);
        let (client, count) =
            known.map_or_else(|| (Arc::from(client), 0), |(client, count)| (Arc::clone(client), *count));
        let is_beyond = count >= OWN_ASSERTIONS;
        if count >= MAX_CLIENT_ASSERTIONS || (is_beyond && self.beyond >= MAX_ASSERTIONS) {
            return Err(NotTaken::TooMany);
        }
        self.beyond += usize::from(is_beyond);
        self.clients.insert(Arc::clone(&client), count + 1);
        self.names.insert(name);
        self.ends.insert((until_s, name), client);
        Ok(())
    }
}

fn name(client: &str, jti: &str) -> Name {
    let mut context = digest::Context::new(&digest::SHA256);
    for text in [client, jti] {
        context.update(&text.len().to_be_bytes());
        context.update(text.as_bytes());
    }
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use model::time::{ManualClock, TimestampNs};

    use super::*;

    #[test]
    fn no_client_takes_the_room_of_another() {
        let clock = Arc::new(ManualClock::new(TimestampNs(0)));
        let assertions = Assertions::new(Arc::clone(&clock) as _);
        let take = |client: &str, n: usize| assertions.take(client, &n.to_string(), 60);
        let fill = |client: &str| (0..).take_while(|n| take(client, *n).is_ok()).count();
        assert_eq!(fill("first"), MAX_CLIENT_ASSERTIONS);
        assert_eq!(take("first", 0), Err(NotTaken::Again));
        assert_eq!(take("first", usize::MAX), Err(NotTaken::TooMany));
        let filled: usize = (0..40).map(|n| fill(&n.to_string())).sum();
        assert_eq!(filled + MAX_CLIENT_ASSERTIONS, MAX_ASSERTIONS + 41 * OWN_ASSERTIONS);
        assert_eq!(fill("last"), OWN_ASSERTIONS, "whatever others do");
        clock.advance_ns((60 + CLOCK_SKEW_S) * NS_PER_S);
        assert_eq!(take("first", 0), Err(NotTaken::Again), "it might still be taken for good");
        clock.advance_ns(NS_PER_S);
        assert_eq!(assertions.take("first", "0", 120), Ok(()));
        let used = assertions.used.lock();
        assert_eq!((used.names.len(), used.ends.len(), used.clients.len(), used.beyond), (1, 1, 1, 0));
    }
}
