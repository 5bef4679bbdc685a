//! Reads a batch of spans: typed access to the columns, promoted attributes put back where they belong.

use arrow::array::{
    Array, FixedSizeBinaryArray, Int64Array, ListArray, RecordBatch, StringArray, StructArray, UInt8Array,
    UInt32Array,
};

use super::{AttributeScope, FIRST_PROMOTED_COLUMN, LinkFields, PROMOTED, SPANS_SCHEMA, SpanFields};
use crate::attributes::{AttributeRef, AttributesView};

enum PromotedColumn<'a> {
    Text(&'a StringArray),
    Int(&'a Int64Array),
}

impl<'a> PromotedColumn<'a> {
    fn get(&self, row: usize) -> Option<AttributeRef<'a>> {
        match self {
            PromotedColumn::Text(array) => {
                (!array.is_null(row)).then(|| AttributeRef::String(array.value(row)))
            }
            PromotedColumn::Int(array) => (!array.is_null(row)).then(|| AttributeRef::Int(array.value(row))),
        }
    }
}

/// Typed access to a record batch of [`SPANS_SCHEMA`].
pub struct SpansView<'a> {
    rows: usize,
    trace_ids: &'a FixedSizeBinaryArray,
    span_ids: &'a FixedSizeBinaryArray,
    parents: &'a FixedSizeBinaryArray,
    trace_states: &'a StringArray,
    flags: &'a UInt32Array,
    names: &'a StringArray,
    kinds: &'a UInt8Array,
    starts: &'a Int64Array,
    durations: &'a Int64Array,
    statuses: &'a UInt8Array,
    status_messages: &'a StringArray,
    scope_names: &'a StringArray,
    scope_versions: &'a StringArray,
    dropped: [&'a UInt32Array; 3],
    resource: AttributesView<'a>,
    scope: AttributesView<'a>,
    attributes: AttributesView<'a>,
    events: EventsView<'a>,
    links: LinksView<'a>,
    promoted: Vec<PromotedColumn<'a>>,
}

fn typed<A: 'static>(batch: &RecordBatch, index: usize) -> Option<&A> {
    batch.columns().get(index)?.as_any().downcast_ref::<A>()
}

fn id<const N: usize>(array: &FixedSizeBinaryArray, row: usize) -> [u8; N] {
    array.value(row).try_into().expect("the width was checked when the view was made")
}

impl<'a> SpansView<'a> {
    /// Looks at a batch; `None` where it is not of [`SPANS_SCHEMA`].
    #[must_use]
    pub fn new(batch: &'a RecordBatch) -> Option<Self> {
        let widths = [(0, 16), (1, 8), (2, 8)];
        for (column, width) in widths {
            if typed::<FixedSizeBinaryArray>(batch, column)?.value_length() != width {
                return None;
            }
        }
        let mut promoted = Vec::with_capacity(PROMOTED.len());
        for (i, p) in PROMOTED.iter().enumerate() {
            promoted.push(match p.is_int {
                true => PromotedColumn::Int(typed(batch, FIRST_PROMOTED_COLUMN + i)?),
                false => PromotedColumn::Text(typed(batch, FIRST_PROMOTED_COLUMN + i)?),
            });
        }
        if batch.num_columns() != SPANS_SCHEMA.fields().len() {
            return None;
        }
        Some(Self {
            rows: batch.num_rows(),
            trace_ids: typed(batch, 0)?,
            span_ids: typed(batch, 1)?,
            parents: typed(batch, 2)?,
            trace_states: typed(batch, 3)?,
            flags: typed(batch, 4)?,
            names: typed(batch, 5)?,
            kinds: typed(batch, 6)?,
            starts: typed(batch, 7)?,
            durations: typed(batch, 8)?,
            statuses: typed(batch, 9)?,
            status_messages: typed(batch, 10)?,
            scope_names: typed(batch, 11)?,
            scope_versions: typed(batch, 12)?,
            dropped: [typed(batch, 13)?, typed(batch, 14)?, typed(batch, 15)?],
            resource: AttributesView::new(batch.column(16))?,
            scope: AttributesView::new(batch.column(17))?,
            attributes: AttributesView::new(batch.column(18))?,
            events: EventsView::new(batch.column(19))?,
            links: LinksView::new(batch.column(20))?,
            promoted,
        })
    }

