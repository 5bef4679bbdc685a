//! What a head has of each UTC day: a segment holds the rows of one.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::labels::Labels;
use model::time::NS_PER_S;
use model::{Signal, TimeRange};

use crate::error::StorageError;
use crate::head::HeadView;
use crate::head::scan::Wanted;
use crate::head::series::Info;
use crate::segment::build::Build;
use crate::segment::source::Source;
use crate::segment::writer::SegmentWriter;
use crate::signal::Table;

pub(crate) const NS_PER_DAY: i64 = 86_400 * NS_PER_S;

/// A day on which a head has rows.
pub(crate) struct HeadDay {
    /// `yyyy-mm-dd`.
    pub(crate) name: String,
    range: TimeRange,
    /// The series or streams with rows on the day, in the order of their labels.
    series: Vec<(Labels, Info)>,
    /// Places in that list, and the head's numbers.
    numbers: Arc<[(u32, u32)]>,
}

/// The days of a head, the first one first.
///
/// # Errors
/// When a time is on no day that has a name.
pub(crate) fn days(view: &HeadView) -> Result<Vec<HeadDay>, StorageError> {
    let all = view.series().select(&[], view.series_count());
    let mut days = Vec::new();
    for (day, used) in used(view) {
        let with_rows = all.iter().filter(|(number, _)| used.get(*number as usize) == Some(&true));
        let numbers = (0..).zip(with_rows.clone()).map(|(place, (number, _))| (place, *number)).collect();
        let series = with_rows.map(|(number, labels)| (labels.clone(), view.series().info(*number)));
        // Milliseconds reach further than nanoseconds: what is beyond them can be in no range, and never be read.
        let Some(range) = units(day, NS_PER_DAY) else { continue };
        days.push(HeadDay {
            name: name(day)?,
            range: TimeRange::new(range.0, range.1),
            series: series.collect(),
            numbers,
        });
    }
    Ok(days)
}

impl HeadDay {
    /// The work of writing the day's segment.
    pub(crate) fn build(&self, view: &HeadView) -> Build {
        let signal = view.signal();
        let wanted = match signal {
            Signal::Traces => Wanted::Traces(0, u128::MAX),
            Signal::Metrics | Signal::Logs => Wanted::Numbers(Arc::clone(&self.numbers)),
        };
        let tables = Table::of(signal).iter().map(|table| {
            let sources = view.sources(*table, &wanted, self.range);
            (*table, sources.into_iter().map(|rows| Source::Head(rows.batches)).collect())
        });
        Build::new(tables.collect(), SegmentWriter::new(signal, self.series.clone(), false))
    }
}

/// The days since the epoch on which there are rows, and by the head's numbers which series or streams have some.
fn used(view: &HeadView) -> BTreeMap<i64, Vec<bool>> {
    let mut days: BTreeMap<i64, Vec<bool>> = BTreeMap::new();
    for table in Table::of(view.signal()) {
        let per_day = table.bounds(TimeRange::new(0, NS_PER_DAY)).1;
        view.each_keys(*table, |keys| {
            // Neighbours mostly are of one day, and one day's rows of one series.
            let mut at = 0;
            while at < keys.len() {
                let day = keys.times()[at].div_euclid(per_day);
                let (first, last) = units(day, per_day).expect("there is a time on the day");
                let rest = &keys.times()[at..];
                let is_other = |time: &i64| !(first..=last).contains(time);
                let end = at + rest.iter().position(is_other).unwrap_or(rest.len());
                let used = days.entry(day).or_default();
                used.resize(view.series_count() as usize, false);
                for number in keys.numbers().get(at..end).unwrap_or_default() {
                    used[*number as usize] = true;
                }
                at = end;
            }
        });
    }
    days
}

/// The first and the last moment of a day, in units of which a day has so many; none where these do not reach.
fn units(day: i64, per_day: i64) -> Option<(i64, i64)> {
    let first = i128::from(day) * i128::from(per_day);
    let last = first + i128::from(per_day) - 1;
    let (least, most) = (i128::from(i64::MIN), i128::from(i64::MAX));
    (first <= most && last >= least).then(|| {
        let clamped = |unit: i128| i64::try_from(unit.clamp(least, most)).expect("it is between the two");
        (clamped(first), clamped(last))
    })
}

fn name(day: i64) -> Result<String, StorageError> {
    let date = jiff::Timestamp::from_second(day.saturating_mul(86_400));
    let date = date.map_err(|error| StorageError::Internal(format!("a day without a name: {error}")))?;
    Ok(date.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d").to_string())
}
