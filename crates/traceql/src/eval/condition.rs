//! Conditions on spans, ready to run: constants folded, regular expressions compiled, no `nil` left.

use regex::{Regex, RegexBuilder};

use super::field::{Field, Visit};
use super::trace::Trace;
use super::{Mask, is_empty, join};
use crate::ast::{ArithmeticOp, BinaryOp, CompareOp, FieldExpr, Intrinsic, Static, UnaryOp};
use crate::error::PlanError;
use crate::value::Value;

/// The most memory that one compiled regular expression may take, in bytes.
const MAX_REGEX_BYTES: usize = 4 << 20;

/// What has values at a span.
#[derive(Debug)]
pub(crate) enum Operand {
    /// `nil`.
    Nothing,
    Constant(Value<'static>),
    Field(Field),
    Negate(Box<Operand>),
    Arithmetic(ArithmeticOp, Box<Operand>, Box<Operand>),
    Condition(Box<Condition>),
}

/// What is true or false at a span.
#[derive(Debug)]
pub(crate) enum Condition {
    Constant(bool),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
    /// Whether there is a value, compared with whether there should be one.
    Exists(Operand, bool),
    /// Whether a value is this truth.
    Is(Operand, bool),
    Compare(Operand, CompareOp, Operand),
    Matches {
        operand: Operand,
        regex: Regex,
        negated: bool,
    },
}

impl Operand {
    /// Makes an expression ready to run.
    pub(crate) fn new(expr: &FieldExpr) -> Result<Self, PlanError> {
        Ok(match expr {
            FieldExpr::Static(value) => {
                let value = Value::of_static(value).map(Value::into_static);
                value.map_or(Operand::Nothing, Operand::Constant)
            }
            FieldExpr::Attribute(attribute) => Operand::Field(Field::Attribute(attribute.clone())),
            FieldExpr::Intrinsic(intrinsic) => Operand::Field(Field::Intrinsic(*intrinsic)),
            FieldExpr::Unary { op: UnaryOp::Negate, expr } => match Operand::new(expr)? {
                Operand::Constant(value) => value.negate().map_or(Operand::Nothing, Operand::Constant),
                other => Operand::Negate(Box::new(other)),
            },
            FieldExpr::Binary { op: BinaryOp::Arithmetic(op), lhs, rhs } => {
                match (Operand::new(lhs)?, Operand::new(rhs)?) {
                    (Operand::Constant(a), Operand::Constant(b)) => {
                        a.calculate(*op, &b).map_or(Operand::Nothing, Operand::Constant)
                    }
                    (lhs, rhs) => Operand::Arithmetic(*op, Box::new(lhs), Box::new(rhs)),
                }
            }
            FieldExpr::Unary { op: UnaryOp::Not, .. } | FieldExpr::Binary { .. } => {
                Operand::Condition(Box::new(Condition::new(expr)?))
            }
        })
    }

    /// Asks every value at a span; true as soon as one answer is.
    pub(crate) fn any(&self, trace: &Trace<'_>, row: usize, visit: Visit<'_>) -> bool {
        match self {
            Operand::Nothing => false,
            Operand::Constant(value) => visit(value),
            Operand::Field(field) => field.any(trace, row, visit),
            Operand::Negate(operand) => {
                operand.any(trace, row, &mut |value| value.negate().is_some_and(|value| visit(&value)))
            }
            Operand::Arithmetic(op, lhs, rhs) => lhs.any(trace, row, &mut |a| {
                rhs.any(trace, row, &mut |b| a.calculate(*op, b).is_some_and(|value| visit(&value)))
            }),
            Operand::Condition(condition) => visit(&Value::Bool(condition.test(trace, row))),
        }
    }
}

impl Condition {
    /// Makes an expression ready to run.
    pub(crate) fn new(expr: &FieldExpr) -> Result<Self, PlanError> {
        let both = |lhs, rhs| Ok((Box::new(Condition::new(lhs)?), Box::new(Condition::new(rhs)?)));
        Ok(match expr {
            FieldExpr::Static(Static::Bool(value)) => Condition::Constant(*value),
            FieldExpr::Unary { op: UnaryOp::Not, expr } => match Operand::new(expr)? {
                Operand::Condition(condition) => Condition::Not(condition),
                operand => Condition::Is(operand, false),
            },
            FieldExpr::Binary { op: BinaryOp::And, lhs, rhs } => {
                let (lhs, rhs) = both(lhs, rhs)?;
                Condition::And(lhs, rhs)
            }
            FieldExpr::Binary { op: BinaryOp::Or, lhs, rhs } => {
                let (lhs, rhs) = both(lhs, rhs)?;
                Condition::Or(lhs, rhs)
            }
            FieldExpr::Binary { op: BinaryOp::Compare(op), lhs, rhs } => comparison(*op, lhs, rhs)?,
            other => Condition::Is(Operand::new(other)?, true),
        })
    }

