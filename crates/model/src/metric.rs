//! A batch of metrics: the series that it names, and columns of samples that point to them by number.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, ArrowPrimitiveType, BinaryArray, PrimitiveArray, RecordBatch, StringBuilder};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, UInt8Type, UInt32Type};

use crate::attributes::{AttributesBuilder, attributes_type};
use crate::histogram::{HistogramsBuilder, NativeHistogram, histogram_type};
use crate::labels::LabelsRef;

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
    label_ends: Vec<i32>,
    label_bytes: Vec<u8>,
    types: Vec<u8>,
    units: StringBuilder,
    helps: StringBuilder,
    samples: NumberedColumns,
    sample_values: Vec<f64>,
    sample_starts: Vec<i64>,
    histogram_rows: NumberedColumns,
    histogram_starts: Vec<i64>,
    histograms: HistogramsBuilder,
    exemplars: NumberedColumns,
    exemplar_values: Vec<f64>,
    exemplar_labels: AttributesBuilder,
}

/// The series and the time of rows.
#[derive(Debug, Default)]
struct NumberedColumns {
    series: Vec<u32>,
    timestamps: Vec<i64>,
}

impl NumberedColumns {
    fn push(&mut self, series: u32, timestamp_ms: i64) {
        self.series.push(series);
        self.timestamps.push(timestamp_ms);
    }

    fn finish(&mut self) -> (ArrayRef, ArrayRef) {
        (numbers::<UInt32Type>(&mut self.series), numbers::<Int64Type>(&mut self.timestamps))
    }
}

fn numbers<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(std::mem::take(values).into(), None))
}

impl MetricBatchBuilder {
    /// Adds a series and gives its number.
    pub fn series<'l>(&mut self, labels: impl Into<LabelsRef<'l>>, info: SeriesInfo<'_>) -> u32 {
        let number = u32::try_from(self.types.len()).expect("a batch is bounded far below 2^32 series");
        self.label_bytes.extend_from_slice(labels.into().as_bytes());
        let end = i32::try_from(self.label_bytes.len());
        self.label_ends.push(end.expect("a batch is bounded far below 2^31 bytes"));
        self.types.push(info.metric_type as u8);
        self.units.append_value(info.unit);
        self.helps.append_value(info.help);
        number
    }

    /// Adds a sample; `start_ms` is when the counter began, 0 where unknown.
    pub fn sample(&mut self, series: u32, timestamp_ms: i64, start_ms: i64, value: f64) {
        self.samples.push(series, timestamp_ms);
        self.sample_starts.push(start_ms);
        self.sample_values.push(value);
    }

    /// Adds a native histogram sample.
    pub fn histogram(&mut self, series: u32, timestamp_ms: i64, start_ms: i64, histogram: &NativeHistogram) {
        self.histogram_rows.push(series, timestamp_ms);
        self.histogram_starts.push(start_ms);
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
        self.exemplars.push(series, timestamp_ms);
        self.exemplar_values.push(value);
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
        let series = batch(
            &SERIES_SCHEMA,
            vec![
                self.finish_labels(),
                numbers::<UInt8Type>(&mut self.types),
                Arc::new(self.units.finish()),
                Arc::new(self.helps.finish()),
            ],
        );
        let (numbers_of_samples, timestamps) = self.samples.finish();
        let starts = numbers::<Int64Type>(&mut self.sample_starts);
        let values = numbers::<Float64Type>(&mut self.sample_values);
        let samples = batch(&SAMPLES_SCHEMA, vec![numbers_of_samples, timestamps, starts, values]);
        let (numbers_of_histograms, timestamps) = self.histogram_rows.finish();
        let starts = numbers::<Int64Type>(&mut self.histogram_starts);
        let values = Arc::new(self.histograms.finish());
        let histograms = batch(&HISTOGRAMS_SCHEMA, vec![numbers_of_histograms, timestamps, starts, values]);
        let (numbers_of_exemplars, timestamps) = self.exemplars.finish();
        let values = numbers::<Float64Type>(&mut self.exemplar_values);
        let labels = Arc::new(self.exemplar_labels.finish());
        let exemplars = batch(&EXEMPLARS_SCHEMA, vec![numbers_of_exemplars, timestamps, values, labels]);
        MetricBatch { series, samples, histograms, exemplars }
    }

    fn finish_labels(&mut self) -> ArrayRef {
        let ends = std::mem::take(&mut self.label_ends);
        let bytes = std::mem::take(&mut self.label_bytes);
        let offsets: Vec<i32> = std::iter::once(0).chain(ends).collect();
        Arc::new(BinaryArray::new(OffsetBuffer::new(offsets.into()), bytes.into(), None))
    }
}
