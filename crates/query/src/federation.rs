//! Questions over several tenants at once: the label that says whose something is, as a label of what is answered and as
//! a condition. The names are Loki's; of spans it is an attribute of their resource.
//!
//! Who may ask is the gateway's to say; a context of one tenant never gets the label.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use model::attributes::{AttributesBuilder, AttributesView};
use model::{AttributeRef, Labels, Matcher, TenantContext};
use traceql::{ROOT_NOT_RECEIVED, TraceMatch};

use crate::error::QueryError;

/// The label with the tenant's name.
pub(crate) const TENANT_LABEL: &str = "__tenant_id__";
/// The column of attributes that resources have.
const RESOURCE_COLUMN: &str = "resource_attributes";
/// What a label of that name in the data is called then.
pub(crate) const ORIGINAL_LABEL: &str = "original___tenant_id__";

/// The conditions as they are put to one of the tenants; none where they leave the tenant out.
pub(crate) fn matchers<'a>(
    context: &TenantContext,
    member: &TenantContext,
    matchers: &'a [Matcher],
) -> Option<Cow<'a, [Matcher]>> {
    if !context.is_several() {
        return Some(Cow::Borrowed(matchers));
    }
    let mut rest = Vec::with_capacity(matchers.len());
    for matcher in matchers {
        match matcher.name.as_str() {
            TENANT_LABEL if !matcher.matches(member.tenant().as_str()) => return None,
            TENANT_LABEL => {}
            ORIGINAL_LABEL => {
                let mut original = matcher.clone();
                TENANT_LABEL.clone_into(&mut original.name);
                rest.push(original);
            }
            _ => rest.push(matcher.clone()),
        }
    }
    Some(Cow::Owned(rest))
}

/// The sets of conditions of which one must be met, as they are put to one of the tenants.
pub(crate) fn sets(
    context: &TenantContext,
    member: &TenantContext,
    sets: &[Vec<Matcher>],
) -> Vec<Vec<Matcher>> {
    sets.iter().filter_map(|set| Some(matchers(context, member, set)?.into_owned())).collect()
}

/// The labels of a tenant's series or streams as they are answered, where they are not answered as they are.
pub(crate) fn labels(
    context: &TenantContext,
    member: &TenantContext,
    labels: &[Labels],
) -> Option<Arc<[Labels]>> {
    let tenant = member.tenant().as_str();
    context.is_several().then(|| labels.iter().map(|labels| marked(labels, tenant)).collect())
}

/// Spans of a tenant as they are answered: their resource has the tenant's name as an attribute.
///
/// # Errors
/// When the batch is none of spans.
pub(crate) fn spans(
    context: &TenantContext,
    member: &TenantContext,
    spans: RecordBatch,
) -> Result<RecordBatch, QueryError> {
    if !context.is_several() {
        return Ok(spans);
    }
    let failed = || QueryError::Internal("the engine gave spans of another schema".to_owned());
    let place = spans.schema_ref().index_of(RESOURCE_COLUMN).map_err(|_| failed())?;
    let resources = AttributesView::new(&**spans.column(place)).ok_or_else(failed)?;
    let mut marked = AttributesBuilder::default();
    for row in 0..spans.num_rows() {
        for (key, value) in resources.row(row) {
            marked.push(if key == TENANT_LABEL { ORIGINAL_LABEL } else { key }, value);
        }
        marked.push(TENANT_LABEL, AttributeRef::String(member.tenant().as_str()));
        marked.end_row();
    }
    let mut columns = spans.columns().to_vec();
    columns[place] = Arc::new(marked.finish());
    RecordBatch::try_new(spans.schema(), columns).map_err(|error| QueryError::Internal(error.to_string()))
}

fn marked(labels: &Labels, tenant: &str) -> Labels {
    match labels.get(TENANT_LABEL) {
        Some(original) => labels.with(ORIGINAL_LABEL, original).with(TENANT_LABEL, tenant),
        None => labels.with(TENANT_LABEL, tenant),
    }
}

/// A label's name in the data, of the name that is asked for; none where what is asked for is the tenant.
pub(crate) fn name_in_data<'a>(context: &TenantContext, name: &'a str) -> Option<&'a str> {
    match name {
        TENANT_LABEL if context.is_several() => None,
        ORIGINAL_LABEL if context.is_several() => Some(TENANT_LABEL),
        _ => Some(name),
    }
}

