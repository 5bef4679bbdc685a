//! `min_over_time`, `max_over_time` and when they were: each number is looked at once, however windows overlap.

use std::collections::VecDeque;

use super::{RangeFunction, Window, only_floats, seconds};
use crate::annotations::Annotations;
use crate::value::Point;

/// The numbers that can still become the extreme of a window, by place, the extreme first.
pub(super) struct Sliding {
    max: bool,
    candidates: VecDeque<usize>,
    seen: usize,
}

impl Sliding {
    pub(super) fn of(function: RangeFunction) -> Self {
        Self { max: function == RangeFunction::Max, candidates: VecDeque::new(), seen: 0 }
    }

    /// The extreme of a window that is not before the last one; NaN only where all are.
    pub(super) fn next(
        &mut self,
        window: &Window<'_>,
        all: &[f64],
        name: &str,
        notes: &mut Annotations,
    ) -> Option<Point> {
        only_floats(window, name, notes)?;
        let end = window.first + window.values.len();
        for place in self.seen.max(window.first)..end {
            let value = all[place];
            if value.is_nan() {
                continue;
            }
            let beats = |other: f64| if self.max { value >= other } else { value <= other };
            while self.candidates.back().is_some_and(|last| beats(all[*last])) {
                self.candidates.pop_back();
            }
            self.candidates.push_back(place);
        }
        self.seen = self.seen.max(end);
        while self.candidates.front().is_some_and(|first| *first < window.first) {
            self.candidates.pop_front();
        }
        Some(Point::Float(self.candidates.front().map_or(f64::NAN, |place| all[*place])))
    }
}

/// When the extreme of a window was last, in seconds.
pub(super) fn moment(
    function: RangeFunction,
    window: &Window<'_>,
    name: &str,
    notes: &mut Annotations,
) -> Option<Point> {
    only_floats(window, name, notes)?;
    let mut best = (*window.timestamps_ms.first()?, *window.values.first()?);
    for (at, value) in window.timestamps_ms.iter().zip(window.values) {
        let reaches = if function == RangeFunction::TsOfMax { *value >= best.1 } else { *value <= best.1 };
        if reaches || best.1.is_nan() {
            best = (*at, *value);
        }
    }
    Some(Point::Float(seconds(best.0)))
}
