//! Instant selectors: the newest sample within the lookback, unless it is a staleness marker.

use model::metric::is_stale;

use super::{SeriesSamples, Window, Windows, each_window, seconds, starts};
use crate::vector::GridSeries;

pub(super) fn instant(windows: &Windows, samples: SeriesSamples<'_>, out: &mut GridSeries) {
    each_window(windows, samples, |step, window| match newest(window) {
        Some((_, Newest::Float(value))) => out.set_float(step, value),
        Some((_, Newest::Histogram(place))) => out.set_histogram(step, window.histograms[place].clone()),
        None => {}
    });
}

pub(super) fn timestamp(windows: &Windows, samples: SeriesSamples<'_>, out: &mut GridSeries) {
    each_window(windows, samples, |step, window| {
        if let Some((at, _)) = newest(window) {
            out.set_float(step, seconds(at));
        }
    });
}

pub(super) fn start(windows: &Windows, samples: SeriesSamples<'_>, out: &mut GridSeries) {
    each_window(windows, samples, |step, window| {
        if let Some((at, _)) = newest(window) {
            out.set_float(step, seconds(starts::of_newest(window, at)));
        }
    });
}

enum Newest {
    Float(f64),
    /// The place within the window.
    Histogram(usize),
}

fn newest(window: &Window<'_>) -> Option<(i64, Newest)> {
    let float = window.timestamps_ms.last().zip(window.values.last());
    let histogram = window.histogram_timestamps_ms.last().zip(window.histograms.last());
    match (float, histogram) {
        (float, Some((at, histogram))) if float.is_none_or(|(float_at, _)| float_at < at) => {
            (!is_stale(histogram.sum)).then_some((*at, Newest::Histogram(window.histograms.len() - 1)))
        }
        (Some((at, value)), _) => (!is_stale(*value)).then_some((*at, Newest::Float(*value))),
        (None, _) => None,
    }
}
