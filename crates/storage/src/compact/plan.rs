//! Which segments of a day become one, as a pure function of what the manifest says.
//!
//! The segments of a day stand in the order of their commits, of which the later one holds where keys are equal: only
//! neighbours are merged, and the result takes their place. While a day is young, [`Rules::fan_in`] neighbours of one
//! level become one of the next, so that a row is rewritten once per level and fewer than `fan_in` segments of each level
//! are left. When a day is over and nothing has come for a while, what is left becomes one, but for what is too small to
//! be worth rewriting a large neighbour. Segments that are [full](Rules::is_full) stay as they are, and so do those that
//! wait for older rows of a log, which must be put before them.

use std::collections::BTreeMap;

use model::time::NS_PER_MS;

use crate::flush::days::NS_PER_DAY;
use crate::manifest::SegmentMeta;
use crate::segment::schema::SERIES_PART;

/// What a plan goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Segments that become one at a time.
    pub(crate) fan_in: usize,
    /// What the inputs of a merge may have together, in bytes.
    pub(crate) max_segment_bytes: u64,
    /// How many series the inputs of a merge may have together: all of them are in memory while it runs.
    pub(crate) max_segment_series: u64,
    /// How long nothing must have come for a day that is over before it is settled.
    pub(crate) settle_ms: u64,
}

/// A day that is over has at most so many segments that are not full, one after the other.
pub(crate) const MAX_SETTLED: usize = 3;

/// A segment of a settled day is rewritten when the smaller ones after it have at least this part of its bytes.
const WORTH_REWRITING: u64 = 8;

/// A segment that is read by nobody for a part of its time is rewritten when that part is one of so many of the whole.
const EXPIRED_SHARE: i64 = 2;

/// A segment may hold expired rows for one of so many parts of the time that data is kept.
const EXPIRED_PER_PERIOD: i64 = 4;

/// Why segments are rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// Much of a segment has expired, and the rest stays for long.
    Expired,
    /// There are enough of one level.
    Level,
    /// The day is over.
    Settled,
}

/// Segments that should become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    /// Their places in the list that was given, ascending, all of one day.
    pub(crate) inputs: Vec<usize>,
    /// The level of what they become.
    pub(crate) level: u8,
    /// Why.
    pub(crate) reason: Reason,
}

/// The moment for which a plan is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Now, in nanoseconds since the epoch.
    pub(crate) now_ns: i64,
    /// How long data is kept, in nanoseconds; none for ever.
    pub(crate) kept_ns: Option<i64>,
}

impl Rules {
    /// What should be merged next, of segments in the order of their commits; none when nothing is due. Of a partition
    /// with much to do the lowest level comes first, because it shrinks the list most for the least work. No segment that
    /// `is_waiting` is taken, and none of both sides of it. What becomes one is of one `kind`.
    pub(crate) fn next(
        &self,
        segments: &[&SegmentMeta],
        is_waiting: &dyn Fn(&SegmentMeta) -> bool,
        kind: &dyn Fn(&SegmentMeta) -> Vec<u64>,
        moment: Moment,
    ) -> Option<Task> {
        let mut days: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (place, segment) in segments.iter().enumerate() {
            days.entry(&segment.day).or_default().push(place);
        }
        let is_expired = |segment: &&SegmentMeta| moment.is_mostly_expired(segment) && !is_waiting(segment);
        let expired = segments.iter().position(is_expired);
        if let Some(place) = expired {
            let level = segments[place].level;
            return Some(Task { inputs: vec![place], level, reason: Reason::Expired });
        }
        let tasks =
            days.values().filter_map(|places| self.of_day(segments, places, is_waiting, kind, moment));
        tasks.min_by_key(|task| (task.reason, task.level))
    }

    /// Whether a segment is so large that it stays as it is: two of these may be too large for one.
    fn is_full(&self, segment: &SegmentMeta) -> bool {
        segment.bytes() > self.max_segment_bytes / 2 || series(segment) > self.max_segment_series / 2
    }

    /// Says of one segment after the other whether it fits into a merge with those before it.
    fn fitting(&self) -> impl FnMut(&SegmentMeta) -> bool + use<> {
        let (mut bytes, mut count) = (0_u64, 0_u64);
        let (max_bytes, max_count) = (self.max_segment_bytes, self.max_segment_series);
        move |segment| {
            bytes += segment.bytes();
            count += series(segment);
            bytes <= max_bytes && count <= max_count
        }
    }

