//! The tree of a query, as it was written; printing it gives a text that parses to the same tree.

use std::fmt;

use model::{MatchOp, Matcher};
use syntax::{duration, number, string};

use crate::functions::Function;
use crate::value::ValueType;

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A number; durations as numbers of seconds too.
    Number(f64),
    /// A text.
    Text(String),
    /// A selection of series, one sample each.
    Selector(Selector),
    /// A selection of series, the samples of a window each.
    Range(Selector, Duration),
    /// An expression evaluated many times over a window.
    Subquery(Box<Subquery>),
    /// `-x` (true) or `+x`.
    Unary(bool, Box<Expr>),
    /// An expression in parentheses.
    Paren(Box<Expr>),
    /// Two expressions joined by an operator.
    Binary(Box<Binary>),
    /// Series joined into groups.
    Aggregate(Box<Aggregate>),
    /// A function and its arguments.
    Call(&'static Function, Vec<Expr>),
}

/// Which series, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    /// The metric's name as written before the braces.
    pub name: Option<String>,
    /// All conditions; the name is one of them.
    pub matchers: Vec<Matcher>,
    /// How far back to look.
    pub moved: Moved,
}

/// The modifiers `offset` and `@`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moved {
    /// How far back; negative for ahead.
    pub offset: Option<Duration>,
    /// A fixed moment instead of the step's.
    pub at: Option<At>,
}

/// A fixed moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Milliseconds since the epoch.
    Timestamp(i64),
    /// The query's first step.
    Start,
    /// The query's last step.
    End,
}

/// `expr[range:step]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Expr,
    /// Over how long.
    pub range: Duration,
    /// How often; the default step where it is not written.
    pub step: Option<Duration>,
    /// How far back the window lies.
    pub moved: Moved,
}

/// A duration, or an expression of durations.
#[derive(Clone, Debug, PartialEq)]
pub enum Duration {
    /// Seconds.
    Seconds(f64),
    /// `step()`: the query's step.
    Step,
    /// `range()`: from the query's start to its end.
    Range,
    /// `-d`.
    Negative(Box<Duration>),
    /// `min_of(a, b)`.
    Min(Box<Duration>, Box<Duration>),
    /// `max_of(a, b)`.
    Max(Box<Duration>, Box<Duration>),
    /// Arithmetic.
    Binary(BinaryOp, Box<Duration>, Box<Duration>),
}

/// The infix operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is named in `as_str`")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    And,
    Or,
    Unless,
    TrimUpper,
    TrimLower,
}

impl BinaryOp {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Atan2 => "atan2",
            BinaryOp::Equal => "==",
            BinaryOp::NotEqual => "!=",
            BinaryOp::Less => "<",
            BinaryOp::LessEqual => "<=",
            BinaryOp::Greater => ">",
            BinaryOp::GreaterEqual => ">=",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
            BinaryOp::Unless => "unless",
            BinaryOp::TrimUpper => "</",
            BinaryOp::TrimLower => ">/",
        }
    }

    /// Whether it compares.
    #[must_use]
    pub const fn is_comparison(self) -> bool {
        matches!(
            self,
            BinaryOp::Equal
                | BinaryOp::NotEqual
                | BinaryOp::Less
                | BinaryOp::LessEqual
                | BinaryOp::Greater
                | BinaryOp::GreaterEqual
        )
    }

    /// Whether it works on sets of series.
    #[must_use]
    pub const fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }
}

/// Two expressions joined by an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// The left side.
    pub lhs: Expr,
    /// The right side.
    pub rhs: Expr,
    /// Whether a comparison gives 0 and 1 instead of filtering.
    pub bool_modifier: bool,
    /// How series pair; only between vectors.
    pub matching: Matching,
}

/// How the series of two vectors pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// True for `on`, false for `ignoring`.
    pub on: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Which side may have many.
    pub card: Cardinality,
    /// Labels that the side of many takes from the side of one.
    pub include: Vec<String>,
}

/// How many series of each side may pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cardinality {
    /// One and one.
    #[default]
    OneToOne,
    /// `group_left`: many on the left.
    ManyToOne,
    /// `group_right`: many on the right.
    OneToMany,
}

/// What a group of series becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is named in `as_str`")]
pub enum AggregateOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Quantile,
    CountValues,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    /// All of them.
    pub const ALL: [AggregateOp; 14] = [
        AggregateOp::Sum,
        AggregateOp::Avg,
        AggregateOp::Min,
        AggregateOp::Max,
        AggregateOp::Count,
        AggregateOp::Group,
        AggregateOp::Stddev,
        AggregateOp::Stdvar,
        AggregateOp::Topk,
        AggregateOp::Bottomk,
        AggregateOp::Quantile,
        AggregateOp::CountValues,
        AggregateOp::Limitk,
        AggregateOp::LimitRatio,
    ];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            AggregateOp::Sum => "sum",
            AggregateOp::Avg => "avg",
            AggregateOp::Min => "min",
            AggregateOp::Max => "max",
            AggregateOp::Count => "count",
            AggregateOp::Group => "group",
            AggregateOp::Stddev => "stddev",
            AggregateOp::Stdvar => "stdvar",
            AggregateOp::Topk => "topk",
            AggregateOp::Bottomk => "bottomk",
            AggregateOp::Quantile => "quantile",
            AggregateOp::CountValues => "count_values",
            AggregateOp::Limitk => "limitk",
            AggregateOp::LimitRatio => "limit_ratio",
        }
    }

    /// The type of the parameter before the vector, where it takes one.
    #[must_use]
    pub const fn param(self) -> Option<ValueType> {
        match self {
            AggregateOp::CountValues => Some(ValueType::String),
            AggregateOp::Topk
            | AggregateOp::Bottomk
            | AggregateOp::Quantile
            | AggregateOp::Limitk
            | AggregateOp::LimitRatio => Some(ValueType::Scalar),
            _ => None,
        }
    }
}

/// Which labels make a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Grouping {
    /// True for `without`: all labels but these and the name.
    pub without: bool,
    /// The labels.
    pub labels: Vec<String>,
}

/// Series joined into groups.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// What a group becomes.
    pub op: AggregateOp,
    /// The parameter, of the type that the operator takes.
    pub param: Option<Expr>,
    /// The vector.
    pub expr: Expr,
    /// The groups.
    pub grouping: Grouping,
}

impl Expr {
    /// The type of its result.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match self {
            Expr::Number(_) => ValueType::Scalar,
            Expr::Text(_) => ValueType::String,
            Expr::Selector(_) | Expr::Aggregate(_) => ValueType::Vector,
            Expr::Range(..) | Expr::Subquery(_) => ValueType::Matrix,
            Expr::Unary(_, expr) | Expr::Paren(expr) => expr.value_type(),
            Expr::Binary(binary) => match (binary.lhs.value_type(), binary.rhs.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
            Expr::Call(function, _) => function.returns,
        }
    }

    /// The expression within any parentheses.
    #[must_use]
    pub fn unparenthesized(&self) -> &Expr {
        match self {
            Expr::Paren(inner) => inner.unparenthesized(),
            other => other,
        }
    }
}

/// Whether a label's name can stand without quotes.
pub(crate) fn is_plain_label(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether a metric's name can stand before the braces.
pub(crate) fn is_plain_metric(name: &str) -> bool {
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
        self.offset.as_ref().map_or(Ok(()), |offset| write!(f, " offset {offset}"))
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
            Expr::Call(function, args) => {
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
