//! What a query may say: one statement that reads, of a size that planning it cannot hurt, over the tenant's tables
//! alone.
//!
//! DataFusion's own switches refuse writing too; here it is refused before anything is planned, and what its switches
//! do not know of is: expansion of common table expressions, widths of types, and constants that become columns.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::expr::{Cast, TryCast};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{ObjectName, Query, Statement as SqlStatement, Visit, Visitor};

use super::catalog::{CATALOG, SCHEMA};
use super::functions::{in_place_of, joined};
use super::growth::{Ledger, MAX_CONSTANT_BYTES, scalar_bytes};
use super::tables::TableName;

/// The longest text of a query, in bytes.
pub(crate) const MAX_TEXT_BYTES: usize = 64 << 10;

/// Tables that a query may read, each use of a common table expression counting as all that it reads.
const MAX_RELATIONS: usize = 256;

/// Queries within each other: what plans them looks at the innermost once more for each, and once more for that.
const MAX_QUERY_DEPTH: usize = 8;

/// Operators and expressions that a plan may have.
const MAX_PLAN_NODES: usize = 50_000;

/// Constants shorter than this are not counted.
const SHORT_CONSTANT_BYTES: usize = 256;

/// Values of a list of fixed length that a type may have.
const MAX_FIXED_LENGTH: i32 = 1_024;

/// Refuses statements that do anything but read, and those that would be planned into too much.
///
/// # Errors
/// The reason.
pub(crate) fn check_statement(statement: &Statement) -> Result<()> {
    match statement {
        Statement::Explain(explain) => match &*explain.statement {
            Statement::Statement(inner) if matches!(**inner, SqlStatement::Query(_)) => expanded(inner),
            _ => plan_err!("EXPLAIN explains a query that reads"),
        },
        Statement::Statement(inner) => match &**inner {
            SqlStatement::Query(_)
            | SqlStatement::ExplainTable { .. }
            | SqlStatement::ShowTables { .. }
            | SqlStatement::ShowColumns { .. } => expanded(inner),
            SqlStatement::Explain { statement, .. } if matches!(**statement, SqlStatement::Query(_)) => {
                expanded(inner)
            }
            _ => read_only(),
        },
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => read_only(),
    }
}

fn read_only() -> Result<()> {
    plan_err!(
        "SQL here reads and does nothing else: SELECT, WITH, VALUES, EXPLAIN, DESCRIBE and SHOW TABLES are known"
    )
}

fn expanded(statement: &SqlStatement) -> Result<()> {
    let mut relations = Relations::default();
    match statement.visit(&mut relations) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => plan_err!(
            "the query reads more tables than one may, or has too many queries within each other: \
             max_relations={MAX_RELATIONS} max_query_depth={MAX_QUERY_DEPTH}; each use of a name that WITH defines \
             counts as all that it reads"
        ),
    }
}

/// Counts the tables that a statement reads when every name is put in for what it stands for.
#[derive(Default)]
struct Relations {
    frames: Vec<Frame>,
}

/// A query that is being visited.
#[derive(Default)]
struct Frame {
    count: usize,
    /// Queries of the WITH clause by their address, which is only compared, with their names.
    names: Vec<(*const Query, String)>,
    defined: HashMap<String, usize>,
}

