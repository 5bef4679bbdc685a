//! The series of all partitions as a grid: parts of one series are joined, then windows answer.

use arrow::array::{Array, BinaryArray, Float64Array, Int64Array, ListArray, RecordBatch};
use hashbrown::HashMap;
use model::Labels;
use promql::vector::{Grid, GridSeries, Steps};

use crate::error::EvalError;
use crate::leaf::samples::SampleSpec;
use crate::range::Accumulator;
use crate::range::kernel::{answer, answer_samples};

fn list<'b, T: 'static>(
    batch: &'b RecordBatch,
    column: &'static str,
) -> Result<(&'b ListArray, &'b T), EvalError> {
    let list = batch.column_by_name(column).and_then(|c| c.as_any().downcast_ref::<ListArray>());
    let list = list.ok_or(EvalError::Schema { column })?;
    let values = list.values().as_any().downcast_ref();
    Ok((list, values.ok_or(EvalError::Schema { column })?))
}

/// Joins the batches and answers every window.
pub(super) fn join(spec: &SampleSpec, batches: &[RecordBatch], steps: Steps) -> Result<Grid, EvalError> {
    let kernel = spec.kernel();
    let width = kernel.width();
    let windows = spec.windows.count;
    let mut numbers: HashMap<Labels, usize> = HashMap::new();
    let mut joined: Vec<(Labels, Accumulator)> = Vec::new();
    for batch in batches {
        let labels = batch.column_by_name("labels").and_then(|c| c.as_any().downcast_ref::<BinaryArray>());
        let labels = labels.ok_or(EvalError::Schema { column: "labels" })?;
        let (time_lists, times) = list::<Int64Array>(batch, "timestamps_ns")?;
        let (value_lists, values) = list::<Float64Array>(batch, "values")?;
        for row in 0..batch.num_rows() {
            let series =
                Labels::from_bytes(labels.value(row)).map_err(|_| EvalError::Schema { column: "labels" })?;
            let number = *numbers.entry(series).or_insert_with_key(|series| {
                joined.push((series.clone(), Accumulator::states(kernel, windows)));
                joined.len() - 1
            });
            let at = offset(value_lists, row);
            match &mut joined[number].1 {
                Accumulator::Samples(samples) => {
                    let (from, length) = (offset(time_lists, row), time_lists.value_length(row));
                    let length = usize::try_from(length).unwrap_or(0);
                    if at + length > values.len() {
                        return Err(EvalError::Schema { column: "values" });
                    }
                    samples.extend((0..length).map(|i| (times.value(from + i), values.value(at + i))));
                }
                accumulator => {
                    let length = usize::try_from(value_lists.value_length(row)).unwrap_or(0);
                    if length != windows * width {
                        return Err(EvalError::Schema { column: "values" });
                    }
                    for window in 0..windows {
                        let first = at + window * width;
                        if values.is_valid(first) {
                            let state = &values.values()[first..first + width];
                            accumulator.merge_window(kernel, window, state);
                        }
                    }
                }
            }
        }
    }
    let series = joined.into_iter().map(|(labels, accumulator)| answers(spec, labels, accumulator)).collect();
    Ok(Grid { steps, series })
}

fn offset(list: &ListArray, row: usize) -> usize {
    usize::try_from(list.value_offsets()[row]).unwrap_or(0)
}

fn answers(spec: &SampleSpec, labels: Labels, accumulator: Accumulator) -> GridSeries {
    let windows = &spec.windows;
    let mut series = GridSeries::absent(labels, windows.count);
    let accumulator = match accumulator {
        Accumulator::Samples(samples) => return holistic(spec, samples, series),
        other => other,
    };
    let mut window = 0;
    accumulator.for_each_window(spec.kernel().width(), |state| {
        if let Some(state) = state {
            series.set_float(window, answer(spec.op, state, windows.range_ns));
        }
        window += 1;
    });
    series
}

/// The answers of an aggregation that needs all samples of a window at once.
fn holistic(spec: &SampleSpec, mut samples: Vec<(i64, f64)>, mut series: GridSeries) -> GridSeries {
    let windows = &spec.windows;
    samples.sort_by_key(|(timestamp_ns, _)| *timestamp_ns);
    for window in 0..windows.count {
        let end_ns = windows.end_ns(window);
        let start_ns = end_ns.saturating_sub(windows.range_ns);
        let from = samples.partition_point(|(t, _)| *t <= start_ns);
        let to = samples.partition_point(|(t, _)| *t <= end_ns).max(from);
        if let Some(value) = answer_samples(spec.op, spec.param, &samples[from..to], end_ns, windows.range_ns)
        {
            series.set_float(window, value);
        }
    }
    series
}
