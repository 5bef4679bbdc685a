//! `retention_stream`: what meets a selector is kept for a period of its own.

use model::Signal;
use model::limits::KeepRule;

use super::spellings::{duration, spell_duration};
use crate::config::yaml::{Node, Value};
use crate::selector;

/// Rules of one tenant's signal: each read looks for them.
const MAX_RULES: usize = 100;

/// Reads a list of `{selector, priority, period}`; periods of minutes are good, and `0` keeps for ever.
///
/// # Errors
/// When it is none.
pub(super) fn rules(signal: Signal, node: &Node) -> Result<Vec<KeepRule>, String> {
    let items = match &node.value {
        Value::Null => return Ok(Vec::new()),
        Value::List(items) if items.len() <= MAX_RULES => items,
        Value::List(items) => return Err(format!("{} rules are too many, at most {MAX_RULES}", items.len())),
        _ => return Err(format!("{} is no list of selector, priority and period", node.describe())),
    };
    items.iter().map(|item| rule(signal, item)).collect()
}

fn rule(signal: Signal, node: &Node) -> Result<KeepRule, String> {
    let at = |what: &str| format!("line {}: {what}", node.line);
    let Value::Map(entries) = &node.value else {
        return Err(at("a rule has selector, priority and period"));
    };
    let (mut matchers, mut priority, mut period) = (None, 0, None);
    for entry in entries {
        match (entry.key.as_str(), &entry.node.value) {
            ("selector", Value::Text(text)) => {
                matchers = Some(selector::parse(signal, text).map_err(|error| at(&error))?);
            }
            ("priority", Value::Int(number)) => priority = *number,
            ("period", _) => period = Some(duration(&entry.node).map_err(|error| at(&error))?),
            ("selector", _) => return Err(at("the selector is no text: put it in quotes")),
            ("priority", _) => return Err(at("the priority is no whole number")),
            (other, _) => return Err(at(&format!("unknown key `{other}` of a rule"))),
        }
    }
    let matchers = matchers.ok_or_else(|| at("the rule has no selector"))?;
    let period_ns = period.ok_or_else(|| at("the rule has no period"))?;
    if period_ns < 0 {
        return Err(at("the period is less than nothing"));
    }
    let period_ns = (period_ns > 0).then_some(period_ns);
    Ok(KeepRule { matchers, of_everyone: false, priority, period_ns })
}

/// Rules on one line.
pub(super) fn spell(rules: &[KeepRule]) -> String {
    if rules.is_empty() {
        return "none".to_owned();
    }
    let spelled = rules.iter().map(|rule| {
        let all: Vec<String> =
            rule.matchers.iter().map(|m| format!("{}{}{:?}", m.name, m.op.as_str(), m.value)).collect();
        let period = rule.period_ns.map_or_else(|| "for ever".to_owned(), spell_duration);
        let of = if rule.of_everyone { ", of *" } else { "" };
        format!("{{{}}} {period} (priority {}{of})", all.join(", "), rule.priority)
    });
    spelled.collect::<Vec<_>>().join("; ")
}
