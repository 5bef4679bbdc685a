//! What clients of a node do: write and retry, take a snapshot and read it at once or later, ask for flushes, merges and
//! passes of retention. Each runs as a part of the node's life and ends with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::ingest::IngestError;
use model::time::NS_PER_S;
use model::{Ingest, Signal, TimeRange};
use storage::delete::DeletionRequest;
use storage::hold::HoldRequest;
use storage::manifest::keeping::HoldKind;
use storage::{Storage, StorageError};

use super::disk::NodeDisk;
use super::items::{Row, Snapshot, Wanted, batch, matcher};
use super::machine::{Life, ms};
use super::oracle::{Expected, Partition};
use super::world::{GRACE_MS, Shared};

/// How often a client sends a batch again that was refused.
const RETRIES: u64 = 2;

/// A node as a client sees it.
pub(crate) struct Client {
    pub(crate) shared: Shared,
    pub(crate) disk: NodeDisk,
    pub(crate) node: usize,
    pub(crate) life: Life,
    pub(crate) storage: Storage,
}

impl Client {
    /// Writes rows; those that are out of the tenant's window must be rejected, the others taken.
    pub(crate) async fn write(self, partition: Partition, rows: Vec<Row>) {
        let shared = &self.shared;
        let context = shared.context(partition.0);
        for _ in 0..=RETRIES {
            let wall_ns = shared.machine.wall_ns();
            let ruled = shared.limits.ruled(partition);
            let oldest_ns = |row: &Row| {
                let own = ruled.filter(|(source, _)| *source == row.source).map(|(_, kept_ns)| kept_ns);
                let kept_ns = own.or(context.limits().retention.of(partition.1));
                kept_ns.map_or(i64::MIN, |kept_ns| wall_ns.saturating_sub(kept_ns))
            };
            let newest_ns = wall_ns + context.limits().intake(partition.1).reject_ahead_ns;
            let taken: Vec<Row> = rows
                .iter()
                .filter(|row| (oldest_ns(row)..=newest_ns).contains(&row.timestamp_ns))
                .copied()
                .collect();
            let expected = (taken.len(), rows.len() - taken.len());
            let number = shared.oracle.lock().send(partition, self.node, self.life, taken);
            shared.report.lock().writes += 1;
            // Polled here for the first time: no time passes between the two looks at the clock.
            let result = self.storage.ingest(&context, batch(partition.1, &rows)).await;
            match result {
                Ok(receipt) => {
                    let rejected = receipt.rejections.iter().map(|rejection| rejection.items).sum::<usize>();
                    shared.machine.note(&format_args!("batch {number} is taken"));
                    if (receipt.accepted, rejected) != expected {
                        shared.machine.fail(format!("batch {number}: {receipt:?}, expected {expected:?}"));
                    }
                    shared.oracle.lock().acknowledged(number, shared.machine.now_ns());
                    shared.report.lock().acknowledged += 1;
                    // A client that lost the reply sends the batch once more.
                    if !shared.machine.permille(50) {
                        return;
                    }
                }
                Err(error) => {
                    shared.machine.note(&format_args!("batch {number} is refused: {error}"));
                    shared.oracle.lock().unanswered(number);
                    shared.report.lock().refused += 1;
                    if matches!(error, IngestError::Internal(_)) {
                        shared.machine.fail(format!("batch {number}: {error}"));
                    }
                    if shared.machine.permille(500) {
                        return;
                    }
                }
            }
            shared.machine.sleep(shared.machine.below(ms(4_000))).await;
        }
    }

    /// What a snapshot of this moment must show.
    fn expected(&self, partition: Partition, wanted: Wanted) -> Expected {
        let shared = &self.shared;
        Expected {
            partition,
            node: self.node,
            life: self.life,
            wanted,
            kept_ns: shared.limits.of(partition.0).retention.of(partition.1),
            ruled: shared.limits.ruled(partition),
            wall_ns: shared.machine.wall_ns(),
            late_wall_ns: shared.machine.latest_wall_ns(),
            is_replayed: self.storage.replay().done,
            was_ill: self.disk.was_ill(),
            moment: shared.oracle.lock().moment(),
        }
    }

