//! The way in: a batch is validated once, made durable by the log, put into the head, and then acknowledged.
//!
//! Each signal's checks have a file; what they share is here. An item that fails is left out and named, the rest of its
//! batch is kept.

mod metrics;

mod window;

mod logs;

mod traces;

mod split;

pub(crate) mod guards;

use std::sync::Arc;

use arrow::array::{Array as _, BinaryArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::datatypes::SchemaRef;
use futures::future::BoxFuture;
use hashbrown::HashMap;
use model::ingest::{IngestError, Reason};
use model::limits::LabelLimits;
use model::log::SERVICE_NAME;
use model::{Batch, Ingest, Labels, Limits, Receipt, Signal, TenantContext, TimestampNs};

use crate::bounds::{MAX_EXAMPLE_BYTES, MAX_RECORD_BYTES, RETRY_AFTER_S};
use crate::error::StorageError;
use crate::head::series::{HeadSeries, Known};
use crate::metrics::{ByPartition, ByReason, BySignal, Metrics, ReasonLabel, SignalLabel, TenantLabel};
use crate::partition::{Partition, PartitionId};
use crate::room::Held;
use crate::runtime::detached;
use crate::storage::{Engine, Storage};
use crate::wal::record;
use window::Window;

impl Ingest for Storage {
    fn ingest<'a>(
        &'a self,
        context: &'a TenantContext,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Receipt, IngestError>> {
        Box::pin(async move {
            let signal = batch.signal();
            let result = self.engine.ingest(context, batch).await;
            if result.is_err() {
                self.engine.metrics.ingest_refused.get_or_create(&BySignal::new(signal)).inc();
            }
            result
        })
    }
}

impl Engine {
    async fn ingest(self: &Arc<Self>, context: &TenantContext, batch: Batch) -> Result<Receipt, IngestError> {
        let signal = batch.signal();
        self.admit()?;
        let id = PartitionId { tenant: context.tenant().clone(), signal };
        let partition = self.tenants.get(&id.tenant, signal);
        let series = partition.map(|partition| partition.active_series());
        let checked = validate(batch, context.limits(), self.clock().now(), series.as_ref())?;
        if checked.batch.items() == 0 {
            count_rejected(&self.metrics, context, signal, &checked.receipt);
            return Ok(checked.receipt);
        }
        let partition = self.tenants.get_or_create(&id)?;
        let (items, rejected) = (checked.batch.items(), checked.receipt.clone());
        let checked = self.guard(context, &partition, checked).inspect_err(|error| {
            let mut receipt = rejected;
            if matches!(error, IngestError::Limited { .. }) {
                receipt.reject(Reason::RateLimited, items, String::new);
            }
            count_rejected(&self.metrics, context, signal, &receipt);
        })?;
        let Checked { batch, mut receipt, known, truncated } = checked;
        count_rejected(&self.metrics, context, signal, &receipt);
        if truncated > 0 {
            let labels = ByPartition::new(&id.tenant, signal);
            self.metrics.ingest_truncated.get_or_create(&labels).inc_by(truncated as u64);
        }
        receipt.accepted = batch.items();
        if receipt.accepted == 0 {
            return Ok(receipt);
        }
        // A batch that is too large for one record goes into several, in its order. Where one of them is refused the
        // caller sends all of it again, and what is doubled by that is dropped.
        let mut parts = vec![(batch, known)];
        while let Some((batch, known)) = parts.pop() {
            // Before there are two of it.
            let room = self.wal.reserve(split::bytes(&batch)).await?;
            match self.record(&id, &batch)? {
                Some(bytes) => self.keep(&partition, (batch, known), bytes, room).await?,
                None => {
                    let [first, second] = split::halves(&batch).map_err(IngestError::Internal)?;
                    parts.extend([(second, None), (first, None)]);
                }
            }
        }
        Ok(receipt)
    }

    /// A batch as a record of the log; none where it must be split first.
    fn record(&self, id: &PartitionId, batch: &Batch) -> Result<Option<Vec<u8>>, StorageError> {
        let max_bytes = self.settings.memory.queue_bytes().min(MAX_RECORD_BYTES);
        let is_divisible = batch.items() > 1;
        if is_divisible && split::bytes(batch) > max_bytes {
            return Ok(None);
        }
        match record::encode(&id.tenant, batch, max_bytes) {
            Err(StorageError::TooLarge { .. }) if is_divisible => Ok(None),
            encoded => encoded.map(Some),
        }
    }

