//! The model that a simulation is held against: every batch that was ever sent, what its writer was told, and what a
//! reader must, may and must not see because of it.
//!
//! - A batch that was acknowledged is there, until its items expire. Where the log is synced by interval only, a loss of
//!   power may take what was acknowledged within the last interval.
//! - A batch without an answer is there whole or not at all, and when it was seen, it stays.
//! - Lines and spans are there once each, however often they were sent. Of samples with the same series and time the one
//!   that was written last is there; of those written at the same time, any.
//! - What was deleted is not there, once the deletion was answered; what was written after that is.
//! - What is held is there, however old it is.
//! - Nothing else is there, and nothing that has expired.

use std::collections::{BTreeMap, BTreeSet};

use model::{Signal, TimeRange};

use super::deletions::{Deletion, Hold};
use super::disk::End;
use super::items::{Row, Wanted};
use super::machine::Life;

/// Whose items.
pub(crate) type Partition = (usize, Signal);

/// Acknowledged, and not synced when the process ended.
const UNSYNCED: u64 = u64::MAX;

/// What is known of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// On its way.
    Sent,
    /// Without an answer, since this moment of the oracle.
    Unknown(u64),
    /// There, since this moment of the oracle, and this one of the machine in nanoseconds.
    There { since: u64, at_ns: u64 },
}

#[derive(Debug)]
struct Sent {
    node: usize,
    life: Life,
    rows: Vec<Row>,
    begun: u64,
    fate: Fate,
    /// Whether every node must see it.
    is_everywhere: bool,
    /// Items that had expired by this clock, which was ahead, may be gone.
    gone_wall_ns: i64,
}

/// A number of a batch.
pub(crate) type Number = usize;

/// What a read may rely on, as of the moment of its snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) partition: Partition,
    pub(crate) node: usize,
    pub(crate) life: Life,
    pub(crate) wanted: Wanted,
    /// How long items are kept.
    pub(crate) kept_ns: Option<i64>,
    /// A source that is kept for another time.
    pub(crate) ruled: Option<(u32, i64)>,
    /// The wall clock.
    pub(crate) wall_ns: i64,
    /// The latest that it ever was: what had expired by it may be gone.
    pub(crate) late_wall_ns: i64,
    /// Whether the log was replayed.
    pub(crate) is_replayed: bool,
    /// Whether the disk failed in this life: what it shows may not be durable.
    pub(crate) was_ill: bool,
    /// The oracle's moment.
    pub(crate) moment: u64,
}

impl Expected {
    /// What of a source has expired by a clock.
    fn cutoff_ns(&self, source: u32, wall_ns: i64) -> i64 {
        let ruled = self.ruled.filter(|(ruled, _)| *ruled == source).map(|(_, kept_ns)| kept_ns);
        ruled.or(self.kept_ns).map_or(i64::MIN, |kept_ns| wall_ns.saturating_sub(kept_ns))
    }
}

/// All that was sent.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    sent: Vec<Sent>,
    /// By tenant's signal, source and time: the batches with such items.
    by_key: BTreeMap<Partition, BTreeMap<(u32, i64), Vec<Number>>>,
    deletions: Vec<Deletion>,
    holds: Vec<Hold>,
    moment: u64,
}

