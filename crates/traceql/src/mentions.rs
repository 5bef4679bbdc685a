//! What a query mentions: the fields that its answers show, and the service that it cannot do without.

use crate::ast::{
    Aggregate, Attribute, BinaryOp, CompareOp, FieldExpr, Intrinsic, ScalarExpr, Scope, SpansetExpr,
    SpansetOp, Stage, Static, StructuralMode,
};

/// The fields of the stages, in the order of the text; one that is mentioned twice is there twice.
pub(crate) fn fields<'q>(stages: &'q [Stage], found: &mut Vec<&'q FieldExpr>) {
    for stage in stages {
        match stage {
            Stage::Spanset(expr) => of_spanset(expr, found),
            Stage::Scalar(filter) => {
                of_scalar(&filter.lhs, found);
                of_scalar(&filter.rhs, found);
            }
            Stage::By(expr) => of_field(expr, found),
            Stage::Select(exprs) => exprs.iter().for_each(|expr| of_field(expr, found)),
            Stage::Coalesce => {}
        }
    }
}

fn of_spanset<'q>(expr: &'q SpansetExpr, found: &mut Vec<&'q FieldExpr>) {
    match expr {
        SpansetExpr::Filter(condition) => of_field(condition, found),
        SpansetExpr::Binary { lhs, rhs, .. } => {
            of_spanset(lhs, found);
            of_spanset(rhs, found);
        }
        SpansetExpr::Pipeline(stages) => fields(stages, found),
    }
}

fn of_scalar<'q>(expr: &'q ScalarExpr, found: &mut Vec<&'q FieldExpr>) {
    match expr {
        ScalarExpr::Static(_) | ScalarExpr::Aggregate(Aggregate::Count) => {}
        ScalarExpr::Aggregate(Aggregate::Of(_, field)) => of_field(field, found),
        ScalarExpr::Binary { lhs, rhs, .. } => {
            of_scalar(lhs, found);
            of_scalar(rhs, found);
        }
    }
}

fn of_field<'q>(expr: &'q FieldExpr, found: &mut Vec<&'q FieldExpr>) {
    match expr {
        FieldExpr::Static(_) => {}
        FieldExpr::Attribute(_) | FieldExpr::Intrinsic(_) => found.push(expr),
        FieldExpr::Unary { expr, .. } => of_field(expr, found),
        FieldExpr::Binary { lhs, rhs, .. } => {
            of_field(lhs, found);
            of_field(rhs, found);
        }
    }
}

/// The condition that a span of every trace that answers must meet, where it can be judged by that span alone.
pub(crate) fn span_condition(stages: &[Stage]) -> Option<&FieldExpr> {
    let Stage::Spanset(SpansetExpr::Filter(condition)) = stages.first()? else { return None };
    let mut fields = Vec::new();
    of_field(condition, &mut fields);
    let of_the_span_alone = |field: &&FieldExpr| match field {
        FieldExpr::Attribute(attribute) => !attribute.parent,
        FieldExpr::Intrinsic(intrinsic) => matches!(
            intrinsic,
            Intrinsic::Name
                | Intrinsic::Status
                | Intrinsic::StatusMessage
                | Intrinsic::Duration
                | Intrinsic::Kind
                | Intrinsic::EventName
                | Intrinsic::InstrumentationName
                | Intrinsic::InstrumentationVersion
        ),
        _ => false,
    };
    (!fields.is_empty() && fields.iter().all(of_the_span_alone)).then_some(condition)
}

/// The name of a service of which every trace that answers the stages has a span.
pub(crate) fn service(stages: &[Stage]) -> Option<&str> {
    match stages.first()? {
        Stage::Spanset(expr) => service_of_spanset(expr),
        _ => None,
    }
}

fn service_of_spanset(expr: &SpansetExpr) -> Option<&str> {
    let (op, lhs, rhs) = match expr {
        SpansetExpr::Filter(condition) => return service_of_condition(condition),
        SpansetExpr::Pipeline(stages) => return service(stages),
        SpansetExpr::Binary { op, lhs, rhs } => (op, lhs, rhs),
    };
    match op {
        SpansetOp::Or => {
            let left = service_of_spanset(lhs)?;
            (service_of_spanset(rhs) == Some(left)).then_some(left)
        }
        SpansetOp::Structural { mode: StructuralMode::Negated, .. } => service_of_spanset(rhs),
        SpansetOp::And | SpansetOp::Structural { .. } => {
            service_of_spanset(lhs).or_else(|| service_of_spanset(rhs))
        }
    }
}

fn service_of_condition(expr: &FieldExpr) -> Option<&str> {
    let FieldExpr::Binary { op, lhs, rhs } = expr else { return None };
    match (op, &**lhs, &**rhs) {
        (BinaryOp::And, lhs, rhs) => service_of_condition(lhs).or_else(|| service_of_condition(rhs)),
        (
            BinaryOp::Compare(CompareOp::Equal),
            FieldExpr::Attribute(Attribute { scope: Scope::Resource, parent: false, name }),
            FieldExpr::Static(Static::String(value)),
        ) if name == "service.name" => Some(value),
        _ => None,
    }
}
