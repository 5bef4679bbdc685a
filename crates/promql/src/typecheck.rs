//! Which types fit where, and the other things that are wrong with a tree of right syntax, in Prometheus' words. What is
//! wrong further down comes first; the parser puts the parts in that order.

use model::Matcher;
use model::labels::METRIC_NAME;
use syntax::{Span, SyntaxError, string};

use crate::ast::{AggregateOp, Binary, Cardinality, Expr, Selector};
use crate::functions::Function;
use crate::parser::Node;
use crate::value::ValueType;

/// Where the parts of a binary expression stand.
#[derive(Clone, Copy)]
pub(crate) struct BinarySpans {
    pub(crate) lhs: Span,
    pub(crate) op: Span,
    pub(crate) rhs: Span,
}

fn wrong(span: Span, message: impl Into<String>) -> Option<SyntaxError> {
    Some(SyntaxError::new(span, message))
}

/// What is wrong within a part, or that it is not of the type that the context needs.
fn expect(node: &Node, wanted: ValueType, context: &str) -> Option<SyntaxError> {
    let have = node.expr.value_type();
    let mismatch = || {
        let message = format!("expected type {} in {context}, got {}", wanted.described(), have.described());
        SyntaxError::new(node.span, message)
    };
    node.fault.clone().or_else(|| (have != wanted).then(mismatch))
}

/// A sign stands before numbers and instant vectors.
pub(crate) fn unary(expr: &Expr, at: Span) -> Option<SyntaxError> {
    match expr.value_type() {
        ValueType::Scalar | ValueType::Vector => None,
        other => {
            let got = string::quote(other.described());
            let message = format!(
                "unary expression only allowed on expressions of type scalar or instant vector, got {got}"
            );
            wrong(at, message)
        }
    }
}

/// The sides of an operator fit it and each other.
pub(crate) fn binary(binary: &Binary, spans: BinarySpans) -> Option<SyntaxError> {
    let (op, matching) = (binary.op, &binary.matching);
    let types = [binary.lhs.value_type(), binary.rhs.value_type()];
    let has_scalar = types.contains(&ValueType::Scalar);
    if binary.bool_modifier && !op.is_comparison() {
        return wrong(spans.op, "bool modifier can only be used on comparison operators");
    }
    if op.is_comparison() && !binary.bool_modifier && types == [ValueType::Scalar; 2] {
        return wrong(spans.op, "comparisons between scalars must use BOOL modifier");
    }
    if let Some(label) = matching.labels.iter().find(|label| matching.on && matching.include.contains(label))
    {
        let message = format!("label {} must not occur in ON and GROUP clause at once", string::quote(label));
        return wrong(spans.op, message);
    }
    for (side, span) in types.into_iter().zip([spans.lhs, spans.rhs]) {
        if !matches!(side, ValueType::Scalar | ValueType::Vector) {
            return wrong(span, "binary expression must contain only scalar and instant vector types");
        }
    }
    let whole = spans.lhs.to(spans.rhs);
    let name = string::quote(op.as_str());
    if has_scalar {
        return if !matching.labels.is_empty() {
            wrong(whole, "vector matching only allowed between instant vectors")
        } else if !matching.fill.is_none() {
            wrong(whole, "filling in missing series only allowed between instant vectors")
        } else if op.is_set() {
            wrong(whole, format!("set operator {name} not allowed in binary scalar expression"))
        } else {
            None
        };
    }
    if op.is_set() && matching.card != Cardinality::OneToOne {
        return wrong(whole, format!("no grouping allowed for {name} operation"));
    }
    if op.is_set() && !matching.fill.is_none() {
        return wrong(whole, "filling in missing series not allowed for set operators");
    }
    None
}

/// An aggregation has a vector, and a parameter of its operator's type.
pub(crate) fn aggregate(op: AggregateOp, vector: &Node, param: Option<&Node>) -> Option<SyntaxError> {
    expect(vector, ValueType::Vector, "aggregation expression")
        .or_else(|| expect(param?, op.param()?, "aggregation parameter"))
}

/// A call has as many arguments as its function takes, of the right types.
pub(crate) fn call(function: &Function, args: &[Node], span: Span) -> Option<SyntaxError> {
    let context = format!("call to function {}", string::quote(function.name));
    count(function, args.len(), span)
        .or_else(|| if function.name == "info" { info(args, span, &context) } else { None })
        .or_else(|| {
            args.iter().enumerate().find_map(|(i, arg)| {
                // The conditions of `info` may hold for everything.
                if function.name == "info" && i == 1 {
                    return None;
                }
                let wanted = function.args.get(i).or(function.args.last())?;
                expect(arg, *wanted, &context)
            })
        })
}

fn count(function: &Function, got: usize, span: Span) -> Option<SyntaxError> {
    let bound = match function.at_most {
        Some(most) if most == function.required && got != most => Some(("", most)),
        _ if got < function.required => Some(("at least ", function.required)),
        Some(most) if got > most => Some(("at most ", most)),
        _ => None,
    };
    let (bound, wanted) = bound?;
    let name = string::quote(function.name);
    wrong(span, format!("expected {bound}{wanted} argument(s) in call to {name}, got {got}"))
}

/// The second argument of `info` is conditions in braces.
fn info(args: &[Node], span: Span, context: &str) -> Option<SyntaxError> {
    let labels = args.get(1)?;
    let have = labels.expr.value_type();
    if have != ValueType::Vector {
        let wanted = ValueType::Vector.described();
        return wrong(span, format!("expected type {wanted} in {context}, got {}", have.described()));
    }
    match &labels.expr {
        Expr::Selector(Selector { name: None, .. }) => None,
        Expr::Selector(_) => wrong(labels.span, "expected label selectors only, got vector selector instead"),
        _ => wrong(labels.span, "expected label selectors only"),
    }
}

/// What is evaluated over and over is an instant vector.
pub(crate) fn subquery(expr: &Expr, at: Span) -> Option<SyntaxError> {
    let have = expr.value_type();
    let message = || format!("subquery is only allowed on instant vector, got {have} instead");
    if have == ValueType::Vector { None } else { wrong(at, message()) }
}

/// A selector has one name before its braces, or a condition that does not hold for everything.
pub(crate) fn selector(selector: &Selector, at: Span) -> Option<SyntaxError> {
    let Some(name) = &selector.name else {
        let selects_all = selector.matchers.iter().all(Matcher::matches_empty);
        let message = "vector selector must contain at least one non-empty matcher";
        return if selects_all { wrong(at, message) } else { None };
    };
    // The last one is the name itself.
    let within = &selector.matchers[..selector.matchers.len().saturating_sub(1)];
    let again = within.iter().find(|matcher| matcher.name == METRIC_NAME)?;
    let (first, second) = (string::quote(name), string::quote(&again.value));
    wrong(at, format!("metric name must not be set twice: {first} or {second}"))
}
