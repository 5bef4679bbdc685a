//! `| drop a, b="x"`: takes labels away, some only where their value matches.

use crate::ast::Selection;
use crate::pipeline::row::Row;

/// Takes the labels away.
pub(crate) fn drop(selections: &[Selection], row: &mut Row) {
    for selection in selections {
        match selection {
            Selection::Name(name) => row.remove(name),
            Selection::Matcher(matcher) => {
                if row.get(&matcher.name).is_some_and(|value| matcher.matches(value)) {
                    row.remove(&matcher.name);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Labels, MatchOp, Matcher};

    use super::*;

    #[test]
    fn drops_by_name_and_by_value() {
        let mut row = Row::new(&Labels::from_pairs([("a", "1"), ("b", "2"), ("c", "3")]));
        row.fail("JSONParserErr", "x");
        let by_value = |name, value| Selection::Matcher(Matcher::new(name, MatchOp::Regex, value).unwrap());
        let name = |name: &str| Selection::Name(name.into());
        drop(
            &[name("a"), by_value("b", "9|2"), by_value("c", "4"), name("__error__"), name("absent")],
            &mut row,
        );
        row.remove("__error_details__");
        assert_eq!(Labels::from_pairs(row.all()).to_string(), r#"{c="3"}"#);
    }
}
