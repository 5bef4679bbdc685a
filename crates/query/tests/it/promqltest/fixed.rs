//! Queries bound to a moment: whenever they are asked, they give what they give then.

use promql::ast::{At, Duration, Moved};
use promql::{Expr, Features, parse};

/// What tells the time of the question, whatever `@` says.
const TELL_TIME: [&str; 11] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "time",
    "timestamp",
];

/// The query with `@` at all that looks back from the question's time; none where that does not fix its result.
pub(crate) fn fixed(query: &str, at_ms: i64) -> Option<String> {
    let mut expr = parse(query, Features::ALL).ok()?;
    fix(&mut expr, at_ms).then(|| expr.to_string())
}

/// Whether the result no longer depends on when the query is asked.
fn fix(expr: &mut Expr, at_ms: i64) -> bool {
    match expr {
        Expr::Number(_) | Expr::Seconds(_) | Expr::Text(_) => true,
        Expr::Selector(selector) => moved(&mut selector.moved, at_ms),
        Expr::Range(selector, range) => moved(&mut selector.moved, at_ms) && is_plain(range),
        // What is inside is asked at the times of the window.
        Expr::Subquery(subquery) => {
            moved(&mut subquery.moved, at_ms)
                && is_plain(&subquery.range)
                && subquery.step.as_ref().is_some_and(is_plain)
                && is_timeless(&subquery.expr)
        }
        Expr::Unary(_, inner) | Expr::Paren(inner) => fix(inner, at_ms),
        Expr::Binary(binary) => fix(&mut binary.lhs, at_ms) && fix(&mut binary.rhs, at_ms),
        Expr::Aggregate(aggregate) => {
            aggregate.param.as_mut().is_none_or(|param| fix(param, at_ms)) && fix(&mut aggregate.expr, at_ms)
        }
        Expr::Call(function, args, _) => {
            // Conditions are printed in order, and what is absent has the labels of the last ones.
            let is_as_written = |arg: &Expr| again(arg).is_some_and(|again| again == *arg);
            !TELL_TIME.contains(&function.name)
                && (!function.name.starts_with("absent") || args.iter().all(is_as_written))
                && args.iter_mut().all(|arg| fix(arg, at_ms))
        }
    }
}

/// As it is read from its own text.
fn again(arg: &Expr) -> Option<Expr> {
    parse(&arg.to_string(), Features::ALL).ok()
}

/// Whether nothing in a subquery looks at the question's own bounds.
fn is_timeless(expr: &Expr) -> bool {
    let text = expr.to_string();
    !["start()", "end()", "step()", "range()"].iter().any(|call| text.contains(call))
}

fn moved(moved: &mut Moved, at_ms: i64) -> bool {
    let at = *moved.at.get_or_insert(At::Timestamp(at_ms));
    matches!(at, At::Timestamp(_)) && moved.offset.as_ref().is_none_or(is_plain)
}

fn is_plain(duration: &Duration) -> bool {
    match duration {
        Duration::Number(_) | Duration::Seconds(_) => true,
        Duration::Step(_) | Duration::Range(_) => false,
        Duration::Paren(inner, _) | Duration::Negative(inner, _) => is_plain(inner),
        Duration::Min(a, b, _) | Duration::Max(a, b, _) | Duration::Binary(_, a, b, _) => {
            is_plain(a) && is_plain(b)
        }
    }
}
