//! OTLP logs to lines of streams.
//!
//! Source: Loki's documentation, "Ingesting logs to Loki using OpenTelemetry Collector", section "Format
//! considerations". Structured metadata keeps the types of OTLP here.

use std::ops::Range;

use model::log::Entry;
use model::tenant::Access;
use model::{AttributeRef, AttributeValue, Labels};
use wire::otlp::common::{InstrumentationScope, KeyValue};
use wire::otlp::resource::Resource;
use wire::otlp::{ItemView, PairView, RecordView, RequestView, ResourceView, ScopeView, ValueView};

use super::attributes::{self, Typed};
use super::levels;
use super::names::{append_label_name, label_name};
use super::size::{ATTRIBUTE_BYTES, ENTRY_BYTES, lend_resource, lend_scope, lend_value};
use super::streams::{SERVICE_NAME, StreamBatch, discovered_service_name};
use super::tenant::{Mapped, Tenants, items};
use crate::error::CollectorError;
use crate::receivers::Room;
use crate::settings::LogsSettings;

type Metadata = Vec<(String, AttributeValue)>;

/// Maps a request to a batch per tenant; `now_ns` stands in where a record has no time. `room` is asked for everything
/// before it is written.
///
/// # Errors
/// When the body is no request, or there is no room for what it becomes.
pub(crate) fn map(
    request: RequestView<'_>,
    access: &Access,
    settings: &LogsSettings,
    now_ns: i64,
    room: &mut Room<'_>,
) -> Result<Mapped, CollectorError> {
    let mut tenants: Tenants<'_, StreamBatch> = Tenants::new(access);
    let mut own = Own::default();
    let mut total = 0;
    for view in request.resources() {
        let view = view?;
        let records = items(view)?;
        total += records;
        lend_resource(view, room)?;
        let resource = view.resource()?;
        let Some((_, batch, _)) = tenants.of(resource.as_ref(), || records) else { continue };
        map_resource(view, resource.as_ref(), settings, now_ns, batch, &mut own, room)?;
    }
    Ok(tenants.finish(total, StreamBatch::finish))
}

/// What the records of one scope share.
struct Around<'a> {
    settings: &'a LogsSettings,
    stream: u32,
    stream_level: Option<&'static str>,
    resource: &'a Metadata,
    scope: &'a Metadata,
    /// What a record takes with what it carries of its resource and scope.
    record_bytes: usize,
    now_ns: i64,
}

fn map_resource<'v>(
    view: ResourceView<'v>,
    resource: Option<&Resource>,
    settings: &LogsSettings,
    now_ns: i64,
    batch: &mut StreamBatch,
    own: &mut Own<'v>,
    room: &mut Room<'_>,
) -> Result<(), CollectorError> {
    let attributes = resource.map_or(&[][..], |r| &r.attributes);
    let (labels, mut metadata) = stream_labels(attributes, settings);
    room.take(labels.as_bytes().len())?;
    push_count(
        &mut metadata,
        "resource_dropped_attributes_count",
        resource.map_or(0, |r| r.dropped_attributes_count),
    );
    let level_of = |(name, value): (&str, &str)| {
        levels::is_level_field(name, &settings.log_level_fields).then(|| levels::from_text(value)).flatten()
    };
    let stream_level = labels.iter().find_map(level_of);
    let stream = batch.stream(labels);
    for scope in view.scopes() {
        let scope: ScopeView<'v> = scope?;
        lend_scope(scope, room)?;
        let scope_metadata = scope_metadata(scope.scope()?.as_ref());
        let record_bytes = ENTRY_BYTES + carried(&metadata) + carried(&scope_metadata);
        let around = Around {
            settings,
            stream,
            stream_level,
            resource: &metadata,
            scope: &scope_metadata,
            record_bytes,
            now_ns,
        };
        for record in scope.items() {
            map_record(record?, &around, batch, own, room)?;
        }
    }
    Ok(())
}

