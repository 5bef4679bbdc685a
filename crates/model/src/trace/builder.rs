//! Builds a batch of spans, one after the other.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, FixedSizeBinaryBuilder, Int64Builder, ListArray, RecordBatch, StringBuilder,
    StructArray, UInt8Builder, UInt32Builder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, Fields};

use super::{AttributeScope, PROMOTED, Promoted, SPANS_SCHEMA, TraceBatch, event_fields, link_fields};
use crate::attributes::{AttributeRef, AttributesBuilder};

/// A span's own fields.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpanFields<'a> {
    /// The trace that it belongs to.
    pub trace_id: [u8; 16],
    /// Its id within the trace.
    pub span_id: [u8; 8],
    /// The span that caused it; none for a root.
    pub parent_span_id: Option<[u8; 8]>,
    /// W3C trace state.
    pub trace_state: &'a str,
    /// W3C trace flags.
    pub flags: u32,
    /// What was done.
    pub name: &'a str,
    /// OpenTelemetry's span kind, 0 to 5.
    pub kind: u8,
    /// When it began.
    pub start_ns: i64,
    /// How long it took.
    pub duration_ns: i64,
    /// OpenTelemetry's status: 0 unset, 1 ok, 2 error.
    pub status_code: u8,
    /// The status' text.
    pub status_message: &'a str,
    /// The instrumentation scope's name.
    pub scope_name: &'a str,
    /// The instrumentation scope's version.
    pub scope_version: &'a str,
    /// Attributes that the sender dropped.
    pub dropped_attributes: u32,
    /// Events that the sender dropped.
    pub dropped_events: u32,
    /// Links that the sender dropped.
    pub dropped_links: u32,
}

/// A link's own fields.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkFields<'a> {
    /// The trace linked to.
    pub trace_id: [u8; 16],
    /// The span linked to.
    pub span_id: [u8; 8],
    /// W3C trace state of the link.
    pub trace_state: &'a str,
    /// W3C trace flags of the link.
    pub flags: u32,
    /// Attributes that the sender dropped.
    pub dropped_attributes: u32,
}

#[derive(Debug)]
enum PromotedColumn {
    Text(StringBuilder, Option<usize>),
    Int(Int64Builder, Option<usize>),
}

/// Builds a [`TraceBatch`]: for each span its attributes, events and links, then [`TraceBatchBuilder::span`].
#[derive(Debug)]
pub struct TraceBatchBuilder {
    rows: usize,
    trace_ids: FixedSizeBinaryBuilder,
    span_ids: FixedSizeBinaryBuilder,
    parents: FixedSizeBinaryBuilder,
    /// `trace_state`, `name`, `status_message`, `scope_name`, `scope_version`.
    texts: [StringBuilder; 5],
    /// `flags`, `dropped_attributes`, `dropped_events`, `dropped_links`.
    numbers: [UInt32Builder; 4],
    kinds: UInt8Builder,
    starts: Int64Builder,
    durations: Int64Builder,
    statuses: UInt8Builder,
    resource: AttributesBuilder,
    scope: AttributesBuilder,
    attributes: AttributesBuilder,
    events: EventsBuilder,
    links: LinksBuilder,
    promoted: Vec<PromotedColumn>,
}

impl Default for TraceBatchBuilder {
    fn default() -> Self {
        let column = |p: &Promoted| match p.is_int {
            true => PromotedColumn::Int(Int64Builder::new(), None),
            false => PromotedColumn::Text(StringBuilder::new(), None),
        };
        Self {
            rows: 0,
            trace_ids: FixedSizeBinaryBuilder::new(16),
            span_ids: FixedSizeBinaryBuilder::new(8),
            parents: FixedSizeBinaryBuilder::new(8),
            texts: Default::default(),
            numbers: Default::default(),
            kinds: UInt8Builder::new(),
            starts: Int64Builder::new(),
            durations: Int64Builder::new(),
            statuses: UInt8Builder::new(),
            resource: AttributesBuilder::default(),
            scope: AttributesBuilder::default(),
            attributes: AttributesBuilder::default(),
            events: EventsBuilder::default(),
            links: LinksBuilder::default(),
            promoted: PROMOTED.iter().map(column).collect(),
        }
    }
}

impl TraceBatchBuilder {
    /// Adds an attribute of the resource of the span that comes next.
    pub fn resource_attribute(&mut self, key: &str, value: AttributeRef<'_>) {
        if !self.promote(AttributeScope::Resource, key, value) {
            self.resource.push(key, value);
        }
    }

