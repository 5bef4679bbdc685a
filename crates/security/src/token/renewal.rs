//! Looking for keys that nobody knows yet, at most once in a while however many ask: whoever asks meanwhile waits for the
//! look that is under way, and then goes by what it found.

use std::future::Future;
use std::sync::Arc;

use model::Clock;
use tokio::sync::Mutex;

/// When was looked last.
#[derive(Debug)]
pub(crate) struct Renewal {
    clock: Arc<dyn Clock>,
    pause_ns: u64,
    /// In monotonic nanoseconds.
    last_ns: Mutex<Option<u64>>,
}

impl Renewal {
    /// Looks at most once in each `pause_ns`.
    pub(crate) fn new(clock: Arc<dyn Clock>, pause_ns: u64) -> Self {
        Self { clock, pause_ns, last_ns: Mutex::default() }
    }

    /// Looks, unless somebody has done so a moment ago.
    pub(crate) async fn run(&self, look: impl Future<Output = ()>) {
        let mut last_ns = self.last_ns.lock().await;
        let now_ns = self.clock.monotonic_ns();
        if last_ns.is_some_and(|last_ns| now_ns.saturating_sub(last_ns) < self.pause_ns) {
            return;
        }
        // Also a look that fails, or whose caller goes away, counts: others must not follow at once.
        *last_ns = Some(now_ns);
        look.await;
    }
}
