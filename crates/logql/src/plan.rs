//! From a tree to leaves, which run where lines are read, and what remains to be done with what they give.

use std::sync::Arc;

use model::{MatchOp, Matcher, TimeRange};
use promql::vector::{AggregateOp, Steps};
use regex::Regex;

use crate::ast::{
    Binary, BinaryOp, Expr, Grouping, LogExpr, MetricExpr, RangeAggregation, RangeOp, VectorAggregation,
    VectorOp,
};
use crate::error::PlanError;
use crate::leaf::samples::SampleSpec;
use crate::leaf::{Leaf, Output};
use crate::pipeline::Pipeline;
use crate::range::Windows;
use crate::value::{Direction, EvalParams};

/// The most steps that one evaluation may have: every series holds a number for each.
const MAX_STEPS: i64 = 100_000;

/// A query, ready to run.
#[derive(Debug)]
pub struct Plan {
    /// What to read; a query on numbers alone has none.
    pub leaves: Vec<Arc<Leaf>>,
    pub(crate) root: Node,
    pub(crate) steps: Steps,
    pub(crate) limit: usize,
    pub(crate) direction: Direction,
    pub(crate) max_series: usize,
}

impl Plan {
    /// Whether it answers with lines.
    #[must_use]
    pub fn is_log_query(&self) -> bool {
        matches!(self.root, Node::Lines)
    }
}

/// What is done with what the leaves give.
#[derive(Debug)]
pub(crate) enum Node {
    /// The lines of the only leaf.
    Lines,
    /// The series of a leaf.
    Range(usize),
    /// One where a leaf has nothing, with labels that the selector says.
    Absent(usize, Vec<(String, String)>),
    Aggregate {
        op: AggregateOp,
        grouping: Grouping,
        k: Option<u32>,
        child: Box<Node>,
    },
    Sort {
        descending: bool,
        child: Box<Node>,
    },
    Binary {
        shape: Box<Binary>,
        left: Box<Node>,
        right: Box<Node>,
    },
    Scalar(f64),
    Vector(f64),
    LabelReplace {
        to: String,
        replacement: String,
        from: String,
        regex: Regex,
        child: Box<Node>,
    },
}

/// Plans a query.
///
/// # Errors
/// When a stage cannot be compiled or the times do not fit.
pub fn plan(expr: &Expr, params: &EvalParams) -> Result<Plan, PlanError> {
    // Lines have no steps, however fine the step that a client sends along.
    let count = if matches!(expr, Expr::Logs(_)) { 1 } else { step_count(params)? };
    let mut planner = Planner { params, leaves: Vec::new(), count };
    let root = match expr {
        Expr::Logs(logs) => planner.lines(logs)?,
        Expr::Metric(metric) => planner.metric(metric)?,
    };
    let ms = |ns: i64| ns.div_euclid(model::time::NS_PER_MS);
    let start_ns = if params.step_ns == 0 { params.end_ns } else { params.start_ns };
    let steps = Steps { start_ms: ms(start_ns), step_ms: ms(params.step_ns), count: planner.count };
    let EvalParams { limit, direction, max_series, .. } = *params;
    Ok(Plan { leaves: planner.leaves, root, steps, limit, direction, max_series })
}

fn step_count(params: &EvalParams) -> Result<usize, PlanError> {
    if params.step_ns == 0 {
        return Ok(1);
    }
    let length = params.end_ns.checked_sub(params.start_ns).filter(|length| *length >= 0);
    let (Some(length), true) = (length, params.step_ns > 0) else {
        let EvalParams { start_ns, end_ns, step_ns, .. } = params;
        return Err(PlanError::Steps(format!("start_ns={start_ns} end_ns={end_ns} step_ns={step_ns}")));
    };
    let steps = length / params.step_ns + 1;
    match usize::try_from(steps) {
        Ok(count) if steps <= MAX_STEPS => Ok(count),
        _ => Err(PlanError::Steps(format!("steps={steps} max_steps={MAX_STEPS}"))),
    }
}

struct Planner<'p> {
    params: &'p EvalParams,
    leaves: Vec<Arc<Leaf>>,
    count: usize,
}

