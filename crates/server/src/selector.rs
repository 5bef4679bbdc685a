//! Selectors of rows as people write them for holds and periods: those of PromQL and LogQL for labels, and for spans
//! conditions on their name and attributes.

use model::{MatchOp, Matcher, Signal};

/// Reads a selector of a signal: `{app="web", level=~"warn|error"}`, and of spans
/// `{resource.service.name="web" && span.http.route=~"/api.*"}`. Of spans, `name` is the span's name, and a name without
/// `resource.` or `span.` is that of either.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn parse(signal: Signal, text: &str) -> Result<Vec<Matcher>, String> {
    let matchers = match signal {
        Signal::Metrics => query::parse_metric_selector(text).map_err(|error| error.to_string())?,
        Signal::Logs => query::parse_log_selector(text).map_err(|error| error.to_string())?,
        Signal::Traces => spans(text)?,
    };
    if matchers.iter().all(Matcher::matches_empty) {
        return Err(format!("{text} selects everything: name at least one value that is not empty"));
    }
    Ok(matchers)
}

/// Conditions of spans, separated by commas or `&&`.
fn spans(text: &str) -> Result<Vec<Matcher>, String> {
    let bad = |what: &str| format!("{text}: {what}, write it like {{resource.service.name=\"web\"}}");
    let inner = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let mut rest = inner.ok_or_else(|| bad("a selector stands in braces"))?.trim();
    let mut matchers = Vec::new();
    while !rest.is_empty() {
        let (matcher, after) = condition(rest).map_err(|what| bad(&what))?;
        matchers.push(matcher);
        let after = after.trim_start();
        rest = match after.strip_prefix("&&").or_else(|| after.strip_prefix(',')) {
            Some(next) => next.trim_start(),
            None if after.is_empty() => after,
            None => return Err(bad("conditions are separated by && or a comma")),
        };
    }
    Ok(matchers)
}

/// One condition, and what follows it.
fn condition(text: &str) -> Result<(Matcher, &str), String> {
    let end = text.find(['=', '!']).ok_or("a condition has an operator")?;
    let (name, rest) = (text[..end].trim().trim_matches('"'), &text[end..]);
    let ops = [MatchOp::Regex, MatchOp::NotRegex, MatchOp::NotEqual, MatchOp::Equal];
    let op = ops
        .into_iter()
        .find(|op| rest.starts_with(op.as_str()))
        .ok_or("the operator is one of = != =~ !~")?;
    let rest = rest[op.as_str().len()..].trim_start();
    let value = rest.strip_prefix('"').ok_or("a value stands in quotes")?;
    let mut unescaped = String::new();
    let mut characters = value.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' if name.is_empty() => return Err("a condition has a name".to_owned()),
            '"' => {
                let matcher = Matcher::new(name, op, &unescaped).map_err(|error| error.to_string())?;
                return Ok((matcher, &value[at + 1..]));
            }
            '\\' => unescaped.extend(characters.next().map(|(_, escaped)| escaped)),
            other => unescaped.push(other),
        }
    }
    Err("a value ends with a quote".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_of_spans_have_names_with_dots() {
        let parsed = parse(
            Signal::Traces,
            r#"{ resource.service.name = "a\"b" && span.http.route=~"/x.*", name!="y" }"#,
        );
        let expected = [
            Matcher::equal("resource.service.name", "a\"b"),
            Matcher::new("span.http.route", MatchOp::Regex, "/x.*").unwrap(),
            Matcher::new("name", MatchOp::NotEqual, "y").unwrap(),
        ];
        assert_eq!(parsed.unwrap(), expected);
        for bad in [
            "",
            "{}",
            "name=\"x\"",
            "{name}",
            "{name=x}",
            "{name=\"x}",
            "{=\"x\"}",
            "{a=\"x\" b=\"y\"}",
            "{a=~\"(\"}",
        ] {
            assert!(parse(Signal::Traces, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_selects_everything_is_none() {
        assert!(parse(Signal::Logs, "{app=~\".*\"}").is_err());
        assert_eq!(parse(Signal::Logs, "{app=\"web\"}").unwrap(), [Matcher::equal("app", "web")]);
        assert_eq!(parse(Signal::Metrics, "up").unwrap(), [Matcher::equal("__name__", "up")]);
    }
}
