//! The tree as text, which parses to the same tree.

use std::fmt::{self, Display, Formatter, Write};

use super::{
    Aggregate, AggregateOp, ArithmeticOp, Attribute, BinaryOp, CompareOp, FieldExpr, Intrinsic, Query,
    Relation, ScalarExpr, ScalarFilter, Scope, SpansetExpr, SpansetOp, Stage, Static, StructuralMode,
    UnaryOp,
};
use crate::lexer::is_attribute_char;

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        pipeline(f, &self.stages)?;
        for (i, (name, value)) in self.hints.iter().enumerate() {
            write!(f, "{}{name}={value}", if i == 0 { " with(" } else { ", " })?;
        }
        f.write_str(if self.hints.is_empty() { "" } else { ")" })
    }
}

fn pipeline(f: &mut Formatter<'_>, stages: &[Stage]) -> fmt::Result {
    list(f, stages, " | ")
}

fn list<T: Display>(f: &mut Formatter<'_>, items: &[T], separator: &str) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if i == 0 { "" } else { separator })?;
    }
    Ok(())
}

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Stage::Spanset(expr) => expr.fmt(f),
            Stage::Scalar(filter) => filter.fmt(f),
            Stage::By(expr) => write!(f, "by({expr})"),
            Stage::Coalesce => f.write_str("coalesce()"),
            Stage::Select(fields) => {
                f.write_str("select(")?;
                list(f, fields, ", ")?;
                f.write_char(')')
            }
        }
    }
}

impl Display for SpansetExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            SpansetExpr::Filter(expr) => write!(f, "{{ {expr} }}"),
            SpansetExpr::Binary { op, lhs, rhs } => {
                spanset_operand(f, lhs)?;
                write!(f, " {op} ")?;
                spanset_operand(f, rhs)
            }
            SpansetExpr::Pipeline(stages) => {
                f.write_char('(')?;
                pipeline(f, stages)?;
                f.write_char(')')
            }
        }
    }
}

fn spanset_operand(f: &mut Formatter<'_>, expr: &SpansetExpr) -> fmt::Result {
    match expr {
        SpansetExpr::Binary { .. } => write!(f, "({expr})"),
        other => other.fmt(f),
    }
}

impl Display for SpansetOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (relation, mode) = match *self {
            SpansetOp::And => return f.write_str("&&"),
            SpansetOp::Or => return f.write_str("||"),
            SpansetOp::Structural { relation, mode } => (relation, mode),
        };
        f.write_str(match mode {
            StructuralMode::Right => "",
            StructuralMode::Negated => "!",
            StructuralMode::Union => "&",
        })?;
        f.write_str(match relation {
            Relation::Child => ">",
            Relation::Descendant => ">>",
            Relation::Parent => "<",
            Relation::Ancestor => "<<",
            Relation::Sibling => "~",
        })
    }
}

impl Display for FieldExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            FieldExpr::Static(value) => value.fmt(f),
            FieldExpr::Attribute(attribute) => attribute.fmt(f),
            FieldExpr::Intrinsic(intrinsic) => intrinsic.fmt(f),
            FieldExpr::Unary { op, expr } => {
                f.write_char(match op {
                    UnaryOp::Negate => '-',
                    UnaryOp::Not => '!',
                })?;
                field_operand(f, expr)
            }
            FieldExpr::Binary { op, lhs, rhs } => {
                field_operand(f, lhs)?;
                write!(f, " {op} ")?;
                field_operand(f, rhs)
            }
        }
    }
}

fn field_operand(f: &mut Formatter<'_>, expr: &FieldExpr) -> fmt::Result {
    let bare = match expr {
        FieldExpr::Binary { .. } | FieldExpr::Unary { .. } => false,
        FieldExpr::Static(value) => !value.is_negative(),
        FieldExpr::Attribute(_) | FieldExpr::Intrinsic(_) => true,
    };
    if bare { expr.fmt(f) } else { write!(f, "({expr})") }
}

impl Display for BinaryOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            BinaryOp::And => f.write_str("&&"),
            BinaryOp::Or => f.write_str("||"),
            BinaryOp::Compare(op) => op.fmt(f),
            BinaryOp::Arithmetic(op) => op.fmt(f),
        }
    }
}

