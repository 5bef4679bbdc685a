//! Which types fit where, in Prometheus' words.

use syntax::{Span, SyntaxError, string};

use crate::ast::{Binary, Cardinality, Expr, Fill, Matching};
use crate::functions::Function;
use crate::value::ValueType;

/// Where the parts of a binary expression stand.
#[derive(Clone, Copy)]
pub(crate) struct BinarySpans {
    pub(crate) lhs: Span,
    pub(crate) op: Span,
    pub(crate) rhs: Span,
}

/// The expression is of the type that the context needs.
pub(crate) fn expect(expr: &Expr, at: Span, wanted: ValueType, context: &str) -> Result<(), SyntaxError> {
    let have = expr.value_type();
    if have == wanted {
        return Ok(());
    }
    let message = format!("expected type {} in {context}, got {}", wanted.described(), have.described());
    Err(SyntaxError::new(at, message))
}

/// A sign stands before numbers and instant vectors.
pub(crate) fn unary(expr: &Expr, at: Span) -> Result<(), SyntaxError> {
    match expr.value_type() {
        ValueType::Scalar | ValueType::Vector => Ok(()),
        other => Err(SyntaxError::new(
            at,
            format!(
                "unary expression only allowed on expressions of type scalar or instant vector, got \"{}\"",
                other.described()
            ),
        )),
    }
}

/// The sides of an operator fit it and each other.
pub(crate) fn binary(binary: &Binary, spans: BinarySpans) -> Result<(), SyntaxError> {
    let op = binary.op;
    let error = |span: Span, message: String| Err(SyntaxError::new(span, message));
    let fits = |expr: &Expr| matches!(expr.value_type(), ValueType::Scalar | ValueType::Vector);
    if binary.bool_modifier && !op.is_comparison() {
        return error(spans.op, "bool modifier can only be used on comparison operators".to_owned());
    }
    let scalars = |expr: &Expr| expr.value_type() == ValueType::Scalar;
    if op.is_comparison() && !binary.bool_modifier && scalars(&binary.lhs) && scalars(&binary.rhs) {
        return error(spans.op, "comparisons between scalars must use BOOL modifier".to_owned());
    }
    if op.is_set() && binary.matching.card != Cardinality::OneToOne {
        return error(spans.lhs, format!("no grouping allowed for {} operation", string::quote(op.as_str())));
    }
    if binary.matching.on {
        let twice = binary.matching.labels.iter().find(|label| binary.matching.include.contains(label));
        if let Some(label) = twice {
            let message =
                format!("label {} must not occur in ON and GROUP clause at once", string::quote(label));
            return error(spans.op, message);
        }
    }
    for (side, span) in [(&binary.lhs, spans.lhs), (&binary.rhs, spans.rhs)] {
        if !fits(side) {
            let message = "binary expression must contain only scalar and instant vector types".to_owned();
            return error(span, message);
        }
    }
    let whole = spans.lhs.to(spans.rhs);
    let is_filled = binary.matching.fill != Fill::default();
    if op.is_set() && is_filled {
        let message =
            format!("filling in missing series not allowed for {} operation", string::quote(op.as_str()));
        return error(spans.op, message);
    }
    if scalars(&binary.lhs) || scalars(&binary.rhs) {
        if is_filled {
            let message = "filling in missing series only allowed between instant vectors".to_owned();
            return error(whole, message);
        }
        if binary.matching != Matching::default() {
            return error(whole, "vector matching only allowed between instant vectors".to_owned());
        }
        if op.is_set() {
            let message = format!(
                "set operator {} not allowed in binary scalar expression",
                string::quote(op.as_str())
            );
            return error(whole, message);
        }
    }
    Ok(())
}

/// A call has as many arguments as its function takes, of the right types.
pub(crate) fn call(function: &Function, args: &[(Expr, Span)], span: Span) -> Result<(), SyntaxError> {
    let name = string::quote(function.name);
    let count = args.len();
    let wrong = |bound: &str, wanted: usize| {
        let message = format!("expected {bound}{wanted} argument(s) in call to {name}, got {count}");
        Err(SyntaxError::new(span, message))
    };
    match function.at_most {
        Some(most) if most == function.required && count != most => return wrong("", most),
        Some(most) if count > most => return wrong("at most ", most),
        _ if count < function.required => return wrong("at least ", function.required),
        _ => {}
    }
    for (i, (arg, at)) in args.iter().enumerate() {
        let Some(wanted) = function.args.get(i).or(function.args.last()) else { continue };
        expect(arg, *at, *wanted, &format!("call to function {name}"))?;
    }
    Ok(())
}

/// `offset` and `@` stand behind selectors and subqueries.
pub(crate) fn may_move(expr: &Expr, what: &str, at: Span) -> Result<(), SyntaxError> {
    if matches!(expr, Expr::Selector(_) | Expr::Range(..) | Expr::Subquery(_)) {
        return Ok(());
    }
    let message = format!(
        "{what} modifier must be preceded by an instant vector selector or range vector selector or a subquery"
    );
    Err(SyntaxError::new(at, message))
}
