//! Series or streams that meet matchers, over all sources of a snapshot, under one numbering: the order of the labels.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::filter_record_batch;
use futures::StreamExt;
use model::labels::Labels;
use model::{Matcher, Signal, TimeRange};

use super::common;
use super::memory::{Bounded, Held};
use super::merge::Rows;
use super::prune;
use super::snapshot::Source;
pub(crate) use super::union::Numbers;
use super::union::Union;
use crate::bounds::TABLE_CONCURRENCY;
use crate::error::StorageError;
use crate::head::HeadView;
use crate::head::index::LabelIndex;
use crate::head::scan::{HeadRows, Wanted};
use crate::hidden::rows::Veil;
use crate::manifest::SegmentMeta;
use crate::segment::packed::{TIME_BASE_COLUMN, TIME_OFFSET_COLUMN};
use crate::segment::picked::{Picked, Told};
use crate::segment::reader::{Footer, SegmentFile};
use crate::segment::schema::{ONLY_PART, SERIES_PART, part};
use crate::segment::series::{Places, Streams};
use crate::signal::{Keys, Table};

/// A segment with selected series or streams.
#[derive(Clone, Debug)]
pub(crate) struct SegmentPart {
    pub(crate) meta: SegmentMeta,
    /// Where the rows of each are, in the order of the numbers.
    places: Arc<Places>,
    numbers: Numbers,
    /// What may not be seen, by the reader's numbers.
    pub(crate) veil: Option<Arc<Veil>>,
}

/// A head with selected series or streams.
#[derive(Clone, Debug)]
pub(crate) struct HeadPart {
    pub(crate) view: HeadView,
    numbers: Numbers,
    /// What may not be seen, by the reader's numbers.
    veil: Option<Arc<Veil>>,
}

/// The selected series or streams of a snapshot.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) source: Arc<Source>,
    pub(crate) labels: Vec<Labels>,
    pub(crate) segments: Vec<SegmentPart>,
    pub(crate) heads: Vec<HeadPart>,
    _held: Held,
}

/// What of a table is read.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    /// The table.
    pub(crate) table: Table,
    /// Reader's numbers.
    pub(crate) numbers: Range<usize>,
    /// Which of these.
    pub(crate) among: Among,
    /// The time.
    pub(crate) range: TimeRange,
}

/// Which of the numbers of a range.
#[derive(Clone, Debug)]
pub(crate) enum Among {
    /// All.
    All,
    /// These.
    These(Arc<BTreeSet<u32>>),
    /// The others.
    Others(Arc<BTreeSet<u32>>),
}

impl Scan {
    /// The entries whose reader's number is wanted.
    fn within(&self, numbers: &Numbers) -> Numbers {
        let start = numbers.partition_point(|(global, _)| (*global as usize) < self.numbers.start);
        let end = numbers.partition_point(|(global, _)| (*global as usize) < self.numbers.end);
        let in_range = &numbers[start..end.max(start)];
        match &self.among {
            Among::All if in_range.len() == numbers.len() => Arc::clone(numbers),
            Among::All => in_range.into(),
            Among::These(these) => in_range.iter().filter(|(n, _)| these.contains(n)).copied().collect(),
            Among::Others(these) => in_range.iter().filter(|(n, _)| !these.contains(n)).copied().collect(),
        }
    }
}

/// The streams of a logs segment; none where it does not read back.
pub(crate) async fn segment_streams(
    source: &Source,
    meta: &SegmentMeta,
) -> Result<Option<Arc<Streams>>, StorageError> {
    let Some(file) = source.file(meta, series_part(source.signal)) else {
        return Ok(None);
    };
    let streams = file_streams(&file).await;
    source.readable(&file, streams)
}

async fn file_streams(file: &SegmentFile) -> Result<Arc<Streams>, StorageError> {
    let footer = file.footer().await?;
    file.decode(|| file.streams(&footer))
}

