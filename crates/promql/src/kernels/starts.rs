//! When counters began: a sample may say since when it counts. A counter that began after the sample before it has been
//! reset, whatever its value says; one that began within a window had no value before.

use syntax::string::quote;

use super::Window;
use crate::annotations::Annotations;

/// Whether a sample counts anew since the one before it. `starts_ms` is empty where no sample says since when it counts.
pub(super) fn is_anew(timestamps_ms: &[i64], starts_ms: &[i64], place: usize) -> bool {
    let (Some(start), Some(before)) = (starts_ms.get(place), place.checked_sub(1)) else { return false };
    let (start, before_start, before_ms) = (*start, starts_ms[before], timestamps_ms[before]);
    // One that begins where the sample before it was taken is a delta, or the first that knows when it began.
    let follows = start == before_ms && before_start != 0 && before_start < before_ms;
    start != 0 && start < timestamps_ms[place] && (start > before_ms || follows)
}

/// Since when the first of the samples counts, where that lies within the window.
pub(super) fn within(timestamps_ms: &[i64], starts_ms: &[i64], window: &Window<'_>) -> Option<i64> {
    let (start, first) = (*starts_ms.first()?, *timestamps_ms.first()?);
    (start != 0 && window.start_ms < start && start < first).then_some(start)
}

/// Tells where a sample began to count before the one before it was taken.
pub(super) fn doubt(timestamps_ms: &[i64], starts_ms: &[i64], name: &str, notes: &mut Annotations) {
    let overlaps = |place: usize| {
        let (start, before) = (starts_ms[place], place - 1);
        start != 0 && start < timestamps_ms[before] && start != starts_ms[before]
    };
    if (1..starts_ms.len()).any(overlaps) {
        notes.warn(format!(
            "sample has start time that overlaps with previous sample timestamp for metric {}",
            quote(name)
        ));
    }
}

/// Since when the newest sample counts, 0 where it does not say.
pub(super) fn of_newest(window: &Window<'_>, newest_ms: i64) -> i64 {
    let is_float = window.timestamps_ms.last() == Some(&newest_ms);
    let starts_ms = if is_float { window.starts_ms } else { window.histogram_starts_ms };
    starts_ms.last().copied().unwrap_or(0)
}
