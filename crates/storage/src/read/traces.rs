//! Reads traces: spans by trace, time and service.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, Int32Array, Int64Array, ListArray,
    RecordBatch, StringArray, UInt8Array, UInt32Array, new_empty_array, new_null_array,
};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::compute::{filter_record_batch, take};
use arrow::datatypes::{DataType, Field};
use futures::{StreamExt, TryStreamExt};
use model::TimeRange;
use model::trace::SPANS_SCHEMA;

use super::look;
use super::merge::merge_all;
use super::pieces::{has, pieces};
use super::prune;
use super::select::{in_time, streamed};
use super::snapshot::Source;
use super::{BatchStream, common};
use crate::bounds::{READ_BATCH_BYTES, READ_BATCHES_BYTES};
use crate::error::StorageError;
use crate::head::scan::Wanted;
use crate::hidden::spans::SpanVeil;
use crate::manifest::SegmentMeta;
use crate::segment::reader::{Footer, SegmentFile};
use crate::segment::schema::{ONLY_PART, SERVICES_KEY};
use crate::signal::{Keys, Table};

/// The leaf column of trace ids.
const TRACE_ID_COLUMN: usize = 0;
/// What rows are sorted by, trace, start and span, and the parent.
const KEY_COLUMNS: [usize; 4] = [TRACE_ID_COLUMN, 1, 2, 7];
/// What a glance at spans needs at the least: trace and start.
const GLANCE_COLUMNS: [usize; 2] = [TRACE_ID_COLUMN, 7];

/// Sources of [`TracesSnapshot::sources`] that a reader has open at once.
pub const MAX_SPAN_SOURCES: usize = 4;

/// A tenant's traces at one moment.
#[derive(Clone, Debug)]
pub struct TracesSnapshot {
    source: Arc<Source>,
    range: TimeRange,
}

/// Which traces are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TraceIds {
    /// All.
    #[default]
    All,
    /// Those between two ids, both included; for readers that divide the work.
    Range {
        /// The first id.
        first: [u8; 16],
        /// The last id.
        last: [u8; 16],
    },
    /// One.
    One([u8; 16]),
    /// Some, in ascending order.
    Some(Arc<[[u8; 16]]>),
}

/// What a reader wants of the spans.
#[derive(Clone, Debug)]
pub struct TraceScan {
    /// The traces.
    pub trace_ids: TraceIds,
    /// When spans began, both ends included.
    pub range: TimeRange,
    /// A service that wanted spans belong to. It serves to skip what has none of it: spans of others come too, and
    /// not all of a trace's.
    pub service: Option<String>,
}

/// Columns of spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanColumns {
    /// A bit each.
    columns: u64,
    /// Lists of attributes of which the values of a key are wanted, by column and key.
    lists: Vec<(usize, String)>,
}

impl SpanColumns {
    /// All of them.
    pub const ALL: Self = Self { columns: u64::MAX, lists: Vec::new() };

    /// Those of these names, the attributes with these keys in the lists of these names, and the ids and the start.
    #[must_use]
    pub fn of(names: &[&str], lists: &[(&str, String)]) -> Self {
        Self::and(&KEY_COLUMNS, names, lists)
    }

    /// As [`SpanColumns::of`], without the ids of spans: for [`TracesSnapshot::sources`].
    #[must_use]
    pub fn glance(names: &[&str], lists: &[(&str, String)]) -> Self {
        Self::and(&GLANCE_COLUMNS, names, lists)
    }

    /// Those of both.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        self.columns |= other.columns;
        self.lists.extend(other.lists.iter().cloned());
        self
    }

    fn and(always: &[usize], names: &[&str], lists: &[(&str, String)]) -> Self {
        let place = |name: &str| SPANS_SCHEMA.index_of(name).ok();
        let named = names.iter().filter_map(|name| place(name));
        let columns = always.iter().copied().chain(named).fold(0, |bits, column| bits | 1 << column);
        let lists = lists.iter().filter_map(|(list, key)| Some((place(list)?, key.clone()))).collect();
        Self { columns, lists }
    }

    /// The rows with nothing but what is wanted: null, zero, an empty text or list in the other columns.
    fn only(&self, batch: &RecordBatch) -> Result<RecordBatch, StorageError> {
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (n, (field, column)) in SPANS_SCHEMA.fields().iter().zip(batch.columns()).enumerate() {
            let mut keys = self.lists.iter().filter(|(list, _)| *list == n).map(|(_, key)| key).peekable();
            columns.push(if has(self.columns, n) {
                Arc::clone(column)
            } else if keys.peek().is_some() {
                with_keys(column, &keys.collect::<Vec<_>>())?
            } else {
                nothing(field, batch.num_rows())
            });
        }
        Ok(RecordBatch::try_new(Arc::clone(&SPANS_SCHEMA), columns)?)
    }
}

