//! A condition on one label, as in `{job=~"api.*"}`.

use std::fmt;

use regex::Regex;

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
    regex: Option<Regex>,
}

/// The most memory that one compiled expression may take, in bytes.
const MAX_REGEX_BYTES: usize = 4 << 20;

impl Matcher {
    /// Makes a matcher; expressions are anchored at both ends and `.` matches a line feed too.
    ///
    /// # Errors
    /// When the expression is not valid or is too large.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, regex::Error> {
        let regex = match op {
            MatchOp::Regex | MatchOp::NotRegex => Some(
                regex::RegexBuilder::new(&format!("^(?s:{value})$")).size_limit(MAX_REGEX_BYTES).build()?,
            ),
            MatchOp::Equal | MatchOp::NotEqual => None,
        };
        Ok(Self { name: name.to_owned(), op, value: value.to_owned(), regex })
    }

    /// A matcher for equality.
    #[must_use]
    pub fn equal(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), op: MatchOp::Equal, value: value.to_owned(), regex: None }
    }

    /// Whether a label's value (empty where it is absent) meets the condition.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        let is_match = || self.regex.as_ref().is_some_and(|regex| regex.is_match(value));
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
        let plain = |text: &str| !text.contains(|c: char| r"\.+*?()[]{}^$".contains(c));
        (self.op == MatchOp::Regex && plain(&self.value)).then(|| self.value.split('|').collect())
    }
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