/// What metadata takes as rows of attributes.
fn carried(metadata: &Metadata) -> usize {
    metadata
        .iter()
        .map(|(name, value)| ATTRIBUTE_BYTES + name.len() + attributes::text_len(value.as_ref()))
        .sum()
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

fn scope_metadata(scope: Option<&InstrumentationScope>) -> Metadata {
    let mut metadata = Metadata::new();
    let Some(scope) = scope else { return metadata };
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

/// The structured metadata of one record, in buffers that are used again.
#[derive(Debug, Default)]
struct Own<'a> {
    names: String,
    pairs: Vec<(Range<usize>, Typed<'a>)>,
}

impl<'a> Own<'a> {
    fn clear(&mut self) {
        self.names.clear();
        self.pairs.clear();
    }

    /// Adds a pair under the label's name that the key becomes.
    fn push(&mut self, key: &str, value: Typed<'a>, room: &mut Room<'_>) -> Result<(), CollectorError> {
        room.take(ATTRIBUTE_BYTES + key.len() + attributes::text_len(value.as_ref()))?;
        let start = self.names.len();
        append_label_name(&mut self.names, key);
        self.pairs.push((start..self.names.len(), value));
        Ok(())
    }

    /// Adds an attribute; a map becomes its leaves.
    fn attribute(&mut self, pair: PairView<'a>, room: &mut Room<'_>) -> Result<(), CollectorError> {
        let ValueView::Nested(nested) = pair.value else {
            return self.push(pair.key, attributes::typed_view(pair.value)?, room);
        };
        lend_value(nested, room)?;
        let value = nested.read()?;
        let mut result = Ok(());
        attributes::flatten(pair.key, Some(&value), &mut |name, leaf| {
            if result.is_ok() {
                result = self.push(name, Typed::Written(attributes::typed(leaf)), room);
            }
        });
        result
    }

    fn iter(&self) -> impl Iterator<Item = (&str, AttributeRef<'_>)> {
        self.pairs.iter().map(|(name, value)| (&self.names[name.clone()], value.as_ref()))
    }

    fn has(&self, name: &str) -> bool {
        self.iter().any(|(own, _)| own == name)
    }
}

fn map_record<'v>(
    item: ItemView<'v>,
    around: &Around<'_>,
    batch: &mut StreamBatch,
    own: &mut Own<'v>,
    room: &mut Room<'_>,
) -> Result<(), CollectorError> {
    room.take(around.record_bytes)?;
    own.clear();
    let record = item.record(|pair| own.attribute(pair, room))?;
    add_facts(&record, own, room)?;
    if let ValueView::Nested(nested) = record.body {
        lend_value(nested, room)?;
    }
    let line = attributes::text_view(record.body)?;
    room.take(line.len())?;
    for (name, value) in own.iter() {
        batch.columns.metadata(name, value);
    }
    // Of one name the innermost stays: the record's, then the scope's, then the resource's.
    for (name, value) in around.scope.iter().filter(|(name, _)| !own.has(name)) {
        batch.columns.metadata(name, value.as_ref());
    }
    let in_scope = |name: &str| around.scope.iter().any(|(n, _)| n == name);
    for (name, value) in around.resource.iter().filter(|(name, _)| !own.has(name) && !in_scope(name)) {
        batch.columns.metadata(name, value.as_ref());
    }
    if around.settings.discover_log_levels && !own.has(levels::DETECTED_LEVEL) {
        batch.detected_level(level(&record, own, &line, around));
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
        trace_id: super::traces::id(record.trace_id),
        span_id: super::traces::id(record.span_id),
    };
    batch.columns.entry(around.stream, entry);
    Ok(())
}

fn clamped(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

/// Adds what the record's own fields tell to the structured metadata that its attributes give.
fn add_facts<'v>(
    record: &RecordView<'v>,
    own: &mut Own<'v>,
    room: &mut Room<'_>,
) -> Result<(), CollectorError> {
    let in_place = Typed::InPlace;
    for (name, text) in [("severity_text", record.severity_text), ("event_name", record.event_name)] {
        if !text.is_empty() {
            own.push(name, in_place(AttributeRef::String(text)), room)?;
        }
    }
    if record.observed_time_unix_nano > 0 {
        let observed = AttributeRef::Int(clamped(record.observed_time_unix_nano));
        own.push("observed_timestamp", in_place(observed), room)?;
    }
    let dropped = record.dropped_attributes_count;
    for (name, count) in [("flags", record.flags), ("dropped_attributes_count", dropped)] {
        if count > 0 {
            own.push(name, in_place(AttributeRef::Int(i64::from(count))), room)?;
        }
    }
    // Ids that do not fit their columns are kept as they came.
    for (name, id, len) in [("trace_id", record.trace_id, 16), ("span_id", record.span_id, 8)] {
        if id.len() != len && id.iter().any(|byte| *byte != 0) {
            own.push(name, Typed::Written(AttributeValue::String(hex::encode(id))), room)?;
        }
    }
    Ok(())
}

fn level(record: &RecordView<'_>, own: &Own<'_>, line: &str, around: &Around<'_>) -> Option<&'static str> {
    let fields = &around.settings.log_level_fields;
    let from_metadata = || {
        own.iter().filter(|(name, _)| levels::is_level_field(name, fields)).find_map(|(_, value)| match value
        {
            AttributeRef::String(text) => levels::from_text(text),
            _ => None,
        })
    };
    levels::from_severity(record.severity_number)
        .or_else(|| levels::from_text(record.severity_text))
        .or_else(from_metadata)
        .or(around.stream_level)
        .or_else(|| levels::from_line(line, fields))
}
