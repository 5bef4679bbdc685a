//! `rate`, `increase`, `delta`: the difference over a window, extrapolated to its edges as Prometheus does.

use model::histogram::{NativeHistogram, ResetHint};
use syntax::string::quote;

use super::{
    RangeFunction, SeriesSamples, Window, Windows, float, mixed, mixed_schemas, seconds, slide, starts,
};
use crate::annotations::Annotations;
use crate::histogram;
use crate::value::Point;
use crate::vector::GridSeries;

/// Which of the three.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    counter: bool,
    per_second: bool,
}

impl Kind {
    /// What a function computes, where it is one of the three.
    pub(super) const fn of(function: RangeFunction) -> Option<Self> {
        match function {
            RangeFunction::Rate => Some(RATE),
            RangeFunction::Increase => Some(INCREASE),
            RangeFunction::Delta => Some(DELTA),
            _ => None,
        }
    }
}

pub(super) const RATE: Kind = Kind { counter: true, per_second: true };
pub(super) const INCREASE: Kind = Kind { counter: true, per_second: false };
pub(super) const DELTA: Kind = Kind { counter: false, per_second: false };

/// Where the numbers of a series fall below (or, for `changes`, differ from) the one before: found once per series, so
/// that a window visits only those.
pub(super) struct Falls<'a> {
    values: &'a [f64],
    at: Vec<usize>,
}

impl<'a> Falls<'a> {
    pub(super) fn of(function: RangeFunction, samples: SeriesSamples<'a>) -> Self {
        let SeriesSamples { timestamps_ms, values, starts_ms, .. } = samples;
        let pairs = 1..values.len();
        let at = match function {
            RangeFunction::Rate | RangeFunction::Increase | RangeFunction::Resets => pairs
                .filter(|i| values[*i] < values[*i - 1] || starts::is_anew(timestamps_ms, starts_ms, *i))
                .collect(),
            RangeFunction::Changes => {
                let differ = |a: f64, b: f64| a != b && !(a.is_nan() && b.is_nan());
                pairs.filter(|i| differ(values[*i - 1], values[*i])).collect()
            }
            _ => Vec::new(),
        };
        Self { values, at }
    }

    /// The places within a run of numbers, its first left out.
    pub(super) fn within(&self, first: usize, len: usize) -> &[usize] {
        let from = self.at.partition_point(|at| *at <= first);
        let to = self.at.partition_point(|at| *at < first + len);
        &self.at[from.min(to)..to]
    }
}

