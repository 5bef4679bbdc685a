//! Whole queries over small sets of lines: parsed, planned, run by several workers, finished.

mod any;
mod lines;
mod metrics;

use std::sync::Arc;

use logql::{Direction, EvalError, EvalParams, Value};
use model::Labels;
use model::attributes::AttributeRef;
use model::log::{Entry, LogBatchBuilder};

/// A line: seconds, text, structured metadata.
pub(crate) type Line = (i64, &'static str, &'static [(&'static str, &'static str)]);

/// Streams with their lines, which ascend.
pub(crate) type Streams = Vec<(Labels, Vec<Line>)>;

const SECOND: i64 = 1_000_000_000;

/// Lines from 0 s up to, without, 1000 s, newest first.
pub(crate) fn log_params(limit: usize) -> EvalParams {
    EvalParams {
        start_ns: 0,
        end_ns: 1000 * SECOND,
        step_ns: SECOND,
        limit,
        direction: Direction::Backward,
        max_series: 500,
    }
}

/// One step, in seconds.
pub(crate) fn at(seconds: i64) -> EvalParams {
    EvalParams { end_ns: seconds * SECOND, step_ns: 0, ..log_params(100) }
}

/// Steps, in seconds.
pub(crate) fn steps(start: i64, end: i64, step: i64) -> EvalParams {
    EvalParams { start_ns: start * SECOND, end_ns: end * SECOND, step_ns: step * SECOND, ..log_params(100) }
}

/// Runs a query as an engine would: matching streams go to two workers in turn, each stream in batches of two lines.
pub(crate) fn run(query: &str, streams: &Streams, params: &EvalParams) -> Result<Value, String> {
    let expr = logql::parse(query).map_err(|e| e.to_string())?;
    let plan = logql::plan(&expr, params).map_err(|e| e.to_string())?;
    let mut leaves = Vec::new();
    for leaf in &plan.leaves {
        let mut workers = [leaf.worker(), leaf.worker()];
        let matching = streams.iter().filter(|(labels, _)| {
            leaf.matchers().iter().all(|m| m.matches(labels.get(&m.name).unwrap_or_default()))
        });
        for (number, (labels, lines)) in matching.enumerate() {
            for chunk in lines.chunks(2) {
                feed(&mut workers[number % 2], labels, chunk).map_err(|e| e.to_string())?;
            }
        }
        let mut batches = Vec::new();
        for worker in workers {
            assert!(worker.memory_bytes() < 1 << 24);
            let batch = worker.finish().map_err(|e| e.to_string())?;
            assert_eq!(batch.schema(), leaf.schema());
            batches.push(batch);
        }
        leaves.push(batches);
    }
    logql::finish(&plan, leaves).map(|output| output.value).map_err(|e| e.to_string())
}

fn feed(worker: &mut logql::Worker, labels: &Labels, lines: &[Line]) -> Result<(), EvalError> {
    let mut builder = LogBatchBuilder::default();
    let stream = builder.stream(labels);
    for (seconds, line, metadata) in lines {
        let mut entry = Entry { timestamp_ns: seconds * SECOND, line, ..Entry::default() };
        for (name, value) in *metadata {
            match *name {
                "trace" => entry.trace_id = Some([0xab; 16]),
                name => builder.metadata(name, AttributeRef::String(value)),
            }
        }
        builder.entry(stream, entry);
    }
    worker.entries(labels, &Arc::new(builder.finish()).entries)
}
