//! `rate`, `increase`, `delta`: the difference over a window, extrapolated to its edges as Prometheus does.

use model::histogram::{NativeHistogram, ResetHint};

use super::{RangeFunction, Window, float, mixed, seconds};
use crate::annotations::Annotations;
use crate::histogram;
use crate::value::Point;

/// Which of the three.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    counter: bool,
    per_second: bool,
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
    pub(super) fn of(function: RangeFunction, values: &'a [f64]) -> Self {
        let differs = |w: &[f64]| w[0] != w[1] && !(w[0].is_nan() && w[1].is_nan());
        let wanted: fn(&[f64]) -> bool = match function {
            RangeFunction::Rate | RangeFunction::Increase | RangeFunction::Resets => |w| w[1] < w[0],
            RangeFunction::Changes => differs,
            _ => return Self { values, at: Vec::new() },
        };
        Self {
            values,
            at: values.windows(2).enumerate().filter(|(_, w)| wanted(w)).map(|(i, _)| i + 1).collect(),
        }
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
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"{name}\""
        ));
    }
}

/// The ends of what was sampled.
struct Sampled {
    count: usize,
    first_ms: i64,
    last_ms: i64,
    /// The first value and the whole difference, for counters, which do not fall below zero.
    first: f64,
    difference: f64,
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
    if let [first, .., last] = window.histograms {
        let difference = histogram_difference(kind, window.histograms, first, last, name, notes)?;
        let sampled = Sampled {
            count: window.histograms.len(),
            first_ms: *window.histogram_timestamps_ms.first()?,
            last_ms: *window.histogram_timestamps_ms.last()?,
            first: first.count,
            difference: difference.count,
        };
        let scaled = histogram::scale(&difference, factor(kind, &sampled, window));
        return Some(Point::Histogram(Box::new(histogram::compact(&scaled))));
    }
    let [first, .., last] = window.values else { return None };
    let mut difference = last - first;
    if kind.counter {
        for at in falls.within(window.first, window.values.len()) {
            difference += falls.values[at - 1];
        }
    }
    let sampled = Sampled {
        count: window.values.len(),
        first_ms: *window.timestamps_ms.first()?,
        last_ms: *window.timestamps_ms.last()?,
        first: *first,
        difference,
    };
    Some(Point::Float(difference * factor(kind, &sampled, window)))
}

/// By how much the sampled difference grows to that of the whole window.
fn factor(kind: Kind, sampled: &Sampled, window: &Window<'_>) -> f64 {
    let interval = seconds(sampled.last_ms - sampled.first_ms);
    let between = interval / float(sampled.count - 1);
    // An edge that is further away than this has no sample of the series near it: the series began or ended there.
    let threshold = between * 1.1;
    let mut to_start = seconds(sampled.first_ms - window.start_ms);
    let mut to_end = seconds(window.end_ms - sampled.last_ms);
    if to_start >= threshold {
        to_start = between / 2.0;
    }
    if kind.counter && sampled.difference > 0.0 && sampled.first >= 0.0 {
        to_start = to_start.min(interval * (sampled.first / sampled.difference));
    }
    if to_end >= threshold {
        to_end = between / 2.0;
    }
    let factor = (interval + to_start + to_end) / interval;
    if kind.per_second { factor / seconds(window.end_ms - window.start_ms) } else { factor }
}

fn histogram_difference(
    kind: Kind,
    all: &[NativeHistogram],
    first: &NativeHistogram,
    last: &NativeHistogram,
    name: &str,
    notes: &mut Annotations,
) -> Option<NativeHistogram> {
    // Where the second begins anew, the first says nothing: its buckets need not even be of the same kind.
    let anew = kind.counter && all.get(1).is_some_and(|second| histogram::is_reset(first, second));
    let relevant = &all[usize::from(anew)..];
    if relevant.iter().any(|h| histogram::is_custom(h) != histogram::is_custom(last)) {
        notes.warn(format!(
            "vector contains a mix of histograms with exponential and custom buckets schemas for metric name \"{name}\""
        ));
        return None;
    }
    let gauge = |h: &NativeHistogram| h.reset_hint == ResetHint::Gauge;
    if kind.counter && all.iter().any(gauge) {
        notes.warn(format!("this native histogram metric is not a counter: \"{name}\""));
    }
    if !kind.counter && (!gauge(first) || !gauge(last)) {
        notes.warn(format!("this native histogram metric is not a gauge: \"{name}\""));
    }
    let mut difference = if anew { last.clone() } else { histogram::growth(first, last, notes)? };
    difference.reset_hint = ResetHint::Gauge;
    for pair in relevant.windows(2) {
        let [before, now] = pair else { continue };
        if kind.counter && histogram::is_reset(before, now) {
            difference = histogram::add(&difference, before, notes)?;
        } else if now.schema < difference.schema || now.custom_bounds != difference.custom_bounds {
            // The coarsest of all resolutions holds for the result.
            difference = histogram::add(&difference, &histogram::scale(now, 0.0), notes)?;
        }
    }
    Some(difference)
}
