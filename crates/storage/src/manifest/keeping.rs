//! What a manifest says beside its segments: what is to be deleted, what may not go, and how long rows are kept.
//!
//! Only data: what it means for a row is in [`crate::hidden`].

use std::collections::BTreeMap;

use model::limits::KeepRule;
use model::{MatchOp, Matcher, TimeRange};
use serde::{Deserialize, Serialize};

use crate::error::StorageError;

/// A condition on a label, or on an attribute of a span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The label; of spans `name`, `resource.<key>`, `span.<key>`, or a key of either.
    pub name: String,
    /// `=`, `!=`, `=~` or `!~`.
    pub op: String,
    /// The text or the regular expression.
    pub value: String,
}

impl Condition {
    /// A matcher as it is stored.
    #[must_use]
    pub fn of(matcher: &Matcher) -> Self {
        Self { name: matcher.name.clone(), op: matcher.op.as_str().to_owned(), value: matcher.value.clone() }
    }

    /// The matcher.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] where it is none.
    pub fn matcher(&self) -> Result<Matcher, StorageError> {
        let corrupt = |reason: String| StorageError::corrupt("a selector of a manifest", reason);
        let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
        let op = ops.into_iter().find(|op| op.as_str() == self.op);
        let op = op.ok_or_else(|| corrupt(format!("unknown operator `{}`", self.op)))?;
        Matcher::new(&self.name, op, &self.value).map_err(|error| corrupt(error.to_string()))
    }
}

/// The matchers of stored conditions.
///
/// # Errors
/// [`StorageError::Corrupt`] where one is none.
pub fn matchers(conditions: &[Condition]) -> Result<Vec<Matcher>, StorageError> {
    conditions.iter().map(Condition::matcher).collect()
}

/// Conditions as they are written: `{app="web", level=~"warn|error"}`.
#[must_use]
pub fn selector(conditions: &[Condition]) -> String {
    let all: Vec<String> = conditions.iter().map(|c| format!("{}{}{:?}", c.name, c.op, c.value)).collect();
    format!("{{{}}}", all.join(", "))
}

/// How the text of a line is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LineOp {
    /// It has one of the texts.
    #[serde(rename = "|=")]
    Contains,
    /// It has none of the texts.
    #[serde(rename = "!=")]
    Lacks,
    /// It matches one of the regular expressions.
    #[serde(rename = "|~")]
    Matches,
    /// It matches none of the regular expressions.
    #[serde(rename = "!~")]
    Differs,
}

/// A condition on a line's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineTest {
    /// How to look.
    pub op: LineOp,
    /// What to look for.
    pub texts: Vec<String>,
}

/// Rows that were there when somebody asked for their deletion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// Its number: deletions of a tenant's signal are numbered from 1.
    pub number: u64,
    /// A ULID.
    pub id: String,
    /// What was asked for, as it was written.
    pub query: String,
    /// Series, streams or spans that meet all of these; all where there are none.
    pub conditions: Vec<Condition>,
    /// Lines that meet all of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<LineTest>,
    /// Lines whose labels, structured metadata among them, meet all of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Condition>,
    /// The first moment of the rows.
    pub start_ns: i64,
    /// The last moment of the rows.
    pub end_ns: i64,
    /// Who asked.
    pub actor: String,
    /// When.
    pub requested_ns: i64,
    /// Until then it can be taken back, and segments are not rewritten.
    pub due_ns: i64,
    /// Since when no segment has its rows; none before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processed_ns: Option<i64>,
}

impl Deletion {
    /// The time of the rows.
    #[must_use]
    pub const fn range(&self) -> TimeRange {
        TimeRange::new(self.start_ns, self.end_ns)
    }
}

/// What a hold is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldKind {
    /// Somebody needs the rows.
    Hold,
    /// An incident is looked into.
    Incident,
}

/// Rows that may not go, neither by retention nor by a deletion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// A ULID; the same one in the manifests of all signals that are held.
    pub id: String,
    /// What it is for.
    pub kind: HoldKind,
    /// Series, streams or spans that meet all of these; all where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The first moment of the rows.
    pub start_ns: i64,
    /// The last moment of the rows.
    pub end_ns: i64,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub actor: String,
    /// When.
    pub since_ns: i64,
    /// When it ends by itself; none for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ns: Option<i64>,
    /// What else was said of it, by name: the severity of an incident, say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, String>,
}

impl Hold {
    /// The time of the rows.
    #[must_use]
    pub const fn range(&self) -> TimeRange {
        TimeRange::new(self.start_ns, self.end_ns)
    }

    /// Whether it has not ended by itself.
    #[must_use]
    pub fn is_active(&self, now_ns: i64) -> bool {
        self.until_ns.is_none_or(|until_ns| now_ns < until_ns)
    }
}

/// What meets a selector is kept for a period of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRule {
    /// What it is for.
    pub conditions: Vec<Condition>,
    /// Of the rules that fit the one with the highest holds.
    pub priority: i64,
    /// The period in nanoseconds; none for ever.
    pub kept_ns: Option<i64>,
}

/// How long rows are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// What no rule is for, in nanoseconds; none for ever.
    pub kept_ns: Option<i64>,
    /// By falling priority.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<PolicyRule>,
}

