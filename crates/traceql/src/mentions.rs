//! What a query mentions: the fields that its answers show, and the service that it cannot do without.

use model::trace::{AttributeScope, PROMOTED};

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

/// The columns of [`SPANS_SCHEMA`] that every answer needs: ids, structure, times, name, status and service.
///
/// [`SPANS_SCHEMA`]: model::trace::SPANS_SCHEMA
const ALWAYS: [&str; 8] = [
    "trace_id",
    "span_id",
    "parent_span_id",
    "name",
    "start_ns",
    "duration_ns",
    "status_code",
    "resource.service.name",
];

/// Names of the columns that hold what the fields ask for, in no order.
pub(crate) fn columns(fields: &[&FieldExpr]) -> Vec<&'static str> {
    let mut columns = ALWAYS.to_vec();
    for field in fields {
        match field {
            FieldExpr::Attribute(attribute) => of_attribute(attribute, &mut columns),
            FieldExpr::Intrinsic(intrinsic) => columns.extend(of_intrinsic(*intrinsic)),
            _ => {}
        }
    }
    columns
}

fn of_attribute(attribute: &Attribute, columns: &mut Vec<&'static str>) {
    let mut of = |list, scope| {
        columns.push(list);
        let promoted = PROMOTED.iter().filter(|p| p.scope == scope && p.key == attribute.name);
        columns.extend(promoted.map(|promoted| promoted.column));
    };
    if matches!(attribute.scope, Scope::Any | Scope::Span) {
        of("attributes", AttributeScope::Span);
    }
    if matches!(attribute.scope, Scope::Any | Scope::Resource) {
        of("resource_attributes", AttributeScope::Resource);
    }
    match attribute.scope {
        Scope::Event => columns.push("events"),
        Scope::Link => columns.push("links"),
        Scope::Instrumentation => columns.push("scope_attributes"),
        Scope::Any | Scope::Span | Scope::Resource => {}
    }
}

/// The column of an intrinsic that is not always read.
const fn of_intrinsic(intrinsic: Intrinsic) -> Option<&'static str> {
    match intrinsic {
        Intrinsic::StatusMessage => Some("status_message"),
        Intrinsic::Kind => Some("kind"),
        Intrinsic::EventName | Intrinsic::EventTimeSinceStart => Some("events"),
        Intrinsic::LinkSpanId | Intrinsic::LinkTraceId => Some("links"),
        Intrinsic::InstrumentationName => Some("scope_name"),
        Intrinsic::InstrumentationVersion => Some("scope_version"),
        Intrinsic::Name
        | Intrinsic::Status
        | Intrinsic::Duration
        | Intrinsic::SpanId
        | Intrinsic::ParentId
        | Intrinsic::ChildCount
        | Intrinsic::TraceId
        | Intrinsic::TraceDuration
        | Intrinsic::RootName
        | Intrinsic::RootService
        | Intrinsic::NestedSetLeft
        | Intrinsic::NestedSetRight
        | Intrinsic::NestedSetParent => None,
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
