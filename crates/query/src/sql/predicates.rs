//! What conditions of a query say about where to look: a range of time, matchers of labels, a trace, a service, texts
//! that lines contain. What is said is never narrower than the condition; whether it is the condition itself is told.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Like, Operator};
use model::labels::METRIC_NAME;
use model::time::{NS_PER_MS, NS_PER_S};
use model::{MatchOp, Matcher, TimeRange};

use super::tables::TableName;

/// More traces than this are looked for as a range of ids.
pub(crate) const MAX_TRACE_IDS: usize = 256;

/// Where the rows are that meet conditions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    /// When they happened.
    pub(crate) range: TimeRange,
    /// What their labels meet.
    pub(crate) matchers: Vec<Matcher>,
    /// Texts that their lines contain.
    pub(crate) needles: Vec<String>,
    /// The traces that they are of, sorted; none where they may be of any.
    pub(crate) trace_ids: Option<Vec<[u8; 16]>>,
    /// The service that they are of.
    pub(crate) service: Option<String>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            range: TimeRange::ALL,
            matchers: Vec::new(),
            needles: Vec::new(),
            trace_ids: None,
            service: None,
        }
    }
}

/// What one condition says.
struct Said {
    wanted: Wanted,
    /// Whether exactly the rows that are wanted meet the condition.
    is_exact: bool,
}

impl Said {
    fn exactly(wanted: Wanted) -> Self {
        Self { wanted, is_exact: true }
    }

    fn at_most(wanted: Wanted) -> Self {
        Self { wanted, is_exact: false }
    }

    fn nothing() -> Self {
        Self::at_most(Wanted::default())
    }
}

impl Wanted {
    /// Where the rows of a table are that meet all conditions.
    pub(crate) fn by(table: TableName, conditions: &[Expr]) -> Self {
        let all = conditions.iter().map(|condition| said(table, condition).wanted);
        all.reduce(Wanted::and).unwrap_or_default()
    }

    /// Whether a condition is met by exactly the rows that it makes wanted; none where it says nothing.
    pub(crate) fn is_exact(table: TableName, condition: &Expr) -> Option<bool> {
        let said = said(table, condition);
        (said.wanted != Wanted::default()).then_some(said.is_exact)
    }

    /// The same, of a time alone.
    pub(crate) fn within(self, range: TimeRange) -> Self {
        self.and(Self { range, ..Self::default() })
    }

    fn and(mut self, other: Self) -> Self {
        self.range = TimeRange::new(
            self.range.start_ns.max(other.range.start_ns),
            self.range.end_ns.min(other.range.end_ns),
        );
        self.matchers.extend(other.matchers);
        self.needles.extend(other.needles);
        self.trace_ids = match (self.trace_ids, other.trace_ids) {
            (Some(mut own), Some(others)) => {
                own.retain(|id| others.binary_search(id).is_ok());
                Some(own)
            }
            (own, others) => own.or(others),
        };
        self.service = self.service.or(other.service);
        self
    }

    /// What either of two wants, as far as it can be said together.
    fn or(self, other: Self) -> Self {
        let range = TimeRange::new(
            self.range.start_ns.min(other.range.start_ns),
            self.range.end_ns.max(other.range.end_ns),
        );
        let trace_ids = self.trace_ids.zip(other.trace_ids).map(|(own, others)| {
            let mut ids = [own, others].concat();
            ids.sort_unstable();
            ids.dedup();
            ids
        });
        let service = self.service.filter(|own| other.service.as_ref() == Some(own));
        Self { range, trace_ids, service, ..Self::default() }
    }
}