/// The series or streams of a segment that meet matchers and may be seen, what may not be seen of their rows, by their
/// numbers in the file, and what holds their memory; none where the segment does not read back.
pub(crate) async fn picked(
    source: &Source,
    meta: &SegmentMeta,
    matchers: &[Matcher],
    told: Told,
) -> Result<Option<(Picked, Option<Veil>, Held)>, StorageError> {
    let Some(file) = source.file(meta, series_part(source.signal)) else {
        return Ok(None);
    };
    let picked = match source.signal {
        Signal::Metrics => file.pick(matchers, told, &source.memory).await,
        Signal::Logs | Signal::Traces => {
            let streams = file_streams(&file).await;
            streams.map(|streams| (Picked::of(&streams, matchers), source.memory.hold()))
        }
    };
    let Some((mut picked, held)) = source.readable(&file, picked)? else { return Ok(None) };
    let veil = seen(source, meta, &mut picked);
    Ok(Some((picked, veil, held)))
}

/// All series or streams of a file that is to be merged.
pub(crate) async fn merged_picked(
    signal: Signal,
    file: &SegmentFile,
    memory: &Bounded,
) -> Result<(Picked, Held), StorageError> {
    if signal == Signal::Metrics {
        return file.pick_last(memory).await;
    }
    Ok((Picked::of(&*file_streams(file).await?, &[]), memory.hold()))
}

/// Leaves out what has nothing to be seen, and says what may not be seen of the rest.
pub(crate) fn seen(source: &Source, meta: &SegmentMeta, picked: &mut Picked) -> Option<Veil> {
    if !source.conceals(meta) {
        return None;
    }
    let mut index = LabelIndex::default();
    let all = picked.labels.iter().map(|labels| index.push(labels.clone())).collect();
    let veil = source.segment_veil(meta, &index, &all)?;
    let numbers: Vec<(u32, u32)> = picked.numbers.iter().copied().zip(0..).collect();
    picked.retain(|place| !u32::try_from(place).is_ok_and(|place| veil.gone.contains(place)));
    veil.renumbered(&numbers)
}

/// The part of a segment that tells its series or streams.
pub(crate) const fn series_part(signal: Signal) -> &'static str {
    match signal {
        Signal::Metrics => SERIES_PART,
        Signal::Logs | Signal::Traces => ONLY_PART,
    }
}

impl Selected {
    /// Resolves matchers, all of which must hold, over the sources with data in the range.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn resolve(
        source: Arc<Source>,
        range: TimeRange,
        matchers: &[Matcher],
    ) -> Result<Self, StorageError> {
        let metas = source.segments(range).cloned().collect();
        let heads = source.heads(range).cloned().collect();
        Self::of(source, metas, heads, matchers).await
    }

    /// Resolves matchers over some of the segments and heads.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn of(
        source: Arc<Source>,
        metas: Vec<SegmentMeta>,
        views: Vec<HeadView>,
        matchers: &[Matcher],
    ) -> Result<Self, StorageError> {
        let mut union = Union::default();
        let (mut held, mut places_bytes) = (source.memory.hold(), 0);
        let mut segments = Vec::new();
        let loads = metas.into_iter().map(|meta| {
            let source = &source;
            async move {
                let picked = picked(source, &meta, matchers, Told::Labels).await;
                picked.map(|picked| picked.map(|picked| (meta, picked)))
            }
        });
        let mut loaded = futures::stream::iter(loads).buffered(TABLE_CONCURRENCY);
        while let Some(loaded) = loaded.next().await {
            let Some((meta, (picked, veil, _while_it_is_added))) = loaded? else { continue };
            if !picked.numbers.is_empty() {
                union.add(picked.numbers.into_iter().zip(picked.labels));
                places_bytes += picked.places.bytes();
                segments.push((meta, Arc::new(picked.places), veil));
                held.resize(union.bytes() + places_bytes)?;
            }
        }
        drop(loaded);
        let mut heads = Vec::new();
        for view in views {
            let mut list = view.series().select(matchers, view.series_count());
            let veil = source.head_veil(&view, &list.iter().map(|(number, _)| *number).collect());
            veil.iter().for_each(|veil| list.retain(|(number, _)| !veil.gone.contains(*number)));
            if !list.is_empty() {
                union.add(list.into_iter());
                heads.push((view, veil));
            }
        }
        held.resize(union.bytes() + places_bytes)?;
        let (labels, numbers) = union.finish();
        let mut numbers = numbers.into_iter();
        let segments = segments
            .into_iter()
            .zip(numbers.by_ref())
            .map(|((meta, places, veil), numbers)| {
                let veil = veil.and_then(|veil: Veil| veil.renumbered(&numbers)).map(Arc::new);
                SegmentPart { meta, places, numbers, veil }
            })
            .collect();
        let heads = heads.into_iter().zip(numbers).map(|((view, veil), numbers)| {
            let veil = veil.and_then(|veil| veil.renumbered(&numbers)).map(Arc::new);
            HeadPart { view, numbers, veil }
        });
        let heads = heads.collect();
        Ok(Self { source, labels, segments, heads, _held: held })
    }

    /// Whether a table has rows of what is selected; heads answer for all of theirs.
    pub(crate) fn has(&self, table: Table) -> bool {
        let in_segment = |segment: &SegmentPart| {
            (0..segment.numbers.len()).any(|place| !segment.places.rows(table, place).is_empty())
        };
        self.heads.iter().any(|head| head.view.has(table)) || self.segments.iter().any(in_segment)
    }
}

