//! What each tenant has written and asked lately, counted where it comes in: in memory, and kept over restarts by
//! [`super::kept`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use futures::future::BoxFuture;
use model::ingest::{IngestError, Reason};
use model::{Batch, Clock, Ingest, Receipt, Signal, TenantContext, TenantId};
use parking_lot::{Mutex, RwLock};
use query::late::LateLines;

use super::kept::{self, Kept, KeptCounts};
use super::ring::{DAY, HOUR, Ring};

/// Tenants that are remembered; where there are more, the one that was silent the longest is forgotten.
const MAX_TENANTS: usize = 4_096;

/// Reasons of rejections that are taken from what was kept.
const MAX_REASONS: usize = 64;

/// What one tenant has done with one signal.
#[derive(Clone, Debug, Default)]
struct Counted {
    first_write_ns: Option<i64>,
    last_write_ns: Option<i64>,
    last_query_ns: Option<i64>,
    items: Ring,
    bytes: Ring,
    rejected: BTreeMap<Cow<'static, str>, Ring>,
}

/// The same, as it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lately {
    /// The first write that was counted.
    pub(crate) first_write_ns: Option<i64>,
    /// The last write.
    pub(crate) last_write_ns: Option<i64>,
    /// The last question.
    pub(crate) last_query_ns: Option<i64>,
    /// Items of the last hour and day.
    pub(crate) items: [u64; 2],
    /// Bytes of them, as columns in memory.
    pub(crate) bytes: [u64; 2],
    /// Items that were rejected in the last hour and day.
    pub(crate) rejected: BTreeMap<Cow<'static, str>, [u64; 2]>,
}

type Signals = Mutex<[Option<Box<Counted>>; 3]>;

/// Counts for all tenants; it stands before the engine.
pub(crate) struct Activity {
    engine: Arc<dyn Ingest>,
    /// Who follows lines.
    late_lines: LateLines,
    clock: Arc<dyn Clock>,
    /// Since when is counted.
    pub(crate) since_ns: i64,
    tenants: RwLock<BTreeMap<TenantId, Arc<Signals>>>,
}

/// The signals in the order of their places.
const SIGNALS: [Signal; 3] = [Signal::Metrics, Signal::Logs, Signal::Traces];

const fn index(signal: Signal) -> usize {
    match signal {
        Signal::Metrics => 0,
        Signal::Logs => 1,
        Signal::Traces => 2,
    }
}

impl Activity {
    /// Counts what goes to the engine, on from what is kept in the data folder.
    pub(crate) fn open(
        engine: Arc<dyn Ingest>,
        late_lines: LateLines,
        clock: Arc<dyn Clock>,
        data_dir: &Path,
    ) -> Self {
        let Some(kept) = kept::read(data_dir) else {
            return Self { since_ns: clock.now().0, engine, late_lines, clock, tenants: RwLock::default() };
        };
        let mut tenants = BTreeMap::new();
        for (name, signals) in kept.tenants.iter().take(MAX_TENANTS) {
            let Ok(tenant) = TenantId::parse(name) else { continue };
            let counted =
                |signal: Signal| signals.get(signal.as_str()).map(|counts| Box::new(Counted::of(counts)));
            tenants.insert(tenant, Arc::new(Mutex::new(SIGNALS.map(counted))));
        }
        Self { since_ns: kept.since_ns, engine, late_lines, clock, tenants: RwLock::new(tenants) }
    }

    /// What is to be kept.
    pub(super) fn kept(&self) -> Kept {
        let tenants: Vec<_> = self
            .tenants
            .read()
            .iter()
            .map(|(tenant, signals)| (tenant.clone(), Arc::clone(signals)))
            .collect();
        let of_tenant = |(tenant, signals): (TenantId, Arc<Signals>)| {
            let signals = signals.lock();
            let counted = SIGNALS.iter().zip(signals.iter());
            let counts = counted
                .filter_map(|(signal, counted)| Some((signal.as_str().to_owned(), counted.as_ref()?.kept())));
            (tenant.as_str().to_owned(), counts.collect())
        };
        Kept::new(self.since_ns, tenants.into_iter().map(of_tenant).collect())
    }

    fn signals(&self, tenant: &TenantId) -> Arc<Signals> {
        if let Some(signals) = self.tenants.read().get(tenant) {
            return Arc::clone(signals);
        }
        let mut tenants = self.tenants.write();
        if tenants.len() >= MAX_TENANTS && !tenants.contains_key(tenant) {
            let last = |signals: &Signals| {
                let signals = signals.lock();
                signals.iter().flatten().filter_map(|c| c.last_write_ns.max(c.last_query_ns)).max()
            };
            let silent = tenants.iter().min_by_key(|(name, signals)| (last(signals), (*name).clone()));
            if let Some(silent) = silent.map(|(name, _)| name.clone()) {
                tenants.remove(&silent);
            }
        }
        Arc::clone(tenants.entry(tenant.clone()).or_default())
    }