fn said(table: TableName, condition: &Expr) -> Said {
    match condition {
        Expr::Alias(alias) => said(table, &alias.expr),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            let (left, right) = (said(table, left), said(table, right));
            Said { is_exact: left.is_exact && right.is_exact, wanted: left.wanted.and(right.wanted) }
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Said::at_most(said(table, left).wanted.or(said(table, right).wanted))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (literal(left), literal(right)) {
            (None, Some(value)) => compared(table, left, *op, value),
            (Some(value), None) => match op.swap() {
                Some(op) => compared(table, right, op, value),
                None => Said::nothing(),
            },
            _ => Said::nothing(),
        },
        Expr::Between(Between { expr, negated: false, low, high }) => match (literal(low), literal(high)) {
            (Some(low), Some(high)) => {
                let low = compared(table, expr, Operator::GtEq, low);
                let high = compared(table, expr, Operator::LtEq, high);
                Said { is_exact: low.is_exact && high.is_exact, wanted: low.wanted.and(high.wanted) }
            }
            _ => Said::nothing(),
        },
        Expr::InList(list) => one_of(table, list),
        Expr::Like(like) => alike(table, like),
        Expr::IsNotNull(of) => presence(table, of, MatchOp::NotEqual),
        Expr::IsNull(of) => presence(table, of, MatchOp::Equal),
        Expr::ScalarFunction(call) => called(table, call),
        _ => Said::nothing(),
    }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) if !value.is_null() => Some(value),
        _ => None,
    }
}

/// What a column of the table means here.
enum Subject {
    Timestamp,
    Label(String),
    Line,
    TraceId,
    Service,
}

/// The column that an expression is, through casts that change no value.
fn subject(table: TableName, expr: &Expr) -> Option<Subject> {
    match expr {
        Expr::Column(column) => match (table, column.name.as_str()) {
            (_, "timestamp") => Some(Subject::Timestamp),
            (TableName::Metrics, "name") => Some(Subject::Label(METRIC_NAME.to_owned())),
            (TableName::Logs, "line") => Some(Subject::Line),
            (TableName::Traces, "trace_id") => Some(Subject::TraceId),
            (TableName::Traces, "service") => Some(Subject::Service),
            _ => None,
        },
        // From milliseconds to nanoseconds, or from one text to another; other casts lose something.
        Expr::Cast(cast) => match (subject(table, &cast.expr)?, cast.field.data_type()) {
            (Subject::Timestamp, DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, Some(zone)))
                if is_utc(zone) =>
            {
                Some(Subject::Timestamp)
            }
            (Subject::Timestamp, _) => None,
            (subject, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => Some(subject),
            _ => None,
        },
        Expr::ScalarFunction(call) if call.func.name() == "get_field" => match call.args.as_slice() {
            [Expr::Column(column), key] if column.name == "labels" && table != TableName::Traces => {
                let key = literal(key)?.try_as_str().flatten()?;
                // The name of a metric is a column and not among its labels.
                (key != METRIC_NAME || table == TableName::Logs).then(|| Subject::Label(key.to_owned()))
            }
            [Expr::Column(column), key] if column.name == "resource" && table == TableName::Traces => {
                (literal(key)?.try_as_str().flatten()? == "service.name").then_some(Subject::Service)
            }
            _ => None,
        },
        _ => None,
    }
}

fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "+00:00" | "Z")
}

/// A moment in nanoseconds; none where it is not one, or its zone is not told.
fn nanoseconds(value: &ScalarValue) -> Option<i64> {
    let (value, factor, zone) = match value {
        ScalarValue::TimestampSecond(Some(value), zone) => (*value, NS_PER_S, zone),
        ScalarValue::TimestampMillisecond(Some(value), zone) => (*value, NS_PER_MS, zone),
        ScalarValue::TimestampMicrosecond(Some(value), zone) => (*value, NS_PER_MS / 1_000, zone),
        ScalarValue::TimestampNanosecond(Some(value), zone) => (*value, 1, zone),
        _ => return None,
    };
    zone.as_ref()?;
    value.checked_mul(factor)
}

fn compared(table: TableName, expr: &Expr, op: Operator, value: &ScalarValue) -> Said {
    match subject(table, expr) {
        Some(Subject::Timestamp) => match nanoseconds(value) {
            Some(ns) => of_time(op, ns),
            None => Said::nothing(),
        },
        Some(subject) => match value.try_as_str().flatten() {
            Some(text) => of_text(&subject, op, text),
            None => Said::nothing(),
        },
        None => Said::nothing(),
    }
}

