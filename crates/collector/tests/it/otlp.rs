//! OTLP messages in few words.

use wire::otlp::common::any_value::Value;
use wire::otlp::common::{AnyValue, InstrumentationScope, KeyValue};
use wire::otlp::logs::{LogRecord, ResourceLogs, ScopeLogs};
use wire::otlp::metrics::metric::Data;
use wire::otlp::metrics::number_data_point::Value as NumberValue;
use wire::otlp::metrics::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics};
use wire::otlp::resource::Resource;
use wire::otlp::trace::{ResourceSpans, ScopeSpans, Span};
use wire::otlp::{ExportLogsServiceRequest, ExportMetricsServiceRequest, ExportTraceServiceRequest};

pub(crate) fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

pub(crate) fn string(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

pub(crate) fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(any(value)), ..KeyValue::default() }
}

pub(crate) fn resource(pairs: &[(&str, &str)]) -> Option<Resource> {
    let attributes = pairs.iter().map(|(key, value)| pair(key, string(value))).collect();
    Some(Resource { attributes, ..Resource::default() })
}

pub(crate) fn scope(name: &str, version: &str) -> Option<InstrumentationScope> {
    Some(InstrumentationScope { name: name.to_owned(), version: version.to_owned(), ..Default::default() })
}

pub(crate) fn point(value: f64) -> NumberDataPoint {
    NumberDataPoint {
        time_unix_nano: 5_000_000_000,
        value: Some(NumberValue::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

pub(crate) fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric { name: name.to_owned(), unit: unit.to_owned(), data: Some(data), ..Metric::default() }
}

pub(crate) fn gauge(name: &str, value: f64) -> Metric {
    metric(name, "", Data::Gauge(Gauge { data_points: vec![point(value)] }))
}

pub(crate) fn metrics(resources: Vec<(Option<Resource>, Vec<Metric>)>) -> ExportMetricsServiceRequest {
    let of = |(resource, metrics)| ResourceMetrics {
        resource,
        scope_metrics: vec![ScopeMetrics { scope: scope("lib", "1.2"), metrics, ..ScopeMetrics::default() }],
        ..ResourceMetrics::default()
    };
    ExportMetricsServiceRequest { resource_metrics: resources.into_iter().map(of).collect() }
}

pub(crate) fn record(body: &str) -> LogRecord {
    LogRecord { time_unix_nano: 9, body: Some(any(string(body))), ..LogRecord::default() }
}

pub(crate) fn logs(resources: Vec<(Option<Resource>, Vec<LogRecord>)>) -> ExportLogsServiceRequest {
    let of = |(resource, log_records)| ResourceLogs {
        resource,
        scope_logs: vec![ScopeLogs { scope: None, log_records, ..ScopeLogs::default() }],
        ..ResourceLogs::default()
    };
    ExportLogsServiceRequest { resource_logs: resources.into_iter().map(of).collect() }
}

pub(crate) fn span(name: &str) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: name.to_owned(),
        start_time_unix_nano: 100,
        end_time_unix_nano: 150,
        ..Span::default()
    }
}

pub(crate) fn traces(resources: Vec<(Option<Resource>, Vec<Span>)>) -> ExportTraceServiceRequest {
    let of = |(resource, spans)| ResourceSpans {
        resource,
        scope_spans: vec![ScopeSpans { scope: scope("lib", "1.2"), spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest { resource_spans: resources.into_iter().map(of).collect() }
}
