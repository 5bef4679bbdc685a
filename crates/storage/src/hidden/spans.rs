//! Spans that may not be seen, by their attributes.

use std::borrow::Cow;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use model::trace::{SPANS_SCHEMA, SpansView};
use model::{AttributeRef, Matcher, TimeRange};

use crate::error::StorageError;

/// Before the key of an attribute of a resource.
const RESOURCE: &str = "resource.";
/// Before the key of an attribute of a span.
const SPAN: &str = "span.";

/// Spans that meet matchers and began within a time.
#[derive(Clone, Debug)]
pub(crate) struct Deleted {
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) range: TimeRange,
}

/// Spans that meet matchers and may be seen from a moment on.
#[derive(Clone, Debug)]
pub(crate) struct Period {
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) before_ns: i64,
}

/// What may not be seen of the spans of a head or segment.
#[derive(Clone, Debug)]
pub(crate) struct SpanVeil {
    pub(crate) deletions: Vec<Deleted>,
    /// The first one that fits holds; none where nothing is hidden by its age.
    pub(crate) periods: Vec<Period>,
    pub(crate) holds: Vec<Deleted>,
}

impl SpanVeil {
    /// The columns that it looks at, a bit each.
    pub(crate) fn columns() -> u64 {
        let is_looked_at = |name: &str| {
            matches!(name, "name" | "start_ns" | "resource_attributes" | "attributes")
                || name.starts_with(RESOURCE)
                || name.starts_with(SPAN)
        };
        let columns = SPANS_SCHEMA.fields().iter().enumerate();
        columns
            .filter(|(_, field)| is_looked_at(field.name()))
            .fold(0, |bits, (column, _)| bits | 1 << column)
    }

    /// The rows of a batch of spans that may be seen; the columns that it looks at must have been read.
    ///
    /// # Errors
    /// [`StorageError::Internal`] when the batch is none of spans, or Arrow cannot copy it.
    pub(crate) fn visible(&self, batch: RecordBatch) -> Result<RecordBatch, StorageError> {
        let spans = SpansView::new(&batch);
        let spans = spans.ok_or_else(|| StorageError::Internal("a batch is none of spans".to_owned()))?;
        let keep: Vec<bool> = (0..spans.rows()).map(|row| self.shows(&spans, row)).collect();
        if keep.iter().all(|keep| *keep) {
            return Ok(batch);
        }
        Ok(filter_record_batch(&batch, &BooleanArray::from(keep))?)
    }

    fn shows(&self, spans: &SpansView<'_>, row: usize) -> bool {
        let start_ns = spans.start_ns(row);
        let fits =
            |deleted: &Deleted| deleted.range.contains(start_ns) && are_met(&deleted.matchers, spans, row);
        if self.deletions.iter().any(fits) {
            return false;
        }
        let period = self.periods.iter().find(|period| are_met(&period.matchers, spans, row));
        period.is_none_or(|period| start_ns >= period.before_ns) || self.holds.iter().any(fits)
    }
}

/// Whether a span meets all of some matchers.
pub(crate) fn are_met(matchers: &[Matcher], spans: &SpansView<'_>, row: usize) -> bool {
    matchers.iter().all(|matcher| matcher.matches(&value(spans, row, &matcher.name)))
}

/// The text of what a name stands for; empty where there is none.
fn value<'a>(spans: &SpansView<'a>, row: usize, name: &str) -> Cow<'a, str> {
    if name == "name" {
        return spans.name(row).into();
    }
    let found = match (name.strip_prefix(RESOURCE), name.strip_prefix(SPAN)) {
        (Some(key), _) => spans.resource_attribute(row, key),
        (_, Some(key)) => spans.attribute(row, key),
        _ => spans.resource_attribute(row, name).or_else(|| spans.attribute(row, name)),
    };
    match found {
        None => "".into(),
        Some(
            AttributeRef::String(text)
            | AttributeRef::Array(text)
            | AttributeRef::Map(text)
            | AttributeRef::Bytes(text),
        ) => text.into(),
        Some(AttributeRef::Bool(value)) => value.to_string().into(),
        Some(AttributeRef::Int(value)) => value.to_string().into(),
        Some(AttributeRef::Double(value)) => value.to_string().into(),
    }
}
