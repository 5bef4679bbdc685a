//! The modifiers `anchored` and `smoothed`: windows whose borders have values of their own. Anchored, the last sample
//! before the window stands for its left border; smoothed, both borders are interpolated between their neighbours.

use model::histogram::{NativeHistogram, ResetHint};
use syntax::string::quote;

use super::rate::Falls;
use super::{Margin, RangeFunction, SeriesSamples, Window, Windows, changes, mixed, mixed_schemas, seconds};
use crate::annotations::Annotations;
use crate::ast::Extended;
use crate::histogram;
use crate::value::Point;
use crate::vector::GridSeries;

/// A function over windows with borders.
pub(super) fn range(
    function: RangeFunction,
    extended: Extended,
    windows: &Windows,
    samples: SeriesSamples<'_>,
    out: &mut GridSeries,
    notes: &mut Annotations,
) {
    let falls = Falls::of(function, samples);
    let labels = out.labels.clone();
    let name = labels.metric_name().unwrap_or_default();
    each_window(windows, samples, |step, window| {
        let point = match function {
            RangeFunction::Changes => anchored(window).and_then(|window| changes::changes(&falls, &window)),
            RangeFunction::Resets => anchored(window).and_then(|window| changes::resets(&falls, &window)),
            _ if !window.values.is_empty() && !window.histograms.is_empty() => {
                mixed(name, notes);
                None
            }
            _ if window.histograms.is_empty() => difference_of_floats(function, extended, window),
            _ => difference_of_histograms(function, extended, window, name, notes),
        };
        set(out, step, point);
    });
}

/// `metric smoothed`: the value between the samples around each step.
pub(super) fn instant(
    windows: &Windows,
    samples: SeriesSamples<'_>,
    out: &mut GridSeries,
    notes: &mut Annotations,
) {
    let labels = out.labels.clone();
    let name = labels.metric_name().unwrap_or_default();
    each_window(windows, samples, |step, window| {
        if !window.values.is_empty() && !window.histograms.is_empty() {
            mixed(name, notes);
            return;
        }
        let at = window.end_ms;
        let point = if window.histograms.is_empty() {
            around(window.timestamps_ms, at).map(|(before, after)| {
                let place = |i: usize| (window.timestamps_ms[i], window.values[i]);
                Point::Float(after.map_or(window.values[before], |after| {
                    let ((from, a), (to, b)) = (place(before), place(after));
                    a + (b - a) * share(from, to, at)
                }))
            })
        } else {
            around(window.histogram_timestamps_ms, at).and_then(|(before, after)| {
                let border = after.map_or_else(
                    || Some(window.histograms[before].clone()),
                    |after| {
                        let is_counter = window.histograms[before].reset_hint != ResetHint::Gauge;
                        between_histograms(window, before, after, at, is_counter, name, notes)
                    },
                );
                border.map(|border| Point::Histogram(Box::new(border)))
            })
        };
        set(out, step, point);
    });
}

fn set(out: &mut GridSeries, step: usize, point: Option<Point>) {
    match point {
        Some(Point::Float(value)) => out.set_float(step, value),
        Some(Point::Histogram(histogram)) => out.set_histogram(step, *histogram),
        None => {}
    }
}

/// The windows with what lies in the margin around them; their bounds stay those of the window itself.
fn each_window<'a>(windows: &Windows, samples: SeriesSamples<'a>, mut visit: impl FnMut(usize, &Window<'a>)) {
    let Margin { before_ms, after_ms } = windows.margin;
    let wide = Windows {
        range_ms: windows.range_ms.saturating_add(before_ms).saturating_add(after_ms),
        offset_ms: windows.offset_ms.saturating_sub(after_ms),
        ..*windows
    };
    super::each_window(&wide, samples, |step, window| {
        let (start_ms, end_ms) = windows.bounds(step);
        visit(step, &Window { start_ms, end_ms, ..*window });
    });
}

/// How much of the way from one moment to another lies before a third.
fn share(from_ms: i64, to_ms: i64, at_ms: i64) -> f64 {
    seconds(at_ms - from_ms) / seconds(to_ms - from_ms)
}

/// The place of the last sample not after a moment, and of the next one where the first is not of that moment itself.
fn around(timestamps_ms: &[i64], at_ms: i64) -> Option<(usize, Option<usize>)> {
    let before = timestamps_ms.partition_point(|at| *at <= at_ms).checked_sub(1)?;
    let after =
        Some(before + 1).filter(|after| timestamps_ms[before] < at_ms && *after < timestamps_ms.len());
    Some((before, after))
}

/// The window from the last sample that is not after its left border; none where no sample lies within it.
fn anchored<'a>(window: &Window<'a>) -> Option<Window<'a>> {
    let before = |times: &[i64]| times.partition_point(|at| *at <= window.start_ms);
    let (floats, histograms) = (before(window.timestamps_ms), before(window.histogram_timestamps_ms));
    if floats == window.timestamps_ms.len() && histograms == window.histogram_timestamps_ms.len() {
        return None;
    }
    let float_ms = floats.checked_sub(1).map(|i| window.timestamps_ms[i]);
    let histogram_ms = histograms.checked_sub(1).map(|i| window.histogram_timestamps_ms[i]);
    // The younger of the two kinds is the anchor.
    let first = floats - usize::from(float_ms.is_some() && float_ms >= histogram_ms);
    let first_histogram = histograms - usize::from(histogram_ms.is_some() && histogram_ms > float_ms);
    Some(Window {
        first: window.first + first,
        timestamps_ms: &window.timestamps_ms[first..],
        values: &window.values[first..],
        histogram_timestamps_ms: &window.histogram_timestamps_ms[first_histogram..],
        histograms: &window.histograms[first_histogram..],
        starts_ms: window.starts_ms.get(first..).unwrap_or_default(),
        histogram_starts_ms: window.histogram_starts_ms.get(first_histogram..).unwrap_or_default(),
        ..*window
    })
}

