//! Reads traces: spans by trace, time and service.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, ListArray, RecordBatch, StringArray, UInt8Array, UInt32Array,
    new_empty_array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field};
use futures::{StreamExt, TryStreamExt};
use model::TimeRange;
use model::trace::SPANS_SCHEMA;

use super::merge::merge_all;
use super::prune;
use super::select::in_time;
use super::snapshot::Source;
use super::{BatchStream, common};
use crate::error::StorageError;
use crate::head::scan::Wanted;
use crate::manifest::SegmentMeta;
use crate::segment::reader::{Footer, SegmentFile};
use crate::segment::schema::{ONLY_PART, SERVICES_KEY};
use crate::signal::{Keys, Table};

/// The leaf column of trace ids.
const TRACE_ID_COLUMN: usize = 0;
/// Columns that are always read: what rows are sorted by, trace, span and start, and the parent.
const KEY_COLUMNS: [usize; 4] = [TRACE_ID_COLUMN, 1, 2, 7];

/// A tenant's traces at one moment.
#[derive(Clone, Debug)]
pub struct TracesSnapshot {
    source: Arc<Source>,
    range: TimeRange,
}

/// Which traces are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanColumns(u64);

impl SpanColumns {
    /// All of them.
    pub const ALL: Self = Self(u64::MAX);

    /// Those of these names, and the ids and the start, which every reader needs.
    #[must_use]
    pub fn of(names: &[&str]) -> Self {
        let always = KEY_COLUMNS.into_iter();
        let named = names.iter().filter_map(|name| SPANS_SCHEMA.index_of(name).ok());
        Self(always.chain(named).fold(0, |bits, column| bits | 1 << column))
    }

    const fn has(self, column: usize) -> bool {
        self.0 >> column & 1 == 1
    }

    /// The rows with nothing in the other columns: null, zero, an empty text or list.
    fn of_rows(self, batch: &RecordBatch) -> RecordBatch {
        let columns = SPANS_SCHEMA.fields().iter().zip(batch.columns()).enumerate();
        let columns = columns.map(|(n, (field, column))| match self.has(n) {
            true => Arc::clone(column),
            false => nothing(field, batch.num_rows()),
        });
        RecordBatch::try_new(Arc::clone(&SPANS_SCHEMA), columns.collect())
            .expect("each column has the type of its field")
    }
}

/// A column of so many rows without anything.
fn nothing(field: &Field, rows: usize) -> ArrayRef {
    match field.data_type() {
        _ if field.is_nullable() => new_null_array(field.data_type(), rows),
        DataType::List(item) => {
            let (offsets, items) = (OffsetBuffer::new_zeroed(rows), new_empty_array(item.data_type()));
            Arc::new(ListArray::new(Arc::clone(item), offsets, items, None))
        }
        DataType::Utf8 => Arc::new(StringArray::from_iter_values(std::iter::repeat_n("", rows))),
        DataType::UInt8 => Arc::new(UInt8Array::from(vec![0; rows])),
        DataType::UInt32 => Arc::new(UInt32Array::from(vec![0; rows])),
        DataType::Int64 => Arc::new(Int64Array::from(vec![0; rows])),
        other => unreachable!("{} is always read: {other}", field.name()),
    }
}

impl TraceIds {
    const fn bounds(self) -> ([u8; 16], [u8; 16]) {
        match self {
            TraceIds::All => ([0; 16], [u8::MAX; 16]),
            TraceIds::Range { first, last } => (first, last),
            TraceIds::One(id) => (id, id),
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
        self.columns(scan, SpanColumns::ALL)
    }

    /// As [`TracesSnapshot::scan`], with nothing in the columns that are not named: they are not read. Rows that are equal
    /// in those that are named come once.
    #[must_use]
    pub fn columns(&self, scan: TraceScan, columns: SpanColumns) -> BatchStream {
        let (first, last) = scan.trace_ids.bounds();
        let range = common(scan.range, self.range);
        let scan = TraceScan { range, ..scan };
        let wanted = Wanted::Traces(u128::from_be_bytes(first), u128::from_be_bytes(last));
        let scan = Arc::new(scan);
        let mut sources: Vec<BatchStream> = Vec::new();
        for meta in self.source.segments(self.range).filter(|meta| meta.range().overlaps(range)) {
            if let Some(file) = self.source.file(meta, ONLY_PART) {
                sources.push(self.segment_rows(meta, file, Arc::clone(&scan), columns));
            }
        }
        let segments = sources.len();
        for view in self.source.heads(self.range) {
            let heads = view.sources(Table::Spans, &wanted, range);
            sources.extend(heads.into_iter().map(|batches| {
                futures::stream::iter(batches.map(move |batch| Ok(columns.of_rows(&batch)))).boxed()
            }));
        }
        if sources.len() == 1 && segments == 1 {
            // A segment has no duplicates within itself.
            return sources.remove(0);
        }
        merge_all(Table::Spans, sources, Table::Spans.duplicates())
    }

    fn segment_rows(
        &self,
        meta: &SegmentMeta,
        file: SegmentFile,
        scan: Arc<TraceScan>,
        columns: SpanColumns,
    ) -> BatchStream {
        let source = Arc::clone(&self.source);
        let reported = file.clone();
        let of_segment = meta.range();
        let rows = async move {
            let footer = file.footer().await?;
            let places = places(&file, &footer, of_segment, &scan).await?;
            let read = (0..SPANS_SCHEMA.fields().len()).filter(|column| columns.has(*column));
            let rows = file.rows(&footer, read, &places);
            Ok::<_, StorageError>(
                rows.map(move |batch| file.decode(|| wanted_rows(&spans(&file, &batch?, columns)?, &scan))),
            )
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
    footer: &Footer,
    of_segment: TimeRange,
    scan: &TraceScan,
) -> Result<Vec<Range<usize>>, StorageError> {
    let (first, last) = scan.trace_ids.bounds();
    let mut places = prune::by_id(footer, TRACE_ID_COLUMN, first, last);
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
    Ok(places)
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
            Some(place) => file.filter(footer, group, place).await?.check(&id[..]),
            None => true,
        };
        if may_have {
            kept.extend(of_group);
        }
    }
    Ok(kept)
}

/// The columns that were read as a batch of the schema of spans.
fn spans(file: &SegmentFile, read: &RecordBatch, columns: SpanColumns) -> Result<RecordBatch, StorageError> {
    let mut found = read.columns().iter().cloned();
    let all = SPANS_SCHEMA.fields().iter().enumerate().map(|(n, field)| match columns.has(n) {
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
    let (first, last) = (u128::from_be_bytes(first), u128::from_be_bytes(last));
    let keys = Keys::new(Table::Spans, &batch);
    let is_wanted = |row: usize| Some((first..=last).contains(&keys.get(row).major));
    let keep: BooleanArray = (0..keys.len()).map(is_wanted).collect();
    Ok(filter_record_batch(&batch, &keep)?)
}
