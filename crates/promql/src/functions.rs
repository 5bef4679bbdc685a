//! The functions of the language: names, argument types and results. What each computes is in `kernels` (over the
//! samples of a window) and in `functions/*` (over the values of a step).

pub(crate) mod labels;

pub(crate) mod math;

pub(crate) mod quantile;

pub(crate) mod time;

use crate::value::ValueType;
use crate::value::ValueType::{Matrix, Scalar, String as Text, Vector};

/// What a function takes and gives.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// As it is written.
    pub name: &'static str,
    /// The types of its arguments, optional ones included; the last repeats where it is variadic.
    pub args: &'static [ValueType],
    /// How many of the arguments must be given.
    pub required: usize,
    /// How many may be given; none without a bound.
    pub at_most: Option<usize>,
    /// The type of its result.
    pub returns: ValueType,
    /// Whether it must be enabled.
    pub is_experimental: bool,
}

const fn exactly(name: &'static str, args: &'static [ValueType], returns: ValueType) -> Function {
    Function { name, args, required: args.len(), at_most: Some(args.len()), returns, is_experimental: false }
}

const fn optional(
    name: &'static str,
    args: &'static [ValueType],
    required: usize,
    returns: ValueType,
) -> Function {
    Function { name, args, required, at_most: Some(args.len()), returns, is_experimental: false }
}

const fn variadic(
    name: &'static str,
    args: &'static [ValueType],
    required: usize,
    at_most: Option<usize>,
) -> Function {
    Function { name, args, required, at_most, returns: Vector, is_experimental: false }
}

impl Function {
    const fn experimental(self) -> Self {
        Self { is_experimental: true, ..self }
    }
}

/// All functions, sorted by name.
static FUNCTIONS: [Function; 90] = [
    exactly("abs", &[Vector], Vector),
    exactly("absent", &[Vector], Vector),
    exactly("absent_over_time", &[Matrix], Vector),
    exactly("acos", &[Vector], Vector),
    exactly("acosh", &[Vector], Vector),
    exactly("asin", &[Vector], Vector),
    exactly("asinh", &[Vector], Vector),
    exactly("atan", &[Vector], Vector),
    exactly("atanh", &[Vector], Vector),
    exactly("avg_over_time", &[Matrix], Vector),
    exactly("ceil", &[Vector], Vector),
    exactly("changes", &[Matrix], Vector),
    exactly("clamp", &[Vector, Scalar, Scalar], Vector),
    exactly("clamp_max", &[Vector, Scalar], Vector),
    exactly("clamp_min", &[Vector, Scalar], Vector),
    exactly("cos", &[Vector], Vector),
    exactly("cosh", &[Vector], Vector),
    exactly("count_over_time", &[Matrix], Vector),
    optional("day_of_month", &[Vector], 0, Vector),
    optional("day_of_week", &[Vector], 0, Vector),
    optional("day_of_year", &[Vector], 0, Vector),
    optional("days_in_month", &[Vector], 0, Vector),
    exactly("deg", &[Vector], Vector),
    exactly("delta", &[Matrix], Vector),
    exactly("deriv", &[Matrix], Vector),
    exactly("double_exponential_smoothing", &[Matrix, Scalar, Scalar], Vector).experimental(),
    exactly("end", &[], Scalar).experimental(),
    exactly("exp", &[Vector], Vector),
    exactly("first_over_time", &[Matrix], Vector),
    exactly("floor", &[Vector], Vector),
    exactly("histogram_avg", &[Vector], Vector),
    exactly("histogram_count", &[Vector], Vector),
    exactly("histogram_fraction", &[Scalar, Scalar, Vector], Vector),
    exactly("histogram_quantile", &[Scalar, Vector], Vector),
    variadic("histogram_quantiles", &[Vector, Text, Scalar], 3, Some(12)).experimental(),
    exactly("histogram_stddev", &[Vector], Vector),
    exactly("histogram_stdvar", &[Vector], Vector),
    exactly("histogram_sum", &[Vector], Vector),
    optional("hour", &[Vector], 0, Vector),
    exactly("idelta", &[Matrix], Vector),
    exactly("increase", &[Matrix], Vector),
    optional("info", &[Vector, Vector], 1, Vector).experimental(),
    exactly("irate", &[Matrix], Vector),
    variadic("label_join", &[Vector, Text, Text, Text], 3, None),
    exactly("label_replace", &[Vector, Text, Text, Text, Text], Vector),
    exactly("last_over_time", &[Matrix], Vector),
    exactly("ln", &[Vector], Vector),
    exactly("log10", &[Vector], Vector),
    exactly("log2", &[Vector], Vector),
    exactly("mad_over_time", &[Matrix], Vector).experimental(),
    exactly("max_of", &[Scalar, Scalar], Scalar).experimental(),
    exactly("max_over_time", &[Matrix], Vector),
    exactly("min_of", &[Scalar, Scalar], Scalar).experimental(),
    exactly("min_over_time", &[Matrix], Vector),
    optional("minute", &[Vector], 0, Vector),
    optional("month", &[Vector], 0, Vector),
    exactly("pi", &[], Scalar),
    exactly("predict_linear", &[Matrix, Scalar], Vector),
    exactly("present_over_time", &[Matrix], Vector),
    exactly("quantile_over_time", &[Scalar, Matrix], Vector),
    exactly("rad", &[Vector], Vector),
    exactly("range", &[], Scalar).experimental(),
    exactly("rate", &[Matrix], Vector),
    exactly("resets", &[Matrix], Vector),
    optional("round", &[Vector, Scalar], 1, Vector),
    exactly("scalar", &[Vector], Scalar),
    exactly("sgn", &[Vector], Vector),
    exactly("sin", &[Vector], Vector),
    exactly("sinh", &[Vector], Vector),
    exactly("sort", &[Vector], Vector),
    variadic("sort_by_label", &[Vector, Text], 1, None).experimental(),
    variadic("sort_by_label_desc", &[Vector, Text], 1, None).experimental(),
    exactly("sort_desc", &[Vector], Vector),
    exactly("sqrt", &[Vector], Vector),
    exactly("start", &[], Scalar).experimental(),
    exactly("start_timestamp", &[Vector], Vector).experimental(),
    exactly("stddev_over_time", &[Matrix], Vector),
    exactly("stdvar_over_time", &[Matrix], Vector),
    exactly("step", &[], Scalar).experimental(),
    exactly("sum_over_time", &[Matrix], Vector),
    exactly("tan", &[Vector], Vector),
    exactly("tanh", &[Vector], Vector),
    exactly("time", &[], Scalar),
    exactly("timestamp", &[Vector], Vector),
    exactly("ts_of_first_over_time", &[Matrix], Vector).experimental(),
    exactly("ts_of_last_over_time", &[Matrix], Vector).experimental(),
    exactly("ts_of_max_over_time", &[Matrix], Vector).experimental(),
    exactly("ts_of_min_over_time", &[Matrix], Vector).experimental(),
    exactly("vector", &[Scalar], Vector),
    optional("year", &[Vector], 0, Vector),
];

/// All functions, sorted by name.
#[must_use]
pub fn functions() -> &'static [Function] {
    &FUNCTIONS
}

/// The function of that name; letter case counts.
#[must_use]
pub(crate) fn lookup(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok().map(|i| &FUNCTIONS[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_each_is_found() {
        for function in &FUNCTIONS {
            assert_eq!(lookup(function.name).map(|f| f.name), Some(function.name));
        }
        assert_eq!(lookup("Rate"), None);
    }
}
