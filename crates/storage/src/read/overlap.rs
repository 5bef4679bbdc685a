//! Where sources of sorted rows meet: the times that two of them cover, and the series or streams of which two have a
//! row at the same moment.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use futures::StreamExt;
use model::TimeRange;

use super::merge::Rows;
use crate::error::StorageError;
use crate::signal::{Key, Keys, Table};

/// The times that at least two of the ranges have, ascending and apart.
pub(crate) fn shared(ranges: impl Iterator<Item = TimeRange>) -> Vec<TimeRange> {
    let mut ranges: Vec<TimeRange> = ranges.filter(|range| range.start_ns <= range.end_ns).collect();
    ranges.sort_unstable_by_key(|range| (range.start_ns, range.end_ns));
    let mut shared: Vec<TimeRange> = Vec::new();
    let mut covered = i64::MIN;
    let mut is_first = true;
    for range in ranges {
        let end_ns = range.end_ns.min(covered);
        if !is_first && range.start_ns <= end_ns {
            match shared.last_mut().filter(|last| range.start_ns <= last.end_ns) {
                Some(last) => last.end_ns = last.end_ns.max(end_ns),
                None => shared.push(TimeRange::new(range.start_ns, end_ns)),
            }
        }
        (covered, is_first) = (covered.max(range.end_ns), false);
    }
    shared
}

/// A source and where it stands.
struct Cursor {
    /// Sources of one group are not compared with each other.
    group: usize,
    rows: Rows,
    keys: Option<Keys>,
    row: usize,
}

impl Cursor {
    /// The key that it stands at; none at the end.
    async fn key(&mut self, table: Table) -> Result<Option<Key>, StorageError> {
        loop {
            if let Some(keys) = self.keys.as_ref().filter(|keys| self.row < keys.len()) {
                return Ok(Some(keys.get(self.row)));
            }
            let Some(batch) = self.rows.next().await.transpose()? else { return Ok(None) };
            (self.keys, self.row) = (Some(Keys::new(table, &batch)), 0);
        }
    }

    /// Goes to the first of the rows at hand that is not before the limit, one row at the least; gives the last that it
    /// passed.
    fn pass(&mut self, limit: Key) -> Option<Key> {
        let keys = self.keys.as_ref()?;
        let end = keys.partition(self.row, |key| key < limit).max(self.row + 1);
        self.row = end;
        Some(keys.get(end - 1))
    }
}

/// Adds the numbers of the series or streams of which sources of two groups have a row at the same moment.
///
/// # Errors
/// The sources'.
pub(crate) async fn repeated(
    table: Table,
    sources: Vec<(usize, Rows)>,
    numbers: &mut BTreeSet<u32>,
) -> Result<(), StorageError> {
    let cursors = sources.into_iter().map(|(group, rows)| Cursor { group, rows, keys: None, row: 0 });
    let mut cursors: Vec<Cursor> = cursors.collect();
    let mut heap: BinaryHeap<Reverse<(Key, usize)>> = BinaryHeap::with_capacity(cursors.len());
    for (source, cursor) in cursors.iter_mut().enumerate() {
        heap.extend(cursor.key(table).await?.map(|key| Reverse((key, source))));
    }
    let mut last: Option<(Key, usize)> = None;
    while let Some(Reverse((key, source))) = heap.pop() {
        let cursor = &mut cursors[source];
        if last.is_some_and(|(passed, group)| passed == key && group != cursor.group) {
            numbers.extend(u32::try_from(key.major));
        }
        // What is left of the last source meets nothing.
        let Some(Reverse((limit, _))) = heap.peek() else { break };
        last = cursor.pass(*limit).map(|passed| (passed, cursor.group));
        heap.extend(cursor.key(table).await?.map(|key| Reverse((key, source))));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_two_ranges_have_are_found() {
        type Times<'a> = &'a [(i64, i64)];
        let cases: [(Times<'_>, Times<'_>); 7] = [
            (&[], &[]),
            (&[(1, 5)], &[]),
            (&[(1, 5), (6, 9)], &[]),
            (&[(1, 5), (5, 9)], &[(5, 5)]),
            (&[(4, 9), (1, 6), (2, 3)], &[(2, 3), (4, 6)]),
            (&[(1, 10), (2, 8), (3, 4), (7, 9)], &[(2, 9)]),
            (&[(3, 2), (1, 9)], &[]),
        ];
        for (ranges, expected) in cases {
            let ranges = ranges.iter().map(|(start, end)| TimeRange { start_ns: *start, end_ns: *end });
            let found: Vec<(i64, i64)> = shared(ranges).iter().map(|r| (r.start_ns, r.end_ns)).collect();
            assert_eq!(found, expected);
        }
    }
}
