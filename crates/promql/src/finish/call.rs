//! Functions of the values of a step.

use std::cmp::Ordering;

use super::{Computed, Finish, classic};
use crate::ast::Place;
use crate::error::EvalError;
use crate::functions::{Function, labels, math, time};
use crate::histogram::estimate;
use crate::plan::Node;
use crate::vector::{Grid, GridSeries, Present, Steps};

impl Finish<'_> {
    pub(super) fn call(
        &mut self,
        function: &Function,
        args: &[Node],
        places: &[Place],
        steps: Steps,
    ) -> Result<Computed, EvalError> {
        let name = function.name;
        let place = |i: usize| places.get(i).copied().unwrap_or_default();
        if let (Some(part), None) = (time::lookup(name), args.first()) {
            let numbers = steps.iter().map(|at| part(seconds(at))).collect();
            return Ok(Computed::Grid(of_numbers(numbers, steps)));
        }
        if let Some(change) = math::lookup(name).or(time::lookup(name)) {
            return Ok(Computed::Grid(self.each_float(args, |_, value| change(value))?));
        }
        Ok(match name {
            "scalar" => Computed::Numbers(scalar(&self.arg_grid(args, 0)?)),
            "vector" => Computed::Grid(of_numbers(self.arg_numbers(args, 0)?, steps)),
            "min_of" | "max_of" => {
                let (a, b) = (self.arg_numbers(args, 0)?, self.arg_numbers(args, 1)?);
                let pick = if name == "min_of" { math::min } else { math::max };
                Computed::Numbers(a.into_iter().zip(b).map(|(a, b)| pick(a, b)).collect())
            }
            "round" | "clamp" | "clamp_min" | "clamp_max" => Computed::Grid(self.bounded(name, args, steps)?),
            "timestamp" => Computed::Grid(timestamps(self.arg_grid(args, 0)?, steps)?),
            // What was computed has no samples that could say since when they count.
            "start_timestamp" => Computed::Grid(Grid::empty(steps)),
            "label_replace" => {
                let texts = self.texts(&args[1.min(args.len())..])?;
                Computed::Grid(labels::replace(self.arg_grid(args, 0)?, &texts)?)
            }
            "label_join" => {
                let texts = self.texts(&args[1.min(args.len())..])?;
                Computed::Grid(labels::join(self.arg_grid(args, 0)?, &texts)?)
            }
            "sort" | "sort_desc" => {
                self.doubt_order(place(0));
                Computed::Grid(sorted(self.arg_grid(args, 0)?, name == "sort_desc"))
            }
            "sort_by_label" | "sort_by_label_desc" => {
                self.doubt_order(place(0));
                let by = self.texts(&args[1.min(args.len())..])?;
                Computed::Grid(sorted_by_label(self.arg_grid(args, 0)?, &by, name == "sort_by_label_desc"))
            }
            "histogram_quantile" => {
                let quantiles = self.arg_numbers(args, 0)?;
                let grid = self.arg_grid(args, 1)?;
                let (places, is_named) = ((place(0), place(1)), self.names_stay());
                Computed::Grid(classic::quantile(&quantiles, &grid, places, is_named, self.notes)?)
            }
            "histogram_quantiles" => Computed::Grid(self.quantiles(args, &place)?),
            "histogram_fraction" => {
                let (lower, upper) = (self.arg_numbers(args, 0)?, self.arg_numbers(args, 1)?);
                let grid = self.arg_grid(args, 2)?;
                let is_named = self.names_stay();
                Computed::Grid(classic::fraction(&lower, &upper, &grid, is_named, self.notes.at(place(2)))?)
            }
            "histogram_count" => Computed::Grid(self.each_histogram(args, |h| h.count)?),
            "histogram_sum" => Computed::Grid(self.each_histogram(args, |h| h.sum)?),
            "histogram_avg" => Computed::Grid(self.each_histogram(args, |h| h.sum / h.count)?),
            "histogram_stdvar" => Computed::Grid(self.each_histogram(args, estimate::variance)?),
            "histogram_stddev" => {
                Computed::Grid(self.each_histogram(args, |h| estimate::variance(h).sqrt())?)
            }
            other => return Err(EvalError::Unsupported(format!("the function {other}"))),
        })
    }

    /// Says that a range of steps is in the order of labels whatever the query sorts by.
    fn doubt_order(&mut self, place: Place) {
        if self.plan.is_some_and(|plan| !plan.instant) {
            let text = "sort is ineffective for range queries since results are always ordered by labels";
            self.notes.at(place).warn(text);
        }
    }

    fn arg(args: &[Node], i: usize) -> Result<&Node, EvalError> {
        args.get(i).ok_or_else(|| EvalError::Unsupported("a call without its arguments".to_owned()))
    }

    fn arg_grid(&mut self, args: &[Node], i: usize) -> Result<Grid, EvalError> {
        self.grid(Self::arg(args, i)?)
    }

    fn arg_numbers(&mut self, args: &[Node], i: usize) -> Result<Vec<f64>, EvalError> {
        self.numbers(Self::arg(args, i)?)
    }

    fn texts(&mut self, args: &[Node]) -> Result<Vec<String>, EvalError> {
        args.iter().map(|arg| self.text(arg)).collect()
    }

    /// A function from a step's number to a number; histograms and the name go.
    fn each_float(&mut self, args: &[Node], change: impl Fn(usize, f64) -> f64) -> Result<Grid, EvalError> {
        let mut grid = self.arg_grid(args, 0)?;
        for series in &mut grid.series {
            series.name_dropped = true;
            series.histograms.clear();
            series.values.iter_mut().enumerate().for_each(|(step, value)| *value = change(step, *value));
        }
        grid.unite()
    }

    /// A function from a step's histogram to a number; numbers and the name go.
    fn each_histogram(
        &mut self,
        args: &[Node],
        compute: impl Fn(&model::histogram::NativeHistogram) -> f64,
    ) -> Result<Grid, EvalError> {
        let grid = self.arg_grid(args, 0)?;
        let mut out = Grid::empty(grid.steps);
        for series in grid.series.iter().filter(|series| series.has_histograms()) {
            let mut numbers = GridSeries::absent(series.labels.clone(), grid.steps.count);
            numbers.name_dropped = true;
            for step in 0..grid.steps.count {
                if let Some(histogram) = series.histogram(step) {
                    numbers.set_float(step, compute(histogram));
                }
            }
            out.series.push(numbers);
        }
        out.unite()
    }

    fn bounded(&mut self, name: &str, args: &[Node], steps: Steps) -> Result<Grid, EvalError> {
        let nothing = vec![1.0; steps.count];
        let a = if args.len() > 1 { self.arg_numbers(args, 1)? } else { nothing };
        match name {
            "round" => self.each_float(args, |step, value| math::round(value, a[step])),
            "clamp_min" => self.each_float(args, |step, value| math::clamp(value, a[step], f64::INFINITY)),
            "clamp_max" => {
                self.each_float(args, |step, value| math::clamp(value, f64::NEG_INFINITY, a[step]))
            }
            _ => {
                let b = self.arg_numbers(args, 2)?;
                let mut grid = self.each_float(args, |step, value| math::clamp(value, a[step], b[step]))?;
                for step in (0..steps.count).filter(|step| a[*step] > b[*step]) {
                    grid.series.iter_mut().for_each(|series| series.clear(step));
                }
                grid.unite()
            }
        }
    }

    fn quantiles(&mut self, args: &[Node], place: &dyn Fn(usize) -> Place) -> Result<Grid, EvalError> {
        let grid = self.arg_grid(args, 0)?;
        let label = self.text(Self::arg(args, 1)?)?;
        let mut out = Grid::empty(grid.steps);
        let is_named = self.names_stay();
        for (i, arg) in args.iter().enumerate().skip(2) {
            let quantiles = self.numbers(arg)?;
            let part = classic::quantile(&quantiles, &grid, (place(i), place(0)), is_named, self.notes)?;
            out.series.extend(labelled(&part, &label, &quantiles));
        }
        out.unite()
    }
}