/// Lists of attributes with nothing but those of the keys.
fn with_keys(lists: &ArrayRef, keys: &[&String]) -> Result<ArrayRef, StorageError> {
    let lists = lists.as_list::<i32>();
    let of_items = lists.values().as_struct().column(0).as_string::<i32>();
    let (mut kept, mut lengths) = (Vec::new(), Vec::with_capacity(lists.len()));
    for row in lists.value_offsets().windows(2) {
        let before = kept.len();
        kept.extend((row[0]..row[1]).filter(|item| {
            let key = of_items.value(usize::try_from(*item).expect("offsets are not negative"));
            keys.iter().any(|wanted| *wanted == key)
        }));
        lengths.push(kept.len() - before);
    }
    let items = take(lists.values(), &Int32Array::from(kept), None)?;
    let DataType::List(item) = lists.data_type() else { unreachable!("it is a list") };
    Ok(Arc::new(ListArray::new(Arc::clone(item), OffsetBuffer::from_lengths(lengths), items, None)))
}

/// A column of so many rows without anything.
fn nothing(field: &Field, rows: usize) -> ArrayRef {
    match field.data_type() {
        _ if field.is_nullable() => new_null_array(field.data_type(), rows),
        DataType::List(item) => {
            let (offsets, items) = (OffsetBuffer::new_zeroed(rows), new_empty_array(item.data_type()));
            Arc::new(ListArray::new(Arc::clone(item), offsets, items, None))
        }
        DataType::Utf8 => Arc::new(StringArray::new(OffsetBuffer::new_zeroed(rows), Buffer::default(), None)),
        DataType::UInt8 => Arc::new(UInt8Array::from(vec![0; rows])),
        DataType::UInt32 => Arc::new(UInt32Array::from(vec![0; rows])),
        DataType::Int64 => Arc::new(Int64Array::from(vec![0; rows])),
        DataType::FixedSizeBinary(width) => {
            let zeros = vec![0_u8; rows * usize::try_from(*width).expect("a width is not negative")];
            Arc::new(FixedSizeBinaryArray::new(*width, zeros.into(), None))
        }
        other => unreachable!("{} is always read: {other}", field.name()),
    }
}

/// Spans as they lie in a segment or in a part of a head.
pub struct SpanSource {
    /// None of them began later, in nanoseconds since the Unix epoch.
    pub newest_ns: i64,
    /// The spans, sorted as those of [`TracesSnapshot::scan`].
    pub spans: BatchStream,
}

impl TraceIds {
    fn bounds(&self) -> ([u8; 16], [u8; 16]) {
        match self {
            TraceIds::All => ([0; 16], [u8::MAX; 16]),
            TraceIds::Range { first, last } => (*first, *last),
            TraceIds::One(id) => (*id, *id),
            TraceIds::Some(ids) => {
                // Of none, no trace lies between the two.
                (ids.first().copied().unwrap_or([u8::MAX; 16]), ids.last().copied().unwrap_or([0; 16]))
            }
        }
    }

    /// The ids, where each is named.
    fn named(&self) -> Option<&[[u8; 16]]> {
        match self {
            TraceIds::All | TraceIds::Range { .. } => None,
            TraceIds::One(id) => Some(std::slice::from_ref(id)),
            TraceIds::Some(ids) => Some(ids),
        }
    }
}

impl TracesSnapshot {
    pub(crate) fn new(source: Source, range: TimeRange) -> Self {
        Self { source: Arc::new(source), range }
    }