    /// Makes a batch durable and visible.
    async fn keep(
        self: &Arc<Self>,
        partition: &Arc<Partition>,
        (batch, known): (Batch, Option<Known>),
        bytes: Vec<u8>,
        room: Held,
    ) -> Result<(), StorageError> {
        let (engine, partition) = (Arc::clone(self), Arc::clone(partition));
        // In a task of its own: a writer that goes away in between must not leave its record out of the head.
        let task = self.tracker.track_future(async move {
            engine.cut_rows(&partition).await?;
            let _shared = partition.intake.read().await;
            let ticket = partition.begin(|| engine.wal.tail());
            let position = engine.wal.append(partition.id.clone(), bytes, room).await?;
            partition.items.inc_by(batch.items() as u64);
            let now_ns = engine.clock().monotonic_ns();
            let head_bytes = partition.append(ticket, position, &batch, known, now_ns);
            if head_bytes >= engine.settings.flush.max_head_bytes {
                engine.flush_wanted.notify_one();
            }
            Ok::<(), StorageError>(())
        });
        detached(self.runtime(), task).await?
    }

    /// Refuses while the engine stops, and while the heads have no room left.
    fn admit(&self) -> Result<(), IngestError> {
        self.takes_writes()?;
        let (held, most) = (self.tenants.memory().bytes(), self.settings.flush.max_total_head_bytes);
        if held < most {
            return Ok(());
        }
        self.flush_wanted.notify_one();
        let message = format!("the store is catching up: head_bytes={held}, at most {most}, try again later");
        Err(IngestError::Unavailable { message, retry_after_s: RETRY_AFTER_S })
    }
}

fn count_rejected(metrics: &Metrics, context: &TenantContext, signal: Signal, receipt: &Receipt) {
    for rejection in &receipt.rejections {
        let labels = ByReason {
            tenant: TenantLabel(context.tenant().clone()),
            signal: SignalLabel(signal),
            reason: ReasonLabel(rejection.reason),
        };
        metrics.ingest_rejected.get_or_create(&labels).inc_by(rejection.items as u64);
    }
}

/// A batch without what was rejected.
pub(crate) struct Checked {
    /// What stays; not copied where nothing was rejected.
    pub(crate) batch: Batch,
    /// What was rejected.
    pub(crate) receipt: Receipt,
    /// Which of the batch's label sets were known, where nothing was rejected.
    pub(crate) known: Option<Known>,
    /// Lines that were cut to the length that they may have.
    pub(crate) truncated: usize,
}

/// Checks every item. Label sets that `series` knows were checked when they came first.
///
/// # Errors
/// [`IngestError::Internal`] when the batch's columns are not those of its signal.
pub(crate) fn validate(
    batch: Batch,
    limits: &Limits,
    now: TimestampNs,
    series: Option<&Arc<HeadSeries>>,
) -> Result<Checked, IngestError> {
    let mut receipt = Receipt::default();
    let window = Window::widest(batch.signal(), limits, now);
    let mut check = Check { limits, now, window, series, known: None, truncated: 0, receipt: &mut receipt };
    let kept = match batch {
        Batch::Metrics(batch) => metrics::validate(batch, &mut check).map(Batch::Metrics),
        Batch::Logs(batch) => logs::validate(batch, &mut check).map(Batch::Logs),
        Batch::Traces(batch) => traces::validate(batch, &mut check).map(Batch::Traces),
    };
    let (known, truncated) = (check.known.take(), check.truncated);
    Ok(Checked { batch: kept.map_err(IngestError::Internal)?, receipt, known, truncated })
}

/// What every check needs, and where it reports to.
struct Check<'a> {
    limits: &'a Limits,
    now: TimestampNs,
    /// What no item may lie outside of.
    window: Window,
    series: Option<&'a Arc<HeadSeries>>,
    known: Option<Known>,
    truncated: usize,
    receipt: &'a mut Receipt,
}

/// What was found of the label sets of a batch.
struct Verdicts {
    count: usize,
    /// Those that may not be, by their row.
    bad: HashMap<u32, BadLabels>,
}

impl Verdicts {
    fn new(labels: &BinaryArray, check: &mut Check<'_>, is_metric: bool) -> Self {
        let limits = if is_metric { &check.limits.metrics.labels } else { &check.limits.logs.labels };
        let known = check.series.map(|series| series.known(labels, limits));
        let is_known = |row: &usize| known.as_ref().is_some_and(|known| known.has(*row));
        let unknown = (0..labels.len()).filter(|row| !is_known(row));
        let bad = unknown.filter_map(|row| {
            let bad = check_labels(labels.value(row), limits, is_metric).err()?;
            Some((u32::try_from(row).unwrap_or(u32::MAX), bad))
        });
        let verdicts = Self { count: labels.len(), bad: bad.collect() };
        check.known = known;
        verdicts
    }

    /// Whether all may be.
    fn is_all_good(&self) -> bool {
        self.bad.is_empty()
    }

    /// Whether there is such a label set and it may be; else why not.
    fn verdict(&self, number: u32, noun: &str) -> Result<(), BadLabels> {
        if number as usize >= self.count {
            let text = format!("{noun} number {number} is not in the batch");
            return Err(BadLabels { reason: Reason::InvalidPoint, text });
        }
        if self.is_all_good() {
            return Ok(());
        }
        self.bad.get(&number).map_or(Ok(()), |bad| Err(bad.clone()))
    }
}

/// What is wrong with a set of labels.
#[derive(Clone, Debug)]
struct BadLabels {
    reason: Reason,
    text: String,
}