impl Oracle {
    fn tick(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    /// The moment now.
    pub(crate) const fn moment(&self) -> u64 {
        self.moment
    }

    /// A batch is handed to a node; `rows` are those that it must take.
    pub(crate) fn send(&mut self, partition: Partition, node: usize, life: Life, rows: Vec<Row>) -> Number {
        let number = self.sent.len();
        let keys = self.by_key.entry(partition).or_default();
        for row in &rows {
            let batches = keys.entry((row.source, row.timestamp_ns)).or_default();
            if batches.last() != Some(&number) {
                batches.push(number);
            }
        }
        let begun = self.tick();
        let (fate, is_everywhere, gone_wall_ns) = (Fate::Sent, false, i64::MIN);
        self.sent.push(Sent { node, life, rows, begun, fate, is_everywhere, gone_wall_ns });
        number
    }

    /// A deletion is asked for.
    pub(crate) fn delete(
        &mut self,
        partition: Partition,
        source: Option<u32>,
        range: TimeRange,
        life: Life,
    ) -> Number {
        let begun = self.tick();
        self.deletions.push(Deletion { partition, source, range, life, begun, end: None, is_done: false });
        self.deletions.len() - 1
    }

    /// It was answered; without a success it may be there all the same.
    pub(crate) fn deleted(&mut self, number: Number, is_done: bool) {
        let end = self.tick();
        self.deletions[number].end = Some(end);
        self.deletions[number].is_done = is_done;
    }

    /// A hold is asked for.
    pub(crate) fn hold(&mut self, tenant: usize, node: usize) -> Number {
        let begun = self.tick();
        self.holds.push(Hold { tenant, node, begun, held: None, releasing: None, released: None });
        self.holds.len() - 1
    }

    /// It holds.
    pub(crate) fn held(&mut self, number: Number, latest_wall_ns: i64) {
        self.holds[number].held = Some((self.tick(), latest_wall_ns));
    }

    /// All holds of a tenant are being released.
    pub(crate) fn releasing(&mut self, tenant: usize) {
        let moment = self.tick();
        for hold in self.holds.iter_mut().filter(|hold| hold.tenant == tenant) {
            hold.releasing.get_or_insert(moment);
        }
    }

    /// None of the tenant's holds that were there before a moment is there any more: a node has released them.
    pub(crate) fn released(&mut self, (tenant, node): (usize, usize), before: u64) {
        let moment = self.tick();
        let of_tenant = self.holds.iter_mut().filter(|hold| hold.tenant == tenant && hold.begun < before);
        // One without an answer may come still.
        for hold in of_tenant.filter(|hold| hold.held.is_some()) {
            hold.released.get_or_insert((moment, node));
        }
    }

    /// The node took it.
    pub(crate) fn acknowledged(&mut self, number: Number, at_ns: u64) {
        let since = self.tick();
        self.sent[number].fate = Fate::There { since, at_ns };
    }

    /// There was no answer, or an error.
    pub(crate) fn unanswered(&mut self, number: Number) {
        let since = self.tick();
        if self.sent[number].fate == Fate::Sent {
            self.sent[number].fate = Fate::Unknown(since);
        }
    }

    /// A node's life ended. What it had not answered is unknown. What it answered within `unsynced_ns` before now is lost
    /// with the power, or left to the next life to sync.
    pub(crate) fn ended(&mut self, (node, life): (usize, Life), now_ns: u64, unsynced_ns: u64, end: End) {
        let moment = self.tick();
        for deletion in self.deletions.iter_mut().filter(|deletion| deletion.life == life) {
            deletion.end.get_or_insert(moment);
        }
        for sent in self.sent.iter_mut().filter(|sent| sent.node == node) {
            match &mut sent.fate {
                Fate::Sent => sent.fate = Fate::Unknown(moment),
                Fate::There { at_ns, .. } if !sent.is_everywhere => {
                    if now_ns.saturating_sub(*at_ns) >= unsynced_ns {
                        continue;
                    }
                    match end {
                        End::Killed => *at_ns = UNSYNCED,
                        End::PowerLoss => sent.fate = Fate::Unknown(moment),
                    }
                }
                Fate::There { .. } | Fate::Unknown(_) => {}
            }
        }
    }

    /// A node has replayed its log, and synced it.
    pub(crate) fn replayed(&mut self, node: usize, now_ns: u64) {
        for sent in self.sent.iter_mut().filter(|sent| sent.node == node) {
            if let Fate::There { at_ns, .. } = &mut sent.fate
                && *at_ns == UNSYNCED
            {
                *at_ns = now_ns;
            }
        }
    }

    /// Every node has flushed and has opened since: all of them see everything.
    pub(crate) fn everywhere(&mut self) {
        for sent in &mut self.sent {
            sent.is_everywhere |= matches!(sent.fate, Fate::There { .. });
        }
    }

    /// The clock of the moment before was set back: what had expired by it may be gone for ever.
    pub(crate) fn clock_set(&mut self, latest_wall_ns: i64) {
        for sent in &mut self.sent {
            sent.gone_wall_ns = sent.gone_wall_ns.max(latest_wall_ns);
        }
    }

    /// Holds what a read gave against what it may give.
    ///
    /// # Errors
    /// The promise that was broken.
    pub(crate) fn check(&mut self, expected: &Expected, rows: &[Row], now_ns: u64) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for row in rows {
            self.check_row(expected, row)?;
            let key = match expected.partition.1 {
                Signal::Metrics => Row { value: 0, ..*row },
                Signal::Logs | Signal::Traces => *row,
            };
            if !seen.insert(key) {
                return Err(format!("{row:?} is there twice"));
            }
        }
        let seen: BTreeSet<Row> = rows.iter().copied().collect();
        self.learn(expected, &seen, now_ns);
        self.check_missing(expected, &seen)
    }

