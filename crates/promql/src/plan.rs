//! From the tree to leaves and a finish: what is read where, and what remains to be joined.

mod absent;

mod call;

mod duration;

pub(crate) mod info;

mod select;

use std::sync::Arc;

use crate::aggregate::Places;
use crate::annotations::Annotations;
use crate::ast::{Aggregate, AggregateOp, Binary, BinaryOp, Expr, Grouping, Matching, Place};
use crate::error::EvalError;
use crate::finish;
use crate::functions::Function;
use crate::kernels::{RangeFunction, Windows};
use crate::leaf::Leaf;
use crate::value::ValueType;
use crate::vector::Steps;

/// Over which moments a query is evaluated, and within which bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvalParams {
    /// The first step, in milliseconds since the epoch.
    pub start_ms: i64,
    /// The last moment; steps after it are left out.
    pub end_ms: i64,
    /// Between two steps; 0 for a query at the moment `start_ms` alone.
    pub step_ms: i64,
    /// How far back an instant selector looks for a sample.
    pub lookback_ms: i64,
    /// How many samples the query may hold at once.
    pub max_samples: usize,
    /// Whether names that functions take away stay until the query's end.
    pub delayed_names: bool,
    /// Whether rates and resets know since when samples count.
    pub start_timestamps: bool,
    /// Whether the samples of each step are counted.
    pub counts_samples: bool,
}

impl EvalParams {
    /// One moment, as a Prometheus without settings would evaluate it.
    #[must_use]
    pub const fn instant(at_ms: i64) -> Self {
        Self {
            start_ms: at_ms,
            end_ms: at_ms,
            step_ms: 0,
            lookback_ms: 300_000,
            max_samples: 50_000_000,
            delayed_names: false,
            start_timestamps: false,
            counts_samples: false,
        }
    }
}

/// A query taken apart.
#[derive(Debug)]
pub struct Plan {
    /// What to read; [`crate::finish()`] wants the batches in this order.
    pub leaves: Vec<Arc<Leaf>>,
    pub(crate) root: Node,
    pub(crate) steps: Steps,
    pub(crate) instant: bool,
    pub(crate) delayed_names: bool,
    pub(crate) counts_samples: bool,
    pub(crate) max_samples: usize,
    values: usize,
    pub(crate) sorted_by_query: bool,
}

impl Plan {
    /// The moments at which the query is evaluated.
    #[must_use]
    pub const fn steps(&self) -> Steps {
        self.steps
    }

    /// About how many bytes the plan and the finish hold for one series of each part of the query; what further series
    /// need shows in the batches of the leaves.
    #[must_use]
    pub fn bytes_per_series(&self) -> usize {
        self.values.saturating_mul(size_of::<(i64, f64)>())
    }
}

/// What remains to be computed when the leaves are read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// A number per step.
    Numbers(Vec<f64>),
    Text(String),
    /// A leaf with a value per step.
    Leaf(usize),
    /// A function over windows of samples.
    Range {
        function: RangeFunction,
        source: Source,
        windows: Windows,
        params: Vec<Node>,
        keep_name: bool,
        places: RangePlaces,
        is_counted: bool,
    },
    /// Samples as the result.
    Matrix {
        source: Source,
        windows: Windows,
    },
    Negate(Box<Node>),
    Binary {
        op: BinaryOp,
        bool_modifier: bool,
        matching: Matching,
        lhs: Box<Node>,
        rhs: Box<Node>,
        place: Place,
    },
    Aggregate {
        op: AggregateOp,
        grouping: Grouping,
        param: Option<Box<Node>>,
        input: Box<Node>,
        places: Places,
    },
    /// One where the input has nothing.
    Absent {
        labels: model::Labels,
        input: Box<Node>,
        steps: Steps,
    },
    /// Series with the labels of others added; `values` and `moments` are leaves.
    Info {
        input: Box<Node>,
        selector: info::InfoSelector,
        values: usize,
        moments: usize,
    },
    /// `histogram_quantile` of a leaf whose workers compute what they can of it.
    Quantile {
        leaf: usize,
        /// One per step.
        quantiles: Vec<f64>,
        /// Of the quantile and of the histograms.
        places: (Place, Place),
    },
    /// A function of the values of a step.
    Call {
        function: &'static Function,
        args: Vec<Node>,
        places: Vec<Place>,
        steps: Steps,
    },
}

