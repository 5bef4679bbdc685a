//! OTLP spans to rows of spans; nothing is left out save what the columns cannot hold: ids of other lengths.

use model::AttributeRef;
use model::AttributeValue;
use model::ingest::{Batch, Reason, Receipt};
use model::tenant::Access;
use model::trace::{LinkFields, SpanFields, TraceBatchBuilder};
use wire::otlp::ExportTraceServiceRequest;
use wire::otlp::common::{InstrumentationScope, KeyValue};
use wire::otlp::trace::{ResourceSpans, Span};

use super::attributes;
use super::tenant::{Mapped, Tenants};
use crate::bounds::cut;

/// Maps a request to a batch per tenant.
pub(crate) fn map(request: &ExportTraceServiceRequest, access: &Access) -> Mapped {
    let mut tenants: Tenants<'_, TraceBatchBuilder> = Tenants::new(access);
    for resource in &request.resource_spans {
        let Some((context, builder, receipt)) = tenants.of(resource.resource.as_ref(), || spans(resource))
        else {
            continue;
        };
        let mut rows = Rows { builder, receipt, max_bytes: context.limits().max_attribute_bytes };
        let attributes = resource.resource.as_ref().map_or(&[][..], |r| &r.attributes);
        for scope in &resource.scope_spans {
            for span in &scope.spans {
                rows.span(span, attributes, scope.scope.as_ref());
            }
        }
    }
    let items = request.resource_spans.iter().map(spans).sum();
    tenants.finish(items, |mut builder| Batch::Traces(builder.finish()))
}

fn spans(resource: &ResourceSpans) -> usize {
    resource.scope_spans.iter().map(|scope| scope.spans.len()).sum()
}

/// An id of the right length that is not all zeros.
pub(crate) fn id<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let id: [u8; N] = bytes.try_into().ok()?;
    (id != [0; N]).then_some(id)
}

fn clamped(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

struct Rows<'a> {
    builder: &'a mut TraceBatchBuilder,
    receipt: &'a mut Receipt,
    max_bytes: usize,
}

impl Rows<'_> {
    fn reject(&mut self, reason: Reason, span: &Span, what: &str, bytes: &[u8]) {
        let head = &bytes[..bytes.len().min(32)];
        let name = crate::bounds::shortened(&span.name);
        self.receipt
            .reject(reason, 1, || format!("span=`{name}`: {what} is not valid: `{}`", hex::encode(head)));
    }

    fn span(&mut self, span: &Span, resource: &[KeyValue], scope: Option<&InstrumentationScope>) {
        let Some(trace_id) = id(&span.trace_id) else {
            return self.reject(Reason::InvalidTraceId, span, "trace id", &span.trace_id);
        };
        let Some(span_id) = id(&span.span_id) else {
            return self.reject(Reason::InvalidSpanId, span, "span id", &span.span_id);
        };
        let parent_span_id = id(&span.parent_span_id);
        if parent_span_id.is_none() && span.parent_span_id.iter().any(|byte| *byte != 0) {
            return self.reject(Reason::InvalidSpanId, span, "parent span id", &span.parent_span_id);
        }
        let max_bytes = self.max_bytes;
        for pair in resource {
            bounded(pair, max_bytes, |value| self.builder.resource_attribute(&pair.key, value));
        }
        for pair in scope.map_or(&[][..], |s| &s.attributes) {
            bounded(pair, max_bytes, |value| self.builder.scope_attribute(&pair.key, value));
        }
        for pair in &span.attributes {
            bounded(pair, max_bytes, |value| self.builder.attribute(&pair.key, value));
        }
        for event in &span.events {
            let owned = owned(&event.attributes, max_bytes);
            let pairs = owned.iter().map(|(key, value)| (*key, value.as_ref()));
            let time_ns = clamped(event.time_unix_nano);
            self.builder.event(time_ns, cut(&event.name, max_bytes), event.dropped_attributes_count, pairs);
        }
        let dropped_links = span.dropped_links_count.saturating_add(self.links(span));
        let status = span.status.as_ref();
        let start_ns = clamped(span.start_time_unix_nano);
        self.builder.span(SpanFields {
            trace_id,
            span_id,
            parent_span_id,
            trace_state: &span.trace_state,
            flags: span.flags,
            name: cut(&span.name, max_bytes),
            kind: u8::try_from(span.kind).ok().filter(|kind| *kind <= 5).unwrap_or(0),
            start_ns,
            duration_ns: clamped(span.end_time_unix_nano).saturating_sub(start_ns).max(0),
            status_code: status
                .and_then(|s| u8::try_from(s.code).ok())
                .filter(|code| *code <= 2)
                .unwrap_or(0),
            status_message: status.map_or("", |s| cut(&s.message, max_bytes)),
            scope_name: scope.map_or("", |s| &s.name),
            scope_version: scope.map_or("", |s| &s.version),
            dropped_attributes: span.dropped_attributes_count,
            dropped_events: span.dropped_events_count,
            dropped_links,
        });
    }

    /// Adds the links of a span; gives how many point nowhere and were left out.
    fn links(&mut self, span: &Span) -> u32 {
        let mut dropped = 0;
        for link in &span.links {
            let (Some(trace_id), Some(span_id)) = (id(&link.trace_id), id(&link.span_id)) else {
                dropped += 1;
                continue;
            };
            let fields = LinkFields {
                trace_id,
                span_id,
                trace_state: &link.trace_state,
                flags: link.flags,
                dropped_attributes: link.dropped_attributes_count,
            };
            let owned = owned(&link.attributes, self.max_bytes);
            self.builder.link(fields, owned.iter().map(|(key, value)| (*key, value.as_ref())));
        }
        dropped
    }
}

/// Calls `give` with an attribute's value; text over the bound is cut.
fn bounded(pair: &KeyValue, max_bytes: usize, give: impl FnOnce(AttributeRef<'_>)) {
    attributes::with_typed(pair.value.as_ref(), |value| {
        give(match value {
            AttributeRef::String(text) => AttributeRef::String(cut(text, max_bytes)),
            // What is cut is not Base64 or JSON any more.
            AttributeRef::Bytes(text) | AttributeRef::Array(text) | AttributeRef::Map(text)
                if text.len() > max_bytes =>
            {
                AttributeRef::String(cut(text, max_bytes))
            }
            other => other,
        });
    });
}

fn owned(pairs: &[KeyValue], max_bytes: usize) -> Vec<(&str, AttributeValue)> {
    let value = |pair| {
        let mut value = AttributeValue::Bool(false);
        bounded(pair, max_bytes, |v| value = v.to_owned());
        value
    };
    pairs.iter().map(|pair| (pair.key.as_str(), value(pair))).collect()
}