/// Tells where a rate is taken of what, by its name, is no counter.
pub(super) fn doubt_counter(name: &str, notes: &mut Annotations) {
    if !name.is_empty()
        && !["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix))
    {
        notes.info(format!(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
            quote(name)
        ));
    }
}

/// The ends of what was sampled.
struct Sampled {
    count: usize,
    first_ms: i64,
    last_ms: i64,
    /// Since when the first sample counts, where that is within the window.
    began_ms: Option<i64>,
    /// The first value and the whole difference, for counters, which do not fall below zero.
    first: f64,
    difference: f64,
}

/// As [`extrapolated`] over all windows of a series that has numbers alone, none of which says since when it counts.
pub(super) fn of_numbers(
    kind: Kind,
    falls: &Falls<'_>,
    windows: &Windows,
    samples: SeriesSamples<'_>,
    out: &mut GridSeries,
) {
    let SeriesSamples { timestamps_ms, values, .. } = samples;
    let (mut from, mut to) = (0, 0);
    for step in 0..windows.steps.count {
        let (start_ms, end_ms) = windows.bounds(step);
        slide(timestamps_ms, start_ms, end_ms, &mut from, &mut to);
        let (Some(times), Some(numbers)) = (timestamps_ms.get(from..to), values.get(from..to)) else { break };
        let ([first_ms, .., last_ms], [first, .., last]) = (times, numbers) else { continue };
        let mut difference = last - first;
        if kind.counter && !falls.at.is_empty() {
            for at in falls.within(from, numbers.len()) {
                difference += values[at - 1];
            }
        }
        let (first_ms, last_ms, first) = (*first_ms, *last_ms, *first);
        let sampled = Sampled { count: times.len(), first_ms, last_ms, began_ms: None, first, difference };
        out.set_float(step, difference * factor(kind, &sampled, start_ms, end_ms));
    }
}

pub(super) fn extrapolated(
    kind: Kind,
    falls: &Falls<'_>,
    window: &Window<'_>,
    name: &str,
    notes: &mut Annotations,
) -> Option<Point> {
    if !window.values.is_empty() && !window.histograms.is_empty() {
        mixed(name, notes);
        return None;
    }
    if kind.counter {
        starts::doubt(window.timestamps_ms, window.starts_ms, name, notes);
        starts::doubt(window.histogram_timestamps_ms, window.histogram_starts_ms, name, notes);
    }
    if window.histograms.is_empty() {
        floats(kind, falls, window)
    } else {
        histograms(kind, window, name, notes)
    }
}

fn floats(kind: Kind, falls: &Falls<'_>, window: &Window<'_>) -> Option<Point> {
    let (first, last) = (*window.values.first()?, *window.values.last()?);
    let began_ms = starts::within(window.timestamps_ms, window.starts_ms, window).filter(|_| kind.counter);
    if window.values.len() < 2 && began_ms.is_none() {
        return None;
    }
    // What began within the window began at zero.
    let mut difference = if began_ms.is_some() { last } else { last - first };
    if kind.counter {
        for at in falls.within(window.first, window.values.len()) {
            difference += falls.values[at - 1];
        }
    }
    let sampled = Sampled {
        count: window.values.len(),
        first_ms: *window.timestamps_ms.first()?,
        last_ms: *window.timestamps_ms.last()?,
        began_ms,
        first,
        difference,
    };
    Some(Point::Float(difference * factor(kind, &sampled, window.start_ms, window.end_ms)))
}

fn histograms(kind: Kind, window: &Window<'_>, name: &str, notes: &mut Annotations) -> Option<Point> {
    let times = window.histogram_timestamps_ms;
    let (first, last) = (window.histograms.first()?, window.histograms.last()?);
    let began_ms = starts::within(times, window.histogram_starts_ms, window).filter(|_| kind.counter);
    let mut difference = match (window.histograms.len(), began_ms) {
        (1, None) => return None,
        (1, Some(_)) => NativeHistogram { reset_hint: ResetHint::Gauge, ..first.clone() },
        _ => histogram_difference(kind, window, first, last, name, notes)?,
    };
    if began_ms.is_some() && window.histograms.len() > 1 {
        difference = histogram::add(&difference, first, notes)?;
    }
    let sampled = Sampled {
        count: window.histograms.len(),
        first_ms: *times.first()?,
        last_ms: *times.last()?,
        began_ms,
        first: first.count,
        difference: difference.count,
    };
    let scaled = histogram::scale(&difference, factor(kind, &sampled, window.start_ms, window.end_ms));
    Some(Point::Histogram(Box::new(histogram::compact(&scaled))))
}

/// By how much the sampled difference grows to that of the whole window.
#[inline]
fn factor(kind: Kind, sampled: &Sampled, start_ms: i64, end_ms: i64) -> f64 {
    let range = if kind.per_second { seconds(end_ms - start_ms) } else { 1.0 };
    if sampled.count < 2 {
        return 1.0 / range;
    }
    let between = seconds(sampled.last_ms - sampled.first_ms) / float(sampled.count - 1);
    let interval = seconds(sampled.last_ms - sampled.began_ms.unwrap_or(sampled.first_ms));
    // An edge that is further away than this has no sample of the series near it: the series began or ended there.
    let threshold = between * 1.1;
    let mut to_start = seconds(sampled.first_ms - start_ms);
    let mut to_end = seconds(end_ms - sampled.last_ms);
    if to_start >= threshold {
        to_start = between / 2.0;
    }
    if sampled.began_ms.is_some() {
        to_start = 0.0;
    } else if kind.counter && sampled.difference > 0.0 && sampled.first >= 0.0 {
        // Most counters are far above zero at their first sample, which shows without a division.
        let is_far = interval * sampled.first > 2.0 * to_start * sampled.difference;
        if !is_far {
            to_start = to_start.min(interval * (sampled.first / sampled.difference));
        }
    }
    if to_end >= threshold {
        to_end = between / 2.0;
    }
    (interval + to_start + to_end) / interval / range
}

fn histogram_difference(
    kind: Kind,
    window: &Window<'_>,
    first: &NativeHistogram,
    last: &NativeHistogram,
    name: &str,
    notes: &mut Annotations,
) -> Option<NativeHistogram> {
    let all = window.histograms;
    let is_reset = |place: usize| {
        kind.counter
            && (histogram::is_reset(&all[place - 1], &all[place])
                || starts::is_anew(window.histogram_timestamps_ms, window.histogram_starts_ms, place))
    };
    // Where the second begins anew, the first says nothing: its buckets need not even be of the same kind.
    let anew = all.len() > 1 && is_reset(1);
    let nothing = |like: &NativeHistogram| NativeHistogram {
        schema: like.schema,
        custom_bounds: like.custom_bounds.clone(),
        ..NativeHistogram::default()
    };
    let from = if anew { nothing(&all[1]) } else { first.clone() };
    // A gauge's samples between the first and the last say nothing.
    let middle = if kind.counter && all.len() > 2 { &all[1..all.len() - 1] } else { &[] };
    if [last].into_iter().chain(middle).any(|h| histogram::is_custom(h) != histogram::is_custom(&from)) {
        mixed_schemas(name, notes);
        return None;
    }
    let gauge = |h: &NativeHistogram| h.reset_hint == ResetHint::Gauge;
    if kind.counter && all.iter().any(gauge) {
        notes.warn(format!("this native histogram metric is not a counter: {}", quote(name)));
    }
    if !kind.counter && (!gauge(first) || !gauge(last)) {
        notes.warn(format!("this native histogram metric is not a gauge: {}", quote(name)));
    }
    let mut difference = histogram::growth(&from, last, notes)?;
    difference.reset_hint = ResetHint::Gauge;
    // The coarsest of all resolutions holds for the result.
    for h in middle {
        if h.schema < difference.schema {
            difference = histogram::coarsened(&difference, h)?;
        }
    }
    for place in 1 + usize::from(anew)..all.len() {
        if kind.counter && is_reset(place) {
            difference = histogram::add(&difference, &all[place - 1], notes)?;
        }
    }
    Some(difference)
}
