//! Exemplars: single measurements that series keep beside their samples, mostly with the trace that they are of.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, UInt32Type};
use futures::TryStreamExt;
use model::attributes::AttributesView;
use model::{AttributeRef, Labels, Signal, TenantContext, TimeRange};

use crate::engine::QueryEngine;
use crate::error::QueryError;
use crate::federation;
use crate::limits::within_lookback;
use crate::prom::parse_promql;

/// A single measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// What is known of it (`trace_id`, `span_id` and others).
    pub labels: Labels,
    /// The value.
    pub value: f64,
    /// When it was measured, in milliseconds.
    pub timestamp_ms: i64,
}

/// The exemplars of one series, by time.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesExemplars {
    /// The series.
    pub labels: Labels,
    /// At least one.
    pub exemplars: Vec<Exemplar>,
}

impl QueryEngine {
    /// The exemplars of all series that a PromQL query selects anywhere, by series and time.
    ///
    /// # Errors
    /// When the text is not a query, is over a limit or takes too long, or the store fails.
    pub async fn exemplars(
        &self,
        context: &TenantContext,
        query: &str,
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>, QueryError> {
        let expr = parse_promql(query, self.features())?;
        let range = within_lookback(context.limits().query(Signal::Metrics), self.now(), range);
        let selectors: Vec<_> = expr.selectors().iter().map(|selector| selector.matchers.clone()).collect();
        self.run((context, Signal::Metrics), None, move |_engine, context, running| async move {
            let mut pace = running.pace();
            let mut found: Vec<SeriesExemplars> = Vec::new();
            for member in context.members() {
                let snapshot = running.storage.metrics(member, range).await?;
                for matchers in federation::sets(&context, member, &selectors) {
                    let set = snapshot.select(&matchers).await?;
                    let labels = federation::labels(&context, member, set.labels());
                    let mut batches = set.exemplars(0..set.labels().len(), range);
                    let mut of_set = Vec::new();
                    while let Some(batch) = batches.try_next().await? {
                        running.counters.read(&batch);
                        running.hold(batch.get_array_memory_size())?;
                        gather(&batch, labels.as_deref().unwrap_or(set.labels()), &mut of_set)?;
                        pace.step().await;
                    }
                    found.append(&mut of_set);
                }
            }
            // A series that two selectors find is answered once.
            found.sort_by(|a, b| a.labels.cmp(&b.labels));
            found.dedup_by(|a, b| a.labels == b.labels);
            Ok(found)
        })
        .await
    }
}

/// Adds the rows of a batch, which is sorted by series, to what was found before.
fn gather(
    batch: &RecordBatch,
    labels: &[Labels],
    found: &mut Vec<SeriesExemplars>,
) -> Result<(), QueryError> {
    let internal = |what: &str| QueryError::Internal(format!("storage gave exemplars {what}"));
    let series = batch.column(0).as_primitive::<UInt32Type>().values();
    let timestamps = batch.column(1).as_primitive::<Int64Type>().values();
    let values = batch.column(2).as_primitive::<Float64Type>().values();
    let attributes = AttributesView::new(batch.column(3)).ok_or_else(|| internal("of another schema"))?;
    for row in 0..batch.num_rows() {
        let of = labels.get(series[row] as usize).ok_or_else(|| internal("of a series not selected"))?;
        let texts = attributes.row(row).filter_map(|(name, value)| match value {
            AttributeRef::String(text) => Some((name, text)),
            _ => None,
        });
        let exemplar =
            Exemplar { labels: Labels::from_pairs(texts), value: values[row], timestamp_ms: timestamps[row] };
        match found.last_mut().filter(|last| last.labels == *of) {
            Some(last) => last.exemplars.push(exemplar),
            None => found.push(SeriesExemplars { labels: of.clone(), exemplars: vec![exemplar] }),
        }
    }
    Ok(())
}
