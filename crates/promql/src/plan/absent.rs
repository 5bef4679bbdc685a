//! The labels of what is absent: those that the selector names exactly, and about which it says nothing after that.

use model::labels::METRIC_NAME;
use model::{Labels, MatchOp, Matcher};

use crate::ast::Expr;

pub(super) fn labels(expr: Option<&Expr>) -> Labels {
    let matchers: &[Matcher] = match expr.map(Expr::unparenthesized) {
        Some(Expr::Selector(selector) | Expr::Range(selector, _)) => &selector.matchers,
        _ => &[],
    };
    let mut exact: Vec<(&str, &str)> = Vec::new();
    for (i, matcher) in matchers.iter().enumerate().filter(|(_, matcher)| matcher.name != METRIC_NAME) {
        let was_exact =
            matchers[..i].iter().any(|other| other.op == MatchOp::Equal && other.name == matcher.name);
        // What comes after an exact one takes it away again.
        if was_exact {
            exact.retain(|(name, _)| *name != matcher.name);
        } else if matcher.op == MatchOp::Equal {
            exact.push((&matcher.name, &matcher.value));
        }
    }
    Labels::from_pairs(exact)
}
