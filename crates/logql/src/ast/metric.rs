//! The part of a query that answers with numbers.

use super::LogExpr;

/// An expression that answers with numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricExpr {
    /// `rate({…}[5m])`
    Range(Box<RangeAggregation>),
    /// `sum by (a) (…)`
    Vector(VectorAggregation),
    /// `a + b`
    Binary(Box<Binary>),
    /// `5`
    Literal(f64),
    /// `vector(5)`
    ConstantVector(f64),
    /// `label_replace(…)`
    LabelReplace(Box<LabelReplace>),
}

/// An aggregation of lines over a window of time.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeAggregation {
    /// What is computed.
    pub op: RangeOp,
    /// The φ of `quantile_over_time`.
    pub param: Option<f64>,
    /// Which lines.
    pub logs: LogExpr,
    /// The window's length in nanoseconds; greater than 0.
    pub range_ns: i64,
    /// How far the window lies before the step's time, in nanoseconds.
    pub offset_ns: i64,
    /// The labels of the result; all when absent.
    pub grouping: Option<Grouping>,
}

/// The range aggregations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the word of the language that it is named for")]
pub enum RangeOp {
    CountOverTime,
    Rate,
    BytesOverTime,
    BytesRate,
    AbsentOverTime,
    SumOverTime,
    AvgOverTime,
    MinOverTime,
    MaxOverTime,
    FirstOverTime,
    LastOverTime,
    StdvarOverTime,
    StddevOverTime,
    QuantileOverTime,
    RateCounter,
}

impl RangeOp {
    /// Every one, with its word.
    pub const ALL: [(RangeOp, &'static str); 15] = [
        (RangeOp::CountOverTime, "count_over_time"),
        (RangeOp::Rate, "rate"),
        (RangeOp::BytesOverTime, "bytes_over_time"),
        (RangeOp::BytesRate, "bytes_rate"),
        (RangeOp::AbsentOverTime, "absent_over_time"),
        (RangeOp::SumOverTime, "sum_over_time"),
        (RangeOp::AvgOverTime, "avg_over_time"),
        (RangeOp::MinOverTime, "min_over_time"),
        (RangeOp::MaxOverTime, "max_over_time"),
        (RangeOp::FirstOverTime, "first_over_time"),
        (RangeOp::LastOverTime, "last_over_time"),
        (RangeOp::StdvarOverTime, "stdvar_over_time"),
        (RangeOp::StddevOverTime, "stddev_over_time"),
        (RangeOp::QuantileOverTime, "quantile_over_time"),
        (RangeOp::RateCounter, "rate_counter"),
    ];

    /// The aggregation of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, w)| *w == word).map(|(op, _)| *op)
    }

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(op, _)| *op == self).map_or("", |(_, word)| word)
    }
}

/// `by (a, b)` or `without (a, b)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grouping {
    /// Whether the labels are those to leave out.
    pub without: bool,
    /// The labels.
    pub labels: Vec<String>,
}

/// An aggregation over the series of each step.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorAggregation {
    /// What is computed.
    pub op: VectorOp,
    /// The k of `topk`, `bottomk` and `approx_topk`.
    pub param: Option<u32>,
    /// The groups; one for all when absent.
    pub grouping: Option<Grouping>,
    /// What is aggregated.
    pub expr: Box<MetricExpr>,
}

/// The vector aggregations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the word of the language that it is named for")]
pub enum VectorOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    ApproxTopk,
    Sort,
    SortDesc,
}

impl VectorOp {
    /// Every one, with its word.
    pub const ALL: [(VectorOp, &'static str); 12] = [
        (VectorOp::Sum, "sum"),
        (VectorOp::Avg, "avg"),
        (VectorOp::Min, "min"),
        (VectorOp::Max, "max"),
        (VectorOp::Count, "count"),
        (VectorOp::Stddev, "stddev"),
        (VectorOp::Stdvar, "stdvar"),
        (VectorOp::Topk, "topk"),
        (VectorOp::Bottomk, "bottomk"),
        (VectorOp::ApproxTopk, "approx_topk"),
        (VectorOp::Sort, "sort"),
        (VectorOp::SortDesc, "sort_desc"),
    ];

    /// The aggregation of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, w)| *w == word).map(|(op, _)| *op)
    }

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(op, _)| *op == self).map_or("", |(_, word)| word)
    }

    /// Whether it needs a `k`.
    #[must_use]
    pub const fn takes_k(self) -> bool {
        matches!(self, VectorOp::Topk | VectorOp::Bottomk | VectorOp::ApproxTopk)
    }
}

/// `left op right`.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// `bool`: a comparison answers with 0 or 1.
    pub return_bool: bool,
    /// `on`, `ignoring`, `group_left`, `group_right`.
    pub matching: Matching,
    /// Left of the operator.
    pub left: MetricExpr,
    /// Right of it.
    pub right: MetricExpr,
}

/// The binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the operator that it is named for")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    And,
    Or,
    Unless,
}

impl BinaryOp {
    /// The operator as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Equal => "==",
            BinaryOp::NotEqual => "!=",
            BinaryOp::Greater => ">",
            BinaryOp::GreaterEqual => ">=",
            BinaryOp::Less => "<",
            BinaryOp::LessEqual => "<=",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
            BinaryOp::Unless => "unless",
        }
    }

    /// Whether it is `and`, `or` or `unless`.
    #[must_use]
    pub const fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }

    /// Whether it compares.
    #[must_use]
    pub const fn is_comparison(self) -> bool {
        matches!(
            self,
            BinaryOp::Equal
                | BinaryOp::NotEqual
                | BinaryOp::Greater
                | BinaryOp::GreaterEqual
                | BinaryOp::Less
                | BinaryOp::LessEqual
        )
    }

    /// How tightly it binds; a higher number binds first.
    #[must_use]
    pub const fn precedence(self) -> u8 {
        match self {
            BinaryOp::Or => 1,
            BinaryOp::And | BinaryOp::Unless => 2,
            BinaryOp::Add | BinaryOp::Sub => 4,
            BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod => 5,
            BinaryOp::Pow => 6,
            _ => 3,
        }
    }
}

/// Which labels of two sides must be equal, and whether one side may have many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// `on (…)` or `ignoring (…)`, with its labels: the flag is true for `on`.
    pub labels: Option<(bool, Vec<String>)>,
    /// `group_left (…)` or `group_right (…)`.
    pub group: Option<Group>,
}

/// The side that may have many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Whether the many are on the left.
    pub left: bool,
    /// The labels that are taken over from the other side.
    pub include: Vec<String>,
}

/// `label_replace(expr, "dst", "replacement", "src", "regex")`
#[derive(Clone, Debug, PartialEq)]
pub struct LabelReplace {
    /// Whose labels are changed.
    pub expr: MetricExpr,
    /// The label that is set.
    pub to: String,
    /// Its value, with `$1` for the groups.
    pub replacement: String,
    /// The label that is read.
    pub from: String,
    /// The anchored expression that its value must match.
    pub regex: String,
}
