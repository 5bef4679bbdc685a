//! The views against prost: the same messages from the same bytes, and the same refusals.

use proptest::prelude::*;
use prost::Message;

use super::super::common::{ArrayValue, KeyValue, any_value::Value};
use super::super::logs::{LogRecord, ResourceLogs, ScopeLogs};
use super::super::trace::{ResourceSpans, ScopeSpans, Span, Status, span};
use super::super::{ExportLogsServiceRequest, ExportTraceServiceRequest, logs_view, traces_view};
use super::*;

fn pair(view: PairView<'_>) -> Result<KeyValue, WireError> {
    Ok(KeyValue { key: view.key.to_owned(), value: value(view.value)?, ..KeyValue::default() })
}

fn value(view: ValueView<'_>) -> Result<Option<AnyValue>, WireError> {
    let value = match view {
        ValueView::Nothing => return Ok(None),
        ValueView::Text(text) => Value::StringValue(text.to_owned()),
        ValueView::Bool(value) => Value::BoolValue(value),
        ValueView::Int(value) => Value::IntValue(value),
        ValueView::Double(value) => Value::DoubleValue(value),
        ValueView::Bytes(bytes) => Value::BytesValue(bytes.to_vec()),
        ValueView::Nested(nested) => return nested.read().map(Some),
    };
    Ok(Some(AnyValue { value: Some(value) }))
}

fn record(item: ItemView<'_>) -> Result<LogRecord, WireError> {
    let mut attributes = Vec::new();
    let view = item.record(|view| {
        attributes.push(pair(view)?);
        Ok::<(), WireError>(())
    })?;
    Ok(LogRecord {
        time_unix_nano: view.time_unix_nano,
        observed_time_unix_nano: view.observed_time_unix_nano,
        severity_number: view.severity_number,
        severity_text: view.severity_text.to_owned(),
        body: value(view.body)?,
        attributes,
        dropped_attributes_count: view.dropped_attributes_count,
        flags: view.flags,
        trace_id: view.trace_id.to_vec(),
        span_id: view.span_id.to_vec(),
        event_name: view.event_name.to_owned(),
    })
}

fn event(item: ItemView<'_>) -> Result<span::Event, WireError> {
    let mut attributes = Vec::new();
    let view = item.event(|view| {
        attributes.push(pair(view)?);
        Ok::<(), WireError>(())
    })?;
    Ok(span::Event {
        time_unix_nano: view.time_unix_nano,
        name: view.name.to_owned(),
        attributes,
        dropped_attributes_count: view.dropped_attributes_count,
    })
}

fn link(item: ItemView<'_>) -> Result<span::Link, WireError> {
    let mut attributes = Vec::new();
    let view = item.link(|view| {
        attributes.push(pair(view)?);
        Ok::<(), WireError>(())
    })?;
    Ok(span::Link {
        trace_id: view.trace_id.to_vec(),
        span_id: view.span_id.to_vec(),
        trace_state: view.trace_state.to_owned(),
        attributes,
        dropped_attributes_count: view.dropped_attributes_count,
        flags: view.flags,
    })
}

fn span(item: ItemView<'_>) -> Result<Span, WireError> {
    let mut of = Span::default();
    let view = item.span(|part| {
        match part {
            SpanPart::Attribute(view) => of.attributes.push(pair(view)?),
            SpanPart::Event(item) => of.events.push(event(item)?),
            SpanPart::Link(item) => of.links.push(link(item)?),
        }
        Ok::<(), WireError>(())
    })?;
    Ok(Span {
        trace_id: view.trace_id.to_vec(),
        span_id: view.span_id.to_vec(),
        trace_state: view.trace_state.to_owned(),
        parent_span_id: view.parent_span_id.to_vec(),
        flags: view.flags,
        name: view.name.to_owned(),
        kind: view.kind,
        start_time_unix_nano: view.start_time_unix_nano,
        end_time_unix_nano: view.end_time_unix_nano,
        dropped_attributes_count: view.dropped_attributes_count,
        dropped_events_count: view.dropped_events_count,
        dropped_links_count: view.dropped_links_count,
        status: Some(Status { message: view.status_message.to_owned(), code: view.status_code }),
        ..of
    })
}

