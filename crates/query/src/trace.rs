//! Questions about traces: one by its id, a search, tags and their values.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{sort_to_indices, take_record_batch};
use futures::StreamExt;
use model::time::NS_PER_S;
use model::trace::SpansView;
use model::{Signal, TenantContext, TimeRange};
use storage::{SpanColumns, SpanSource, TraceIds, TraceScan};

use crate::answer::{QueryStats, TagValue, TraceAnswer};
use crate::engine::{Held, QueryEngine, Running};
use crate::error::QueryError;
use crate::federation::{self, ORIGINAL_LABEL, TENANT_LABEL};
use crate::leaf::traces::{START_COLUMN, Traces, TracesWork, joined};
use crate::limits::{check_length, listed, within_lookback};
use crate::request::{Tag, TagScope, TagSearch, TraceRequest};
use crate::tags::{TagNames, TagValues, view};

/// How far beyond the asked range a search reads, so that traces that cross its ends are whole.
const MARGIN_NS: i64 = 10 * 60 * NS_PER_S;

impl From<traceql::ParseError> for QueryError {
    fn from(error: traceql::ParseError) -> Self {
        QueryError::Parse(error.to_string())
    }
}

impl From<traceql::PlanError> for QueryError {
    fn from(error: traceql::PlanError) -> Self {
        QueryError::Parse(error.to_string())
    }
}

impl From<traceql::EvalError> for QueryError {
    fn from(error: traceql::EvalError) -> Self {
        QueryError::Execution(error.to_string())
    }
}