/// The samples of which a difference is made, and which of its borders lie between two of them.
struct Span {
    first: usize,
    last: usize,
    left_between: bool,
    right_between: bool,
}

impl Span {
    /// None where no sample lies after the left border, or there is nothing to put between.
    fn of(timestamps_ms: &[i64], window: &Window<'_>, extended: Extended) -> Option<Self> {
        let is_smoothed = extended == Extended::Smoothed;
        let mut last = timestamps_ms.len().checked_sub(1)?;
        let first = timestamps_ms[..last].partition_point(|at| *at <= window.start_ms).saturating_sub(1);
        if is_smoothed {
            last = timestamps_ms[..last].partition_point(|at| *at < window.end_ms);
        }
        if timestamps_ms[last] <= window.start_ms || timestamps_ms[first] > window.end_ms {
            return None;
        }
        let left_between = is_smoothed && timestamps_ms[first] < window.start_ms && first < last;
        let right_between = is_smoothed && timestamps_ms[last] > window.end_ms && last > 0;
        Some(Self { first, last, left_between, right_between })
    }

    /// The places whose sample may fall below the one before it. What falls between a border and its left neighbour is
    /// in the border's value.
    fn steps(&self) -> std::ops::RangeInclusive<usize> {
        self.first + 1 + usize::from(self.left_between)..=self.last
    }
}

fn difference_of_floats(function: RangeFunction, extended: Extended, window: &Window<'_>) -> Option<Point> {
    let (times, values) = (window.timestamps_ms, window.values);
    let span = Span::of(times, window, extended)?;
    let is_counter = function != RangeFunction::Delta;
    let between = |before: usize, at: i64| {
        let after = before + 1;
        // A counter that fell began again at zero.
        let from = if is_counter && values[after] < values[before] { 0.0 } else { values[before] };
        from + (values[after] - from) * share(times[before], times[after], at)
    };
    let left = if span.left_between { between(span.first, window.start_ms) } else { values[span.first] };
    let right = if span.right_between { between(span.last - 1, window.end_ms) } else { values[span.last] };
    let mut difference = right - left;
    if is_counter {
        let falls = span.steps().filter(|i| values[*i] < values[*i - 1]);
        difference += falls.map(|i| values[i - 1]).sum::<f64>();
    }
    if function == RangeFunction::Rate {
        difference /= seconds(window.end_ms - window.start_ms);
    }
    Some(Point::Float(difference))
}

/// The histogram at a moment between two; none where they do not go together.
fn between_histograms(
    window: &Window<'_>,
    before: usize,
    after: usize,
    at_ms: i64,
    is_counter: bool,
    name: &str,
    notes: &mut Annotations,
) -> Option<NativeHistogram> {
    let (from, to) = (&window.histograms[before], &window.histograms[after]);
    if histogram::is_custom(from) != histogram::is_custom(to) {
        mixed_schemas(name, notes);
        return None;
    }
    let times = window.histogram_timestamps_ms;
    let share = share(times[before], times[after], at_ms);
    let hint = from.reset_hint;
    let mut between = if is_counter && histogram::is_reset(from, to) {
        histogram::scale(to, share)
    } else {
        let way = histogram::scale(&histogram::growth(from, to, notes)?, share);
        histogram::add(from, &way, notes)?
    };
    between.reset_hint = hint;
    Some(histogram::compact(&between))
}

fn difference_of_histograms(
    function: RangeFunction,
    extended: Extended,
    window: &Window<'_>,
    name: &str,
    notes: &mut Annotations,
) -> Option<Point> {
    let all = window.histograms;
    let span = Span::of(window.histogram_timestamps_ms, window, extended)?;
    let used = &all[span.first..=span.last];
    if used.iter().any(|h| histogram::is_custom(h) != histogram::is_custom(&all[span.last])) {
        mixed_schemas(name, notes);
        return None;
    }
    let is_counter = function != RangeFunction::Delta;
    let is_gauge = |h: &NativeHistogram| h.reset_hint == ResetHint::Gauge;
    if is_counter && used.iter().any(is_gauge) {
        notes.warn(format!("this native histogram metric is not a counter: {}", quote(name)));
    }
    let are_gauges = is_gauge(&all[span.first]) && is_gauge(&all[span.last]);
    if !is_counter && !are_gauges {
        notes.warn(format!("this native histogram metric is not a gauge: {}", quote(name)));
    }
    let left = if span.left_between {
        between_histograms(window, span.first, span.first + 1, window.start_ms, is_counter, name, notes)?
    } else {
        all[span.first].clone()
    };
    let right = if span.right_between {
        between_histograms(window, span.last - 1, span.last, window.end_ms, is_counter, name, notes)?
    } else {
        all[span.last].clone()
    };
    let mut difference = histogram::growth(&left, &right, notes)?;
    if is_counter {
        for i in span.steps().filter(|i| histogram::is_reset(&all[*i - 1], &all[*i])) {
            difference = histogram::add(&difference, &all[i - 1], notes)?;
        }
    }
    if function == RangeFunction::Rate {
        difference = histogram::divide(&difference, seconds(window.end_ms - window.start_ms));
    }
    Some(Point::Histogram(Box::new(histogram::compact(&difference))))
}
