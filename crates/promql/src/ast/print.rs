//! The tree as text, in one line, as Prometheus writes it.

use std::fmt;

use model::{MatchOp, Matcher};
use syntax::{duration, number, string};

use crate::lexer::Tok;

use super::{Aggregate, At, Binary, Cardinality, Duration, Expr, Fill, Matching, Moved, Selector, Subquery};

/// Whether a label's name can stand without quotes.
fn is_plain_label(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn label(name: &str) -> String {
    if is_plain_label(name) { name.to_owned() } else { string::quote(name) }
}

fn label_list(labels: &[String]) -> String {
    let in_list = |name: &String| {
        let is_other = Tok::of_word(name).is_some_and(|tok| !tok.is_label());
        if is_other { string::quote(name) } else { label(name) }
    };
    labels.iter().map(in_list).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_head(f)?;
        self.moved.fmt_at(f)?;
        self.moved.fmt_extended(f)?;
        self.moved.fmt_offset(f)
    }
}

impl Selector {
    /// The name and the conditions, which stand in the order of their texts.
    fn fmt_head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_name = |matcher: &Matcher| {
            matcher.name == model::labels::METRIC_NAME
                && matcher.op == MatchOp::Equal
                && self.name.as_ref() == Some(&matcher.value)
        };
        let others = self.matchers.iter().filter(|matcher| !is_name(matcher));
        let mut parts: Vec<String> = others
            .map(|matcher| {
                format!("{}{}{}", label(&matcher.name), matcher.op.as_str(), string::quote(&matcher.value))
            })
            .collect();
        parts.sort();
        let name = self.name.as_deref().unwrap_or_default();
        if parts.is_empty() && !name.is_empty() {
            return f.write_str(name);
        }
        write!(f, "{name}{{{}}}", parts.join(","))
    }
}

impl Moved {
    fn fmt_at(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            #[expect(clippy::cast_precision_loss, reason = "what was written was a float")]
            Some(At::Timestamp(ms)) => write!(f, " @ {:.3}", ms as f64 / 1000.0),
            Some(At::Start) => f.write_str(" @ start()"),
            Some(At::End) => f.write_str(" @ end()"),
            None => Ok(()),
        }
    }

    fn fmt_extended(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.extended.map_or(Ok(()), |extended| write!(f, " {}", extended.as_str()))
    }

    fn fmt_offset(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.offset.as_ref().map_or(Ok(()), |offset| write!(f, " offset {}", Whole(offset)))
    }
}

/// Seconds as a duration; where the way through milliseconds would change them, as the number that they are.
fn fmt_seconds(f: &mut fmt::Formatter<'_>, seconds: f64) -> fmt::Result {
    let ms = seconds * 1000.0;
    if ms.abs() < 9.3e12 && ms.fract() == 0.0 && ms / 1000.0 == seconds {
        #[expect(clippy::cast_possible_truncation, reason = "only whole milliseconds in range get here")]
        return f.write_str(&duration::format_prometheus_ms(ms as i64));
    }
    f.write_str(&number::format_plain(seconds))
}

/// A duration that is a whole range, step or offset: there a plain number is written as a duration too.
struct Whole<'d>(&'d Duration);

impl fmt::Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Duration::Number(seconds) => fmt_seconds(f, *seconds),
            other => other.fmt(f),
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Duration::Number(seconds) => f.write_str(&number::format_plain(*seconds)),
            Duration::Seconds(seconds) => fmt_seconds(f, *seconds),
            Duration::Paren(inner, _) => write!(f, "({inner})"),
            Duration::Step(_) => f.write_str("step()"),
            Duration::Range(_) => f.write_str("range()"),
            Duration::Negative(inner, _) => write!(f, "-{inner}"),
            Duration::Min(a, b, _) => write!(f, "min_of({a}, {b})"),
            Duration::Max(a, b, _) => write!(f, "max_of({a}, {b})"),
            Duration::Binary(op, a, b, _) => write!(f, "{a} {} {b}", op.as_str()),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Number(value) => f.write_str(&number::format_plain(*value)),
            Expr::Seconds(value) => fmt_seconds(f, *value),
            Expr::Text(text) => f.write_str(&string::quote(text)),
            Expr::Selector(selector) => selector.fmt(f),
            Expr::Range(selector, range) => {
                selector.fmt_head(f)?;
                write!(f, "[{}]", Whole(range))?;
                selector.moved.fmt_extended(f)?;
                selector.moved.fmt_at(f)?;
                selector.moved.fmt_offset(f)
            }
            Expr::Subquery(subquery) => write!(f, "{}{}", subquery.expr, Window(subquery)),
            Expr::Unary(negative, expr) => write!(f, "{}{expr}", sign(*negative)),
            Expr::Paren(expr) => write!(f, "({expr})"),
            Expr::Binary(binary) => write!(f, "{} {} {}", binary.lhs, Operator(binary), binary.rhs),
            Expr::Aggregate(aggregate) => {
                write!(f, "{}(", Head(aggregate))?;
                if let Some(param) = &aggregate.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", aggregate.expr)
            }
            Expr::Call(function, args, _) => {
                let args: Vec<String> = args.iter().map(ToString::to_string).collect();
                write!(f, "{}({})", function.name, args.join(", "))
            }
        }
    }
}

pub(super) const fn sign(negative: bool) -> char {
    if negative { '-' } else { '+' }
}

/// What stands behind the expression of a subquery.
pub(super) struct Window<'s>(pub(super) &'s Subquery);

impl fmt::Display for Window<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Subquery { range, step, moved, .. } = self.0;
        write!(f, "[{}:", Whole(range))?;
        step.as_ref().map_or(Ok(()), |step| Whole(step).fmt(f))?;
        f.write_str("]")?;
        moved.fmt_at(f)?;
        moved.fmt_offset(f)
    }
}

/// What stands between two sides.
pub(super) struct Operator<'b>(pub(super) &'b Binary);

impl fmt::Display for Operator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.as_str())?;
        if self.0.bool_modifier {
            f.write_str(" bool")?;
        }
        let Matching { on, labels, card, include, fill } = &self.0.matching;
        if *on || !labels.is_empty() || *card != Cardinality::OneToOne {
            write!(f, " {} ({})", if *on { "on" } else { "ignoring" }, label_list(labels))?;
        }
        match card {
            Cardinality::OneToOne => {}
            Cardinality::ManyToOne => write!(f, " group_left ({})", label_list(include))?,
            Cardinality::OneToMany => write!(f, " group_right ({})", label_list(include))?,
        }
        match *fill {
            Fill { left: Some(left), right: Some(right) } if left.to_bits() == right.to_bits() => {
                write!(f, " fill ({})", number::format_short(left))
            }
            Fill { left, right } => {
                for (side, value) in [("left", left), ("right", right)] {
                    if let Some(value) = value {
                        write!(f, " fill_{side} ({})", number::format_short(value))?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// An aggregation up to its parentheses.
pub(super) struct Head<'a>(pub(super) &'a Aggregate);

impl fmt::Display for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Aggregate { op, grouping, .. } = self.0;
        f.write_str(op.as_str())?;
        if !grouping.without && grouping.labels.is_empty() {
            return Ok(());
        }
        let word = if grouping.without { "without" } else { "by" };
        write!(f, " {word} ({}) ", label_list(&grouping.labels))
    }
}
