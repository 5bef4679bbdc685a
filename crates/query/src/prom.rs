//! Questions about metrics: PromQL and metadata.

use std::sync::Arc;

use model::metric::MetricType;
use model::time::NS_PER_MS;
use model::{Matcher, Signal, TenantContext, TimeRange};
use storage::MetricMetadata;

use crate::answer::{PromAnswer, QueryStats, SampleStats};
use crate::engine::{Held, QueryEngine, Running};
use crate::error::QueryError;
use crate::federation;
use crate::leaf::Touched;
use crate::leaf::metrics::MetricsWork;
use crate::limits::{check_length, check_ranges, check_series, within_lookback};
use crate::request::PromRequest;

impl From<promql::ParseError> for QueryError {
    fn from(error: promql::ParseError) -> Self {
        QueryError::Parse(error.to_string())
    }
}

impl From<promql::EvalError> for QueryError {
    fn from(error: promql::EvalError) -> Self {
        match error {
            promql::EvalError::Type(message) | promql::EvalError::Duration(message) => {
                QueryError::Parse(message)
            }
            other => QueryError::Execution(other.to_string()),
        }
    }
}

/// Reads a series selector, as `match[]` parameters have it.
///
/// # Errors
/// When the text is not a selector; the message has the position.
pub fn parse_metric_selector(text: &str) -> Result<Vec<Matcher>, QueryError> {
    Ok(promql::parse_selector(text)?)
}

/// The tree of a PromQL query; experimental words are known where the features say so.
///
/// # Errors
/// When the text is not a query; the message has the position.
pub fn parse_promql(text: &str, features: promql::Features) -> Result<promql::Expr, QueryError> {
    Ok(promql::parse(text, features)?)
}

/// What is wrong with a text that is no PromQL query, with its line and a caret under the place: for terminals. What is
/// experimental counts as known.
#[must_use]
pub fn explain_promql(text: &str) -> Option<String> {
    promql::parse(text, promql::Features::ALL).err().map(|error| error.with_caret(text))
}

