//! Turns what is in memory into segments: one for each UTC day, rows sorted, duplicates gone.
//!
//! Synchronous: it computes and waits for nothing. Who uploads the bytes is none of its business.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use bytes::Bytes;
use model::labels::Labels;
use model::{Signal, TimeRange};

use crate::error::StorageError;
use crate::head::HeadView;
use crate::head::scan::Wanted;
use crate::head::series::Info;
use crate::read::merge::merge_iterators;
use crate::segment::blocks::Tail;
use crate::segment::parquet_file::Finished;
use crate::signal::{Keys, Table, logs, metrics, traces};

const NS_PER_DAY: i64 = 86_400 * model::time::NS_PER_S;

/// A segment that is not in the store yet.
#[derive(Debug)]
pub(crate) struct NewSegment {
    /// The UTC day of its data, `yyyy-mm-dd`.
    pub(crate) day: String,
    /// The time that the rows cover.
    pub(crate) range: TimeRange,
    /// Rows of data, all parts but the series together.
    pub(crate) rows: u64,
    /// Its files.
    pub(crate) parts: Vec<NewPart>,
}

/// One file of a segment.
#[derive(Debug)]
pub(crate) struct NewPart {
    /// What stands in the file's name; empty for a segment's only file.
    pub(crate) name: &'static str,
    /// The file.
    pub(crate) bytes: Bytes,
    /// Rows in it.
    pub(crate) rows: u64,
    /// What the manifest says of its end.
    pub(crate) tail: Tail,
}

impl NewPart {
    /// A part with the name.
    pub(crate) fn new(name: &'static str, file: Finished) -> Self {
        Self { name, bytes: file.bytes, rows: file.rows, tail: file.tail }
    }
}

/// The rows of one segment, sorted and without duplicates.
#[derive(Debug)]
pub(crate) struct Rows {
    /// The series or streams that have rows, sorted by labels; rows carry their places in this list.
    pub(crate) series: Vec<(Labels, Info)>,
    /// The rows of each table that has some.
    pub(crate) tables: Vec<(Table, Vec<RecordBatch>)>,
}

impl Rows {
    /// The rows of a table.
    pub(crate) fn of(&self, table: Table) -> &[RecordBatch] {
        self.tables.iter().find(|(t, _)| *t == table).map_or(&[], |(_, batches)| batches)
    }
}

/// The segments of a head, one for each UTC day of its data.
///
/// # Errors
/// When Arrow or Parquet refuses the rows.
pub(crate) fn write_segments(view: &HeadView) -> Result<Vec<NewSegment>, StorageError> {
    let all = view.series().select(&[], view.series_count());
    let mut segments = Vec::new();
    for day in days(view) {
        let start_ns = day.saturating_mul(NS_PER_DAY);
        let range = TimeRange::new(start_ns, start_ns.saturating_add(NS_PER_DAY - 1));
        let rows = rows_of(view, &all, range)?;
        if let Some(segment) = segment(view.signal(), day, &rows)? {
            segments.push(segment);
        }
    }
    Ok(segments)
}

/// The days since the epoch on which there are rows.
fn days(view: &HeadView) -> BTreeSet<i64> {
    let mut days = BTreeSet::new();
    for table in Table::of(view.signal()) {
        let per_day = table.bounds(TimeRange::new(0, NS_PER_DAY)).1;
        let mut last = None;
        view.each_time(*table, |time| {
            let day = time.div_euclid(per_day);
            if last != Some(day) {
                days.insert(day);
                last = Some(day);
            }
        });
    }
    days
}

/// The rows of a range, merged; series without rows are left out.
fn rows_of(view: &HeadView, all: &[(u32, Labels)], range: TimeRange) -> Result<Rows, StorageError> {
    let numbers = (0..).zip(all).map(|(place, (number, _))| (place, *number)).collect();
    let wanted = match view.signal() {
        Signal::Traces => Wanted::Traces(0, u128::MAX),
        Signal::Metrics | Signal::Logs => Wanted::Numbers(numbers),
    };
    let mut tables = Vec::new();
    let mut used = vec![false; all.len()];
    for table in Table::of(view.signal()) {
        let mut batches = Vec::new();
        let sources = view.sources(*table, &wanted, range);
        merge_iterators(*table, sources, table.duplicates(), |batch| batches.push(batch))?;
        for batch in &batches {
            Keys::new(*table, batch).numbers().iter().for_each(|number| used[*number as usize] = true);
        }
        if !batches.is_empty() {
            tables.push((*table, batches));
        }
    }
    let mut places = vec![0; all.len()];
    let mut series = Vec::new();
    for (place, (number, labels)) in all.iter().enumerate().filter(|(place, _)| used[*place]) {
        places[place] = u32::try_from(series.len()).expect("there are at most as many as numbers");
        series.push((labels.clone(), view.series().info(*number)));
    }
    if series.len() < all.len() {
        for (_, batches) in tables.iter_mut().filter(|(table, _)| table.is_numbered()) {
            batches.iter_mut().for_each(|batch| *batch = crate::head::renumbered(batch, &places));
        }
    }
    Ok(Rows { series, tables })
}

/// One segment of sorted rows; none where there are none.
fn segment(signal: Signal, day: i64, rows: &Rows) -> Result<Option<NewSegment>, StorageError> {
    let Some(range) = range_of(rows) else {
        return Ok(None);
    };
    let parts = match signal {
        Signal::Metrics => metrics::parts(rows)?,
        Signal::Logs => logs::parts(rows)?,
        Signal::Traces => traces::parts(rows)?,
    };
    let count =
        rows.tables.iter().flat_map(|(_, batches)| batches).map(|batch| batch.num_rows() as u64).sum();
    Ok(Some(NewSegment { day: day_name(day)?, range, rows: count, parts }))
}

fn range_of(rows: &Rows) -> Option<TimeRange> {
    let mut range: Option<TimeRange> = None;
    for (table, batches) in &rows.tables {
        for batch in batches {
            let keys = Keys::new(*table, batch);
            let (first, last) = (keys.times().iter().min()?, keys.times().iter().max()?);
            let of_batch = table.range(*first, *last);
            range = Some(crate::head::union(range, of_batch));
        }
    }
    range
}

fn day_name(day: i64) -> Result<String, StorageError> {
    let date = jiff::Timestamp::from_second(day.saturating_mul(86_400));
    let date = date.map_err(|error| StorageError::Internal(format!("a day without a name: {error}")))?;
    Ok(date.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d").to_string())
}
