//! Which tags spans have, and which values: what a search box completes.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use model::AttributeRef;
use model::trace::{AttributeScope, PROMOTED, SpanFields, SpansView};
use storage::{Attribute, SpanColumns};

use crate::answer::TagValue;
use crate::request::{Tag, TagScope};

/// The most bytes of tag names or values that one answer gathers.
const MAX_GATHERED_BYTES: usize = 8 << 20;

/// The intrinsics, as the tags API names them.
pub(crate) const INTRINSICS: [&str; 19] = [
    "duration",
    "event:name",
    "event:timeSinceStart",
    "instrumentation:name",
    "instrumentation:version",
    "kind",
    "name",
    "rootName",
    "rootServiceName",
    "span:duration",
    "span:kind",
    "span:name",
    "span:status",
    "span:statusMessage",
    "status",
    "statusMessage",
    "trace:duration",
    "trace:rootName",
    "trace:rootService",
];

/// The columns with lists of attributes, by their scope.
const LISTS: [(TagScope, &str); 5] = [
    (TagScope::Resource, "resource_attributes"),
    (TagScope::Span, "attributes"),
    (TagScope::Instrumentation, "scope_attributes"),
    (TagScope::Event, "events"),
    (TagScope::Link, "links"),
];

/// Gathers the names of tags.
#[derive(Default)]
pub(crate) struct TagNames {
    names: BTreeMap<TagScope, BTreeSet<String>>,
    bytes: usize,
}

impl TagNames {
    /// The columns that have attributes of a scope, of all where none is named.
    pub(crate) fn columns(scope: Option<TagScope>) -> Vec<&'static str> {
        let wanted = |s: TagScope| scope.is_none_or(|asked| asked == s);
        let promoted = PROMOTED.iter().filter(|promoted| wanted(tag_scope(promoted.scope)));
        let lists = LISTS.iter().filter(|(scope, _)| wanted(*scope)).map(|(_, column)| *column);
        lists.chain(promoted.map(|promoted| promoted.column)).collect()
    }

    /// Adds what a column has: an attribute with this key, or that which the column is for.
    pub(crate) fn attribute(&mut self, (column, key): &Attribute) {
        let of_list = LISTS.iter().find(|(_, list)| list == column).zip(key.as_deref());
        let promoted = PROMOTED.iter().find(|promoted| promoted.column == *column);
        match (of_list, promoted) {
            (Some(((scope, _), key)), _) => self.add(*scope, key),
            (None, Some(promoted)) => self.add(tag_scope(promoted.scope), promoted.key),
            (None, None) => {}
        }
    }

    pub(crate) fn spans(&mut self, view: &SpansView<'_>, row: usize, scope: Option<TagScope>) {
        let wanted = |s: TagScope| scope.is_none_or(|asked| asked == s);
        if wanted(TagScope::Resource) {
            view.resource_attributes(row).for_each(|(key, _)| self.add(TagScope::Resource, key));
        }
        if wanted(TagScope::Span) {
            view.attributes(row).for_each(|(key, _)| self.add(TagScope::Span, key));
        }
        if wanted(TagScope::Instrumentation) {
            view.scope_attributes(row).for_each(|(key, _)| self.add(TagScope::Instrumentation, key));
        }
        if wanted(TagScope::Event) {
            let attributes = view.events().of_span(row).flat_map(|event| view.events().attributes(event));
            attributes.for_each(|(key, _)| self.add(TagScope::Event, key));
        }
        if wanted(TagScope::Link) {
            let attributes = view.links().of_span(row).flat_map(|link| view.links().attributes(link));
            attributes.for_each(|(key, _)| self.add(TagScope::Link, key));
        }
    }

    /// Adds a name of a scope.
    pub(crate) fn add(&mut self, scope: TagScope, key: &str) {
        let names = self.names.entry(scope).or_default();
        if self.bytes < MAX_GATHERED_BYTES && !names.contains(key) {
            self.bytes += key.len();
            names.insert(key.to_owned());
        }
    }

    /// The names by scope, both sorted; the intrinsics are always the same.
    pub(crate) fn finish(
        mut self,
        scope: Option<TagScope>,
        limit: Option<usize>,
    ) -> Vec<(TagScope, Vec<String>)> {
        if scope.is_none_or(|asked| asked == TagScope::Intrinsic) {
            self.names.insert(TagScope::Intrinsic, INTRINSICS.iter().map(|n| (*n).to_owned()).collect());
        }
        let limit = limit.filter(|l| *l > 0).unwrap_or(usize::MAX);
        self.names
            .into_iter()
            .map(|(scope, names)| (scope, names.into_iter().take(limit).collect()))
            .collect()
    }
}

/// Gathers the values of one tag.
pub(crate) struct TagValues {
    tag: Tag,
    values: BTreeSet<(&'static str, String)>,
    bytes: usize,
}

impl TagValues {
    pub(crate) fn new(tag: Tag) -> Self {
        Self { tag, values: BTreeSet::new(), bytes: 0 }
    }

    /// The columns that have the tag.
    pub(crate) fn columns(&self) -> SpanColumns {
        let name = self.tag.name.as_str();
        let is_intrinsic = match self.tag.scope {
            Some(scope) => scope == TagScope::Intrinsic,
            None => INTRINSICS.contains(&name),
        };
        if is_intrinsic {
            return SpanColumns::glance(intrinsic_columns(name), &[]);
        }
        let is_in = |scope| match self.tag.scope {
            Some(asked) => asked == scope,
            None => matches!(scope, TagScope::Span | TagScope::Resource),
        };
        let lists = [
            (TagScope::Resource, "resource_attributes"),
            (TagScope::Span, "attributes"),
            (TagScope::Instrumentation, "scope_attributes"),
        ];
        let lists = lists.into_iter().filter(|(scope, _)| is_in(*scope));
        let lists: Vec<(&str, String)> = lists.map(|(_, column)| (column, name.to_owned())).collect();
        let nested = [(TagScope::Event, "events"), (TagScope::Link, "links")];
        let nested = nested.into_iter().filter(|(scope, _)| is_in(*scope)).map(|(_, column)| column);
        let promoted = PROMOTED.iter().filter(|p| p.key == name && is_in(tag_scope(p.scope)));
        let names: Vec<&str> = nested.chain(promoted.map(|promoted| promoted.column)).collect();
        SpanColumns::glance(&names, &lists)
    }