    /// How many spans there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// A span's own fields.
    #[must_use]
    pub fn fields(&self, row: usize) -> SpanFields<'a> {
        SpanFields {
            trace_id: self.trace_id(row),
            span_id: self.span_id(row),
            parent_span_id: self.parent_span_id(row),
            trace_state: self.trace_states.value(row),
            flags: self.flags.value(row),
            name: self.names.value(row),
            kind: self.kinds.value(row),
            start_ns: self.starts.value(row),
            duration_ns: self.durations.value(row),
            status_code: self.statuses.value(row),
            status_message: self.status_messages.value(row),
            scope_name: self.scope_names.value(row),
            scope_version: self.scope_versions.value(row),
            dropped_attributes: self.dropped[0].value(row),
            dropped_events: self.dropped[1].value(row),
            dropped_links: self.dropped[2].value(row),
        }
    }

    /// The trace of a span.
    #[must_use]
    pub fn trace_id(&self, row: usize) -> [u8; 16] {
        id(self.trace_ids, row)
    }

    /// The id of a span.
    #[must_use]
    pub fn span_id(&self, row: usize) -> [u8; 8] {
        id(self.span_ids, row)
    }

    /// The parent of a span; none for a root.
    #[must_use]
    pub fn parent_span_id(&self, row: usize) -> Option<[u8; 8]> {
        (!self.parents.is_null(row)).then(|| id(self.parents, row))
    }

    /// The name of a span.
    #[must_use]
    pub fn name(&self, row: usize) -> &'a str {
        self.names.value(row)
    }

    /// When a span began.
    #[must_use]
    pub fn start_ns(&self, row: usize) -> i64 {
        self.starts.value(row)
    }

    /// How long a span took.
    #[must_use]
    pub fn duration_ns(&self, row: usize) -> i64 {
        self.durations.value(row)
    }

    /// OpenTelemetry's status of a span: 0 unset, 1 ok, 2 error.
    #[must_use]
    pub fn status_code(&self, row: usize) -> u8 {
        self.statuses.value(row)
    }

    /// The name of the service that made a span; empty where it is not told.
    #[must_use]
    pub fn service_name(&self, row: usize) -> &'a str {
        match self.promoted[0].get(row) {
            Some(AttributeRef::String(name)) => name,
            _ => "",
        }
    }

    /// The attributes of a span's resource.
    pub fn resource_attributes(&self, row: usize) -> impl Iterator<Item = (&'a str, AttributeRef<'a>)> {
        self.promoted_of(AttributeScope::Resource, row).chain(self.resource.row(row))
    }

    /// The attributes of a span.
    pub fn attributes(&self, row: usize) -> impl Iterator<Item = (&'a str, AttributeRef<'a>)> {
        self.promoted_of(AttributeScope::Span, row).chain(self.attributes.row(row))
    }

    /// The attributes of a span's instrumentation scope.
    pub fn scope_attributes(&self, row: usize) -> impl Iterator<Item = (&'a str, AttributeRef<'a>)> {
        self.scope.row(row)
    }

    /// One attribute of a span's resource.
    #[must_use]
    pub fn resource_attribute(&self, row: usize, key: &str) -> Option<AttributeRef<'a>> {
        self.promoted_value(AttributeScope::Resource, row, key).or_else(|| self.resource.get(row, key))
    }

    /// One attribute of a span.
    #[must_use]
    pub fn attribute(&self, row: usize, key: &str) -> Option<AttributeRef<'a>> {
        self.promoted_value(AttributeScope::Span, row, key).or_else(|| self.attributes.get(row, key))
    }

    /// One attribute of a span's instrumentation scope.
    #[must_use]
    pub fn scope_attribute(&self, row: usize, key: &str) -> Option<AttributeRef<'a>> {
        self.scope.get(row, key)
    }

    /// The events of all spans.
    #[must_use]
    pub fn events(&self) -> &EventsView<'a> {
        &self.events
    }

    /// The links of all spans.
    #[must_use]
    pub fn links(&self) -> &LinksView<'a> {
        &self.links
    }

    fn promoted_of(
        &self,
        scope: AttributeScope,
        row: usize,
    ) -> impl Iterator<Item = (&'a str, AttributeRef<'a>)> {
        let of_scope = PROMOTED.iter().zip(&self.promoted).filter(move |(p, _)| p.scope == scope);
        of_scope.filter_map(move |(p, column)| Some((p.key, column.get(row)?)))
    }

    fn promoted_value(&self, scope: AttributeScope, row: usize, key: &str) -> Option<AttributeRef<'a>> {
        let index = PROMOTED.iter().position(|p| p.scope == scope && p.key == key)?;
        self.promoted[index].get(row)
    }
}