    fn count(&self, tenant: &TenantId, signal: Signal, count: impl FnOnce(&mut Counted, i64)) {
        let now_ns = self.clock.now().0;
        let signals = self.signals(tenant);
        count(signals.lock()[index(signal)].get_or_insert_default(), now_ns);
    }

    /// Remembers that a tenant was asked about.
    pub(crate) fn asked(&self, tenant: &TenantId, signal: Signal) {
        self.count(tenant, signal, |counted, now_ns| counted.last_query_ns = Some(now_ns));
    }

    /// What a tenant has done with a signal lately.
    pub(crate) fn lately(&self, tenant: &TenantId, signal: Signal) -> Lately {
        let Some(signals) = self.tenants.read().get(tenant).cloned() else { return Lately::default() };
        let signals = signals.lock();
        let Some(counted) = &signals[index(signal)] else { return Lately::default() };
        let now_ns = self.clock.now().0;
        let sums = |ring: &Ring| [HOUR, DAY].map(|slots| ring.last(now_ns, slots));
        Lately {
            first_write_ns: counted.first_write_ns,
            last_write_ns: counted.last_write_ns,
            last_query_ns: counted.last_query_ns,
            items: sums(&counted.items),
            bytes: sums(&counted.bytes),
            rejected: counted.rejected.iter().map(|(reason, ring)| (reason.clone(), sums(ring))).collect(),
        }
    }
}

impl Counted {
    fn of(kept: &KeptCounts) -> Self {
        let rejected = kept.rejected.iter().take(MAX_REASONS);
        Self {
            first_write_ns: kept.first_write_ns,
            last_write_ns: kept.last_write_ns,
            last_query_ns: kept.last_query_ns,
            items: Ring::of(&kept.items),
            bytes: Ring::of(&kept.bytes),
            rejected: rejected.map(|(reason, amounts)| (reason.clone().into(), Ring::of(amounts))).collect(),
        }
    }

    fn kept(&self) -> KeptCounts {
        let rejected = self.rejected.iter();
        KeptCounts {
            first_write_ns: self.first_write_ns,
            last_write_ns: self.last_write_ns,
            last_query_ns: self.last_query_ns,
            items: self.items.amounts(),
            bytes: self.bytes.amounts(),
            rejected: rejected.map(|(reason, ring)| (reason.clone().into_owned(), ring.amounts())).collect(),
        }
    }

    fn took(&mut self, now_ns: i64, receipt: &Receipt, items: usize, bytes: u64) {
        if receipt.accepted > 0 {
            self.first_write_ns.get_or_insert(now_ns);
            self.last_write_ns = Some(now_ns);
            self.items.add(now_ns, receipt.accepted as u64);
            // Of a batch that was taken in part, its part.
            let part = u128::from(bytes) * receipt.accepted as u128 / items.max(1) as u128;
            self.bytes.add(now_ns, u64::try_from(part).unwrap_or(bytes));
        }
        for rejection in &receipt.rejections {
            self.rejected
                .entry(rejection.reason.as_str().into())
                .or_default()
                .add(now_ns, rejection.items as u64);
        }
    }
}

impl Ingest for Activity {
    fn ingest<'a>(
        &'a self,
        context: &'a TenantContext,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Receipt, IngestError>> {
        Box::pin(async move {
            let (signal, items, bytes) = (batch.signal(), batch.items(), bytes(&batch));
            let coming = match &batch {
                Batch::Logs(lines) => {
                    self.late_lines.coming(context.tenant()).map(|coming| (coming, lines.clone()))
                }
                Batch::Metrics(_) | Batch::Traces(_) => None,
            };
            let result = self.engine.ingest(context, batch).await;
            if let Some((coming, lines)) = coming.filter(|_| result.is_ok()) {
                coming.came(&lines);
            }
            match &result {
                Ok(receipt) => {
                    self.count(context.tenant(), signal, |counted, now_ns| {
                        counted.took(now_ns, receipt, items, bytes);
                    });
                }
                Err(IngestError::Limited { .. }) => {
                    let mut receipt = Receipt::default();
                    receipt.reject(Reason::RateLimited, items, String::new);
                    self.count(context.tenant(), signal, |counted, now_ns| {
                        counted.took(now_ns, &receipt, items, bytes);
                    });
                }
                // The server's own trouble is not the tenant's.
                Err(_) => {}
            }
            result
        })
    }
}

/// The bytes of a batch's columns.
fn bytes(batch: &Batch) -> u64 {
    let tables: &[&RecordBatch] = match batch {
        Batch::Metrics(batch) => &[&batch.series, &batch.samples, &batch.histograms, &batch.exemplars],
        Batch::Logs(batch) => &[&batch.streams, &batch.entries],
        Batch::Traces(batch) => &[&batch.spans],
    };
    let columns = tables.iter().flat_map(|table| table.columns());
    columns.map(|column| column.to_data().get_slice_memory_size().unwrap_or(0) as u64).sum()
}
