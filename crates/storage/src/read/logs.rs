//! Reads logs: streams by matchers, and their lines.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, ListArray, RecordBatch, StringArray, UInt8Array, new_empty_array, new_null_array,
};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::DataType;
use futures::{StreamExt, TryStreamExt};
use model::labels::Labels;
use model::log::ENTRIES_SCHEMA;
use model::{Matcher, TimeRange};

use super::lines::Lines;
use super::listing;
use super::pieces::has;
use super::select::Selected;
use super::snapshot::Source;
use super::{BatchStream, common};
use crate::error::StorageError;
use crate::segment::reader::SegmentFile;
use crate::signal::Table;

/// Columns of [`ENTRIES_SCHEMA`].
pub(super) const LINE_COLUMN: usize = 2;
const TRACE_ID_COLUMN: usize = 4;
const SPAN_ID_COLUMN: usize = 5;
const METADATA_COLUMN: usize = 6;
/// A bit for each column.
pub(crate) const ALL_COLUMNS: u64 = 0b111_1111;
const STREAM_AND_TIME: u64 = 0b11;

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

/// Lines as they lie in a source.
pub struct EntrySource {
    /// When they were written, in nanoseconds since the Unix epoch: none of them outside of it.
    pub range: TimeRange,
    /// The lines: [`ENTRIES_SCHEMA`], sorted by stream and time, those of one moment in the order of arrival.
    pub entries: BatchStream,
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
    pub(super) fn read(&self) -> (u64, Vec<(usize, String)>) {
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

    /// The label sets of the streams that meet all matchers of any of the sets, sorted and once each.
    ///
    /// # Errors
    /// When the store fails; a damaged segment is left out.
    pub async fn label_sets(&self, sets: &[Vec<Matcher>]) -> Result<BTreeSet<Labels>, StorageError> {
        listing::label_sets(&self.source, self.range, sets).await
    }

    /// The names of the labels of the streams that meet all matchers of any of the sets, sorted.
    ///
    /// # Errors
    /// When the store fails; a damaged segment is left out.
    pub async fn label_names(&self, sets: &[Vec<Matcher>]) -> Result<Vec<Arc<str>>, StorageError> {
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
    ) -> Result<Vec<Arc<str>>, StorageError> {
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

    /// Lines of the streams as they lie in one source after the other: a segment, the heads, or several of them merged where
    /// that is needed to give rows that are equal in every column once. They come in the order of time, and those that meet in
    /// time in the order of arrival. No line is read before a source's stream is asked, and nothing is held of a source whose
    /// stream is dropped: who asks one after the other holds one.
    ///
    /// # Errors
    /// When the store fails, or there is no memory to find out which lines two sources have in common.
    pub async fn sources(
        &self,
        streams: Range<usize>,
        scan: LogScan,
    ) -> Result<Vec<EntrySource>, StorageError> {
        let range = common(scan.range, self.range);
        Lines::new(Arc::clone(&self.selected), range, scan).sources(streams).await
    }

    /// The lines of all of [`StreamSet::sources`], one after the other.
    #[must_use]
    pub fn entries(&self, streams: Range<usize>, scan: LogScan) -> BatchStream {
        let set = self.clone();
        let sources = async move {
            let sources = set.sources(streams, scan).await?;
            Ok::<_, StorageError>(futures::stream::iter(sources).flat_map(|source| source.entries))
        };
        futures::stream::once(sources).try_flatten().boxed()
    }
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
pub(super) fn projected(batch: &RecordBatch, columns: u64) -> Result<RecordBatch, StorageError> {
    let all = batch.columns().iter().enumerate();
    let kept =
        all.map(
            |(column, array)| {
                if has(columns, column) { Arc::clone(array) } else { blank(column, batch.num_rows()) }
            },
        );
    Ok(RecordBatch::try_new(Arc::clone(&ENTRIES_SCHEMA), kept.collect())?)
}
