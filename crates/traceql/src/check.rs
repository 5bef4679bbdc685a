//! Whether the types of a query fit. Attributes have any type; what they hold is seen only when spans are read.

use crate::ast::{
    Aggregate, BinaryOp, CompareOp, FieldExpr, Intrinsic, Query, ScalarExpr, ScalarFilter, SpansetExpr,
    Stage, Static, UnaryOp,
};
use crate::error::ParseError;

/// The type of an expression, as far as the text tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    /// Any: it is an attribute's.
    Attribute,
    Nil,
    /// Whole numbers, others, and durations, which all compare with each other.
    Number,
    String,
    Bool,
    Status,
    Kind,
}

impl Type {
    fn fits(self, other: Type) -> bool {
        self == other || [self, other].iter().any(|t| matches!(t, Type::Attribute | Type::Nil))
    }
}

fn wrong<T>(what: &str, expr: impl std::fmt::Display) -> Result<T, ParseError> {
    Err(ParseError::Type(format!("{what}: {expr}")))
}

/// Checks a query.
pub(crate) fn query(query: &Query) -> Result<(), ParseError> {
    pipeline(&query.stages)
}

fn pipeline(stages: &[Stage]) -> Result<(), ParseError> {
    stages.iter().try_for_each(|stage| match stage {
        Stage::Spanset(expr) => spanset(expr),
        Stage::Scalar(filter) => scalar_filter(filter),
        Stage::By(expr) => {
            if !references_span(expr) {
                return wrong("grouping field expressions must reference the span", stage);
            }
            field(expr).map(drop)
        }
        Stage::Coalesce => Ok(()),
        Stage::Select(fields) => fields.iter().try_for_each(|expr| field(expr).map(drop)),
    })
}

fn spanset(expr: &SpansetExpr) -> Result<(), ParseError> {
    match expr {
        SpansetExpr::Filter(condition) => match field(condition)? {
            Type::Attribute | Type::Bool => Ok(()),
            _ => wrong("span filter field expressions must resolve to a boolean", expr),
        },
        SpansetExpr::Binary { lhs, rhs, .. } => spanset(lhs).and_then(|()| spanset(rhs)),
        SpansetExpr::Pipeline(stages) => pipeline(stages),
    }
}

fn scalar_filter(filter: &ScalarFilter) -> Result<(), ParseError> {
    scalar(&filter.lhs)?;
    scalar(&filter.rhs)
}

/// Every scalar is a number; only what aggregates read can be something else.
fn scalar(expr: &ScalarExpr) -> Result<(), ParseError> {
    match expr {
        ScalarExpr::Static(_) | ScalarExpr::Aggregate(Aggregate::Count) => Ok(()),
        ScalarExpr::Aggregate(aggregate @ Aggregate::Of(_, of)) => {
            if !matches!(field(of)?, Type::Attribute | Type::Number) {
                return wrong("aggregate field expressions must resolve to a number type", aggregate);
            }
            if !references_span(of) {
                return wrong("aggregate field expressions must reference the span", aggregate);
            }
            Ok(())
        }
        ScalarExpr::Binary { lhs, rhs, .. } => scalar(lhs).and_then(|()| scalar(rhs)),
    }
}

fn references_span(expr: &FieldExpr) -> bool {
    match expr {
        FieldExpr::Static(_) => false,
        FieldExpr::Attribute(_) | FieldExpr::Intrinsic(_) => true,
        FieldExpr::Unary { expr, .. } => references_span(expr),
        FieldExpr::Binary { lhs, rhs, .. } => references_span(lhs) || references_span(rhs),
    }
}

fn field(expr: &FieldExpr) -> Result<Type, ParseError> {
    match expr {
        FieldExpr::Static(value) => Ok(of_static(value)),
        FieldExpr::Attribute(_) => Ok(Type::Attribute),
        FieldExpr::Intrinsic(intrinsic) => Ok(of_intrinsic(*intrinsic)),
        FieldExpr::Unary { op, expr: operand } => {
            let of_operand = field(operand)?;
            let wanted = match op {
                UnaryOp::Negate => Type::Number,
                UnaryOp::Not => Type::Bool,
            };
            match of_operand == wanted || of_operand == Type::Attribute {
                true => Ok(wanted),
                false => wrong("illegal operation for the given type", expr),
            }
        }
        FieldExpr::Binary { op, lhs, rhs } => {
            let (left, right) = (field(lhs)?, field(rhs)?);
            if !left.fits(right) {
                return wrong("binary operations must operate on the same type", expr);
            }
            if !allows(*op, left) || !allows(*op, right) {
                return wrong("illegal operation for the given types", expr);
            }
            Ok(if matches!(op, BinaryOp::Arithmetic(_)) { Type::Number } else { Type::Bool })
        }
    }
}

fn allows(op: BinaryOp, operand: Type) -> bool {
    if operand == Type::Attribute {
        return true;
    }
    match op {
        BinaryOp::And | BinaryOp::Or => operand == Type::Bool,
        BinaryOp::Compare(CompareOp::Equal | CompareOp::NotEqual) => true,
        BinaryOp::Compare(CompareOp::Regex | CompareOp::NotRegex) => operand == Type::String,
        BinaryOp::Compare(_) => matches!(operand, Type::Number | Type::String),
        BinaryOp::Arithmetic(_) => operand == Type::Number,
    }
}

fn of_static(value: &Static) -> Type {
    match value {
        Static::Nil => Type::Nil,
        Static::Int(_) | Static::Float(_) | Static::Duration(_) => Type::Number,
        Static::String(_) => Type::String,
        Static::Bool(_) => Type::Bool,
        Static::Status(_) => Type::Status,
        Static::Kind(_) => Type::Kind,
    }
}

fn of_intrinsic(intrinsic: Intrinsic) -> Type {
    match intrinsic {
        Intrinsic::Status => Type::Status,
        Intrinsic::Kind => Type::Kind,
        Intrinsic::Duration
        | Intrinsic::ChildCount
        | Intrinsic::TraceDuration
        | Intrinsic::EventTimeSinceStart
        | Intrinsic::NestedSetLeft
        | Intrinsic::NestedSetRight
        | Intrinsic::NestedSetParent => Type::Number,
        Intrinsic::Name
        | Intrinsic::StatusMessage
        | Intrinsic::SpanId
        | Intrinsic::ParentId
        | Intrinsic::TraceId
        | Intrinsic::RootName
        | Intrinsic::RootService
        | Intrinsic::EventName
        | Intrinsic::LinkSpanId
        | Intrinsic::LinkTraceId
        | Intrinsic::InstrumentationName
        | Intrinsic::InstrumentationVersion => Type::String,
    }
}
