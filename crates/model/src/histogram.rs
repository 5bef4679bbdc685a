//! Native histograms: as a value, and as a column of plain lists.
//!
//! The shape is Prometheus': exponential buckets of a schema between -4 and 8, or custom bounds (schema -53).
//! Counts are floating-point numbers; integer histograms fit exactly up to 2^53.

use std::f64::consts::SQRT_2;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Array, Float64Builder, Int8Array, Int8Builder, Int32Builder, ListArray,
    ListBuilder, PrimitiveArray, StructArray, UInt32Builder,
};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, Fields, Float64Type, Int32Type, UInt32Type};

/// The schema number of histograms with custom bounds.
pub const CUSTOM_BUCKETS_SCHEMA: i8 = -53;

/// What is known about a counter reset before a histogram sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(i8)]
pub enum ResetHint {
    /// Nothing; compare with the one before.
    #[default]
    Unknown = 0,
    /// There was a reset.
    Reset = 1,
    /// There was none.
    NoReset = 2,
    /// A gauge histogram: resets mean nothing.
    Gauge = 3,
}

/// A run of buckets that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Buckets between the end of the last span (or index 0 for the first) and this one.
    pub offset: i32,
    /// Buckets in the run.
    pub length: u32,
}

/// One native histogram sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NativeHistogram {
    /// What is known about a reset before it.
    pub reset_hint: ResetHint,
    /// Resolution: bucket bounds grow by `2^(2^-schema)`; [`CUSTOM_BUCKETS_SCHEMA`] for custom bounds.
    pub schema: i8,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of all observations.
    pub sum: f64,
    /// Where the positive buckets are.
    pub positive_spans: Vec<Span>,
    /// Observations per positive bucket, absolute (not deltas).
    pub positive_counts: Vec<f64>,
    /// Where the negative buckets are.
    pub negative_spans: Vec<Span>,
    /// Observations per negative bucket, absolute.
    pub negative_counts: Vec<f64>,
    /// Upper bounds for custom buckets, ascending, without the last one of +Inf.
    pub custom_bounds: Vec<f64>,
}

impl NativeHistogram {
    /// As how many samples it counts where a query's are counted: sixteen bytes of memory are one, as in Prometheus.
    #[must_use]
    pub fn weight_in_samples(&self) -> u64 {
        let listed = [
            self.positive_spans.len(),
            self.negative_spans.len(),
            self.positive_counts.len(),
            self.negative_counts.len(),
            self.custom_bounds.len(),
        ];
        (22 + listed.iter().sum::<usize>() as u64) * 8 / 16
    }

    /// Whether spans and counts fit together, and the schema is one that is known.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let fits = |spans: &[Span], counts: &[f64]| {
            spans.iter().map(|s| u64::from(s.length)).sum::<u64>() == counts.len() as u64
                && spans.iter().skip(1).all(|s| s.offset >= 0)
        };
        let custom = self.schema == CUSTOM_BUCKETS_SCHEMA;
        fits(&self.positive_spans, &self.positive_counts)
            && fits(&self.negative_spans, &self.negative_counts)
            && (custom || (-4..=8).contains(&self.schema))
            && (!custom || (self.negative_spans.is_empty() && self.zero_count == 0.0))
            && self.custom_bounds.windows(2).all(|w| w[0] < w[1])
    }
}

const LISTS: [(&str, DataType); 7] = [
    ("positive_offsets", DataType::Int32),
    ("positive_lengths", DataType::UInt32),
    ("positive_counts", DataType::Float64),
    ("negative_offsets", DataType::Int32),
    ("negative_lengths", DataType::UInt32),
    ("negative_counts", DataType::Float64),
    ("custom_bounds", DataType::Float64),
];

fn fields() -> Fields {
    let scalar = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    let mut fields = vec![
        scalar("reset_hint", DataType::Int8),
        scalar("schema", DataType::Int8),
        scalar("zero_threshold", DataType::Float64),
        scalar("zero_count", DataType::Float64),
        scalar("count", DataType::Float64),
        scalar("sum", DataType::Float64),
    ];
    fields.extend(LISTS.into_iter().map(|(name, item)| {
        Field::new(name, DataType::List(Arc::new(Field::new("item", item, true))), false)
    }));
    Fields::from(fields)
}

/// The type of a histogram column.
#[must_use]
pub fn histogram_type() -> DataType {
    DataType::Struct(fields())
}

