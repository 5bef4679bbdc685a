//! Spans of the store as OTLP's messages, grouped by resource and by scope.

use arrow::array::RecordBatch;
use hashbrown::HashMap;
use model::AttributeRef;
use model::trace::SpansView;
use prost::Message;
use wire::otlp::common::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value};
use wire::otlp::resource::Resource;
use wire::otlp::trace::{ResourceSpans, ScopeSpans, Span, Status, span};
use wire::tempo::Trace;

use crate::error::ApiError;

/// Turns spans into a trace; resources, their scopes and their spans keep the order in which they come.
///
/// # Errors
/// When the batch is not of `model::trace::SPANS_SCHEMA`.
pub(crate) fn to_otlp(spans: &RecordBatch) -> Result<Trace, ApiError> {
    let view = SpansView::new(spans)
        .ok_or_else(|| ApiError::Internal("the engine gave spans of another schema".into()))?;
    let mut groups = Groups::default();
    for row in 0..view.rows() {
        let fields = view.fields(row);
        let resource = Resource {
            attributes: view.resource_attributes(row).map(key_value).collect(),
            ..Resource::default()
        };
        let scope = InstrumentationScope {
            name: fields.scope_name.to_owned(),
            version: fields.scope_version.to_owned(),
            attributes: view.scope_attributes(row).map(key_value).collect(),
            ..InstrumentationScope::default()
        };
        groups.add(resource, scope, to_span(&view, row));
    }
    Ok(Trace { resource_spans: groups.resources })
}

/// Resources and scopes by their bytes, so that equal ones meet.
#[derive(Default)]
struct Groups {
    resources: Vec<ResourceSpans>,
    resource_numbers: HashMap<Vec<u8>, usize>,
    scope_numbers: HashMap<(usize, Vec<u8>), usize>,
}

impl Groups {
    fn add(&mut self, resource: Resource, scope: InstrumentationScope, span: Span) {
        let number = *self.resource_numbers.entry(resource.encode_to_vec()).or_insert(self.resources.len());
        if number == self.resources.len() {
            self.resources.push(ResourceSpans { resource: Some(resource), ..ResourceSpans::default() });
        }
        let scopes = &mut self.resources[number].scope_spans;
        let scope_number = *self.scope_numbers.entry((number, scope.encode_to_vec())).or_insert(scopes.len());
        if scope_number == scopes.len() {
            scopes.push(ScopeSpans { scope: Some(scope), ..ScopeSpans::default() });
        }
        scopes[scope_number].spans.push(span);
    }
}

fn to_span(view: &SpansView<'_>, row: usize) -> Span {
    let fields = view.fields(row);
    let has_status = fields.status_code != 0 || !fields.status_message.is_empty();
    Span {
        trace_id: fields.trace_id.to_vec(),
        span_id: fields.span_id.to_vec(),
        trace_state: fields.trace_state.to_owned(),
        parent_span_id: fields.parent_span_id.map(|id| id.to_vec()).unwrap_or_default(),
        flags: fields.flags,
        name: fields.name.to_owned(),
        kind: fields.kind.into(),
        start_time_unix_nano: unsigned(fields.start_ns),
        end_time_unix_nano: unsigned(fields.start_ns.saturating_add(fields.duration_ns)),
        attributes: view.attributes(row).map(key_value).collect(),
        dropped_attributes_count: fields.dropped_attributes,
        events: to_events(view, row),
        dropped_events_count: fields.dropped_events,
        links: to_links(view, row),
        dropped_links_count: fields.dropped_links,
        status: has_status
            .then(|| Status { message: fields.status_message.to_owned(), code: fields.status_code.into() }),
    }
}

fn to_events(view: &SpansView<'_>, row: usize) -> Vec<span::Event> {
    let events = view.events();
    let event = |i| span::Event {
        time_unix_nano: unsigned(events.time_ns(i)),
        name: events.name(i).to_owned(),
        attributes: events.attributes(i).map(key_value).collect(),
        dropped_attributes_count: events.dropped_attributes(i),
    };
    events.of_span(row).map(event).collect()
}

fn to_links(view: &SpansView<'_>, row: usize) -> Vec<span::Link> {
    let links = view.links();
    let link = |i| {
        let fields = links.fields(i);
        span::Link {
            trace_id: fields.trace_id.to_vec(),
            span_id: fields.span_id.to_vec(),
            trace_state: fields.trace_state.to_owned(),
            attributes: links.attributes(i).map(key_value).collect(),
            dropped_attributes_count: fields.dropped_attributes,
            flags: fields.flags,
        }
    };
    links.of_span(row).map(link).collect()
}

/// OTLP's times have no sign.
fn unsigned(ns: i64) -> u64 {
    u64::try_from(ns).unwrap_or(0)
}

fn key_value((key, value): (&str, AttributeRef<'_>)) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(to_any_value(value)), ..KeyValue::default() }
}

/// An attribute's value as OTLP has it; lists and maps are made of their JSON text again.
pub(crate) fn to_any_value(value: AttributeRef<'_>) -> AnyValue {
    let value = match value {
        AttributeRef::String(text) => any_value::Value::StringValue(text.to_owned()),
        AttributeRef::Bool(value) => any_value::Value::BoolValue(value),
        AttributeRef::Int(value) => any_value::Value::IntValue(value),
        AttributeRef::Double(value) => any_value::Value::DoubleValue(value),
        AttributeRef::Array(text) | AttributeRef::Map(text) => match serde_json::from_str(text) {
            Ok(value) => return json_value(value),
            Err(_) => any_value::Value::StringValue(text.to_owned()),
        },
        AttributeRef::Bytes(text) => bytes_value(text),
    };
    AnyValue { value: Some(value) }
}

fn bytes_value(text: &str) -> any_value::Value {
    use base64::Engine;
    match base64::engine::general_purpose::STANDARD.decode(text) {
        Ok(bytes) => any_value::Value::BytesValue(bytes),
        Err(_) => any_value::Value::StringValue(text.to_owned()),
    }
}

/// The depth is bounded by the JSON reader's own bound.
fn json_value(value: serde_json::Value) -> AnyValue {
    let value = match value {
        serde_json::Value::Null => None,
        serde_json::Value::Bool(value) => Some(any_value::Value::BoolValue(value)),
        serde_json::Value::Number(number) => Some(match number.as_i64() {
            Some(value) => any_value::Value::IntValue(value),
            None => any_value::Value::DoubleValue(number.as_f64().unwrap_or(f64::NAN)),
        }),
        serde_json::Value::String(text) => Some(any_value::Value::StringValue(text)),
        serde_json::Value::Array(values) => Some(any_value::Value::ArrayValue(ArrayValue {
            values: values.into_iter().map(json_value).collect(),
        })),
        serde_json::Value::Object(entries) => Some(any_value::Value::KvlistValue(KeyValueList {
            values: entries
                .into_iter()
                .map(|(key, value)| KeyValue { key, value: Some(json_value(value)), ..KeyValue::default() })
                .collect(),
        })),
    };
    AnyValue { value }
}

#[cfg(test)]
mod tests;
