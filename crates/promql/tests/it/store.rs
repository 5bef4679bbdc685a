//! Series in memory, read by the leaves of a plan in two partitions.

use std::collections::BTreeMap;

use model::Labels;
use model::histogram::NativeHistogram;
use promql::{EvalParams, Output, Point, SeriesSamples, Value};

use crate::histogram;
use crate::script::{Case, Sample};

#[derive(Default)]
struct Samples {
    floats: BTreeMap<i64, f64>,
    histograms: BTreeMap<i64, NativeHistogram>,
    starts: BTreeMap<i64, i64>,
}

#[derive(Default)]
pub(crate) struct Store {
    series: BTreeMap<Labels, Samples>,
}

/// Whether two numbers are the same but for rounding.
pub(crate) fn near(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let difference = (a - b).abs();
    difference < 1e-6 * (a.abs() + b.abs()) || difference < 1e-12
}

impl Store {
    pub(crate) fn load(&mut self, labels: &Labels, samples: &[Sample], step_ms: i64) {
        let into = self.series.entry(labels.clone()).or_default();
        let mut at = 0;
        for sample in samples {
            match sample {
                Sample::Gap => {}
                Sample::Float(value) => _ = into.floats.insert(at, *value),
                Sample::Histogram(histogram) => _ = into.histograms.insert(at, histogram.clone()),
                Sample::Start(before_ms) => _ = into.starts.insert(at, at + before_ms),
            }
            at += step_ms;
        }
    }

    fn query(&self, case: &Case) -> Result<Output, String> {
        let expr = promql::parse(&case.query).map_err(|e| e.to_string())?;
        let params = EvalParams {
            start_ms: case.start_ms,
            end_ms: case.end_ms,
            step_ms: case.step_ms.unwrap_or(0),
            lookback_ms: 300_000,
            max_samples: 10_000_000,
        };
        let plan = promql::plan(&expr, &params).map_err(|e| e.to_string())?;
        let mut leaves = Vec::new();
        for leaf in &plan.leaves {
            let matches = |labels: &Labels| {
                leaf.matchers()
                    .iter()
                    .all(|matcher| matcher.matches(labels.get(&matcher.name).unwrap_or_default()))
            };
            let mut workers = [leaf.worker(), leaf.worker()];
            for (i, (labels, samples)) in self.series.iter().filter(|(labels, _)| matches(labels)).enumerate()
            {
                let range = leaf.range().start_ms()..=leaf.range().end_ms();
                if range.is_empty() {
                    continue;
                }
                let (timestamps_ms, values): (Vec<i64>, Vec<f64>) =
                    samples.floats.range(range.clone()).unzip();
                let histograms = samples.histograms.range(range).map(|(at, h)| (*at, h.clone()));
                let (histogram_timestamps_ms, histograms): (Vec<i64>, Vec<NativeHistogram>) =
                    histograms.unzip();
                let starts = |times: &[i64]| -> Vec<i64> {
                    times.iter().map(|at| samples.starts.get(at).copied().unwrap_or(0)).collect()
                };
                let (starts_ms, histogram_starts_ms) =
                    (starts(&timestamps_ms), starts(&histogram_timestamps_ms));
                let samples = SeriesSamples {
                    starts_ms: &starts_ms,
                    histogram_starts_ms: &histogram_starts_ms,
                    timestamps_ms: &timestamps_ms,
                    values: &values,
                    histogram_timestamps_ms: &histogram_timestamps_ms,
                    histograms: &histograms,
                };
                workers[i % 2].series(labels, samples).map_err(|e| e.to_string())?;
            }
            let batches: Result<Vec<_>, _> = workers.into_iter().map(promql::Worker::finish).collect();
            leaves.push(batches.map_err(|e| e.to_string())?);
        }
        promql::finish(&plan, leaves).map_err(|e| e.to_string())
    }

    /// Whether the query gives what is expected; else what it gives.
    pub(crate) fn check(&self, case: &Case) -> Result<(), String> {
        let output = match (self.query(case), case.fail) {
            (Err(_), true) if case.fail_message.is_none() => return Ok(()),
            (Err(error), true) => {
                let wanted = case.fail_message.clone().unwrap_or_default();
                return if error.contains(&wanted) { Ok(()) } else { Err(format!("failed with: {error}")) };
            }
            (Err(error), false) => return Err(error),
            (Ok(output), true) => return Err(format!("did not fail: {:?}", output.value)),
            (Ok(output), false) => output,
        };
        for (name, wanted, have) in
            [("warn", case.warn, &output.warnings), ("info", case.info, &output.infos)]
        {
            if wanted.is_some_and(|wanted| wanted == have.is_empty()) {
                return Err(format!("expected {name}={wanted:?}, have {have:?}"));
            }
        }
        if self.fits(case, &output.value) { Ok(()) } else { Err(format!("gave {:?}", output.value)) }
    }

    fn fits(&self, case: &Case, value: &Value) -> bool {
        match value {
            Value::Scalar(_, value) => case.scalar.is_some_and(|wanted| near(*value, wanted)),
            Value::String(_, text) => case.string.as_ref() == Some(text),
            Value::Vector(samples) => {
                let fits = |wanted: &(Labels, Vec<Sample>), have: &(Labels, i64, Point)| {
                    wanted.0 == have.0 && wanted.1.first().is_some_and(|sample| same(sample, &have.2))
                };
                samples.len() == case.series.len()
                    && if case.ordered {
                        case.series.iter().zip(samples).all(|(wanted, have)| fits(wanted, have))
                    } else {
                        case.series.iter().all(|wanted| samples.iter().any(|have| fits(wanted, have)))
                    }
            }
            Value::Matrix(series) => {
                let (start_ms, step_ms) = case.matrix.unwrap_or((case.start_ms, case.step_ms.unwrap_or(1)));
                let wanted: Vec<_> = case
                    .series
                    .iter()
                    .filter(|(_, samples)| samples.iter().any(|s| *s != Sample::Gap))
                    .collect();
                series.len() == wanted.len()
                    && wanted.iter().all(|(labels, samples)| {
                        series.iter().any(|have| {
                            have.labels == *labels && points(samples, &have.points, start_ms, step_ms)
                        })
                    })
            }
        }
    }
}

fn same(wanted: &Sample, have: &Point) -> bool {
    match (wanted, have) {
        (Sample::Float(a), Point::Float(b)) => near(*a, *b),
        (Sample::Histogram(a), Point::Histogram(b)) => histogram::near(a, b),
        _ => false,
    }
}

fn points(wanted: &[Sample], have: &[(i64, Point)], start_ms: i64, step_ms: i64) -> bool {
    let mut at = start_ms;
    let mut rest = have.iter();
    for sample in wanted {
        if *sample != Sample::Gap {
            let fits = rest.next().is_some_and(|(have_at, point)| *have_at == at && same(sample, point));
            if !fits {
                return false;
            }
        }
        at += step_ms;
    }
    rest.next().is_none()
}
