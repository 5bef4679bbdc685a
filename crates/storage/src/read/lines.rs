//! A reading of lines: which sources are read, in which columns, one after the other or merged.
//!
//! Sources that have no moment in common have no line in common, and neither have those of whose streams no two have a line
//! at the same moment. These are read one after the other, so that one of them is held at a time. Lines that two sources may
//! have are looked for by stream and time alone, in the times that both cover; of what is found there, rows are compared by
//! all of their columns.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::error::ArrowError;
use futures::{StreamExt, TryStreamExt};
use memchr::memmem::Finder;
use model::TimeRange;
use model::log::ENTRIES_SCHEMA;
use parking_lot::Mutex;

use super::logs::{EntrySource, LINE_COLUMN, LogColumns, LogScan, projected, table_rows};
use super::merge::merge_all;
use super::once::Once;
use super::overlap::{self, Moment};
use super::pieces::{has, pieces};
use super::prune;
use super::select::{Among, Numbers, Scan, SegmentPart, Selected, renumbered};
use super::{BatchStream, common};
use crate::bounds::{
    MAX_REPEATED_MOMENTS, MERGED_SOURCES, READ_BATCH_BYTES, READ_BATCHES_BYTES, TOKEN_FILTER_ROWS,
};
use crate::error::StorageError;
use crate::segment::filter::NeedleHashes;
use crate::segment::parquet_file::Place;
use crate::segment::reader::{Condition, Footer, SegmentFile};
use crate::segment::schema::TOKEN_FILTERS_KEY;
use crate::signal::{Duplicates, Table};

/// Where token filters leave one part in so many of the rows, or less, lines with the needles are rare: they are looked for
/// before the other columns are read. Where many lines have them, that would cost more than it saves.
const RARE: usize = 4;

/// What is read of lines.
pub(super) struct Lines {
    selected: Arc<Selected>,
    range: TimeRange,
    needles: Arc<[Finder<'static>]>,
    /// What the needles ask of token filters.
    hashes: Arc<NeedleHashes>,
    columns: LogColumns,
}

impl Lines {
    /// What a scan wants of a selection, as far as it lies within the range.
    pub(super) fn new(selected: Arc<Selected>, range: TimeRange, scan: LogScan) -> Self {
        let texts = scan.needles.iter().filter(|text| !text.is_empty());
        Self {
            selected,
            range,
            hashes: Arc::new(NeedleHashes::new(&scan.needles)),
            needles: texts.map(|text| Finder::new(text).into_owned()).collect(),
            columns: scan.columns,
        }
    }

    /// The sources of the streams' lines.
    ///
    /// # Errors
    /// The store's, and when there is no memory to find out which lines two sources have.
    pub(super) async fn sources(self, streams: Range<usize>) -> Result<Vec<EntrySource>, StorageError> {
        let all = Scan { table: Table::Entries, numbers: streams, among: Among::All, range: self.range };
        let times = self.times(&all);
        let shared = overlap::shared(times.iter().copied());
        let sources = if shared.is_empty() {
            self.apart(&all)
        } else if self.columns == LogColumns::ALL && times.len() <= MERGED_SOURCES {
            vec![self.merged(&all)]
        } else {
            let moments = self.repeated(&all, &shared).await?;
            if moments.len() > MAX_REPEATED_MOMENTS {
                let times = overlap::cut(self.range, &shared).into_iter();
                times.map(|range| self.merged(&Scan { range, ..all.clone() })).collect()
            } else {
                self.once(&all, moments)?
            }
        };
        Ok(in_turn(sources))
    }

    /// The segments that have lines of a scan, the oldest commit first.
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

    /// The time of the heads within a range.
    fn heads_time(&self, range: TimeRange) -> Option<TimeRange> {
        let heads = self.selected.heads.iter().filter_map(|head| head.view.time_range());
        let all = heads.fold(None, |all, range| Some(crate::head::union(all, range)))?;
        all.overlaps(range).then(|| common(all, range))
    }

    /// The time of each segment that has lines of a scan, and of the heads together.
    fn times(&self, scan: &Scan) -> Vec<TimeRange> {
        let segments = self.segments(scan).map(|(part, ..)| common(part.meta.range(), scan.range));
        segments.chain(self.heads_time(scan.range)).collect()
    }

