//! What a query results in: the four types of the language, as the doors encode them.

use std::fmt;

use model::Labels;
use model::histogram::NativeHistogram;

/// The types of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// A sample per series at one moment.
    Vector,
    /// Samples per series over a range of time.
    Matrix,
    /// One number.
    Scalar,
    /// One text.
    String,
}

impl ValueType {
    /// The name as `resultType` of the API has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ValueType::Vector => "vector",
            ValueType::Matrix => "matrix",
            ValueType::Scalar => "scalar",
            ValueType::String => "string",
        }
    }

    /// The name as error messages have it.
    #[must_use]
    pub const fn described(self) -> &'static str {
        match self {
            ValueType::Vector => "instant vector",
            ValueType::Matrix => "range vector",
            ValueType::Scalar => "scalar",
            ValueType::String => "string",
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One value of a series at a moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Point {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Box<NativeHistogram>),
}

impl Point {
    /// The number; none for a histogram.
    #[must_use]
    pub fn float(&self) -> Option<f64> {
        match self {
            Point::Float(value) => Some(*value),
            Point::Histogram(_) => None,
        }
    }

    /// As how many samples it counts where a query's are counted.
    #[must_use]
    pub fn weight_in_samples(&self) -> u64 {
        match self {
            Point::Float(_) => 1,
            Point::Histogram(histogram) => histogram.weight_in_samples(),
        }
    }
}

/// A series with its points, ascending in time.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesValues {
    /// The series' labels.
    pub labels: Labels,
    /// Timestamps in milliseconds, and values.
    pub points: Vec<(i64, Point)>,
}

/// The result of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Series sorted by their labels; none without a point.
    Matrix(Vec<SeriesValues>),
    /// Labels, timestamp in milliseconds and value; sorted by labels where the query does not sort.
    Vector(Vec<(Labels, i64, Point)>),
    /// Timestamp in milliseconds and number.
    Scalar(i64, f64),
    /// Timestamp in milliseconds and text.
    String(i64, String),
}

impl Value {
    /// Its type.
    #[must_use]
    pub const fn value_type(&self) -> ValueType {
        match self {
            Value::Matrix(_) => ValueType::Matrix,
            Value::Vector(_) => ValueType::Vector,
            Value::Scalar(..) => ValueType::Scalar,
            Value::String(..) => ValueType::String,
        }
    }

    /// How many series it has; a scalar or a text counts as one.
    #[must_use]
    pub fn series(&self) -> usize {
        match self {
            Value::Matrix(series) => series.len(),
            Value::Vector(samples) => samples.len(),
            Value::Scalar(..) | Value::String(..) => 1,
        }
    }

    /// Keeps at most so many series; true where some were left out.
    pub fn limit(&mut self, series: usize) -> bool {
        let cut = self.series() > series;
        match self {
            Value::Matrix(all) => all.truncate(series),
            Value::Vector(all) => all.truncate(series),
            Value::Scalar(..) | Value::String(..) => return false,
        }
        cut
    }
}