impl Policy {
    /// The policy of a period and rules: a tenant's own before those of everyone, and of rules with the same priority the
    /// first one holds.
    #[must_use]
    pub fn of(kept_ns: Option<i64>, rules: &[KeepRule]) -> Self {
        let rule = |rule: &KeepRule| PolicyRule {
            conditions: rule.matchers.iter().map(Condition::of).collect(),
            priority: rule.priority,
            kept_ns: rule.period_ns,
        };
        let mut rules: Vec<&KeepRule> = rules.iter().collect();
        rules.sort_by_key(|rule| (rule.of_everyone, std::cmp::Reverse(rule.priority)));
        Self { kept_ns, rules: rules.into_iter().map(rule).collect() }
    }

    /// The longest of its periods; none where something is kept for ever.
    #[must_use]
    pub fn longest_ns(&self) -> Option<i64> {
        let rules = self.rules.iter().map(|rule| rule.kept_ns);
        let all: Option<Vec<i64>> = rules.chain([self.kept_ns]).collect();
        all?.into_iter().max()
    }

    /// Whether nothing goes sooner than by another policy. Where rules differ in more than their periods nobody can tell.
    #[must_use]
    pub fn keeps_all_of(&self, other: &Self) -> bool {
        let is_longer = |a: Option<i64>, b: Option<i64>| match (a, b) {
            (None, _) => true,
            (Some(a), Some(b)) => a >= b,
            (Some(_), None) => false,
        };
        let same = self.rules.len() == other.rules.len()
            && self.rules.iter().zip(&other.rules).all(|(a, b)| {
                (&a.conditions, a.priority) == (&b.conditions, b.priority) && is_longer(a.kept_ns, b.kept_ns)
            });
        let shortest = self.rules.iter().map(|rule| rule.kept_ns).chain([self.kept_ns]).flatten().min();
        let is_longer_everywhere = is_longer(shortest, other.longest_ns());
        is_longer_everywhere || (same && is_longer(self.kept_ns, other.kept_ns))
    }
}

/// The policy that holds, and the one that follows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retained {
    /// What holds.
    pub policy: Policy,
    /// What was said since and keeps less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextPolicy>,
}

/// A policy that keeps less than the one before it, and acts later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextPolicy {
    /// What will hold.
    pub policy: Policy,
    /// From when on.
    pub from_ns: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(kept_ns: Option<i64>, rules: &[(&str, i64, Option<i64>)]) -> Policy {
        let rule = |(app, priority, period_ns): &(&str, i64, Option<i64>)| KeepRule {
            matchers: vec![Matcher::equal("app", app)],
            of_everyone: false,
            priority: *priority,
            period_ns: *period_ns,
        };
        Policy::of(kept_ns, &rules.iter().map(rule).collect::<Vec<_>>())
    }

    #[test]
    fn a_policy_knows_whether_it_keeps_all_that_another_keeps() {
        let plain = policy(Some(10), &[]);
        assert!(plain.keeps_all_of(&plain) && policy(None, &[]).keeps_all_of(&plain));
        assert!(!plain.keeps_all_of(&policy(Some(11), &[])) && !plain.keeps_all_of(&policy(None, &[])));
        let with_rule = policy(Some(10), &[("web", 1, Some(5))]);
        assert!(plain.keeps_all_of(&with_rule) && !with_rule.keeps_all_of(&plain));
        assert!(policy(Some(10), &[("web", 1, Some(6))]).keeps_all_of(&with_rule));
        assert!(!policy(Some(10), &[("web", 1, Some(4))]).keeps_all_of(&with_rule));
        assert!(!policy(Some(10), &[("api", 1, Some(5))]).keeps_all_of(&with_rule));
        assert_eq!(with_rule.longest_ns(), Some(10));
        assert_eq!(policy(Some(10), &[("web", 1, None)]).longest_ns(), None);
    }

    #[test]
    fn a_tenants_own_rules_go_before_those_of_everyone() {
        let rule = |app: &str, of_everyone, priority| KeepRule {
            matchers: vec![Matcher::equal("app", app)],
            of_everyone,
            priority,
            period_ns: None,
        };
        let rules =
            [rule("all", true, 9), rule("low", false, 1), rule("high", false, 2), rule("more", true, 9)];
        let policy = Policy::of(Some(1), &rules);
        let order = policy.rules.iter().map(|rule| rule.conditions[0].value.as_str());
        assert_eq!(order.collect::<Vec<_>>(), ["high", "low", "all", "more"]);
    }

    #[test]
    fn conditions_are_written_as_selectors() {
        let matchers =
            [Matcher::equal("app", "we\"b"), Matcher::new("level", MatchOp::NotRegex, "info|debug").unwrap()];
        let conditions: Vec<Condition> = matchers.iter().map(Condition::of).collect();
        assert_eq!(selector(&conditions), r#"{app="we\"b", level!~"info|debug"}"#);
        assert_eq!(super::matchers(&conditions).unwrap(), matchers);
        let broken = Condition { op: "==".to_owned(), ..conditions[0].clone() };
        assert!(broken.matcher().is_err());
    }
}
