//! `| keep a, b="x"`: takes all other labels away; those that tell of errors stay.

use crate::ast::Selection;
use crate::pipeline::row::Row;

/// Takes the other labels away.
pub(crate) fn keep(selections: &[Selection], row: &mut Row) {
    row.retain(|name, value| {
        selections.iter().any(|selection| match selection {
            Selection::Name(kept) => kept == name,
            Selection::Matcher(matcher) => matcher.name == name && matcher.matches(value),
        })
    });
}

#[cfg(test)]
mod tests {
    use model::{Labels, MatchOp, Matcher};

    use super::*;
    use crate::pipeline::row::Category;

    #[test]
    fn keeps_by_name_and_by_value() {
        let mut row = Row::new(&Labels::from_pairs([("a", "1"), ("b", "2"), ("c", "3")]));
        row.set(Category::Parsed, "p", "x");
        row.set(Category::Parsed, "q", "y");
        let by_value = |name, value| Selection::Matcher(Matcher::new(name, MatchOp::Equal, value).unwrap());
        keep(&[Selection::Name("a".into()), by_value("b", "9"), by_value("q", "y")], &mut row);
        assert_eq!(Labels::from_pairs(row.all()).to_string(), r#"{a="1", q="y"}"#);
    }
}
