//! `| unpack`: undoes Promtail's `pack`: the texts of an object become labels, its `_entry` becomes the line.

use std::borrow::Cow;

use crate::pipeline::json::{JSON_ERROR, JsonError, Scanner, Value, unescape};
use crate::pipeline::row::{Category, Row};
use crate::pipeline::wanted::Wanted;

/// The member that holds the line.
const ENTRY: &str = "_entry";

/// Sets the labels and gives the line.
pub(crate) fn unpack<'l>(line: Cow<'l, str>, row: &mut Row, wanted: &Wanted) -> Cow<'l, str> {
    match read(&line, row, wanted) {
        Ok(Some(entry)) => Cow::Owned(entry),
        Ok(None) => line,
        Err(error) => {
            row.fail(JSON_ERROR, &error.to_string());
            line
        }
    }
}

fn read(line: &str, row: &mut Row, wanted: &Wanted) -> Result<Option<String>, JsonError> {
    let mut scanner = Scanner::new(line);
    scanner.at_object()?;
    let mut members = Vec::new();
    while let Some(name) = scanner.next_member(members.len())? {
        members.push((name, scanner.value()?));
    }
    scanner.end()?;
    let mut entry = None;
    for (name, value) in members {
        let Value::Text(raw) = value else { continue };
        let (name, text) = (unescape(name), unescape(raw));
        if name == ENTRY {
            entry = Some(text.into_owned());
        } else if wanted.accepts(&name) {
            row.extract(Category::Parsed, &name, &text);
        }
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use model::Labels;

    use super::*;

    #[test]
    fn texts_and_entry_come_out() {
        for (line, expected_line, expected) in [
            (r#"{"pod":"p1","n":3,"_entry":"the \"line\""}"#, "the \"line\"", r#"{app="web", pod="p1"}"#),
            (r#"{"app":"x"}"#, r#"{"app":"x"}"#, r#"{app="web", app_extracted="x"}"#),
            ("text", "text", r#"{__error__="JSONParserErr", app="web"}"#),
        ] {
            let mut row = Row::new(&Labels::from_pairs([("app", "web")]));
            assert_eq!(unpack(Cow::Borrowed(line), &mut row, &Wanted::all()), expected_line);
            row.remove("__error_details__");
            assert_eq!(Labels::from_pairs(row.all()).to_string(), expected);
        }
    }
}
