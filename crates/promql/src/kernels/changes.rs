//! `changes` and `resets`: how often the value of a series changes, or falls, within a window.

use model::histogram::NativeHistogram;

use super::rate::Falls;
use super::{Window, float};
use crate::histogram;
use crate::value::Point;

enum Sample<'a> {
    Float(f64),
    Histogram(&'a NativeHistogram),
}

pub(super) fn changes(falls: &Falls<'_>, window: &Window<'_>) -> Option<Point> {
    if window.histograms.is_empty() {
        return Some(Point::Float(float(falls.within(window.first, window.values.len()).len())));
    }
    count(window, |before, now| match (before, now) {
        (Sample::Float(a), Sample::Float(b)) => a != b && !(a.is_nan() && b.is_nan()),
        (Sample::Histogram(a), Sample::Histogram(b)) => !histogram::same(a, b),
        _ => true,
    })
}

pub(super) fn resets(falls: &Falls<'_>, window: &Window<'_>) -> Option<Point> {
    if window.histograms.is_empty() {
        return Some(Point::Float(float(falls.within(window.first, window.values.len()).len())));
    }
    count(window, |before, now| match (before, now) {
        (Sample::Float(a), Sample::Float(b)) => b < a,
        (Sample::Histogram(a), Sample::Histogram(b)) => histogram::is_reset(a, b),
        _ => true,
    })
}

fn count(window: &Window<'_>, is_one: impl Fn(&Sample<'_>, &Sample<'_>) -> bool) -> Option<Point> {
    let floats =
        window.timestamps_ms.iter().zip(window.values).map(|(at, value)| (*at, Sample::Float(*value)));
    let histograms = window.histogram_timestamps_ms.iter().zip(window.histograms);
    let mut samples: Vec<_> = floats.chain(histograms.map(|(at, h)| (*at, Sample::Histogram(h)))).collect();
    samples.sort_by_key(|(at, _)| *at);
    let found = samples.windows(2).filter(|pair| is_one(&pair[0].1, &pair[1].1)).count();
    Some(Point::Float(float(found)))
}
