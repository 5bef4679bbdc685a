//! Reads logs: streams by matchers, and their lines.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, ListArray, RecordBatch, StringArray, UInt8Array, new_empty_array, new_null_array,
};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use futures::{StreamExt, TryStreamExt};
use memchr::memmem::Finder;
use model::labels::Labels;
use model::log::ENTRIES_SCHEMA;
use model::{Matcher, TimeRange};

use super::listing;
use super::merge::merge_all;
use super::overlap;
use super::pieces::{has, pieces};
use super::prune;
use super::select::{Numbers, Scan, SegmentPart, Selected, renumbered};
use super::snapshot::Source;
use super::{BatchStream, common};
use crate::bounds::{MAX_STREAMS_IN_TURN, TOKEN_FILTER_ROWS};
use crate::error::StorageError;
use crate::segment::filter::NeedleHashes;
use crate::segment::parquet_file::Place;
use crate::segment::reader::{Condition, Footer, SegmentFile};
use crate::segment::schema::TOKEN_FILTERS_KEY;
use crate::signal::{Duplicates, Table};

/// Columns of [`ENTRIES_SCHEMA`].
const LINE_COLUMN: usize = 2;
const TRACE_ID_COLUMN: usize = 4;
const SPAN_ID_COLUMN: usize = 5;
const METADATA_COLUMN: usize = 6;
/// A bit for each column.
pub(crate) const ALL_COLUMNS: u64 = 0b111_1111;
const STREAM_AND_TIME: u64 = 0b11;

/// Where token filters leave one part in so many of the rows, or less, lines with the needles are rare: they are looked for
/// before the other columns are read. Where many lines have them, that would cost more than it saves.
const RARE: usize = 4;

/// A tenant's logs at one moment.
#[derive(Clone, Debug)]
pub struct LogsSnapshot {
    source: Arc<Source>,
    range: TimeRange,
}

/// Streams that meet matchers; cheap to clone.
#[derive(Clone, Debug)]
pub struct StreamSet {
    selected: Arc<Selected>,
    range: TimeRange,
}

/// The columns that a reader of lines uses besides stream and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogColumns {
    /// The text.
    pub line: bool,
    /// What else is known of it.
    pub metadata: LogMetadata,
}

/// What a reader of lines uses besides their text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogMetadata {
    /// Nothing.
    None,
    /// Structured metadata of these keys, `trace_id` and `span_id` among them. What has other keys may come too.
    Keys(Vec<String>),
    /// Severity, trace and span id, and structured metadata.
    All,
}

/// What a reader wants of the lines of streams.
#[derive(Clone, Debug)]
pub struct LogScan {
    /// The time, both ends included.
    pub range: TimeRange,
    /// Texts all of which every wanted line contains. They serve to skip what cannot contain them: lines without
    /// them may come too.
    pub needles: Vec<String>,
    /// The columns to read; the others come empty, 0 or null.
    pub columns: LogColumns,
}

impl LogColumns {
    /// All columns.
    pub const ALL: LogColumns = LogColumns { line: true, metadata: LogMetadata::All };

    /// Stream and time alone.
    pub const NONE: LogColumns = LogColumns { line: false, metadata: LogMetadata::None };

    /// A bit for each column of the schema that is read everywhere, and the keys for which that of metadata is.
    fn read(&self) -> (u64, Vec<(usize, String)>) {
        let columns = STREAM_AND_TIME | u64::from(self.line) << LINE_COLUMN;
        match &self.metadata {
            LogMetadata::None => (columns, Vec::new()),
            LogMetadata::Keys(keys) => {
                let has = |name: &str| u64::from(keys.iter().any(|key| key == name));
                let ids = has("trace_id") << TRACE_ID_COLUMN | has("span_id") << SPAN_ID_COLUMN;
                (columns | ids, keys.iter().map(|key| (METADATA_COLUMN, key.clone())).collect())
            }
            LogMetadata::All => (columns | ALL_COLUMNS & !(1 << LINE_COLUMN), Vec::new()),
        }
    }
}

impl LogsSnapshot {
    pub(crate) fn new(source: Source, range: TimeRange) -> Self {
        Self { source: Arc::new(source), range }
    }

    /// The streams that meet all matchers; no matcher means all of them. Streams are known by segment and by head: one
    /// may have no line in the snapshot's range.
    ///
    /// # Errors
    /// When the store fails; a damaged segment is left out.
    pub async fn select(&self, matchers: &[Matcher]) -> Result<StreamSet, StorageError> {
        let selected = Selected::resolve(Arc::clone(&self.source), self.range, matchers).await?;
        Ok(StreamSet { selected: Arc::new(selected), range: self.range })
    }

