//! Series as columns: a value or none per step. What operators and aggregations work on, for this language and for the
//! logs' language alike.

mod present;

use hashbrown::HashMap;
use model::Labels;
use model::histogram::NativeHistogram;

pub use crate::aggregate::{Param, aggregate};
pub use crate::annotations::Annotations;
pub use crate::ast::{AggregateOp, BinaryOp, Cardinality, Fill, Grouping, Matching};
pub use crate::binary::{binary, binary_scalar, binary_scalars};
pub use present::Present;

use crate::error::EvalError;
use crate::value::Point;

/// The moments at which a query is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// The first, in milliseconds since the epoch.
    pub start_ms: i64,
    /// Between two, in milliseconds; 0 where there is one.
    pub step_ms: i64,
    /// How many there are; at least one.
    pub count: usize,
}

impl Steps {
    /// A single moment.
    #[must_use]
    pub const fn instant(at_ms: i64) -> Self {
        Self { start_ms: at_ms, step_ms: 0, count: 1 }
    }

    /// From start to end, both included where the step meets them; a step of 0 is the moment `start_ms`.
    ///
    /// # Errors
    /// When the end is before the start, the step is negative, or there are more steps than memory can address.
    pub fn range(start_ms: i64, end_ms: i64, step_ms: i64) -> Result<Self, EvalError> {
        let error = EvalError::Steps { start_ms, end_ms, step_ms };
        if step_ms == 0 {
            return Ok(Self::instant(start_ms));
        }
        let Some(length_ms) = end_ms.checked_sub(start_ms).filter(|length| *length >= 0 && step_ms > 0)
        else {
            return Err(error);
        };
        let count =
            usize::try_from(length_ms / step_ms).ok().filter(|count| *count < MAX_STEPS).ok_or(error)?;
        Ok(Self { start_ms, step_ms, count: count + 1 })
    }

    /// The moment of a step.
    #[must_use]
    pub fn at(&self, step: usize) -> i64 {
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        self.start_ms.saturating_add(self.step_ms.saturating_mul(step))
    }

    /// The last moment.
    #[must_use]
    pub fn end_ms(&self) -> i64 {
        self.at(self.count.saturating_sub(1))
    }

    /// All moments.
    pub fn iter(&self) -> impl Iterator<Item = i64> + use<> {
        let steps = *self;
        (0..steps.count).map(move |step| steps.at(step))
    }
}

/// The most steps that one evaluation may have: columns of them are allocated whole.
pub const MAX_STEPS: usize = 10_000_000;

/// Series over the same steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// The steps.
    pub steps: Steps,
    /// The series, in the order of the result.
    pub series: Vec<GridSeries>,
}

/// One series: a number, a histogram or nothing per step.
#[derive(Clone, Debug, PartialEq)]
pub struct GridSeries {
    /// The labels.
    pub labels: Labels,
    /// A number per step; meaningless where `present` says no.
    pub values: Vec<f64>,
    /// At which steps there is a number.
    pub present: Present,
    /// A histogram per step; empty where the series has none at all. A step has a number or a histogram, not both.
    pub histograms: Vec<Option<Box<NativeHistogram>>>,
    /// Whether the metric's name is to go from the result: what was computed is another metric. It stays among the
    /// labels until then, so that it can still be asked for.
    pub name_dropped: bool,
}

impl GridSeries {
    /// A series without a value.
    #[must_use]
    pub fn absent(labels: Labels, steps: usize) -> Self {
        let (values, present) = (vec![0.0; steps], Present::none(steps));
        Self { labels, values, present, histograms: Vec::new(), name_dropped: false }
    }

    /// A series with a number at every step.
    #[must_use]
    pub fn full(labels: Labels, values: Vec<f64>) -> Self {
        let present = Present::all(values.len());
        Self { labels, values, present, histograms: Vec::new(), name_dropped: false }
    }

    /// The number of a step.
    #[must_use]
    pub fn float(&self, step: usize) -> Option<f64> {
        self.present.get(step).then(|| self.values[step])
    }