    /// Adds an attribute of the instrumentation scope of the span that comes next.
    pub fn scope_attribute(&mut self, key: &str, value: AttributeRef<'_>) {
        self.scope.push(key, value);
    }

    /// Adds an attribute of the span that comes next.
    pub fn attribute(&mut self, key: &str, value: AttributeRef<'_>) {
        if !self.promote(AttributeScope::Span, key, value) {
            self.attributes.push(key, value);
        }
    }

    /// Adds an event of the span that comes next.
    pub fn event<'v>(
        &mut self,
        time_ns: i64,
        name: &str,
        dropped_attributes: u32,
        attributes: impl IntoIterator<Item = (&'v str, AttributeRef<'v>)>,
    ) {
        self.events.times.append_value(time_ns);
        self.events.names.append_value(name);
        self.events.dropped.append_value(dropped_attributes);
        push_row(&mut self.events.attributes, attributes);
    }

    /// Adds a link of the span that comes next.
    pub fn link<'v>(
        &mut self,
        fields: LinkFields<'_>,
        attributes: impl IntoIterator<Item = (&'v str, AttributeRef<'v>)>,
    ) {
        self.links.trace_ids.append_value(fields.trace_id).expect("the width is the builder's");
        self.links.span_ids.append_value(fields.span_id).expect("the width is the builder's");
        self.links.states.append_value(fields.trace_state);
        self.links.flags.append_value(fields.flags);
        self.links.dropped.append_value(fields.dropped_attributes);
        push_row(&mut self.links.attributes, attributes);
    }

    /// Adds a span with what was pushed since the last one.
    pub fn span(&mut self, span: SpanFields<'_>) {
        self.trace_ids.append_value(span.trace_id).expect("the width is the builder's");
        self.span_ids.append_value(span.span_id).expect("the width is the builder's");
        match span.parent_span_id {
            Some(id) => self.parents.append_value(id).expect("the width is the builder's"),
            None => self.parents.append_null(),
        }
        let texts = [span.trace_state, span.name, span.status_message, span.scope_name, span.scope_version];
        self.texts.iter_mut().zip(texts).for_each(|(builder, text)| builder.append_value(text));
        let numbers = [span.flags, span.dropped_attributes, span.dropped_events, span.dropped_links];
        self.numbers.iter_mut().zip(numbers).for_each(|(builder, number)| builder.append_value(number));
        self.kinds.append_value(span.kind);
        self.starts.append_value(span.start_ns);
        self.durations.append_value(span.duration_ns);
        self.statuses.append_value(span.status_code);
        self.resource.end_row();
        self.scope.end_row();
        self.attributes.end_row();
        self.events.offsets.push(list_offset(self.events.times.values_slice().len()));
        self.links.offsets.push(list_offset(self.links.flags.values_slice().len()));
        for column in &mut self.promoted {
            match column {
                PromotedColumn::Text(builder, row) if *row != Some(self.rows) => builder.append_null(),
                PromotedColumn::Int(builder, row) if *row != Some(self.rows) => builder.append_null(),
                _ => {}
            }
        }
        self.rows += 1;
    }

    /// Spans so far.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The batch; the builder is empty afterwards.
    pub fn finish(&mut self) -> TraceBatch {
        self.rows = 0;
        let [trace_state, name, status_message, scope_name, scope_version] = &mut self.texts;
        let [flags, dropped_attributes, dropped_events, dropped_links] = &mut self.numbers;
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.trace_ids.finish()),
            Arc::new(self.span_ids.finish()),
            Arc::new(self.parents.finish()),
            Arc::new(trace_state.finish()),
            Arc::new(flags.finish()),
            Arc::new(name.finish()),
            Arc::new(self.kinds.finish()),
            Arc::new(self.starts.finish()),
            Arc::new(self.durations.finish()),
            Arc::new(self.statuses.finish()),
            Arc::new(status_message.finish()),
            Arc::new(scope_name.finish()),
            Arc::new(scope_version.finish()),
            Arc::new(dropped_attributes.finish()),
            Arc::new(dropped_events.finish()),
            Arc::new(dropped_links.finish()),
            Arc::new(self.resource.finish()),
            Arc::new(self.scope.finish()),
            Arc::new(self.attributes.finish()),
            Arc::new(self.events.finish()),
            Arc::new(self.links.finish()),
        ];
        columns.extend(self.promoted.iter_mut().map(|column| -> ArrayRef {
            match column {
                PromotedColumn::Text(builder, row) => {
                    *row = None;
                    Arc::new(builder.finish())
                }
                PromotedColumn::Int(builder, row) => {
                    *row = None;
                    Arc::new(builder.finish())
                }
            }
        }));
        // They stay in memory for a while, and the builders have grown by doubling.
        columns.iter_mut().for_each(|column| column.shrink_to_fit());
        let spans = RecordBatch::try_new(Arc::clone(&SPANS_SCHEMA), columns);
        TraceBatch { spans: spans.expect("the builders are of the schema's types") }
    }

    /// Puts an attribute into its own column; says no where it has none, or the value is of another type, or the
    /// column of this row is taken.
    fn promote(&mut self, scope: AttributeScope, key: &str, value: AttributeRef<'_>) -> bool {
        let Some(index) = PROMOTED.iter().position(|p| p.scope == scope && p.key == key) else {
            return false;
        };
        let this = Some(self.rows);
        match (&mut self.promoted[index], value) {
            (PromotedColumn::Text(builder, row), AttributeRef::String(text)) if *row != this => {
                builder.append_value(text);
                *row = this;
                true
            }
            (PromotedColumn::Int(builder, row), AttributeRef::Int(number)) if *row != this => {
                builder.append_value(number);
                *row = this;
                true
            }
            _ => false,
        }
    }
}

