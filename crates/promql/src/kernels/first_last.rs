//! `first_over_time`, `last_over_time` and when they were.

use super::{Window, seconds};
use crate::value::Point;

pub(super) fn last(window: &Window<'_>) -> Option<Point> {
    let (float, histogram) = (window.timestamps_ms.last(), window.histogram_timestamps_ms.last());
    if float >= histogram {
        return window.values.last().map(|value| Point::Float(*value));
    }
    window.histograms.last().map(|histogram| Point::Histogram(Box::new(histogram.clone())))
}

pub(super) fn first(window: &Window<'_>) -> Option<Point> {
    match (window.timestamps_ms.first(), window.histogram_timestamps_ms.first()) {
        (Some(float), Some(histogram)) if float > histogram => {}
        (Some(_), _) => return window.values.first().map(|value| Point::Float(*value)),
        (None, _) => {}
    }
    window.histograms.first().map(|histogram| Point::Histogram(Box::new(histogram.clone())))
}

pub(super) fn moment_of_last(window: &Window<'_>) -> Option<Point> {
    let moments = window.timestamps_ms.last().into_iter().chain(window.histogram_timestamps_ms.last());
    moments.max().map(|at| Point::Float(seconds(*at)))
}

pub(super) fn moment_of_first(window: &Window<'_>) -> Option<Point> {
    let moments = window.timestamps_ms.first().into_iter().chain(window.histogram_timestamps_ms.first());
    moments.min().map(|at| Point::Float(seconds(*at)))
}
