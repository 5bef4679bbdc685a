//! Merges sorted runs of rows into one, without duplicates.
//!
//! The merger waits for nothing: it says which sources it needs rows of and is fed. Async readers and the flush
//! drive the same code. It holds one batch a source and the batch that it makes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, MutableArrayData, RecordBatch, make_array};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use futures::StreamExt;
use futures::stream::{BoxStream, FuturesUnordered};
use xxhash_rust::xxh3::xxh3_128;

use crate::bounds::{MERGE_BATCH_BYTES, MERGE_CONCURRENCY, READ_BATCH_ROWS};
use crate::error::StorageError;
use crate::head::runs::batch_bytes;
use crate::read::memory::Bounded;
use crate::signal::{Duplicates, Key, Keys, Table};

/// Slots beyond the sources' own that are kept before the first look for those that nobody needs: each holds a batch.
const SPARE_SLOTS: usize = 8;

/// Rows of one slot that are given out as they lie there.
const UNCOPIED_ROWS: usize = 1_024;

/// A batch that sources or the output still point into.
#[derive(Debug)]
struct Slot {
    batch: RecordBatch,
    keys: Keys,
    bytes: usize,
}

impl Slot {
    /// What a row takes, about.
    fn row_bytes(&self) -> usize {
        self.bytes / self.keys.len().max(1)
    }
}

/// Where a source stands.
#[derive(Clone, Copy, Debug)]
enum Cursor {
    /// Its next batch is needed before anything can go on.
    Starving,
    /// At a row of a slot.
    At { slot: usize, row: usize },
    /// It has no more rows.
    Done,
}

/// Rows of a slot that go to the output as they stand.
#[derive(Clone, Copy, Debug)]
struct Pick {
    slot: usize,
    start: usize,
    end: usize,
}

/// The rows with the key that was picked last.
#[derive(Debug)]
struct Group {
    key: Key,
    /// The first row of the key, for the hash that is made only when a second one comes.
    slot: usize,
    row: usize,
    /// Hashes of the rows, once there are two.
    seen: HashSet<u128>,
}

/// Merges the sources, which are in the order of their age, the oldest first.
#[derive(Debug)]
pub(crate) struct Merger {
    table: Table,
    duplicates: Duplicates,
    cursors: Vec<Cursor>,
    heap: BinaryHeap<Reverse<(Key, usize)>>,
    starving: usize,
    slots: Vec<Slot>,
    picks: Vec<Pick>,
    picked_rows: usize,
    picked_bytes: usize,
    group: Option<Group>,
    converter: Option<RowConverter>,
    /// Slots beyond which those that nobody needs are let go.
    release_at: usize,
}

impl Merger {
    /// A merger of a number of sources, all of them in the table's order.
    pub(crate) fn new(table: Table, sources: usize, duplicates: Duplicates) -> Self {
        Self {
            table,
            duplicates,
            cursors: vec![Cursor::Starving; sources],
            heap: BinaryHeap::with_capacity(sources),
            starving: sources,
            slots: Vec::new(),
            picks: Vec::new(),
            picked_rows: 0,
            picked_bytes: 0,
            group: None,
            converter: None,
            release_at: sources + SPARE_SLOTS,
        }
    }

    /// The sources that must be fed before [`Merger::next`] can go on.
    pub(crate) fn needs(&self) -> impl Iterator<Item = usize> {
        let needy = if self.starving == 0 { &[] } else { self.cursors.as_slice() };
        needy.iter().enumerate().filter(|(_, c)| matches!(c, Cursor::Starving)).map(|(source, _)| source)
    }

    /// Gives a source its next batch; none when it has no more. Empty batches leave it in need.
    pub(crate) fn feed(&mut self, source: usize, batch: Option<RecordBatch>) {
        let Some(batch) = batch else {
            self.cursors[source] = Cursor::Done;
            self.starving -= 1;
            return;
        };
        if batch.num_rows() == 0 {
            return;
        }
        if self.slots.len() >= self.release_at {
            self.release();
            self.release_at = self.slots.len() + self.cursors.len() / 4 + SPARE_SLOTS;
        }
        let keys = Keys::new(self.table, &batch);
        self.heap.push(Reverse((keys.get(0), source)));
        self.cursors[source] = Cursor::At { slot: self.slots.len(), row: 0 };
        self.starving -= 1;
        let bytes = batch_bytes(&batch);
        self.slots.push(Slot { batch, keys, bytes });
    }