/// Where the parts of a function over windows stand in the text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RangePlaces {
    pub(crate) samples: Place,
    pub(crate) param: Place,
}

/// Where the samples of windows come from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    /// A leaf that gives samples.
    Leaf(usize),
    /// Values of another node, each a sample at its step.
    Node(Box<Node>, Steps),
}

/// Takes a query apart.
///
/// # Errors
/// When the steps or a duration are not valid, the result's type does not go with a range of steps, or something is
/// not supported.
pub fn plan(expr: &Expr, params: &EvalParams) -> Result<Plan, EvalError> {
    let steps = Steps::range(params.start_ms, params.end_ms, params.step_ms)?;
    if steps.count > params.max_samples {
        return Err(EvalError::TooManySamples);
    }
    let instant = params.step_ms == 0;
    let value_type = expr.value_type();
    if !instant && !matches!(value_type, ValueType::Vector | ValueType::Scalar) {
        return Err(EvalError::Type(format!(
            "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
            value_type.described()
        )));
    }
    let end_ms = if instant { params.start_ms } else { params.end_ms };
    let params_in_full = EvalParams { end_ms, ..*params };
    let mut planner = Planner {
        params: params_in_full,
        leaves: Vec::new(),
        values: 0,
        tells_resets: false,
        in_subquery: false,
        is_result: false,
    };
    let root = match expr.unparenthesized() {
        matrix @ (Expr::Range(..) | Expr::Subquery(_)) => {
            planner.is_result = true;
            let (source, windows) = planner.source(matrix, steps)?;
            Node::Matrix { source, windows }
        }
        _ => planner.node(expr, steps)?,
    };
    let values = planner.values;
    let leaves = planner.leaves.into_iter().map(Arc::new).collect();
    let sorted_by_query = is_sorted_by_query(expr);
    let EvalParams { max_samples, delayed_names, counts_samples, .. } = *params;
    Ok(Plan {
        leaves,
        root,
        steps,
        instant,
        delayed_names,
        counts_samples,
        max_samples,
        values,
        sorted_by_query,
    })
}

/// Whether the order of an instant vector is the query's own.
fn is_sorted_by_query(expr: &Expr) -> bool {
    match expr.unparenthesized() {
        Expr::Call(function, ..) => function.name.starts_with("sort"),
        Expr::Aggregate(aggregate) => matches!(aggregate.op, AggregateOp::Topk | AggregateOp::Bottomk),
        _ => false,
    }
}

struct Planner {
    params: EvalParams,
    leaves: Vec<Leaf>,
    /// How many values all parts of the query have, at one series each.
    values: usize,
    /// Whether only counts and sums of histograms are wanted of what is planned now.
    tells_resets: bool,
    /// Whether what is planned now has other steps than the query, and is counted as what a window has.
    in_subquery: bool,
    /// Whether the windows that are planned next are the result itself: then what is inside them is counted.
    is_result: bool,
}

impl Planner {
    fn node(&mut self, expr: &Expr, steps: Steps) -> Result<Node, EvalError> {
        self.values = self.values.saturating_add(steps.count);
        if self.values > self.params.max_samples {
            return Err(EvalError::TooManySamples);
        }
        Ok(match expr {
            Expr::Number(value) | Expr::Seconds(value) => Node::Numbers(vec![*value; steps.count]),
            Expr::Text(text) => Node::Text(text.clone()),
            Expr::Paren(inner) | Expr::Unary(false, inner) => self.node(inner, steps)?,
            Expr::Unary(true, inner) => settle(Node::Negate(Box::new(self.node(inner, steps)?)))?,
            Expr::Selector(selector) => Node::Leaf(self.instant(selector, steps, select::Sampled::Value)?),
            Expr::Range(..) | Expr::Subquery(_) => {
                return Err(EvalError::Unsupported("a range vector in this place".to_owned()));
            }
            Expr::Binary(binary) => self.binary(binary, steps)?,
            Expr::Aggregate(aggregate) => self.aggregate(aggregate, steps)?,
            Expr::Call(function, args, places) => self.call(function, args, places, steps)?,
        })
    }

