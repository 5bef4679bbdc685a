//! Looks for what a server acknowledged: by the queries of its own APIs, in numbers that must be exact.

use anyhow::Context;
use model::Signal;
use serde_json::Value;

use super::client::Client;
use super::generate::{Stretch, Witness};
use super::load::Sum;
use super::report::Found;

/// The stretch that one question counts.
const SLICE_MS: i64 = 30 * 60_000;

/// Counts what is there for a stretch of time.
pub(super) struct Check {
    client: Client,
    base: String,
    signal: Signal,
    stretch: Stretch,
}

impl Check {
    /// A check of the server at that address.
    pub(super) fn new(client: Client, base: &str, signal: Signal, stretch: Stretch) -> Self {
        Self { client, base: base.to_owned(), signal, stretch }
    }

    /// Items that the tenant has in the stretch; of traces none are counted, as no question of Tempo's counts spans.
    ///
    /// # Errors
    /// When the server cannot be asked or its answer is none.
    pub(super) async fn count(&self) -> anyhow::Result<u64> {
        let (path, unit_ns) = match self.signal {
            Signal::Metrics => ("/api/v1/query", 0),
            Signal::Logs => ("/loki/api/v1/query", 1_000_000),
            Signal::Traces => return Ok(0),
        };
        let (url, selectors) = (format!("{}{path}", self.base), self.selectors().await?);
        // A range is open at its beginning, and the first item may lie there.
        let (mut from_ms, end_ms) = (self.stretch.start_ms - 1, self.stretch.end_ms);
        let mut items = 0;
        while from_ms < end_ms {
            let to_ms = (from_ms + SLICE_MS).min(end_ms);
            let time = match unit_ns {
                0 => seconds(to_ms),
                unit_ns => (to_ms * unit_ns).to_string(),
            };
            for selector in &selectors {
                let query = format!("sum(count_over_time({selector}[{}ms]))", to_ms - from_ms);
                let asked = [("query", query), ("time", time.clone())];
                let answer = self.client.get_in_time(&url, &asked).await?.into_text();
                let answer = answer.context("the server does not answer what it has")?;
                items += number(&serde_json::from_str(&answer)?);
            }
            from_ms = to_ms;
        }
        Ok(items)
    }

    /// What has the items: each metric by itself, as functions take names away, and then series of two may be alike.
    async fn selectors(&self) -> anyhow::Result<Vec<String>> {
        if self.signal == Signal::Logs {
            return Ok(vec!["{service_name=~\".+\"}".to_owned()]);
        }
        let url = format!("{}/api/v1/label/__name__/values", self.base);
        let range = [("start", seconds(self.stretch.start_ms)), ("end", seconds(self.stretch.end_ms))];
        let answer = self.client.get_in_time(&url, &range).await?.into_text();
        let answer: Value = serde_json::from_str(&answer.context("the server does not tell its metrics")?)?;
        let names = answer["data"].as_array().context("an answer without names")?.iter();
        // `target_info` is what Prometheus' model adds to each resource of OTLP.
        let names = names.filter_map(Value::as_str).filter(|name| *name != "target_info");
        Ok(names.map(|name| format!("{{__name__={name:?}}}")).collect())
    }

    /// What is found of what was acknowledged.
    ///
    /// # Errors
    /// When the server cannot be asked or its answer is none.
    pub(super) async fn found(&self, before: u64, sum: &Sum, witnesses: &[Witness]) -> anyhow::Result<Found> {
        if self.signal != Signal::Traces {
            return Ok(Found { items: self.count().await? - before, of: sum.items });
        }
        let mut found = Found { items: 0, of: 0 };
        // Of a load that was cut nobody knows which traces were sent whole.
        for witness in witnesses.iter().filter(|_| !sum.is_cut) {
            let url = format!("{}/api/traces/{}", self.base, witness.trace_id);
            let answer = self.client.get_in_time(&url, &[]).await?;
            found.of += witness.spans;
            if answer.status != http::StatusCode::NOT_FOUND {
                found.items += spans(&serde_json::from_str(&answer.into_text()?)?);
            }
        }
        Ok(found)
    }
}

/// A moment in seconds, as Prometheus' API takes it.
fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// The only number of an answer; an empty one is nothing.
fn number(answer: &Value) -> u64 {
    let value = answer["data"]["result"][0]["value"][1].as_str().and_then(|text| text.parse::<f64>().ok());
    value.map_or(0, |value| value as u64)
}

/// The spans of a trace, however it nests them.
pub(super) fn spans(value: &Value) -> u64 {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match value {
                Value::Array(items) if name == "spans" => items.len() as u64,
                value => spans(value),
            })
            .sum(),
        Value::Array(items) => items.iter().map(spans).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_counted() {
        let answer = json!({"data": {"result": [{"metric": {}, "value": [1.0, "480000"]}]}});
        assert_eq!(number(&answer), 480_000);
        assert_eq!(number(&json!({"data": {"result": []}})), 0);
        let trace = json!({"batches": [
            {"resource": {}, "scopeSpans": [{"spans": [{}, {}]}]},
            {"scopeSpans": [{"spans": [{}]}, {"spans": []}]},
        ]});
        assert_eq!(spans(&trace), 3);
    }
}