    fn check_row(&self, expected: &Expected, row: &Row) -> Result<(), String> {
        let wanted = expected.wanted;
        if !wanted.range.contains(row.timestamp_ns) || wanted.source.is_some_and(|s| s != row.source) {
            return Err(format!("{row:?} was not asked for"));
        }
        let cutoff_ns = expected.cutoff_ns(row.source, expected.wall_ns);
        let tenant = expected.partition.0;
        let may_be_held = self.holds.iter().any(|hold| hold.may_hold(tenant, expected.moment, expected.node));
        if row.timestamp_ns < cutoff_ns && !may_be_held {
            return Err(format!("{row:?} has expired: cutoff_ns={cutoff_ns}"));
        }
        let batches = self.with_key(expected.partition, row);
        let writers: Vec<&Sent> =
            batches.iter().map(|n| &self.sent[*n]).filter(|sent| sent.rows.contains(row)).collect();
        if writers.is_empty() {
            return Err(format!("{row:?} was never written by this tenant"));
        }
        let last_end = writers.iter().map(|sent| sent.end()).max().unwrap_or(u64::MAX);
        let gone = self
            .deletions
            .iter()
            .find(|deletion| deletion.must_have_taken(expected.partition, row, last_end, expected.moment));
        if let Some(deletion) = gone {
            return Err(format!("{row:?} was deleted: {deletion:?}"));
        }
        if expected.partition.1 != Signal::Metrics {
            return Ok(());
        }
        // A sample that another one, written after it, must have replaced.
        let replaced = batches.iter().map(|n| &self.sent[*n]).find(|sent| {
            sent.begun > last_end
                && writers.iter().all(|writer| writer.node == sent.node)
                && self.must_be_seen(sent, expected)
                // The clock was set back: the later one may have gone while the earlier one stayed.
                && row.timestamp_ns >= expected.cutoff_ns(row.source, sent.gone_wall_ns)
                && !self.may_be_deleted(expected.partition, row, sent)
                && sent.rows.iter().any(|r| (r.source, r.timestamp_ns) == (row.source, row.timestamp_ns))
        });
        match replaced {
            Some(later) => Err(format!("{row:?} was replaced by a later sample: {:?}", later.rows)),
            None => Ok(()),
        }
    }

    fn with_key(&self, partition: Partition, row: &Row) -> &[Number] {
        let keys = self.by_key.get(&partition);
        keys.and_then(|keys| keys.get(&(row.source, row.timestamp_ns))).map_or(&[], Vec::as_slice)
    }

    /// What was seen of batches without an answer says that they are there.
    fn learn(&mut self, expected: &Expected, seen: &BTreeSet<Row>, now_ns: u64) {
        let mut found = BTreeSet::new();
        for row in seen {
            let mut writers =
                self.with_key(expected.partition, row).iter().filter(|n| self.sent[**n].rows.contains(row));
            if let (Some(only), None) = (writers.next(), writers.next()) {
                found.insert(*only);
            }
        }
        for number in found {
            let is_own = self.sent[number].node == expected.node && !expected.was_ill;
            if matches!(self.sent[number].fate, Fate::Sent | Fate::Unknown(_)) && is_own {
                // It was there when the snapshot was taken, so that this read must show all of it.
                self.sent[number].fate = Fate::There { since: expected.moment, at_ns: now_ns };
            }
        }
    }

    fn must_be_seen(&self, sent: &Sent, expected: &Expected) -> bool {
        let Fate::There { since, .. } = sent.fate else { return false };
        let is_own = sent.node == expected.node && (sent.life == expected.life || expected.is_replayed);
        since <= expected.moment && (is_own || (sent.is_everywhere && expected.is_replayed))
    }

    fn may_be_deleted(&self, partition: Partition, row: &Row, sent: &Sent) -> bool {
        self.deletions.iter().any(|deletion| deletion.may_have_taken(partition, row, sent.begun))
    }

    fn check_missing(&self, expected: &Expected, seen: &BTreeSet<Row>) -> Result<(), String> {
        let Some(keys) = self.by_key.get(&expected.partition) else { return Ok(()) };
        let wanted = expected.wanted;
        let (tenant, moment) = (expected.partition.0, expected.moment);
        let held = self.holds.iter().filter_map(|hold| hold.holds_since(tenant, moment, expected.node)).min();
        let late_ns = expected.wall_ns.max(expected.late_wall_ns);
        let wall_ns = held.map_or(late_ns, |held_ns| held_ns.min(late_ns));
        for ((source, timestamp_ns), batches) in keys {
            let is_wanted = wanted.range.contains(*timestamp_ns)
                && wanted.source.is_none_or(|s| s == *source)
                && *timestamp_ns >= expected.cutoff_ns(*source, wall_ns);
            if !is_wanted {
                continue;
            }
            for sent in batches.iter().map(|n| &self.sent[*n]) {
                let gone_before_ns = expected.cutoff_ns(*source, sent.gone_wall_ns);
                if *timestamp_ns < gone_before_ns || !self.must_be_seen(sent, expected) {
                    continue;
                }
                let rows =
                    sent.rows.iter().filter(|r| (r.source, r.timestamp_ns) == (*source, *timestamp_ns));
                for row in rows {
                    if self.may_be_deleted(expected.partition, row, sent) {
                        continue;
                    }
                    let is_there = match expected.partition.1 {
                        Signal::Metrics => {
                            let first = Row { value: 0, ..*row };
                            let last = Row { value: u64::MAX, ..*row };
                            seen.range(first..=last).next().is_some()
                        }
                        Signal::Logs | Signal::Traces => seen.contains(row),
                    };
                    if !is_there {
                        return Err(format!("{row:?} is missing: {sent:?}"));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Sent {
    /// When its record was in the log at the latest.
    const fn end(&self) -> u64 {
        match self.fate {
            Fate::Sent => u64::MAX,
            Fate::Unknown(end) => end,
            Fate::There { since, .. } => since,
        }
    }
}
