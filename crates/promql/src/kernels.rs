//! What is computed from the samples of one series: a value per step, over all steps in one pass. A file per function
//! or family of functions.

mod changes;

mod extended;

mod extremes;

mod first_last;

mod irate;

mod lookback;

mod over_time;

mod rate;

mod regression;

mod smoothing;

mod spread;

mod starts;

use model::Labels;
use model::histogram::NativeHistogram;
use model::metric::is_stale;
use syntax::string::quote;

use crate::annotations::Annotations;
use crate::ast::Extended;
use crate::value::Point;
use crate::vector::{GridSeries, Steps};

pub(crate) use smoothing::check;

/// The samples of one series, ascending in time, of both kinds.
#[derive(Clone, Copy, Debug, Default)]
pub struct SeriesSamples<'a> {
    /// When the numbers were taken, in milliseconds.
    pub timestamps_ms: &'a [i64],
    /// The numbers; staleness markers are among them.
    pub values: &'a [f64],
    /// When the histograms were taken.
    pub histogram_timestamps_ms: &'a [i64],
    /// The histograms; one whose sum is the staleness marker is a marker.
    pub histograms: &'a [NativeHistogram],
    /// Since when each number counts, in milliseconds, 0 where it does not say; empty where none does.
    pub starts_ms: &'a [i64],
    /// The same of the histograms.
    pub histogram_starts_ms: &'a [i64],
}

/// Samples that the kernel owns, without staleness markers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cleaned {
    timestamps_ms: Vec<i64>,
    values: Vec<f64>,
    histogram_timestamps_ms: Vec<i64>,
    histograms: Vec<NativeHistogram>,
    starts_ms: Vec<i64>,
    histogram_starts_ms: Vec<i64>,
}

impl Cleaned {
    pub(crate) fn samples(&self) -> SeriesSamples<'_> {
        SeriesSamples {
            timestamps_ms: &self.timestamps_ms,
            values: &self.values,
            histogram_timestamps_ms: &self.histogram_timestamps_ms,
            histograms: &self.histograms,
            starts_ms: &self.starts_ms,
            histogram_starts_ms: &self.histogram_starts_ms,
        }
    }
}

impl SeriesSamples<'_> {
    /// How many samples of either kind.
    #[must_use]
    pub fn len(&self) -> usize {
        self.timestamps_ms.len() + self.histogram_timestamps_ms.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same, where nothing says since when it counts.
    pub(crate) const fn without_starts(self) -> Self {
        Self { starts_ms: &[], histogram_starts_ms: &[], ..self }
    }

    /// Whether there are numbers alone, none of which says since when it counts.
    const fn is_plain(&self) -> bool {
        self.histogram_timestamps_ms.is_empty() && self.starts_ms.is_empty()
    }

    fn has_markers(&self) -> bool {
        self.values.iter().any(|value| is_stale(*value)) || self.histograms.iter().any(|h| is_stale(h.sum))
    }

    fn cleaned(&self) -> Cleaned {
        let mut out = Cleaned::default();
        for i in (0..self.values.len()).filter(|i| !is_stale(self.values[*i])) {
            out.timestamps_ms.push(self.timestamps_ms[i]);
            out.values.push(self.values[i]);
            out.starts_ms.extend(self.starts_ms.get(i));
        }
        for i in (0..self.histograms.len()).filter(|i| !is_stale(self.histograms[*i].sum)) {
            out.histogram_timestamps_ms.push(self.histogram_timestamps_ms[i]);
            out.histograms.push(self.histograms[i].clone());
            out.histogram_starts_ms.extend(self.histogram_starts_ms.get(i));
        }
        out
    }
}

/// Where the window of each step lies: open on the left, closed on the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    pub(crate) steps: Steps,
    pub(crate) range_ms: i64,
    pub(crate) offset_ms: i64,
    /// A moment instead of the steps'.
    pub(crate) at_ms: Option<i64>,
    /// Samples around the windows that count too.
    pub(crate) margin: Margin,
}

/// Time before and after a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Margin {
    pub(crate) before_ms: i64,
    pub(crate) after_ms: i64,
}

impl Windows {
    /// The window of a step: its samples are after the first and not after the second moment.
    pub(crate) fn bounds(&self, step: usize) -> (i64, i64) {
        let end = self.at_ms.unwrap_or_else(|| self.steps.at(step)).saturating_sub(self.offset_ms);
        (end.saturating_sub(self.range_ms), end)
    }

