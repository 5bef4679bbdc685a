//! A batch of metrics: the series that it names, and columns of samples that point to them by number.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    BinaryArray, BinaryBuilder, Float64Builder, Int64Builder, RecordBatch, StringBuilder, UInt8Builder,
    UInt32Builder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::attributes::{AttributesBuilder, attributes_type};
use crate::histogram::{HistogramsBuilder, NativeHistogram, histogram_type};
use crate::labels::Labels;

/// The bits of the float that marks the end of a series (Prometheus' staleness marker, a NaN).
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Whether a value is the staleness marker; other NaNs are values.
#[must_use]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// What a metric is, as exposition formats call it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MetricType {
    /// Not told.
    #[default]
    Unknown = 0,
    /// Only goes up, or starts again.
    Counter = 1,
    /// Goes up and down.
    Gauge = 2,
    /// Counted observations in buckets.
    Histogram = 3,
    /// A histogram whose counts go up and down.
    GaugeHistogram = 4,
    /// Quantiles that the client computed.
    Summary = 5,
    /// Facts as labels.
    Info = 6,
    /// One of several states.
    StateSet = 7,
}

impl MetricType {
    /// The type of a number in the `type` column; other numbers are unknown.
    #[must_use]
    pub const fn from_u8(number: u8) -> Self {
        match number {
            1 => MetricType::Counter,
            2 => MetricType::Gauge,
            3 => MetricType::Histogram,
            4 => MetricType::GaugeHistogram,
            5 => MetricType::Summary,
            6 => MetricType::Info,
            7 => MetricType::StateSet,
            _ => MetricType::Unknown,
        }
    }

    /// The lower-case name, as in the metadata API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            MetricType::Unknown => "unknown",
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::GaugeHistogram => "gaugehistogram",
            MetricType::Summary => "summary",
            MetricType::Info => "info",
            MetricType::StateSet => "stateset",
        }
    }
}

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

/// `labels` (canonical bytes), `type`, `unit`, `help`: a row per series.
pub static SERIES_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(vec![
        Field::new("labels", DataType::Binary, false),
        Field::new("type", DataType::UInt8, false),
        Field::new("unit", DataType::Utf8, false),
        Field::new("help", DataType::Utf8, false),
    ])
});

/// `series` (row number in the series), `timestamp_ms`, `start_ms` (0 where unknown), `value`.
pub static SAMPLES_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(vec![
        Field::new("series", DataType::UInt32, false),
        Field::new("timestamp_ms", DataType::Int64, false),
        Field::new("start_ms", DataType::Int64, false),
        Field::new("value", DataType::Float64, false),
    ])
});

/// `series`, `timestamp_ms`, `start_ms`, `histogram`.
pub static HISTOGRAMS_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(vec![
        Field::new("series", DataType::UInt32, false),
        Field::new("timestamp_ms", DataType::Int64, false),
        Field::new("start_ms", DataType::Int64, false),
        Field::new("histogram", histogram_type(), true),
    ])
});

/// `series`, `timestamp_ms`, `value`, `labels` (attributes, all of them strings).
pub static EXEMPLARS_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(vec![
        Field::new("series", DataType::UInt32, false),
        Field::new("timestamp_ms", DataType::Int64, false),
        Field::new("value", DataType::Float64, false),
        Field::new("labels", attributes_type(), false),
    ])
});

/// Samples of one tenant, in any order; the schemas are the four of this file.
#[derive(Clone, Debug)]
pub struct MetricBatch {
    /// The series that the other three point to.
    pub series: RecordBatch,
    /// Floating-point samples.
    pub samples: RecordBatch,
    /// Native histogram samples.
    pub histograms: RecordBatch,
    /// Exemplars.
    pub exemplars: RecordBatch,
}

impl MetricBatch {
    /// Samples, histograms and exemplars together.
    #[must_use]
    pub fn items(&self) -> usize {
        self.samples.num_rows() + self.histograms.num_rows() + self.exemplars.num_rows()
    }

    /// The canonical label bytes of the series.
    #[must_use]
    pub fn label_bytes(&self) -> &BinaryArray {
        let column = self.series.column(0).as_any().downcast_ref();
        column.expect("a metric batch is built with its schema")
    }
}