    /// Reads everything of a tenant's signal while all is well: there is no excuse.
    pub(crate) async fn read_all(self, partition: Partition) {
        let (shared, life) = (self.shared.clone(), self.life);
        let all = Wanted { range: TimeRange::ALL, source: None };
        if let Err(error) = self.try_read(partition, all).await {
            shared
                .machine
                .fail(format!("a read of {partition:?} in life {life} fails while all is well: {error}"));
        }
    }

    /// Reads a part of a tenant's signal; the snapshot may be held for a while before it is read.
    pub(crate) async fn read(self, partition: Partition, wanted: Wanted) {
        // The store may fail; what it may not do is give half of the rows.
        let _noted = self.try_read(partition, wanted).await;
    }

    async fn try_read(self, partition: Partition, wanted: Wanted) -> Result<(), StorageError> {
        let shared = &self.shared;
        let context = shared.context(partition.0);
        let mut expected = self.expected(partition, wanted);
        let taken = Snapshot::take(&self.storage, &context, partition.1, wanted.range).await;
        // It may have asked for a newer manifest first, and the clock may have been set meanwhile.
        let after = self.expected(partition, wanted);
        expected.wall_ns = expected.wall_ns.min(after.wall_ns);
        expected.late_wall_ns = expected.late_wall_ns.max(after.late_wall_ns);
        if shared.machine.permille(200) {
            // Shorter than the grace of the sweep by what the read itself may take.
            shared.machine.sleep(shared.machine.below(ms(GRACE_MS / 2))).await;
        }
        let rows = match taken {
            Ok(snapshot) => snapshot.rows(wanted).await,
            Err(error) => Err(error),
        };
        match rows {
            Ok(rows) => {
                shared.machine.note(&format_args!("a read of {partition:?} gives {} rows", rows.len()));
                let mut report = shared.report.lock();
                report.reads += 1;
                report.rows += rows.len() as u64;
                drop(report);
                let now_ns = shared.machine.now_ns();
                if let Err(broken) = shared.oracle.lock().check(&expected, &rows, now_ns) {
                    shared.machine.fail(format!("a read of {expected:?}: {broken}"));
                }
                Ok(())
            }
            Err(error) => {
                shared.machine.note(&format_args!("a read of {partition:?} fails: {error}"));
                Err(error)
            }
        }
    }

    /// Deletes what there is of a source, or of all, in a time.
    pub(crate) async fn delete(self, partition: Partition, source: Option<u32>, range: TimeRange) {
        let shared = &self.shared;
        let number = shared.oracle.lock().delete(partition, source, range, self.life);
        let matchers = source.map(|source| matcher(partition.1, source));
        let request = DeletionRequest {
            query: format!("{source:?}"),
            selectors: vec![matchers.into_iter().collect()],
            lines: Vec::new(),
            labels: Vec::new(),
            range,
            actor: "somebody".to_owned(),
            cancel_period_ns: 0,
        };
        let result = self.storage.delete(&shared.context(partition.0), partition.1, &request).await;
        shared
            .machine
            .note(&format_args!("delete {number} of {partition:?}: {:?}", result.as_ref().map(Vec::len)));
        shared.oracle.lock().deleted(number, result.is_ok());
        shared.report.lock().deletions += u64::from(result.is_ok());
    }

