//! Reads logs: streams by matchers, and their lines.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt8Array, new_null_array};
use futures::{StreamExt, TryStreamExt};
use model::attributes::AttributesBuilder;
use model::labels::Labels;
use model::log::ENTRIES_SCHEMA;
use model::{Matcher, TimeRange};
use parquet::bloom_filter::Sbbf;

use super::merge::merge_all;
use super::prune;
use super::select::{Numbers, Scan, SegmentPart, Selected, renumbered};
use super::snapshot::Source;
use super::{BatchStream, common};
use crate::error::StorageError;
use crate::segment::filter::NeedleHashes;
use crate::segment::parquet_file::Place;
use crate::segment::reader::{Footer, SegmentFile};
use crate::segment::schema::TOKEN_FILTERS_KEY;
use crate::signal::{Duplicates, Table};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogColumns {
    /// The text.
    pub line: bool,
    /// Severity, trace and span id, and structured metadata.
    pub metadata: bool,
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
    pub const ALL: LogColumns = LogColumns { line: true, metadata: true };
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

    /// Lines of the streams: [`ENTRIES_SCHEMA`], sorted by stream and time, those of one moment in the order of
    /// arrival. Rows that are equal in every column come once.
    #[must_use]
    pub fn entries(&self, streams: Range<usize>, scan: LogScan) -> BatchStream {
        let LogScan { range, needles, columns } = scan;
        let range = common(range, self.range);
        let scan = Scan { table: Table::Entries, numbers: streams, range };
        let needles = Arc::new(NeedleHashes::new(&needles));
        let segments: Vec<_> = self
            .selected
            .segments
            .iter()
            .filter_map(|part| Some((part.clone(), part.wanted(&self.selected.source, &scan)?)))
            .collect();
        let heads: Vec<BatchStream> =
            self.selected.heads.iter().flat_map(|head| head.sources(&scan)).collect();
        let is_apart = self.is_apart(&segments, !heads.is_empty(), range);
        // Equal rows are known by all columns: what may overlap is read whole.
        let read = if is_apart { columns } else { LogColumns::ALL };
        let mut sources: Vec<BatchStream> = segments
            .into_iter()
            .map(|(part, (file, numbers))| {
                self.segment_rows(part, file, numbers, scan.clone(), read, Arc::clone(&needles))
            })
            .collect();
        let merged = if is_apart {
            if !heads.is_empty() {
                sources.push(merge_all(Table::Entries, heads, Duplicates::Identical));
            }
            if sources.len() == 1 {
                sources.remove(0)
            } else {
                merge_all(Table::Entries, sources, Duplicates::Keep)
            }
        } else {
            sources.extend(heads);
            merge_all(Table::Entries, sources, Duplicates::Identical)
        };
        merged.map(move |batch| projected(&batch?, columns)).boxed()
    }

    /// Whether no two segments, and no segment and the heads, have time in common: then they have no row in common.
    fn is_apart(
        &self,
        segments: &[(SegmentPart, (SegmentFile, Numbers))],
        has_heads: bool,
        range: TimeRange,
    ) -> bool {
        let mut ranges: Vec<TimeRange> = segments.iter().map(|(part, _)| part.meta.range()).collect();
        if has_heads {
            let heads = self.selected.heads.iter().filter_map(|head| head.view.time_range());
            ranges.extend(heads.fold(None, |all, range| Some(crate::head::union(all, range))));
        }
        // Only what is read can meet.
        let mut ranges: Vec<(i64, i64)> =
            ranges.iter().map(|r| (r.start_ns.max(range.start_ns), r.end_ns.min(range.end_ns))).collect();
        ranges.sort_unstable();
        ranges.windows(2).all(|pair| pair[0].1 < pair[1].0)
    }

    fn segment_rows(
        &self,
        part: SegmentPart,
        file: SegmentFile,
        numbers: Numbers,
        scan: Scan,
        columns: LogColumns,
        needles: Arc<NeedleHashes>,
    ) -> BatchStream {
        let source = Arc::clone(&self.selected.source);
        let reported = file.clone();
        let rows = async move {
            let footer = file.footer().await?;
            let mut places = part.places(&file, &footer, &scan, &numbers)?;
            if !needles.is_empty() {
                places = hopeful(&file, &footer, &needles, &places).await?;
            }
            let rows = file.rows(&footer, roots(columns), &places);
            Ok::<_, StorageError>(rows.map(move |batch| {
                file.decode(|| {
                    let batch = table_rows(&file, &batch?, columns)?;
                    renumbered(&file, &scan, &numbers, &batch)
                })
            }))
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
fn roots(columns: LogColumns) -> impl Iterator<Item = usize> {
    (0..ENTRIES_SCHEMA.fields().len()).filter(move |column| match column {
        0 | 1 => true,
        2 => columns.line,
        _ => columns.metadata,
    })
}

/// The places less the row groups whose token filter says that no line has the needles.
async fn hopeful(
    file: &SegmentFile,
    footer: &Footer,
    needles: &NeedleHashes,
    places: &[Range<usize>],
) -> Result<Vec<Range<usize>>, StorageError> {
    let Some(json) = footer.value(TOKEN_FILTERS_KEY) else {
        return Ok(places.to_vec());
    };
    let filters: Vec<Option<Place>> = serde_json::from_str(json).map_err(|error| file.corrupt(error))?;
    let mut hopeful = Vec::new();
    for (group, rows) in footer.row_groups().enumerate() {
        let of_group = prune::intersection(places, std::slice::from_ref(&rows));
        if of_group.is_empty() {
            continue;
        }
        let filter: Option<Arc<Sbbf>> = match filters.get(group).copied().flatten() {
            Some((offset, length)) => {
                Some(file.filter(footer, group, offset..offset.saturating_add(length)).await?)
            }
            None => None,
        };
        if filter.is_none_or(|filter| needles.may_match(&filter)) {
            hopeful.extend(of_group);
        }
    }
    Ok(prune::joined(hopeful))
}

/// The columns of the schema; those that were not read are empty.
///
/// # Errors
/// [`StorageError::Corrupt`] where the columns are others.
pub(crate) fn table_rows(
    file: &SegmentFile,
    batch: &RecordBatch,
    columns: LogColumns,
) -> Result<RecordBatch, StorageError> {
    let mut read = batch.columns().iter();
    let filled = (0..ENTRIES_SCHEMA.fields().len()).map(|column| {
        let is_read = roots(columns).any(|root| root == column);
        if is_read { read.next().cloned() } else { Some(blank(column, batch.num_rows())) }
    });
    let filled: Option<Vec<ArrayRef>> = filled.collect();
    let filled = filled.ok_or_else(|| file.corrupt("columns are missing"))?;
    RecordBatch::try_new(Arc::clone(&ENTRIES_SCHEMA), filled).map_err(|error| file.corrupt(error))
}

/// Rows of a column that nobody asked for.
fn blank(column: usize, rows: usize) -> ArrayRef {
    match column {
        2 => Arc::new(StringArray::from_iter_values((0..rows).map(|_| ""))),
        3 => Arc::new(UInt8Array::from(vec![0; rows])),
        4 | 5 => new_null_array(ENTRIES_SCHEMA.field(column).data_type(), rows),
        _ => {
            let mut builder = AttributesBuilder::default();
            (0..rows).for_each(|_| builder.end_row());
            Arc::new(builder.finish())
        }
    }
}

/// The batch with the columns that nobody asked for made empty, wherever the rows come from.
fn projected(batch: &RecordBatch, columns: LogColumns) -> Result<RecordBatch, StorageError> {
    if columns == LogColumns::ALL {
        return Ok(batch.clone());
    }
    let all = batch.columns().iter().enumerate();
    let kept = all.map(|(column, array)| {
        let is_wanted = roots(columns).any(|root| root == column);
        if is_wanted { Arc::clone(array) } else { blank(column, batch.num_rows()) }
    });
    Ok(RecordBatch::try_new(Arc::clone(&ENTRIES_SCHEMA), kept.collect())?)
}