    fn of_day(
        &self,
        segments: &[&SegmentMeta],
        places: &[usize],
        is_waiting: &dyn Fn(&SegmentMeta) -> bool,
        kind: &dyn Fn(&SegmentMeta) -> Vec<u64>,
        moment: Moment,
    ) -> Option<Task> {
        let is_same = |a: &usize, b: &usize| kind(segments[*a]) == kind(segments[*b]);
        let stays = |place: &usize| self.is_full(segments[*place]) || is_waiting(segments[*place]);
        let stretches = || {
            let neighbours = places.split(stays).flat_map(|neighbours| neighbours.chunk_by(is_same));
            neighbours.filter(|stretch| stretch.len() > 1)
        };
        let by_level = stretches().filter_map(|stretch| self.by_level(segments, stretch));
        if let Some(task) = by_level.min_by_key(|task| task.level) {
            return Some(task);
        }
        let of_day = || places.iter().map(|place| segments[*place]);
        if !self.is_settled(of_day(), moment.now_ns) {
            return None;
        }
        stretches().find_map(|stretch| self.settled(segments, stretch))
    }

    /// The oldest neighbours of the lowest level of which there are enough.
    fn by_level(&self, segments: &[&SegmentMeta], stretch: &[usize]) -> Option<Task> {
        let of_level = stretch.chunk_by(|a, b| segments[*a].level == segments[*b].level);
        let enough = of_level.filter(|places| places.len() >= self.fan_in);
        let places = enough.min_by_key(|places| segments[places[0]].level)?;
        let mut fits = self.fitting();
        let fitting = places.iter().take(self.fan_in).take_while(|place| fits(segments[**place]));
        let inputs: Vec<usize> = fitting.copied().collect();
        let level = segments[places[0]].level.saturating_add(1);
        Some(Task { inputs, level, reason: Reason::Level })
    }

    /// The neighbours of a settled day that are worth a rewriting.
    fn settled(&self, segments: &[&SegmentMeta], stretch: &[usize]) -> Option<Task> {
        let bytes: Vec<u64> = stretch.iter().map(|place| segments[*place].bytes()).collect();
        let later = |at: usize| bytes[at + 1..].iter().sum::<u64>();
        let worth = (0..bytes.len() - 1).find(|at| later(*at).saturating_mul(WORTH_REWRITING) >= bytes[*at]);
        let too_many = (bytes.len() > MAX_SETTLED).then_some(MAX_SETTLED - 1);
        let first = worth.or(too_many)?;
        // The newest are the smallest; what is before them follows with what they have become.
        let mut fits = self.fitting();
        let last = (first..stretch.len()).rev().take(self.fan_in);
        let fitting = last.take_while(|at| fits(segments[stretch[*at]]));
        let first = fitting.last()?;
        let inputs = stretch[first..].to_vec();
        let level = inputs.iter().map(|place| segments[*place].level).max().unwrap_or(0).max(1);
        Some(Task { inputs, level, reason: Reason::Settled })
    }

    /// Whether a day is over and nothing has come for it lately. A segment's id says when it was made.
    fn is_settled<'a>(&self, of_day: impl Iterator<Item = &'a SegmentMeta>, now_ns: i64) -> bool {
        let now_ms = u64::try_from(now_ns / NS_PER_MS).unwrap_or(0);
        let mut latest_ms = 0;
        for segment in of_day {
            let day_end_ns =
                segment.end_ns.div_euclid(NS_PER_DAY).saturating_add(1).saturating_mul(NS_PER_DAY);
            latest_ms = latest_ms.max(u64::try_from(day_end_ns / NS_PER_MS).unwrap_or(0));
            if segment.level == 0 {
                let made_ms = ulid::Ulid::from_string(&segment.id).map_or(0, |id| id.timestamp_ms());
                latest_ms = latest_ms.max(made_ms);
            }
        }
        latest_ms.saturating_add(self.settle_ms) <= now_ms
    }
}

/// How many series a segment has, as its manifest says.
fn series(segment: &SegmentMeta) -> u64 {
    segment.part(SERIES_PART).map_or(0, |part| part.rows)
}

impl Moment {
    /// The moment before which data has expired.
    pub(crate) fn expired_before_ns(self) -> i64 {
        self.kept_ns.map_or(i64::MIN, |kept_ns| self.now_ns.saturating_sub(kept_ns))
    }

    fn is_mostly_expired(self, segment: &SegmentMeta) -> bool {
        let Some(kept_ns) = self.kept_ns else {
            return false;
        };
        let before_ns = self.expired_before_ns();
        let lasts_ns = segment.end_ns.saturating_sub(segment.start_ns);
        let expired_ns = before_ns.saturating_sub(segment.start_ns);
        segment.end_ns >= before_ns
            && lasts_ns > kept_ns / EXPIRED_PER_PERIOD
            && expired_ns > lasts_ns / EXPIRED_SHARE
    }
}

#[cfg(test)]
mod tests;
