//! From mapped batches to the store, and the counting of what became of them.

use model::Signal;
use model::error::{Classified as _, Kind};
use model::ingest::{Batch, IngestError, Reason, Receipt};
use model::tenant::TenantContext;

use super::Collector;
use crate::error::CollectorError;
use crate::mapping::tenant::Mapped;
use crate::metrics::{Door, Outcome};

impl Collector {
    /// Writes the batches of an OTLP request and counts its items.
    ///
    /// # Errors
    /// The refusal, when every item's tenant was refused; else the first error of the store. What other tenants'
    /// batches wrote by then stays: a sender that tries again sends duplicates, which the store drops.
    pub(super) async fn deliver(
        &self,
        door: Door,
        signal: Signal,
        mapped: Mapped,
    ) -> Result<Receipt, CollectorError> {
        let Mapped { batches, mut receipt, refusal, items } = mapped;
        let result = match refusal {
            Some(refusal) if batches.is_empty() => Err(CollectorError::Refused(refusal)),
            _ => self.write(batches, &mut receipt).await,
        };
        self.count(door, signal, items, result.as_ref().map(|()| receipt.rejected()));
        result.map(|()| receipt)
    }

    /// Writes batches one after the other. A tenant over its rate does not stop the others: where something of a request
    /// was taken, what was not is named as rejected, because a sender that tried again would send all of it.
    pub(super) async fn write(
        &self,
        batches: Vec<(TenantContext, Batch)>,
        receipt: &mut Receipt,
    ) -> Result<(), CollectorError> {
        let mut limited = Vec::new();
        for (context, batch) in batches {
            let items = batch.items();
            match self.components().ingest.ingest(&context, batch).await {
                Ok(taken) => receipt.merge(taken),
                Err(error @ IngestError::Limited { .. }) => limited.push((items, error)),
                Err(error) => return Err(error.into()),
            }
        }
        if receipt.accepted == 0
            && let Some((_, error)) = limited.pop()
        {
            return Err(error.into());
        }
        for (items, error) in limited {
            receipt.reject(Reason::RateLimited, items, || error.to_string());
        }
        Ok(())
    }

    /// Counts the items of a request, and the request.
    pub(super) fn count(
        &self,
        door: Door,
        signal: Signal,
        items: usize,
        rejected: Result<usize, &CollectorError>,
    ) {
        let metrics = &self.components().metrics;
        match rejected {
            Ok(rejected) => {
                // A point may become several samples, each of which may be rejected.
                let rejected = rejected.min(items);
                metrics.accepted(door, signal, items - rejected);
                metrics.refused(door, signal, rejected);
            }
            Err(error) if outcome(error) == Outcome::Refused => metrics.refused(door, signal, items),
            Err(_) => metrics.failed(door, signal, items),
        }
    }

    /// Counts a request, and logs a failure of ours.
    pub(super) fn done(&self, door: Door, error: Option<&CollectorError>) {
        let outcome = error.map_or(Outcome::Success, outcome);
        self.components().metrics.request(door, outcome);
        match error {
            Some(error) if matches!(error.kind(), Kind::Internal | Kind::Corrupt) => {
                tracing::error!(receiver = door.receiver, transport = door.transport, %error, "request failed");
            }
            Some(error) => {
                tracing::debug!(receiver = door.receiver, transport = door.transport, %error, "request refused");
            }
            None => {}
        }
    }
}

fn outcome(error: &CollectorError) -> Outcome {
    if matches!(error, CollectorError::Refused(_)) {
        return Outcome::Refused;
    }
    match error.kind() {
        Kind::Unauthorized | Kind::Forbidden | Kind::Limited | Kind::Unavailable | Kind::Timeout => {
            Outcome::Refused
        }
        Kind::Invalid | Kind::NotFound | Kind::Corrupt | Kind::Internal => Outcome::Failure,
    }
}