    /// Holds what a tenant has, or releases all that is held.
    pub(crate) async fn hold_or_release(self, tenant: usize) {
        let (shared, context) = (&self.shared, self.shared.context(tenant));
        if shared.machine.permille(500) {
            let number = shared.oracle.lock().hold(tenant, self.node);
            let request = HoldRequest {
                kind: HoldKind::Hold,
                signals: Signal::ALL.to_vec(),
                matchers: Vec::new(),
                range: TimeRange::ALL,
                reason: "something".to_owned(),
                actor: "somebody".to_owned(),
                until_ns: None,
                notes: std::collections::BTreeMap::new(),
            };
            let result = self.storage.hold(&context, &request).await;
            shared.machine.note(&format_args!("hold {number} of {tenant}: {:?}", result.is_ok()));
            if result.is_ok() {
                shared.oracle.lock().held(number, shared.machine.latest_wall_ns());
                shared.report.lock().holds += 1;
            }
            return;
        }
        shared.oracle.lock().releasing(tenant);
        let before = shared.oracle.lock().moment();
        let Ok(held) = self.storage.holds(&context).await else { return };
        for held in held {
            if self.storage.release(&context, &held.hold.id).await.is_err() {
                return;
            }
        }
        shared.oracle.lock().released((tenant, self.node), before);
    }

    pub(crate) async fn flush(self) {
        let result = self.storage.flush().await;
        self.shared.machine.note(&format_args!("flush: {:?}", result.map_err(|error| error.to_string())));
        self.shared.report.lock().flushes += 1;
    }

    pub(crate) async fn compact(self) {
        let result = self.storage.compact().await;
        let mut report = self.shared.report.lock();
        report.compactions += 1;
        if let Ok(done) = &result {
            report.merges += done.merges as u64;
        }
        drop(report);
        self.shared.machine.note(&format_args!("compact: {:?}", result.map_err(|error| error.to_string())));
    }

    pub(crate) async fn retain(self) {
        let result = self.storage.retain().await;
        let mut report = self.shared.report.lock();
        report.passes += 1;
        if let Ok(done) = &result {
            report.expired += done.segments_expired as u64;
        }
        drop(report);
        self.shared.machine.note(&format_args!("retain: {:?}", result.map_err(|error| error.to_string())));
    }

    /// Ends the node's life in good order, and says whether it could.
    pub(crate) async fn shutdown(self, is_done: Arc<AtomicBool>) {
        let result = self.storage.shutdown().await;
        is_done.store(result.is_ok(), Ordering::Relaxed);
        self.shared.machine.note(&format_args!("shutdown: {:?}", result.map_err(|error| error.to_string())));
        self.shared.report.lock().shutdowns += 1;
    }
}

/// A range of time around the wall clock, or all of it.
pub(crate) fn some_range(shared: &Shared) -> TimeRange {
    let machine = &shared.machine;
    if machine.permille(400) {
        return TimeRange::ALL;
    }
    let hour = 3_600 * NS_PER_S;
    let at = |most: i64| i64::try_from(machine.below(most.unsigned_abs())).unwrap_or(0);
    let end_ns = machine.wall_ns() + at(hour / 6) - at(hour);
    TimeRange::new(end_ns - at(2 * hour), end_ns)
}

/// Rows for a batch: most around now, some at the edges of the window, some repeated.
pub(crate) fn some_rows(shared: &Shared, partition: Partition, next_value: &mut u64) -> Vec<Row> {
    let machine = &shared.machine;
    let wall_ns = machine.wall_ns();
    let below = |end: i64| i64::try_from(machine.below(end.unsigned_abs())).unwrap_or(0);
    let count = 1 + machine.below(4);
    let mut rows = Vec::new();
    for _ in 0..count {
        let offset_ns = match machine.below(20) {
            0 => 15 * 60 * NS_PER_S - below(10 * 60 * NS_PER_S),
            1 => -below(30 * 3_600 * NS_PER_S),
            2..=7 => -below(55 * 60 * NS_PER_S),
            _ => -below(60 * NS_PER_S),
        };
        // Few moments, so that samples meet.
        let step_ns = if partition.1 == Signal::Metrics { 5 * NS_PER_S } else { NS_PER_S };
        let timestamp_ns = (wall_ns + offset_ns).div_euclid(step_ns) * step_ns;
        let source = u32::try_from(machine.below(4)).unwrap_or(0);
        rows.push(Row { source, timestamp_ns, value: *next_value });
        *next_value += 1;
    }
    if machine.permille(100) {
        rows.push(rows[0]);
    }
    rows
}
