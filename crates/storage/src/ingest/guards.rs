//! What one tenant's signal has sent lately, held against its rate and against how many series, streams or traces it may
//! write at the same time. Where no such limit is set nothing is remembered.
//!
//! Guards are in memory only: a process that begins anew knows of nothing that was sent before.

pub(crate) mod bucket;

pub(crate) mod lately;

use std::sync::Arc;

use arrow::array::{Array, BinaryArray, FixedSizeBinaryArray, RecordBatch, StringArray, UInt32Array};
use hashbrown::HashSet;
use model::ingest::{IngestError, Reason};
use model::log::LogBatch;
use model::metric::MetricBatch;
use model::trace::TraceBatch;
use model::{Batch, Limits, Receipt, Signal, TenantContext};
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use super::{Checked, Kept, column, compact, logs, name_of, split, traces};
use crate::bounds::LIVE_TRACE_MS;
use crate::head::runs::batch_bytes;
use crate::head::series::{HeadSeries, Known};
use crate::metrics::ByPartition;
use crate::partition::Partition;
use crate::storage::Engine;
use bucket::{Bucket, Shortage};
use lately::Lately;

/// The memory of what was sent.
#[derive(Debug, Default)]
pub(crate) struct Guards {
    bucket: Bucket,
    /// Series and streams by the hashes of their labels, traces by those of their ids with the bytes that they took.
    lately: Mutex<Option<Lately>>,
}

impl Engine {
    /// Takes a checked batch's share of the tenant's rate, and leaves out what would be one series, stream or trace too
    /// many, or make a trace too large.
    ///
    /// # Errors
    /// [`IngestError::Limited`] over the rate.
    pub(super) fn guard(
        &self,
        context: &TenantContext,
        partition: &Partition,
        checked: Checked,
    ) -> Result<Checked, IngestError> {
        let (limits, signal) = (context.limits(), checked.batch.signal());
        let intake = limits.intake(signal);
        let now_ns = self.clock().monotonic_ns();
        if let Some(rate) = intake.rate() {
            let (amount, unit) = amount(&checked.batch)?;
            let took = partition.guards.bucket.take(rate, amount, now_ns);
            took.map_err(|shortage| over_the_rate(context, signal, (amount, unit), &shortage))?;
        }
        let is_remembered = intake.max_active.is_some() || max_trace_bytes(&checked.batch, limits).is_some();
        let mut lately = partition.guards.lately.lock();
        if !is_remembered {
            *lately = None;
            return Ok(checked);
        }
        let lately = lately.get_or_insert_with(|| Lately::begun(now_ns, seeds(&partition.active_series())));
        lately.turn(now_ns, self.lately_ns(signal));
        let guarded = guarded(checked, limits, lately);
        let labels = ByPartition::new(context.tenant(), signal);
        self.metrics
            .ingest_active
            .get_or_create(&labels)
            .set(i64::try_from(lately.len()).unwrap_or(i64::MAX));
        guarded.map_err(IngestError::Internal)
    }

    /// How long something counts as written lately, in nanoseconds.
    fn lately_ns(&self, signal: Signal) -> u64 {
        let length_ms = match signal {
            Signal::Traces => LIVE_TRACE_MS,
            // A label set is looked for here when a head sees it first, which happens once in a head's life.
            Signal::Metrics | Signal::Logs => self.settings.flush.max_head_age_ms,
        };
        length_ms.saturating_mul(1_000_000)
    }

    /// How many series, streams or traces a limit counts; none where none is set.
    pub(crate) fn counted(&self, partition: &Partition) -> Option<u64> {
        let mut lately = partition.guards.lately.lock();
        let lately = lately.as_mut()?;
        lately.turn(self.clock().monotonic_ns(), self.lately_ns(partition.id.signal));
        Some(lately.len() as u64)
    }
}

fn over_the_rate(
    context: &TenantContext,
    signal: Signal,
    (amount, unit): (u64, &str),
    shortage: &Shortage,
) -> IngestError {
    let Shortage { rate, retry_after_s, is_over_burst } = shortage;
    let (tenant, per_s, burst) = (context.tenant(), rate.per_s, rate.burst);
    let what_to_do = if *is_over_burst {
        "the request is larger than the burst and is never taken whole, send smaller batches".to_owned()
    } else {
        format!("try again in {retry_after_s} s")
    };
    let message = format!(
        "rate_limited: tenant={tenant} is over its rate of {signal}: {unit}={amount} at a limit of {per_s} a second \
         and {burst} at once; {what_to_do}, or have the operator raise it in the tenant's overrides"
    );
    IngestError::Limited { message, retry_after_s: *retry_after_s }
}

const fn max_trace_bytes(batch: &Batch, limits: &Limits) -> Option<u64> {
    match batch {
        Batch::Traces(_) => limits.traces.max_trace_bytes,
        Batch::Metrics(_) | Batch::Logs(_) => None,
    }
}

/// What of a batch counts against the rate: items of metrics; of lines their bytes and those of their structured
/// metadata; of spans the bytes of their columns.
fn amount(batch: &Batch) -> Result<(u64, &'static str), IngestError> {
    Ok(match batch {
        Batch::Metrics(batch) => (batch.items() as u64, "samples"),
        Batch::Logs(batch) => {
            let bytes = logs::text_bytes(batch).map_err(IngestError::Internal)?;
            (bytes as u64, "bytes")
        }
        Batch::Traces(_) => (split::bytes(batch) as u64, "bytes"),
    })
}