    /// How many segments of the snapshot's range are missing from what it gives out, because they are damaged. It grows
    /// while damage is found.
    #[must_use]
    pub fn missing_segments(&self) -> usize {
        self.source.missing(self.range)
    }

    /// The time that the data covers, by segments and heads, within the snapshot's range.
    #[must_use]
    pub fn time_bounds(&self) -> Option<TimeRange> {
        self.source.time_bounds(self.range).map(|all| common(all, self.range))
    }

    /// Spans: [`SPANS_SCHEMA`], sorted by trace, start and span id, so that a trace's spans follow each other; they may
    /// cross the borders of batches. Rows that are equal in every column come once. Only spans that begin in both the
    /// scan's and the snapshot's range come.
    #[must_use]
    pub fn scan(&self, scan: TraceScan) -> BatchStream {
        self.columns(scan, &SpanColumns::ALL)
    }

    /// As [`TracesSnapshot::scan`], with nothing in the columns that are not named: they are not read. Rows that are equal
    /// in those that are named come once.
    #[must_use]
    pub fn columns(&self, scan: TraceScan, columns: &SpanColumns) -> BatchStream {
        let (sources, segments) = self.streams(scan, columns, self.source.batch_bytes);
        let mut sources: Vec<BatchStream> = sources.into_iter().map(|source| source.spans).collect();
        if sources.len() == 1 && segments == 1 {
            // A segment has no duplicates within itself.
            return sources.remove(0);
        }
        if *columns != SpanColumns::ALL {
            // What is read of a list beyond what is wanted is not the same everywhere.
            let only = |rows: BatchStream| {
                let columns = columns.clone();
                rows.map(move |batch| columns.only(&batch?)).boxed()
            };
            sources = sources.into_iter().map(only).collect();
        }
        merge_all(Table::Spans, sources, Table::Spans.duplicates(), &self.source.memory)
    }

    /// The spans as they lie in segments and heads; a span may be in several. Columns that are not named may have nothing in
    /// them. Nothing is read before a stream is asked, and nothing is held of one that is dropped: a reader has
    /// [`MAX_SPAN_SOURCES`] of them open at once.
    #[must_use]
    pub fn sources(&self, scan: TraceScan, columns: &SpanColumns) -> Vec<SpanSource> {
        self.streams(scan, columns, (READ_BATCHES_BYTES / MAX_SPAN_SOURCES).min(READ_BATCH_BYTES)).0
    }

    /// As [`TracesSnapshot::sources`], of the heads and of some of the segments.
    pub(super) fn sources_of(
        &self,
        range: TimeRange,
        columns: &SpanColumns,
        is_wanted: impl Fn(&SegmentMeta) -> bool,
    ) -> Vec<SpanSource> {
        let wanted: Vec<_> = self.segments(range).into_iter().filter(|(meta, _)| is_wanted(meta)).collect();
        let scan = TraceScan { trace_ids: TraceIds::All, range, service: None };
        self.streams_of(wanted, scan, columns, READ_BATCH_BYTES).0
    }

    /// The segments with data in a range, as far as they can be read.
    pub(super) fn segments(&self, range: TimeRange) -> Vec<(SegmentMeta, SegmentFile)> {
        let of_range = self.source.segments(self.range).filter(|meta| meta.range().overlaps(range));
        of_range.filter_map(|meta| Some((meta.clone(), self.source.file(meta, ONLY_PART)?))).collect()
    }

    pub(super) const fn range(&self) -> TimeRange {
        self.range
    }

    pub(super) const fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// The sources, and how many of them, the first ones, are segments. Their batches have at most so many bytes.
    fn streams(
        &self,
        scan: TraceScan,
        columns: &SpanColumns,
        batch_bytes: usize,
    ) -> (Vec<SpanSource>, usize) {
        let segments = self.segments(common(scan.range, self.range));
        self.streams_of(segments, scan, columns, batch_bytes)
    }

