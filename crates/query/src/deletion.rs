//! What a deletion of lines is about: a LogQL query of streams and line filters, as the store keeps it.

use logql::ast::{LineOp, Needle, Stage};
use model::Matcher;
use storage::manifest::keeping::{self, LineTest};

use crate::error::QueryError;

/// Reads a LogQL query with nothing but a selector and line filters.
///
/// # Errors
/// When the text is no query of lines, or has a stage that deletions do not know; the message says which.
pub fn parse_log_deletion(text: &str) -> Result<(Vec<Matcher>, Vec<LineTest>), QueryError> {
    let logql::Expr::Logs(query) = logql::parse(text)? else {
        return Err(QueryError::Parse("a deletion is about lines: leave aggregations out".to_owned()));
    };
    if query.matchers.iter().all(Matcher::matches_empty) {
        let message = "a deletion needs at least one matcher that does not match an empty value";
        return Err(QueryError::Parse(message.to_owned()));
    }
    let tests = query.stages.iter().map(line_test).collect::<Result<_, _>>()?;
    Ok((query.matchers, tests))
}

fn line_test(stage: &Stage) -> Result<LineTest, QueryError> {
    let unknown = || {
        let message = "deletions know the line filters |=, !=, |~ and !~ alone: select by labels and by text";
        QueryError::Parse(message.to_owned())
    };
    let Stage::LineFilter(filter) = stage else { return Err(unknown()) };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_and_line_filters_are_taken_and_nothing_else() {
        let (matchers, lines) = parse_log_deletion(r#"{app="web"} |= "a" or "b" !~ "c.*""#).unwrap();
        assert_eq!(matchers, [Matcher::equal("app", "web")]);
        let ops: Vec<_> = lines.iter().map(|test| (test.op, test.texts.join(","))).collect();
        let expected =
            [(keeping::LineOp::Contains, "a,b".to_owned()), (keeping::LineOp::Differs, "c.*".to_owned())];
        assert_eq!(ops, expected);
        for refused in [
            "rate({app=\"web\"}[5m])",
            "{app=\"web\"} | json",
            "{app=\"web\"} |> \"<_>\"",
            "{app=\"web\"} |= ip(\"10.0.0.1\")",
            "{app=~\".*\"}",
            "{app=",
        ] {
            assert!(matches!(parse_log_deletion(refused), Err(QueryError::Parse(_))), "{refused}");
        }
    }
}
