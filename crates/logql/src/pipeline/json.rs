//! `| json`: an object's members as labels, nested ones joined by `_`; or only those that expressions name.

mod path;
mod scan;

use crate::ast::Extraction;
use crate::pipeline::row::{Category, Row};
use crate::pipeline::wanted::Wanted;

pub(crate) use path::JsonPath;
pub(crate) use scan::{JsonError, Scanner, Value, push_label_name, unescape};

/// The error label of a line that is no JSON object.
pub(crate) const JSON_ERROR: &str = "JSONParserErr";

/// The stage.
#[derive(Debug)]
pub(crate) struct Json {
    /// Empty: everything.
    expressions: Vec<(String, JsonPath)>,
    wanted: Wanted,
}

impl Json {
    /// Compiles the stage; the error names the path that is none.
    pub(crate) fn new(extractions: &[Extraction], wanted: Wanted) -> Result<Self, String> {
        let compile = |e: &Extraction| {
            let path = JsonPath::parse(&e.source);
            path.map(|p| (e.label.clone(), p)).ok_or_else(|| {
                format!("cannot parse expression [{}]: unexpected character or missing name", e.source)
            })
        };
        Ok(Self { expressions: extractions.iter().map(compile).collect::<Result<_, _>>()?, wanted })
    }

    /// Sets the labels.
    pub(crate) fn apply(&self, line: &str, row: &mut Row) {
        let result =
            if self.expressions.is_empty() { self.flatten(line, row) } else { self.evaluate(line, row) };
        if let Err(error) = result {
            row.fail(JSON_ERROR, &error.to_string());
        }
    }

    fn flatten(&self, line: &str, row: &mut Row) -> Result<(), JsonError> {
        let mut scanner = Scanner::new(line);
        let mut key = String::new();
        scanner.flatten(&mut key, &mut |name, value| {
            if self.wanted.accepts(name) {
                value.with_text(|text| row.extract(Category::Parsed, name, text));
            }
        })?;
        scanner.end()
    }

    fn evaluate(&self, line: &str, row: &mut Row) -> Result<(), JsonError> {
        for (label, path) in &self.expressions {
            if !self.wanted.accepts(label) {
                continue;
            }
            match path.find(line)? {
                Some(value) => value.with_text(|text| row.extract(Category::Parsed, label, text)),
                None => row.extract(Category::Parsed, label, ""),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use model::Labels;

    use super::*;

    fn run(extractions: &[(&str, &str)], line: &str) -> String {
        let extractions: Vec<_> =
            extractions.iter().map(|(l, s)| Extraction { label: (*l).into(), source: (*s).into() }).collect();
        let stage = Json::new(&extractions, Wanted::all()).unwrap();
        let mut row = Row::new(&Labels::from_pairs([("app", "web")]));
        stage.apply(line, &mut row);
        row.remove("__error_details__");
        Labels::from_pairs(row.all()).to_string()
    }

    #[test]
    fn all_members() {
        for (line, expected) in [
            (
                r#"{"a":"x","b":{"c":1.50,"d":[1,2]},"e":true,"f":null}"#,
                r#"{a="x", app="web", b_c="1.50", e="true"}"#,
            ),
            (
                r#"{"app":"in","k-1.x":"v","1st":"q"}"#,
                r#"{_1st="q", app="web", app_extracted="in", k_1_x="v"}"#,
            ),
            (r#"{"a":"line\nfeed \u00e9 \ud83d\ude00"}"#, "{a=\"line\\nfeed é 😀\", app=\"web\"}"),
            (r#"  {"a" : "x" , "a":"y"}  "#, r#"{a="y", app="web"}"#),
            ("{}", r#"{app="web"}"#),
            ("not json", r#"{__error__="JSONParserErr", app="web"}"#),
            (r#"{"a":"x","b""#, r#"{__error__="JSONParserErr", a="x", app="web"}"#),
            (r#"["a"]"#, r#"{__error__="JSONParserErr", app="web"}"#),
            (r#"{"a":01x}"#, r#"{__error__="JSONParserErr", app="web"}"#),
            (r#"{"a":"x"} tail"#, r#"{__error__="JSONParserErr", a="x", app="web"}"#),
        ] {
            assert_eq!(run(&[], line), expected, "{line}");
        }
    }

    #[test]
    fn expressions() {
        let line =
            r#"{"req":{"headers":{"User Agent":"curl"},"ids":[7,{"n":"deep"}],"ok":false},"app":"in"}"#;
        for (path, expected) in [
            ("req.headers[\"User Agent\"]", "curl"),
            ("req.ids[0]", "7"),
            ("req.ids[1].n", "deep"),
            ("req[\"ok\"]", "false"),
            ("req.ids[1]", "{\\\"n\\\":\\\"deep\\\"}"),
        ] {
            assert_eq!(run(&[("v", path)], line), format!(r#"{{app="web", v="{expected}"}}"#), "{path}");
        }
        assert_eq!(run(&[("v", "req.missing"), ("w", "req.ids[9]")], line), r#"{app="web"}"#);
        assert_eq!(run(&[("app", "app")], line), r#"{app="web", app_extracted="in"}"#);
        let bad = [Extraction { label: "a".into(), source: "x..y".into() }];
        assert!(Json::new(&bad, Wanted::all()).is_err());
    }

    #[test]
    fn hostile_depth_is_an_error() {
        let deep = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
        assert_eq!(run(&[], &deep), r#"{__error__="JSONParserErr", app="web"}"#);
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in "\\PC*", json in "[\\[\\]{}\",:0-9a-z\\\\ ]*") {
            run(&[], &line);
            run(&[("x", "a.b[0]")], &line);
            run(&[], &json);
            run(&[("x", "a.b[0]")], &json);
        }
    }
}