impl Display for CompareOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CompareOp::Equal => "=",
            CompareOp::NotEqual => "!=",
            CompareOp::Less => "<",
            CompareOp::LessEqual => "<=",
            CompareOp::Greater => ">",
            CompareOp::GreaterEqual => ">=",
            CompareOp::Regex => "=~",
            CompareOp::NotRegex => "!~",
        })
    }
}

impl Display for ArithmeticOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char(match self {
            ArithmeticOp::Add => '+',
            ArithmeticOp::Sub => '-',
            ArithmeticOp::Mul => '*',
            ArithmeticOp::Div => '/',
            ArithmeticOp::Mod => '%',
            ArithmeticOp::Pow => '^',
        })
    }
}

impl Static {
    fn is_negative(&self) -> bool {
        match self {
            Static::Int(v) | Static::Duration(v) => *v < 0,
            Static::Float(v) => v.is_sign_negative(),
            _ => false,
        }
    }
}

/// The words of the status codes, by number.
pub(crate) const STATUSES: [&str; 3] = ["unset", "ok", "error"];
/// The words of the span kinds, by number.
pub(crate) const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];

/// The word of a number; numbers beyond OpenTelemetry's read as the first word.
pub(crate) fn word(words: &[&'static str], number: u8) -> &'static str {
    words.get(usize::from(number)).or(words.first()).copied().unwrap_or_default()
}

impl Display for Static {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Static::Nil => f.write_str("nil"),
            Static::Int(i64::MIN) => f.write_str("minInt"),
            Static::Int(v) => write!(f, "{v}"),
            // The debug form keeps a fraction or an exponent, by which it is read back as the same type.
            Static::Float(v) => write!(f, "{v:?}"),
            Static::String(v) => f.write_str(&syntax::string::quote(v)),
            Static::Bool(v) => write!(f, "{v}"),
            Static::Duration(v) => f.write_str(&syntax::duration::format_go_ns(*v)),
            Static::Status(v) => f.write_str(word(&STATUSES, *v)),
            Static::Kind(v) => f.write_str(word(&KINDS, *v)),
        }
    }
}

impl Display for Attribute {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let scope = match self.scope {
            Scope::Any => "",
            Scope::Resource => "resource",
            Scope::Span => "span",
            Scope::Event => "event",
            Scope::Link => "link",
            Scope::Instrumentation => "instrumentation",
        };
        match (self.parent, scope) {
            (true, "") => f.write_str("parent.")?,
            (true, scope) => write!(f, "parent.{scope}.")?,
            (false, scope) => write!(f, "{scope}.")?,
        }
        let plain = |c: char| is_attribute_char(c) && c != '"' && c != '\\';
        // Unquoted, a digit behind the dot would begin a number, and a scope behind `parent.` would be one.
        let misread = self.scope == Scope::Any
            && (self.name.starts_with(|c: char| c.is_ascii_digit())
                || self.parent && (self.name.starts_with("span.") || self.name.starts_with("resource.")));
        if !self.name.is_empty() && self.name.chars().all(plain) && !misread {
            return f.write_str(&self.name);
        }
        f.write_char('"')?;
        for c in self.name.chars() {
            if c == '"' || c == '\\' {
                f.write_char('\\')?;
            }
            f.write_char(c)?;
        }
        f.write_char('"')
    }
}

impl Display for Intrinsic {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Display for ScalarFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.lhs, self.op, self.rhs)
    }
}

impl Display for ScalarExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            ScalarExpr::Static(value) => value.fmt(f),
            ScalarExpr::Aggregate(aggregate) => aggregate.fmt(f),
            ScalarExpr::Binary { op, lhs, rhs } => {
                scalar_operand(f, lhs)?;
                write!(f, " {op} ")?;
                scalar_operand(f, rhs)
            }
        }
    }
}

fn scalar_operand(f: &mut Formatter<'_>, expr: &ScalarExpr) -> fmt::Result {
    let bare = match expr {
        ScalarExpr::Binary { .. } => false,
        ScalarExpr::Static(value) => !value.is_negative(),
        ScalarExpr::Aggregate(_) => true,
    };
    if bare { expr.fmt(f) } else { write!(f, "({expr})") }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Aggregate::Count => f.write_str("count()"),
            Aggregate::Of(op, field) => write!(f, "{op}({field})"),
        }
    }
}

impl Display for AggregateOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AggregateOp::Avg => "avg",
            AggregateOp::Max => "max",
            AggregateOp::Min => "min",
            AggregateOp::Sum => "sum",
        })
    }
}