    /// The moments at which two sources have a line of a stream, in times that two sources cover; more than
    /// [`MAX_REPEATED_MOMENTS`] where there are too many.
    async fn repeated(&self, all: &Scan, times: &[TimeRange]) -> Result<HashSet<Moment>, StorageError> {
        let mut moments = HashSet::new();
        for range in times {
            let scan = Scan { range: *range, ..all.clone() };
            let at_once = self.segments(&scan).count();
            let segments = self.segments(&scan).map(|(part, file, numbers)| {
                self.segment_rows(part, file, numbers, scan.clone(), &LogColumns::NONE, at_once)
            });
            let mut sources: Vec<_> = segments.enumerate().collect();
            sources.extend(self.heads(&scan).into_iter().map(|rows| (at_once, rows)));
            overlap::repeated(Table::Entries, sources, &mut moments, MAX_REPEATED_MOMENTS).await?;
            if moments.len() > MAX_REPEATED_MOMENTS {
                break;
            }
        }
        Ok(moments)
    }

    /// The lines as they lie in each segment and in the heads, in the columns that are asked for.
    fn apart(&self, scan: &Scan) -> Vec<EntrySource> {
        let rows = self.each(scan, &self.columns);
        let projected = rows.into_iter().map(|(is_head, source)| match is_head {
            true => EntrySource { entries: self.projected(source.entries), ..source },
            false => source,
        });
        projected.collect()
    }

    /// The lines of each source, less those at the moments that another one gave.
    fn once(&self, all: &Scan, moments: HashSet<Moment>) -> Result<Vec<EntrySource>, StorageError> {
        if moments.is_empty() {
            return Ok(self.apart(all));
        }
        let mut sources = Vec::new();
        let mut of_both = all.clone();
        if self.columns != LogColumns::ALL {
            let streams: Arc<BTreeSet<u32>> = Arc::new(moments.iter().map(|(stream, _)| *stream).collect());
            sources = self.apart(&Scan { among: Among::Others(Arc::clone(&streams)), ..all.clone() });
            of_both.among = Among::These(streams);
        }
        let once = Once::new(Table::Entries, moments, &self.selected.source.memory)?;
        let once = Arc::new(Mutex::new(once));
        for (_, EntrySource { range, entries }) in self.each(&of_both, &LogColumns::ALL) {
            let once = Arc::clone(&once);
            let fresh = entries.map(move |batch| once.lock().fresh(batch?)).boxed();
            sources.push(EntrySource { range, entries: self.projected(fresh) });
        }
        Ok(sources)
    }

    /// The lines of each segment, in some columns, and of the heads, in all; with each whether it is of the heads.
    fn each(&self, scan: &Scan, columns: &LogColumns) -> Vec<(bool, EntrySource)> {
        let segments = self.segments(scan).map(|(part, file, numbers)| {
            let range = common(part.meta.range(), scan.range);
            let entries = self.segment_rows(part, file, numbers, scan.clone(), columns, 1);
            (false, EntrySource { range, entries })
        });
        let mut sources: Vec<_> = segments.collect();
        let heads = self.heads(scan);
        if let Some(range) = self.heads_time(scan.range).filter(|_| !heads.is_empty()) {
            let memory = &self.selected.source.memory;
            let entries = merge_all(Table::Entries, heads, Duplicates::Identical, memory);
            sources.push((true, EntrySource { range, entries }));
        }
        sources
    }

    /// The lines of all sources in one.
    fn merged(&self, scan: &Scan) -> EntrySource {
        let at_once = self.segments(scan).count();
        let segments = self.segments(scan).map(|(part, file, numbers)| {
            self.segment_rows(part, file, numbers, scan.clone(), &LogColumns::ALL, at_once)
        });
        let mut rows: Vec<BatchStream> = segments.collect();
        rows.extend(self.heads(scan));
        let memory = &self.selected.source.memory;
        let merged = merge_all(Table::Entries, rows, Duplicates::Identical, memory);
        EntrySource { range: scan.range, entries: self.projected(merged) }
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
        mut file: SegmentFile,
        numbers: Numbers,
        scan: Scan,
        columns: &LogColumns,
        at_once: usize,
    ) -> BatchStream {
        file.batch_bytes = (READ_BATCHES_BYTES / at_once.max(1)).min(READ_BATCH_BYTES);
        let source = Arc::clone(&self.selected.source);
        let (hashes, needles) = (Arc::clone(&self.hashes), Arc::clone(&self.needles));
        let (part, reported, (mut columns, lists)) = (part.clone(), file.clone(), columns.read());
        columns |= part.veil.as_ref().map_or(0, |veil| veil.columns());
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

/// Sources, which come in the order of their age, in that of time; those that meet in time stay in the order of their age.
fn in_turn(sources: Vec<EntrySource>) -> Vec<EntrySource> {
    let groups = overlap::groups(&sources.iter().map(|source| source.range).collect::<Vec<_>>());
    let mut sources: Vec<_> = groups.into_iter().zip(sources).collect();
    sources.sort_by_key(|(group, _)| *group);
    sources.into_iter().map(|(_, source)| source).collect()
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
    Some(Condition { column: LINE_COLUMN, is_met: Arc::new(is_met) })
}
