//! Samples that travel as they are: for range vectors as results, and for functions whose parameters are known only
//! when other leaves are.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, Float64Builder, Int64Builder, ListBuilder, RecordBatch,
};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef};
use model::Labels;
use model::histogram::{HistogramsView, NativeHistogram, histogram_type};

use super::Leaf;
use super::columns::{self, HistogramLists, list};
use crate::annotations::Annotations;
use crate::error::EvalError;
use crate::kernels::SeriesSamples;

/// The schema of leaves that give samples.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("labels", DataType::Binary, false),
        list("timestamps_ms", DataType::Int64),
        list("values", DataType::Float64),
        list("histogram_timestamps_ms", DataType::Int64),
        list("histograms", histogram_type()),
        Field::new("notes", DataType::Utf8, true),
    ]))
}

/// The samples of one series, owned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RawSeries {
    pub(crate) labels: Labels,
    pub(crate) timestamps_ms: Vec<i64>,
    pub(crate) values: Vec<f64>,
    pub(crate) histogram_timestamps_ms: Vec<i64>,
    pub(crate) histograms: Vec<NativeHistogram>,
    /// Whether the name is to go from the result.
    pub(crate) name_dropped: bool,
}

impl RawSeries {
    pub(crate) fn new(labels: Labels) -> Self {
        Self {
            labels,
            timestamps_ms: Vec::new(),
            values: Vec::new(),
            histogram_timestamps_ms: Vec::new(),
            histograms: Vec::new(),
            name_dropped: false,
        }
    }

    /// The samples after the first and not after the second moment.
    pub(super) fn within(
        labels: &Labels,
        samples: SeriesSamples<'_>,
        (before_ms, last_ms): (i64, i64),
    ) -> Self {
        let cut = |all: &[i64]| {
            let from = all.partition_point(|at| *at <= before_ms);
            from..all.partition_point(|at| *at <= last_ms).max(from)
        };
        let (floats, histograms) = (cut(samples.timestamps_ms), cut(samples.histogram_timestamps_ms));
        Self {
            labels: labels.clone(),
            timestamps_ms: samples.timestamps_ms[floats.clone()].to_vec(),
            values: samples.values[floats].to_vec(),
            histogram_timestamps_ms: samples.histogram_timestamps_ms[histograms.clone()].to_vec(),
            histograms: samples.histograms[histograms].to_vec(),
            name_dropped: false,
        }
    }

    pub(crate) fn samples(&self) -> SeriesSamples<'_> {
        SeriesSamples {
            timestamps_ms: &self.timestamps_ms,
            values: &self.values,
            histogram_timestamps_ms: &self.histogram_timestamps_ms,
            histograms: &self.histograms,
            ..SeriesSamples::default()
        }
    }
}

pub(super) fn write(leaf: &Leaf, all: &[RawSeries], notes: &Annotations) -> Result<RecordBatch, EvalError> {
    let mut labels = BinaryBuilder::new();
    let mut timestamps = ListBuilder::new(Int64Builder::new());
    let mut values = ListBuilder::new(Float64Builder::new());
    let mut histogram_timestamps = ListBuilder::new(Int64Builder::new());
    let mut histograms = HistogramLists::new();
    for series in all {
        labels.append_value(series.labels.as_bytes());
        timestamps.append_value(series.timestamps_ms.iter().map(|at| Some(*at)));
        values.append_value(series.values.iter().map(|value| Some(*value)));
        histogram_timestamps.append_value(series.histogram_timestamps_ms.iter().map(|at| Some(*at)));
        histograms.push(series.histograms.iter().map(Some), true);
    }
    let text: Vec<String> = notes.lines().collect();
    if !text.is_empty() {
        labels.append_value([]);
        timestamps.append_null();
        values.append_null();
        histogram_timestamps.append_null();
        histograms.push(std::iter::empty(), false);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(labels.finish()),
        Arc::new(timestamps.finish()),
        Arc::new(values.finish()),
        Arc::new(histogram_timestamps.finish()),
        Arc::new(histograms.finish()),
        Arc::new(columns::notes_column(all.len(), &text)),
    ];
    RecordBatch::try_new(leaf.schema(), columns).map_err(|e| columns::error(leaf.number, &e.to_string()))
}

pub(super) fn read(
    leaf: &Leaf,
    batch: &RecordBatch,
    series: &mut Vec<RawSeries>,
    notes: &mut Annotations,
) -> Result<(), EvalError> {
    let unfit = |what: &str| columns::error(leaf.number, what);
    let moments = |name: &str, row: usize| -> Result<Vec<i64>, EvalError> {
        let list = columns::list_column(leaf, batch, name)?.value(row);
        Ok(list
            .as_primitive_opt::<Int64Type>()
            .ok_or_else(|| unfit("times are not numbers"))?
            .values()
            .to_vec())
    };
    for (row, labels) in columns::rows(leaf, batch, notes)? {
        let values = columns::list_column(leaf, batch, "values")?.value(row);
        let values =
            values.as_primitive_opt::<Float64Type>().ok_or_else(|| unfit("values are not numbers"))?;
        let histograms = columns::list_column(leaf, batch, "histograms")?.value(row);
        let view = HistogramsView::new(histograms.as_ref()).ok_or_else(|| unfit("histograms are none"))?;
        let one = RawSeries {
            labels,
            timestamps_ms: moments("timestamps_ms", row)?,
            values: values.values().to_vec(),
            histogram_timestamps_ms: moments("histogram_timestamps_ms", row)?,
            histograms: (0..histograms.len()).filter_map(|i| view.get(i)).collect(),
            name_dropped: false,
        };
        if one.timestamps_ms.len() != one.values.len()
            || one.histogram_timestamps_ms.len() != one.histograms.len()
        {
            return Err(unfit("times and values are not of one number"));
        }
        series.push(one);
    }
    Ok(())
}