    fn streams_of(
        &self,
        segments: Vec<(SegmentMeta, SegmentFile)>,
        scan: TraceScan,
        columns: &SpanColumns,
        batch_bytes: usize,
    ) -> (Vec<SpanSource>, usize) {
        let (first, last) = scan.trace_ids.bounds();
        let range = common(scan.range, self.range);
        let wanted = Wanted::Traces(u128::from_be_bytes(first), u128::from_be_bytes(last));
        let scan = Arc::new(TraceScan { range, ..scan });
        let mut sources: Vec<SpanSource> = Vec::new();
        for (meta, file) in segments {
            let file = SegmentFile { batch_bytes, ..file };
            let spans = self.segment_rows(&meta, file, Arc::clone(&scan), columns.clone());
            sources.push(SpanSource { newest_ns: meta.range().end_ns.min(range.end_ns), spans });
        }
        let segments = sources.len();
        for view in self.source.heads(self.range) {
            let newest_ns =
                view.time_range().map_or(range.end_ns, |of_head| of_head.end_ns.min(range.end_ns));
            let veil = self.source.head_span_veil(view).map(Arc::new);
            for rows in view.sources(Table::Spans, &wanted, range) {
                let (scan, veil) = (Arc::clone(&scan), veil.clone());
                let rows = streamed(rows, &self.source.memory).map(move |batch| {
                    let batch = match &scan.trace_ids {
                        TraceIds::Some(_) => wanted_rows(&batch?, &scan)?,
                        _ => batch?,
                    };
                    veil.as_ref().map_or(Ok(batch.clone()), |veil| veil.visible(batch))
                });
                sources.push(SpanSource { newest_ns, spans: rows.boxed() });
            }
        }
        (sources, segments)
    }

    fn segment_rows(
        &self,
        meta: &SegmentMeta,
        file: SegmentFile,
        scan: Arc<TraceScan>,
        mut columns: SpanColumns,
    ) -> BatchStream {
        let source = Arc::clone(&self.source);
        let veil = source.segment_span_veil(meta).map(Arc::new);
        if veil.is_some() {
            columns.columns |= SpanVeil::columns();
        }
        let reported = file.clone();
        let of_segment = meta.range();
        let rows = async move {
            let footer = file.footer().await?;
            let places = places(&file, &footer, of_segment, &scan).await?;
            let wanted = (columns.columns, columns.lists.as_slice());
            let pieces = pieces(&file, &footer, &SPANS_SCHEMA, wanted, places).await?;
            let rows = futures::stream::iter(pieces).flat_map(move |(columns, places)| {
                let read = (0..SPANS_SCHEMA.fields().len()).filter(|column| has(columns, *column));
                let (file, scan, veil) = (file.clone(), Arc::clone(&scan), veil.clone());
                file.rows(&footer, read, &places).map(move |batch| {
                    file.decode(|| {
                        let batch = wanted_rows(&spans(&file, &batch?, columns)?, &scan)?;
                        veil.as_ref().map_or(Ok(batch.clone()), |veil| veil.visible(batch))
                    })
                })
            });
            Ok::<_, StorageError>(rows)
        };
        let rows = futures::stream::once(rows).try_flatten();
        rows.filter_map(move |batch| {
            let batch = source.readable(&reported, batch).transpose();
            futures::future::ready(batch)
        })
        .boxed()
    }
}

/// The places of a file that may have wanted spans.
async fn places(
    file: &SegmentFile,
    footer: &Arc<Footer>,
    of_segment: TimeRange,
    scan: &TraceScan,
) -> Result<Vec<Range<usize>>, StorageError> {
    let mut places = match scan.trace_ids.named() {
        Some(ids) => prune::by_ids(footer, TRACE_ID_COLUMN, ids),
        None => {
            let (first, last) = scan.trace_ids.bounds();
            prune::by_id(footer, TRACE_ID_COLUMN, first, last)
        }
    };
    if scan.range.start_ns > of_segment.start_ns || of_segment.end_ns > scan.range.end_ns {
        let (start, end) = (scan.range.start_ns, scan.range.end_ns);
        let in_time = prune::by_integer(footer, Table::Spans.time_column(), start, end);
        places = prune::intersection(&places, &in_time);
    }
    if let Some(service) = &scan.service
        && let Some(json) = footer.value(SERVICES_KEY)
    {
        let services: Vec<Option<Vec<String>>> =
            serde_json::from_str(json).map_err(|error| file.corrupt(error))?;
        let groups = footer.row_groups().enumerate();
        let has_service = groups.filter(|(group, _)| match services.get(*group) {
            Some(Some(names)) => names.contains(service),
            _ => true,
        });
        places = prune::intersection(&places, &prune::joined(has_service.map(|(_, rows)| rows)));
    }
    if let TraceIds::One(id) = scan.trace_ids {
        places = with_trace(file, footer, id, &places).await?;
    }
    match scan.trace_ids.named() {
        Some(ids) => exactly(file, footer, ids, &places).await,
        None => Ok(places),
    }
}