fn of_time(op: Operator, ns: i64) -> Said {
    let (start_ns, end_ns) = match op {
        Operator::Eq => (ns, ns),
        Operator::Gt if ns == i64::MAX => (i64::MAX, i64::MIN),
        Operator::Gt => (ns + 1, i64::MAX),
        Operator::GtEq => (ns, i64::MAX),
        Operator::Lt if ns == i64::MIN => (i64::MAX, i64::MIN),
        Operator::Lt => (i64::MIN, ns - 1),
        Operator::LtEq => (i64::MIN, ns),
        _ => return Said::nothing(),
    };
    Said::exactly(Wanted { range: TimeRange::new(start_ns, end_ns), ..Wanted::default() })
}

fn of_text(subject: &Subject, op: Operator, text: &str) -> Said {
    match subject {
        Subject::Label(name) => of_label(name, op, text),
        Subject::TraceId if op == Operator::Eq => match trace_id(text) {
            Some(id) => Said::exactly(Wanted { trace_ids: Some(vec![id]), ..Wanted::default() }),
            None => Said::nothing(),
        },
        Subject::Service if op == Operator::Eq => {
            Said::at_most(Wanted { service: Some(text.to_owned()), ..Wanted::default() })
        }
        Subject::Line if op == Operator::Eq => contains(text),
        Subject::TraceId | Subject::Service | Subject::Line | Subject::Timestamp => Said::nothing(),
    }
}

fn matching(matcher: Matcher) -> Wanted {
    Wanted { matchers: vec![matcher], ..Wanted::default() }
}

/// A label that is absent is null, and null meets no comparison; to the store it is empty. A metric without a name
/// has an empty one in both.
fn of_label(name: &str, op: Operator, text: &str) -> Said {
    let may_be_empty = name == METRIC_NAME;
    let made = |op, text: &str| Matcher::of_sql(name, op, text).map(matching);
    match op {
        Operator::Eq if text.is_empty() && !may_be_empty => Said::nothing(),
        Operator::Eq => Said::exactly(matching(Matcher::equal(name, text))),
        Operator::NotEq => match made(MatchOp::NotEqual, text) {
            Ok(wanted) => Said { wanted, is_exact: may_be_empty },
            Err(_) => Said::nothing(),
        },
        Operator::RegexMatch => searched(name, MatchOp::Regex, text, ""),
        Operator::RegexIMatch => searched(name, MatchOp::Regex, text, "i"),
        Operator::RegexNotMatch => searched(name, MatchOp::NotRegex, text, ""),
        Operator::RegexNotIMatch => searched(name, MatchOp::NotRegex, text, "i"),
        _ => Said::nothing(),
    }
}

/// A regular expression that is found anywhere in the value, as SQL has it.
fn searched(name: &str, op: MatchOp, pattern: &str, flags: &str) -> Said {
    // Alone first: one that is not whole must not become whole by what is put around it.
    if Matcher::of_sql(name, op, pattern).is_err() {
        return Said::nothing();
    }
    match Matcher::of_sql(name, op, &format!("(?s:.*)(?{flags}-s:{pattern})(?s:.*)")) {
        Ok(matcher) => Said::at_most(matching(matcher)),
        Err(_) => Said::nothing(),
    }
}

