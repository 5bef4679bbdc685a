//! Questions about metrics: PromQL, series, labels and metadata.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Labels, Matcher, TenantContext, TimeRange};
use storage::MetricMetadata;

use crate::answer::{Limited, PromAnswer};
use crate::engine::{QueryEngine, Running};
use crate::error::QueryError;
use crate::leaf::metrics::MetricsWork;
use crate::request::PromRequest;

impl From<promql::ParseError> for QueryError {
    fn from(error: promql::ParseError) -> Self {
        QueryError::Parse(error.to_string())
    }
}

impl From<promql::EvalError> for QueryError {
    fn from(error: promql::EvalError) -> Self {
        QueryError::Execution(error.to_string())
    }
}

/// Reads a series selector, as `match[]` parameters have it.
///
/// # Errors
/// When the text is not a selector; the message has the position.
pub fn parse_metric_selector(text: &str) -> Result<Vec<Matcher>, QueryError> {
    Ok(promql::parse_selector(text)?)
}

impl QueryEngine {
    /// Evaluates a PromQL query, at one moment or over a range of steps.
    ///
    /// # Errors
    /// When the text is not a query, cannot be computed, is over a limit or takes too long, or the store fails.
    pub async fn promql(
        &self,
        context: &TenantContext,
        query: &str,
        request: PromRequest,
    ) -> Result<PromAnswer, QueryError> {
        let expr = promql::parse(query)?;
        self.run(context, request.timeout_ns, |engine, context, running| async move {
            engine.evaluate_promql(&context, &expr, request, &running).await
        })
        .await
    }

    async fn evaluate_promql(
        &self,
        context: &TenantContext,
        expr: &promql::Expr,
        request: PromRequest,
        running: &Running,
    ) -> Result<PromAnswer, QueryError> {
        let params = promql::EvalParams {
            start_ms: if request.step_ms.is_some() { request.start_ms } else { request.end_ms },
            end_ms: request.end_ms,
            step_ms: request.step_ms.unwrap_or(0),
            lookback_ms: request.lookback_ms.unwrap_or(self.settings().lookback_ms),
            max_samples: context.limits().max_query_samples,
        };
        let plan = promql::plan(expr, &params)?;
        let mut leaves = Vec::with_capacity(plan.leaves.len());
        // One snapshot for all leaves, so that both sides of an operator see the same data.
        let range = plan.leaves.iter().map(|leaf| leaf.range()).reduce(hull).unwrap_or(TimeRange::new(0, -1));
        let snapshot = self.storage().metrics(context, range).await?;
        for leaf in &plan.leaves {
            let set = snapshot.select(leaf.matchers()).await?;
            let parallelism = self.settings().parallelism;
            let counters = Arc::clone(&running.counters);
            leaves.push(running.leaf(MetricsWork::new(Arc::clone(leaf), set, parallelism, counters)).await?);
        }
        let output = promql::finish(&plan, leaves)?;
        Ok(PromAnswer {
            value: output.value,
            warnings: output.warnings,
            infos: output.infos,
            stats: running.stats(),
        })
    }

    /// The series that match any of the sets and have data in the range, sorted.
    ///
    /// # Errors
    /// When it takes too long or the store fails.
    pub async fn metric_series(
        &self,
        context: &TenantContext,
        sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: Option<usize>,
    ) -> Result<Limited<Vec<Labels>>, QueryError> {
        let sets = sets.to_vec();
        self.run(context, None, |engine, context, _running| async move {
            let snapshot = engine.storage().metrics(&context, range).await?;
            let mut found: BTreeSet<Labels> = BTreeSet::new();
            for matchers in or_all(sets) {
                found.extend(snapshot.select(&matchers).await?.labels().iter().cloned());
            }
            Ok(Limited::cut(found.into_iter().collect(), limit))
        })
        .await
    }

    /// The names of the labels of the series that match any of the sets (of all series where there is no set), sorted.
    ///
    /// # Errors
    /// When it takes too long or the store fails.
    pub async fn metric_label_names(
        &self,
        context: &TenantContext,
        sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: Option<usize>,
    ) -> Result<Limited<Vec<String>>, QueryError> {
        let series = self.metric_series(context, sets, range, None).await?.value;
        Ok(Limited::cut(label_names(&series), limit))
    }

    /// The values of one label among the series that match any of the sets, sorted.
    ///
    /// # Errors
    /// When it takes too long or the store fails.
    pub async fn metric_label_values(
        &self,
        context: &TenantContext,
        name: &str,
        sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: Option<usize>,
    ) -> Result<Limited<Vec<String>>, QueryError> {
        let series = self.metric_series(context, sets, range, None).await?.value;
        Ok(Limited::cut(label_values(&series, name), limit))
    }

    /// Type, unit and description of every metric of the tenant, sorted by name.
    ///
    /// # Errors
    /// When it takes too long or the store fails.
    pub async fn metric_metadata(&self, context: &TenantContext) -> Result<Vec<MetricMetadata>, QueryError> {
        self.run(context, None, |engine, context, _running| async move {
            Ok(engine.storage().metrics(&context, TimeRange::ALL).await?.metadata().await?)
        })
        .await
    }
}

/// No set asks for everything.
pub(crate) fn or_all(sets: Vec<Vec<Matcher>>) -> Vec<Vec<Matcher>> {
    if sets.is_empty() { vec![Vec::new()] } else { sets }
}

pub(crate) fn label_names(sets: &[Labels]) -> Vec<String> {
    let names: BTreeSet<&str> = sets.iter().flat_map(|labels| labels.iter().map(|(name, _)| name)).collect();
    names.into_iter().map(str::to_owned).collect()
}

pub(crate) fn label_values(sets: &[Labels], name: &str) -> Vec<String> {
    let values: BTreeSet<&str> = sets.iter().filter_map(|labels| labels.get(name)).collect();
    values.into_iter().map(str::to_owned).collect()
}

pub(crate) fn hull(a: TimeRange, b: TimeRange) -> TimeRange {
    TimeRange::new(a.start_ns.min(b.start_ns), a.end_ns.max(b.end_ns))
}
