//! `| regexp "(?P<name>…)"`: the named groups of an expression as labels.

use model::pattern::{PatternError, translated, written_name};
use regex::{Regex, RegexBuilder};

use crate::pipeline::row::{Category, Row};
use crate::pipeline::wanted::Wanted;

/// The most memory that one compiled expression may take, in bytes.
pub(crate) const MAX_REGEX_BYTES: usize = 4 << 20;

/// Compiles an expression that is not anchored.
pub(crate) fn compile(text: &str) -> Result<Regex, String> {
    let engine = translated(text, false).map_err(|error| error.to_string())?;
    let built = RegexBuilder::new(&engine).size_limit(MAX_REGEX_BYTES).build();
    built.map_err(|_| PatternError::too_large().to_string())
}

/// The stage.
#[derive(Debug)]
pub(crate) struct Regexp {
    regex: Regex,
    names: Vec<(usize, String)>,
}

impl Regexp {
    /// Compiles the stage; the error says what is wrong with the expression.
    pub(crate) fn new(text: &str, wanted: &Wanted) -> Result<Self, String> {
        let regex = compile(text)?;
        let names: Vec<(usize, String)> = regex
            .capture_names()
            .enumerate()
            .filter_map(|(i, name)| name.map(|name| (i, written_name(name).to_owned())))
            .collect();
        if names.is_empty() {
            return Err("at least one named capture must be supplied".into());
        }
        if let Some((_, bad)) = names.iter().find(|(_, name)| !is_label_name(name)) {
            return Err(format!("invalid extracted label name '{bad}'"));
        }
        let is_again = |i: usize| names[..i].iter().any(|(_, name)| *name == names[i].1);
        if let Some(again) = (0..names.len()).find(|i| is_again(*i)) {
            return Err(format!("duplicate extracted label name '{}'", names[again].1));
        }
        Ok(Self { regex, names: names.into_iter().filter(|(_, name)| wanted.accepts(name)).collect() })
    }

    /// Sets the labels.
    pub(crate) fn apply(&self, line: &str, row: &mut Row) {
        let mut locations = self.regex.capture_locations();
        if self.regex.captures_read(&mut locations, line).is_none() {
            return;
        }
        for (group, name) in &self.names {
            if let Some((start, end)) = locations.get(*group) {
                row.extract(Category::Parsed, name, &line[start..end]);
            }
        }
    }
}

/// Whether a text may be a label's name.
pub(crate) fn is_label_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use model::Labels;

    use super::*;

    #[test]
    fn named_groups_become_labels() {
        let stage = Regexp::new(r"(?P<method>\w+) (?P<app>\S+)( (?P<more>x))?", &Wanted::all()).unwrap();
        let mut row = Row::new(&Labels::from_pairs([("app", "web")]));
        stage.apply("GET /a y", &mut row);
        let got = Labels::from_pairs(row.all()).to_string();
        assert_eq!(got, r#"{app="web", app_extracted="/a", method="GET"}"#);
        row.reset(0);
        stage.apply("", &mut row);
        assert!(row.is_plain());
    }

    #[test]
    fn refuses_what_names_nothing() {
        for (text, error) in [
            ("(x)", "at least one named capture must be supplied"),
            ("(?P<a", "error parsing regexp"),
            ("(?P<1>x)", "invalid extracted label name '1'"),
            ("(?P<a>x)(?P<b>y)(?P<a>z)", "duplicate extracted label name 'a'"),
            (r"\w{1000}{1000}{1000}(?P<a>x)", "error parsing regexp"),
        ] {
            assert!(Regexp::new(text, &Wanted::all()).unwrap_err().starts_with(error), "{text}");
        }
    }
}
