//! The labels of what is absent: those that the selector names exactly, and once.

use model::labels::METRIC_NAME;
use model::{Labels, MatchOp, Matcher};

use crate::ast::Expr;

pub(super) fn labels(expr: Option<&Expr>) -> Labels {
    let matchers: &[Matcher] = match expr.map(Expr::unparenthesized) {
        Some(Expr::Selector(selector) | Expr::Range(selector, _)) => &selector.matchers,
        _ => &[],
    };
    let alone = |matcher: &Matcher| matchers.iter().filter(|other| other.name == matcher.name).count() == 1;
    let exact =
        |matcher: &&Matcher| matcher.op == MatchOp::Equal && matcher.name != METRIC_NAME && alone(matcher);
    Labels::from_pairs(matchers.iter().filter(exact).map(|matcher| (&matcher.name, &matcher.value)))
}