    /// The names of the labels of the streams that meet all matchers of any of the sets, sorted.
    ///
    /// # Errors
    /// When the store fails; a damaged segment is left out.
    pub async fn label_names(&self, sets: &[Vec<Matcher>]) -> Result<BTreeSet<Arc<str>>, StorageError> {
        listing::label_names(&self.source, self.range, sets).await
    }

    /// The values of a label of the streams that meet all matchers of any of the sets, sorted.
    ///
    /// # Errors
    /// When the store fails; a damaged segment is left out.
    pub async fn label_values(
        &self,
        name: &str,
        sets: &[Vec<Matcher>],
    ) -> Result<BTreeSet<Arc<str>>, StorageError> {
        listing::label_values(&self.source, self.range, name, sets).await
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
}

impl StreamSet {
    /// The streams' labels, sorted and once each; a place in this list is the `stream` number of rows.
    #[must_use]
    pub fn labels(&self) -> &[Labels] {
        &self.selected.labels
    }

    /// The time that the segments and heads with the streams cover, within the snapshot's range.
    #[must_use]
    pub fn time_bounds(&self) -> Option<TimeRange> {
        let segments = self.selected.segments.iter().map(|segment| segment.meta.range());
        let heads = self.selected.heads.iter().filter_map(|head| head.view.time_range());
        let all = segments.chain(heads).fold(None, |all, range| Some(crate::head::union(all, range)));
        all.map(|all| common(all, self.range))
    }

    /// About how many lines of the streams are within the range: an estimate, as if they came evenly.
    #[must_use]
    pub fn rows_within(&self, range: TimeRange) -> f64 {
        self.selected.rows_within(Table::Entries, common(range, self.range))
    }

    /// Lines of the streams: [`ENTRIES_SCHEMA`], sorted by stream and time, those of one moment in the order of
    /// arrival. Rows that are equal in every column come once.
    #[must_use]
    pub fn entries(&self, streams: Range<usize>, scan: LogScan) -> BatchStream {
        let LogScan { range, needles, columns } = scan;
        let texts = needles.iter().filter(|text| !text.is_empty());
        let lines = Lines {
            selected: Arc::clone(&self.selected),
            range: common(range, self.range),
            hashes: Arc::new(NeedleHashes::new(&needles)),
            needles: texts.map(|text| Finder::new(text).into_owned()).collect(),
            columns,
        };
        let shared = lines.shared_times(&streams);
        if shared.is_empty() {
            lines.apart(streams)
        } else if lines.columns == LogColumns::ALL {
            lines.whole(streams)
        } else {
            let stream_by_stream = async move {
                let repeated = lines.repeated(&streams, &shared).await?;
                Ok::<_, StorageError>(lines.in_turn(streams, &repeated))
            };
            futures::stream::once(stream_by_stream).try_flatten().boxed()
        }
    }
}

/// A reading of lines.
///
/// Equal rows are known by all of their columns. Where the sources of a stream have no moment in common, they have no row in common, and
/// only the columns that are asked for are read.
struct Lines {
    selected: Arc<Selected>,
    range: TimeRange,
    needles: Arc<[Finder<'static>]>,
    /// What the needles ask of token filters.
    hashes: Arc<NeedleHashes>,
    columns: LogColumns,
}

impl Lines {
    fn scan(&self, streams: &Range<usize>) -> Scan {
        Scan { table: Table::Entries, numbers: streams.clone(), range: self.range }
    }

    /// The segments that have lines of a scan, the oldest first.
    fn segments(&self, scan: &Scan) -> impl Iterator<Item = (&SegmentPart, SegmentFile, Numbers)> {
        let wanted = |part: &SegmentPart| part.wanted(&self.selected.source, scan);
        self.selected.segments.iter().filter_map(move |part| {
            let (file, numbers) = wanted(part)?;
            Some((part, file, numbers))
        })
    }

    /// The rows of the heads, the oldest first.
    fn heads(&self, scan: &Scan) -> Vec<BatchStream> {
        let memory = &self.selected.source.memory;
        self.selected.heads.iter().flat_map(|head| head.sources(scan, memory)).collect()
    }

    /// Where two segments, or a segment and the heads, have time in common.
    fn shared_times(&self, streams: &Range<usize>) -> Vec<TimeRange> {
        let scan = self.scan(streams);
        let mut ranges: Vec<TimeRange> = self.segments(&scan).map(|(part, ..)| part.meta.range()).collect();
        let heads = self.selected.heads.iter().filter_map(|head| head.view.time_range());
        ranges.extend(heads.fold(None, |all, range| Some(crate::head::union(all, range))));
        // Only what is read can meet.
        overlap::shared(ranges.into_iter().map(|range| common(range, self.range)))
    }