/// Series with a label that has the quantile of their steps: a series for each quantile that there is.
fn labelled(grid: &Grid, label: &str, quantiles: &[f64]) -> Vec<GridSeries> {
    let mut texts: Vec<(String, Present)> = Vec::new();
    for (step, q) in quantiles.iter().enumerate() {
        let text = syntax::number::format_open_metrics(*q);
        let known = texts.iter().position(|(known, _)| *known == text).unwrap_or_else(|| {
            texts.push((text, Present::none(quantiles.len())));
            texts.len() - 1
        });
        texts[known].1.set(step);
    }
    let mut out = Vec::with_capacity(grid.series.len() * texts.len());
    for series in &grid.series {
        for (text, steps) in &texts {
            let mut one = GridSeries { labels: series.labels.with(label, text), ..series.clone() };
            one.present.intersect(steps);
            out.push(one);
        }
    }
    out
}

#[expect(clippy::cast_precision_loss, reason = "timestamps in milliseconds are below 2^53")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// One series without labels.
fn of_numbers(numbers: Vec<f64>, steps: Steps) -> Grid {
    Grid { steps, series: vec![GridSeries::full(model::Labels::empty(), numbers)] }
}

/// The number of the only series that has one; NaN where none or several have.
fn scalar(grid: &Grid) -> Vec<f64> {
    let mut numbers = vec![f64::NAN; grid.steps.count];
    for (step, number) in numbers.iter_mut().enumerate() {
        let mut floats = grid.series.iter().filter_map(|series| series.float(step));
        if let (Some(value), None) = (floats.next(), floats.next()) {
            *number = value;
        }
    }
    numbers
}

