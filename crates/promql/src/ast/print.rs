//! The tree as text.

use std::fmt;

use model::MatchOp;
use syntax::{duration, number, string};

use super::{Aggregate, At, Binary, Cardinality, Duration, Expr, Fill, Moved, Selector};

/// Whether a label's name can stand without quotes.
fn is_plain_label(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether a metric's name can stand before the braces.
fn is_plain_metric(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b == b':')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

fn label(name: &str) -> String {
    if is_plain_label(name) { name.to_owned() } else { string::quote(name) }
}

fn label_list(labels: &[String]) -> String {
    labels.iter().map(|name| label(name)).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_head(f)?;
        self.moved.fmt(f)
    }
}

impl Selector {
    fn fmt_head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::with_capacity(self.matchers.len());
        let plain =
            self.name.as_deref().filter(|name| is_plain_metric(name) && !crate::lexer::is_keyword(name));
        let mut named = false;
        for matcher in &self.matchers {
            let is_name = matcher.name == model::labels::METRIC_NAME && matcher.op == MatchOp::Equal;
            if is_name && !named && self.name.as_deref() == Some(&matcher.value) {
                named = true;
                if plain.is_none() {
                    parts.insert(0, string::quote(&matcher.value));
                }
                continue;
            }
            parts.push(format!(
                "{}{}{}",
                label(&matcher.name),
                matcher.op.as_str(),
                string::quote(&matcher.value)
            ));
        }
        f.write_str(plain.unwrap_or_default())?;
        if parts.is_empty() && plain.is_some() { Ok(()) } else { write!(f, "{{{}}}", parts.join(",")) }
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            #[expect(clippy::cast_precision_loss, reason = "what was written was a float")]
            Some(At::Timestamp(ms)) => write!(f, " @ {:.3}", ms as f64 / 1000.0)?,
            Some(At::Start) => f.write_str(" @ start()")?,
            Some(At::End) => f.write_str(" @ end()")?,
            None => {}
        }
        self.offset.as_ref().map_or(Ok(()), |offset| write!(f, " offset {offset}"))?;
        self.extended.map_or(Ok(()), |extended| write!(f, " {}", extended.as_str()))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Duration::Seconds(seconds) => {
                if *seconds < 0.0 {
                    return write!(f, "-{}", Duration::Seconds(-seconds));
                }
                let ms = seconds * 1000.0;
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "only whole milliseconds in range get here"
                )]
                if (0.0..9e12).contains(&ms) && ms.fract() == 0.0 {
                    let text = duration::format_prometheus_ms(ms as i64);
                    // Where the way through milliseconds would change the number, it stands as it is.
                    return if ms / 1000.0 == *seconds {
                        f.write_str(&text)
                    } else {
                        f.write_str(&number::format_plain(*seconds))
                    };
                }
                f.write_str(&number::format_plain(*seconds))
            }
            Duration::Step => f.write_str("step()"),
            Duration::Range => f.write_str("range()"),
            Duration::Negative(inner) => write!(f, "-{inner}"),
            Duration::Min(a, b) => write!(f, "min_of({a}, {b})"),
            Duration::Max(a, b) => write!(f, "max_of({a}, {b})"),
            Duration::Binary(op, a, b) => write!(f, "({a} {} {b})", op.as_str()),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A sign before it would be read as an operator of its own.
            Expr::Number(value) if *value == f64::INFINITY => f.write_str("Inf"),
            Expr::Number(value) => f.write_str(&number::format_short(*value)),
            Expr::Text(text) => f.write_str(&string::quote(text)),
            Expr::Selector(selector) => selector.fmt(f),
            Expr::Range(selector, range) => {
                selector.fmt_head(f)?;
                write!(f, "[{range}]{}", selector.moved)
            }
            Expr::Subquery(subquery) => {
                write!(f, "{}[{}:", subquery.expr, subquery.range)?;
                if let Some(step) = &subquery.step {
                    step.fmt(f)?;
                }
                write!(f, "]{}", subquery.moved)
            }
            Expr::Unary(negative, expr) => write!(f, "{}{expr}", if *negative { '-' } else { '+' }),
            Expr::Paren(expr) => write!(f, "({expr})"),
            Expr::Binary(binary) => binary.fmt(f),
            Expr::Aggregate(aggregate) => aggregate.fmt(f),
            Expr::Call(function, args, _) => {
                let args: Vec<String> = args.iter().map(ToString::to_string).collect();
                write!(f, "{}({})", function.name, args.join(", "))
            }
        }
    }
}

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.lhs, self.op.as_str())?;
        if self.bool_modifier {
            f.write_str(" bool")?;
        }
        let matching = &self.matching;
        if matching.on || !matching.labels.is_empty() || matching.card != Cardinality::OneToOne {
            write!(f, " {} ({})", if matching.on { "on" } else { "ignoring" }, label_list(&matching.labels))?;
        }
        match matching.card {
            Cardinality::OneToOne => {}
            Cardinality::ManyToOne => write!(f, " group_left ({})", label_list(&matching.include))?,
            Cardinality::OneToMany => write!(f, " group_right ({})", label_list(&matching.include))?,
        }
        let number = |value: f64| {
            if value == f64::INFINITY { "Inf".to_owned() } else { number::format_short(value) }
        };
        match matching.fill {
            Fill { left: Some(left), right: Some(right) } if left.to_bits() == right.to_bits() => {
                write!(f, " fill ({})", number(left))?;
            }
            Fill { left, right } => {
                left.map_or(Ok(()), |left| write!(f, " fill_left ({})", number(left)))?;
                right.map_or(Ok(()), |right| write!(f, " fill_right ({})", number(right)))?;
            }
        }
        write!(f, " {}", self.rhs)
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.op.as_str())?;
        if self.grouping.without || !self.grouping.labels.is_empty() {
            let word = if self.grouping.without { "without" } else { "by" };
            write!(f, " {word} ({})", label_list(&self.grouping.labels))?;
        }
        f.write_str(if self.grouping.without || !self.grouping.labels.is_empty() { " (" } else { "(" })?;
        if let Some(param) = &self.param {
            write!(f, "{param}, ")?;
        }
        write!(f, "{})", self.expr)
    }
}