/// The places of the spans of the traces: a page has those of many, and few of them are wanted.
async fn exactly(
    file: &SegmentFile,
    footer: &Arc<Footer>,
    ids: &[[u8; 16]],
    places: &[Range<usize>],
) -> Result<Vec<Range<usize>>, StorageError> {
    let is_wanted = |batch: &RecordBatch| {
        let traces = batch.columns().first()?.as_fixed_size_binary_opt()?;
        let mut last: (&[u8], bool) = (&[], false);
        let known = traces.iter().map(|id| {
            let id = id.unwrap_or_default();
            if last.0 != id {
                last = (id, ids.binary_search_by(|wanted| wanted[..].cmp(id)).is_ok());
            }
            last.1
        });
        Some(known.collect())
    };
    look::wanted(file, footer, [TRACE_ID_COLUMN], places, is_wanted).await
}

/// The places less the row groups whose Bloom filter says that they do not have the trace.
async fn with_trace(
    file: &SegmentFile,
    footer: &Footer,
    id: [u8; 16],
    places: &[Range<usize>],
) -> Result<Vec<Range<usize>>, StorageError> {
    let mut kept = Vec::new();
    for (group, rows) in footer.row_groups().enumerate() {
        let of_group = prune::intersection(places, std::slice::from_ref(&rows));
        if of_group.is_empty() {
            continue;
        }
        let column = footer.parquet().row_group(group).columns().get(TRACE_ID_COLUMN);
        let place = column.and_then(|column| {
            let offset = u64::try_from(column.bloom_filter_offset()?).ok()?;
            let length = u64::try_from(column.bloom_filter_length()?).ok()?;
            Some(offset..offset.saturating_add(length))
        });
        let may_have = match place {
            Some(place) => file.id_filter(footer, group, place).await?.check(&id[..]),
            None => true,
        };
        if may_have {
            kept.extend(of_group);
        }
    }
    Ok(kept)
}

/// The columns that were read as a batch of the schema of spans.
fn spans(file: &SegmentFile, read: &RecordBatch, columns: u64) -> Result<RecordBatch, StorageError> {
    let mut found = read.columns().iter().cloned();
    let all = SPANS_SCHEMA.fields().iter().enumerate().map(|(n, field)| match has(columns, n) {
        true => found.next().ok_or_else(|| file.corrupt(format!("the column {} is missing", field.name()))),
        false => Ok(nothing(field, read.num_rows())),
    });
    let all = all.collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(Arc::clone(&SPANS_SCHEMA), all).map_err(|error| file.corrupt(error))
}

/// The rows of the wanted traces that begin in the range.
fn wanted_rows(batch: &RecordBatch, scan: &TraceScan) -> Result<RecordBatch, StorageError> {
    let keys = Keys::new(Table::Spans, batch);
    let batch = in_time(batch, keys.times(), scan.range.start_ns, scan.range.end_ns)?;
    if scan.trace_ids == TraceIds::All {
        return Ok(batch);
    }
    let (first, last) = scan.trace_ids.bounds();
    let traces = batch.column(TRACE_ID_COLUMN).as_fixed_size_binary();
    let is_wanted = |id: Option<&[u8]>| match (id, scan.trace_ids.named()) {
        (Some(id), Some(ids)) => ids.binary_search_by(|wanted| wanted[..].cmp(id)).is_ok(),
        (Some(id), None) => &first[..] <= id && id <= &last[..],
        (None, _) => false,
    };
    let keep: BooleanArray = traces.iter().map(|id| Some(is_wanted(id))).collect();
    if keep.true_count() == keep.len() {
        return Ok(batch);
    }
    Ok(filter_record_batch(&batch, &keep)?)
}