    /// From before the first sample to the last that any window may hold.
    pub(crate) fn hull(&self) -> (i64, i64) {
        let last = self.steps.count.saturating_sub(1);
        let Margin { before_ms, after_ms } = self.margin;
        (self.bounds(0).0.saturating_sub(before_ms), self.bounds(last).1.saturating_add(after_ms))
    }
}

/// The samples of one window.
#[derive(Clone, Copy)]
pub(crate) struct Window<'a> {
    /// The moment of the step.
    pub(crate) step_ms: i64,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    /// The place of the first number within the series.
    pub(crate) first: usize,
    pub(crate) timestamps_ms: &'a [i64],
    pub(crate) values: &'a [f64],
    pub(crate) histogram_timestamps_ms: &'a [i64],
    pub(crate) histograms: &'a [NativeHistogram],
    /// Since when each number counts; empty where none says so.
    pub(crate) starts_ms: &'a [i64],
    pub(crate) histogram_starts_ms: &'a [i64],
}

impl Window<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.timestamps_ms.is_empty() && self.histogram_timestamps_ms.is_empty()
    }
}

/// The functions over windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RangeFunction {
    Rate,
    Increase,
    Delta,
    Irate,
    Idelta,
    Deriv,
    PredictLinear,
    Changes,
    Resets,
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Stddev,
    Stdvar,
    Quantile,
    Last,
    First,
    Present,
    Mad,
    TsOfMin,
    TsOfMax,
    TsOfFirst,
    TsOfLast,
    Smoothing,
}

impl RangeFunction {
    pub(crate) fn lookup(name: &str) -> Option<Self> {
        Some(match name {
            "rate" => Self::Rate,
            "increase" => Self::Increase,
            "delta" => Self::Delta,
            "irate" => Self::Irate,
            "idelta" => Self::Idelta,
            "deriv" => Self::Deriv,
            "predict_linear" => Self::PredictLinear,
            "changes" => Self::Changes,
            "resets" => Self::Resets,
            "sum_over_time" => Self::Sum,
            "avg_over_time" => Self::Avg,
            "min_over_time" => Self::Min,
            "max_over_time" => Self::Max,
            "count_over_time" => Self::Count,
            "stddev_over_time" => Self::Stddev,
            "stdvar_over_time" => Self::Stdvar,
            "quantile_over_time" => Self::Quantile,
            "last_over_time" => Self::Last,
            "first_over_time" => Self::First,
            "present_over_time" | "absent_over_time" => Self::Present,
            "mad_over_time" => Self::Mad,
            "ts_of_min_over_time" => Self::TsOfMin,
            "ts_of_max_over_time" => Self::TsOfMax,
            "ts_of_first_over_time" => Self::TsOfFirst,
            "ts_of_last_over_time" => Self::TsOfLast,
            "double_exponential_smoothing" => Self::Smoothing,
            _ => return None,
        })
    }

    /// Whether the function knows windows with borders of this kind.
    pub(crate) const fn takes(self, extended: Extended) -> bool {
        match self {
            Self::Rate | Self::Increase | Self::Delta => true,
            Self::Changes | Self::Resets => matches!(extended, Extended::Anchored),
            _ => false,
        }
    }

    /// Whether the result is a sample of the series itself, so that it keeps the metric's name.
    pub(crate) const fn keeps_name(self) -> bool {
        matches!(self, Self::Last | Self::First)
    }
}

/// A function and the numbers that it takes besides the samples, one per step each.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kernel {
    /// The newest sample of the window.
    Instant,
    /// When that sample was taken, in seconds.
    Timestamp,
    /// Since when it counts, in seconds.
    Start,
    /// The value between the samples around the step.
    Smoothed,
    /// A function over the window.
    Range(RangeFunction, Vec<Vec<f64>>),
    /// A function over the window and its borders.
    Extended(RangeFunction, Extended),
}