/// Looks at all spans of sources, one after the other: a span that is in two comes twice.
async fn each(
    running: &Running,
    sources: Vec<SpanSource>,
    mut take: impl FnMut(&SpansView<'_>),
) -> Result<(), QueryError> {
    let mut pace = running.pace();
    for mut source in sources {
        while let Some(batch) = source.spans.next().await.transpose()? {
            running.counters.read(&batch);
            take(&view(&batch)?);
            pace.step().await;
        }
    }
    Ok(())
}

/// The spans of a trace, of which several tenants may have some, by start.
fn one_trace(found: Vec<RecordBatch>) -> Result<Option<RecordBatch>, QueryError> {
    let several = found.len() > 1;
    if found.is_empty() {
        return Ok(None);
    }
    let trace = joined(found)?;
    if !several {
        return Ok(Some(trace));
    }
    let sorted = sort_to_indices(trace.column(START_COLUMN), None, None);
    let sorted = sorted.and_then(|order| take_record_batch(&trace, &order));
    sorted.map(Some).map_err(|error| QueryError::Internal(error.to_string()))
}

/// A filter as it is put to the spans of one of the tenants.
fn of_member(
    filter: &traceql::SpanFilter,
    member: &TenantContext,
) -> Result<traceql::SpanFilter, QueryError> {
    Ok(traceql::SpanFilter::new(&put_to(filter.query().clone(), member))?)
}

/// A query as it is put to the spans of one of the tenants.
fn put_to(query: traceql::Query, member: &TenantContext) -> traceql::Query {
    let query = query.with_resource(TENANT_LABEL, member.tenant().as_str());
    query.with_resource_named(ORIGINAL_LABEL, TENANT_LABEL)
}

/// Whether a tag is the name of the tenant.
fn is_tenant(tag: &Tag) -> bool {
    tag.name == TENANT_LABEL && matches!(tag.scope, None | Some(TagScope::Resource))
}

impl QueryEngine {
    /// All spans of a trace, sorted by start; none where there is no such trace.
    ///
    /// # Errors
    /// When it takes too long or the store fails.
    pub async fn trace_by_id(
        &self,
        context: &TenantContext,
        trace_id: [u8; 16],
        range: TimeRange,
    ) -> Result<Option<RecordBatch>, QueryError> {
        let range = within_lookback(&context.limits().traces.query, self.now(), range);
        self.run((context, Signal::Traces), None, move |_engine, context, running| async move {
            let mut found = Vec::new();
            for member in context.members() {
                let snapshot = running.storage.traces(member, range).await?;
                let scan = TraceScan { trace_ids: TraceIds::One(trace_id), range, service: None };
                let counters = Arc::clone(&running.counters);
                let spans = Traces::new(snapshot.scan(scan), counters, running.pace()).next().await?;
                found.extend(spans.map(|spans| federation::spans(&context, member, spans)).transpose()?);
            }
            one_trace(found)
        })
        .await
    }

    /// Searches with a TraceQL query.
    ///
    /// # Errors
    /// When the text is not a query, cannot be computed, is over a limit or takes too long, or the store fails.
    pub async fn traceql_search(
        &self,
        context: &TenantContext,
        query: &str,
        request: TraceRequest,
    ) -> Result<TraceAnswer, QueryError> {
        self.search(context, traceql::parse(query)?, request).await
    }

    /// Searches by tags and duration, as before there was a language.
    ///
    /// # Errors
    /// When it is over a limit or takes too long, or the store fails.
    pub async fn tag_search(
        &self,
        context: &TenantContext,
        search: &TagSearch,
        request: TraceRequest,
    ) -> Result<TraceAnswer, QueryError> {
        let query = traceql::legacy(&search.tags, search.min_duration_ns, search.max_duration_ns);
        self.search(context, query, request).await
    }

    async fn search(
        &self,
        context: &TenantContext,
        query: traceql::Query,
        request: TraceRequest,
    ) -> Result<TraceAnswer, QueryError> {
        let params = traceql::SearchParams {
            start_ns: request.range.start_ns,
            end_ns: request.range.end_ns,
            limit: request.limit,
            spans_per_spanset: request.spans_per_span_set,
        };
        // Spans have the tenant's name only where they are answered: what looks for them knows it by itself.
        let plans = context.members().iter().map(|member| {
            let own = if context.is_several() { put_to(query.clone(), member) } else { query.clone() };
            Ok(traceql::plan(&own, &params)?)
        });
        let plans: Vec<traceql::Plan> = plans.collect::<Result<_, QueryError>>()?;
        let shown = if context.is_several() { query.showing_resource(TENANT_LABEL) } else { query };
        let plan = traceql::plan(&shown, &params)?;
        self.run((context, Signal::Traces), request.timeout_ns, move |engine, context, running| async move {
            engine.evaluate_traceql(&context, (&plan, &plans), request.limit, &running).await
        })
        .await
    }

    /// Looks for traces of each member with its own plan, and has them answered by the one of all.
    async fn evaluate_traceql(
        &self,
        context: &TenantContext,
        (plan, of_members): (&traceql::Plan, &[traceql::Plan]),
        limit: usize,
        running: &Arc<Running>,
    ) -> Result<TraceAnswer, QueryError> {
        let asked = plan.leaf.range();
        let most_ns = context.limits().traces.query.max_length_ns;
        // Times are asked for in whole seconds: the last of them is looked at too, and not counted.
        let counted = TimeRange::new(asked.start_ns, asked.end_ns.saturating_sub(NS_PER_S));
        check_length(Signal::Traces, "read.max_search_duration", most_ns, counted)?;
        let around =
            TimeRange::new(asked.start_ns.saturating_sub(MARGIN_NS), asked.end_ns.saturating_add(MARGIN_NS));
        let scanned = within_lookback(&context.limits().traces.query, self.now(), around);
        let mut worker = plan.leaf.worker();
        for (member, own) in context.members().iter().zip(of_members) {
            let snapshot = running.storage.traces(member, scanned).await?;
            let work = TracesWork::new(
                Arc::clone(&own.leaf),
                snapshot,
                scanned,
                limit,
                self.settings().parallelism,
                Arc::clone(&running.counters),
            );
            // Each batch is a whole trace that matched; the few that stay are looked at again for what is shown of them.
            for trace in running.leaf(work).await? {
                worker.trace(&federation::spans(context, member, trace)?)?;
            }
        }
        let traces = traceql::finish(plan, vec![worker.finish()]);
        Ok(TraceAnswer {
            traces: if context.is_several() { federation::whole(traces) } else { traces },
            stats: running.stats(),
            held: Held::new(running),
        })
    }

    /// The names of the tags that spans in the range have, by scope, both sorted. Of a segment they are those of all row groups
    /// with a span in the range.
    ///
    /// # Errors
    /// When it takes too long or the store fails.
    pub async fn trace_tag_names(
        &self,
        context: &TenantContext,
        scope: Option<TagScope>,
        range: TimeRange,
        limit: Option<usize>,
    ) -> Result<(Vec<(TagScope, Vec<String>)>, QueryStats), QueryError> {
        let range = listed(context, Signal::Traces, self.now(), range)?;
        self.run((context, Signal::Traces), None, move |_engine, context, running| async move {
            let mut names = TagNames::default();
            if scope != Some(TagScope::Intrinsic) {
                for member in context.members() {
                    let snapshot = running.storage.traces(member, range).await?;
                    let (known, sources) = snapshot.attributes(range, &TagNames::columns(scope)).await?;
                    known.iter().for_each(|attribute| names.attribute(attribute));
                    let take = |spans: &SpansView<'_>| {
                        (0..spans.rows()).for_each(|row| names.spans(spans, row, scope));
                    };
                    each(&running, sources, take).await?;
                }
                if context.is_several() && scope.is_none_or(|asked| asked == TagScope::Resource) {
                    names.add(TagScope::Resource, TENANT_LABEL);
                }
            }
            Ok((names.finish(scope, limit), running.stats()))
        })
        .await
    }

    /// The values of a tag among the spans in the range, sorted. Of `filter`, a TraceQL query, the matchers that are
    /// valid are applied; the rest is ignored, because it is being typed.
    ///
    /// # Errors
    /// When it takes too long or the store fails.
    pub async fn trace_tag_values(
        &self,
        context: &TenantContext,
        tag: &Tag,
        filter: Option<&str>,
        range: TimeRange,
        limit: Option<usize>,
    ) -> Result<(Vec<TagValue>, QueryStats), QueryError> {
        let filter = filter.and_then(traceql::parse_valid_matchers);
        let range = listed(context, Signal::Traces, self.now(), range)?;
        let tag = tag.clone();
        self.run((context, Signal::Traces), None, move |_engine, context, running| async move {
            let is_of_tenant = context.is_several() && is_tenant(&tag);
            let mut values = TagValues::new(tag);
            let of_tag = values.columns();
            for member in context.members() {
                if is_of_tenant {
                    values.add("string", member.tenant().as_str().to_owned());
                    continue;
                }
                let snapshot = running.storage.traces(member, range).await?;
                let own = filter.as_ref().filter(|_| context.is_several());
                let own = own.map(|filter| of_member(filter, member)).transpose()?;
                let Some(filter) = own.as_ref().or(filter.as_ref()) else {
                    let scan = TraceScan { trace_ids: TraceIds::All, range, service: None };
                    let take = |spans: &SpansView<'_>| values.spans(spans, |_| true);
                    each(&running, snapshot.sources(scan, &of_tag), take).await?;
                    continue;
                };
                let scan = TraceScan { trace_ids: TraceIds::All, range, service: None };
                let of_filter = filter.columns();
                let columns = SpanColumns::of(&of_filter.names, &of_filter.lists).with(&of_tag);
                let spans = snapshot.columns(scan, &columns);
                let mut traces = Traces::new(spans, Arc::clone(&running.counters), running.pace());
                while let Some(trace) = traces.next().await? {
                    let mask = filter.mask(&trace)?;
                    values.spans(&view(&trace)?, |row| mask.get(row).copied().unwrap_or(false));
                }
            }
            Ok((values.finish(limit), running.stats()))
        })
        .await
    }
}
