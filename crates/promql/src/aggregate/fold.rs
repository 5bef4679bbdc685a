//! `sum avg min max count group`: what can be computed series by series, in parts that join. Leaves do it on their
//! series, the finish joins the parts.

use hashbrown::HashMap;
use model::Labels;
use model::histogram::NativeHistogram;

use super::sum::{SCALE, Sum};
use crate::annotations::Annotations;
use crate::ast::AggregateOp;
use crate::histogram::mixed_schemas;
use crate::histogram::total::Total;
use crate::vector::{Grid, GridSeries, Steps};

/// One group's state per step.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    /// How many numbers.
    pub(crate) counts: Vec<u64>,
    /// The sum, the extreme, or nothing of interest.
    pub(crate) values: Vec<f64>,
    /// What the sum lost; empty for other operators.
    pub(crate) lost: Vec<f64>,
    /// A sum of scaled numbers for the mean; empty for other operators.
    pub(crate) scaled: Vec<f64>,
    /// The histograms' sums; empty where there was none.
    histograms: Vec<Option<Total>>,
    /// At which steps histograms could not be added.
    broken: Vec<usize>,
}

/// The groups of one aggregation.
#[derive(Debug)]
pub(crate) struct Folds {
    op: AggregateOp,
    steps: Steps,
    numbers: HashMap<Labels, usize>,
    groups: Vec<(Labels, Fold)>,
}

impl Folds {
    pub(crate) fn new(op: AggregateOp, steps: Steps) -> Self {
        Self { op, steps, numbers: HashMap::new(), groups: Vec::new() }
    }

    pub(crate) fn groups(&self) -> &[(Labels, Fold)] {
        &self.groups
    }

    /// The state of a group, made where it is new.
    pub(crate) fn group(&mut self, key: &Labels) -> &mut Fold {
        let number = match self.numbers.get(key) {
            Some(number) => *number,
            None => {
                self.numbers.insert(key.clone(), self.groups.len());
                self.groups.push((key.clone(), Fold::new(self.op, self.steps.count)));
                self.groups.len() - 1
            }
        };
        &mut self.groups[number].1
    }

    /// Adds the values of a series to its group.
    pub(crate) fn add(&mut self, key: &Labels, series: &GridSeries, notes: &mut Annotations) {
        let op = self.op;
        let group = self.group(key);
        for step in series.present.steps() {
            group.add_float(op, step, series.values[step]);
        }
        for (step, histogram) in series.histograms.iter().enumerate() {
            if let Some(histogram) = histogram {
                let name = series.labels.metric_name().unwrap_or_default();
                group.add_histogram(op, step, histogram, name, notes);
            }
        }
    }

    /// Adds a part that another worker computed; false where its columns are not of the operator's shape.
    pub(crate) fn join(&mut self, key: &Labels, part: &Part<'_>) -> bool {
        let op = self.op;
        let group = self.group(key);
        let fits = part.counts.len() == group.counts.len()
            && part.values.len() == group.values.len()
            && part.lost.len() == group.lost.len()
            && part.scaled.len() == group.scaled.len();
        if !fits {
            return false;
        }
        for step in (0..part.counts.len()).filter(|step| part.counts[*step] > 0) {
            group.join(op, step, part);
        }
        true
    }

    /// A series per group.
    pub(crate) fn finish(self, notes: &mut Annotations) -> Grid {
        let steps = self.steps;
        let op = self.op;
        let series = self.groups.into_iter().map(|(labels, fold)| fold.finish(op, labels, notes)).collect();
        Grid { steps, series }
    }

    /// Bytes that the groups take, roughly.
    pub(crate) fn memory_bytes(&self) -> usize {
        let histograms: usize =
            self.groups.iter().map(|(_, fold)| fold.histograms.len() * size_of::<Total>()).sum();
        self.groups.len() * (self.steps.count * 32 + 256) + histograms
    }
}

/// A group's numbers as another worker's columns have them.
pub(crate) struct Part<'a> {
    pub(crate) counts: &'a [u64],
    pub(crate) values: &'a [f64],
    pub(crate) lost: &'a [f64],
    pub(crate) scaled: &'a [f64],
}