    /// The next rows, when there are enough of them or no source has more; `None` when a source must be fed first, or
    /// all is over (then [`Merger::needs`] names nobody).
    ///
    /// # Errors
    /// When Arrow cannot compare or copy the rows.
    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        while self.starving == 0 && !self.is_full() {
            let Some(Reverse((_, source))) = self.heap.pop() else { break };
            self.advance(source)?;
        }
        let over = self.heap.is_empty() && self.starving == 0;
        if self.is_full() || (over && self.picked_rows > 0) { self.emit(over) } else { Ok(None) }
    }

    /// Whether there is a batch to give out. One row alone is not: it may have to be kept back. Many rows of one slot are:
    /// they need no copy.
    fn is_full(&self) -> bool {
        self.picked_rows >= READ_BATCH_ROWS
            || self.picks.last().is_some_and(|last| last.end - last.start >= UNCOPIED_ROWS)
            || (self.picked_rows > 1 && self.picked_bytes >= MERGE_BATCH_BYTES)
    }

    /// Memory of the batches that it holds, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.slots.iter().map(|slot| slot.bytes).sum()
    }

    /// Whether every row was given out.
    pub(crate) fn is_over(&self) -> bool {
        self.heap.is_empty() && self.starving == 0 && self.picks.is_empty()
    }

    /// Takes the rows of the source with the least key up to the next source's.
    fn advance(&mut self, source: usize) -> Result<(), ArrowError> {
        let Cursor::At { slot, row } = self.cursors[source] else {
            return Ok(());
        };
        let keys = self.slots[slot].keys.clone();
        let row_bytes = self.slots[slot].row_bytes().max(1);
        let room_bytes = MERGE_BATCH_BYTES.saturating_sub(self.picked_bytes);
        let room_rows = READ_BATCH_ROWS.saturating_sub(self.picked_rows).min(room_bytes / row_bytes);
        let room = row + room_rows.max(1);
        let end = match self.heap.peek() {
            Some(Reverse((limit, other))) => keys.partition(row, |key| (key, source) < (*limit, *other)),
            None => keys.len(),
        };
        // The source has the least key, so that it gives one row at the least.
        let end = end.max(row + 1).min(room);
        self.take(slot, &keys, row, end)?;
        self.cursors[source] = if end < keys.len() {
            self.heap.push(Reverse((keys.get(end), source)));
            Cursor::At { slot, row: end }
        } else {
            self.starving += 1;
            Cursor::Starving
        };
        Ok(())
    }

    /// Picks `start..end` of a slot, less the duplicates.
    fn take(&mut self, slot: usize, keys: &Keys, start: usize, end: usize) -> Result<(), ArrowError> {
        if self.duplicates == Duplicates::Keep {
            self.pick(slot, start, end);
            return Ok(());
        }
        let mut row = start;
        while row < end {
            let key = keys.get(row);
            if self.group.as_ref().is_some_and(|group| group.key == key) {
                let mut same = row + 1;
                while same < end && keys.get(same) == key {
                    same += 1;
                }
                self.repeat(slot, row, same)?;
                row = same;
                continue;
            }
            let fresh_end = keys.first_repeat(row + 1, end).unwrap_or(end);
            self.pick(slot, row, fresh_end);
            let last = fresh_end - 1;
            self.group = Some(Group { key: keys.get(last), slot, row: last, seen: HashSet::new() });
            row = fresh_end;
        }
        Ok(())
    }

    fn pick(&mut self, slot: usize, start: usize, end: usize) {
        self.picked_rows += end - start;
        self.picked_bytes += (end - start) * self.slots[slot].row_bytes();
        match self.picks.last_mut() {
            Some(last) if last.slot == slot && last.end == start => last.end = end,
            _ => self.picks.push(Pick { slot, start, end }),
        }
    }

    /// Handles rows whose key is the one picked last.
    fn repeat(&mut self, slot: usize, start: usize, end: usize) -> Result<(), ArrowError> {
        if self.duplicates == Duplicates::LastWins {
            // The last row is still among the picks: `emit` keeps it back.
            if let Some(last) = self.picks.last_mut() {
                last.end -= 1;
                self.picked_rows -= 1;
                self.picked_bytes = self.picked_bytes.saturating_sub(self.slots[last.slot].row_bytes());
                if last.start == last.end {
                    self.picks.pop();
                }
            }
            self.pick(slot, end - 1, end);
            return Ok(());
        }
        let hashes = self.row_hashes(slot, start, end)?;
        let mut group = self.group.take().expect("a key repeats only after it was picked");
        if group.seen.is_empty() {
            group.seen.extend(self.row_hashes(group.slot, group.row, group.row + 1)?);
        }
        for (row, hash) in (start..end).zip(hashes) {
            if group.seen.insert(hash) {
                self.pick(slot, row, row + 1);
            }
        }
        self.group = Some(group);
        Ok(())
    }

    fn row_hashes(&mut self, slot: usize, start: usize, end: usize) -> Result<Vec<u128>, ArrowError> {
        let converter = match &mut self.converter {
            Some(converter) => converter,
            empty => {
                let fields = self.table.schema().fields().iter();
                let fields = fields.map(|f| SortField::new(f.data_type().clone())).collect();
                empty.insert(RowConverter::new(fields)?)
            }
        };
        let rows = self.slots[slot].batch.slice(start, end - start);
        let rows = converter.convert_columns(rows.columns())?;
        Ok(rows.iter().map(|row| xxh3_128(row.as_ref())).collect())
    }

    /// Copies the picks into one batch and lets go of the slots that nobody needs any more.
    fn emit(&mut self, over: bool) -> Result<Option<RecordBatch>, ArrowError> {
        let mut carry = None;
        if self.duplicates == Duplicates::LastWins && !over {
            // A later source may still replace the last row.
            let last = self.picks.last_mut().expect("a batch is made only when rows are picked");
            last.end -= 1;
            carry = Some(Pick { slot: last.slot, start: last.end, end: last.end + 1 });
            if last.start == last.end {
                self.picks.pop();
            }
        }
        let batch = if self.picks.is_empty() { None } else { Some(self.copy()?) };
        self.picks.clear();
        self.picks.extend(carry);
        self.picked_rows = self.picks.len();
        self.picked_bytes = self.picks.iter().map(|pick| self.slots[pick.slot].row_bytes()).sum();
        self.release();
        Ok(batch)
    }

    fn copy(&self) -> Result<RecordBatch, ArrowError> {
        if let [pick] = self.picks.as_slice() {
            return Ok(self.slots[pick.slot].batch.slice(pick.start, pick.end - pick.start));
        }
        let mut used: Vec<usize> = self.picks.iter().map(|p| p.slot).collect();
        used.sort_unstable();
        used.dedup();
        let position: Vec<usize> = self
            .picks
            .iter()
            .map(|p| used.binary_search(&p.slot).expect("the slot is in the list"))
            .collect();
        let rows = self.picks.iter().map(|p| p.end - p.start).sum();
        let schema = self.table.schema();
        let columns = (0..schema.fields().len()).map(|column| -> Result<ArrayRef, ArrowError> {
            let data: Vec<_> = used.iter().map(|&s| self.slots[s].batch.column(column).to_data()).collect();
            let mut out = MutableArrayData::new(data.iter().collect(), false, rows);
            for (pick, &position) in self.picks.iter().zip(&position) {
                out.try_extend(position, pick.start, pick.end)?;
            }
            Ok(make_array(out.freeze()))
        });
        RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)
    }

    fn release(&mut self) {
        let mut used = vec![false; self.slots.len()];
        for cursor in &self.cursors {
            if let Cursor::At { slot, .. } = cursor {
                used[*slot] = true;
            }
        }
        self.picks.iter().for_each(|pick| used[pick.slot] = true);
        self.group.iter().for_each(|group| used[group.slot] = true);
        let mut next = 0;
        let moved: Vec<usize> = used
            .iter()
            .map(|&used| {
                next += usize::from(used);
                next.wrapping_sub(1)
            })
            .collect();
        let mut flags = used.into_iter();
        self.slots.retain(|_| flags.next().unwrap_or(false));
        for cursor in &mut self.cursors {
            if let Cursor::At { slot, .. } = cursor {
                *slot = moved[*slot];
            }
        }
        self.picks.iter_mut().for_each(|pick| pick.slot = moved[pick.slot]);
        if let Some(group) = &mut self.group {
            group.slot = moved[group.slot];
        }
    }
}