    /// Takes the values that spans have, where `keep` says so.
    pub(crate) fn spans(&mut self, view: &SpansView<'_>, keep: impl Fn(usize) -> bool) {
        for row in (0..view.rows()).filter(|row| keep(*row)) {
            self.span(view, row);
        }
    }

    fn span(&mut self, view: &SpansView<'_>, row: usize) {
        let name = self.tag.name.clone();
        let name = name.as_str();
        match self.tag.scope {
            Some(TagScope::Intrinsic) => self.intrinsic(view, row, name),
            Some(TagScope::Resource) => self.attribute(view.resource_attribute(row, name)),
            Some(TagScope::Span) => self.attribute(view.attribute(row, name)),
            Some(TagScope::Instrumentation) => self.attribute(view.scope_attribute(row, name)),
            Some(TagScope::Event) => {
                for event in view.events().of_span(row) {
                    self.attribute(
                        view.events().attributes(event).find(|(key, _)| *key == name).map(|(_, v)| v),
                    );
                }
            }
            Some(TagScope::Link) => {
                for link in view.links().of_span(row) {
                    self.attribute(
                        view.links().attributes(link).find(|(key, _)| *key == name).map(|(_, v)| v),
                    );
                }
            }
            None if INTRINSICS.contains(&name) => self.intrinsic(view, row, name),
            None => {
                self.attribute(view.attribute(row, name));
                self.attribute(view.resource_attribute(row, name));
            }
        }
    }

    fn intrinsic(&mut self, view: &SpansView<'_>, row: usize, name: &str) {
        let fields: SpanFields<'_> = view.fields(row);
        match name {
            "name" | "span:name" => self.add("string", fields.name.to_owned()),
            "statusMessage" | "span:statusMessage" => self.add("string", fields.status_message.to_owned()),
            "status" | "span:status" => self.add("keyword", status_name(fields.status_code).to_owned()),
            "kind" | "span:kind" => self.add("keyword", kind_name(fields.kind).to_owned()),
            "instrumentation:name" => self.add("string", fields.scope_name.to_owned()),
            "instrumentation:version" => self.add("string", fields.scope_version.to_owned()),
            "rootName" | "trace:rootName" if fields.parent_span_id.is_none() => {
                self.add("string", fields.name.to_owned());
            }
            "rootServiceName" | "trace:rootService" if fields.parent_span_id.is_none() => {
                self.add("string", view.service_name(row).to_owned());
            }
            "event:name" => {
                for event in view.events().of_span(row) {
                    self.add("string", view.events().name(event).to_owned());
                }
            }
            // Durations and ids have as many values as there are spans: they are not completed.
            _ => {}
        }
    }

    fn attribute(&mut self, value: Option<AttributeRef<'_>>) {
        if let Some(value) = value {
            let value = TagValue::of_attribute(&value.to_owned());
            self.add(value.kind, value.value);
        }
    }

    /// Adds a value of a kind.
    pub(crate) fn add(&mut self, kind: &'static str, value: String) {
        if value.is_empty() || self.bytes >= MAX_GATHERED_BYTES {
            return;
        }
        let len = value.len();
        if self.values.insert((kind, value)) {
            self.bytes += len;
        }
    }

    /// The values, sorted by type and text.
    pub(crate) fn finish(self, limit: Option<usize>) -> Vec<TagValue> {
        let limit = limit.filter(|l| *l > 0).unwrap_or(usize::MAX);
        self.values.into_iter().take(limit).map(|(kind, value)| TagValue { kind, value }).collect()
    }
}

const fn tag_scope(scope: AttributeScope) -> TagScope {
    match scope {
        AttributeScope::Resource => TagScope::Resource,
        AttributeScope::Span => TagScope::Span,
    }
}

/// The columns of an intrinsic that is completed.
fn intrinsic_columns(name: &str) -> &'static [&'static str] {
    match name {
        "name" | "span:name" => &["name"],
        "statusMessage" | "span:statusMessage" => &["status_message"],
        "status" | "span:status" => &["status_code"],
        "kind" | "span:kind" => &["kind"],
        "instrumentation:name" => &["scope_name"],
        "instrumentation:version" => &["scope_version"],
        "rootName" | "trace:rootName" => &["parent_span_id", "name"],
        "rootServiceName" | "trace:rootService" => &["parent_span_id", "resource.service.name"],
        "event:name" => &["events"],
        _ => &[],
    }
}

/// The keyword of a status number.
fn status_name(code: u8) -> &'static str {
    match code {
        1 => "ok",
        2 => "error",
        _ => "unset",
    }
}

/// The keyword of a span kind.
fn kind_name(kind: u8) -> &'static str {
    match kind {
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => "unspecified",
    }
}

/// Looks at a batch of spans of the store.
pub(crate) fn view(batch: &RecordBatch) -> Result<SpansView<'_>, crate::error::QueryError> {
    SpansView::new(batch)
        .ok_or_else(|| crate::error::QueryError::Internal("storage gave spans of another schema".into()))
}