/// What is known of a series besides its labels.
#[derive(Clone, Copy, Debug, Default)]
pub struct SeriesInfo<'a> {
    /// The metric's type.
    pub metric_type: MetricType,
    /// The unit, empty where not told.
    pub unit: &'a str,
    /// The description, empty where not told.
    pub help: &'a str,
}

/// Builds a [`MetricBatch`]. It does not look for equal series: a caller that may meet a series twice keeps its number.
#[derive(Debug, Default)]
pub struct MetricBatchBuilder {
    series_count: u32,
    labels: BinaryBuilder,
    types: UInt8Builder,
    units: StringBuilder,
    helps: StringBuilder,
    sample_series: UInt32Builder,
    sample_timestamps: Int64Builder,
    sample_starts: Int64Builder,
    sample_values: Float64Builder,
    histogram_series: UInt32Builder,
    histogram_timestamps: Int64Builder,
    histogram_starts: Int64Builder,
    histograms: HistogramsBuilder,
    exemplar_series: UInt32Builder,
    exemplar_timestamps: Int64Builder,
    exemplar_values: Float64Builder,
    exemplar_labels: AttributesBuilder,
}

impl MetricBatchBuilder {
    /// Adds a series and gives its number.
    pub fn series(&mut self, labels: &Labels, info: SeriesInfo<'_>) -> u32 {
        self.labels.append_value(labels.as_bytes());
        self.types.append_value(info.metric_type as u8);
        self.units.append_value(info.unit);
        self.helps.append_value(info.help);
        self.series_count += 1;
        self.series_count - 1
    }

    /// Adds a sample; `start_ms` is when the counter began, 0 where unknown.
    pub fn sample(&mut self, series: u32, timestamp_ms: i64, start_ms: i64, value: f64) {
        self.sample_series.append_value(series);
        self.sample_timestamps.append_value(timestamp_ms);
        self.sample_starts.append_value(start_ms);
        self.sample_values.append_value(value);
    }

    /// Adds a native histogram sample.
    pub fn histogram(&mut self, series: u32, timestamp_ms: i64, start_ms: i64, histogram: &NativeHistogram) {
        self.histogram_series.append_value(series);
        self.histogram_timestamps.append_value(timestamp_ms);
        self.histogram_starts.append_value(start_ms);
        self.histograms.push(histogram);
    }

    /// Adds an exemplar; its labels are attributes of strings (`trace_id`, `span_id` and others).
    pub fn exemplar<'l>(
        &mut self,
        series: u32,
        timestamp_ms: i64,
        value: f64,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
    ) {
        self.exemplar_series.append_value(series);
        self.exemplar_timestamps.append_value(timestamp_ms);
        self.exemplar_values.append_value(value);
        for (name, text) in labels {
            self.exemplar_labels.push(name, crate::AttributeRef::String(text));
        }
        self.exemplar_labels.end_row();
    }

    /// The batch; the builder is empty afterwards.
    pub fn finish(&mut self) -> MetricBatch {
        let batch = |schema: &SchemaRef, columns| {
            RecordBatch::try_new(Arc::clone(schema), columns).expect("the builders are of the schema's types")
        };
        self.series_count = 0;
        MetricBatch {
            series: batch(
                &SERIES_SCHEMA,
                vec![
                    Arc::new(self.labels.finish()),
                    Arc::new(self.types.finish()),
                    Arc::new(self.units.finish()),
                    Arc::new(self.helps.finish()),
                ],
            ),
            samples: batch(
                &SAMPLES_SCHEMA,
                vec![
                    Arc::new(self.sample_series.finish()),
                    Arc::new(self.sample_timestamps.finish()),
                    Arc::new(self.sample_starts.finish()),
                    Arc::new(self.sample_values.finish()),
                ],
            ),
            histograms: batch(
                &HISTOGRAMS_SCHEMA,
                vec![
                    Arc::new(self.histogram_series.finish()),
                    Arc::new(self.histogram_timestamps.finish()),
                    Arc::new(self.histogram_starts.finish()),
                    Arc::new(self.histograms.finish()),
                ],
            ),
            exemplars: batch(
                &EXEMPLARS_SCHEMA,
                vec![
                    Arc::new(self.exemplar_series.finish()),
                    Arc::new(self.exemplar_timestamps.finish()),
                    Arc::new(self.exemplar_values.finish()),
                    Arc::new(self.exemplar_labels.finish()),
                ],
            ),
        }
    }
}
