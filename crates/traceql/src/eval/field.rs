//! Reads the values of a field from a span.

use model::attributes::AttributeRef;

use super::trace::Trace;
use crate::ast::{Attribute, Intrinsic, Scope};
use crate::value::Value;

/// What is asked of each value of a field; true ends the reading.
pub(crate) type Visit<'v> = &'v mut dyn FnMut(&Value<'_>) -> bool;

/// Something that a span has: no value, one, or, where it stands on events and links, many.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Field {
    Attribute(Attribute),
    Intrinsic(Intrinsic),
}

impl Field {
    /// Asks every value of the field at a span; true as soon as one answer is.
    pub(crate) fn any(&self, trace: &Trace<'_>, row: usize, visit: Visit<'_>) -> bool {
        match self {
            Field::Attribute(attribute) if attribute.parent => match trace.tree().parents[row] {
                Some(parent) => any_attribute(attribute, trace, parent, visit),
                None => false,
            },
            Field::Attribute(attribute) => any_attribute(attribute, trace, row, visit),
            Field::Intrinsic(intrinsic) => any_intrinsic(*intrinsic, trace, row, visit),
        }
    }
}

fn any_attribute(attribute: &Attribute, trace: &Trace<'_>, row: usize, visit: Visit<'_>) -> bool {
    let view = &trace.view;
    let name = attribute.name.as_str();
    let value = match attribute.scope {
        Scope::Any => view.attribute(row, name).or_else(|| view.resource_attribute(row, name)),
        Scope::Resource => view.resource_attribute(row, name),
        Scope::Span => view.attribute(row, name),
        Scope::Instrumentation => view.scope_attribute(row, name),
        Scope::Event => {
            let of_event = |event| visit_named(view.events().attributes(event), name, visit);
            return view.events().of_span(row).any(of_event);
        }
        Scope::Link => {
            let of_link = |link| visit_named(view.links().attributes(link), name, visit);
            return view.links().of_span(row).any(of_link);
        }
    };
    value.is_some_and(|value| visit(&Value::of_attribute(value)))
}

fn visit_named<'a>(
    mut attributes: impl Iterator<Item = (&'a str, AttributeRef<'a>)>,
    name: &str,
    visit: Visit<'_>,
) -> bool {
    let found = attributes.find(|(key, _)| *key == name);
    found.is_some_and(|(_, value)| visit(&Value::of_attribute(value)))
}

fn any_intrinsic(intrinsic: Intrinsic, trace: &Trace<'_>, row: usize, visit: Visit<'_>) -> bool {
    let view = &trace.view;
    let text = |text: &'static str| Value::String(text.into());
    let id = |id: &[u8]| Value::String(hex::encode(id).into());
    let value = match intrinsic {
        Intrinsic::Name => Value::String(view.name(row).into()),
        Intrinsic::Status => Value::Status(view.status_code(row)),
        Intrinsic::StatusMessage => Value::String(view.fields(row).status_message.into()),
        Intrinsic::Duration => Value::Duration(view.duration_ns(row)),
        Intrinsic::Kind => Value::Kind(view.fields(row).kind),
        Intrinsic::SpanId => id(&view.span_id(row)),
        Intrinsic::ParentId => match view.parent_span_id(row) {
            Some(parent) => id(&parent),
            None => return false,
        },
        Intrinsic::ChildCount => Value::Int(trace.tree().child_counts[row]),
        Intrinsic::TraceId => id(&view.trace_id(row)),
        Intrinsic::TraceDuration => Value::Duration(trace.duration_ns()),
        Intrinsic::RootName => match trace.root() {
            Some(root) => Value::String(view.name(root).into()),
            None => text(""),
        },
        Intrinsic::RootService => match trace.root() {
            Some(root) => Value::String(view.service_name(root).into()),
            None => text(""),
        },
        Intrinsic::EventName => {
            let of_event = |event| visit(&Value::String(view.events().name(event).into()));
            return view.events().of_span(row).any(of_event);
        }
        Intrinsic::EventTimeSinceStart => {
            let since = |event| view.events().time_ns(event).saturating_sub(view.start_ns(row));
            return view.events().of_span(row).any(|event| visit(&Value::Duration(since(event))));
        }
        Intrinsic::LinkSpanId => {
            let of_link = |link| visit(&id(&view.links().fields(link).span_id));
            return view.links().of_span(row).any(of_link);
        }
        Intrinsic::LinkTraceId => {
            let of_link = |link| visit(&id(&view.links().fields(link).trace_id));
            return view.links().of_span(row).any(of_link);
        }
        Intrinsic::InstrumentationName => Value::String(view.fields(row).scope_name.into()),
        Intrinsic::InstrumentationVersion => Value::String(view.fields(row).scope_version.into()),
        Intrinsic::NestedSetLeft => Value::Int(trace.tree().nested[row][0]),
        Intrinsic::NestedSetRight => Value::Int(trace.tree().nested[row][1]),
        Intrinsic::NestedSetParent => Value::Int(trace.tree().nested[row][2]),
    };
    visit(&value)
}