fn push_row<'v>(
    builder: &mut AttributesBuilder,
    attributes: impl IntoIterator<Item = (&'v str, AttributeRef<'v>)>,
) {
    for (key, value) in attributes {
        builder.push(key, value);
    }
    builder.end_row();
}

fn list_offset(len: usize) -> i32 {
    i32::try_from(len).expect("a batch is bounded far below 2^31 events and links")
}

fn list(fields: Fields, columns: Vec<ArrayRef>, offsets: &mut Vec<i32>) -> ListArray {
    let offsets = std::mem::replace(offsets, vec![0]);
    let values = StructArray::new(fields, columns, None);
    let item = Field::new("item", arrow::datatypes::DataType::Struct(values.fields().clone()), false);
    ListArray::new(Arc::new(item), OffsetBuffer::new(offsets.into()), Arc::new(values), None)
}

#[derive(Debug)]
struct EventsBuilder {
    offsets: Vec<i32>,
    times: Int64Builder,
    names: StringBuilder,
    dropped: UInt32Builder,
    attributes: AttributesBuilder,
}

impl Default for EventsBuilder {
    fn default() -> Self {
        Self {
            offsets: vec![0],
            times: Int64Builder::new(),
            names: StringBuilder::new(),
            dropped: UInt32Builder::new(),
            attributes: AttributesBuilder::default(),
        }
    }
}

impl EventsBuilder {
    fn finish(&mut self) -> ListArray {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.times.finish()),
            Arc::new(self.names.finish()),
            Arc::new(self.dropped.finish()),
            Arc::new(self.attributes.finish()),
        ];
        list(event_fields(), columns, &mut self.offsets)
    }
}

#[derive(Debug)]
struct LinksBuilder {
    offsets: Vec<i32>,
    trace_ids: FixedSizeBinaryBuilder,
    span_ids: FixedSizeBinaryBuilder,
    states: StringBuilder,
    flags: UInt32Builder,
    dropped: UInt32Builder,
    attributes: AttributesBuilder,
}

impl Default for LinksBuilder {
    fn default() -> Self {
        Self {
            offsets: vec![0],
            trace_ids: FixedSizeBinaryBuilder::new(16),
            span_ids: FixedSizeBinaryBuilder::new(8),
            states: StringBuilder::new(),
            flags: UInt32Builder::new(),
            dropped: UInt32Builder::new(),
            attributes: AttributesBuilder::default(),
        }
    }
}

impl LinksBuilder {
    fn finish(&mut self) -> ListArray {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.trace_ids.finish()),
            Arc::new(self.span_ids.finish()),
            Arc::new(self.states.finish()),
            Arc::new(self.flags.finish()),
            Arc::new(self.dropped.finish()),
            Arc::new(self.attributes.finish()),
        ];
        list(link_fields(), columns, &mut self.offsets)
    }
}
