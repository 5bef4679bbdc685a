//! What the grammar lets through and still makes no sense.

use model::Matcher;

use super::stage::needs_value;
use crate::ast::{Grouping, RangeOp, VectorOp};
use crate::error::ParseError;

/// A query must narrow the streams.
pub(super) fn check_matchers(matchers: &[Matcher]) -> Result<(), ParseError> {
    if matchers.iter().any(needs_value) {
        return Ok(());
    }
    Err(ParseError::Whole(
        "queries require at least one regexp or equality matcher that does not have an empty-compatible value. For \
         instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will"
            .into(),
    ))
}

/// Which range aggregations go with `unwrap`, a parameter and grouping.
pub(super) fn check_range(
    op: RangeOp,
    unwrapped: bool,
    param: Option<f64>,
    grouping: Option<&Grouping>,
) -> Result<(), ParseError> {
    use RangeOp as R;
    let word = op.as_str();
    let needs_unwrap =
        !matches!(op, R::CountOverTime | R::Rate | R::BytesOverTime | R::BytesRate | R::AbsentOverTime);
    let message = if needs_unwrap && !unwrapped {
        format!("invalid aggregation {word} without unwrap")
    } else if unwrapped && matches!(op, R::CountOverTime | R::BytesOverTime | R::BytesRate) {
        format!("invalid aggregation {word} with unwrap")
    } else if op == R::QuantileOverTime && param.is_none() {
        format!("parameter required for operation {word}")
    } else if op != R::QuantileOverTime && param.is_some() {
        format!("parameter {} not supported for operation {word}", param.unwrap_or_default())
    } else if grouping.is_some() && !takes_grouping(op) {
        format!("grouping not allowed for {word} aggregation")
    } else {
        return Ok(());
    };
    Err(ParseError::Whole(message))
}

fn takes_grouping(op: RangeOp) -> bool {
    use RangeOp as R;
    matches!(
        op,
        R::AvgOverTime
            | R::MinOverTime
            | R::MaxOverTime
            | R::StdvarOverTime
            | R::StddevOverTime
            | R::QuantileOverTime
            | R::FirstOverTime
            | R::LastOverTime
    )
}

/// Which vector aggregations go with a parameter and grouping.
pub(super) fn check_vector(
    op: VectorOp,
    param: Option<f64>,
    grouping: Option<&Grouping>,
) -> Result<Option<u32>, ParseError> {
    let word = op.as_str();
    let fail = |message: String| Err(ParseError::Whole(message));
    if grouping.is_some() && matches!(op, VectorOp::Sort | VectorOp::SortDesc) {
        return fail(format!("grouping not allowed for {word} aggregation"));
    }
    match (op.takes_k(), param) {
        (false, None) => Ok(None),
        (false, Some(param)) => fail(format!("unsupported parameter for operation {word}({param},")),
        (true, None) => fail(format!("parameter required for operation {word}")),
        (true, Some(k)) => {
            if !(k >= 1.0 && k <= f64::from(u32::MAX) && k.fract() == 0.0) {
                return fail(format!("invalid parameter (must be greater than 0) {word}({k}"));
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "k is checked to fit"
            )]
            Ok(Some(k as u32))
        }
    }
}
