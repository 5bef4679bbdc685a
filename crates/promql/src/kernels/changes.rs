//! `changes` and `resets`: how often the value of a series changes, or falls, within a window.

use model::histogram::NativeHistogram;

use super::rate::Falls;
use super::{Window, float, starts};
use crate::histogram;
use crate::value::Point;

/// A value and its place among those of its kind.
enum Sample<'a> {
    Float(f64, usize),
    Histogram(&'a NativeHistogram, usize),
}

pub(super) fn changes(falls: &Falls<'_>, window: &Window<'_>) -> Option<Point> {
    if window.histograms.is_empty() {
        return Some(Point::Float(float(falls.within(window.first, window.values.len()).len())));
    }
    count(window, |before, now| match (before, now) {
        (Sample::Float(a, _), Sample::Float(b, _)) => a != b && !(a.is_nan() && b.is_nan()),
        (Sample::Histogram(a, _), Sample::Histogram(b, _)) => !histogram::same(a, b),
        _ => true,
    })
}

pub(super) fn resets(falls: &Falls<'_>, window: &Window<'_>) -> Option<Point> {
    if window.histograms.is_empty() {
        return Some(Point::Float(float(falls.within(window.first, window.values.len()).len())));
    }
    count(window, |before, now| match (before, now) {
        (Sample::Float(a, _), Sample::Float(b, place)) => {
            b < a || starts::is_anew(window.timestamps_ms, window.starts_ms, *place)
        }
        (Sample::Histogram(a, _), Sample::Histogram(b, place)) => {
            let (times, starts) = (window.histogram_timestamps_ms, window.histogram_starts_ms);
            histogram::is_reset(a, b) || starts::is_anew(times, starts, *place)
        }
        _ => true,
    })
}

fn count(window: &Window<'_>, is_one: impl Fn(&Sample<'_>, &Sample<'_>) -> bool) -> Option<Point> {
    let floats = window.timestamps_ms.iter().zip(window.values).enumerate();
    let floats = floats.map(|(place, (at, value))| (*at, Sample::Float(*value, place)));
    let histograms = window.histogram_timestamps_ms.iter().zip(window.histograms).enumerate();
    let histograms = histograms.map(|(place, (at, h))| (*at, Sample::Histogram(h, place)));
    let mut samples: Vec<_> = floats.chain(histograms).collect();
    samples.sort_by_key(|(at, _)| *at);
    let found = samples.windows(2).filter(|pair| is_one(&pair[0].1, &pair[1].1)).count();
    Some(Point::Float(float(found)))
}
