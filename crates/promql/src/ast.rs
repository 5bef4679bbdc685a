//! The tree of a query, as it was written; printing it gives a text that parses to the same tree.

mod print;

mod pretty;

use model::Matcher;

use crate::functions::Function;
use crate::value::ValueType;

/// Where something begins in the text, in bytes. Two are always equal: where a thing stands says nothing of what it means.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place(pub usize);

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Place {}

/// From where to where something goes in the text, in bytes. As with places, two are always equal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extent {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl PartialEq for Extent {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Extent {}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A number.
    Number(f64),
    /// A number that was written as a duration, in seconds.
    Seconds(f64),
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
    /// A function, its arguments, and where each of them begins.
    Call(&'static Function, Vec<Expr>, Vec<Place>),
}

/// Which series, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    /// The metric's name where it is written before the braces.
    pub name: Option<String>,
    /// All conditions; the name is one of them.
    pub matchers: Vec<Matcher>,
    /// How far back to look.
    pub moved: Moved,
    /// Where it begins.
    pub place: Place,
}

/// The modifiers behind a selector or subquery.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moved {
    /// How far back; negative for ahead.
    pub offset: Option<Duration>,
    /// A fixed moment instead of the step's.
    pub at: Option<At>,
    /// What the borders of a window are; subqueries have none.
    pub extended: Option<Extended>,
}

/// How a selector sees the samples around its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extended {
    /// The last sample before the window stands for its left border.
    Anchored,
    /// The value at a border lies between the samples around it.
    Smoothed,
}

impl Extended {
    /// The modifier as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Extended::Anchored => "anchored",
            Extended::Smoothed => "smoothed",
        }
    }
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

/// A duration, or an expression of durations. What is computed knows its extent as Prometheus tells it: parentheses are
/// not part of it, nor is the name of a function with arguments.
#[derive(Clone, Debug, PartialEq)]
pub enum Duration {
    /// A plain number of seconds.
    Number(f64),
    /// A number of seconds that was written as a duration.
    Seconds(f64),
    /// A duration in parentheses.
    Paren(Box<Duration>, Extent),
    /// `step()`: the query's step.
    Step(Extent),
    /// `range()`: from the query's start to its end.
    Range(Extent),
    /// `-d`.
    Negative(Box<Duration>, Extent),
    /// `min_of(a, b)`.
    Min(Box<Duration>, Box<Duration>, Extent),
    /// `max_of(a, b)`.
    Max(Box<Duration>, Box<Duration>, Extent),
    /// Arithmetic.
    Binary(BinaryOp, Box<Duration>, Box<Duration>, Extent),
}

impl Duration {
    /// Where it stands, where it is computed; literals are no longer looked for in the text.
    #[must_use]
    pub const fn extent(&self) -> Option<Extent> {
        match self {
            Duration::Number(_) | Duration::Seconds(_) => None,
            Duration::Paren(_, extent)
            | Duration::Step(extent)
            | Duration::Range(extent)
            | Duration::Negative(_, extent)
            | Duration::Min(_, _, extent)
            | Duration::Max(_, _, extent)
            | Duration::Binary(_, _, _, extent) => Some(*extent),
        }
    }
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
    /// Where the left side begins.
    pub place: Place,
}

impl Binary {
    /// Whether both sides are vectors, so that series pair.
    #[must_use]
    pub fn is_between_vectors(&self) -> bool {
        [&self.lhs, &self.rhs].iter().all(|side| side.value_type() == ValueType::Vector)
    }
}

/// How the series of two vectors pair.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matching {
    /// True for `on`, false for `ignoring`.
    pub on: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Which side may have many.
    pub card: Cardinality,
    /// Labels that the side of many takes from the side of one.
    pub include: Vec<String>,
    /// What stands in for series that are not there.
    pub fill: Fill,
}

/// Numbers for the side on which a pair has no series.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fill {
    /// `fill_left`.
    pub left: Option<f64>,
    /// `fill_right`.
    pub right: Option<f64>,
}

impl Fill {
    /// Whether no side has a number.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.left.is_none() && self.right.is_none()
    }
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
    /// Where all of it begins.
    pub whole_place: Place,
    /// Where the vector begins.
    pub place: Place,
    /// Where the parameter begins.
    pub param_place: Place,
}

impl Expr {
    /// The type of its result.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match self {
            Expr::Number(_) | Expr::Seconds(_) => ValueType::Scalar,
            Expr::Text(_) => ValueType::String,
            Expr::Selector(_) | Expr::Aggregate(_) => ValueType::Vector,
            Expr::Range(..) | Expr::Subquery(_) => ValueType::Matrix,
            Expr::Unary(_, expr) | Expr::Paren(expr) => expr.value_type(),
            Expr::Binary(binary) => match (binary.lhs.value_type(), binary.rhs.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
            Expr::Call(function, ..) => function.returns,
        }
    }

    /// Every selection of series in it, in the order of the text.
    #[must_use]
    pub fn selectors(&self) -> Vec<&Selector> {
        let mut selectors = Vec::new();
        self.collect_selectors(&mut selectors);
        selectors
    }

    fn collect_selectors<'e>(&'e self, selectors: &mut Vec<&'e Selector>) {
        match self {
            Expr::Number(_) | Expr::Seconds(_) | Expr::Text(_) => {}
            Expr::Selector(selector) | Expr::Range(selector, _) => selectors.push(selector),
            Expr::Subquery(subquery) => subquery.expr.collect_selectors(selectors),
            Expr::Unary(_, expr) | Expr::Paren(expr) => expr.collect_selectors(selectors),
            Expr::Binary(binary) => {
                binary.lhs.collect_selectors(selectors);
                binary.rhs.collect_selectors(selectors);
            }
            Expr::Aggregate(aggregate) => {
                let param = aggregate.param.iter().chain([&aggregate.expr]);
                param.for_each(|expr| expr.collect_selectors(selectors));
            }
            Expr::Call(_, args, _) => args.iter().for_each(|arg| arg.collect_selectors(selectors)),
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