impl Fold {
    fn new(op: AggregateOp, steps: usize) -> Self {
        let columns = |wanted: bool| if wanted { vec![0.0; steps] } else { Vec::new() };
        Self {
            counts: vec![0; steps],
            values: columns(!matches!(op, AggregateOp::Count | AggregateOp::Group)),
            lost: columns(matches!(op, AggregateOp::Sum | AggregateOp::Avg)),
            scaled: columns(op == AggregateOp::Avg),
            histograms: Vec::new(),
            broken: Vec::new(),
        }
    }

    fn add_float(&mut self, op: AggregateOp, step: usize, value: f64) {
        let first = self.counts[step] == 0;
        self.counts[step] += 1;
        match op {
            AggregateOp::Sum => self.add_sum(step, value),
            AggregateOp::Avg => {
                self.add_sum(step, value);
                self.scaled[step] += value * SCALE;
            }
            AggregateOp::Min | AggregateOp::Max => self.take_extreme(op, step, value, first),
            _ => {}
        }
    }

    fn take_extreme(&mut self, op: AggregateOp, step: usize, value: f64, first: bool) {
        let have = self.values[step];
        let better = if op == AggregateOp::Min { value < have } else { value > have };
        if first || have.is_nan() || better {
            self.values[step] = value;
        }
    }

    fn add_sum(&mut self, step: usize, value: f64) {
        let mut sum = Sum { value: self.values[step], lost: self.lost[step] };
        sum.add(value);
        (self.values[step], self.lost[step]) = (sum.value, sum.lost);
    }

    fn add_histogram(
        &mut self,
        op: AggregateOp,
        step: usize,
        h: &NativeHistogram,
        name: &str,
        notes: &mut Annotations,
    ) {
        match op {
            AggregateOp::Count | AggregateOp::Group => self.counts[step] += 1,
            AggregateOp::Sum | AggregateOp::Avg => {
                if self.histograms.is_empty() {
                    self.histograms = vec![None; self.counts.len()];
                }
                match &mut self.histograms[step] {
                    Some(total) => {
                        if !total.add(h, notes) {
                            notes.warn(mixed_schemas(name));
                            self.broken.push(step);
                        }
                    }
                    first @ None => *first = Some(Total::of(h)),
                }
            }
            _ => super::ignored_histograms(op, notes),
        }
    }

    fn join(&mut self, op: AggregateOp, step: usize, part: &Part<'_>) {
        let first = self.counts[step] == 0;
        self.counts[step] += part.counts[step];
        match op {
            AggregateOp::Sum | AggregateOp::Avg => {
                self.add_sum(step, part.values[step]);
                if self.values[step].is_finite() {
                    self.lost[step] += part.lost[step];
                }
                if op == AggregateOp::Avg {
                    self.scaled[step] += part.scaled[step];
                }
            }
            AggregateOp::Min | AggregateOp::Max => self.take_extreme(op, step, part.values[step], first),
            _ => {}
        }
    }

    fn finish(mut self, op: AggregateOp, labels: Labels, notes: &mut Annotations) -> GridSeries {
        let mut series = GridSeries::absent(labels, self.counts.len());
        for step in 0..self.counts.len() {
            let total = self.histograms.get_mut(step).and_then(Option::take);
            match (self.counts[step], total) {
                (0, None) => {}
                (_, None) => series.set_float(step, self.float(op, step)),
                (0, Some(total)) => {
                    if !self.broken.contains(&step) {
                        let is_mean = op == AggregateOp::Avg;
                        series.set_histogram(step, if is_mean { total.mean() } else { total.sum() });
                    }
                }
                _ => notes.warn("encountered a mix of histograms and floats for aggregation"),
            }
        }
        series
    }

    fn float(&self, op: AggregateOp, step: usize) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let count = self.counts[step] as f64;
        match op {
            AggregateOp::Sum => Sum { value: self.values[step], lost: self.lost[step] }.total(),
            AggregateOp::Avg if self.values[step].is_infinite() && self.scaled[step].is_finite() => {
                self.scaled[step] / count / SCALE
            }
            AggregateOp::Avg if self.values[step].is_infinite() => self.values[step],
            AggregateOp::Avg => self.values[step] / count + self.lost[step] / count,
            AggregateOp::Count => count,
            AggregateOp::Group => 1.0,
            _ => self.values[step],
        }
    }
}
