//! What the server says of itself, between the moment it says so and the moment it is written.

use model::AttributeValue;
use model::log::{Entry, LogBatch, LogBatchBuilder};
use model::trace::{SpanFields, TraceBatch, TraceBatchBuilder};
use model::{AttributeRef, Labels};

use super::SERVICE;

/// Named values of a record.
pub(crate) type Fields = Vec<(&'static str, AttributeValue)>;

/// The trace and span that a record belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpanIds {
    /// The trace.
    pub(crate) trace_id: [u8; 16],
    /// The span.
    pub(crate) span_id: [u8; 8],
}

/// An event that was logged.
#[derive(Clone, Debug)]
pub(crate) struct LogRecord {
    /// When.
    pub(crate) timestamp_ns: i64,
    /// How grave.
    pub(crate) level: tracing::Level,
    /// The module that said it.
    pub(crate) target: &'static str,
    /// The text.
    pub(crate) message: String,
    /// The fields.
    pub(crate) fields: Fields,
    /// The span in which it was said.
    pub(crate) span: Option<SpanIds>,
}

/// A span that has ended.
#[derive(Clone, Debug)]
pub(crate) struct SpanRecord {
    /// Its ids.
    pub(crate) ids: SpanIds,
    /// The span that it is part of.
    pub(crate) parent_span_id: Option<[u8; 8]>,
    /// What was done.
    pub(crate) name: String,
    /// OpenTelemetry's span kind.
    pub(crate) kind: u8,
    /// When it began.
    pub(crate) start_ns: i64,
    /// How long it took.
    pub(crate) duration_ns: i64,
    /// Whether it failed.
    pub(crate) is_error: bool,
    /// The module that made it.
    pub(crate) target: &'static str,
    /// The fields.
    pub(crate) fields: Fields,
}

/// Something to be written.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    /// An event.
    Log(LogRecord),
    /// A span.
    Span(SpanRecord),
}

/// OpenTelemetry's severity number and Loki's word for a level.
fn severity(level: tracing::Level) -> (u8, &'static str) {
    match level {
        tracing::Level::TRACE => (1, "trace"),
        tracing::Level::DEBUG => (5, "debug"),
        tracing::Level::INFO => (9, "info"),
        tracing::Level::WARN => (13, "warn"),
        tracing::Level::ERROR => (17, "error"),
    }
}

/// The lines of a batch of records, one stream a level.
#[must_use]
pub(crate) fn logs(records: &[LogRecord], instance: &str) -> LogBatch {
    let mut builder = LogBatchBuilder::default();
    let mut streams: Vec<(tracing::Level, u32)> = Vec::new();
    for record in records {
        let (number, word) = severity(record.level);
        let stream = match streams.iter().find(|(level, _)| *level == record.level) {
            Some((_, stream)) => *stream,
            None => {
                let labels = Labels::from_pairs([
                    ("service_name", SERVICE),
                    ("service_instance_id", instance),
                    ("level", word),
                ]);
                let stream = builder.stream(&labels);
                streams.push((record.level, stream));
                stream
            }
        };
        builder.metadata("detected_level", AttributeRef::String(word));
        builder.metadata("target", AttributeRef::String(record.target));
        let mut line = record.message.clone();
        for (name, value) in &record.fields {
            line.push_str(&format!(" {name}={}", value.as_ref()));
            builder.metadata(name, value.as_ref());
        }
        let entry = Entry {
            timestamp_ns: record.timestamp_ns,
            line: &line,
            severity: number,
            trace_id: record.span.map(|span| span.trace_id),
            span_id: record.span.map(|span| span.span_id),
        };
        builder.entry(stream, entry);
    }
    builder.finish()
}

/// The spans of a batch of records.
#[must_use]
pub(crate) fn spans(records: &[SpanRecord], instance: &str) -> TraceBatch {
    let mut builder = TraceBatchBuilder::default();
    for record in records {
        builder.resource_attribute("service.name", AttributeRef::String(SERVICE));
        builder.resource_attribute("service.instance.id", AttributeRef::String(instance));
        builder.resource_attribute("service.version", AttributeRef::String(env!("CARGO_PKG_VERSION")));
        for (name, value) in &record.fields {
            builder.attribute(name, value.as_ref());
        }
        builder.span(SpanFields {
            trace_id: record.ids.trace_id,
            span_id: record.ids.span_id,
            parent_span_id: record.parent_span_id,
            name: &record.name,
            kind: record.kind,
            start_ns: record.start_ns,
            duration_ns: record.duration_ns,
            status_code: if record.is_error { 2 } else { 0 },
            scope_name: record.target,
            ..SpanFields::default()
        });
    }
    builder.finish()
}
