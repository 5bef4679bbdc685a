//! Results of a search as Tempo's API shows them: protobuf's plain JSON, with 64-bit integers as strings and
//! without empty fields.

use model::AttributeRef;
use query::{QueryStats, SpanMatch, SpanSet, TraceAnswer, TraceMatch};
use wire::otlp::common::{AnyValue, any_value};

use super::otlp::to_any_value;
use crate::json::Json;

/// Writes an answer to a search.
pub(crate) fn write_answer(json: &mut Json, answer: &TraceAnswer) {
    json.raw("{\"traces\":");
    json.list(&answer.traces, write_trace);
    json.raw(",\"metrics\":{\"inspectedTraces\":");
    json.plain(answer.stats.series);
    json.raw(",\"inspectedBytes\":");
    json.quoted(answer.stats.bytes);
    json.raw(",\"inspectedSpans\":");
    json.quoted(answer.stats.items);
    json.raw("}}");
}

/// Writes what a question about tags has read.
pub(crate) fn write_inspected(json: &mut Json, stats: &QueryStats) {
    json.raw("{\"inspectedBytes\":");
    json.quoted(stats.bytes);
    json.raw("}");
}

fn write_trace(json: &mut Json, trace: &TraceMatch) {
    json.raw("{\"traceID\":");
    json.text(&hex::encode(trace.trace_id));
    if !trace.root_service_name.is_empty() {
        json.raw(",\"rootServiceName\":");
        json.text(&trace.root_service_name);
    }
    if !trace.root_trace_name.is_empty() {
        json.raw(",\"rootTraceName\":");
        json.text(&trace.root_trace_name);
    }
    json.raw(",\"startTimeUnixNano\":");
    json.quoted(trace.start_ns);
    let duration_ms = trace.duration_ns / model::time::NS_PER_MS;
    if duration_ms > 0 {
        json.raw(",\"durationMs\":");
        json.plain(duration_ms);
    }
    if let Some(first) = trace.span_sets.first() {
        json.raw(",\"spanSet\":");
        write_span_set(json, first);
        json.raw(",\"spanSets\":");
        json.list(&trace.span_sets, write_span_set);
    }
    if !trace.service_stats.is_empty() {
        json.raw(",\"serviceStats\":");
        write_service_stats(json, trace);
    }
    json.raw("}");
}

fn write_service_stats(json: &mut Json, trace: &TraceMatch) {
    json.raw("{");
    for (i, (service, stats)) in trace.service_stats.iter().enumerate() {
        if i > 0 {
            json.raw(",");
        }
        json.text(service);
        json.raw(":{\"spanCount\":");
        json.plain(stats.span_count);
        if stats.error_count > 0 {
            json.raw(",\"errorCount\":");
            json.plain(stats.error_count);
        }
        json.raw("}");
    }
    json.raw("}");
}

fn write_span_set(json: &mut Json, set: &SpanSet) {
    json.raw("{\"spans\":");
    json.list(&set.spans, write_span);
    json.raw(",\"matched\":");
    json.plain(set.matched);
    if !set.attributes.is_empty() {
        json.raw(",\"attributes\":");
        write_attributes(json, set.attributes.iter().map(|(key, value)| (key.as_str(), value.as_ref())));
    }
    json.raw("}");
}

fn write_span(json: &mut Json, span: &SpanMatch) {
    json.raw("{\"spanID\":");
    json.text(&hex::encode(span.span_id));
    if !span.name.is_empty() {
        json.raw(",\"name\":");
        json.text(&span.name);
    }
    json.raw(",\"startTimeUnixNano\":");
    json.quoted(span.start_ns);
    json.raw(",\"durationNanos\":");
    json.quoted(span.duration_ns);
    if !span.attributes.is_empty() {
        json.raw(",\"attributes\":");
        write_attributes(json, span.attributes.iter().map(|(key, value)| (key.as_str(), value.as_ref())));
    }
    json.raw("}");
}

fn write_attributes<'a>(json: &mut Json, attributes: impl Iterator<Item = (&'a str, AttributeRef<'a>)>) {
    json.list(attributes, |json, (key, value)| write_key_value(json, key, &to_any_value(value)));
}

fn write_key_value(json: &mut Json, key: &str, value: &AnyValue) {
    json.raw("{\"key\":");
    json.text(key);
    json.raw(",\"value\":");
    write_any_value(json, value);
    json.raw("}");
}

fn write_any_value(json: &mut Json, value: &AnyValue) {
    use any_value::Value;
    match value.value.as_ref() {
        Some(Value::StringValue(text)) => {
            json.raw("{\"stringValue\":");
            json.text(text);
        }
        Some(Value::BoolValue(value)) => {
            json.raw("{\"boolValue\":");
            json.plain(value);
        }
        Some(Value::IntValue(value)) => {
            json.raw("{\"intValue\":");
            json.quoted(value);
        }
        Some(Value::DoubleValue(value)) => {
            json.raw("{\"doubleValue\":");
            write_double(json, *value);
        }
        Some(Value::BytesValue(bytes)) => {
            use base64::Engine;
            json.raw("{\"bytesValue\":");
            json.text(&base64::engine::general_purpose::STANDARD.encode(bytes));
        }
        Some(Value::ArrayValue(array)) => {
            json.raw("{\"arrayValue\":{\"values\":");
            json.list(&array.values, write_any_value);
            json.raw("}");
        }
        Some(Value::KvlistValue(map)) => {
            json.raw("{\"kvlistValue\":{\"values\":");
            let nothing = AnyValue::default();
            json.list(&map.values, |json, pair| {
                write_key_value(json, &pair.key, pair.value.as_ref().unwrap_or(&nothing));
            });
            json.raw("}");
        }
        Some(Value::StringValueStrindex(_)) | None => json.raw("{"),
    }
    json.raw("}");
}

/// Protobuf's JSON has no number for infinities and NaN.
fn write_double(json: &mut Json, value: f64) {
    if value.is_finite() {
        json.plain(value);
    } else if value.is_nan() {
        json.text("NaN");
    } else {
        json.text(if value > 0.0 { "Infinity" } else { "-Infinity" });
    }
}

#[cfg(test)]
mod tests;
