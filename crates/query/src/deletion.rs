//! What a deletion of lines is about: a LogQL query of streams, line filters and label filters, as the store keeps it.

use logql::ast::{LabelFilter, LineFilter, LineOp, Needle, Stage};
use model::Matcher;
use storage::manifest::keeping::{self, LineTest};

use crate::error::QueryError;

/// The lines of a deletion.
#[derive(Clone, Debug, Default)]
pub struct LogDeletion {
    /// What their streams meet.
    pub matchers: Vec<Matcher>,
    /// What their text meets.
    pub lines: Vec<LineTest>,
    /// What their labels and structured metadata meet.
    pub labels: Vec<Matcher>,
}

/// Reads a LogQL query with nothing but a selector, line filters and label filters that compare texts.
///
/// # Errors
/// When the text is no query of lines, or has a stage that deletions do not know; the message says which.
pub fn parse_log_deletion(text: &str) -> Result<LogDeletion, QueryError> {
    let logql::Expr::Logs(query) = logql::parse(text)? else {
        return Err(QueryError::Parse("a deletion is about lines: leave aggregations out".to_owned()));
    };
    if query.matchers.iter().all(Matcher::matches_empty) {
        let message = "a deletion needs at least one matcher that does not match an empty value";
        return Err(QueryError::Parse(message.to_owned()));
    }
    let mut deletion = LogDeletion { matchers: query.matchers, ..LogDeletion::default() };
    for stage in &query.stages {
        match stage {
            Stage::LineFilter(filter) => deletion.lines.push(line_test(filter)?),
            Stage::LabelFilter(filter) => label_tests(filter, &mut deletion.labels)?,
            _ => {
                let message = "deletions know line filters and label filters alone: what a parser finds in a line is no \
                               reason to delete it, look for its text";
                return Err(QueryError::Parse(message.to_owned()));
            }
        }
    }
    Ok(deletion)
}

fn line_test(filter: &LineFilter) -> Result<LineTest, QueryError> {
    let unknown = || {
        let message = "deletions know the line filters |=, !=, |~ and !~ with texts alone";
        QueryError::Parse(message.to_owned())
    };
    let op = match filter.op {
        LineOp::Contains => keeping::LineOp::Contains,
        LineOp::NotContains => keeping::LineOp::Lacks,
        LineOp::Regex => keeping::LineOp::Matches,
        LineOp::NotRegex => keeping::LineOp::Differs,
        LineOp::Pattern | LineOp::NotPattern => return Err(unknown()),
    };
    let text = |needle: &Needle| match needle {
        Needle::Text(text) => Ok(text.clone()),
        Needle::Ip(_) => Err(unknown()),
    };
    Ok(LineTest { op, texts: filter.needles.iter().map(text).collect::<Result<_, _>>()? })
}

/// Adds the conditions of a filter, all of which must hold.
fn label_tests(filter: &LabelFilter, tests: &mut Vec<Matcher>) -> Result<(), QueryError> {
    match filter {
        LabelFilter::And(a, b) => {
            label_tests(a, tests)?;
            label_tests(b, tests)
        }
        LabelFilter::Text(matcher) => {
            tests.push(matcher.clone());
            Ok(())
        }
        LabelFilter::Or(..) => {
            let message = "a deletion has no `or` between label filters: make one for each of them";
            Err(QueryError::Parse(message.to_owned()))
        }
        LabelFilter::Number(..)
        | LabelFilter::Duration(..)
        | LabelFilter::Bytes(..)
        | LabelFilter::Ip(..) => {
            let message = "deletions compare labels as texts alone, with =, !=, =~ and !~";
            Err(QueryError::Parse(message.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use model::MatchOp;

    use super::*;

    #[test]
    fn selectors_line_filters_and_label_filters_are_taken_and_nothing_else() {
        let text =
            r#"{app="web"} |= "a" or "b" | level="x", user!~"y.*" !~ "c.*" | trace_id="0f" and z=~"1""#;
        let deletion = parse_log_deletion(text).unwrap();
        assert_eq!(deletion.matchers, [Matcher::equal("app", "web")]);
        let ops: Vec<_> = deletion.lines.iter().map(|test| (test.op, test.texts.join(","))).collect();
        let expected =
            [(keeping::LineOp::Contains, "a,b".to_owned()), (keeping::LineOp::Differs, "c.*".to_owned())];
        assert_eq!(ops, expected);
        let labels = [
            Matcher::equal("level", "x"),
            Matcher::new("user", MatchOp::NotRegex, "y.*").unwrap(),
            Matcher::equal("trace_id", "0f"),
            Matcher::new("z", MatchOp::Regex, "1").unwrap(),
        ];
        assert_eq!(deletion.labels, labels);
        for refused in [
            "rate({app=\"web\"}[5m])",
            "{app=\"web\"} | json",
            "{app=\"web\"} | json | level=\"x\"",
            "{app=\"web\"} | level=\"x\" or user=\"y\"",
            "{app=\"web\"} | took > 5s",
            "{app=\"web\"} | status >= 500",
            "{app=\"web\"} |> \"<_>\"",
            "{app=\"web\"} |= ip(\"10.0.0.1\")",
            "{app=~\".*\"}",
            "{app=",
        ] {
            assert!(matches!(parse_log_deletion(refused), Err(QueryError::Parse(_))), "{refused}");
        }
    }
}