fn trace_id(text: &str) -> Option<[u8; 16]> {
    let digits = text.as_bytes();
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        // The column is in lower case: an id in upper case is equal to none.
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let mut id = [0; 16];
    if digits.len() != 32 {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(id)
}

fn one_of(table: TableName, list: &InList) -> Said {
    let Some(subject) = subject(table, &list.expr) else { return Said::nothing() };
    let values: Option<Vec<&ScalarValue>> = list.list.iter().map(literal).collect();
    let Some(values) = values else { return Said::nothing() };
    let texts = || values.iter().map(|value| value.try_as_str().flatten()).collect::<Option<Vec<&str>>>();
    match subject {
        Subject::Timestamp if !list.negated => {
            let moments: Option<Vec<i64>> = values.iter().map(|value| nanoseconds(value)).collect();
            let moments = moments.unwrap_or_default();
            let hull = moments.iter().min().zip(moments.iter().max());
            let range = hull.map_or(TimeRange::ALL, |(first, last)| TimeRange::new(*first, *last));
            Said::at_most(Wanted { range, ..Wanted::default() })
        }
        Subject::Label(name) => {
            let Some(texts) = texts() else { return Said::nothing() };
            if texts.iter().any(|text| text.is_empty()) {
                return Said::nothing();
            }
            let pattern: Vec<String> = texts.iter().map(|text| regex::escape(text)).collect();
            let op = if list.negated { MatchOp::NotRegex } else { MatchOp::Regex };
            match Matcher::of_sql(&name, op, &format!("(?-s:{})", pattern.join("|"))) {
                Ok(matcher) => Said { wanted: matching(matcher), is_exact: !list.negated },
                Err(_) => Said::nothing(),
            }
        }
        Subject::TraceId if !list.negated => {
            let ids = texts().map(|texts| texts.into_iter().map(trace_id).collect::<Option<Vec<_>>>());
            match ids.flatten() {
                Some(mut ids) => {
                    ids.sort_unstable();
                    ids.dedup();
                    let is_exact = ids.len() <= MAX_TRACE_IDS;
                    Said { wanted: Wanted { trace_ids: Some(ids), ..Wanted::default() }, is_exact }
                }
                None => Said::nothing(),
            }
        }
        _ => Said::nothing(),
    }
}

/// A pattern of LIKE as pieces of plain text between what it leaves open, and as a regular expression. None where it
/// escapes something.
fn like_pieces(pattern: &str, escape: Option<char>) -> Option<(Vec<String>, String)> {
    if escape.is_some() || pattern.contains('\\') {
        return None;
    }
    let pieces = pattern.split(['%', '_']).filter(|piece| !piece.is_empty()).map(str::to_owned).collect();
    let mut regex = String::with_capacity(pattern.len() + 8);
    for c in pattern.chars() {
        match c {
            '%' => regex.push_str("(?s:.*)"),
            '_' => regex.push_str("(?s:.)"),
            plain => regex.push_str(&regex::escape(plain.encode_utf8(&mut [0; 4]))),
        }
    }
    Some((pieces, regex))
}

fn alike(table: TableName, like: &Like) -> Said {
    let pattern = literal(&like.pattern).and_then(|pattern| pattern.try_as_str().flatten());
    let Some((subject, pattern)) = subject(table, &like.expr).zip(pattern) else { return Said::nothing() };
    let Some((needles, regex)) = like_pieces(pattern, like.escape_char) else { return Said::nothing() };
    match subject {
        Subject::Line if !like.negated && !like.case_insensitive => {
            Said::at_most(Wanted { needles, ..Wanted::default() })
        }
        Subject::Label(name) => {
            let op = if like.negated { MatchOp::NotRegex } else { MatchOp::Regex };
            let flags = if like.case_insensitive { "i" } else { "" };
            match Matcher::of_sql(&name, op, &format!("(?{flags}-s:{regex})")) {
                Ok(matcher) => Said::at_most(matching(matcher)),
                Err(_) => Said::nothing(),
            }
        }
        _ => Said::nothing(),
    }
}

fn contains(text: &str) -> Said {
    match text.is_empty() {
        true => Said::nothing(),
        false => Said::at_most(Wanted { needles: vec![text.to_owned()], ..Wanted::default() }),
    }
}

/// Functions of a line that hold only where it contains their text.
fn called(table: TableName, call: &ScalarFunction) -> Said {
    let is_search = matches!(call.func.name(), "contains" | "starts_with" | "ends_with");
    match call.args.as_slice() {
        [of, text] if is_search && matches!(subject(table, of), Some(Subject::Line)) => {
            literal(text).and_then(|text| text.try_as_str().flatten()).map_or_else(Said::nothing, contains)
        }
        _ => Said::nothing(),
    }
}

fn presence(table: TableName, of: &Expr, op: MatchOp) -> Said {
    match subject(table, of) {
        Some(Subject::Label(name)) if name != METRIC_NAME => match Matcher::of_sql(&name, op, "") {
            Ok(matcher) => Said::exactly(matching(matcher)),
            Err(_) => Said::nothing(),
        },
        _ => Said::nothing(),
    }
}
