//! Values that are computed over a spanset, ready to run.

use super::condition::Operand;
use super::trace::Trace;
use crate::ast::{Aggregate, AggregateOp, ArithmeticOp, CompareOp, ScalarExpr, ScalarFilter};
use crate::error::PlanError;
use crate::value::Value;

/// A comparison of two scalars.
#[derive(Debug)]
pub(crate) struct Comparison {
    op: CompareOp,
    lhs: Scalar,
    rhs: Scalar,
}

#[derive(Debug)]
enum Scalar {
    Constant(Value<'static>),
    Count,
    Of { op: AggregateOp, operand: Operand, text: String },
    Binary(ArithmeticOp, Box<Scalar>, Box<Scalar>),
}

/// The value of each aggregate, by its text: `count()`.
pub(crate) type Shown = Vec<(String, Value<'static>)>;

impl Comparison {
    /// Makes a comparison ready to run.
    pub(crate) fn new(filter: &ScalarFilter) -> Result<Self, PlanError> {
        Ok(Self { op: filter.op, lhs: Scalar::new(&filter.lhs)?, rhs: Scalar::new(&filter.rhs)? })
    }

    /// Whether the comparison holds for the rows, and the aggregates that it was decided by. A scalar of which no
    /// span has a value compares with nothing.
    pub(crate) fn test(&self, trace: &Trace<'_>, rows: &[usize]) -> Option<Shown> {
        let mut shown = Vec::new();
        let lhs = self.lhs.value(trace, rows, &mut shown)?;
        let rhs = self.rhs.value(trace, rows, &mut shown)?;
        lhs.compare(self.op, &rhs).then_some(shown)
    }
}

impl Scalar {
    fn new(expr: &ScalarExpr) -> Result<Self, PlanError> {
        Ok(match expr {
            ScalarExpr::Static(value) => {
                let value = Value::of_static(value).map(Value::into_static);
                Scalar::Constant(value.unwrap_or(Value::Float(f64::NAN)))
            }
            ScalarExpr::Aggregate(Aggregate::Count) => Scalar::Count,
            ScalarExpr::Aggregate(aggregate @ Aggregate::Of(op, field)) => {
                Scalar::Of { op: *op, operand: Operand::new(field)?, text: aggregate.to_string() }
            }
            ScalarExpr::Binary { op, lhs, rhs } => {
                Scalar::Binary(*op, Box::new(Scalar::new(lhs)?), Box::new(Scalar::new(rhs)?))
            }
        })
    }

    fn value(&self, trace: &Trace<'_>, rows: &[usize], shown: &mut Shown) -> Option<Value<'static>> {
        match self {
            Scalar::Constant(value) => Some(value.clone()),
            Scalar::Count => {
                let count = Value::Int(i64::try_from(rows.len()).unwrap_or(i64::MAX));
                shown.push((Aggregate::Count.to_string(), count.clone()));
                Some(count)
            }
            Scalar::Of { op, operand, text } => {
                let value = aggregate(*op, operand, trace, rows)?;
                shown.push((text.clone(), value.clone()));
                Some(value)
            }
            Scalar::Binary(op, lhs, rhs) => {
                lhs.value(trace, rows, shown)?.calculate(*op, &rhs.value(trace, rows, shown)?)
            }
        }
    }
}

fn aggregate(
    op: AggregateOp,
    operand: &Operand,
    trace: &Trace<'_>,
    rows: &[usize],
) -> Option<Value<'static>> {
    let mut total: Option<Value<'static>> = None;
    let mut count = 0_i64;
    for row in rows {
        operand.any(trace, *row, &mut |value| {
            let Some(number) = value.calculate(ArithmeticOp::Add, &Value::Int(0)) else { return false };
            count += 1;
            let joined = match (&total, op) {
                (None, _) => Some(number),
                (Some(total), AggregateOp::Sum | AggregateOp::Avg) => {
                    total.calculate(ArithmeticOp::Add, &number)
                }
                (Some(total), AggregateOp::Max) if total.compare(CompareOp::Less, &number) => Some(number),
                (Some(total), AggregateOp::Min) if total.compare(CompareOp::Greater, &number) => Some(number),
                (Some(total), AggregateOp::Max | AggregateOp::Min) => Some(total.clone()),
            };
            total = joined;
            false
        });
    }
    match op {
        AggregateOp::Avg => total?.calculate(ArithmeticOp::Div, &Value::Int(count)),
        AggregateOp::Sum | AggregateOp::Max | AggregateOp::Min => total,
    }
}
