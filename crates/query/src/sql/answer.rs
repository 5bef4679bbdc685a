//! An answer to a SQL query while it is computed.

use std::pin::Pin;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Sleep;

use crate::answer::QueryStats;
use crate::engine::Started;
use crate::error::QueryError;

/// What is known when all rows have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SqlEnd {
    /// What it cost.
    pub stats: QueryStats,
    /// Whether there would have been more rows than were asked for.
    pub is_truncated: bool,
}

/// The answer to a SQL query: columns, and rows batch by batch. The query stops when it is dropped.
#[derive(Debug)]
pub struct SqlAnswer {
    schema: SchemaRef,
    batches: mpsc::Receiver<RecordBatch>,
    task: JoinSet<Result<SqlEnd, QueryError>>,
    deadline: Pin<Box<Sleep>>,
    timeout_ms: i64,
    end: Option<SqlEnd>,
}

impl SqlAnswer {
    /// Waits until the columns are known.
    pub(crate) async fn begun(
        started: Started<SqlEnd>,
        columns: oneshot::Receiver<SchemaRef>,
        batches: mpsc::Receiver<RecordBatch>,
    ) -> Result<Self, QueryError> {
        let Started { mut task, timeout, timeout_ms } = started;
        let mut deadline = Box::pin(tokio::time::sleep(timeout));
        let schema = tokio::select! {
            schema = columns => schema.ok(),
            () = &mut deadline => return Err(QueryError::Timeout { timeout_ms }),
        };
        match schema {
            Some(schema) => Ok(Self { schema, batches, task, deadline, timeout_ms, end: None }),
            // It ended before it knew its columns.
            None => match joined(&mut task).await {
                Err(error) => Err(error),
                Ok(_) => Err(QueryError::Internal("the query gave no columns".into())),
            },
        }
    }

    /// The columns.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows that come next; none after the last.
    ///
    /// # Errors
    /// When the query is over a limit or its time is over, or the store fails.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        if self.end.is_some() {
            return Ok(None);
        }
        let next = async {
            match self.batches.recv().await {
                Some(batch) => Ok(Ok(batch)),
                None => joined(&mut self.task).await.map(Err),
            }
        };
        let next = tokio::select! {
            next = next => next?,
            () = &mut self.deadline => return Err(QueryError::Timeout { timeout_ms: self.timeout_ms }),
        };
        match next {
            Ok(batch) => Ok(Some(batch)),
            Err(end) => {
                self.end = Some(end);
                Ok(None)
            }
        }
    }

    /// What is known at the end; none before [`SqlAnswer::next`] has given none.
    #[must_use]
    pub fn end(&self) -> Option<SqlEnd> {
        self.end
    }
}

async fn joined(task: &mut JoinSet<Result<SqlEnd, QueryError>>) -> Result<SqlEnd, QueryError> {
    match task.join_next().await {
        Some(Ok(end)) => end,
        Some(Err(error)) => Err(QueryError::Internal(error.to_string())),
        None => Err(QueryError::Internal("the query was not started".into())),
    }
}

/// What the rows of a batch take, without what they may have been cut from.
pub(crate) fn data_bytes(batch: &RecordBatch) -> usize {
    let of = |column: &std::sync::Arc<dyn Array>| column.to_data().get_slice_memory_size().unwrap_or(0);
    batch.columns().iter().map(of).sum()
}
