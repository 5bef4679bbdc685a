//! Searches without a query text: by tags as older clients send them, and by what is valid of an unfinished query.

use syntax::Token;

use crate::ast::{
    Attribute, BinaryOp, CompareOp, FieldExpr, Intrinsic, Query, Scope, SpansetExpr, Stage, Static,
};
use crate::lexer::{Tok, lex_prefix};
use crate::parser::{compare_sign, field_token, static_token, static_word};
use crate::plan::SpanFilter;

/// A query for spans that have all tags, in traces that took at least and at most so long. A tag is looked for on the
/// span and on its resource, as text and, where it reads as one, as a number or a truth. `name`, `error`,
/// `status.code`, `root.name` and `root.service.name` ask for what every span has.
#[must_use]
pub fn legacy(
    tags: &[(String, String)],
    min_duration_ns: Option<i64>,
    max_duration_ns: Option<i64>,
) -> Query {
    let mut conditions: Vec<FieldExpr> = tags.iter().map(|(key, value)| tag(key, value)).collect();
    let bounds = [(CompareOp::GreaterEqual, min_duration_ns), (CompareOp::LessEqual, max_duration_ns)];
    for (op, ns) in bounds {
        let duration = FieldExpr::Intrinsic(Intrinsic::TraceDuration);
        conditions.extend(ns.map(|ns| compare(duration, op, Static::Duration(ns))));
    }
    filter(conditions)
}

/// What is valid of a query that may be unfinished or wrong, for the completion of tag values: the query where it
/// is valid, else the comparisons of its one filter where all of them are joined by `&&`, else nothing.
#[must_use]
pub fn parse_valid_matchers(text: &str) -> Option<SpanFilter> {
    let whole = crate::parse(text).ok().and_then(|query| SpanFilter::new(&query).ok());
    if whole.is_some() {
        return whole;
    }
    let (tokens, _) = lex_prefix(text);
    if tokens.iter().filter(|token| is_sign(token, "{")).count() != 1 {
        return None;
    }
    let inside = tokens.iter().skip_while(|token| !is_sign(token, "{")).skip(1);
    let inside: Vec<&Token<Tok<'_>>> = inside.take_while(|token| !is_sign(token, "}")).collect();
    if inside.iter().any(|token| ["||", "!", "("].iter().any(|sign| is_sign(token, sign))) {
        return None;
    }
    let terms = inside.split(|token| is_sign(token, "&&"));
    let conditions: Vec<FieldExpr> = terms.filter_map(matcher).collect();
    if conditions.is_empty() { None } else { SpanFilter::new(&filter(conditions)).ok() }
}

fn is_sign(token: &Token<Tok<'_>>, wanted: &str) -> bool {
    matches!(token.kind, Tok::Sign(sign) if sign == wanted)
}

/// A field, a comparison, a value; none where it is anything else or the types do not fit.
fn matcher(term: &[&Token<Tok<'_>>]) -> Option<FieldExpr> {
    let [field, sign, value] = term else { return None };
    let Tok::Sign(sign) = sign.kind else { return None };
    let expr = compare(field_token(&field.kind)?, compare_sign(sign)?, static_token(&value.kind)?);
    let query = filter(vec![expr.clone()]);
    (crate::check::query(&query).is_ok() && SpanFilter::new(&query).is_ok()).then_some(expr)
}

fn compare(field: FieldExpr, op: CompareOp, value: Static) -> FieldExpr {
    binary(BinaryOp::Compare(op), field, FieldExpr::Static(value))
}

fn binary(op: BinaryOp, lhs: FieldExpr, rhs: FieldExpr) -> FieldExpr {
    FieldExpr::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs) }
}

fn filter(conditions: Vec<FieldExpr>) -> Query {
    let all = conditions.into_iter().reduce(|a, b| binary(BinaryOp::And, a, b));
    let all = all.unwrap_or(FieldExpr::Static(Static::Bool(true)));
    Query { stages: vec![Stage::Spanset(SpansetExpr::Filter(all))], hints: Vec::new() }
}

fn tag(key: &str, value: &str) -> FieldExpr {
    let text = || Static::String(value.to_owned());
    let intrinsic = |intrinsic, value| compare(FieldExpr::Intrinsic(intrinsic), CompareOp::Equal, value);
    match (key, static_word(value)) {
        ("name", _) => return intrinsic(Intrinsic::Name, text()),
        ("root.name", _) => return intrinsic(Intrinsic::RootName, text()),
        ("root.service.name", _) => return intrinsic(Intrinsic::RootService, text()),
        ("error", Some(Static::Bool(true))) => return intrinsic(Intrinsic::Status, Static::Status(2)),
        ("status.code", Some(status @ Static::Status(_))) => return intrinsic(Intrinsic::Status, status),
        _ => {}
    }
    let attribute = Attribute { scope: Scope::Any, parent: false, name: key.to_owned() };
    let is = |value| compare(FieldExpr::Attribute(attribute.clone()), CompareOp::Equal, value);
    let other = match value {
        "true" | "false" => Some(Static::Bool(value == "true")),
        _ => value.parse().map(Static::Int).or_else(|_| value.parse().map(Static::Float)).ok(),
    };
    let finite = |value: &Static| !matches!(value, Static::Float(v) if !v.is_finite());
    match other.filter(finite) {
        Some(other) => binary(BinaryOp::Or, is(text()), is(other)),
        None => is(text()),
    }
}
