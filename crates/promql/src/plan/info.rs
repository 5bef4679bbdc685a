//! `info(v, {selector})`: which series carry the labels that are to be added, and as of when they are looked at.

use model::labels::METRIC_NAME;
use model::{MatchOp, Matcher};

use super::{Node, Planner, RangePlaces};
use crate::ast::{At, Expr, Moved, Place, Selector};
use crate::error::EvalError;
use crate::kernels::{Kernel, Margin, Windows};
use crate::leaf::Work;
use crate::vector::Steps;

/// The metric whose labels are added where the query names none.
const DEFAULT_METRIC: &str = "target_info";

/// The names of info metrics where the query says only what they are not.
const INFO_METRICS: &str = ".+_info";

/// Which series are info series, and which of their labels are wanted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InfoSelector {
    /// The conditions on the metric's name.
    pub(crate) names: Vec<Matcher>,
    /// Whether the query has conditions on it: then series that meet them are themselves none to be enriched.
    pub(crate) is_named: bool,
    /// The conditions on other labels: where there are any, only these labels are added.
    pub(crate) labels: Vec<Matcher>,
}

impl InfoSelector {
    fn new(selector: Option<&Selector>) -> Self {
        let all = selector.map_or(&[][..], |selector| &selector.matchers);
        let (mut names, labels): (Vec<Matcher>, Vec<Matcher>) =
            all.iter().cloned().partition(|matcher| matcher.name == METRIC_NAME);
        let is_named = !names.is_empty();
        if !is_named {
            names.push(Matcher::equal(METRIC_NAME, DEFAULT_METRIC));
        } else if names.iter().all(|m| matches!(m.op, MatchOp::NotEqual | MatchOp::NotRegex)) {
            let some = Matcher::new(METRIC_NAME, MatchOp::Regex, INFO_METRICS);
            names.push(some.expect("the expression is valid"));
        }
        Self { names, is_named, labels }
    }
}

impl Planner {
    pub(super) fn info(&mut self, args: &[Expr], steps: Steps) -> Result<Node, EvalError> {
        let (base, selector) = match args {
            [base] => (base, None),
            [base, Expr::Selector(selector)] => (base, Some(selector)),
            _ => return Err(EvalError::Unsupported("a call of info without its arguments".to_owned())),
        };
        let input = Box::new(self.node(base, steps)?);
        let selector = InfoSelector::new(selector);
        let mut moment = Moment::default();
        self.follow(base, &mut moment)?;
        let windows = Windows {
            steps,
            range_ms: self.params.lookback_ms,
            offset_ms: moment.offset_ms,
            at_ms: moment.at_ms,
            margin: Margin::default(),
        };
        let matchers = selector.names.iter().chain(&selector.labels).cloned().collect();
        let info = Selector { name: None, matchers, moved: Moved::default(), place: Place::default() };
        let places = RangePlaces { samples: Place::default(), param: Place::default() };
        let mut leaf = |kernel| {
            self.leaf(&info, windows, Work::Kernel { kernel, keep_name: true, reduce: None }, places)
        };
        let (values, moments) = (leaf(Kernel::Instant), leaf(Kernel::Timestamp));
        Ok(Node::Info { input, selector, values, moments })
    }

    /// Adds the modifiers on the way to the first selector of an expression.
    fn follow(&self, expr: &Expr, moment: &mut Moment) -> Result<bool, EvalError> {
        Ok(match expr {
            Expr::Number(_) | Expr::Seconds(_) | Expr::Text(_) => false,
            Expr::Selector(selector) | Expr::Range(selector, _) => {
                self.shift(&selector.moved, moment)?;
                true
            }
            Expr::Subquery(subquery) => {
                let before = *moment;
                self.shift(&subquery.moved, moment)?;
                let found = self.follow(&subquery.expr, moment)?;
                if !found {
                    *moment = before;
                }
                found
            }
            Expr::Unary(_, inner) | Expr::Paren(inner) => self.follow(inner, moment)?,
            Expr::Binary(binary) => self.follow(&binary.lhs, moment)? || self.follow(&binary.rhs, moment)?,
            Expr::Aggregate(aggregate) => self.follow(&aggregate.expr, moment)?,
            Expr::Call(_, args, _) => {
                for arg in args {
                    if self.follow(arg, moment)? {
                        return Ok(true);
                    }
                }
                false
            }
        })
    }

    fn shift(&self, moved: &Moved, moment: &mut Moment) -> Result<(), EvalError> {
        if let Some(at) = moved.at {
            // A fixed moment takes the place of all that was said outside of it.
            let at_ms = match at {
                At::Timestamp(ms) => ms,
                At::Start => self.params.start_ms,
                At::End => self.params.end_ms,
            };
            *moment = Moment { at_ms: Some(at_ms), offset_ms: 0 };
        }
        let offset_ms = self.offset_ms(moved.offset.as_ref())?;
        moment.offset_ms = moment.offset_ms.saturating_add(offset_ms);
        Ok(())
    }
}

/// As of when something is evaluated.
#[derive(Clone, Copy, Debug, Default)]
struct Moment {
    at_ms: Option<i64>,
    offset_ms: i64,
}
