//! What a search answers: traces, and the spans in them that the query selected.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use model::attributes::AttributeValue;

use crate::ast::{FieldExpr, Intrinsic};
use crate::eval::field::Field;
use crate::eval::pipeline::Spanset;
use crate::eval::trace::Trace;

/// What stands for the service of a root span that did not arrive.
pub const ROOT_NOT_RECEIVED: &str = "<root span not yet received>";

/// A trace that answers a query.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceMatch {
    /// Its id.
    pub trace_id: [u8; 16],
    /// The service of the span without a parent; [`ROOT_NOT_RECEIVED`] where there is none.
    pub root_service_name: String,
    /// The name of the span without a parent; empty where there is none.
    pub root_trace_name: String,
    /// When its first span began.
    pub start_ns: i64,
    /// From its first start to its last end.
    pub duration_ns: i64,
    /// The spansets that the query leaves: one, unless it groups.
    pub span_sets: Vec<SpanSet>,
    /// Per service, by its name, what it has in the whole trace.
    pub service_stats: Vec<(String, ServiceStats)>,
}

/// How many spans a service has in a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceStats {
    /// All of them.
    pub span_count: usize,
    /// Those whose status is an error.
    pub error_count: usize,
}

/// Spans that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanSet {
    /// The earliest of them, as many as were asked for.
    pub spans: Vec<SpanMatch>,
    /// How many there are.
    pub matched: usize,
    /// What is known of them together: `by(…)`, `count()`, ….
    pub attributes: Vec<(String, AttributeValue)>,
}

/// A span that the query selected.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanMatch {
    /// Its id.
    pub span_id: [u8; 8],
    /// What was done.
    pub name: String,
    /// When it began.
    pub start_ns: i64,
    /// How long it took.
    pub duration_ns: i64,
    /// What the query mentions of it, by the name without the scope. Durations, status and kind are words.
    pub attributes: Vec<(String, AttributeValue)>,
}

/// A field that spans are shown with.
#[derive(Debug)]
pub(crate) struct ShownField {
    key: String,
    field: Field,
}

impl ShownField {
    /// The mentioned fields that an answer does not show anyway, each once.
    pub(crate) fn of(mentioned: &[&FieldExpr]) -> Vec<Self> {
        let mut shown: Vec<Self> = Vec::new();
        for expr in mentioned {
            let next = match expr {
                FieldExpr::Attribute(attribute) => {
                    Self { key: attribute.name.clone(), field: Field::Attribute(attribute.clone()) }
                }
                FieldExpr::Intrinsic(intrinsic) if is_shown(*intrinsic) => {
                    Self { key: intrinsic.name().to_owned(), field: Field::Intrinsic(*intrinsic) }
                }
                _ => continue,
            };
            if !shown.iter().any(|known| known.field == next.field) {
                shown.push(next);
            }
        }
        shown
    }
}

/// Whether an intrinsic is shown as an attribute: those that spans and traces have fields for are not, nor are
/// numbers that only order the tree.
fn is_shown(intrinsic: Intrinsic) -> bool {
    !matches!(
        intrinsic,
        Intrinsic::Name
            | Intrinsic::Duration
            | Intrinsic::SpanId
            | Intrinsic::TraceId
            | Intrinsic::TraceDuration
            | Intrinsic::RootName
            | Intrinsic::RootService
            | Intrinsic::NestedSetLeft
            | Intrinsic::NestedSetRight
            | Intrinsic::NestedSetParent
    )
}

impl TraceMatch {
    /// Describes a trace that has at least one span.
    pub(crate) fn new(
        trace: &Trace<'_>,
        sets: &[Spanset],
        shown: &[ShownField],
        spans_per_spanset: usize,
    ) -> Self {
        let view = &trace.view;
        let mut services: BTreeMap<&str, ServiceStats> = BTreeMap::new();
        for row in 0..trace.rows() {
            let stats = services.entry(view.service_name(row)).or_default();
            stats.span_count += 1;
            stats.error_count += usize::from(view.status_code(row) == 2);
        }
        let root = trace.root();
        Self {
            trace_id: view.trace_id(0),
            root_service_name: root.map_or(ROOT_NOT_RECEIVED, |root| view.service_name(root)).to_owned(),
            root_trace_name: root.map(|root| view.name(root)).unwrap_or_default().to_owned(),
            start_ns: trace.bounds_ns().0,
            duration_ns: trace.duration_ns(),
            span_sets: sets.iter().map(|set| span_set(trace, set, shown, spans_per_spanset)).collect(),
            service_stats: services.into_iter().map(|(name, stats)| (name.to_owned(), stats)).collect(),
        }
    }

    /// By which answers are ordered: newest first by start, ties by trace id.
    pub(crate) fn rank(&self) -> (Reverse<i64>, [u8; 16]) {
        (Reverse(self.start_ns), self.trace_id)
    }

    /// About how much memory it holds.
    pub(crate) fn memory_bytes(&self) -> usize {
        let attributes = |attributes: &[(String, AttributeValue)]| -> usize {
            let text = |value: &AttributeValue| match value {
                AttributeValue::String(v)
                | AttributeValue::Array(v)
                | AttributeValue::Map(v)
                | AttributeValue::Bytes(v) => v.len(),
                AttributeValue::Bool(_) | AttributeValue::Int(_) | AttributeValue::Double(_) => 0,
            };
            attributes.iter().map(|(key, value)| size_of_val(value) + 24 + key.len() + text(value)).sum()
        };
        let span = |span: &SpanMatch| size_of_val(span) + span.name.len() + attributes(&span.attributes);
        let set = |set: &SpanSet| {
            size_of_val(set) + set.spans.iter().map(span).sum::<usize>() + attributes(&set.attributes)
        };
        let services = self.service_stats.iter().map(|entry| size_of_val(entry) + entry.0.len());
        size_of::<Self>()
            + self.root_service_name.len()
            + self.root_trace_name.len()
            + self.span_sets.iter().map(set).sum::<usize>()
            + services.sum::<usize>()
    }
}

fn span_set(trace: &Trace<'_>, set: &Spanset, shown: &[ShownField], limit: usize) -> SpanSet {
    let view = &trace.view;
    let mut selected = set.rows.clone();
    let matched = selected.len();
    selected.sort_by_key(|row| (view.start_ns(*row), view.span_id(*row)));
    selected.truncate(limit);
    let attribute = |(key, value): &(String, Option<crate::value::Value<'static>>)| {
        let value = value.as_ref().map_or_else(|| AttributeValue::String("nil".into()), |v| v.to_attribute());
        (key.clone(), value)
    };
    SpanSet {
        spans: selected.into_iter().map(|row| span_match(trace, row, shown)).collect(),
        matched,
        attributes: set.attributes.iter().map(attribute).collect(),
    }
}

fn span_match(trace: &Trace<'_>, row: usize, shown: &[ShownField]) -> SpanMatch {
    let view = &trace.view;
    let mut attributes: Vec<(String, AttributeValue)> = Vec::new();
    for ShownField { key, field } in shown {
        // One key may come from two scopes: the one that was mentioned first stands.
        if attributes.iter().any(|(known, _)| known == key) {
            continue;
        }
        field.any(trace, row, &mut |value| {
            attributes.push((key.clone(), value.to_attribute()));
            true
        });
    }
    SpanMatch {
        span_id: view.span_id(row),
        name: view.name(row).to_owned(),
        start_ns: view.start_ns(row),
        duration_ns: view.duration_ns(row),
        attributes,
    }
}