/// Builds a histogram column.
#[derive(Debug, Default)]
pub struct HistogramsBuilder {
    reset_hint: Int8Builder,
    schema: Int8Builder,
    zero_threshold: Float64Builder,
    zero_count: Float64Builder,
    count: Float64Builder,
    sum: Float64Builder,
    positive_offsets: ListBuilder<Int32Builder>,
    positive_lengths: ListBuilder<UInt32Builder>,
    positive_counts: ListBuilder<Float64Builder>,
    negative_offsets: ListBuilder<Int32Builder>,
    negative_lengths: ListBuilder<UInt32Builder>,
    negative_counts: ListBuilder<Float64Builder>,
    custom_bounds: ListBuilder<Float64Builder>,
    validity: Vec<bool>,
}

impl HistogramsBuilder {
    /// Adds a row.
    pub fn push(&mut self, h: &NativeHistogram) {
        self.reset_hint.append_value(h.reset_hint as i8);
        self.schema.append_value(h.schema);
        self.zero_threshold.append_value(h.zero_threshold);
        self.zero_count.append_value(h.zero_count);
        self.count.append_value(h.count);
        self.sum.append_value(h.sum);
        self.positive_offsets.append_value(h.positive_spans.iter().map(|s| Some(s.offset)));
        self.positive_lengths.append_value(h.positive_spans.iter().map(|s| Some(s.length)));
        self.positive_counts.append_value(h.positive_counts.iter().map(|c| Some(*c)));
        self.negative_offsets.append_value(h.negative_spans.iter().map(|s| Some(s.offset)));
        self.negative_lengths.append_value(h.negative_spans.iter().map(|s| Some(s.length)));
        self.negative_counts.append_value(h.negative_counts.iter().map(|c| Some(*c)));
        self.custom_bounds.append_value(h.custom_bounds.iter().map(|c| Some(*c)));
        self.validity.push(true);
    }

    /// Adds a row without a histogram.
    pub fn push_null(&mut self) {
        self.push(&NativeHistogram::default());
        if let Some(last) = self.validity.last_mut() {
            *last = false;
        }
    }

    /// Rows so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.validity.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.validity.is_empty()
    }

    /// The column; the builder is empty afterwards.
    pub fn finish(&mut self) -> StructArray {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.reset_hint.finish()),
            Arc::new(self.schema.finish()),
            Arc::new(self.zero_threshold.finish()),
            Arc::new(self.zero_count.finish()),
            Arc::new(self.count.finish()),
            Arc::new(self.sum.finish()),
            Arc::new(self.positive_offsets.finish()),
            Arc::new(self.positive_lengths.finish()),
            Arc::new(self.positive_counts.finish()),
            Arc::new(self.negative_offsets.finish()),
            Arc::new(self.negative_lengths.finish()),
            Arc::new(self.negative_counts.finish()),
            Arc::new(self.custom_bounds.finish()),
        ];
        let validity = std::mem::take(&mut self.validity);
        let nulls = validity.contains(&false).then(|| validity.into());
        StructArray::new(fields(), columns, nulls)
    }
}

/// Reads a histogram column.
#[derive(Clone, Copy, Debug)]
pub struct HistogramsView<'a> {
    column: &'a StructArray,
}

impl<'a> HistogramsView<'a> {
    /// Looks at a column; `None` where it is not of [`histogram_type`].
    #[must_use]
    pub fn new(column: &'a dyn Array) -> Option<Self> {
        let column = column.as_any().downcast_ref::<StructArray>()?;
        let fits = column.fields().iter().zip(fields().iter()).all(|(have, want)| {
            have.name() == want.name() && have.data_type().equals_datatype(want.data_type())
        });
        (fits && column.num_columns() == fields().len()).then_some(Self { column })
    }

