//! The tree as text again. Operators and label filters stand in parentheses, so that the text needs no precedence.

use std::fmt::{Display, Formatter, Result};

use model::Matcher;
use model::time::NS_PER_MS;
use syntax::string::quote;

use super::{
    Binary, Conversion, Expr, Extraction, Grouping, LabelFilter, LabelFormat, LabelReplace, LineFilter,
    LogExpr, Logfmt, Matching, MetricExpr, Needle, RangeAggregation, Selection, Stage, Unwrap,
    VectorAggregation,
};
use crate::parser::stage::stands_alone;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Expr::Logs(logs) => logs.fmt(f),
            Expr::Metric(metric) => metric.fmt(f),
        }
    }
}

/// Writes items with a separator.
fn join<T>(
    f: &mut Formatter<'_>,
    items: &[T],
    with: &str,
    write: impl Fn(&mut Formatter<'_>, &T) -> Result,
) -> Result {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(with)?;
        }
        write(f, item)?;
    }
    Ok(())
}

fn matcher(f: &mut Formatter<'_>, matcher: &Matcher) -> Result {
    write!(f, "{}{}{}", matcher.name, matcher.op.as_str(), quote(&matcher.value))
}

fn number(f: &mut Formatter<'_>, value: f64) -> Result {
    match value {
        v if v.is_nan() => f.write_str("NaN"),
        v if v.is_infinite() => f.write_str(if v > 0.0 { "+Inf" } else { "-Inf" }),
        v => write!(f, "{v}"),
    }
}

fn extractions(f: &mut Formatter<'_>, items: &[Extraction]) -> Result {
    join(f, items, ", ", |f, e| write!(f, "{}={}", e.label, quote(&e.source)))
}

impl Display for LogExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("{")?;
        join(f, &self.matchers, ", ", matcher)?;
        f.write_str("}")?;
        self.stages.iter().try_for_each(|stage| write!(f, " {stage}"))
    }
}

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Stage::LineFilter(filter) => filter.fmt(f),
            Stage::LabelFilter(LabelFilter::Text(m)) if stands_alone(&m.name) => {
                f.write_str("| (")?;
                matcher(f, m)?;
                f.write_str(")")
            }
            Stage::LabelFilter(filter) => write!(f, "| {filter}"),
            Stage::Json(items) if items.is_empty() => f.write_str("| json"),
            Stage::Json(items) => {
                f.write_str("| json ")?;
                extractions(f, items)
            }
            Stage::Logfmt(logfmt) => logfmt.fmt(f),
            Stage::Regexp(text) => write!(f, "| regexp {}", quote(text)),
            Stage::Pattern(text) => write!(f, "| pattern {}", quote(text)),
            Stage::Unpack => f.write_str("| unpack"),
            Stage::LineFormat(text) => write!(f, "| line_format {}", quote(text)),
            Stage::LabelFormat(formats) => {
                f.write_str("| label_format ")?;
                join(f, formats, ", ", |f, format| format.fmt(f))
            }
            Stage::Decolorize => f.write_str("| decolorize"),
            Stage::Drop(selections) => {
                f.write_str("| drop ")?;
                join(f, selections, ", ", |f, selection| selection.fmt(f))
            }
            Stage::Keep(selections) => {
                f.write_str("| keep ")?;
                join(f, selections, ", ", |f, selection| selection.fmt(f))
            }
            Stage::Unwrap(unwrap) => unwrap.fmt(f),
        }
    }
}

impl Display for LineFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} ", self.op.as_str())?;
        join(f, &self.needles, " or ", |f, needle| match needle {
            Needle::Text(text) => f.write_str(&quote(text)),
            Needle::Ip(text) => write!(f, "ip({})", quote(text)),
        })
    }
}

impl Display for Logfmt {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("| logfmt")?;
        f.write_str(if self.strict { " --strict" } else { "" })?;
        f.write_str(if self.keep_empty { " --keep-empty" } else { "" })?;
        f.write_str(if self.fields.is_empty() { "" } else { " " })?;
        extractions(f, &self.fields)
    }
}

