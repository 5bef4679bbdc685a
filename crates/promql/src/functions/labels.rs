//! `label_replace` and `label_join`: new labels from old ones.

use hashbrown::HashMap;
use model::Labels;
use model::labels::METRIC_NAME;
use model::pattern::{translated, written_name};
use regex::{Captures, Regex};
use syntax::string;

use crate::error::EvalError;
use crate::vector::Grid;

/// The most memory that one compiled expression may take, in bytes.
const MAX_REGEX_BYTES: usize = 4 << 20;

/// Sets `target` to `replacement`, with `$1` or `${name}` from the groups of the expression, where the whole value of
/// `source` matches.
pub(crate) fn replace(grid: Grid, args: &[String]) -> Result<Grid, EvalError> {
    let [target, replacement, source, expression] = args else {
        return Err(EvalError::Parameter("label_replace takes four texts".to_owned()));
    };
    let invalid =
        || EvalError::Parameter(format!("invalid regular expression in label_replace(): {expression}"));
    let engine = translated(expression, true).map_err(|_| invalid())?;
    let regex = regex::RegexBuilder::new(&format!("^(?s:{engine})$")).size_limit(MAX_REGEX_BYTES).build();
    let regex = regex.map_err(|_| invalid())?;
    check_label("label_replace", "destination label name", target)?;
    change(grid, target, |labels| {
        let value = labels.get(source).unwrap_or_default();
        let found = regex.captures(value)?;
        Some(labels.with(target, &string::lossy(&expand(replacement, &regex, &found))))
    })
}

/// A replacement with the groups that it names, as Go expands it: `$name` takes all letters, digits and underscores,
/// `$$` is a dollar, and what names nothing in the right form stays as it is.
fn expand(replacement: &str, regex: &Regex, found: &Captures<'_>) -> String {
    let (mut out, mut rest) = (String::new(), replacement);
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(behind) = rest.strip_prefix('$') {
            out.push('$');
            rest = behind;
        } else if let Some((name, behind)) = group_name(rest) {
            out.push_str(group(name, regex, found));
            rest = behind;
        } else {
            out.push('$');
        }
    }
    out + rest
}

/// The name at the beginning of a text, with braces or without, and what stands behind it.
fn group_name(text: &str) -> Option<(&str, &str)> {
    let braced = text.strip_prefix('{');
    let inner = braced.unwrap_or(text);
    let (name, behind) =
        inner.split_at(inner.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(inner.len()));
    let behind = if braced.is_some() { behind.strip_prefix('}')? } else { behind };
    (!name.is_empty()).then_some((name, behind))
}

/// What a group matched: the group of that number, or the first of that name that matched something.
fn group<'t>(name: &str, regex: &Regex, found: &Captures<'t>) -> &'t str {
    let is_number = name.bytes().all(|b| b.is_ascii_digit()) && (name.len() == 1 || !name.starts_with('0'));
    let matched = if is_number {
        name.parse().ok().and_then(|number| found.get(number))
    } else {
        let named = regex.capture_names().enumerate();
        let mut named = named.filter(|(_, engine)| engine.is_some_and(|engine| written_name(engine) == name));
        named.find_map(|(number, _)| found.get(number))
    };
    matched.map_or("", |matched| matched.as_str())
}

/// Sets `target` to the values of labels with a separator between them.
pub(crate) fn join(grid: Grid, args: &[String]) -> Result<Grid, EvalError> {
    let [target, separator, sources @ ..] = args else {
        return Err(EvalError::Parameter("label_join takes at least two texts".to_owned()));
    };
    for source in sources {
        check_label("label_join", "source label name", source)?;
    }
    check_label("label_join", "destination label name", target)?;
    change(grid, target, |labels| {
        let values: Vec<&str> = sources.iter().map(|source| labels.get(source).unwrap_or_default()).collect();
        Some(labels.with(target, &string::lossy(&values.join(separator))))
    })
}

fn check_label(function: &str, what: &str, label: &str) -> Result<(), EvalError> {
    if label.is_empty() || !string::is_text(label) {
        let label = string::lossy(label);
        return Err(EvalError::Parameter(format!("invalid {what} in {function}(): {label}")));
    }
    Ok(())
}

fn change(mut grid: Grid, target: &str, new: impl Fn(&Labels) -> Option<Labels>) -> Result<Grid, EvalError> {
    let mut known: HashMap<Labels, Option<Labels>> = HashMap::new();
    for series in &mut grid.series {
        let changed = known.entry(series.labels.clone()).or_insert_with_key(&new);
        if let Some(labels) = changed {
            // A name that is asked for here stays.
            series.name_dropped &= target != METRIC_NAME;
            series.labels.clone_from(labels);
        }
    }
    grid.unite()
}
