//! The windows of a range aggregation: one per step, open on the left, closed on the right.

use std::ops::Range;

use model::TimeRange;

/// Window `i` is `(t - range, t]` with `t = start + i * step - offset`, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    /// The time of the first step.
    pub(crate) start_ns: i64,
    /// From step to step; greater than 0.
    pub(crate) step_ns: i64,
    /// How many steps there are.
    pub(crate) count: usize,
    /// The length of a window; greater than 0.
    pub(crate) range_ns: i64,
    /// How far the windows lie before their steps.
    pub(crate) offset_ns: i64,
}

impl Windows {
    /// The time from the first window's start to the last one's end.
    pub(crate) fn covered(&self) -> TimeRange {
        let steps = i64::try_from(self.count.saturating_sub(1)).unwrap_or(i64::MAX);
        let first = self.start_ns.saturating_sub(self.offset_ns);
        let last = first.saturating_add(self.step_ns.saturating_mul(steps));
        TimeRange::new(first.saturating_sub(self.range_ns).saturating_add(1), last)
    }

    /// The windows to which a moment belongs; empty when there is none.
    pub(crate) fn of(&self, timestamp_ns: i64) -> Range<usize> {
        if let Some(windows) = self.near(timestamp_ns) {
            return windows;
        }
        let since = i128::from(timestamp_ns) + i128::from(self.offset_ns) - i128::from(self.start_ns);
        let step = i128::from(self.step_ns);
        let count = i128::try_from(self.count).unwrap_or(i128::MAX);
        let first = (since + step - 1).div_euclid(step).clamp(0, count);
        let end = ((since + i128::from(self.range_ns) - 1).div_euclid(step) + 1).clamp(first, count);
        usize::try_from(first).unwrap_or(0)..usize::try_from(end).unwrap_or(0)
    }

    /// As [`Windows::of`], where no sum leaves 64 bits.
    fn near(&self, timestamp_ns: i64) -> Option<Range<usize>> {
        let since = timestamp_ns.checked_add(self.offset_ns)?.checked_sub(self.start_ns)?;
        let count = i64::try_from(self.count).ok()?;
        let first = since.checked_add(self.step_ns - 1)?.div_euclid(self.step_ns).clamp(0, count);
        let end = since.checked_add(self.range_ns - 1)?.div_euclid(self.step_ns).checked_add(1)?;
        Some(usize::try_from(first).ok()?..usize::try_from(end.clamp(first, count)).ok()?)
    }

    /// The windows to which a moment belongs, and the last moment up to which all others belong to the same.
    pub(crate) fn stretch(&self, timestamp_ns: i64) -> (Range<usize>, i64) {
        let windows = self.of(timestamp_ns);
        let is_window = |window: &usize| *window < self.count;
        let ends = Some(windows.start).filter(is_window).map(|window| self.end_ns(window));
        let begins = Some(windows.end).filter(is_window);
        let begins = begins.map(|window| self.end_ns(window).saturating_sub(self.range_ns));
        let last_ns = ends.into_iter().chain(begins).min().unwrap_or(i64::MAX);
        (windows, last_ns.max(timestamp_ns))
    }

    /// The end of a window.
    pub(crate) fn end_ns(&self, window: usize) -> i64 {
        let steps = i64::try_from(window).unwrap_or(i64::MAX);
        self.start_ns.saturating_add(self.step_ns.saturating_mul(steps)).saturating_sub(self.offset_ns)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_left_end_is_outside_and_the_right_inside() {
        let windows = Windows { start_ns: 100, step_ns: 10, count: 3, range_ns: 20, offset_ns: 0 };
        for (at, expected) in [
            (80, 0..0),
            (81, 0..1),
            (90, 0..1),
            (91, 0..2),
            (100, 0..2),
            (101, 1..3),
            (120, 2..3),
            (121, 3..3),
        ] {
            assert_eq!(windows.of(at), expected, "{at}");
        }
        assert_eq!(windows.covered(), TimeRange::new(81, 120));
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            at in -50_i64..150, start in -20_i64..50, step in 1_i64..30, count in 1_usize..6,
            range in 1_i64..40, offset in -20_i64..20,
        ) {
            let windows = Windows { start_ns: start, step_ns: step, count, range_ns: range, offset_ns: offset };
            let inside: Vec<usize> = (0..count)
                .filter(|i| { let end = windows.end_ns(*i); end - range < at && at <= end })
                .collect();
            prop_assert_eq!(windows.of(at).collect::<Vec<_>>(), inside);
            let (stretch, last_ns) = windows.stretch(at);
            prop_assert_eq!(&stretch, &windows.of(at));
            for later in at..=last_ns.min(200) {
                prop_assert_eq!(windows.of(later).collect::<Vec<_>>(), stretch.clone().collect::<Vec<_>>());
            }
        }
    }
}