/// Computes a value per step from the samples of a series.
pub(crate) fn run(
    kernel: &Kernel,
    windows: &Windows,
    labels: Labels,
    samples: SeriesSamples<'_>,
    notes: &mut Annotations,
) -> GridSeries {
    // A fixed moment gives the same at every step, unless the step's own time counts.
    let fixed = windows.at_ms.is_some() && !matches!(kernel, Kernel::Range(RangeFunction::PredictLinear, _));
    if fixed && windows.steps.count > 1 {
        let once = Windows { steps: Steps::instant(windows.steps.start_ms), ..*windows };
        return repeat(&run(kernel, &once, labels, samples, notes), windows.steps.count);
    }
    let mut out = GridSeries::absent(labels, windows.steps.count);
    match kernel {
        Kernel::Instant => lookback::instant(windows, samples, &mut out),
        Kernel::Timestamp => lookback::timestamp(windows, samples, &mut out),
        Kernel::Start => lookback::start(windows, samples, &mut out),
        _ if samples.has_markers() => {
            let cleaned = samples.cleaned();
            over_windows(kernel, windows, cleaned.samples(), &mut out, notes);
        }
        _ => over_windows(kernel, windows, samples, &mut out, notes),
    }
    out
}

/// Adds the samples that each step looked at: of windows all, otherwise the one that it took. A histogram counts as many.
pub(crate) fn count(
    kernel: &Kernel,
    windows: &Windows,
    samples: SeriesSamples<'_>,
    result: &GridSeries,
    per_step: &mut Vec<u64>,
) {
    per_step.resize(windows.steps.count, 0);
    if matches!(kernel, Kernel::Range(..) | Kernel::Extended(..)) {
        let cleaned = samples.has_markers().then(|| samples.cleaned());
        let samples = cleaned.as_ref().map_or(samples, Cleaned::samples);
        each_window(windows, samples, |step, window| {
            let histograms = window.histograms.iter().map(NativeHistogram::weight_in_samples);
            per_step[step] += window.values.len() as u64 + histograms.sum::<u64>();
        });
    } else {
        for step in result.presence().steps() {
            per_step[step] += result.point(step).map_or(0, |point| point.weight_in_samples());
        }
    }
}

/// Kernels to which staleness markers are no samples; there are none among these.
fn over_windows(
    kernel: &Kernel,
    windows: &Windows,
    samples: SeriesSamples<'_>,
    out: &mut GridSeries,
    notes: &mut Annotations,
) {
    match kernel {
        Kernel::Smoothed => extended::instant(windows, samples, out, notes),
        Kernel::Range(function, params) => range(*function, params, windows, samples, out, notes),
        Kernel::Extended(function, borders) => {
            extended::range(*function, *borders, windows, samples, out, notes);
        }
        Kernel::Instant | Kernel::Timestamp | Kernel::Start => {}
    }
}

fn repeat(once: &GridSeries, count: usize) -> GridSeries {
    let mut out = GridSeries::absent(once.labels.clone(), count);
    for step in 0..count {
        match once.point(0) {
            Some(Point::Float(value)) => out.set_float(step, value),
            Some(Point::Histogram(histogram)) => out.set_histogram(step, *histogram),
            None => {}
        }
    }
    out
}

fn range(
    function: RangeFunction,
    params: &[Vec<f64>],
    windows: &Windows,
    samples: SeriesSamples<'_>,
    out: &mut GridSeries,
    notes: &mut Annotations,
) {
    let param = |i: usize, step: usize| params.get(i).and_then(|p| p.get(step)).copied().unwrap_or(f64::NAN);
    let falls = rate::Falls::of(function, samples);
    let mut extremes = extremes::Sliding::of(function);
    let labels = out.labels.clone();
    let name = labels.metric_name().unwrap_or_default();
    let is_counter = matches!(function, RangeFunction::Rate | RangeFunction::Increase);
    if let Some(kind) = rate::Kind::of(function)
        && samples.is_plain()
    {
        rate::of_numbers(kind, &falls, windows, samples, out);
        if is_counter && out.present.any() {
            rate::doubt_counter(name, notes);
        }
        return;
    }
    each_window(windows, samples, |step, window| {
        let point = match function {
            RangeFunction::Rate => rate::extrapolated(rate::RATE, &falls, window, name, notes),
            RangeFunction::Increase => rate::extrapolated(rate::INCREASE, &falls, window, name, notes),
            RangeFunction::Delta => rate::extrapolated(rate::DELTA, &falls, window, name, notes),
            RangeFunction::Irate => irate::instant(true, window, name, notes),
            RangeFunction::Idelta => irate::instant(false, window, name, notes),
            RangeFunction::Deriv => regression::deriv(window, name, notes),
            RangeFunction::PredictLinear => regression::predict_linear(window, param(0, step), name, notes),
            RangeFunction::Changes => changes::changes(&falls, window),
            RangeFunction::Resets => changes::resets(&falls, window),
            RangeFunction::Sum => over_time::sum(window, name, notes),
            RangeFunction::Avg => over_time::avg(window, name, notes),
            RangeFunction::Count => over_time::count(window),
            RangeFunction::Present => Some(Point::Float(1.0)),
            RangeFunction::Min | RangeFunction::Max => extremes.next(window, samples.values, name, notes),
            RangeFunction::TsOfMin | RangeFunction::TsOfMax => {
                extremes::moment(function, window, name, notes)
            }
            RangeFunction::Stddev => spread::stddev(window, name, notes),
            RangeFunction::Stdvar => spread::stdvar(window, name, notes),
            RangeFunction::Quantile => spread::quantile(window, param(0, step), name, notes),
            RangeFunction::Mad => spread::mad(window, name, notes),
            RangeFunction::Last => first_last::last(window),
            RangeFunction::First => first_last::first(window),
            RangeFunction::TsOfLast => first_last::moment_of_last(window),
            RangeFunction::TsOfFirst => first_last::moment_of_first(window),
            RangeFunction::Smoothing => {
                smoothing::smooth(window, param(0, step), param(1, step), name, notes)
            }
        };
        match point {
            Some(Point::Float(value)) => out.set_float(step, value),
            Some(Point::Histogram(histogram)) => out.set_histogram(step, *histogram),
            None => {}
        }
    });
    if is_counter && out.present.any() {
        rate::doubt_counter(name, notes);
    }
}