impl Planner<'_> {
    fn leaf(
        &mut self,
        logs: &LogExpr,
        labels: Option<Vec<String>>,
        range: TimeRange,
        output: Output,
    ) -> Result<usize, PlanError> {
        let pipeline = Pipeline::new(&logs.stages, labels).map_err(|reason| {
            // The stage that fails alone is the one to name.
            let stage = logs.stages.iter().find(|s| Pipeline::new(std::slice::from_ref(s), None).is_err());
            PlanError::Stage { stage: stage.map(ToString::to_string).unwrap_or_default(), reason }
        })?;
        self.leaves.push(Arc::new(Leaf { matchers: logs.matchers.clone(), range, pipeline, output }));
        Ok(self.leaves.len() - 1)
    }

    fn lines(&mut self, logs: &LogExpr) -> Result<Node, PlanError> {
        let EvalParams { start_ns, end_ns, limit, direction, .. } = *self.params;
        let range = TimeRange::new(start_ns, end_ns.saturating_sub(1));
        self.leaf(logs, None, range, Output::Lines(limit, direction))?;
        Ok(Node::Lines)
    }

    fn metric(&mut self, expr: &MetricExpr) -> Result<Node, PlanError> {
        match expr {
            MetricExpr::Range(range) => self.range(range, range.grouping.clone()),
            MetricExpr::Vector(vector) => self.vector(vector),
            MetricExpr::Binary(binary) => {
                let (left, right) = (self.metric(&binary.left)?, self.metric(&binary.right)?);
                // Only the operator is of interest from here on.
                let (l, r) = (MetricExpr::Literal(0.0), MetricExpr::Literal(0.0));
                let shape = Binary { matching: binary.matching.clone(), left: l, right: r, ..**binary };
                Ok(Node::Binary { shape: Box::new(shape), left: Box::new(left), right: Box::new(right) })
            }
            MetricExpr::Literal(value) => Ok(Node::Scalar(*value)),
            MetricExpr::ConstantVector(value) => Ok(Node::Vector(*value)),
            MetricExpr::LabelReplace(replace) => {
                let child = Box::new(self.metric(&replace.expr)?);
                let regex =
                    Regex::new(&format!("^(?s:{})$", replace.regex)).map_err(|error| PlanError::Regex {
                        regex: replace.regex.clone(),
                        reason: error.to_string().lines().last().unwrap_or_default().to_owned(),
                    })?;
                let (to, from) = (replace.to.clone(), replace.from.clone());
                Ok(Node::LabelReplace { to, replacement: replace.replacement.clone(), from, regex, child })
            }
        }
    }

    fn range(&mut self, range: &RangeAggregation, grouping: Option<Grouping>) -> Result<Node, PlanError> {
        let params = self.params;
        let windows = Windows {
            start_ns: if params.step_ns == 0 { params.end_ns } else { params.start_ns },
            step_ns: params.step_ns.max(1),
            count: self.count,
            range_ns: range.range_ns,
            offset_ns: range.offset_ns,
        };
        let absent = range.op == RangeOp::AbsentOverTime;
        let grouping = if absent { Some(Grouping::default()) } else { grouping };
        let labels = grouping.as_ref().filter(|g| !g.without).map(|g| g.labels.clone());
        let unwrapped = range.logs.stages.iter().any(|s| matches!(s, crate::ast::Stage::Unwrap(_)));
        let param = range.param.unwrap_or_default();
        let spec = SampleSpec { op: range.op, param, unwrapped, windows, grouping };
        let leaf = self.leaf(&range.logs, labels, windows.covered(), Output::Samples(spec))?;
        Ok(if absent { Node::Absent(leaf, absent_labels(&range.logs.matchers)) } else { Node::Range(leaf) })
    }

    fn vector(&mut self, vector: &VectorAggregation) -> Result<Node, PlanError> {
        let grouping = vector.grouping.clone().unwrap_or_default();
        if let MetricExpr::Range(range) = &*vector.expr
            && range.grouping.is_none()
            && joins_in_leaf(vector.op, range.op)
        {
            return self.range(range, Some(grouping));
        }
        let child = Box::new(self.metric(&vector.expr)?);
        let op = match vector.op {
            VectorOp::Sort | VectorOp::SortDesc => {
                return Ok(Node::Sort { descending: vector.op == VectorOp::SortDesc, child });
            }
            VectorOp::Sum => AggregateOp::Sum,
            VectorOp::Avg => AggregateOp::Avg,
            VectorOp::Min => AggregateOp::Min,
            VectorOp::Max => AggregateOp::Max,
            VectorOp::Count => AggregateOp::Count,
            VectorOp::Stddev => AggregateOp::Stddev,
            VectorOp::Stdvar => AggregateOp::Stdvar,
            // The exact answer is the best approximation.
            VectorOp::Topk | VectorOp::ApproxTopk => AggregateOp::Topk,
            VectorOp::Bottomk => AggregateOp::Bottomk,
        };
        Ok(Node::Aggregate { op, grouping, k: vector.param, child })
    }
}

/// Whether aggregating over series is the same as aggregating over all their lines at once.
fn joins_in_leaf(vector: VectorOp, range: RangeOp) -> bool {
    match vector {
        VectorOp::Sum => matches!(
            range,
            RangeOp::CountOverTime
                | RangeOp::Rate
                | RangeOp::BytesOverTime
                | RangeOp::BytesRate
                | RangeOp::SumOverTime
        ),
        VectorOp::Min => range == RangeOp::MinOverTime,
        VectorOp::Max => range == RangeOp::MaxOverTime,
        _ => false,
    }
}

/// The labels that a selector fixes: those with one equality and no other condition.
fn absent_labels(matchers: &[Matcher]) -> Vec<(String, String)> {
    let once = |m: &&Matcher| matchers.iter().filter(|other| other.name == m.name).count() == 1;
    let fixed = matchers.iter().filter(|m| m.op == MatchOp::Equal).filter(once);
    fixed.map(|m| (m.name.clone(), m.value.clone())).collect()
}

/// The same operator where numbers are joined.
pub(crate) fn vector_op(op: BinaryOp) -> promql::vector::BinaryOp {
    use promql::vector::BinaryOp as V;
    match op {
        BinaryOp::Add => V::Add,
        BinaryOp::Sub => V::Sub,
        BinaryOp::Mul => V::Mul,
        BinaryOp::Div => V::Div,
        BinaryOp::Mod => V::Mod,
        BinaryOp::Pow => V::Pow,
        BinaryOp::Equal => V::Equal,
        BinaryOp::NotEqual => V::NotEqual,
        BinaryOp::Greater => V::Greater,
        BinaryOp::GreaterEqual => V::GreaterEqual,
        BinaryOp::Less => V::Less,
        BinaryOp::LessEqual => V::LessEqual,
        BinaryOp::And => V::And,
        BinaryOp::Or => V::Or,
        BinaryOp::Unless => V::Unless,
    }
}
