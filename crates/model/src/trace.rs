//! A batch of spans: one row each, with the attributes that everybody asks for as columns of their own.

mod builder;

mod view;

use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

pub use builder::{LinkFields, SpanFields, TraceBatchBuilder};
pub use view::{EventsView, LinksView, SpansView};

use crate::attributes::attributes_type;

/// Where an attribute is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttributeScope {
    /// The resource that made the span.
    Resource,
    /// The span.
    Span,
}

/// An attribute with a column of its own. Where the value has the column's type it stands there and nowhere else;
/// otherwise it stands among the other attributes.
#[derive(Clone, Copy, Debug)]
pub struct Promoted {
    /// Where the attribute is attached.
    pub scope: AttributeScope,
    /// Its key.
    pub key: &'static str,
    /// The column's name: `resource.` or `span.` and the key.
    pub column: &'static str,
    /// Whether the column holds integers; otherwise text.
    pub is_int: bool,
}

const fn promoted(scope: AttributeScope, key: &'static str, column: &'static str, is_int: bool) -> Promoted {
    Promoted { scope, key, column, is_int }
}

/// The attributes with columns of their own, in the order of the columns.
pub const PROMOTED: [Promoted; 16] = {
    use AttributeScope::{Resource, Span};
    [
        promoted(Resource, "service.name", "resource.service.name", false),
        promoted(Resource, "service.namespace", "resource.service.namespace", false),
        promoted(Resource, "service.instance.id", "resource.service.instance.id", false),
        promoted(Resource, "deployment.environment", "resource.deployment.environment", false),
        promoted(Resource, "k8s.namespace.name", "resource.k8s.namespace.name", false),
        promoted(Resource, "k8s.pod.name", "resource.k8s.pod.name", false),
        promoted(Span, "http.method", "span.http.method", false),
        promoted(Span, "http.request.method", "span.http.request.method", false),
        promoted(Span, "http.route", "span.http.route", false),
        promoted(Span, "http.url", "span.http.url", false),
        promoted(Span, "url.path", "span.url.path", false),
        promoted(Span, "http.status_code", "span.http.status_code", true),
        promoted(Span, "http.response.status_code", "span.http.response.status_code", true),
        promoted(Span, "db.system", "span.db.system", false),
        promoted(Span, "rpc.method", "span.rpc.method", false),
        promoted(Span, "messaging.system", "span.messaging.system", false),
    ]
};

/// The column number of the first promoted attribute in [`SPANS_SCHEMA`].
pub const FIRST_PROMOTED_COLUMN: usize = 21;

fn event_fields() -> Fields {
    Fields::from(vec![
        Field::new("time_ns", DataType::Int64, false),
        Field::new("name", DataType::Utf8, false),
        Field::new("dropped_attributes", DataType::UInt32, false),
        Field::new("attributes", attributes_type(), false),
    ])
}

fn link_fields() -> Fields {
    Fields::from(vec![
        Field::new("trace_id", DataType::FixedSizeBinary(16), false),
        Field::new("span_id", DataType::FixedSizeBinary(8), false),
        Field::new("trace_state", DataType::Utf8, false),
        Field::new("flags", DataType::UInt32, false),
        Field::new("dropped_attributes", DataType::UInt32, false),
        Field::new("attributes", attributes_type(), false),
    ])
}

fn list_of(fields: Fields) -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Struct(fields), false)))
}

/// The columns of a span: 21 fixed ones, then [`PROMOTED`] (null where absent).
///
/// `kind` and `status_code` are OpenTelemetry's numbers; times and durations are nanoseconds; `trace_state`,
/// `status_message`, `scope_name` and `scope_version` are empty where absent; `parent_span_id` is null for a root.
pub static SPANS_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = vec![
        Field::new("trace_id", DataType::FixedSizeBinary(16), false),
        Field::new("span_id", DataType::FixedSizeBinary(8), false),
        Field::new("parent_span_id", DataType::FixedSizeBinary(8), true),
        Field::new("trace_state", DataType::Utf8, false),
        Field::new("flags", DataType::UInt32, false),
        Field::new("name", DataType::Utf8, false),
        Field::new("kind", DataType::UInt8, false),
        Field::new("start_ns", DataType::Int64, false),
        Field::new("duration_ns", DataType::Int64, false),
        Field::new("status_code", DataType::UInt8, false),
        Field::new("status_message", DataType::Utf8, false),
        Field::new("scope_name", DataType::Utf8, false),
        Field::new("scope_version", DataType::Utf8, false),
        Field::new("dropped_attributes", DataType::UInt32, false),
        Field::new("dropped_events", DataType::UInt32, false),
        Field::new("dropped_links", DataType::UInt32, false),
        Field::new("resource_attributes", attributes_type(), false),
        Field::new("scope_attributes", attributes_type(), false),
        Field::new("attributes", attributes_type(), false),
        Field::new("events", list_of(event_fields()), false),
        Field::new("links", list_of(link_fields()), false),
    ];
    debug_assert_eq!(fields.len(), FIRST_PROMOTED_COLUMN, "the promoted columns follow the fixed ones");
    fields.extend(
        PROMOTED
            .iter()
            .map(|p| Field::new(p.column, if p.is_int { DataType::Int64 } else { DataType::Utf8 }, true)),
    );
    Arc::new(Schema::new(fields))
});

/// Spans of one tenant, in any order.
#[derive(Clone, Debug)]
pub struct TraceBatch {
    /// A row per span, of [`SPANS_SCHEMA`].
    pub spans: RecordBatch,
}

#[cfg(test)]
mod tests;
