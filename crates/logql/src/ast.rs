//! What a query says, as a tree. Its `Display` (see `display`) is a query that parses to an equal tree.
//!
//! Not here: the grammar (`parser`) and what a stage does to a line (`pipeline`).

use model::Matcher;

mod display;

mod metric;

pub use metric::{
    Binary, BinaryOp, Group, Grouping, LabelReplace, Matching, MetricExpr, RangeAggregation, RangeOp,
    VectorAggregation, VectorOp,
};

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
