//! What a query says, as a tree. Its `Display` (see `display`) is a query that parses to an equal tree.
//!
//! Not here: the grammar (`parser`) and what a stage does to a line (`pipeline`).

use model::Matcher;

mod display;

/// A whole query.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// Answers with lines.
    Logs(LogExpr),
    /// Answers with numbers.
    Metric(MetricExpr),
}

/// A stream selector and the stages that its lines go through.
#[derive(Clone, Debug, PartialEq)]
pub struct LogExpr {
    /// All of them must hold for a stream.
    pub matchers: Vec<Matcher>,
    /// In the order in which a line meets them.
    pub stages: Vec<Stage>,
}

/// One step of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// `|= "text"` and its kin.
    LineFilter(LineFilter),
    /// `| status >= 500`
    LabelFilter(LabelFilter),
    /// `| json`; with expressions only these are extracted.
    Json(Vec<Extraction>),
    /// `| logfmt`
    Logfmt(Logfmt),
    /// `| regexp "…"`
    Regexp(String),
    /// `| pattern "…"`
    Pattern(String),
    /// `| unpack`
    Unpack,
    /// `| line_format "…"`
    LineFormat(String),
    /// `| label_format a=b, c="…"`
    LabelFormat(Vec<LabelFormat>),
    /// `| decolorize`
    Decolorize,
    /// `| drop a, b="x"`
    Drop(Vec<Selection>),
    /// `| keep a, b="x"`
    Keep(Vec<Selection>),
    /// `| unwrap x`; only under a range aggregation, and only label filters may follow.
    Unwrap(Unwrap),
}

/// How a line filter compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineOp {
    /// `|=`
    Contains,
    /// `!=`
    NotContains,
    /// `|~`
    Regex,
    /// `!~`
    NotRegex,
    /// `|>`
    Pattern,
    /// `!>`
    NotPattern,
}

impl LineOp {
    /// Whether a line that meets the condition is dropped.
    #[must_use]
    pub const fn is_negated(self) -> bool {
        matches!(self, LineOp::NotContains | LineOp::NotRegex | LineOp::NotPattern)
    }

    /// The operator as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            LineOp::Contains => "|=",
            LineOp::NotContains => "!=",
            LineOp::Regex => "|~",
            LineOp::NotRegex => "!~",
            LineOp::Pattern => "|>",
            LineOp::NotPattern => "!>",
        }
    }
}

/// A condition on the text of a line.
#[derive(Clone, Debug, PartialEq)]
pub struct LineFilter {
    /// How to compare.
    pub op: LineOp,
    /// One of them must be met (none of them, when the operator is negated). Never empty.
    pub needles: Vec<Needle>,
}

/// What a line filter looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needle {
    /// A text, an expression or a pattern, as the operator says.
    Text(String),
    /// `ip("…")`: an address, a range or a network.
    Ip(String),
}

/// A condition on the labels of a line.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelFilter {
    /// Both hold.
    And(Box<LabelFilter>, Box<LabelFilter>),
    /// One of them holds.
    Or(Box<LabelFilter>, Box<LabelFilter>),
    /// `name="text"`, `!=`, `=~`, `!~`
    Text(Matcher),
    /// `name > 5`
    Number(String, CompareOp, f64),
    /// `name > 5s`, in nanoseconds.
    Duration(String, CompareOp, i64),
    /// `name > 5KB`
    Bytes(String, CompareOp, u64),
    /// `name = ip("…")`; the flag says whether it is negated.
    Ip(String, bool, String),
}

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
}

impl CompareOp {
    /// The operator as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            CompareOp::Equal => "==",
            CompareOp::NotEqual => "!=",
            CompareOp::Greater => ">",
            CompareOp::GreaterEqual => ">=",
            CompareOp::Less => "<",
            CompareOp::LessEqual => "<=",
        }
    }

    /// Whether `left op right` holds.
    pub fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            CompareOp::Equal => left == right,
            CompareOp::NotEqual => left != right,
            CompareOp::Greater => left > right,
            CompareOp::GreaterEqual => left >= right,
            CompareOp::Less => left < right,
            CompareOp::LessEqual => left <= right,
        }
    }
}

/// `label="path"`: a label and where in the line its value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extraction {
    /// The label that is set.
    pub label: String,
    /// The path or key in the line.
    pub source: String,
}

/// `logfmt` with its flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logfmt {
    /// `--strict`: the first error ends the parsing of the line.
    pub strict: bool,
    /// `--keep-empty`: keys without a value become labels too.
    pub keep_empty: bool,
    /// Only these are extracted; all when empty.
    pub fields: Vec<Extraction>,
}

/// One assignment of `label_format`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelFormat {
    /// `new=old`
    Rename {
        /// The label that is set.
        to: String,
        /// The label that is taken away.
        from: String,
    },
    /// `label="template"`
    Template {
        /// The label that is set.
        to: String,
        /// The template of its value.
        template: String,
    },
}

/// A label of `drop` or `keep`: by name, or only where its value matches.
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    /// By name.
    Name(String),
    /// By name and value.
    Matcher(Matcher),
}

/// The label whose value is a range aggregation's sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwrap {
    /// The label.
    pub label: String,
    /// How its text becomes a number.
    pub conversion: Conversion,
}

/// How a label's text becomes a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// A floating-point number.
    Number,
    /// A duration, in seconds; written `duration(x)` or `duration_seconds(x)`.
    DurationSeconds,
    /// A size, in bytes.
    Bytes,
}

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
