//! A condition on one label, as in `{job=~"api.*"}`.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use crate::pattern::{PatternError, translated};

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`: the whole value matches.
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// The operator as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// A condition on one label; a label that is absent has the empty value.
#[derive(Clone)]
pub struct Matcher {
    /// The label's name.
    pub name: String,
    /// How to compare.
    pub op: MatchOp,
    /// The text, or the regular expression as it was written.
    pub value: String,
    pattern: Option<Pattern>,
}

/// What an expression became.
#[derive(Clone)]
enum Pattern {
    /// Alternatives of plain text, of which there may be thousands.
    Set(Arc<HashSet<Box<str>>>),
    Regex(Regex),
}

impl Pattern {
    fn is_match(&self, value: &str) -> bool {
        match self {
            Pattern::Set(set) => set.contains(value),
            Pattern::Regex(regex) => regex.is_match(value),
        }
    }
}

/// The most memory that one compiled expression may take, in bytes.
const MAX_REGEX_BYTES: usize = 4 << 20;

impl Matcher {
    /// Makes a matcher; expressions are written as in [`crate::pattern`], they are anchored at both ends, and `.` matches a
    /// line feed too.
    ///
    /// # Errors
    /// When the expression is not valid or is too large.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, PatternError> {
        let pattern = match op {
            MatchOp::Regex | MatchOp::NotRegex => Some(match alternatives(value) {
                Some(plain) => Pattern::Set(Arc::new(plain.map(Box::from).collect())),
                None => Pattern::Regex(
                    anchored(&translated(value, true)?).map_err(|_| PatternError::too_large())?,
                ),
            }),
            MatchOp::Equal | MatchOp::NotEqual => None,
        };
        Ok(Self { name: name.to_owned(), op, value: value.to_owned(), pattern })
    }

    /// As [`Matcher::new`], of an expression in the engine's own dialect, which SQL has.
    ///
    /// # Errors
    /// When the expression is not valid or is too large.
    pub fn of_sql(name: &str, op: MatchOp, value: &str) -> Result<Self, regex::Error> {
        let pattern = match op {
            MatchOp::Regex | MatchOp::NotRegex => Some(Pattern::Regex(anchored(value)?)),
            MatchOp::Equal | MatchOp::NotEqual => None,
        };
        Ok(Self { name: name.to_owned(), op, value: value.to_owned(), pattern })
    }

    /// A matcher for equality.
    #[must_use]
    pub fn equal(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), op: MatchOp::Equal, value: value.to_owned(), pattern: None }
    }

    /// Whether a label's value (empty where it is absent) meets the condition.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        let is_match = || self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(value));
        match self.op {
            MatchOp::Equal => self.value == value,
            MatchOp::NotEqual => self.value != value,
            MatchOp::Regex => is_match(),
            MatchOp::NotRegex => !is_match(),
        }
    }

    /// Whether an absent label meets the condition.
    #[must_use]
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// For `=~` with nothing but alternatives of plain text (`a|b|c`): the alternatives.
    #[must_use]
    pub fn literal_alternatives(&self) -> Option<Vec<&str>> {
        if self.op == MatchOp::Regex { alternatives(&self.value).map(Iterator::collect) } else { None }
    }
}

/// The alternatives of an expression that has nothing but plain text in them.
fn alternatives(text: &str) -> Option<std::str::Split<'_, char>> {
    (!text.contains(|c: char| r"\.+*?()[]{}^$".contains(c))).then(|| text.split('|'))
}

fn anchored(engine: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&format!("^(?s:{engine})$")).size_limit(MAX_REGEX_BYTES).build()
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op.as_str(), self.value)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
