//! OTLP logs to lines of streams.
//!
//! Source: Loki's documentation, "Ingesting logs to Loki using OpenTelemetry Collector", section "Format
//! considerations". Structured metadata keeps the types of OTLP here.

use model::log::Entry;
use model::tenant::Access;
use model::{AttributeRef, AttributeValue, Labels};
use wire::otlp::ExportLogsServiceRequest;
use wire::otlp::common::KeyValue;
use wire::otlp::logs::{LogRecord, ResourceLogs, ScopeLogs};

use super::attributes;
use super::levels;
use super::names::label_name;
use super::streams::{SERVICE_NAME, StreamBatch, discovered_service_name};
use super::tenant::{Mapped, Tenants};
use crate::settings::LogsSettings;

type Metadata = Vec<(String, AttributeValue)>;

/// Maps a request to a batch per tenant; `now_ns` stands in where a record has no time.
pub(crate) fn map(
    request: &ExportLogsServiceRequest,
    access: &Access,
    settings: &LogsSettings,
    now_ns: i64,
) -> Mapped {
    let mut tenants: Tenants<'_, StreamBatch> = Tenants::new(access);
    for resource in &request.resource_logs {
        let Some((_, batch, _)) = tenants.of(resource.resource.as_ref(), || records(resource)) else {
            continue;
        };
        map_resource(resource, settings, now_ns, batch);
    }
    tenants.finish(request.resource_logs.iter().map(records).sum(), StreamBatch::finish)
}

fn records(resource: &ResourceLogs) -> usize {
    resource.scope_logs.iter().map(|scope| scope.log_records.len()).sum()
}

/// What the records of one scope share.
struct Around<'a> {
    settings: &'a LogsSettings,
    stream: u32,
    stream_level: Option<&'static str>,
    resource: &'a Metadata,
    scope: &'a Metadata,
    now_ns: i64,
}

fn map_resource(resource: &ResourceLogs, settings: &LogsSettings, now_ns: i64, batch: &mut StreamBatch) {
    let attributes = resource.resource.as_ref().map_or(&[][..], |r| &r.attributes);
    let (labels, mut metadata) = stream_labels(attributes, settings);
    let dropped = resource.resource.as_ref().map_or(0, |r| r.dropped_attributes_count);
    push_count(&mut metadata, "resource_dropped_attributes_count", dropped);
    let level_of = |(name, value): (&str, &str)| {
        levels::is_level_field(name, &settings.log_level_fields).then(|| levels::from_text(value)).flatten()
    };
    let stream_level = labels.iter().find_map(level_of);
    let stream = batch.stream(labels);
    for scope in &resource.scope_logs {
        let scope_metadata = scope_metadata(scope);
        let around =
            Around { settings, stream, stream_level, resource: &metadata, scope: &scope_metadata, now_ns };
        for record in &scope.log_records {
            map_record(record, &around, batch);
        }
    }
}

/// The labels of a resource's stream, and the attributes that are none.
fn stream_labels(attributes: &[KeyValue], settings: &LogsSettings) -> (Labels, Metadata) {
    let mut labels: Vec<(String, String)> = Vec::new();
    let mut metadata = Metadata::new();
    for pair in attributes {
        let is_index = settings.index_resource_attributes.contains(&pair.key);
        attributes::flatten(&pair.key, pair.value.as_ref(), &mut |name, leaf| {
            let name = label_name(name).into_owned();
            match is_index {
                true => labels.push((name, attributes::text(leaf).into_owned())),
                false => metadata.push((name, attributes::typed(leaf))),
            }
        });
    }
    if !labels.iter().any(|(name, value)| name == SERVICE_NAME && !value.is_empty()) {
        let find = |wanted: &str| {
            let label = labels.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
            let found = label.or_else(|| {
                metadata.iter().find(|(name, _)| name == wanted).map(|(_, v)| v.as_ref().to_string())
            });
            found.filter(|value| !value.is_empty())
        };
        if let Some(service) = discovered_service_name(settings, find) {
            labels.push((SERVICE_NAME.to_owned(), service));
        }
    }
    (Labels::from_pairs(labels), metadata)
}

