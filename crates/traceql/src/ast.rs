//! A query as a tree, as it was written: no types checked, nothing folded but the sign of a number.

mod display;

pub(crate) use display::{KINDS, STATUSES, word};

/// A query: stages one after the other, and hints to the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// The stages, of which there is at least one.
    pub stages: Vec<Stage>,
    /// `with(name=value, …)`. They are kept and change nothing: results are exact and newest first as it is.
    pub hints: Vec<(String, Static)>,
}

/// A stage of a pipeline: takes the spansets of a trace and gives others.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// Keeps the spans that the expression selects.
    Spanset(SpansetExpr),
    /// Keeps the spansets for which the comparison holds.
    Scalar(ScalarFilter),
    /// `by(field)`: splits spansets by a value.
    By(FieldExpr),
    /// `coalesce()`: joins the spansets of a trace.
    Coalesce,
    /// `select(field, …)`: shows more values of the spans.
    Select(Vec<FieldExpr>),
}

/// What selects spans of a trace.
#[derive(Clone, Debug, PartialEq)]
pub enum SpansetExpr {
    /// `{ condition }`.
    Filter(FieldExpr),
    /// Two selections, related.
    Binary {
        /// How they are related.
        op: SpansetOp,
        /// The left selection.
        lhs: Box<SpansetExpr>,
        /// The right selection.
        rhs: Box<SpansetExpr>,
    },
    /// A pipeline in parentheses.
    Pipeline(Vec<Stage>),
}

/// How two selections of spans are related.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpansetOp {
    /// `&&`: both select something; the spans of both.
    And,
    /// `||`: the spans of both.
    Or,
    /// A place in the tree.
    Structural {
        /// The place of the right spans, seen from the left ones.
        relation: Relation,
        /// Which spans are selected.
        mode: StructuralMode,
    },
}

/// The place of the right spans of a structural operator, seen from the left ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// `>`: children of a left span.
    Child,
    /// `>>`: below a left span, at any depth.
    Descendant,
    /// `<`: the parent of a left span.
    Parent,
    /// `<<`: above a left span, at any distance.
    Ancestor,
    /// `~`: another child of the same parent.
    Sibling,
}

/// Which spans a structural operator selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StructuralMode {
    /// The right spans that have the place.
    Right,
    /// `!`: the right spans that do not.
    Negated,
    /// `&`: the right spans that have the place, and the left spans that give it to them.
    Union,
}

/// An expression over one span.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldExpr {
    /// A value.
    Static(Static),
    /// An attribute.
    Attribute(Attribute),
    /// What every span has.
    Intrinsic(Intrinsic),
    /// `-x` or `!x`.
    Unary {
        /// Which of the two.
        op: UnaryOp,
        /// The operand.
        expr: Box<FieldExpr>,
    },
    /// `x op y`.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// The left operand.
        lhs: Box<FieldExpr>,
        /// The right operand.
        rhs: Box<FieldExpr>,
    },
}

/// A prefix operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `-`
    Negate,
    /// `!`
    Not,
}

/// An infix operator over values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `&&`
    And,
    /// `||`
    Or,
    /// A comparison.
    Compare(CompareOp),
    /// A calculation.
    Arithmetic(ArithmeticOp),
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `=~`: the whole text matches.
    Regex,
    /// `!~`
    NotRegex,
}

/// A calculation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArithmeticOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
}

/// A value as it is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Static {
    /// `nil`: nothing.
    Nil,
    /// A whole number.
    Int(i64),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// Text.
    String(String),
    /// `true` or `false`.
    Bool(bool),
    /// Nanoseconds.
    Duration(i64),
    /// OpenTelemetry's status code: 0 `unset`, 1 `ok`, 2 `error`.
    Status(u8),
    /// OpenTelemetry's span kind: 0 `unspecified`, 1 `internal`, 2 `server`, 3 `client`, 4 `producer`, 5 `consumer`.
    Kind(u8),
}

/// Where an attribute is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// `.name`: on the span, else on its resource.
    Any,
    /// `resource.name`
    Resource,
    /// `span.name`
    Span,
    /// `event.name`: on any event of the span.
    Event,
    /// `link.name`: on any link of the span.
    Link,
    /// `instrumentation.name`: on the span's instrumentation scope.
    Instrumentation,
}

/// An attribute, by its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attribute {
    /// Where it is looked for.
    pub scope: Scope,
    /// Whether it is that of the span's parent.
    pub parent: bool,
    /// Its key.
    pub name: String,
}