    fn binary(&mut self, binary: &Binary, steps: Steps) -> Result<Node, EvalError> {
        let lhs = Box::new(self.node(&binary.lhs, steps)?);
        let rhs = Box::new(self.node(&binary.rhs, steps)?);
        let matching = binary.matching.clone();
        let (op, bool_modifier, place) = (binary.op, binary.bool_modifier, binary.place);
        settle(Node::Binary { op, bool_modifier, matching, lhs, rhs, place })
    }

    fn aggregate(&mut self, aggregate: &Aggregate, steps: Steps) -> Result<Node, EvalError> {
        let param = match &aggregate.param {
            Some(param) => Some(Box::new(self.node(param, steps)?)),
            None => None,
        };
        let input = self.node(&aggregate.expr, steps)?;
        if let Node::Leaf(leaf) = input
            && !self.leaves[leaf].may_clash()
            && self.leaves[leaf].reduce_by(aggregate.op, &aggregate.grouping, aggregate.place)
        {
            return Ok(Node::Leaf(leaf));
        }
        let (op, grouping) = (aggregate.op, aggregate.grouping.clone());
        let places =
            Places { whole: aggregate.whole_place, input: aggregate.place, param: aggregate.param_place };
        Ok(Node::Aggregate { op, grouping, param, input: Box::new(input), places })
    }
}

impl Node {
    /// Whether it reads nothing, so that it can be computed at once.
    pub(crate) fn is_constant(&self) -> bool {
        match self {
            Node::Numbers(_) | Node::Text(_) => true,
            Node::Leaf(_) | Node::Range { .. } | Node::Matrix { .. } => false,
            Node::Info { .. } | Node::Quantile { .. } => false,
            Node::Negate(inner) | Node::Absent { input: inner, .. } => inner.is_constant(),
            Node::Binary { lhs, rhs, .. } => lhs.is_constant() && rhs.is_constant(),
            Node::Aggregate { param, input, .. } => {
                input.is_constant() && param.as_ref().is_none_or(|param| param.is_constant())
            }
            Node::Call { args, .. } => args.iter().all(Node::is_constant),
        }
    }
}

/// Computes numbers that hang on nothing that is read.
fn settle(node: Node) -> Result<Node, EvalError> {
    let numbers_only = match &node {
        Node::Negate(inner) => matches!(**inner, Node::Numbers(_)),
        Node::Binary { lhs, rhs, .. } => matches!((&**lhs, &**rhs), (Node::Numbers(_), Node::Numbers(_))),
        Node::Call { function, .. } => function.returns == ValueType::Scalar && node.is_constant(),
        _ => false,
    };
    if !numbers_only {
        return Ok(node);
    }
    Ok(match finish::constant(&node, &mut Annotations::default())? {
        Some(numbers) => Node::Numbers(numbers),
        None => node,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_computed_durations_is_told_with_its_bytes() {
        let cases = [
            ("count_over_time(m[1m-1m])", "18:23: duration must be greater than 0"),
            ("count_over_time(m[step()])", "18:24: duration must be greater than 0"),
            ("m[(-(1m + 2m))]", "3:12: duration must be greater than 0"),
            ("m[1m:(0)]", "5:7: duration must be greater than 0"),
            ("m[max_of(-step(), -(1m))]", "9:22: duration must be greater than 0"),
            ("m offset (1m / (2m - 120s))", "10:25: division by zero"),
            ("m offset -(1 % step())", "11:21: modulo by zero"),
            ("m offset (10 ^ 20)", "10:17: duration is out of range"),
        ];
        for (text, wanted) in cases {
            let expr = crate::parse(text, crate::Features::ALL).unwrap();
            let said = plan(&expr, &EvalParams::instant(0)).map(|_| ()).map_err(|error| error.to_string());
            assert_eq!(said, Err(wanted.to_owned()), "{text}");
        }
    }

    #[test]
    fn numbers_of_many_steps_are_bounded_together() {
        let params = EvalParams { max_samples: 10_000, ..EvalParams::instant(0) };
        let planned = |text: &str| {
            let expr = crate::parse(text, crate::Features::ALL).unwrap();
            plan(&expr, &params).map(|plan| plan.values)
        };
        assert_eq!(planned("1 + 1"), Ok(3));
        assert_eq!(planned("sum_over_time(vector(1)[1000s:1s])"), Ok(2_001));
        let many = format!("sum_over_time(vector({}1)[1000s:1s])", "1 + ".repeat(20));
        assert_eq!(planned(&many), Err(EvalError::TooManySamples));
    }
}