/// The steps' own times, where the series has a value.
fn timestamps(mut grid: Grid, steps: Steps) -> Result<Grid, EvalError> {
    for series in &mut grid.series {
        series.name_dropped = true;
        series.present = series.presence();
        series.histograms.clear();
        series.values = steps.iter().map(seconds).collect();
    }
    grid.unite()
}

/// By value; a range of steps has no such order and stays as it is.
fn sorted(mut grid: Grid, descending: bool) -> Grid {
    for series in &mut grid.series {
        series.histograms.clear();
    }
    grid.series.retain(|series| !series.is_absent());
    if grid.steps.count == 1 {
        grid.series.sort_by(|a, b| {
            let (a, b) = (a.values[0], b.values[0]);
            let order = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            a.is_nan().cmp(&b.is_nan()).then(if descending { order.reverse() } else { order })
        });
    }
    grid
}

/// By the labels named, where digits in them count as numbers, then by all labels.
fn sorted_by_label(mut grid: Grid, by: &[String], descending: bool) -> Grid {
    grid.series.sort_by(|a, b| {
        let named = by.iter().map(|label| {
            let value = |series: &GridSeries| series.labels.get(label).unwrap_or_default().to_owned();
            natural(&value(a), &value(b))
        });
        let order = named.fold(Ordering::Equal, Ordering::then).then_with(|| a.labels.cmp(&b.labels));
        if descending { order.reverse() } else { order }
    });
    grid
}

/// Compares texts so that `a2` comes before `a10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let ((digits_a, rest_a), (digits_b, rest_b)) = (chunk(a), chunk(b));
        if digits_a.is_empty() || digits_b.is_empty() {
            return digits_a.len().cmp(&digits_b.len());
        }
        let is_number = |text: &str| text.as_bytes()[0].is_ascii_digit();
        let order = if is_number(digits_a) && is_number(digits_b) {
            let (x, y) = (digits_a.trim_start_matches('0'), digits_b.trim_start_matches('0'));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            digits_a.cmp(digits_b)
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// The leading run of digits or of other characters.
fn chunk(text: &str) -> (&str, &str) {
    let digits = text.bytes().next().is_some_and(|b| b.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_count_as_numbers() {
        let cases =
            [("a2", "a10", Ordering::Less), ("b", "a10", Ordering::Greater), ("", "a", Ordering::Less)];
        for (a, b, wanted) in cases {
            assert_eq!(natural(a, b), wanted, "{a} {b}");
        }
    }
}
