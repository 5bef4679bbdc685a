//! The tree as text over several lines: what does not fit a line is split at its parts, each a level further in.

use std::fmt::{self, Display, Write};

use super::Expr;
use super::print::{Head, Operator, Window, sign};

/// What is longer, in bytes, is split.
const MAX_LINE: usize = 100;

/// Counts what is written, and stops once it is too long for a line.
struct Line {
    left: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.left = self.left.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}

fn fits(expr: &Expr) -> bool {
    write!(Line { left: MAX_LINE }, "{expr}").is_ok()
}

fn indent(level: usize) -> String {
    "  ".repeat(level)
}

impl Expr {
    /// The expression over as many lines as it needs, as Prometheus formats it; it parses to the same tree.
    #[must_use]
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        self.push_pretty(&mut out, 0);
        out
    }

    fn push_pretty(&self, out: &mut String, level: usize) {
        let indentation = indent(level);
        match self {
            Expr::Subquery(_) if fits(self) => push(out, self),
            Expr::Subquery(subquery) => {
                subquery.expr.push_pretty(out, level);
                push(out, &Window(subquery));
            }
            Expr::Unary(negative, inner) => {
                push(out, &format_args!("{indentation}{}", sign(*negative)));
                let mut text = String::new();
                inner.push_pretty(&mut text, level);
                out.push_str(text.trim());
            }
            _ if fits(self) => push(out, &format_args!("{indentation}{self}")),
            Expr::Paren(inner) => {
                push(out, &format_args!("{indentation}(\n"));
                inner.push_pretty(out, level + 1);
                push(out, &format_args!("\n{indentation})"));
            }
            Expr::Binary(binary) => {
                binary.lhs.push_pretty(out, level + 1);
                push(out, &format_args!("\n{indentation}{}\n", Operator(binary)));
                binary.rhs.push_pretty(out, level + 1);
            }
            Expr::Aggregate(aggregate) => {
                push(out, &format_args!("{indentation}{}(\n", Head(aggregate)));
                if let Some(param) = &aggregate.param {
                    param.push_pretty(out, level + 1);
                    out.push_str(",\n");
                }
                aggregate.expr.push_pretty(out, level + 1);
                push(out, &format_args!("\n{indentation})"));
            }
            Expr::Call(function, args, _) => {
                push(out, &format_args!("{indentation}{}(\n", function.name));
                for (i, arg) in args.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { ",\n" });
                    arg.push_pretty(out, level + 1);
                }
                push(out, &format_args!("\n{indentation})"));
            }
            Expr::Number(_) | Expr::Seconds(_) | Expr::Text(_) | Expr::Selector(_) | Expr::Range(..) => {
                push(out, &format_args!("{indentation}{self}"));
            }
        }
    }
}

fn push(out: &mut String, part: &dyn Display) {
    // Writing to a text cannot fail.
    let _ = write!(out, "{part}");
}

#[cfg(test)]
mod tests {
    use crate::{Features, parse};

    #[test]
    fn what_does_not_fit_a_line_is_split_at_its_parts() {
        let short = "sum by (job) (rate(http_requests_total{code=~\"5..\"}[5m])) > 0.5";
        let shown = |text: &str| parse(text, Features::ALL).unwrap().pretty();
        assert_eq!(shown(short), short);
        let metric = "a_metric_of_a_name_that_is_rather_long";
        let long =
            format!("-topk(3, sum(rate({metric}[5m] offset 1h)) / on (a) ({metric} + {metric}{{b='c'}}))");
        let wanted = format!(
            "-topk(\n  3,\n    sum(rate({metric}[5m] offset 1h))\n  / on (a)\n    ({metric} + {metric}{{b=\"c\"}})\n)"
        );
        assert_eq!(shown(&long), wanted);
        let nested = format!("label_replace(({metric} + {metric} + {metric}), 'a', 'b', 'c', 'd')[1h:5m]");
        let wanted = format!(
            "label_replace(\n  (\n      {metric} + {metric}\n    +\n      {metric}\n  ),\n  \"a\",\n  \"b\",\n  \
             \"c\",\n  \"d\"\n)[1h:5m]"
        );
        assert_eq!(shown(&nested), wanted);
    }
}