/// Checks the labels of a series (`is_metric`) or a stream.
fn check_labels(bytes: &[u8], limits: &LabelLimits, is_metric: bool) -> Result<(), BadLabels> {
    let bad = |reason, text: String| Err(BadLabels { reason, text: shortened(text) });
    let labels = match Labels::from_bytes(bytes) {
        Ok(labels) => labels,
        Err(error) => return bad(Reason::InvalidLabels, error.to_string()),
    };
    let mut count = 0;
    let mut has_metric_name = false;
    // What receivers add, whose value is one that the sender gave elsewhere.
    let mut has_label = false;
    for (name, value) in &labels {
        if !is_metric && name == SERVICE_NAME {
            has_label = true;
            continue;
        }
        count += 1;
        has_metric_name |= name == model::labels::METRIC_NAME;
        if name.is_empty() {
            return bad(Reason::InvalidLabels, format!("a label of {labels} has no name"));
        }
        if name.len() > limits.max_name_bytes {
            let most = limits.max_name_bytes;
            let text =
                format!("a label's name has {} bytes, at most {most} are allowed: {labels}", name.len());
            return bad(Reason::LabelNameTooLong, text);
        }
        if value.len() > limits.max_value_bytes {
            let most = limits.max_value_bytes;
            let len = value.len();
            let text =
                format!("the value of label {name} has {len} bytes, at most {most} are allowed: {labels}");
            return bad(Reason::LabelValueTooLong, text);
        }
    }
    if is_metric && !has_metric_name {
        return bad(Reason::InvalidLabels, format!("there is no metric name in {labels}"));
    }
    if count == 0 && !has_label {
        return bad(Reason::InvalidLabels, "there is no label".to_owned());
    }
    if count > limits.max_names {
        let most = limits.max_names;
        return bad(Reason::TooManyLabels, format!("{count} labels, at most {most} are allowed: {labels}"));
    }
    Ok(())
}

/// Labels for an example; bytes that are none give their error.
fn name_of(bytes: &[u8]) -> String {
    shortened(Labels::from_bytes(bytes).map_or_else(|error| error.to_string(), |labels| labels.to_string()))
}

fn shortened(mut text: String) -> String {
    if text.len() > MAX_EXAMPLE_BYTES {
        text.truncate(text.floor_char_boundary(MAX_EXAMPLE_BYTES));
        text.push('…');
    }
    text
}

/// Compares the columns of a table with those that its signal has.
fn check_schema(table: &RecordBatch, schema: &SchemaRef) -> Result<(), String> {
    let is_same = Arc::ptr_eq(table.schema_ref(), schema) || table.schema_ref().fields() == schema.fields();
    if is_same { Ok(()) } else { Err("a batch's columns are not those of its signal".to_owned()) }
}

fn column<A: 'static>(table: &RecordBatch, index: usize) -> &A {
    table.column(index).as_any().downcast_ref().expect("the schema was compared before")
}

/// Which rows stay; nothing is allocated until one goes.
#[derive(Default)]
struct Kept {
    gone: Vec<u32>,
}

impl Kept {
    /// Leaves a row out; rows come in ascending order.
    fn drop_row(&mut self, row: usize) {
        self.gone.push(u32::try_from(row).unwrap_or(u32::MAX));
    }

    fn is_all(&self) -> bool {
        self.gone.is_empty()
    }

    /// The table without the rows that were left out.
    fn apply(&self, table: RecordBatch) -> Result<RecordBatch, String> {
        if self.is_all() {
            return Ok(table);
        }
        let mut mask = vec![true; table.num_rows()];
        for row in &self.gone {
            mask[*row as usize] = false;
        }
        filter_record_batch(&table, &BooleanArray::from(mask)).map_err(|e| e.to_string())
    }
}

/// Renumbers what rows point to, so that only owners (series, streams) with rows stay.
fn compact(owners: &RecordBatch, rows: Vec<RecordBatch>) -> Result<(RecordBatch, Vec<RecordBatch>), String> {
    let mut new_number: Vec<Option<u32>> = vec![None; owners.num_rows()];
    let mut used = Vec::new();
    let mut renumbered = Vec::with_capacity(rows.len());
    for table in rows {
        let numbers: &UInt32Array = column(&table, 0);
        let new: UInt32Array = numbers
            .values()
            .iter()
            .map(|old| {
                let slot = &mut new_number[*old as usize];
                *slot.get_or_insert_with(|| {
                    used.push(*old);
                    u32::try_from(used.len() - 1).expect("there are no more than before")
                })
            })
            .collect::<Vec<u32>>()
            .into();
        let mut columns = table.columns().to_vec();
        columns[0] = Arc::new(new);
        renumbered.push(RecordBatch::try_new(table.schema(), columns).map_err(|e| e.to_string())?);
    }
    let owners = take_record_batch(owners, &UInt32Array::from(used)).map_err(|e| e.to_string())?;
    Ok((owners, renumbered))
}

#[cfg(test)]
mod tests;