/// So many rows, spread evenly over one range, as far as they lie in the other.
fn part_of(rows: f64, spread: TimeRange, range: TimeRange) -> f64 {
    let length = |range: TimeRange| (range.end_ns as f64 - range.start_ns as f64 + 1.0).max(0.0);
    rows * length(common(spread, range)) / length(spread).max(1.0)
}

impl Selected {
    /// About how many rows of a table are within the range, as if every source's lay evenly in its time.
    pub(crate) fn rows_within(&self, table: Table, range: TimeRange) -> f64 {
        let of_segment = |part: &SegmentPart| {
            let rows = (0..part.numbers.len()).map(|place| part.places.rows(table, place).len());
            part_of(rows.sum::<usize>() as f64, part.meta.range(), range)
        };
        let of_head = |part: &HeadPart| {
            let share = part.numbers.len() as f64 / f64::from(part.view.series_count()).max(1.0);
            part.view
                .row_counts(table)
                .map(|(rows, spread)| part_of(rows as f64 * share, spread, range))
                .sum::<f64>()
        };
        self.segments.iter().map(of_segment).chain(self.heads.iter().map(of_head)).sum()
    }
}

impl HeadPart {
    /// The rows of a scan as sorted streams, the oldest first.
    pub(crate) fn sources(&self, scan: &Scan, memory: &Bounded) -> Vec<Rows> {
        let numbers = scan.within(&self.numbers);
        if numbers.is_empty() {
            return Vec::new();
        }
        let sources = self.view.sources(scan.table, &Wanted::Numbers(numbers), scan.range);
        let streams = sources.into_iter().map(|rows| streamed(rows, memory));
        let Some(veil) = &self.veil else { return streams.collect() };
        let table = scan.table;
        let visible = |rows: Rows| {
            let veil = Arc::clone(veil);
            rows.map(move |batch| veil.visible(table, batch?)).boxed()
        };
        streams.map(visible).collect()
    }
}

/// Rows of a head as a stream; the memory of copies is held to its end.
pub(crate) fn streamed(rows: HeadRows, memory: &Bounded) -> Rows {
    let mut held = memory.hold();
    if let Err(error) = held.resize(rows.copied_bytes) {
        return futures::stream::once(async { Err(error) }).boxed();
    }
    let batches = rows.batches.map(move |batch| {
        let _until_the_last = &held;
        Ok(batch)
    });
    futures::stream::iter(batches).boxed()
}

