//! The origins of pages (`https://grafana.example`) whose requests and reading are allowed, as an operator names them.

use crate::matcher::{MatchOp, Matcher};
use crate::pattern::PatternError;

/// Origins by name and by expression; none where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    written: Vec<Matcher>,
}

/// The characters besides letters and digits that an origin has. One that is written with no others is that origin alone, although
/// a full stop is more in an expression.
const PLAIN: [char; 5] = [':', '/', '.', '-', '_'];

/// What stands for every origin.
const ANY: [&str; 2] = ["*", ".*"];

impl Origins {
    /// Reads what was written: origins, expressions in RE2's syntax that a whole origin must match, and `*` for all.
    ///
    /// # Errors
    /// When an expression is none.
    pub fn parse<S: AsRef<str>>(written: &[S]) -> Result<Self, PatternError> {
        let read = |one: &S| {
            let text = one.as_ref();
            let is_plain = text.chars().all(|c| c.is_alphanumeric() || PLAIN.contains(&c));
            match text {
                "*" => Matcher::new("origin", MatchOp::Regex, ".*"),
                _ if is_plain => Ok(Matcher::equal("origin", text)),
                _ => Matcher::new("origin", MatchOp::Regex, text),
            }
        };
        Ok(Self { written: written.iter().map(read).collect::<Result<_, _>>()? })
    }

    /// Whether no origin is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    /// Whether every origin is allowed, whatever it is.
    #[must_use]
    pub fn are_all(&self) -> bool {
        self.written.iter().any(|one| one.op == MatchOp::Regex && ANY.contains(&one.value.as_str()))
    }

    /// Whether an origin is allowed.
    #[must_use]
    pub fn allow(&self, origin: &str) -> bool {
        self.written.iter().any(|one| one.matches(origin) || one.value == origin)
    }

    /// All of it as one expression, in the words of Prometheus' flag; it is empty where no origin is allowed.
    #[must_use]
    pub fn to_expression(&self) -> String {
        let parts = self.written.iter().map(|one| match one.op {
            MatchOp::Regex => one.value.clone(),
            _ => regex::escape(&one.value),
        });
        parts.collect::<Vec<_>>().join("|")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written, some of what that allows, some of what it does not, and all of it as one expression.
    type Case = (&'static [&'static str], &'static [&'static str], &'static [&'static str], &'static str);

    #[test]
    fn origins_are_named_or_described() {
        let cases: [Case; 5] = [
            (&[], &[], &["https://a.example", ""], ""),
            (&["*"], &["https://a.example", "null"], &[], ".*"),
            (&[".*"], &["https://a.example"], &[], ".*"),
            (
                &["https://a.example", "https?://(b|c).example(:3000)?"],
                &["https://a.example", "http://c.example:3000"],
                &["https://axexample", "https://b.example.evil", "xhttps://b.example"],
                r"https://a\.example|https?://(b|c).example(:3000)?",
            ),
            (&["https://[::1]:3000"], &["https://[::1]:3000"], &["https://a"], "https://[::1]:3000"),
        ];
        for (written, allowed, others, expression) in cases {
            let origins = Origins::parse(written).unwrap();
            allowed.iter().for_each(|origin| assert!(origins.allow(origin), "{written:?} {origin}"));
            others.iter().for_each(|origin| assert!(!origins.allow(origin), "{written:?} {origin}"));
            assert_eq!(origins.to_expression(), expression);
            assert_eq!((origins.is_empty(), origins.are_all()), (written.is_empty(), expression == ".*"));
        }
        assert!(Origins::parse(&["https://("]).is_err());
    }
}
