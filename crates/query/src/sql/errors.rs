//! DataFusion's errors in our words, with the place in the text where it is known.

use datafusion::common::DataFusionError;

use crate::error::QueryError;
use crate::leaf::from_datafusion;

/// An error of a plan that runs: what the query computes may be at fault, or its limits.
pub(crate) fn planning(error: &DataFusionError) -> QueryError {
    match error.find_root() {
        DataFusionError::External(_) => from_datafusion(error),
        // Our pool says what it refuses; this is what DataFusion says where it would have gone to the disk.
        DataFusionError::ResourcesExhausted(message) if message.contains("DiskManager") => {
            QueryError::Execution(
                "the query does not fit into its memory, and nothing goes to the disk: ask for fewer rows or \
                 groups, or have the limit raised"
                    .into(),
            )
        }
        DataFusionError::ResourcesExhausted(message) => QueryError::Limited(message.clone()),
        DataFusionError::ArrowError(inner, _) => QueryError::Execution(inner.to_string()),
        DataFusionError::Execution(message) => QueryError::Execution(message.clone()),
        DataFusionError::Plan(message)
        | DataFusionError::NotImplemented(message)
        | DataFusionError::Configuration(message) => QueryError::Parse(message.clone()),
        DataFusionError::SQL(inner, _) => QueryError::Parse(inner.to_string()),
        DataFusionError::SchemaError(inner, _) => QueryError::Parse(inner.to_string()),
        other => QueryError::Internal(other.to_string()),
    }
}

/// An error of a text that is parsed or planned, with a caret under the place that it is about.
pub(crate) fn explained(text: &str, error: &DataFusionError) -> QueryError {
    let planned = planning(error);
    let QueryError::Parse(message) = planned else { return planned };
    let place = place_of_diagnostic(error).or_else(|| place_of_message(&message));
    match place.and_then(|place| pointed(text, place)) {
        Some(pointed) => QueryError::Parse(format!("{message}\n{pointed}")),
        None => QueryError::Parse(message),
    }
}

/// A line and a column, both from 1 on.
type Place = (usize, usize);

fn place_of_diagnostic(error: &DataFusionError) -> Option<Place> {
    let start = error.diagnostic()?.span?.start;
    let place = (usize::try_from(start.line).ok()?, usize::try_from(start.column).ok()?);
    (place.0 > 0).then_some(place)
}

/// The parser writes its place at the end: `… at Line: 1, Column: 8`.
fn place_of_message(message: &str) -> Option<Place> {
    let (_, place) = message.rsplit_once("Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    let digits = |text: &str| -> Option<usize> {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse().ok()
    };
    Some((digits(line)?, digits(column)?))
}

/// How much of a long line is shown on either side of the place.
const SHOWN_CHARS: usize = 60;

fn pointed(text: &str, (line, column): Place) -> Option<String> {
    let line: Vec<char> = text.lines().nth(line.checked_sub(1)?)?.chars().collect();
    let at = column.checked_sub(1)?.min(line.len());
    let (first, last) = (at.saturating_sub(SHOWN_CHARS), line.len().min(at + SHOWN_CHARS));
    let shown: String = line[first..last].iter().map(|c| if *c == '\t' { ' ' } else { *c }).collect();
    Some(format!("{shown}\n{}^", " ".repeat(at - first)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_place() {
        assert_eq!(place_of_message("Expected: x, found: y at Line: 2, Column: 13"), Some((2, 13)));
        assert_eq!(place_of_message("no such column"), None);
        assert_eq!(pointed("select\n\tx from y", (2, 4)).as_deref(), Some(" x from y\n   ^"));
        assert_eq!(pointed("a", (1, 9)).as_deref(), Some("a\n ^"));
        assert_eq!(pointed("a", (0, 0)), None);
        let long = "x".repeat(1_000);
        let shown = pointed(&long, (1, 500)).unwrap();
        assert_eq!(shown.lines().map(str::len).collect::<Vec<_>>(), [120, 61]);
    }
}