impl QueryEngine {
    /// What of PromQL is experimental and enabled.
    #[must_use]
    pub fn features(&self) -> promql::Features {
        self.settings().features
    }

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
        let expr = parse_promql(query, self.features())?;
        let most_ns = context.limits().metrics.query.max_length_ns;
        check_length(Signal::Metrics, "max_query_length", most_ns, asked(&request))?;
        let text = query.to_owned();
        self.run((context, Signal::Metrics), request.timeout_ns, |engine, context, running| async move {
            engine.evaluate_promql(&context, (&text, &expr), request, &running).await
        })
        .await
    }

    async fn evaluate_promql(
        &self,
        context: &TenantContext,
        (text, expr): (&str, &promql::Expr),
        request: PromRequest,
        running: &Arc<Running>,
    ) -> Result<PromAnswer, QueryError> {
        let params = promql::EvalParams {
            start_ms: if request.step_ms.is_some() { request.start_ms } else { request.end_ms },
            end_ms: request.end_ms,
            step_ms: request.step_ms.unwrap_or(0),
            lookback_ms: request.lookback_ms.unwrap_or(self.settings().lookback_ms),
            max_samples: context.limits().metrics.max_query_samples,
            delayed_names: self.settings().features.delayed_names,
            start_timestamps: self.settings().features.start_timestamps,
            counts_samples: request.counts_samples,
        };
        let plan = promql::plan(expr, &params)?;
        let limits = &context.limits().metrics.query;
        let reads = plan.leaves.iter().map(|leaf| leaf.range());
        check_ranges(Signal::Metrics, limits.max_length_ns, asked(&request), reads)?;
        running.hold(plan.bytes_per_series())?;
        let mut leaves = Vec::with_capacity(plan.leaves.len());
        // One snapshot for all leaves, so that both sides of an operator see the same data.
        let range = plan
            .leaves
            .iter()
            .map(|leaf| hull(leaf.range(), leaf.histogram_range()))
            .reduce(hull)
            .unwrap_or(TimeRange::new(0, -1));
        let seen = within_lookback(limits, self.now(), range);
        let mut snapshots = Vec::with_capacity(context.members().len());
        for member in context.members() {
            snapshots.push((member, running.storage.metrics(member, seen).await?));
        }
        let prepare_ns = running.elapsed_ns();
        let mut series = 0;
        for leaf in &plan.leaves {
            let mut parts = Vec::new();
            for (member, snapshot) in &snapshots {
                let Some(matchers) = federation::matchers(context, member, leaf.matchers()) else { continue };
                let set = snapshot.select(&matchers).await?;
                series += set.labels().len();
                check_series(context, Signal::Metrics, series)?;
                let labels = federation::labels(context, member, set.labels());
                let (parallelism, counters) = (self.settings().parallelism, Arc::clone(&running.counters));
                let work = MetricsWork::new(Arc::clone(leaf), set, labels, parallelism, counters);
                parts.append(&mut running.leaf(work).await?);
            }
            leaves.push(parts);
        }
        let steps = plan.steps();
        let output =
            running.compute(move |is_stopped| promql::finish_unless(&plan, leaves, is_stopped)).await??;
        let (mut warnings, infos) = output.annotations.to_lists(text);
        // Asked at the end: the reads above may have found damage.
        let missing = snapshots.iter().map(|(_, snapshot)| snapshot.missing_segments());
        if let missing @ 1.. = missing.sum::<usize>() {
            warnings.push(format!(
                "data is missing: damaged segments of the query's time are set aside: segments={missing}"
            ));
        }
        Ok(PromAnswer {
            value: output.value,
            warnings,
            infos,
            stats: QueryStats { prepare_ns, ..running.stats() },
            samples: request.counts_samples.then(|| {
                let mut touched = running.counters.samples.lock();
                touched.add(&output.counted, 0);
                sample_stats(&touched, &request, steps.iter())
            }),
            held: Held::new(running),
        })
    }

    /// Type, unit and description of every metric of the tenant, sorted by name. The series of a classic histogram or a
    /// summary are one metric, by the name without their suffixes.
    ///
    /// # Errors
    /// When it takes too long or the store fails.
    pub async fn metric_metadata(&self, context: &TenantContext) -> Result<Vec<MetricMetadata>, QueryError> {
        self.run((context, Signal::Metrics), None, |_engine, context, running| async move {
            let mut metadata = Vec::new();
            for member in context.members() {
                let snapshot = running.storage.metrics(member, TimeRange::ALL).await?;
                metadata.extend(snapshot.metadata().await?);
            }
            Ok(by_family(metadata))
        })
        .await
    }
}

/// What each step looked at; what a subquery did belongs to the one moment that was asked for.
fn sample_stats(touched: &Touched, request: &PromRequest, steps: impl Iterator<Item = i64>) -> SampleStats {
    let counts = touched.per_step.iter().copied();
    let per_step = match request.step_ms {
        Some(_) => steps.zip(counts.chain(std::iter::repeat(0))).collect(),
        None => steps.map(|at_ms| (at_ms, counts.clone().sum())).collect(),
    };
    SampleStats { per_step, peak: touched.held }
}

/// From the first to the last moment that is asked for.
const fn asked(request: &PromRequest) -> TimeRange {
    let start_ms = if request.step_ms.is_some() { request.start_ms } else { request.end_ms };
    TimeRange::new(start_ms.saturating_mul(NS_PER_MS), request.end_ms.saturating_mul(NS_PER_MS))
}

fn by_family(metadata: Vec<MetricMetadata>) -> Vec<MetricMetadata> {
    let mut families: Vec<MetricMetadata> = metadata
        .into_iter()
        .map(|metric| {
            let suffixes: &[&str] = match metric.metric_type {
                MetricType::Histogram | MetricType::GaugeHistogram => &["_bucket", "_count", "_sum"],
                MetricType::Summary => &["_count", "_sum"],
                _ => &[],
            };
            let stem = suffixes.iter().find_map(|suffix| metric.name.strip_suffix(suffix));
            MetricMetadata { name: stem.unwrap_or(&metric.name).to_owned(), ..metric }
        })
        .collect();
    families.sort_by(|a, b| a.name.cmp(&b.name));
    families.dedup();
    families
}

/// The smallest range that holds both.
pub(crate) fn hull(a: TimeRange, b: TimeRange) -> TimeRange {
    TimeRange::new(a.start_ns.min(b.start_ns), a.end_ns.max(b.end_ns))
}
