//! Where sources of sorted rows meet: the times that two of them cover, and the moments of series or streams of which two
//! have a row.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

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

/// For each of the ranges the number of its group: those that meet, also by others between them, are of one group. Groups are
/// numbered in the order of time.
pub(crate) fn groups(ranges: &[TimeRange]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..ranges.len()).collect();
    order.sort_unstable_by_key(|place| ranges[*place].start_ns);
    let mut groups = vec![0; ranges.len()];
    let (mut group, mut covered) = (0, None);
    for place in order {
        let range = ranges[place];
        group += usize::from(covered.is_some_and(|covered| covered < range.start_ns));
        groups[place] = group;
        covered = covered.max(Some(range.end_ns));
    }
    groups
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

/// A series or stream and a value of the time column.
pub(crate) type Moment = (u32, i64);

/// Adds the moments of series or streams at which sources of two groups have a row; it ends when there are more than so many.
///
/// # Errors
/// The sources'.
pub(crate) async fn repeated(
    table: Table,
    sources: Vec<(usize, Rows)>,
    moments: &mut HashSet<Moment>,
    most: usize,
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
            moments.extend(u32::try_from(key.major).map(|number| (number, key.time)));
            if moments.len() > most {
                break;
            }
        }
        // What is left of the last source meets nothing.
        let Some(Reverse((limit, _))) = heap.peek() else { break };
        last = cursor.pass(*limit).map(|passed| (passed, cursor.group));
        heap.extend(cursor.key(table).await?.map(|key| Reverse((key, source))));
    }
    Ok(())
}

/// The time, cut where the ranges begin and end, which ascend and are apart.
pub(crate) fn cut(time: TimeRange, ranges: &[TimeRange]) -> Vec<TimeRange> {
    let mut starts = vec![time.start_ns];
    for range in ranges {
        starts.extend([Some(range.start_ns), range.end_ns.checked_add(1)].into_iter().flatten());
    }
    starts.retain(|start| (time.start_ns..=time.end_ns).contains(start));
    starts.dedup();
    let ends = starts.iter().skip(1).map(|next| next - 1).chain([time.end_ns]);
    starts.iter().zip(ends).map(|(start, end)| TimeRange::new(*start, end)).collect()
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

    #[test]
    fn ranges_that_meet_are_of_one_group() {
        let ranges = [(7, 9), (1, 2), (2, 4), (5, 6), (9, 12), (20, 21), (6, 6)];
        let ranges = ranges.map(|(start, end)| TimeRange::new(start, end));
        assert_eq!(groups(&ranges), [2, 0, 0, 1, 2, 3, 1]);
    }

    #[test]
    fn a_time_is_cut_where_others_begin_and_end() {
        type Times<'a> = &'a [(i64, i64)];
        let cases: [(Times<'_>, Times<'_>); 4] = [
            (&[], &[(0, 9)]),
            (&[(0, 9)], &[(0, 9)]),
            (&[(0, 2), (5, 5)], &[(0, 2), (3, 4), (5, 5), (6, 9)]),
            (&[(3, 4), (5, 20)], &[(0, 2), (3, 4), (5, 9)]),
        ];
        for (ranges, expected) in cases {
            let ranges: Vec<TimeRange> = ranges.iter().map(|(a, b)| TimeRange::new(*a, *b)).collect();
            let found: Vec<(i64, i64)> =
                cut(TimeRange::new(0, 9), &ranges).iter().map(|r| (r.start_ns, r.end_ns)).collect();
            assert_eq!(found, expected, "{ranges:?}");
        }
    }
}