fn structs(list: &ListArray) -> Option<&StructArray> {
    list.values().as_any().downcast_ref()
}

fn child<A: 'static>(values: &StructArray, index: usize) -> Option<&A> {
    values.columns().get(index)?.as_any().downcast_ref()
}

fn range(list: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offsets = list.value_offsets();
    let at = |i: usize| usize::try_from(offsets[i]).expect("offsets are not negative");
    at(row)..at(row + 1)
}

/// The events of a batch of spans; an event has a number in the whole batch.
pub struct EventsView<'a> {
    list: &'a ListArray,
    times: &'a Int64Array,
    names: &'a StringArray,
    dropped: &'a UInt32Array,
    attributes: AttributesView<'a>,
}

impl<'a> EventsView<'a> {
    fn new(column: &'a dyn Array) -> Option<Self> {
        let list: &ListArray = column.as_any().downcast_ref()?;
        let values = structs(list)?;
        Some(Self {
            list,
            times: child(values, 0)?,
            names: child(values, 1)?,
            dropped: child(values, 2)?,
            attributes: AttributesView::new(values.columns().get(3)?)?,
        })
    }

    /// The numbers of a span's events.
    #[must_use]
    pub fn of_span(&self, row: usize) -> std::ops::Range<usize> {
        range(self.list, row)
    }

    /// When an event happened.
    #[must_use]
    pub fn time_ns(&self, event: usize) -> i64 {
        self.times.value(event)
    }

    /// What an event is called.
    #[must_use]
    pub fn name(&self, event: usize) -> &'a str {
        self.names.value(event)
    }

    /// Attributes that the sender dropped.
    #[must_use]
    pub fn dropped_attributes(&self, event: usize) -> u32 {
        self.dropped.value(event)
    }

    /// The attributes of an event.
    pub fn attributes(&self, event: usize) -> impl Iterator<Item = (&'a str, AttributeRef<'a>)> + use<'a> {
        self.attributes.row(event)
    }
}

/// The links of a batch of spans; a link has a number in the whole batch.
pub struct LinksView<'a> {
    list: &'a ListArray,
    trace_ids: &'a FixedSizeBinaryArray,
    span_ids: &'a FixedSizeBinaryArray,
    states: &'a StringArray,
    flags: &'a UInt32Array,
    dropped: &'a UInt32Array,
    attributes: AttributesView<'a>,
}

impl<'a> LinksView<'a> {
    fn new(column: &'a dyn Array) -> Option<Self> {
        let list: &ListArray = column.as_any().downcast_ref()?;
        let values = structs(list)?;
        let view = Self {
            list,
            trace_ids: child(values, 0)?,
            span_ids: child(values, 1)?,
            states: child(values, 2)?,
            flags: child(values, 3)?,
            dropped: child(values, 4)?,
            attributes: AttributesView::new(values.columns().get(5)?)?,
        };
        (view.trace_ids.value_length() == 16 && view.span_ids.value_length() == 8).then_some(view)
    }

    /// The numbers of a span's links.
    #[must_use]
    pub fn of_span(&self, row: usize) -> std::ops::Range<usize> {
        range(self.list, row)
    }

    /// A link's own fields.
    #[must_use]
    pub fn fields(&self, link: usize) -> LinkFields<'a> {
        LinkFields {
            trace_id: id(self.trace_ids, link),
            span_id: id(self.span_ids, link),
            trace_state: self.states.value(link),
            flags: self.flags.value(link),
            dropped_attributes: self.dropped.value(link),
        }
    }

    /// The attributes of a link.
    pub fn attributes(&self, link: usize) -> impl Iterator<Item = (&'a str, AttributeRef<'a>)> + use<'a> {
        self.attributes.row(link)
    }
}