fn scope_metadata(scope: &ScopeLogs) -> Metadata {
    let mut metadata = Metadata::new();
    let Some(scope) = &scope.scope else { return metadata };
    for (name, text) in [("scope_name", &scope.name), ("scope_version", &scope.version)] {
        if !text.is_empty() {
            metadata.push((name.to_owned(), AttributeValue::String(text.clone())));
        }
    }
    for pair in &scope.attributes {
        attributes::flatten(&pair.key, pair.value.as_ref(), &mut |name, leaf| {
            metadata.push((label_name(name).into_owned(), attributes::typed(leaf)));
        });
    }
    push_count(&mut metadata, "scope_dropped_attributes_count", scope.dropped_attributes_count);
    metadata
}

fn push_count(metadata: &mut Metadata, name: &str, count: u32) {
    if count > 0 {
        metadata.push((name.to_owned(), AttributeValue::Int(i64::from(count))));
    }
}

fn map_record(record: &LogRecord, around: &Around<'_>, batch: &mut StreamBatch) {
    let line = attributes::text(record.body.as_ref());
    let own = own_metadata(record);
    for (name, value) in &own {
        batch.columns.metadata(name, value.as_ref());
    }
    // Of one name the innermost stays: the record's, then the scope's, then the resource's.
    let is_new = |name: &str, within: &[&Metadata]| !within.iter().any(|m| m.iter().any(|(n, _)| n == name));
    for (name, value) in around.scope.iter().filter(|(name, _)| is_new(name, &[&own])) {
        batch.columns.metadata(name, value.as_ref());
    }
    for (name, value) in around.resource.iter().filter(|(name, _)| is_new(name, &[&own, around.scope])) {
        batch.columns.metadata(name, value.as_ref());
    }
    if around.settings.discover_log_levels && is_new(levels::DETECTED_LEVEL, &[&own]) {
        batch.detected_level(level(record, &own, &line, around));
    }
    let timestamp_ns = match (record.time_unix_nano, record.observed_time_unix_nano) {
        (0, 0) => around.now_ns,
        (0, observed) => clamped(observed),
        (time, _) => clamped(time),
    };
    let entry = Entry {
        timestamp_ns,
        line: &line,
        severity: u8::try_from(record.severity_number).ok().filter(|n| *n <= 24).unwrap_or(0),
        trace_id: super::traces::id(&record.trace_id),
        span_id: super::traces::id(&record.span_id),
    };
    batch.columns.entry(around.stream, entry);
}

fn clamped(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

/// The structured metadata that the record itself gives.
fn own_metadata(record: &LogRecord) -> Metadata {
    let mut own = Metadata::new();
    for pair in &record.attributes {
        attributes::flatten(&pair.key, pair.value.as_ref(), &mut |name, leaf| {
            own.push((label_name(name).into_owned(), attributes::typed(leaf)));
        });
    }
    for (name, text) in [("severity_text", &record.severity_text), ("event_name", &record.event_name)] {
        if !text.is_empty() {
            own.push((name.to_owned(), AttributeValue::String(text.clone())));
        }
    }
    if record.observed_time_unix_nano > 0 {
        let observed = AttributeValue::Int(clamped(record.observed_time_unix_nano));
        own.push(("observed_timestamp".to_owned(), observed));
    }
    push_count(&mut own, "flags", record.flags);
    push_count(&mut own, "dropped_attributes_count", record.dropped_attributes_count);
    // Ids that do not fit their columns are kept as they came.
    let is_odd = |id: &[u8], fits: bool| !fits && id.iter().any(|byte| *byte != 0);
    if is_odd(&record.trace_id, record.trace_id.len() == 16) {
        own.push(("trace_id".to_owned(), AttributeValue::String(hex::encode(&record.trace_id))));
    }
    if is_odd(&record.span_id, record.span_id.len() == 8) {
        own.push(("span_id".to_owned(), AttributeValue::String(hex::encode(&record.span_id))));
    }
    own
}

fn level(record: &LogRecord, own: &Metadata, line: &str, around: &Around<'_>) -> Option<&'static str> {
    let fields = &around.settings.log_level_fields;
    let from_metadata = || {
        own.iter().filter(|(name, _)| levels::is_level_field(name, fields)).find_map(|(_, value)| match value
            .as_ref()
        {
            AttributeRef::String(text) => levels::from_text(text),
            _ => None,
        })
    };
    levels::from_severity(record.severity_number)
        .or_else(|| levels::from_text(&record.severity_text))
        .or_else(from_metadata)
        .or(around.stream_level)
        .or_else(|| levels::from_line(line, fields))
}
