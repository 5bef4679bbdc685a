//! Results of PromQL as Prometheus' API shows them.

use std::ops::Range;

use query::{Point, PromAnswer, QueryStats, SeriesValues, Value};

use super::envelope::{begin_success, end_success};
use super::histogram;
use super::params::Stats;
use crate::bounds::MIN_PIECE_SAMPLES;
use crate::json::Json;

/// A part of an answer, written beside the others: the body is all of them, one after the other.
pub(crate) struct Piece {
    /// Of the result, where that is a matrix.
    series: Range<usize>,
    is_first: bool,
    is_last: bool,
}

impl Piece {
    /// An answer in pieces of about the same length, each of so many samples at least.
    pub(crate) fn of(value: &Value, at_most: usize) -> Vec<Self> {
        let series = series_of(value);
        let pieces = (samples(value) / MIN_PIECE_SAMPLES).clamp(1, at_most).min(series.max(1));
        let cut = |piece: usize| piece * series / pieces;
        (0..pieces)
            .map(|piece| Self {
                series: cut(piece)..cut(piece + 1),
                is_first: piece == 0,
                is_last: piece + 1 == pieces,
            })
            .collect()
    }

    /// Writes it, the envelope included.
    pub(crate) fn write(&self, json: &mut Json, answer: &PromAnswer, stats: Option<Stats>) {
        if self.is_first {
            begin_success(json);
            json.raw("{\"resultType\":");
            json.text(answer.value.value_type().as_str());
            json.raw(",\"result\":");
        }
        self.write_result(json, &answer.value);
        if self.is_last {
            if let Some(stats) = stats {
                json.raw(",\"stats\":");
                write_stats(json, answer, stats);
            }
            json.raw("}");
            end_success(json, &answer.warnings, &answer.infos);
        }
    }

    fn write_result(&self, json: &mut Json, value: &Value) {
        match value {
            Value::Matrix(series) => {
                json.raw(if self.is_first { "[" } else { "," });
                json.items(&series[self.series.clone()], write_series);
                json.raw(if self.is_last { "]" } else { "" });
            }
            Value::Vector(samples) => json.list(samples, |json, (labels, timestamp_ms, point)| {
                json.raw("{\"metric\":");
                json.labels(labels);
                json.raw(match point {
                    Point::Float(_) => ",\"value\":",
                    Point::Histogram(_) => ",\"histogram\":",
                });
                write_point(json, *timestamp_ms, point);
                json.raw("}");
            }),
            Value::Scalar(timestamp_ms, value) => write_point(json, *timestamp_ms, &Point::Float(*value)),
            Value::String(timestamp_ms, text) => {
                json.raw("[");
                json.seconds(*timestamp_ms);
                json.raw(",");
                json.text(text);
                json.raw("]");
            }
        }
    }
}

/// How many series a matrix has.
fn series_of(value: &Value) -> usize {
    match value {
        Value::Matrix(series) => series.len(),
        Value::Vector(_) | Value::Scalar(..) | Value::String(..) => 0,
    }
}

/// How many samples an answer has.
pub(crate) fn samples(value: &Value) -> usize {
    match value {
        Value::Matrix(series) => series.iter().map(|one| one.points.len()).sum(),
        Value::Vector(samples) => samples.len(),
        Value::Scalar(..) | Value::String(..) => 1,
    }
}

/// A series has its numbers in `values` and its histograms in `histograms`; a list without an element is left out.
fn write_series(json: &mut Json, series: &SeriesValues) {
    json.raw("{\"metric\":");
    json.labels(&series.labels);
    let is_float = |point: &Point| matches!(point, Point::Float(_));
    for (name, wants_floats) in [(",\"values\":", true), (",\"histograms\":", false)] {
        let mut points = series.points.iter().filter(|(_, point)| is_float(point) == wants_floats).peekable();
        if points.peek().is_some() {
            json.raw(name);
            json.list(points, |json, (timestamp_ms, point)| write_point(json, *timestamp_ms, point));
        }
    }
    json.raw("}");
}

fn write_point(json: &mut Json, timestamp_ms: i64, point: &Point) {
    json.raw("[");
    json.seconds(timestamp_ms);
    json.raw(",");
    match point {
        Point::Float(value) => json.float_with_exponent(*value),
        Point::Histogram(histogram) => histogram::write(json, histogram),
    }
    json.raw("]");
}

/// What was measured, by Prometheus' names; what it has and is not measured here is left out.
fn write_stats(json: &mut Json, answer: &PromAnswer, stats: Stats) {
    let QueryStats { exec_ns, prepare_ns, queue_ns, .. } = answer.stats;
    let times = [
        ("{\"timings\":{\"evalTotalTime\":", exec_ns),
        // Series are sorted as they are gathered, which is not told apart.
        (",\"resultSortTime\":", 0),
        (",\"queryPreparationTime\":", prepare_ns),
        (",\"innerEvalTime\":", exec_ns.saturating_sub(prepare_ns)),
        (",\"execQueueTime\":", queue_ns),
        (",\"execTotalTime\":", exec_ns.saturating_add(queue_ns)),
    ];
    for (name, ns) in times {
        json.raw(name);
        json.plain(ns as f64 / 1e9);
    }
    json.raw("},\"samples\":{");
    if let Some(samples) = &answer.samples {
        if stats == Stats::All {
            json.raw("\"totalQueryableSamplesPerStep\":");
            json.list(&samples.per_step, |json, (at_ms, count)| {
                json.raw("[");
                json.seconds(*at_ms);
                json.raw(",");
                json.plain(count);
                json.raw("]");
            });
            json.raw(",");
        }
        json.raw("\"totalQueryableSamples\":");
        json.plain(samples.total());
        json.raw(",\"peakSamples\":");
        json.plain(samples.peak);
    }
    json.raw("}}");
}

#[cfg(test)]
mod tests;
