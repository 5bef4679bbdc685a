//! Calls: functions of windows go into leaves where they can, all others stay in the finish.

use super::select::Sampled;
use super::{Node, Planner, RangePlaces, absent, settle};
use crate::ast::{AggregateOp, Expr, Extended, Grouping, Place};
use crate::error::EvalError;
use crate::functions::Function;
use crate::kernels::{Kernel, RangeFunction};
use crate::leaf::Work;
use crate::value::ValueType;
use crate::vector::Steps;

impl Planner {
    pub(super) fn call(
        &mut self,
        function: &'static Function,
        args: &[Expr],
        places: &[Place],
        steps: Steps,
    ) -> Result<Node, EvalError> {
        let outside = self.tells_resets;
        match function.name {
            "histogram_count" | "histogram_sum" | "histogram_avg" => self.tells_resets = true,
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => self.tells_resets = false,
            _ => {}
        }
        let node = self.planned_call(function, args, places, steps);
        self.tells_resets = outside;
        node
    }

    fn planned_call(
        &mut self,
        function: &'static Function,
        args: &[Expr],
        places: &[Place],
        steps: Steps,
    ) -> Result<Node, EvalError> {
        if let Some(range_function) = RangeFunction::lookup(function.name) {
            let node = self.range_call(function.name, range_function, (args, places), steps)?;
            return Ok(if function.name == "absent_over_time" {
                self.absent(node, args.first(), steps)
            } else {
                node
            });
        }
        if let Some(Expr::Selector(selector)) = args.first().map(Expr::unparenthesized)
            && let Some(of) = [("timestamp", Sampled::Timestamp), ("start_timestamp", Sampled::Start)]
                .into_iter()
                .find_map(|(name, of)| (name == function.name).then_some(of))
            && (of != Sampled::Start || self.params.start_timestamps)
        {
            return Ok(Node::Leaf(self.instant(selector, steps, of)?));
        }
        if function.name == "info" {
            return self.info(args, steps);
        }
        if let Some(numbers) = self.numbers_of(function.name, steps) {
            return Ok(Node::Numbers(numbers));
        }
        let mut nodes = Vec::with_capacity(args.len());
        for arg in args {
            nodes.push(self.node(arg, steps)?);
        }
        if function.name == "absent"
            && let Some(input) = nodes.pop()
        {
            return Ok(self.absent(input, args.first(), steps));
        }
        if let ("histogram_quantile", [Node::Numbers(quantiles), Node::Leaf(leaf)]) =
            (function.name, &nodes[..])
            && self.leaves[*leaf].compute_quantiles(quantiles)
        {
            let place = |i: usize| places.get(i).copied().unwrap_or_default();
            let places = (place(0), place(1));
            return Ok(Node::Quantile { leaf: *leaf, quantiles: quantiles.clone(), places });
        }
        settle(Node::Call { function, args: nodes, places: places.to_vec(), steps })
    }

    /// Numbers that the query's own times give.
    #[expect(clippy::cast_precision_loss, reason = "timestamps in milliseconds are below 2^53")]
    fn numbers_of(&self, name: &str, steps: Steps) -> Option<Vec<f64>> {
        let params = &self.params;
        let one = match name {
            "time" => return Some(steps.iter().map(|at| at as f64 / 1000.0).collect()),
            "pi" => std::f64::consts::PI,
            "start" => params.start_ms as f64 / 1000.0,
            "end" => params.end_ms as f64 / 1000.0,
            "range" => params.end_ms.saturating_sub(params.start_ms) as f64 / 1000.0,
            "step" => params.step_ms as f64 / 1000.0,
            _ => return None,
        };
        Some(vec![one; steps.count])
    }

    fn range_call(
        &mut self,
        name: &str,
        function: RangeFunction,
        (args, all_places): (&[Expr], &[Place]),
        steps: Steps,
    ) -> Result<Node, EvalError> {
        let mut params = Vec::new();
        for arg in args.iter().filter(|arg| arg.value_type() == ValueType::Scalar) {
            params.push(self.node(arg, steps)?);
        }
        // What is absent is asked of all series together: none of them is named.
        let keep_name = function.keeps_name() || name == "absent_over_time";
        let place_of = |wanted: ValueType| {
            let i = args.iter().position(|arg| arg.value_type() == wanted);
            i.and_then(|i| all_places.get(i)).copied().unwrap_or_default()
        };
        let places = RangePlaces { samples: place_of(ValueType::Matrix), param: place_of(ValueType::Scalar) };
        let matrix = args.iter().find(|arg| arg.value_type() == ValueType::Matrix);
        let Some(matrix) = matrix.map(Expr::unparenthesized) else {
            return Err(EvalError::Unsupported("a function of windows without a range vector".to_owned()));
        };
        if let Expr::Range(selector, _) = matrix {
            check_extended(name, function, selector.moved.extended)?;
        }
        let known: Option<Vec<Vec<f64>>> = params
            .iter()
            .map(|param| if let Node::Numbers(numbers) = param { Some(numbers.clone()) } else { None })
            .collect();
        if let (Expr::Range(selector, range), Some(numbers)) = (matrix, known) {
            let windows = self.windows(&selector.moved, self.positive_ms(range)?, steps)?;
            let kernel = match selector.moved.extended {
                Some(extended) => Kernel::Extended(function, extended),
                None => Kernel::Range(function, numbers),
            };
            return Ok(Node::Leaf(self.leaf(
                selector,
                windows,
                Work::Kernel { kernel, keep_name, reduce: None },
                places,
            )));
        }
        let (source, windows) = self.source(matrix, steps)?;
        let is_counted = self.is_counted();
        Ok(Node::Range { function, source, windows, params, keep_name, places, is_counted })
    }

    /// One where the input has nothing; leaves need say only whether there is any series.
    fn absent(&mut self, input: Node, of: Option<&Expr>, steps: Steps) -> Node {
        if let Node::Leaf(leaf) = &input {
            self.leaves[*leaf].reduce_by(AggregateOp::Group, &Grouping::default(), Place::default());
        }
        let labels = absent::labels(of);
        Node::Absent { labels, input: Box::new(input), steps }
    }
}

/// Only some functions know windows with borders.
fn check_extended(name: &str, function: RangeFunction, extended: Option<Extended>) -> Result<(), EvalError> {
    let Some(extended) = extended.filter(|extended| !function.takes(*extended)) else { return Ok(()) };
    let known = match extended {
        Extended::Anchored => "changes, delta, increase, rate, resets",
        Extended::Smoothed => "delta, increase, rate",
    };
    let word = extended.as_str();
    Err(EvalError::Parameter(format!("{word} modifier can only be used with: {known} - not with {name}")))
}
