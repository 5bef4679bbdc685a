//! The result as the doors want it.

use super::{Computed, Finish};
use crate::error::EvalError;
use crate::plan::{Node, Plan, Source};
use crate::value::{Point, SeriesValues, Value};
use crate::vector::{Grid, GridSeries, Steps};

pub(super) fn of(plan: &Plan, finish: &mut Finish<'_>) -> Result<Value, EvalError> {
    let at_ms = plan.steps.start_ms;
    if let Node::Matrix { source, windows } = &plan.root {
        let (before_ms, last_ms) = windows.bounds(0);
        let series = finish.samples(source)?;
        let series = series.iter().map(|series| {
            let samples = series.samples();
            let floats = samples.timestamps_ms.iter().zip(samples.values);
            let floats = floats.filter(|(_, value)| !model::metric::is_stale(**value));
            let histograms = samples.histogram_timestamps_ms.iter().zip(samples.histograms);
            let histograms = histograms.filter(|(_, histogram)| !model::metric::is_stale(histogram.sum));
            let mut points: Vec<(i64, Point)> =
                floats.map(|(at, value)| (*at, Point::Float(*value))).collect();
            points.extend(histograms.map(|(at, h)| (*at, Point::Histogram(Box::new(h.clone())))));
            points.retain(|(at, _)| before_ms < *at && *at <= last_ms);
            points.sort_by_key(|(at, _)| *at);
            let labels = &series.labels;
            let labels = if series.name_dropped { labels.without_metric() } else { labels.clone() };
            SeriesValues { labels, points }
        });
        let series: Vec<SeriesValues> = series.collect();
        // What is computed at many moments was counted there.
        if plan.counts_samples && matches!(source, Source::Leaf(_)) {
            let points = series.iter().flat_map(|series| &series.points);
            finish.counted.push(points.map(|(_, point)| point.weight_in_samples()).sum());
        }
        return matrix(series);
    }
    Ok(match finish.compute(&plan.root)? {
        Computed::Text(text) => Value::String(at_ms, text),
        Computed::Numbers(numbers) if plan.instant => {
            Value::Scalar(at_ms, numbers.first().copied().unwrap_or(f64::NAN))
        }
        Computed::Numbers(numbers) => {
            let series = GridSeries::full(model::Labels::empty(), numbers);
            matrix(vec![points(&series, plan.steps)])?
        }
        Computed::Grid(grid) => {
            let grid = grid.drop_names()?;
            if grid.samples() > plan.max_samples {
                return Err(EvalError::TooManySamples);
            }
            if plan.instant {
                vector(grid, plan.sorted_by_query)
            } else {
                matrix(grid.series.iter().map(|series| points(series, grid.steps)).collect())?
            }
        }
    })
}

fn points(series: &GridSeries, steps: Steps) -> SeriesValues {
    let points = steps.iter().enumerate().filter_map(|(step, at)| Some((at, series.point(step)?)));
    SeriesValues { labels: series.labels.clone(), points: points.collect() }
}

fn matrix(mut series: Vec<SeriesValues>) -> Result<Value, EvalError> {
    series.retain(|series| !series.points.is_empty());
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    if series.windows(2).any(|pair| pair[0].labels == pair[1].labels) {
        return Err(EvalError::SameLabels);
    }
    Ok(Value::Matrix(series))
}

fn vector(mut grid: Grid, sorted: bool) -> Value {
    if !sorted {
        grid.sort();
    }
    let at_ms = grid.steps.start_ms;
    let samples =
        grid.series.iter().filter_map(|series| Some((series.labels.clone(), at_ms, series.point(0)?)));
    Value::Vector(samples.collect())
}