/// The label sets of a head, so that a limit that is new counts what is there.
fn seeds(series: &Arc<HeadSeries>) -> Vec<u64> {
    let mut hashes = Vec::new();
    series.with_index(|index| hashes.extend(index.labels().iter().map(|labels| xxh3_64(labels.as_bytes()))));
    hashes
}

fn guarded(checked: Checked, limits: &Limits, lately: &mut Lately) -> Result<Checked, String> {
    let Checked { batch, mut receipt, known, truncated } = checked;
    let most = limits.intake(batch.signal()).max_active;
    let (batch, known) = match batch {
        Batch::Metrics(batch) => {
            let refused = refused(batch.label_bytes(), known.as_ref(), most, lately);
            if refused.is_empty() {
                (Batch::Metrics(batch), known)
            } else {
                let owners = Owners { refused: &refused, labels: batch.label_bytes(), most };
                let tables = [&batch.samples, &batch.histograms, &batch.exemplars];
                let rows = owners.rest(&tables, Reason::TooManySeries, "series", &mut receipt)?;
                let (series, rows) = compact(&batch.series, rows)?;
                let [samples, histograms, exemplars] =
                    <[RecordBatch; 3]>::try_from(rows).map_err(|_| "three tables stay three".to_owned())?;
                (Batch::Metrics(MetricBatch { series, samples, histograms, exemplars }), None)
            }
        }
        Batch::Logs(batch) => {
            let refused = refused(batch.label_bytes(), known.as_ref(), most, lately);
            if refused.is_empty() {
                (Batch::Logs(batch), known)
            } else {
                let owners = Owners { refused: &refused, labels: batch.label_bytes(), most };
                let rows = owners.rest(&[&batch.entries], Reason::TooManyStreams, "streams", &mut receipt)?;
                let (streams, mut rows) = compact(&batch.streams, rows)?;
                (Batch::Logs(LogBatch { streams, entries: rows.pop().ok_or("one table stays one")? }), None)
            }
        }
        Batch::Traces(batch) => (Batch::Traces(guarded_traces(&batch, limits, lately, &mut receipt)?), None),
    };
    Ok(Checked { batch, receipt, known, truncated })
}

/// The rows of label sets that would be too many.
fn refused(
    labels: &BinaryArray,
    known: Option<&Known>,
    most: Option<u64>,
    lately: &mut Lately,
) -> HashSet<u32> {
    let Some(most) = most else { return HashSet::new() };
    let is_known = |row: &usize| known.is_some_and(|known| known.has(*row));
    let unknown = (0..labels.len()).filter(|row| !is_known(row));
    let refused = unknown.filter(|row| lately.entry(xxh3_64(labels.value(*row)), most).is_none());
    refused.map(|row| u32::try_from(row).unwrap_or(u32::MAX)).collect()
}

/// Label sets that are refused, among all of a batch.
struct Owners<'a> {
    refused: &'a HashSet<u32>,
    labels: &'a BinaryArray,
    most: Option<u64>,
}

impl Owners<'_> {
    /// The rows of tables that belong to other label sets.
    fn rest(
        &self,
        tables: &[&RecordBatch],
        reason: Reason,
        noun: &str,
        receipt: &mut Receipt,
    ) -> Result<Vec<RecordBatch>, String> {
        let rest = tables.iter().map(|table| {
            let numbers: &UInt32Array = column(table, 0);
            let mut kept = Kept::default();
            for (row, number) in numbers.values().iter().enumerate() {
                if self.refused.contains(number) {
                    let most = self.most.unwrap_or_default();
                    let name = || name_of(self.labels.value(*number as usize));
                    let example =
                        || format!("{}: the tenant writes {most} {noun} already, which is its limit", name());
                    receipt.reject(reason, 1, example);
                    kept.drop_row(row);
                }
            }
            kept.apply((*table).clone())
        });
        rest.collect()
    }
}

/// The spans of traces that are not too many and not too large.
fn guarded_traces(
    batch: &TraceBatch,
    limits: &Limits,
    lately: &mut Lately,
    receipt: &mut Receipt,
) -> Result<TraceBatch, String> {
    let most = limits.traces.intake.max_active.unwrap_or(u64::MAX);
    let max_bytes = limits.traces.max_trace_bytes.unwrap_or(u64::MAX);
    let ids: &FixedSizeBinaryArray = column(&batch.spans, 0);
    let mut kept = Kept::default();
    let mut row = 0;
    while row < ids.len() {
        let id = ids.value(row);
        let spans = (row..ids.len()).take_while(|other| ids.value(*other) == id).count();
        let bytes = batch_bytes(&batch.spans.slice(row, spans)) as u64;
        let verdict = match lately.entry(xxh3_64(id), most) {
            None => Some((
                Reason::TooManyTraces,
                format!("the tenant writes {most} traces already, which is its limit"),
            )),
            Some(taken) if taken.saturating_add(bytes) > max_bytes => {
                let text = format!(
                    "its spans take {taken} bytes, and {bytes} more are over its limit of {max_bytes}"
                );
                Some((Reason::TraceTooLarge, text))
            }
            Some(taken) => {
                *taken += bytes;
                None
            }
        };
        if let Some((reason, text)) = verdict {
            receipt.reject(reason, spans, || format!("trace {}: {text}", traces::hex(id)));
            (row..row + spans).for_each(|row| kept.drop_row(row));
        }
        row += spans;
    }
    Ok(TraceBatch { spans: kept.apply(batch.spans.clone())? })
}

/// The bytes of a column of texts.
pub(super) fn column_bytes(texts: &StringArray) -> usize {
    let offsets = texts.value_offsets();
    let (first, last) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
    usize::try_from(last - first).unwrap_or(0)
}

#[cfg(test)]
mod tests;