    /// The streams that two sources have a line of at the same moment of the times.
    async fn repeated(
        &self,
        streams: &Range<usize>,
        times: &[TimeRange],
    ) -> Result<BTreeSet<u32>, StorageError> {
        let mut repeated = BTreeSet::new();
        for range in times {
            let scan = Scan { range: *range, ..self.scan(streams) };
            let segments = self.segments(&scan).map(|(part, file, numbers)| {
                self.segment_rows(part, file, numbers, scan.clone(), &LogColumns::NONE)
            });
            let mut sources: Vec<_> = segments.enumerate().collect();
            let of_heads = sources.len();
            sources.extend(self.heads(&scan).into_iter().map(|rows| (of_heads, rows)));
            overlap::repeated(Table::Entries, sources, &mut repeated).await?;
        }
        Ok(repeated)
    }

    /// The lines of streams of which some have lines in two sources at the same moment.
    fn in_turn(&self, streams: Range<usize>, repeated: &BTreeSet<u32>) -> BatchStream {
        if repeated.len() > MAX_STREAMS_IN_TURN {
            return self.whole(streams);
        }
        let mut pieces: Vec<BatchStream> = Vec::new();
        let mut at = streams.start;
        for number in repeated.iter().map(|number| *number as usize) {
            if at < number {
                pieces.push(self.apart(at..number));
            }
            pieces.push(self.whole(number..number + 1));
            at = number + 1;
        }
        if at < streams.end {
            pieces.push(self.apart(at..streams.end));
        }
        futures::stream::iter(pieces).flatten().boxed()
    }

    /// The lines of streams that no two sources have a row in common of.
    fn apart(&self, streams: Range<usize>) -> BatchStream {
        let scan = self.scan(&streams);
        let segments = self
            .segments(&scan)
            .map(|(part, file, numbers)| self.segment_rows(part, file, numbers, scan.clone(), &self.columns));
        let mut sources: Vec<BatchStream> = segments.collect();
        let heads = self.heads(&scan);
        if !heads.is_empty() {
            sources.push(self.projected(merge_all(
                Table::Entries,
                heads,
                Duplicates::Identical,
                &self.selected.source.memory,
            )));
        }
        if sources.len() == 1 {
            return sources.remove(0);
        }
        merge_all(Table::Entries, sources, Duplicates::Keep, &self.selected.source.memory)
    }

    /// The lines of any streams.
    fn whole(&self, streams: Range<usize>) -> BatchStream {
        let scan = self.scan(&streams);
        let segments = self.segments(&scan).map(|(part, file, numbers)| {
            self.segment_rows(part, file, numbers, scan.clone(), &LogColumns::ALL)
        });
        let mut sources: Vec<BatchStream> = segments.collect();
        sources.extend(self.heads(&scan));
        self.projected(merge_all(
            Table::Entries,
            sources,
            Duplicates::Identical,
            &self.selected.source.memory,
        ))
    }

    /// The rows with nothing in the columns that nobody asked for.
    fn projected(&self, rows: BatchStream) -> BatchStream {
        if self.columns == LogColumns::ALL {
            return rows;
        }
        let (columns, lists) = self.columns.read();
        let columns = lists.iter().fold(columns, |columns, (list, _)| columns | 1 << list);
        rows.map(move |batch| projected(&batch?, columns)).boxed()
    }

