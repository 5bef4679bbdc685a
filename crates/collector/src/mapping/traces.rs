//! OTLP spans to rows of spans; nothing is left out save what the columns cannot hold: ids of other lengths.

use model::AttributeRef;
use model::ingest::{Batch, Reason, Receipt};
use model::tenant::Access;
use model::trace::{LinkFields, SpanFields, TraceBatchBuilder};
use wire::otlp::common::{InstrumentationScope, KeyValue};
use wire::otlp::{ItemView, PairView, RequestView, SpanPart, SpanView, ValueView};

use super::attributes::{self, Typed};
use super::size::{ATTRIBUTE_BYTES, SPAN_BYTES, lend_resource, lend_scope, lend_value};
use super::tenant::{Mapped, Tenants, items};
use crate::bounds::cut;
use crate::error::CollectorError;
use crate::receivers::Room;

/// Maps a request to a batch per tenant. `room` is asked for everything before it is written.
///
/// # Errors
/// When the body is no request, or there is no room for what it becomes.
pub(crate) fn map(
    request: RequestView<'_>,
    access: &Access,
    room: &mut Room<'_>,
) -> Result<Mapped, CollectorError> {
    let mut tenants: Tenants<'_, TraceBatchBuilder> = Tenants::new(access);
    let mut parts = Parts::default();
    let mut total = 0;
    for view in request.resources() {
        let view = view?;
        let spans = items(view)?;
        total += spans;
        lend_resource(view, room)?;
        let resource = view.resource()?;
        let Some((context, builder, receipt)) = tenants.of(resource.as_ref(), || spans) else { continue };
        let attributes = resource.as_ref().map_or(&[][..], |r| &r.attributes);
        let max_bytes = context.limits().traces.max_attribute_bytes;
        for scope in view.scopes() {
            let scope = scope?;
            lend_scope(scope, room)?;
            let of = scope.scope()?;
            let mut rows =
                Rows { builder, receipt, max_bytes, room, resource: attributes, scope: of.as_ref() };
            let span_bytes = rows.shared_bytes();
            for item in scope.items() {
                rows.room.take(span_bytes)?;
                rows.span(item?, &mut parts)?;
            }
        }
    }
    Ok(tenants.finish(total, |mut builder| Batch::Traces(builder.finish())))
}

/// An id of the right length that is not all zeros.
pub(crate) fn id<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let id: [u8; N] = bytes.try_into().ok()?;
    (id != [0; N]).then_some(id)
}

fn clamped(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

/// What a span has any number of, kept until the span is known to be valid, in lists that are used again.
#[derive(Debug, Default)]
struct Parts<'a> {
    attributes: Vec<PairView<'a>>,
    events: Vec<ItemView<'a>>,
    links: Vec<ItemView<'a>>,
    /// The attributes of one event or link.
    own: Vec<(&'a str, Typed<'a>)>,
}

impl<'a> Parts<'a> {
    fn keep(&mut self, part: SpanPart<'a>) {
        match part {
            SpanPart::Attribute(pair) => self.attributes.push(pair),
            SpanPart::Event(item) => self.events.push(item),
            SpanPart::Link(item) => self.links.push(item),
        }
    }
}

/// The ids of a span that are valid.
struct Ids {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    parent_span_id: Option<[u8; 8]>,
}

/// What the spans of one scope are added to, and what they share.
struct Rows<'a, 'h> {
    builder: &'a mut TraceBatchBuilder,
    receipt: &'a mut Receipt,
    max_bytes: usize,
    room: &'a mut Room<'h>,
    resource: &'a [KeyValue],
    scope: Option<&'a InstrumentationScope>,
}

impl Rows<'_, '_> {
    /// What every span takes, with what it carries of its resource and scope.
    fn shared_bytes(&self) -> usize {
        let pair = |pair: &KeyValue| ATTRIBUTE_BYTES + prost::Message::encoded_len(pair);
        let scope = self.scope.map_or(0, |s| s.name.len() + s.version.len());
        let of_scope = self.scope.map_or(&[][..], |s| &s.attributes);
        SPAN_BYTES + scope + self.resource.iter().chain(of_scope).map(pair).sum::<usize>()
    }

    fn reject(&mut self, reason: Reason, span: &SpanView<'_>, what: &str, bytes: &[u8]) {
        let head = &bytes[..bytes.len().min(32)];
        let name = crate::bounds::shortened(span.name);
        self.receipt
            .reject(reason, 1, || format!("span=`{name}`: {what} is not valid: `{}`", hex::encode(head)));
    }

