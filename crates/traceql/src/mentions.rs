//! What a query mentions: the fields that its answers show, and the columns that hold them.

use model::trace::{AttributeScope, PROMOTED};

use crate::ast::{Aggregate, Attribute, FieldExpr, Intrinsic, ScalarExpr, Scope, SpansetExpr, Stage};

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

/// The fields of an expression.
pub(crate) fn of_field<'q>(expr: &'q FieldExpr, found: &mut Vec<&'q FieldExpr>) {
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

/// Columns of [`SPANS_SCHEMA`] that are looked at; what stands in the others makes no difference.
///
/// [`SPANS_SCHEMA`]: model::trace::SPANS_SCHEMA
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// Their names, in no order.
    pub names: Vec<&'static str>,
    /// Lists of attributes of which nothing but the values of a key is looked at: the column's name and the key.
    pub lists: Vec<(&'static str, String)>,
}

impl Columns {
    /// What every answer needs, and what the fields ask for.
    pub(crate) fn of_answers(fields: &[&FieldExpr]) -> Self {
        let mut columns = Self { names: ALWAYS.to_vec(), lists: Vec::new() };
        columns.add(fields);
        columns
    }

    /// What the fields ask for.
    pub(crate) fn of(fields: &[&FieldExpr]) -> Self {
        let mut columns = Self::default();
        columns.add(fields);
        columns
    }

    fn add(&mut self, fields: &[&FieldExpr]) {
        for field in fields {
            match field {
                FieldExpr::Attribute(attribute) => self.add_attribute(attribute),
                FieldExpr::Intrinsic(intrinsic) => self.names.extend(of_intrinsic(*intrinsic)),
                _ => {}
            }
        }
    }

    fn add_attribute(&mut self, attribute: &Attribute) {
        let mut add = |list, scope| {
            self.lists.push((list, attribute.name.clone()));
            let promoted = PROMOTED.iter().filter(|p| p.scope == scope && p.key == attribute.name);
            self.names.extend(promoted.map(|promoted| promoted.column));
        };
        if matches!(attribute.scope, Scope::Any | Scope::Span) {
            add("attributes", AttributeScope::Span);
        }
        if matches!(attribute.scope, Scope::Any | Scope::Resource) {
            add("resource_attributes", AttributeScope::Resource);
        }
        match attribute.scope {
            Scope::Event => self.names.push("events"),
            Scope::Link => self.names.push("links"),
            Scope::Instrumentation => self.lists.push(("scope_attributes", attribute.name.clone())),
            Scope::Any | Scope::Span | Scope::Resource => {}
        }
    }
}

/// The column of an intrinsic, beyond the ids and the start.
const fn of_intrinsic(intrinsic: Intrinsic) -> Option<&'static str> {
    match intrinsic {
        Intrinsic::Name => Some("name"),
        Intrinsic::Status => Some("status_code"),
        Intrinsic::Duration => Some("duration_ns"),
        Intrinsic::StatusMessage => Some("status_message"),
        Intrinsic::Kind => Some("kind"),
        Intrinsic::EventName | Intrinsic::EventTimeSinceStart => Some("events"),
        Intrinsic::LinkSpanId | Intrinsic::LinkTraceId => Some("links"),
        Intrinsic::InstrumentationName => Some("scope_name"),
        Intrinsic::InstrumentationVersion => Some("scope_version"),
        Intrinsic::SpanId
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
