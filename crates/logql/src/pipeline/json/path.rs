//! A place in a JSON text: `a.b[0]["c d"]`.

use super::scan::{JsonError, Scanner, Value, unescape};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// The steps from the outermost object to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonPath(Vec<Step>);

impl JsonPath {
    /// Reads a path; none when it is not one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                if inner.starts_with('"') {
                    let length = syntax::string::literal_len(inner)?;
                    steps.push(Step::Key(syntax::string::unquote(&inner[..length]).ok()?));
                    rest = inner[length..].strip_prefix(']')?;
                } else {
                    let (index, after) = inner.split_once(']')?;
                    steps.push(Step::Index(index.trim().parse().ok()?));
                    rest = after;
                }
                continue;
            }
            let name = match rest.strip_prefix('.') {
                Some(after) if !steps.is_empty() => after,
                None if steps.is_empty() => rest,
                _ => return None,
            };
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let key = &name[..end];
            if key.is_empty() || key.contains(|c: char| c.is_whitespace() || c == ']' || c == '"') {
                return None;
            }
            steps.push(Step::Key(key.to_owned()));
            rest = &name[end..];
        }
        (!steps.is_empty()).then_some(Self(steps))
    }

    /// The value at the path; none where the text has none.
    pub(crate) fn find<'a>(&self, text: &'a str) -> Result<Option<Value<'a>>, JsonError> {
        let mut scanner = Scanner::new(text);
        scanner.at_object()?;
        let found = descend(&mut scanner, &self.0)?;
        scanner.end()?;
        Ok(found)
    }
}

/// Reads one value whole and gives what the steps lead to in it.
fn descend<'a>(scanner: &mut Scanner<'a>, steps: &[Step]) -> Result<Option<Value<'a>>, JsonError> {
    let Some((step, below)) = steps.split_first() else { return scanner.value().map(Some) };
    let mut found = None;
    let mut index = 0;
    match step {
        Step::Key(key) if scanner.at_object().is_ok() => {
            while let Some(name) = scanner.next_member(index)? {
                if found.is_none() && unescape(name) == key.as_str() {
                    found = descend(scanner, below)?;
                } else {
                    scanner.value()?;
                }
                index += 1;
            }
        }
        Step::Index(wanted) if scanner.at_array() => {
            while scanner.next_item(index)? {
                if index == *wanted {
                    found = descend(scanner, below)?;
                } else {
                    scanner.value()?;
                }
                index += 1;
            }
        }
        _ => {
            scanner.value()?;
        }
    }
    Ok(found)
}