impl SegmentPart {
    /// Where the rows of some of the numbers are, in their order.
    fn rows_of<'a>(
        &'a self,
        table: Table,
        some: &'a [(u32, u32)],
    ) -> impl Iterator<Item = Range<usize>> + 'a {
        let first = some.first().map_or(0, |first| first.0);
        let start = self.numbers.partition_point(|(global, _)| *global < first);
        let mut some = some.iter().map(|(global, _)| *global).peekable();
        let numbered = self.numbers.iter().enumerate().skip(start);
        let wanted = numbered.filter(move |(_, (global, _))| some.next_if_eq(global).is_some());
        wanted.map(move |(place, _)| self.places.rows(table, place))
    }

    /// The file of a table and the numbers that a scan wants of it; none where there is nothing to read.
    pub(crate) fn wanted(&self, source: &Source, scan: &Scan) -> Option<(SegmentFile, Numbers)> {
        if !self.meta.range().overlaps(scan.range) {
            return None;
        }
        let numbers = scan.within(&self.numbers);
        if self.rows_of(scan.table, &numbers).all(|rows| rows.is_empty()) {
            return None;
        }
        Some((source.file(&self.meta, part(scan.table))?, numbers))
    }

    /// The places of the numbers' rows in a table's file, less the pages outside of the range.
    pub(crate) fn places(
        &self,
        file: &SegmentFile,
        footer: &Footer,
        scan: &Scan,
        numbers: &Numbers,
    ) -> Result<Vec<Range<usize>>, StorageError> {
        let places = prune::joined(self.rows_of(scan.table, numbers));
        if places.last().is_some_and(|last| last.end > footer.rows()) {
            return Err(file.corrupt("the series say more rows than there are"));
        }
        let whole = scan.range.start_ns <= self.meta.start_ns && self.meta.end_ns <= scan.range.end_ns;
        if whole {
            return Ok(places);
        }
        let (first, last) = scan.table.bounds(scan.range);
        let in_time = match scan.table {
            Table::Samples => prune::by_sum(footer, TIME_BASE_COLUMN, TIME_OFFSET_COLUMN, first, last),
            table => prune::by_integer(footer, table.time_column(), first, last),
        };
        Ok(prune::intersection(&places, &in_time))
    }
}

/// Rows of a segment's file under the reader's numbers, within the time, that may be seen; the batch is of the table's
/// schema.
pub(crate) fn renumbered(
    file: &SegmentFile,
    scan: &Scan,
    (numbers, veil): (&Numbers, Option<&Veil>),
    batch: &RecordBatch,
) -> Result<RecordBatch, StorageError> {
    let keys = Keys::new(scan.table, batch);
    let (first, last) = scan.table.bounds(scan.range);
    let mut mapped = Vec::with_capacity(batch.num_rows());
    for stretch in keys.numbers().chunk_by(|a, b| a == b) {
        let found = numbers.binary_search_by_key(&stretch[0], |(_, local)| *local);
        let place =
            found.map_err(|_| file.corrupt(format!("a row of another series: number={}", stretch[0])))?;
        mapped.resize(mapped.len() + stretch.len(), numbers[place].0);
    }
    let mut columns = batch.columns().to_vec();
    columns[0] = Arc::new(UInt32Array::from(mapped)) as ArrayRef;
    let batch = RecordBatch::try_new(Arc::clone(scan.table.schema()), columns)?;
    let batch = in_time(&batch, keys.times(), first, last)?;
    veil.map_or(Ok(batch.clone()), |veil| veil.visible(scan.table, batch))
}

/// The rows whose time is between the two, both included.
pub(crate) fn in_time(
    batch: &RecordBatch,
    times: &[i64],
    first: i64,
    last: i64,
) -> Result<RecordBatch, StorageError> {
    if times.iter().all(|time| (first..=last).contains(time)) {
        return Ok(batch.clone());
    }
    let keep: BooleanArray = times.iter().map(|time| Some((first..=last).contains(time))).collect();
    Ok(filter_record_batch(batch, &keep)?)
}
