//! What the model knows of deletions and holds: which rows a read may miss because of them, and which it may not show, or
//! not miss.

use model::TimeRange;

use super::items::Row;
use super::machine::Life;
use super::oracle::Partition;

/// A deletion that somebody asked for.
#[derive(Debug)]
pub(crate) struct Deletion {
    pub(crate) partition: Partition,
    /// Of one source, or of all.
    pub(crate) source: Option<u32>,
    pub(crate) range: TimeRange,
    pub(crate) life: Life,
    /// The moment of the oracle at which it was asked for.
    pub(crate) begun: u64,
    /// And at which there was an answer, or was known to come none.
    pub(crate) end: Option<u64>,
    /// Whether it was answered with a success.
    pub(crate) is_done: bool,
}

impl Deletion {
    fn is_about(&self, partition: Partition, row: &Row) -> bool {
        self.partition == partition
            && self.source.is_none_or(|source| source == row.source)
            && self.range.contains(row.timestamp_ns)
    }

    /// Whether it may have taken a row that was sent at a moment: what comes after its end stays.
    pub(crate) fn may_have_taken(&self, partition: Partition, row: &Row, sent: u64) -> bool {
        self.is_about(partition, row) && self.end.is_none_or(|end| sent < end)
    }

    /// Whether a read of a moment may not show a row that was there, or not, at the latest at another.
    pub(crate) fn must_have_taken(&self, partition: Partition, row: &Row, there: u64, moment: u64) -> bool {
        self.is_about(partition, row)
            && self.is_done
            && there <= self.begun
            && self.end.is_some_and(|end| end <= moment)
    }
}

/// A hold of a tenant. Another node than the one that made or released it learns of that later: the model knows no time by
/// which it surely has.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) tenant: usize,
    /// The node that made it.
    pub(crate) node: usize,
    pub(crate) begun: u64,
    /// Since when it holds surely, and the latest wall clock of that moment.
    pub(crate) held: Option<(u64, i64)>,
    /// Since when somebody has tried to release it.
    pub(crate) releasing: Option<u64>,
    /// Since when it surely does not hold, for the node that released it.
    pub(crate) released: Option<(u64, usize)>,
}

impl Hold {
    /// Whether a node's read of a moment may show what would have expired.
    pub(crate) fn may_hold(&self, tenant: usize, moment: u64, node: usize) -> bool {
        let is_released = |(released, by): (u64, usize)| by == node && released <= moment;
        self.tenant == tenant && self.begun <= moment && !self.released.is_some_and(is_released)
    }

    /// The wall clock by which rows had not expired when it began, where it surely holds for a node at a moment.
    pub(crate) fn holds_since(&self, tenant: usize, moment: u64, node: usize) -> Option<i64> {
        let (since, wall_ns) = self.held?;
        let is_surely = self.tenant == tenant
            && self.node == node
            && since <= moment
            && self.releasing.is_none_or(|releasing| moment < releasing);
        is_surely.then_some(wall_ns)
    }
}