/// The message that the views of a body show.
fn logs(body: &[u8]) -> Result<ExportLogsServiceRequest, WireError> {
    let mut request = ExportLogsServiceRequest::default();
    for view in logs_view(body).resources() {
        let view = view?;
        let mut scope_logs = Vec::new();
        for view in view.scopes() {
            let view = view?;
            let log_records = view.items().map(|item| record(item?)).collect::<Result<_, _>>()?;
            scope_logs.push(ScopeLogs { scope: view.scope()?, log_records, ..ScopeLogs::default() });
        }
        let resource = view.resource()?;
        request.resource_logs.push(ResourceLogs { resource, scope_logs, ..ResourceLogs::default() });
    }
    Ok(request)
}

/// The message that the views of a body show.
fn traces(body: &[u8]) -> Result<ExportTraceServiceRequest, WireError> {
    let mut request = ExportTraceServiceRequest::default();
    for view in traces_view(body).resources() {
        let view = view?;
        let mut scope_spans = Vec::new();
        for view in view.scopes() {
            let view = view?;
            let spans = view.items().map(|item| span(item?)).collect::<Result<_, _>>()?;
            scope_spans.push(ScopeSpans { scope: view.scope()?, spans, ..ScopeSpans::default() });
        }
        let resource = view.resource()?;
        request.resource_spans.push(ResourceSpans { resource, scope_spans, ..ResourceSpans::default() });
    }
    Ok(request)
}

fn any_value() -> impl Strategy<Value = Option<AnyValue>> {
    let leaf = prop_oneof![
        ".{0,6}".prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        (-1e9_f64..1e9).prop_map(Value::DoubleValue),
        prop::collection::vec(any::<u8>(), 0..6).prop_map(Value::BytesValue),
    ];
    let nested = leaf.prop_recursive(3, 12, 3, |inner| {
        prop::collection::vec(inner, 0..3).prop_map(|values| {
            let values = values.into_iter().map(|value| AnyValue { value: Some(value) }).collect();
            Value::ArrayValue(ArrayValue { values })
        })
    });
    prop::option::of(nested.prop_map(|value| AnyValue { value: Some(value) }))
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let pair =
        (".{0,6}", any_value()).prop_map(|(key, value)| KeyValue { key, value, ..KeyValue::default() });
    prop::collection::vec(pair, 0..4)
}

fn around() -> impl Strategy<Value = (Option<Resource>, Option<InstrumentationScope>)> {
    (attributes(), any::<[bool; 2]>()).prop_map(|(attributes, [has_resource, has_scope])| {
        let resource = Resource { attributes: attributes.clone(), ..Resource::default() };
        let scope =
            InstrumentationScope { name: "n".to_owned(), attributes, ..InstrumentationScope::default() };
        (has_resource.then_some(resource), has_scope.then_some(scope))
    })
}

prop_compose! {
    fn log_records()(
        body in any_value(), attributes in attributes(), text in ".{0,4}", numbers in any::<[u32; 4]>(),
    ) -> LogRecord {
        LogRecord {
            time_unix_nano: numbers[0].into(),
            observed_time_unix_nano: numbers[1].into(),
            severity_number: numbers[2].cast_signed(),
            severity_text: text.clone(),
            body,
            attributes,
            dropped_attributes_count: numbers[3],
            flags: numbers[0],
            trace_id: text.clone().into_bytes(),
            span_id: vec![1; 8],
            event_name: text,
        }
    }
}

