//! The leaf of LogQL: the lines of a range of streams through the pipeline, source by source, and stream by
//! stream in each.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{SchemaRef, UInt32Type};
use futures::StreamExt;
use futures::future::BoxFuture;
use model::{Labels, TimeRange};
use storage::{LogColumns, LogMetadata, LogScan, StreamSet};

use super::{Counters, Memory, Work, split};
use crate::error::QueryError;
use crate::pace::Pace;

/// A LogQL leaf over the streams that its matchers selected, in one window of time.
pub(crate) struct LogsWork {
    leaf: Arc<logql::Leaf>,
    set: StreamSet,
    /// As they are answered, where they are not answered as they are.
    labels: Option<Arc<[Labels]>>,
    window: TimeRange,
    parts: Vec<Range<usize>>,
    counters: Arc<Counters>,
}

impl LogsWork {
    pub(crate) fn new(
        leaf: Arc<logql::Leaf>,
        set: StreamSet,
        labels: Option<Arc<[Labels]>>,
        window: TimeRange,
        parallelism: usize,
        counters: Arc<Counters>,
    ) -> Self {
        let parts = split(set.labels().len(), parallelism);
        Self { leaf, set, labels, window, parts, counters }
    }
}

impl std::fmt::Debug for LogsWork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} over {} streams", self.leaf.matchers(), self.set.labels().len())
    }
}

impl Work for LogsWork {
    fn name(&self) -> &'static str {
        "LogsLeafExec"
    }

    fn schema(&self) -> SchemaRef {
        self.leaf.schema()
    }

    fn partitions(&self) -> usize {
        self.parts.len()
    }

    fn run(
        &self,
        partition: usize,
        memory: Memory,
        pace: Pace,
    ) -> BoxFuture<'static, Result<Vec<RecordBatch>, QueryError>> {
        let scan = LogScan {
            range: self.window,
            needles: self.leaf.needles().to_vec(),
            columns: LogColumns {
                line: self.leaf.needs_line(),
                metadata: match self.leaf.metadata_keys() {
                    Some(keys) if keys.is_empty() => LogMetadata::None,
                    Some(keys) => LogMetadata::Keys(keys),
                    None => LogMetadata::All,
                },
            },
        };
        let (leaf, set) = (Arc::clone(&self.leaf), (self.set.clone(), self.labels.clone()));
        let (part, counters) = (self.parts[partition].clone(), Arc::clone(&self.counters));
        Box::pin(evaluate(leaf, set, part, scan, memory, pace, counters))
    }
}

async fn evaluate(
    leaf: Arc<logql::Leaf>,
    (set, labels): (StreamSet, Option<Arc<[Labels]>>),
    part: Range<usize>,
    scan: LogScan,
    mut memory: Memory,
    mut pace: Pace,
    counters: Arc<Counters>,
) -> Result<Vec<RecordBatch>, QueryError> {
    counters.series.fetch_add(part.len() as u64, Ordering::Relaxed);
    let mut worker = leaf.worker();
    let mut sources = set.sources(part, scan).await?;
    if matches!(leaf.lines(), Some((_, logql::Direction::Backward))) {
        sources.reverse();
    }
    // One after the other, so that only one is held open.
    for mut source in sources {
        if !worker.is_wanted(source.range) {
            continue;
        }
        while let Some(batch) = source.entries.next().await.transpose()? {
            let streams = batch.column(0).as_primitive::<UInt32Type>().values();
            let mut row = 0;
            while row < streams.len() {
                let stream = streams[row];
                let rows = streams[row..].partition_point(|number| *number <= stream);
                let labels = labels
                    .as_deref()
                    .unwrap_or(set.labels())
                    .get(stream as usize)
                    .ok_or_else(|| number_out_of_range(stream))?;
                worker.entries(labels, &batch.slice(row, rows))?;
                pace.step().await;
                row += rows;
            }
            memory.hold(worker.memory_bytes())?;
        }
    }
    let stats = worker.stats();
    counters.add(stats.lines_processed, stats.bytes_processed);
    Ok(vec![worker.finish()?])
}

fn number_out_of_range(stream: u32) -> QueryError {
    QueryError::Internal(format!("storage gave a stream that was not selected: stream={stream}"))
}
