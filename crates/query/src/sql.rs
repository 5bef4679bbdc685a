//! SQL over a tenant's telemetry, read-only: the tables `metrics`, `logs` and `traces` of the caller and nothing else.
//!
//! DataFusion parses, plans and computes; here it gets its tables ([`catalog`], [`scan`], [`tables`]), learns what
//! conditions let it skip ([`predicates`]), and is kept from everything but reading ([`depth`], [`guard`], [`functions`],
//! [`growth`], [`inputs`], [`session`]). How answers are written is `api`'s.

pub(crate) mod tables;

pub(crate) mod predicates;

pub(crate) mod scan;

pub(crate) mod sources;

pub(crate) mod catalog;

pub(crate) mod growth;

pub(crate) mod functions;

pub(crate) mod depth;

pub(crate) mod guard;

pub(crate) mod inputs;

pub(crate) mod session;

pub(crate) mod answer;

pub(crate) mod errors;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use model::{Signal, TenantContext};
use tokio::sync::{mpsc, oneshot};

pub use answer::{SqlAnswer, SqlEnd};
pub use depth::STACK_BYTES;

use crate::engine::QueryEngine;
use crate::error::QueryError;
use crate::request::SqlRequest;
use crate::sql::catalog::Tenant;
use crate::sql::errors::{explained, planning};

/// Batches that may wait for a slow reader.
const MAX_WAITING_BATCHES: usize = 2;

impl QueryEngine {
    /// Evaluates a SQL query. The answer is a stream: it must be read within the query's time, and the query is
    /// stopped when it is dropped.
    ///
    /// # Errors
    /// When the text is not a query that reads, is over a limit or takes too long, or the store fails. What goes
    /// wrong while rows are computed is said by [`SqlAnswer::next`].
    pub async fn sql(
        &self,
        context: &TenantContext,
        query: &str,
        request: SqlRequest,
    ) -> Result<SqlAnswer, QueryError> {
        if query.len() > guard::MAX_TEXT_BYTES {
            return Err(QueryError::Parse(format!(
                "the query is too long: bytes={} max_bytes={}",
                query.len(),
                guard::MAX_TEXT_BYTES
            )));
        }
        if context.is_several() {
            let tenants = context.tenant();
            return Err(QueryError::Parse(format!(
                "SQL reads the tables of one tenant: tenants={tenants}; ask for each by itself"
            )));
        }
        let (batches, waiting) = mpsc::channel(MAX_WAITING_BATCHES);
        let (schema, columns) = oneshot::channel();
        let text = query.to_owned();
        let task = self.start(
            (context, Signal::Metrics),
            request.timeout_ns,
            move |engine, context, running| async move {
                let tenant = Tenant {
                    storage: running.storage.clone(),
                    parallelism: engine.settings().parallelism,
                    range: request.range,
                    context,
                    running,
                };
                evaluate(&engine, tenant, text, request, schema, batches).await
            },
        )?;
        SqlAnswer::begun(task, columns, waiting).await
    }
}

async fn evaluate(
    engine: &QueryEngine,
    tenant: Tenant,
    text: String,
    request: SqlRequest,
    schema: oneshot::Sender<SchemaRef>,
    batches: mpsc::Sender<RecordBatch>,
) -> Result<SqlEnd, QueryError> {
    let running = Arc::clone(&tenant.running);
    let max_bytes = tenant.context.limits().max_sql_answer_bytes;
    let (state, ledger) = session::session(tenant, engine.now())?;
    let task_context = state.task_ctx();
    let dialect = state.config().options().sql_parser.dialect;
    depth::check_text(&text).map_err(|error| explained(&text, &error))?;
    let statement = state.sql_to_statement(&text, &dialect).map_err(|error| explained(&text, &error))?;
    guard::check_statement(&statement).map_err(|error| explained(&text, &error))?;
    let plan = state.statement_to_plan(statement).await.map_err(|error| explained(&text, &error))?;
    let limited = text.clone();
    // To optimize a plan takes long and does not wait for anything.
    let (state, plan) = running
        .compute(move |_| {
            let plan = limited_plan(plan, request.limit).and_then(|plan| {
                guard::check_plan(&plan)?;
                let plan = guard::bounded(plan, &ledger)?;
                let plan = state.optimize(&plan)?;
                let plan = guard::bounded(plan, &ledger)?;
                guard::check_plan(&plan)?;
                Ok(plan)
            });
            plan.map(|plan| (state, plan)).map_err(|error| explained(&limited, &error))
        })
        .await??;
    let physical = state.query_planner().create_physical_plan(&plan, &state).await;
    let physical = physical.and_then(inputs::with_bounds).map_err(|error| explained(&text, &error))?;
    // Nobody to tell is nobody to compute for: the send of the first batch ends it.
    let _ = schema.send(physical.schema());
    let mut stream = execute_stream(physical, task_context).map_err(|error| planning(&error))?;
    let mut end = SqlEnd::default();
    let mut bytes = 0_usize;
    let mut left = request.limit.unwrap_or(usize::MAX);
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|error| planning(&error))?;
        if batch.num_rows() > left {
            end.is_truncated = true;
        }
        let batch = batch.slice(0, batch.num_rows().min(left));
        left -= batch.num_rows();
        bytes = bytes.saturating_add(answer::data_bytes(&batch));
        if bytes > max_bytes {
            return Err(QueryError::Execution(format!(
                "the answer is too large: max_sql_answer_bytes={max_bytes}; ask for fewer rows or columns, or \
                 have the limit raised"
            )));
        }
        if batch.num_rows() > 0 && batches.send(batch).await.is_err() {
            break;
        }
        if end.is_truncated {
            break;
        }
    }
    end.stats = running.stats();
    Ok(end)
}

/// The plan with one row more than is wanted, by which it is known that there are more.
fn limited_plan(plan: LogicalPlan, limit: Option<usize>) -> datafusion::common::Result<LogicalPlan> {
    match (limit, &plan) {
        (None, _)
        | (_, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_)) => Ok(plan),
        (Some(limit), _) => LogicalPlanBuilder::from(plan).limit(0, Some(limit.saturating_add(1)))?.build(),
    }
}
