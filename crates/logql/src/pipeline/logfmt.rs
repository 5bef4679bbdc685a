//! `| logfmt`: `key=value` pairs as labels; or only those that expressions name.

use std::borrow::Cow;

use crate::ast;
use crate::pipeline::json::JsonPath;
use crate::pipeline::row::{Category, Row};
use crate::pipeline::wanted::Wanted;

/// The error label of a line that `--strict` refuses.
const LOGFMT_ERROR: &str = "LogfmtParserErr";

/// The stage.
#[derive(Debug)]
pub(crate) struct Logfmt {
    strict: bool,
    keep_empty: bool,
    fields: Vec<ast::Extraction>,
    wanted: Wanted,
}

impl Logfmt {
    /// Compiles the stage; the error names the key that is none.
    pub(crate) fn new(stage: &ast::Logfmt, wanted: Wanted) -> Result<Self, String> {
        for field in &stage.fields {
            if JsonPath::parse(&field.source).is_none() {
                return Err(format!(
                    "cannot parse expression [{}]: unexpected character or missing name",
                    field.source
                ));
            }
        }
        let ast::Logfmt { strict, keep_empty, fields } = stage.clone();
        Ok(Self { strict, keep_empty, fields, wanted })
    }

    /// Sets the labels.
    pub(crate) fn apply(&self, line: &str, row: &mut Row) {
        let mut name = String::new();
        for pair in Pairs::new(line) {
            match pair {
                Ok((key, value)) => self.pair(key, &value, &mut name, row),
                Err(offset) if self.strict => {
                    row.fail(LOGFMT_ERROR, &format!("logfmt syntax error at pos {}", offset + 1));
                    return;
                }
                Err(_) => {}
            }
        }
        if self.keep_empty {
            for field in &self.fields {
                if self.wanted.accepts(&field.label) && row.get(&field.label).is_none() {
                    row.extract(Category::Parsed, &field.label, "");
                }
            }
        }
    }

    fn pair(&self, key: &str, value: &str, name: &mut String, row: &mut Row) {
        if value.is_empty() && !self.keep_empty {
            return;
        }
        for field in self.fields.iter().filter(|f| f.source == key && self.wanted.accepts(&f.label)) {
            row.extract(Category::Parsed, &field.label, value);
        }
        if self.fields.is_empty() {
            name.clear();
            crate::pipeline::json::push_label_name(name, key);
            if self.wanted.accepts(name) {
                row.extract(Category::Parsed, name, value);
            }
        }
    }
}

/// The pairs of a line; an error is the offset of what is none.
struct Pairs<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Pairs<'a> {
    fn new(line: &'a str) -> Self {
        Self { line, at: 0 }
    }

    fn run(&self, from: usize, ends: impl Fn(u8) -> bool) -> usize {
        let tail = &self.line.as_bytes()[from..];
        tail.iter().position(|b| *b <= b' ' || ends(*b)).map_or(self.line.len(), |n| from + n)
    }

    /// Goes on behind the run that is wrong.
    fn refuse(&mut self, offset: usize) -> usize {
        self.at = self.run(offset, |_| false).max(offset);
        offset
    }

    fn quoted(&mut self, open: usize) -> Result<Cow<'a, str>, usize> {
        let bytes = self.line.as_bytes();
        let mut at = open + 1;
        loop {
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                Some(_) => at += 1,
                None => {
                    self.at = self.line.len();
                    return Err(open);
                }
            }
        }
        self.at = at + 1;
        let raw = self.line.get(open + 1..at).ok_or(open)?;
        Ok(super::json::unescape(raw))
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<(&'a str, Cow<'a, str>), usize>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.line.as_bytes();
        while bytes.get(self.at).is_some_and(|b| *b <= b' ') {
            self.at += 1;
        }
        let start = self.at;
        bytes.get(start)?;
        let end = self.run(start, |b| b == b'=' || b == b'"');
        let key = &self.line[start..end];
        match bytes.get(end) {
            _ if key.is_empty() => Some(Err(self.refuse(start))),
            Some(b'"') => Some(Err(self.refuse(end))),
            Some(b'=') if bytes.get(end + 1) == Some(&b'"') => {
                Some(self.quoted(end + 1).map(|value| (key, value)))
            }
            Some(b'=') => {
                let stop = self.run(end + 1, |b| b == b'"');
                if bytes.get(stop) == Some(&b'"') {
                    return Some(Err(self.refuse(stop)));
                }
                self.at = stop;
                Some(Ok((key, Cow::Borrowed(&self.line[end + 1..stop]))))
            }
            _ => {
                self.at = end;
                Some(Ok((key, Cow::Borrowed(""))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Labels;

    use super::*;

    fn run(flags: &str, fields: &[(&str, &str)], line: &str) -> String {
        let fields = fields.iter().map(|(l, s)| ast::Extraction { label: (*l).into(), source: (*s).into() });
        let (strict, keep_empty) = (flags.contains("strict"), flags.contains("keep"));
        let stage = ast::Logfmt { strict, keep_empty, fields: fields.collect() };
        let stage = Logfmt::new(&stage, Wanted::all()).unwrap();
        let mut row = Row::new(&Labels::from_pairs([("app", "web")]));
        stage.apply(line, &mut row);
        row.remove("__error_details__");
        row.remove("app");
        Labels::from_pairs(row.all()).to_string()
    }

    #[test]
    fn pairs_become_labels() {
        for (flags, fields, line, expected) in [
            ("", &[][..], "a=1 b=\"two words\" c= d e=\"q\\\"x\"", r#"{a="1", b="two words", e="q\"x"}"#),
            ("", &[], "app=in k-x=1 a=b=c", r#"{a="b=c", app_extracted="in", k_x="1"}"#),
            ("", &[], "a=1 =bad b\"x c=3", r#"{a="1", c="3"}"#),
            ("strict", &[], "a=1 =bad c=3", r#"{__error__="LogfmtParserErr", a="1"}"#),
            ("strict", &[], "a=1 b=\"open", r#"{__error__="LogfmtParserErr", a="1"}"#),
            ("", &[("x", "a"), ("b", "b")], "a=1 b=2 c=3", r#"{b="2", x="1"}"#),
            ("", &[], "plain text", "{}"),
        ] {
            assert_eq!(run(flags, fields, line), expected, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in "\\PC*", pairs in "[a=\" \\\\é]*") {
            run("", &[], &line);
            run("strict", &[], &pairs);
            run("keep", &[("x", "a")], &pairs);
        }
    }
}
