//! `sum_over_time`, `avg_over_time`, `count_over_time`.

use super::{Window, float, mixed};
use crate::aggregate::sum;
use crate::annotations::Annotations;
use crate::histogram;
use crate::value::Point;

pub(super) fn sum(window: &Window<'_>, name: &str, notes: &mut Annotations) -> Option<Point> {
    reduce(window, name, notes, |values| sum::sum(values.iter().copied()), |_| 1.0)
}

pub(super) fn avg(window: &Window<'_>, name: &str, notes: &mut Annotations) -> Option<Point> {
    reduce(window, name, notes, sum::mean, |count| 1.0 / count)
}

pub(super) fn count(window: &Window<'_>) -> Option<Point> {
    Some(Point::Float(float(window.values.len() + window.histograms.len())))
}

fn reduce(
    window: &Window<'_>,
    name: &str,
    notes: &mut Annotations,
    floats: impl Fn(&[f64]) -> f64,
    factor: impl Fn(f64) -> f64,
) -> Option<Point> {
    let Some((first, rest)) = window.histograms.split_first() else {
        return Some(Point::Float(floats(window.values)));
    };
    if !window.values.is_empty() {
        mixed(name, notes);
        return None;
    }
    let mut total = first.clone();
    for histogram in rest {
        total = histogram::add(&total, histogram, notes)?;
    }
    let total = histogram::scale(&total, factor(float(window.histograms.len())));
    Some(Point::Histogram(Box::new(histogram::compact(&total))))
}