impl Relations {
    fn count(&mut self, more: usize) -> ControlFlow<()> {
        let Some(frame) = self.frames.last_mut() else { return ControlFlow::Continue(()) };
        frame.count = frame.count.saturating_add(more);
        if frame.count > MAX_RELATIONS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Visitor for Relations {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        let names = tables.map(|cte| (std::ptr::from_ref(&*cte.query), cte.alias.name.value.to_lowercase()));
        self.frames.push(Frame { names: names.collect(), ..Frame::default() });
        if self.frames.len() > MAX_QUERY_DEPTH {
            return ControlFlow::Break(());
        }
        // A query without a table counts as one, so that many of them count too.
        self.count(1)
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let Some(done) = self.frames.pop() else { return ControlFlow::Continue(()) };
        let name = self.frames.last().and_then(|outer| {
            outer
                .names
                .iter()
                .find(|(address, _)| std::ptr::eq(*address, query))
                .map(|(_, name)| name.clone())
        });
        match (name, self.frames.last_mut()) {
            (Some(name), Some(outer)) => {
                outer.defined.insert(name, done.count);
                ControlFlow::Continue(())
            }
            _ => self.count(done.count),
        }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let name = relation.to_string().replace('"', "").to_lowercase();
        let defined = self.frames.iter().rev().find_map(|frame| frame.defined.get(&name));
        let count = defined.copied().unwrap_or(1).max(1);
        self.count(count)
    }
}

/// Refuses plans that do anything but read the tenant's tables, are too large, or make constants or types that are.
///
/// # Errors
/// The reason.
pub(crate) fn check_plan(plan: &LogicalPlan) -> Result<()> {
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(plan)?;
    let mut nodes = 0_usize;
    let mut constant_bytes = 0_usize;
    let mut recursive: Vec<String> = Vec::new();
    plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::RecursiveQuery(query) => recursive.push(query.name.clone()),
            LogicalPlan::TableScan(scan) if !recursive.contains(&scan.table_name.to_string()) => {
                check_table(&scan.table_name.to_string())?;
            }
            _ => {}
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                nodes += 1;
                if nodes > MAX_PLAN_NODES {
                    return plan_err!("the query is too large: max_plan_nodes={MAX_PLAN_NODES}");
                }
                check_expr(expr, &mut constant_bytes)
            })
        })?;
        nodes += 1 + node.schema().fields().len();
        if nodes > MAX_PLAN_NODES {
            return plan_err!("the query is too large: max_plan_nodes={MAX_PLAN_NODES}");
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn check_table(name: &str) -> Result<()> {
    let parts: Vec<&str> = name.split('.').collect();
    let is_ours = match parts.as_slice() {
        [table] | [SCHEMA, table] | [CATALOG, SCHEMA, table] => {
            TableName::ALL.iter().any(|known| known.as_str() == *table)
        }
        _ => false,
    };
    let is_known = is_ours || name.ends_with("()") || is_listing(&parts);
    if is_known {
        return Ok(());
    }
    plan_err!("there is no table {name}; there are metrics, logs and traces")
}

/// Tables that tell of the tables.
fn is_listing(parts: &[&str]) -> bool {
    match parts {
        [rest @ .., "information_schema", table] => {
            matches!(rest, [] | [CATALOG]) && matches!(*table, "tables" | "columns" | "schemata" | "views")
        }
        _ => false,
    }
}

fn check_expr(expr: &Expr, constant_bytes: &mut usize) -> Result<TreeNodeRecursion> {
    match expr {
        Expr::Literal(value, _) => {
            let bytes = scalar_bytes(value);
            if bytes > SHORT_CONSTANT_BYTES {
                *constant_bytes = constant_bytes.saturating_add(bytes);
            }
            if *constant_bytes > MAX_CONSTANT_BYTES {
                return plan_err!(
                    "the query's constants are too long: max_constant_bytes={MAX_CONSTANT_BYTES}, of those \
                     over {SHORT_CONSTANT_BYTES} bytes"
                );
            }
            Ok(TreeNodeRecursion::Continue)
        }
        Expr::Placeholder(_) | Expr::ScalarVariable(..) => {
            plan_err!("parameters and variables are not known: {expr}")
        }
        Expr::Cast(Cast { field, .. }) | Expr::TryCast(TryCast { field, .. }) => {
            check_type(field.data_type())?;
            Ok(TreeNodeRecursion::Continue)
        }
        _ => Ok(TreeNodeRecursion::Continue),
    }
}

fn check_type(of: &DataType) -> Result<()> {
    match of {
        DataType::FixedSizeList(_, length) | DataType::FixedSizeBinary(length)
            if *length > MAX_FIXED_LENGTH =>
        {
            plan_err!("a list or text of fixed length is too long: length={length} max={MAX_FIXED_LENGTH}")
        }
        DataType::FixedSizeList(item, _) | DataType::List(item) | DataType::LargeList(item) => {
            check_type(item.data_type())
        }
        DataType::Struct(fields) => fields.iter().try_for_each(|field| check_type(field.data_type())),
        _ => Ok(()),
    }
}

/// Puts bounded functions in the place of those that planner and optimizer made without asking the session.
///
/// # Errors
/// When one of them is a function that queries may not call.
pub(crate) fn bounded(plan: LogicalPlan, ledger: &Arc<Ledger>) -> Result<LogicalPlan, DataFusionError> {
    let replaced = plan.transform_up_with_subqueries(|node| {
        let replaced = node.map_expressions(|expr| {
            expr.transform_up(|expr| match expr {
                Expr::ScalarFunction(mut call) => match in_place_of(&call.func, ledger)? {
                    Some(function) => {
                        call.func = function;
                        Ok(Transformed::yes(Expr::ScalarFunction(call)))
                    }
                    None => Ok(Transformed::no(Expr::ScalarFunction(call))),
                },
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
                    Ok(Transformed::yes(joined(*left, *right, ledger)))
                }
                other => Ok(Transformed::no(other)),
            })
        })?;
        match replaced.transformed {
            true => replaced.map_data(LogicalPlan::recompute_schema),
            false => Ok(replaced),
        }
    })?;
    Ok(replaced.data)
}