impl Display for LabelFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            LabelFilter::And(a, b) => write!(f, "({a} and {b})"),
            LabelFilter::Or(a, b) => write!(f, "({a} or {b})"),
            LabelFilter::Text(m) => matcher(f, m),
            LabelFilter::Number(name, op, value) => {
                write!(f, "{name}{}", op.as_str())?;
                number(f, *value)
            }
            LabelFilter::Duration(name, op, ns) => {
                write!(f, "{name}{}{}", op.as_str(), syntax::duration::format_go_ns(*ns))
            }
            LabelFilter::Bytes(name, op, bytes) => write!(f, "{name}{}{bytes}B", op.as_str()),
            LabelFilter::Ip(name, negated, text) => {
                write!(f, "{name}{}ip({})", if *negated { "!=" } else { "=" }, quote(text))
            }
        }
    }
}

impl Display for LabelFormat {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            LabelFormat::Rename { to, from } => write!(f, "{to}={from}"),
            LabelFormat::Template { to, template } => write!(f, "{to}={}", quote(template)),
        }
    }
}

impl Display for Selection {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Selection::Name(name) => f.write_str(name),
            Selection::Matcher(m) => matcher(f, m),
        }
    }
}

impl Display for Unwrap {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.conversion {
            Conversion::Number => write!(f, "| unwrap {}", self.label),
            Conversion::DurationSeconds => write!(f, "| unwrap duration_seconds({})", self.label),
            Conversion::Bytes => write!(f, "| unwrap bytes({})", self.label),
        }
    }
}

impl Display for MetricExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            MetricExpr::Range(range) => range.fmt(f),
            MetricExpr::Vector(vector) => vector.fmt(f),
            MetricExpr::Binary(binary) => binary.fmt(f),
            MetricExpr::Literal(value) => number(f, *value),
            MetricExpr::ConstantVector(value) => {
                f.write_str("vector(")?;
                number(f, *value)?;
                f.write_str(")")
            }
            MetricExpr::LabelReplace(replace) => replace.fmt(f),
        }
    }
}

impl Display for RangeAggregation {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}(", self.op.as_str())?;
        if let Some(param) = self.param {
            number(f, param)?;
            f.write_str(", ")?;
        }
        let space = if self.logs.stages.is_empty() { "" } else { " " };
        write!(f, "{}{space}[{}]", self.logs, window(self.range_ns))?;
        if self.offset_ns != 0 {
            write!(f, " offset {}", window(self.offset_ns))?;
        }
        f.write_str(")")?;
        self.grouping.iter().try_for_each(|grouping| write!(f, " {grouping}"))
    }
}

/// As people write windows, where it is exact: `5m` and not `5m0s`.
fn window(ns: i64) -> String {
    if ns > 0 && ns % NS_PER_MS == 0 {
        syntax::duration::format_prometheus_ms(ns / NS_PER_MS)
    } else {
        syntax::duration::format_go_ns(ns)
    }
}

impl Display for Grouping {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} ({})", if self.without { "without" } else { "by" }, self.labels.join(", "))
    }
}

impl Display for VectorAggregation {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(self.op.as_str())?;
        if let Some(grouping) = &self.grouping {
            write!(f, " {grouping} ")?;
        }
        f.write_str("(")?;
        if let Some(param) = self.param {
            write!(f, "{param}, ")?;
        }
        write!(f, "{})", self.expr)
    }
}

impl Display for Binary {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "({} {}", self.left, self.op.as_str())?;
        f.write_str(if self.return_bool { " bool" } else { "" })?;
        write!(f, "{} {})", self.matching, self.right)
    }
}

impl Display for Matching {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if let Some((on, labels)) = &self.labels {
            write!(f, " {} ({})", if *on { "on" } else { "ignoring" }, labels.join(", "))?;
        }
        if let Some(group) = &self.group {
            let word = if group.left { "group_left" } else { "group_right" };
            write!(f, " {word} ({})", group.include.join(", "))?;
        }
        Ok(())
    }
}

impl Display for LabelReplace {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let [to, replacement, from, regex] =
            [&self.to, &self.replacement, &self.from, &self.regex].map(|text| quote(text));
        write!(f, "label_replace({}, {to}, {replacement}, {from}, {regex})", self.expr)
    }
}
