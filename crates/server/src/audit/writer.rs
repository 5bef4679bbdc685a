//! Writes events into the server's own tenant, again until the engine takes them, and summaries of refusals every while.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use model::ingest::IngestError;
use model::{Batch, Ingest};
use object_store::{ObjectStore, ObjectStoreExt};
use security::gateway::Gateway;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{Events, Queued, Told, lines, outbox};

/// How long events wait for others to be written with.
const BATCH_PAUSE: Duration = Duration::from_millis(50);
/// Events that are written at once.
const BATCH_EVENTS: usize = 512;
/// How long refusals that are alike are counted before they become a line.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(60);
/// The pause between two looks for what commands have left in the store.
const OUTBOX_INTERVAL: Duration = Duration::from_secs(5);
/// The pause before the engine is asked again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What a writer needs.
pub(crate) struct AuditWriter {
    /// Where events go.
    pub(crate) ingest: Arc<dyn Ingest>,
    /// Gives the right to write them there.
    pub(crate) gateway: Gateway,
    /// Where commands leave theirs.
    pub(crate) objects: Arc<dyn ObjectStore>,
}

/// What was taken from the queue.
#[derive(Default)]
struct Taken {
    events: Vec<Told>,
    /// Those that wait until the events are written.
    waits: Vec<oneshot::Sender<()>>,
}

impl Taken {
    fn take(&mut self, one: Queued) {
        match one {
            Queued::Event(told) => self.events.push(told),
            Queued::Waits(waits) => self.waits.push(waits),
        }
    }

    /// Takes what comes in a while; less of it as soon as somebody waits.
    async fn take_more(&mut self, queue: &mut mpsc::Receiver<Queued>) {
        let pause = tokio::time::sleep(BATCH_PAUSE);
        tokio::pin!(pause);
        while self.waits.is_empty() && self.events.len() < BATCH_EVENTS {
            tokio::select! {
                () = &mut pause => return,
                one = queue.recv() => match one {
                    Some(one) => self.take(one),
                    None => return,
                },
            }
        }
    }
}

impl AuditWriter {
    /// Writes until the token is cancelled, then what is left.
    pub(crate) async fn run(self, mut events: Events, stop: CancellationToken) {
        let mut summary = tokio::time::interval(SUMMARY_INTERVAL);
        let mut outbox = tokio::time::interval(OUTBOX_INTERVAL);
        outbox.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut taken = Taken::default();
        while !stop.is_cancelled() {
            tokio::select! {
                _ = summary.tick() => taken.events.extend(events.repeats.lock().summarise()),
                one = events.queue.recv() => {
                    let Some(one) = one else { return };
                    taken.take(one);
                    taken.take_more(&mut events.queue).await;
                }
                _ = outbox.tick() => self.take_outbox(&events, &stop).await,
                () = stop.cancelled() => {}
            }
            self.write(mem::take(&mut taken.events), &events, &stop).await;
            taken.waits.clear();
        }
        while let Ok(one) = events.queue.try_recv() {
            taken.take(one);
        }
        taken.events.extend(events.repeats.lock().summarise());
        self.write(taken.events, &events, &stop).await;
    }

    /// Writes what commands have left in the store, and removes it there once it is written.
    async fn take_outbox(&self, events: &Events, stop: &CancellationToken) {
        let left = match outbox::waiting(&*self.objects).await {
            Ok(left) => left,
            Err(error) => {
                tracing::debug!(%error, "the store does not say what commands have left");
                return;
            }
        };
        let (paths, told): (Vec<_>, Vec<_>) = left.into_iter().unzip();
        if !self.write(told, events, stop).await {
            return;
        }
        for path in paths {
            if let Err(error) = self.objects.delete(&path).await {
                // It is written again with the next look, and is the same line then.
                tracing::debug!(%path, %error, "an audit event stays in the store");
            }
        }
    }

    /// Writes some events, and tries again while the engine may take them later: the queue fills meanwhile, nothing waits.
    /// Whether they are written.
    async fn write(&self, told: Vec<Told>, events: &Events, stop: &CancellationToken) -> bool {
        if told.is_empty() {
            return true;
        }
        let mut is_told = false;
        loop {
            let error = match self
                .ingest
                .ingest(&self.gateway.recording(), Batch::Logs(lines::batch(&told)))
                .await
            {
                Ok(receipt) => {
                    if receipt.rejected() > 0 {
                        tracing::error!(rejections = ?receipt.rejections, "audit events are lost: they were rejected");
                        events.metrics.dropped.inc_by(receipt.rejected() as u64);
                    }
                    return true;
                }
                Err(error) => error,
            };
            let may_pass = matches!(
                error,
                IngestError::Limited { .. } | IngestError::Unavailable { .. } | IngestError::Full { .. }
            );
            if !is_told {
                is_told = true;
                tracing::warn!(%error, events = told.len(), "audit events are not written");
            }
            if !may_pass || stop.is_cancelled() {
                tracing::error!(%error, events = told.len(), "audit events are lost: they cannot be written");
                events.metrics.dropped.inc_by(told.len() as u64);
                return false;
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY_PAUSE) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}