prop_compose! {
    fn spans()(attributes in attributes(), text in ".{0,4}", numbers in any::<[u32; 4]>()) -> Span {
        let event = span::Event {
            time_unix_nano: numbers[0].into(),
            name: text.clone(),
            attributes: attributes.clone(),
            dropped_attributes_count: numbers[1],
        };
        let link = span::Link {
            trace_id: vec![2; 16],
            span_id: text.clone().into_bytes(),
            trace_state: text.clone(),
            attributes: attributes.clone(),
            dropped_attributes_count: numbers[2],
            flags: numbers[3],
        };
        Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            trace_state: text.clone(),
            parent_span_id: text.clone().into_bytes(),
            flags: numbers[0],
            name: text.clone(),
            kind: numbers[1].cast_signed(),
            start_time_unix_nano: numbers[2].into(),
            end_time_unix_nano: numbers[3].into(),
            attributes,
            dropped_attributes_count: numbers[0],
            events: vec![event; 2],
            dropped_events_count: numbers[1],
            links: vec![link],
            dropped_links_count: numbers[2],
            status: Some(Status { message: text, code: numbers[3].cast_signed() }),
        }
    }
}

/// Values that are there and say nothing are the same as none.
fn without_empty(mut pairs: Vec<KeyValue>) -> Vec<KeyValue> {
    pairs.iter_mut().for_each(|pair| pair.value = pair.value.take().filter(|value| value.value.is_some()));
    pairs
}

proptest! {
    #[test]
    fn the_same_logs((resource, scope) in around(), records in prop::collection::vec(log_records(), 0..3)) {
        let records = records.into_iter().map(|record| LogRecord {
            attributes: without_empty(record.attributes),
            ..record
        });
        let scope_logs = ScopeLogs { scope, log_records: records.collect(), ..ScopeLogs::default() };
        let of = ResourceLogs { resource, scope_logs: vec![scope_logs; 2], ..ResourceLogs::default() };
        let request = ExportLogsServiceRequest { resource_logs: vec![of] };
        prop_assert_eq!(logs(&request.encode_to_vec()).unwrap(), request);
    }

    #[test]
    fn the_same_spans((resource, scope) in around(), spans in prop::collection::vec(spans(), 0..3)) {
        let scope_spans = ScopeSpans { scope, spans, ..ScopeSpans::default() };
        let of = ResourceSpans { resource, scope_spans: vec![scope_spans; 2], ..ResourceSpans::default() };
        let request = ExportTraceServiceRequest { resource_spans: vec![of] };
        prop_assert_eq!(traces(&request.encode_to_vec()).unwrap(), request);
    }

    #[test]
    fn the_same_refusals(
        record in log_records(),
        span in spans(),
        (resource, scope) in around(),
        bends in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        bytes in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let schema_url = "https://example.org".to_owned();
        let scope_logs =
            vec![ScopeLogs { scope: scope.clone(), log_records: vec![record], schema_url: schema_url.clone() }];
        let of = ResourceLogs { resource: resource.clone(), scope_logs, ..ResourceLogs::default() };
        let logs_body = ExportLogsServiceRequest { resource_logs: vec![of] }.encode_to_vec();
        let scope_spans = vec![ScopeSpans { scope, spans: vec![span], schema_url }];
        let of = ResourceSpans { resource, scope_spans, ..ResourceSpans::default() };
        let traces_body = ExportTraceServiceRequest { resource_spans: vec![of] }.encode_to_vec();
        for mut body in [logs_body, traces_body, bytes] {
            for (at, byte) in &bends {
                if !body.is_empty() {
                    let at = at.index(body.len());
                    body[at] = *byte;
                }
            }
            let theirs = ExportLogsServiceRequest::decode(body.as_slice());
            let ours = logs(&body);
            prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?} {:?}", body, ours, theirs);
            let theirs = ExportTraceServiceRequest::decode(body.as_slice());
            let ours = traces(&body);
            prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?} {:?}", body, ours, theirs);
        }
    }
}
