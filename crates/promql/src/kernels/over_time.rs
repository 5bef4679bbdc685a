//! `sum_over_time`, `avg_over_time`, `count_over_time`.

use model::histogram::NativeHistogram;

use super::{Window, float, mixed, mixed_schemas};
use crate::aggregate::sum;
use crate::annotations::Annotations;
use crate::histogram::total::Total;
use crate::value::Point;

pub(super) fn sum(window: &Window<'_>, name: &str, notes: &mut Annotations) -> Option<Point> {
    reduce(window, name, notes, |values| sum::sum(values.iter().copied()), Total::sum)
}

pub(super) fn avg(window: &Window<'_>, name: &str, notes: &mut Annotations) -> Option<Point> {
    reduce(window, name, notes, sum::mean, Total::mean)
}

pub(super) fn count(window: &Window<'_>) -> Option<Point> {
    Some(Point::Float(float(window.values.len() + window.histograms.len())))
}

fn reduce(
    window: &Window<'_>,
    name: &str,
    notes: &mut Annotations,
    floats: impl Fn(&[f64]) -> f64,
    histograms: impl Fn(Total) -> NativeHistogram,
) -> Option<Point> {
    let Some((first, rest)) = window.histograms.split_first() else {
        return Some(Point::Float(floats(window.values)));
    };
    if !window.values.is_empty() {
        mixed(name, notes);
        return None;
    }
    let mut total = Total::of(first);
    for histogram in rest {
        if !total.add(histogram, notes) {
            mixed_schemas(name, notes);
            return None;
        }
    }
    Some(Point::Histogram(Box::new(histograms(total))))
}
