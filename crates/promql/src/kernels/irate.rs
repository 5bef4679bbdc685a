//! `irate` and `idelta`: the difference between the last two samples of a window.

use model::histogram::{NativeHistogram, ResetHint};
use syntax::string::quote;

use super::{Window, mixed, mixed_schemas, seconds, starts};
use crate::annotations::Annotations;
use crate::histogram;
use crate::value::Point;

enum Sample<'a> {
    Float(f64),
    Histogram(&'a NativeHistogram),
}

pub(super) fn instant(rate: bool, window: &Window<'_>, name: &str, notes: &mut Annotations) -> Option<Point> {
    let floats = window.timestamps_ms.iter().zip(window.values).rev().take(2);
    let histograms = window.histogram_timestamps_ms.iter().zip(window.histograms).rev().take(2);
    let mut samples: Vec<(i64, Sample<'_>)> =
        floats.map(|(at, value)| (*at, Sample::Float(*value))).collect();
    samples.extend(histograms.map(|(at, histogram)| (*at, Sample::Histogram(histogram))));
    samples.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let [(last_ms, last), (before_ms, before), ..] = samples.as_slice() else { return None };
    let interval = seconds(last_ms - before_ms);
    if interval == 0.0 {
        return None;
    }
    match (before, last) {
        (Sample::Float(before), Sample::Float(last)) => {
            let is_anew = || starts::is_anew(window.timestamps_ms, window.starts_ms, window.values.len() - 1);
            let difference = if rate && (last < before || is_anew()) { *last } else { last - before };
            Some(Point::Float(if rate { difference / interval } else { difference }))
        }
        (Sample::Histogram(before), Sample::Histogram(last)) => {
            let gauges = [before, last].iter().filter(|h| h.reset_hint == ResetHint::Gauge).count();
            if rate && gauges > 0 {
                notes.warn(format!("this native histogram metric is not a counter: {}", quote(name)));
            }
            if !rate && gauges < 2 {
                notes.warn(format!("this native histogram metric is not a gauge: {}", quote(name)));
            }
            let (times, starts) = (window.histogram_timestamps_ms, window.histogram_starts_ms);
            let is_anew = || starts::is_anew(times, starts, window.histograms.len() - 1);
            let reset = rate && (histogram::is_reset(before, last) || is_anew());
            let difference =
                if reset { Some((*last).clone()) } else { histogram::growth(before, last, notes) };
            let Some(mut difference) = difference else {
                mixed_schemas(name, notes);
                return None;
            };
            difference.reset_hint = ResetHint::Gauge;
            if rate {
                difference = histogram::divide(&difference, interval);
            }
            Some(Point::Histogram(Box::new(histogram::compact(&difference))))
        }
        _ => {
            mixed(name, notes);
            None
        }
    }
}