/// A stream of batches in a table's order.
pub(crate) type Rows = BoxStream<'static, Result<RecordBatch, StorageError>>;

/// Merges streams, the oldest source first; they may have duplicates within themselves. The memory of the last batch that
/// it gave, and of the rows that it was made of, is held until the next one.
pub(crate) fn merge_all(table: Table, sources: Vec<Rows>, duplicates: Duplicates, memory: &Bounded) -> Rows {
    let merger = Merger::new(table, sources.len(), duplicates);
    let state = (merger, sources, memory.hold());
    futures::stream::try_unfold(state, |(mut merger, mut sources, mut held)| async move {
        loop {
            feed_streams(&mut merger, &mut sources).await?;
            match merger.next()? {
                Some(batch) => {
                    held.resize(2 * batch_bytes(&batch))?;
                    return Ok(Some((batch, (merger, sources, held))));
                }
                None if merger.is_over() => return Ok(None),
                None => {}
            }
        }
    })
    .boxed()
}

async fn feed_streams(merger: &mut Merger, sources: &mut [Rows]) -> Result<(), StorageError> {
    let needs: Vec<usize> = merger.needs().collect();
    if let [source] = needs.as_slice() {
        let batch = sources[*source].next().await;
        return feed(merger, *source, batch);
    }
    let mut waiting = FuturesUnordered::new();
    for (source, rows) in sources.iter_mut().enumerate() {
        if needs.binary_search(&source).is_err() {
            continue;
        }
        if waiting.len() == MERGE_CONCURRENCY
            && let Some((fed, batch)) = waiting.next().await
        {
            feed(merger, fed, batch)?;
        }
        waiting.push(next_of(source, rows));
    }
    while let Some((fed, batch)) = waiting.next().await {
        feed(merger, fed, batch)?;
    }
    Ok(())
}

async fn next_of(source: usize, rows: &mut Rows) -> (usize, Option<Result<RecordBatch, StorageError>>) {
    (source, rows.next().await)
}

fn feed(
    merger: &mut Merger,
    source: usize,
    batch: Option<Result<RecordBatch, StorageError>>,
) -> Result<(), StorageError> {
    merger.feed(source, batch.transpose()?);
    Ok(())
}