    fn span<'v>(&mut self, item: ItemView<'v>, parts: &mut Parts<'v>) -> Result<(), CollectorError> {
        parts.attributes.clear();
        parts.events.clear();
        parts.links.clear();
        let span = item.span(|part| {
            self.room.take(ATTRIBUTE_BYTES)?;
            parts.keep(part);
            Ok::<(), CollectorError>(())
        })?;
        let Some(Ids { trace_id, span_id, parent_span_id }) = self.ids(&span) else { return Ok(()) };
        self.room.take(item.bytes())?;
        let max_bytes = self.max_bytes;
        for pair in self.resource {
            bounded(pair, max_bytes, |value| self.builder.resource_attribute(&pair.key, value));
        }
        for pair in self.scope.map_or(&[][..], |s| &s.attributes) {
            bounded(pair, max_bytes, |value| self.builder.scope_attribute(&pair.key, value));
        }
        for pair in &parts.attributes {
            let value = self.typed(pair.value)?;
            self.builder.attribute(pair.key, cut_value(value.as_ref(), max_bytes));
        }
        for event in &parts.events {
            self.event(*event, &mut parts.own)?;
        }
        let mut left_out = 0;
        for link in &parts.links {
            left_out += u32::from(!self.link(*link, &mut parts.own)?);
        }
        let start_ns = clamped(span.start_time_unix_nano);
        self.builder.span(SpanFields {
            trace_id,
            span_id,
            parent_span_id,
            trace_state: span.trace_state,
            flags: span.flags,
            name: cut(span.name, max_bytes),
            kind: u8::try_from(span.kind).ok().filter(|kind| *kind <= 5).unwrap_or(0),
            start_ns,
            duration_ns: clamped(span.end_time_unix_nano).saturating_sub(start_ns).max(0),
            status_code: u8::try_from(span.status_code).ok().filter(|code| *code <= 2).unwrap_or(0),
            status_message: cut(span.status_message, max_bytes),
            scope_name: self.scope.map_or("", |s| &s.name),
            scope_version: self.scope.map_or("", |s| &s.version),
            dropped_attributes: span.dropped_attributes_count,
            dropped_events: span.dropped_events_count,
            dropped_links: span.dropped_links_count.saturating_add(left_out),
        });
        Ok(())
    }

    /// Trace, span and parent; none when one is not valid, and then the span is rejected.
    fn ids(&mut self, span: &SpanView<'_>) -> Option<Ids> {
        let Some(trace_id) = id(span.trace_id) else {
            self.reject(Reason::InvalidTraceId, span, "trace id", span.trace_id);
            return None;
        };
        let Some(span_id) = id(span.span_id) else {
            self.reject(Reason::InvalidSpanId, span, "span id", span.span_id);
            return None;
        };
        let parent = id(span.parent_span_id);
        if parent.is_none() && span.parent_span_id.iter().any(|byte| *byte != 0) {
            self.reject(Reason::InvalidSpanId, span, "parent span id", span.parent_span_id);
            return None;
        }
        Some(Ids { trace_id, span_id, parent_span_id: parent })
    }

    /// A value as a typed attribute; what is written out is asked for.
    fn typed<'v>(&mut self, value: ValueView<'v>) -> Result<Typed<'v>, CollectorError> {
        if let ValueView::Nested(nested) = value {
            lend_value(nested, self.room)?;
        }
        let value = attributes::typed_view(value)?;
        if let Typed::Written(written) = &value {
            self.room.take(attributes::text_len(written.as_ref()))?;
        }
        Ok(value)
    }

    fn event<'v>(
        &mut self,
        item: ItemView<'v>,
        own: &mut Vec<(&'v str, Typed<'v>)>,
    ) -> Result<(), CollectorError> {
        own.clear();
        let event = item.event(|pair| self.own(pair, own))?;
        let max_bytes = self.max_bytes;
        let pairs = own.iter().map(|(key, value)| (*key, cut_value(value.as_ref(), max_bytes)));
        let (time_ns, name) = (clamped(event.time_unix_nano), cut(event.name, max_bytes));
        self.builder.event(time_ns, name, event.dropped_attributes_count, pairs);
        Ok(())
    }

    /// Adds a link; says no where it points nowhere, and then it is left out.
    fn link<'v>(
        &mut self,
        item: ItemView<'v>,
        own: &mut Vec<(&'v str, Typed<'v>)>,
    ) -> Result<bool, CollectorError> {
        own.clear();
        let link = item.link(|pair| self.own(pair, own))?;
        let (Some(trace_id), Some(span_id)) = (id(link.trace_id), id(link.span_id)) else { return Ok(false) };
        let fields = LinkFields {
            trace_id,
            span_id,
            trace_state: link.trace_state,
            flags: link.flags,
            dropped_attributes: link.dropped_attributes_count,
        };
        let max_bytes = self.max_bytes;
        let pairs = own.iter().map(|(key, value)| (*key, cut_value(value.as_ref(), max_bytes)));
        self.builder.link(fields, pairs);
        Ok(true)
    }

    /// Keeps an attribute of an event or link.
    fn own<'v>(
        &mut self,
        pair: PairView<'v>,
        own: &mut Vec<(&'v str, Typed<'v>)>,
    ) -> Result<(), CollectorError> {
        self.room.take(2 * ATTRIBUTE_BYTES)?;
        own.push((pair.key, self.typed(pair.value)?));
        Ok(())
    }
}

/// Calls `give` with an attribute's value; text over the bound is cut.
fn bounded(pair: &KeyValue, max_bytes: usize, give: impl FnOnce(AttributeRef<'_>)) {
    attributes::with_typed(pair.value.as_ref(), |value| give(cut_value(value, max_bytes)));
}

/// A value whose text is within the bound.
fn cut_value(value: AttributeRef<'_>, max_bytes: usize) -> AttributeRef<'_> {
    match value {
        AttributeRef::String(text) => AttributeRef::String(cut(text, max_bytes)),
        // What is cut is not Base64 or JSON any more.
        AttributeRef::Bytes(text) | AttributeRef::Array(text) | AttributeRef::Map(text)
            if text.len() > max_bytes =>
        {
            AttributeRef::String(cut(text, max_bytes))
        }
        other => other,
    }
}
