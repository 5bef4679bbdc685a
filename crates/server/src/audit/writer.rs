//! Writes events into the server's own tenant, again until the engine takes them, and summaries of refusals every while.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use model::ingest::IngestError;
use model::{Batch, Ingest};
use object_store::{ObjectStore, ObjectStoreExt};
use security::gateway::Gateway;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{Events, Told, lines, outbox};

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

impl AuditWriter {
    /// Writes until the token is cancelled, then what is left.
    pub(crate) async fn run(self, mut events: Events, stop: CancellationToken) {
        let mut summary = tokio::time::interval(SUMMARY_INTERVAL);
        let mut outbox = tokio::time::interval(OUTBOX_INTERVAL);
        outbox.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH_EVENTS);
        while !stop.is_cancelled() {
            tokio::select! {
                _ = summary.tick() => batch.extend(events.repeats.lock().summarise()),
                taken = events.queue.recv_many(&mut batch, BATCH_EVENTS) => {
                    if taken == 0 {
                        return;
                    }
                    tokio::time::sleep(BATCH_PAUSE).await;
                    while batch.len() < BATCH_EVENTS && let Ok(told) = events.queue.try_recv() {
                        batch.push(told);
                    }
                }
                _ = outbox.tick() => self.take_outbox(&events, &stop).await,
                () = stop.cancelled() => {}
            }
            self.write(mem::take(&mut batch), &events, &stop).await;
        }
        while let Ok(told) = events.queue.try_recv() {
            batch.push(told);
        }
        batch.extend(events.repeats.lock().summarise());
        self.write(batch, &events, &stop).await;
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
