//! Sends requests: in waves that are made before they are sent, so that making them costs the server nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use super::client::Client;
use super::generate::{Request, Source};
use super::observe::Observer;

/// A load on its way to a server.
pub(super) struct Load {
    /// The connection.
    pub(super) client: Client,
    /// Where requests go.
    pub(super) url: String,
    /// What they say of their bodies.
    pub(super) headers: &'static [(&'static str, &'static str)],
    /// Requests under way at once.
    pub(super) lanes: usize,
    /// Items a second, at most.
    pub(super) rate: Option<f64>,
    /// Time of sending, at most.
    pub(super) duration_ns: Option<u64>,
    /// Bytes of requests that are made ahead.
    pub(super) ahead_bytes: usize,
    /// Where requests come from.
    pub(super) source: Box<dyn Source>,
}

/// What was sent and acknowledged.
#[derive(Debug, Default)]
pub(super) struct Sum {
    /// Items of requests that were taken.
    pub(super) items: u64,
    /// Bytes of requests that were taken.
    pub(super) bytes: u64,
    /// How long each request took.
    pub(super) took_ns: Vec<u64>,
    /// Requests that were refused and sent again.
    pub(super) refusals: u64,
    /// Time of sending.
    pub(super) sending_ns: u64,
    /// The server's processor time while sending, in seconds.
    pub(super) server_cpu_s: f64,
    /// Whether sending ended before everything was sent.
    pub(super) is_cut: bool,
}

/// What all senders of a wave keep to.
struct Pace {
    client: Client,
    began_ns: u64,
    ends_ns: Option<u64>,
    rate: Option<f64>,
    due_items: AtomicU64,
}

impl Pace {
    /// Waits until these items may go; false when the time is over.
    async fn may_go(&self, items: u64) -> bool {
        let before = self.due_items.fetch_add(items, Ordering::Relaxed);
        if let Some(rate) = self.rate {
            let due_ns = self.began_ns + (before as f64 / rate * 1e9) as u64;
            let wait_ns = due_ns.saturating_sub(self.client.now_ns());
            tokio::time::sleep(Duration::from_nanos(wait_ns)).await;
        }
        self.ends_ns.is_none_or(|ends_ns| self.client.now_ns() < ends_ns)
    }
}

impl Load {
    /// Sends all of it.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses for good.
    pub(super) async fn run(&mut self, observer: &Observer) -> anyhow::Result<Sum> {
        let mut sum = Sum::default();
        loop {
            let wave = self.wave();
            if wave.iter().all(Vec::is_empty) {
                return Ok(sum);
            }
            let before = observer.look().await?;
            self.send(wave, &mut sum).await?;
            sum.server_cpu_s += observer.look().await?.cpu_s - before.cpu_s;
            if sum.is_cut {
                return Ok(sum);
            }
        }
    }

    /// The next requests of each lane, as many as memory is given for.
    fn wave(&mut self) -> Vec<Vec<Request>> {
        let mut lanes = vec![Vec::new(); self.lanes];
        let mut bytes = 0;
        while bytes < self.ahead_bytes
            && let Some(request) = self.source.next()
        {
            bytes += request.body.len();
            lanes[request.lane].push(request);
        }
        lanes
    }

    async fn send(&self, wave: Vec<Vec<Request>>, sum: &mut Sum) -> anyhow::Result<()> {
        let began_ns = self.client.now_ns();
        let ends_ns =
            self.duration_ns.map(|duration_ns| began_ns + duration_ns.saturating_sub(sum.sending_ns));
        let due_items = AtomicU64::new(0);
        let client = self.client.clone();
        let pace = Arc::new(Pace { client, began_ns, ends_ns, rate: self.rate, due_items });
        let mut senders = JoinSet::new();
        for lane in wave {
            let (pace, url, headers) = (Arc::clone(&pace), self.url.clone(), self.headers);
            senders.spawn(async move { send_lane(&pace, &url, headers, lane).await });
        }
        while let Some(part) = senders.join_next().await {
            let part = part??;
            sum.items += part.items;
            sum.bytes += part.bytes;
            sum.took_ns.extend(part.took_ns);
            sum.refusals += part.refusals;
            sum.is_cut |= part.is_cut;
        }
        sum.sending_ns += self.client.now_ns() - began_ns;
        Ok(())
    }
}

async fn send_lane(
    pace: &Pace,
    url: &str,
    headers: &[(&str, &str)],
    lane: Vec<Request>,
) -> anyhow::Result<Sum> {
    let mut sum = Sum::default();
    for request in lane {
        if !pace.may_go(request.items).await {
            sum.is_cut = true;
            break;
        }
        let sent = pace.client.send(url, headers, &request.body).await?;
        sum.items += request.items;
        sum.bytes += request.body.len() as u64;
        sum.took_ns.push(sent.took_ns);
        sum.refusals += u64::from(sent.refusals);
    }
    Ok(sum)
}
