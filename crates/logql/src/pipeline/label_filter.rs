//! `| status >= 500 and method = "GET"`: keeps the lines whose labels meet a condition.
//!
//! A value that is not of the condition's type keeps the line and marks it with an error.

use crate::ast::{CompareOp, LabelFilter as Ast};
use crate::pipeline::ip::IpPattern;
use crate::pipeline::row::{ERROR, ERROR_DETAILS, Row};

/// The error label of a line whose value could not be compared.
const FILTER_ERROR: &str = "LabelFilterErr";

/// The stage.
#[derive(Debug)]
pub(crate) enum LabelFilter {
    And(Box<LabelFilter>, Box<LabelFilter>),
    Or(Box<LabelFilter>, Box<LabelFilter>),
    Text(model::Matcher),
    Number(String, CompareOp, f64),
    Duration(String, CompareOp, i64),
    Bytes(String, CompareOp, u64),
    Ip(String, bool, IpPattern),
}

impl LabelFilter {
    /// Compiles the stage; the error says what is wrong with it.
    pub(crate) fn new(filter: &Ast) -> Result<Self, String> {
        let both = |a: &Ast, b: &Ast| Ok::<_, String>((Box::new(Self::new(a)?), Box::new(Self::new(b)?)));
        Ok(match filter {
            Ast::And(a, b) => both(a, b).map(|(a, b)| LabelFilter::And(a, b))?,
            Ast::Or(a, b) => both(a, b).map(|(a, b)| LabelFilter::Or(a, b))?,
            Ast::Text(matcher) => LabelFilter::Text(matcher.clone()),
            Ast::Number(name, op, value) => LabelFilter::Number(typed(name)?, *op, *value),
            Ast::Duration(name, op, value) => LabelFilter::Duration(typed(name)?, *op, *value),
            Ast::Bytes(name, op, value) => LabelFilter::Bytes(typed(name)?, *op, *value),
            Ast::Ip(name, negated, text) => {
                let pattern = IpPattern::parse(text);
                let pattern = pattern.ok_or_else(|| format!("invalid ip pattern: {text}"))?;
                LabelFilter::Ip(name.clone(), *negated, pattern)
            }
        })
    }

    /// Adds the labels that it reads.
    pub(crate) fn names(&self, out: &mut Vec<String>) {
        match self {
            LabelFilter::And(a, b) | LabelFilter::Or(a, b) => {
                a.names(out);
                b.names(out);
            }
            LabelFilter::Text(matcher) => out.push(matcher.name.clone()),
            LabelFilter::Number(name, ..)
            | LabelFilter::Duration(name, ..)
            | LabelFilter::Bytes(name, ..)
            | LabelFilter::Ip(name, ..) => out.push(name.clone()),
        }
    }

    /// Whether the line stays.
    pub(crate) fn keeps(&self, row: &mut Row) -> bool {
        match self {
            LabelFilter::And(a, b) => a.keeps(row) && b.keeps(row),
            LabelFilter::Or(a, b) => a.keeps(row) || b.keeps(row),
            LabelFilter::Text(matcher) => matcher.matches(row.get(&matcher.name).unwrap_or_default()),
            LabelFilter::Number(name, op, value) => compare(row, name, *op, value, number),
            LabelFilter::Duration(name, op, value) => compare(row, name, *op, value, duration_ns),
            LabelFilter::Bytes(name, op, value) => compare(row, name, *op, value, bytes),
            LabelFilter::Ip(name, negated, pattern) => ip(row, name, *negated, pattern),
        }
    }
}

fn typed(name: &str) -> Result<String, String> {
    if name == ERROR || name == ERROR_DETAILS {
        return Err(format!("label {name} can only be compared with a string"));
    }
    Ok(name.to_owned())
}

fn compare<T: PartialOrd>(
    row: &mut Row,
    name: &str,
    op: CompareOp,
    value: &T,
    convert: fn(&str) -> Result<T, String>,
) -> bool {
    if row.error().is_some() {
        return true;
    }
    let Some(text) = row.get(name) else { return false };
    match convert(text) {
        Ok(found) => op.holds(&found, value),
        Err(details) => {
            row.fail(FILTER_ERROR, &details);
            true
        }
    }
}

fn ip(row: &mut Row, name: &str, negated: bool, pattern: &IpPattern) -> bool {
    if row.error().is_some() {
        return true;
    }
    row.get(name).is_some_and(|text| pattern.finds(text) != negated)
}

/// Reads a number out of a label.
pub(crate) fn number(text: &str) -> Result<f64, String> {
    text.trim().parse().map_err(|_| format!("parsing \"{text}\": invalid syntax"))
}

/// Reads a duration out of a label, in nanoseconds.
pub(crate) fn duration_ns(text: &str) -> Result<i64, String> {
    syntax::duration::parse_ns(text.trim()).map_err(|_| format!("invalid duration \"{text}\""))
}

/// Reads a size out of a label, in bytes.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    syntax::bytes::parse(text.trim()).map_err(|_| format!("invalid size \"{text}\""))
}

#[cfg(test)]
mod tests {
    use model::{Labels, MatchOp, Matcher};

    use super::*;

    #[test]
    fn values_are_compared_by_type() {
        let text = |name, op, value| Ast::Text(Matcher::new(name, op, value).unwrap());
        let labels = Labels::from_pairs([
            ("status", "503"),
            ("took", "1m30s"),
            ("size", "2KiB"),
            ("peer", "10.1.2.3"),
            ("bad", "x"),
        ]);
        let and = |a, b| Ast::And(Box::new(a), Box::new(b));
        let or = |a, b| Ast::Or(Box::new(a), Box::new(b));
        for (filter, keeps, error) in [
            (Ast::Number("status".into(), CompareOp::GreaterEqual, 503.0), true, ""),
            (Ast::Number("status".into(), CompareOp::NotEqual, 503.0), false, ""),
            (Ast::Number("absent".into(), CompareOp::Less, 1.0), false, ""),
            (Ast::Number("bad".into(), CompareOp::Less, 1.0), true, FILTER_ERROR),
            (Ast::Duration("took".into(), CompareOp::Equal, 90_000_000_000), true, ""),
            (Ast::Duration("bad".into(), CompareOp::Equal, 1), true, FILTER_ERROR),
            (Ast::Bytes("size".into(), CompareOp::Greater, 2047), true, ""),
            (Ast::Bytes("size".into(), CompareOp::Less, 2048), false, ""),
            (Ast::Ip("peer".into(), false, "10.0.0.0/8".into()), true, ""),
            (Ast::Ip("peer".into(), true, "10.0.0.0/8".into()), false, ""),
            (text("status", MatchOp::Regex, "5.."), true, ""),
            (text("absent", MatchOp::Equal, ""), true, ""),
            (and(text("status", MatchOp::Equal, "1"), text("bad", MatchOp::Equal, "x")), false, ""),
            (or(text("status", MatchOp::Equal, "1"), text("bad", MatchOp::Equal, "x")), true, ""),
        ] {
            let mut row = Row::new(&labels);
            let stage = LabelFilter::new(&filter).unwrap();
            assert_eq!(stage.keeps(&mut row), keeps, "{filter:?}");
            assert_eq!(row.error().unwrap_or_default(), error, "{filter:?}");
        }
        assert!(LabelFilter::new(&Ast::Number("__error__".into(), CompareOp::Less, 1.0)).is_err());
        assert!(LabelFilter::new(&Ast::Ip("peer".into(), false, "nonsense".into())).is_err());
    }
}