    /// The histogram of a step.
    #[must_use]
    pub fn histogram(&self, step: usize) -> Option<&NativeHistogram> {
        self.histograms.get(step).and_then(Option::as_deref)
    }

    /// Whether the step has a number or a histogram.
    #[must_use]
    pub fn has(&self, step: usize) -> bool {
        self.present.get(step) || self.histogram(step).is_some()
    }

    /// The value of a step.
    #[must_use]
    pub fn point(&self, step: usize) -> Option<Point> {
        match self.histogram(step) {
            Some(histogram) => Some(Point::Histogram(Box::new(histogram.clone()))),
            None => self.float(step).map(Point::Float),
        }
    }

    /// Sets a number.
    pub fn set_float(&mut self, step: usize, value: f64) {
        self.values[step] = value;
        self.present.set(step);
    }

    /// Sets a histogram.
    pub fn set_histogram(&mut self, step: usize, histogram: NativeHistogram) {
        if self.histograms.is_empty() {
            self.histograms = vec![None; self.values.len()];
        }
        self.histograms[step] = Some(Box::new(histogram));
    }

    /// Takes away the value of a step.
    pub fn clear(&mut self, step: usize) {
        self.present.clear(step);
        if let Some(histogram) = self.histograms.get_mut(step) {
            *histogram = None;
        }
    }

    /// Whether no step has a value.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        !self.present.any() && !self.has_histograms()
    }

    /// Whether any step has a histogram.
    #[must_use]
    pub fn has_histograms(&self) -> bool {
        self.histograms.iter().any(Option::is_some)
    }

    /// At which steps there is a value of either kind.
    #[must_use]
    pub fn presence(&self) -> Present {
        let mut presence = self.present.clone();
        for step in (0..self.histograms.len()).filter(|step| self.histograms[*step].is_some()) {
            presence.set(step);
        }
        presence
    }

    /// How many steps have a value.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.present.count() + self.histograms.iter().flatten().count()
    }
}

impl Grid {
    /// No series.
    #[must_use]
    pub const fn empty(steps: Steps) -> Self {
        Self { steps, series: Vec::new() }
    }

    /// Joins series of equal labels whose values are at different steps, and drops series without a value.
    ///
    /// # Errors
    /// When two series of equal labels have a value at the same step.
    pub fn unite(mut self) -> Result<Self, EvalError> {
        self.series.retain(|series| !series.is_absent());
        let mut first: HashMap<(Labels, bool), usize> = HashMap::with_capacity(self.series.len());
        let mut united: Vec<GridSeries> = Vec::with_capacity(self.series.len());
        for series in self.series {
            let key = (series.labels.clone(), series.name_dropped);
            match first.get(&key) {
                None => {
                    first.insert(key, united.len());
                    united.push(series);
                }
                Some(at) => merge(&mut united[*at], &series)?,
            }
        }
        Ok(Self { steps: self.steps, series: united })
    }

    /// Takes the names away that are to go.
    ///
    /// # Errors
    /// When two series are the same without them.
    pub fn drop_names(mut self) -> Result<Self, EvalError> {
        if self.series.iter().all(|series| !series.name_dropped) {
            self.series.retain(|series| !series.is_absent());
            return Ok(self);
        }
        for series in self.series.iter_mut().filter(|series| series.name_dropped) {
            series.labels = series.labels.without_metric();
            series.name_dropped = false;
        }
        self.unite()
    }

    /// Sorts the series by their labels.
    pub fn sort(&mut self) {
        self.series.sort_by(|a, b| a.labels.cmp(&b.labels));
    }

    /// How many values there are.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.series.iter().map(GridSeries::samples).sum()
    }
}

fn merge(into: &mut GridSeries, from: &GridSeries) -> Result<(), EvalError> {
    for step in 0..from.values.len() {
        if !from.has(step) {
            continue;
        }
        if into.has(step) {
            return Err(EvalError::SameLabels);
        }
        match from.point(step) {
            Some(Point::Float(value)) => into.set_float(step, value),
            Some(Point::Histogram(histogram)) => into.set_histogram(step, *histogram),
            None => {}
        }
    }
    Ok(())
}