    /// Which of the spans within the mask meet the condition.
    pub(crate) fn mask(&self, trace: &Trace<'_>, within: &[bool]) -> Mask {
        match self {
            Condition::Constant(true) => within.to_vec(),
            Condition::Constant(false) => vec![false; within.len()],
            Condition::And(lhs, rhs) => {
                let left = lhs.mask(trace, within);
                if is_empty(&left) { left } else { rhs.mask(trace, &left) }
            }
            Condition::Or(lhs, rhs) => {
                let left = lhs.mask(trace, within);
                let rest: Mask = within.iter().zip(&left).map(|(within, left)| *within && !left).collect();
                if is_empty(&rest) { left } else { join(rhs.mask(trace, &rest), &left) }
            }
            Condition::Not(condition) => {
                let inner = condition.mask(trace, within);
                within.iter().zip(&inner).map(|(within, inner)| *within && !inner).collect()
            }
            leaf => within.iter().enumerate().map(|(row, within)| *within && leaf.test(trace, row)).collect(),
        }
    }

    fn test(&self, trace: &Trace<'_>, row: usize) -> bool {
        match self {
            Condition::Constant(value) => *value,
            Condition::And(lhs, rhs) => lhs.test(trace, row) && rhs.test(trace, row),
            Condition::Or(lhs, rhs) => lhs.test(trace, row) || rhs.test(trace, row),
            Condition::Not(condition) => !condition.test(trace, row),
            Condition::Exists(operand, wanted) => operand.any(trace, row, &mut |_| true) == *wanted,
            Condition::Is(operand, wanted) => operand.any(trace, row, &mut |v| *v == Value::Bool(*wanted)),
            Condition::Compare(lhs, op, Operand::Constant(b)) => {
                lhs.any(trace, row, &mut |a| a.compare(*op, b))
            }
            Condition::Compare(lhs, op, rhs) => {
                lhs.any(trace, row, &mut |a| rhs.any(trace, row, &mut |b| a.compare(*op, b)))
            }
            Condition::Matches { operand, regex, negated } => {
                operand.any(trace, row, &mut |value| value.matches(regex, *negated))
            }
        }
    }
}

fn comparison(op: CompareOp, lhs: &FieldExpr, rhs: &FieldExpr) -> Result<Condition, PlanError> {
    if let CompareOp::Regex | CompareOp::NotRegex = op {
        let FieldExpr::Static(Static::String(text)) = rhs else {
            return Err(PlanError::DynamicRegex(rhs.to_string()));
        };
        let negated = op == CompareOp::NotRegex;
        return Ok(Condition::Matches { operand: Operand::new(lhs)?, regex: regex(text)?, negated });
    }
    Ok(match (Operand::new(lhs)?, Operand::new(rhs)?) {
        (operand, Operand::Nothing) | (Operand::Nothing, operand) => {
            Condition::Exists(operand, op == CompareOp::NotEqual)
        }
        (Operand::Constant(a), Operand::Constant(b)) => Condition::Constant(a.compare(op, &b)),
        (Operand::Constant(value), field) => constant_comparison(field, op.mirrored(), value),
        (field, Operand::Constant(value)) => constant_comparison(field, op, value),
        (lhs, rhs) => Condition::Compare(lhs, op, rhs),
    })
}

/// Ids compare as they are kept: lower case, with their leading zeros.
fn constant_comparison(field: Operand, op: CompareOp, value: Value<'static>) -> Condition {
    let digits = match &field {
        Operand::Field(Field::Intrinsic(Intrinsic::TraceId | Intrinsic::LinkTraceId)) => 32,
        Operand::Field(Field::Intrinsic(Intrinsic::SpanId | Intrinsic::ParentId | Intrinsic::LinkSpanId)) => {
            16
        }
        _ => 0,
    };
    let value = match value {
        Value::String(id) if digits > 0 => {
            Value::String(format!("{:0>digits$}", id.to_ascii_lowercase()).into())
        }
        value => value,
    };
    Condition::Compare(field, op, Operand::Constant(value))
}

/// Compiles an expression that must match a whole text; `.` matches a line feed too.
fn regex(text: &str) -> Result<Regex, PlanError> {
    let built = RegexBuilder::new(&format!("^(?s:{text})$")).size_limit(MAX_REGEX_BYTES).build();
    built.map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
        PlanError::Regex(format!("{reason}: `{text}`"))
    })
}