    fn segment_rows(
        &self,
        part: &SegmentPart,
        file: SegmentFile,
        numbers: Numbers,
        scan: Scan,
        columns: &LogColumns,
    ) -> BatchStream {
        let source = Arc::clone(&self.selected.source);
        let (hashes, needles) = (Arc::clone(&self.hashes), Arc::clone(&self.needles));
        let (part, reported, (mut columns, lists)) = (part.clone(), file.clone(), columns.read());
        if part.veil.as_ref().is_some_and(|veil| veil.reads_lines()) {
            columns |= 1 << LINE_COLUMN;
        }
        let rows = async move {
            let footer = file.footer().await?;
            let mut places = part.places(&file, &footer, &scan, &numbers)?;
            let mut is_rare = false;
            if !hashes.is_empty() {
                let all = row_count(&places);
                places = hopeful(&file, &footer, &hashes, &places).await?;
                is_rare = row_count(&places) <= all / RARE;
            }
            let pieces = pieces(&file, &footer, &ENTRIES_SCHEMA, (columns, &lists), places).await?;
            let rows = futures::stream::iter(pieces).flat_map(move |(columns, places)| {
                let (file, scan, numbers) = (file.clone(), scan.clone(), Arc::clone(&numbers));
                let veil = part.veil.clone();
                let condition = if is_rare { contains_all(&needles) } else { None };
                let rows = file.rows_where(&footer, roots(columns), &places, condition);
                rows.map(move |batch| {
                    file.decode(|| {
                        let batch = table_rows(&file, &batch?, columns)?;
                        renumbered(&file, &scan, (&numbers, veil.as_deref()), &batch)
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

/// The columns of the file to read.
fn roots(columns: u64) -> impl Iterator<Item = usize> {
    (0..ENTRIES_SCHEMA.fields().len()).filter(move |column| has(columns, *column))
}

/// How many rows there are in places.
fn row_count(places: &[Range<usize>]) -> usize {
    places.iter().map(Range::len).sum()
}

/// The places less the pages whose token filter says that no line has the needles.
async fn hopeful(
    file: &SegmentFile,
    footer: &Footer,
    needles: &NeedleHashes,
    places: &[Range<usize>],
) -> Result<Vec<Range<usize>>, StorageError> {
    let Some(json) = footer.value(TOKEN_FILTERS_KEY) else {
        return Ok(places.to_vec());
    };
    let filters: Vec<Vec<Option<Place>>> = serde_json::from_str(json).map_err(|error| file.corrupt(error))?;
    let mut hopeful = Vec::new();
    for (group, rows) in footer.row_groups().enumerate() {
        let of_group = prune::intersection(places, std::slice::from_ref(&rows));
        if of_group.is_empty() {
            continue;
        }
        let places = filters.get(group).map(Vec::as_slice).unwrap_or_default().iter();
        let places: Vec<_> =
            places.map(|place| place.map(|(offset, length)| offset..offset.saturating_add(length))).collect();
        let filters = file.token_filters(footer, group, &places).await?;
        for (page, start) in rows.clone().step_by(TOKEN_FILTER_ROWS).enumerate() {
            let filter = filters.get(page).and_then(Option::as_ref);
            if filter.is_none_or(|filter| needles.may_match(filter)) {
                let rows = start..rows.end.min(start + TOKEN_FILTER_ROWS);
                hopeful.extend(prune::intersection(&of_group, std::slice::from_ref(&rows)));
            }
        }
    }
    Ok(prune::joined(hopeful))
}

/// That a line contains all of the texts; none where there is no text.
fn contains_all(needles: &Arc<[Finder<'static>]>) -> Option<Condition> {
    if needles.is_empty() {
        return None;
    }
    let needles = Arc::clone(needles);
    let is_met = move |rows: &RecordBatch| {
        let lines = rows.column(0).as_string_opt::<i32>();
        let lines = lines.ok_or_else(|| ArrowError::SchemaError("lines are not text".to_owned()))?;
        let has_all = |line: &str| needles.iter().all(|needle| needle.find(line.as_bytes()).is_some());
        Ok(lines.iter().map(|line| Some(has_all(line.unwrap_or_default()))).collect())
    };
    Some(Condition { column: LINE_COLUMN, is_met: Box::new(is_met) })
}

/// The columns of the schema; those that were not read are empty.
///
/// # Errors
/// [`StorageError::Corrupt`] where the columns are others.
pub(crate) fn table_rows(
    file: &SegmentFile,
    batch: &RecordBatch,
    columns: u64,
) -> Result<RecordBatch, StorageError> {
    let mut read = batch.columns().iter();
    let filled = (0..ENTRIES_SCHEMA.fields().len()).map(|column| {
        if has(columns, column) { read.next().cloned() } else { Some(blank(column, batch.num_rows())) }
    });
    let filled: Option<Vec<ArrayRef>> = filled.collect();
    let filled = filled.ok_or_else(|| file.corrupt("columns are missing"))?;
    RecordBatch::try_new(Arc::clone(&ENTRIES_SCHEMA), filled).map_err(|error| file.corrupt(error))
}

/// Rows of a column that nobody asked for.
fn blank(column: usize, rows: usize) -> ArrayRef {
    let data_type = ENTRIES_SCHEMA.field(column).data_type();
    match (column, data_type) {
        (2, _) => Arc::new(StringArray::new(OffsetBuffer::new_zeroed(rows), Buffer::default(), None)),
        (3, _) => Arc::new(UInt8Array::from(vec![0; rows])),
        (_, DataType::List(item)) => {
            let (offsets, items) = (OffsetBuffer::new_zeroed(rows), new_empty_array(item.data_type()));
            Arc::new(ListArray::new(Arc::clone(item), offsets, items, None))
        }
        _ => new_null_array(data_type, rows),
    }
}

/// The batch with the columns that nobody asked for made empty, wherever the rows come from.
fn projected(batch: &RecordBatch, columns: u64) -> Result<RecordBatch, StorageError> {
    let all = batch.columns().iter().enumerate();
    let kept =
        all.map(
            |(column, array)| {
                if has(columns, column) { Arc::clone(array) } else { blank(column, batch.num_rows()) }
            },
        );
    Ok(RecordBatch::try_new(Arc::clone(&ENTRIES_SCHEMA), kept.collect())?)
}