/// A label's name as it is answered.
pub(crate) fn name_as_answered<'a>(context: &TenantContext, name: &'a str) -> &'a str {
    if context.is_several() && name == TENANT_LABEL { ORIGINAL_LABEL } else { name }
}

/// Traces that several tenants have a part of, once each, in the place of the first part. What was asked for was met by the
/// parts, each by itself.
pub(crate) fn whole(parts: Vec<TraceMatch>) -> Vec<TraceMatch> {
    let mut places: HashMap<[u8; 16], usize> = HashMap::new();
    let mut traces: Vec<TraceMatch> = Vec::with_capacity(parts.len());
    for part in parts {
        let place = *places.entry(part.trace_id).or_insert(traces.len());
        let Some(whole) = traces.get_mut(place) else {
            traces.push(part);
            continue;
        };
        if whole.root_service_name == ROOT_NOT_RECEIVED {
            (whole.root_service_name, whole.root_trace_name) = (part.root_service_name, part.root_trace_name);
        }
        let end_ns = |trace: (i64, i64)| trace.0.saturating_add(trace.1);
        let last_ns =
            end_ns((whole.start_ns, whole.duration_ns)).max(end_ns((part.start_ns, part.duration_ns)));
        whole.start_ns = whole.start_ns.min(part.start_ns);
        whole.duration_ns = last_ns.saturating_sub(whole.start_ns);
        whole.span_sets.extend(part.span_sets);
        for (service, stats) in part.service_stats {
            match whole.service_stats.iter_mut().find(|(name, _)| *name == service) {
                Some((_, all)) => {
                    all.span_count += stats.span_count;
                    all.error_count += stats.error_count;
                }
                None => whole.service_stats.push((service, stats)),
            }
        }
        whole.service_stats.sort_by(|a, b| a.0.cmp(&b.0));
    }
    traces
}

#[cfg(test)]
mod tests {
    use model::{Limits, MatchOp, TenantId};

    use super::*;

    fn context(name: &str) -> TenantContext {
        TenantContext::new(TenantId::parse(name).unwrap(), Arc::new(Limits::default()))
    }

    #[test]
    fn the_label_chooses_tenants_and_one_of_that_name_is_kept_under_another() {
        let both = TenantContext::several(vec![context("b"), context("a"), context("a")]);
        let [a, b] = both.members() else { panic!("{both:?}") };
        assert_eq!((a.tenant().as_str(), both.tenant().as_str()), ("a", "a|b"));
        let asked = [
            Matcher::equal("app", "x"),
            Matcher::new(TENANT_LABEL, MatchOp::NotEqual, "a").unwrap(),
            Matcher::equal(ORIGINAL_LABEL, "o"),
        ];
        assert!(matchers(&both, a, &asked).is_none());
        let put = matchers(&both, b, &asked).unwrap();
        let put: Vec<_> = put.iter().map(|matcher| (matcher.name.as_str(), matcher.value.as_str())).collect();
        assert_eq!(put, [("app", "x"), (TENANT_LABEL, "o")]);

        let found = [Labels::from_pairs([("app", "x"), (TENANT_LABEL, "o")]), Labels::empty()];
        let answered = labels(&both, b, &found).unwrap();
        assert_eq!(
            answered[0],
            Labels::from_pairs([("app", "x"), (ORIGINAL_LABEL, "o"), (TENANT_LABEL, "b")])
        );
        assert_eq!(answered[1], Labels::from_pairs([(TENANT_LABEL, "b")]));
    }

    #[test]
    fn one_tenant_is_asked_as_ever() {
        let one = TenantContext::several(vec![context("a")]);
        assert!(!one.is_several());
        let asked = [Matcher::equal(TENANT_LABEL, "b")];
        assert_eq!(matchers(&one, &one, &asked).unwrap().len(), 1);
        assert_eq!(labels(&one, &one, &[Labels::empty()]), None);
        assert_eq!(name_in_data(&one, TENANT_LABEL), Some(TENANT_LABEL));
    }
}