/// What every span has, or what is known of it from its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Intrinsic {
    /// What was done.
    Name,
    /// The status code.
    Status,
    /// The status' text.
    StatusMessage,
    /// How long the span took.
    Duration,
    /// The span kind.
    Kind,
    /// The span's id, in hexadecimal digits.
    SpanId,
    /// The parent's id; nothing for a root.
    ParentId,
    /// How many children the span has.
    ChildCount,
    /// The trace's id, in hexadecimal digits.
    TraceId,
    /// From the trace's first start to its last end.
    TraceDuration,
    /// The name of the trace's root; empty where it did not arrive.
    RootName,
    /// The service of the trace's root; empty where it did not arrive.
    RootService,
    /// The name of any event.
    EventName,
    /// From the span's start to any event.
    EventTimeSinceStart,
    /// The span that any link leads to.
    LinkSpanId,
    /// The trace that any link leads to.
    LinkTraceId,
    /// The name of the instrumentation scope.
    InstrumentationName,
    /// The version of the instrumentation scope.
    InstrumentationVersion,
    /// The span's left number in the nested set model.
    NestedSetLeft,
    /// The span's right number in the nested set model.
    NestedSetRight,
    /// The left number of the span's parent; -1 for a root.
    NestedSetParent,
}

/// Every text that names an intrinsic; the first text of each is the one that is written.
pub const INTRINSICS: [(&str, Intrinsic); 34] = {
    use Intrinsic as I;
    [
        ("name", I::Name),
        ("span:name", I::Name),
        ("status", I::Status),
        ("span:status", I::Status),
        ("statusMessage", I::StatusMessage),
        ("span:statusMessage", I::StatusMessage),
        ("duration", I::Duration),
        ("span:duration", I::Duration),
        ("kind", I::Kind),
        ("span:kind", I::Kind),
        ("span:id", I::SpanId),
        ("parent", I::ParentId),
        ("span:parentID", I::ParentId),
        ("span:childCount", I::ChildCount),
        ("childCount", I::ChildCount),
        ("trace:id", I::TraceId),
        ("traceDuration", I::TraceDuration),
        ("trace:duration", I::TraceDuration),
        ("rootName", I::RootName),
        ("trace:rootName", I::RootName),
        ("rootServiceName", I::RootService),
        ("trace:rootService", I::RootService),
        ("event:name", I::EventName),
        ("event:timeSinceStart", I::EventTimeSinceStart),
        ("link:spanID", I::LinkSpanId),
        ("link:traceID", I::LinkTraceId),
        ("instrumentation:name", I::InstrumentationName),
        ("instrumentation:version", I::InstrumentationVersion),
        ("nestedSetLeft", I::NestedSetLeft),
        ("span:nestedSetLeft", I::NestedSetLeft),
        ("nestedSetRight", I::NestedSetRight),
        ("span:nestedSetRight", I::NestedSetRight),
        ("nestedSetParent", I::NestedSetParent),
        ("span:nestedSetParent", I::NestedSetParent),
    ]
};

impl Intrinsic {
    /// The intrinsic that a text names.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        INTRINSICS.iter().find(|(text, _)| *text == name).map(|(_, intrinsic)| *intrinsic)
    }

    /// The text that is written for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        let entry = INTRINSICS.iter().find(|(_, intrinsic)| *intrinsic == self);
        entry.map(|(text, _)| *text).expect("every intrinsic has a text")
    }
}

/// A comparison of values that are computed over a spanset.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalarFilter {
    /// How they are compared; never a regular expression.
    pub op: CompareOp,
    /// The left value.
    pub lhs: ScalarExpr,
    /// The right value.
    pub rhs: ScalarExpr,
}

/// A value that is computed over a spanset.
#[derive(Clone, Debug, PartialEq)]
pub enum ScalarExpr {
    /// A number or duration.
    Static(Static),
    /// `count()`, `avg(field)`, ….
    Aggregate(Aggregate),
    /// A calculation.
    Binary {
        /// The operator.
        op: ArithmeticOp,
        /// The left operand.
        lhs: Box<ScalarExpr>,
        /// The right operand.
        rhs: Box<ScalarExpr>,
    },
}

/// A function over the spans of a spanset.
#[derive(Clone, Debug, PartialEq)]
pub enum Aggregate {
    /// `count()`: how many spans there are.
    Count,
    /// A function of a value of each span that has it.
    Of(AggregateOp, FieldExpr),
}

/// A function of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    /// `avg`
    Avg,
    /// `max`
    Max,
    /// `min`
    Min,
    /// `sum`
    Sum,
}