    /// The histogram of a row; `None` where the row has none.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<NativeHistogram> {
        if self.column.is_null(row) {
            return None;
        }
        Some(NativeHistogram {
            reset_hint: match self.int8(0, row) {
                1 => ResetHint::Reset,
                2 => ResetHint::NoReset,
                3 => ResetHint::Gauge,
                _ => ResetHint::Unknown,
            },
            schema: self.int8(1, row),
            zero_threshold: self.double(2, row),
            zero_count: self.double(3, row),
            count: self.double(4, row),
            sum: self.double(5, row),
            positive_spans: self.spans(6, row),
            positive_counts: self.list::<Float64Type>(8, row),
            negative_spans: self.spans(9, row),
            negative_counts: self.list::<Float64Type>(11, row),
            custom_bounds: self.list::<Float64Type>(12, row),
        })
    }

    fn int8(&self, column: usize, row: usize) -> i8 {
        self.typed::<Int8Array>(column).value(row)
    }

    fn double(&self, column: usize, row: usize) -> f64 {
        self.typed::<Float64Array>(column).value(row)
    }

    fn spans(&self, column: usize, row: usize) -> Vec<Span> {
        let offsets = self.list::<Int32Type>(column, row);
        let lengths = self.list::<UInt32Type>(column + 1, row);
        offsets.into_iter().zip(lengths).map(|(offset, length)| Span { offset, length }).collect()
    }

    fn list<T: ArrowPrimitiveType>(&self, column: usize, row: usize) -> Vec<T::Native> {
        let values = self.typed::<ListArray>(column).value(row);
        let values = values.as_any().downcast_ref::<PrimitiveArray<T>>();
        values.expect("the type was compared when the view was made").values().to_vec()
    }

    fn typed<A: 'static>(&self, column: usize) -> &'a A {
        let array = self.column.column(column).as_any().downcast_ref::<A>();
        array.expect("the type was compared when the view was made")
    }
}

/// Roots of two: the square root, the root of that, and so on. The first is one below the number nearest to it, as in
/// the table that Prometheus' bounds come from, so that the products of these are the same numbers.
const ROOTS: [f64; 8] = [
    SQRT_2.next_down(),
    1.189_207_115_002_721,
    1.090_507_732_665_257_7,
    1.044_273_782_427_413_8,
    1.021_897_148_654_116_6,
    1.010_889_286_051_700_5,
    1.005_429_901_112_802_7,
    1.002_711_275_050_202_5,
];

/// The upper bound of a bucket on the positive side of an exponential schema: the bits of Prometheus' number.
#[must_use]
pub fn upper_bound(schema: i8, index: i64) -> f64 {
    let (whole, part) = if schema <= 0 {
        (index.saturating_mul(1 << schema.unsigned_abs().min(16)), 0)
    } else {
        let per_power = 1_i64 << schema.min(16);
        (index.div_euclid(per_power), index.rem_euclid(per_power))
    };
    if whole >= 1_024 {
        // The last bucket before the one of infinity ends at the largest number.
        return if whole == 1_024 && part == 0 { f64::MAX } else { f64::INFINITY };
    }
    let bits = (0..schema.clamp(0, 16)).rev();
    let mut bound = 1.0;
    for (root, bit) in ROOTS.iter().zip(bits) {
        if part >> bit & 1 == 1 {
            bound *= root;
        }
    }
    let whole = i32::try_from(whole.max(-2_000)).expect("clamped to a few thousand");
    // In halves, because 2^1074 is no number, and 1 / 2^1074 is the smallest of all.
    let half = whole / 2;
    bound * 2.0_f64.powi(half) * 2.0_f64.powi(whole - half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_comes_back_as_it_went_in() {
        let histogram = NativeHistogram {
            reset_hint: ResetHint::NoReset,
            schema: 3,
            zero_threshold: 1e-9,
            zero_count: 2.0,
            count: 9.0,
            sum: 12.5,
            positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }],
            positive_counts: vec![1.0, 2.0, 3.0],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            negative_counts: vec![1.0],
            custom_bounds: vec![],
        };
        assert!(histogram.is_valid());
        let mut builder = HistogramsBuilder::default();
        builder.push(&histogram);
        builder.push_null();
        let column = builder.finish();
        let view = HistogramsView::new(&column).unwrap();
        assert_eq!(view.get(0), Some(histogram));
        assert_eq!(view.get(1), None);
    }

    #[test]
    fn counts_must_fit_their_spans() {
        let histogram = NativeHistogram {
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_counts: vec![1.0],
            ..NativeHistogram::default()
        };
        assert!(!histogram.is_valid());
    }

    #[test]
    fn bounds_are_those_of_prometheus() {
        for (schema, index, bound) in [
            (0, 0, 1.0),
            (0, -3, 0.125),
            (1, 1, SQRT_2.next_down()),
            (1, -1, SQRT_2.next_down() / 2.0),
            (2, 1, 1.189_207_115_002_721),
            (2, 7, 3.363_585_661_014_857_6),
            (8, 255, 1.994_592_112_170_939_6),
            (-2, 2, 256.0),
            (-4, 64, f64::MAX),
            (3, 8_192, f64::MAX),
            (3, 8_193, f64::INFINITY),
            (0, -1_074, 5e-324),
            (0, i64::MIN, 0.0),
            (-4, i64::MAX, f64::INFINITY),
        ] {
            assert_eq!(upper_bound(schema, index), bound, "{schema} {index}");
        }
    }
}