/// Slides over the windows that have a sample.
fn each_window<'a>(windows: &Windows, samples: SeriesSamples<'a>, mut visit: impl FnMut(usize, &Window<'a>)) {
    let (mut from, mut to, mut hist_from, mut hist_to) = (0, 0, 0, 0);
    for step in 0..windows.steps.count {
        let (start_ms, end_ms) = windows.bounds(step);
        slide(samples.timestamps_ms, start_ms, end_ms, &mut from, &mut to);
        slide(samples.histogram_timestamps_ms, start_ms, end_ms, &mut hist_from, &mut hist_to);
        let window = Window {
            step_ms: windows.steps.at(step),
            start_ms,
            end_ms,
            first: from,
            timestamps_ms: &samples.timestamps_ms[from..to],
            values: &samples.values[from..to],
            histogram_timestamps_ms: &samples.histogram_timestamps_ms[hist_from..hist_to],
            histograms: &samples.histograms[hist_from..hist_to],
            starts_ms: samples.starts_ms.get(from..to).unwrap_or_default(),
            histogram_starts_ms: samples.histogram_starts_ms.get(hist_from..hist_to).unwrap_or_default(),
        };
        if !window.is_empty() {
            visit(step, &window);
        }
    }
}

/// Moves the ends of a window forward.
fn slide(timestamps_ms: &[i64], start_ms: i64, end_ms: i64, from: &mut usize, to: &mut usize) {
    while timestamps_ms.get(*from).is_some_and(|at| *at <= start_ms) {
        *from += 1;
    }
    *to = (*to).max(*from);
    while timestamps_ms.get(*to).is_some_and(|at| *at <= end_ms) {
        *to += 1;
    }
}

/// What is said where a function of numbers leaves histograms out.
fn ignored_histograms(name: &str, notes: &mut Annotations) {
    notes.info(format!(
        "ignored histograms in a range containing both floats and histograms for metric name {}",
        quote(name)
    ));
}

/// What is said where numbers and histograms cannot be joined.
fn mixed(name: &str, notes: &mut Annotations) {
    notes.warn(format!("encountered a mix of histograms and floats for metric name {}", quote(name)));
}

/// What is said where exponential buckets and custom ones cannot be joined.
fn mixed_schemas(name: &str, notes: &mut Annotations) {
    notes.warn(crate::histogram::mixed_schemas(name));
}

/// The numbers of a window for a function that knows no histograms; none where there are none.
fn only_floats<'a>(window: &Window<'a>, name: &str, notes: &mut Annotations) -> Option<&'a [f64]> {
    if window.values.is_empty() {
        return None;
    }
    if !window.histograms.is_empty() {
        ignored_histograms(name, notes);
    }
    Some(window.values)
}

#[expect(clippy::cast_precision_loss, reason = "timestamps and counts are far below 2^53")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
