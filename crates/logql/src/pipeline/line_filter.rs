//! `|= "text"` and its kin: keeps the lines whose text meets a condition, on a whole column or line by line.

use aho_corasick::{AhoCorasick, Input};
use arrow::array::{Array, StringArray};
use memchr::memmem::Finder;
use regex::Regex;

use crate::ast::{self, LineOp, Needle};
use crate::pipeline::ip::IpPattern;
use crate::pipeline::pattern_text::PatternText;
use crate::pipeline::regexp::compile;

/// The stage.
#[derive(Debug)]
pub(crate) struct LineFilter {
    negated: bool,
    /// A line is found when one of these finds it.
    finders: Vec<Find>,
}

#[derive(Debug)]
enum Find {
    Text(Box<Finder<'static>>),
    Texts(AhoCorasick),
    Regex(Regex),
    Pattern(PatternText),
    Ip(IpPattern),
    Everything,
}

impl LineFilter {
    /// Compiles the stage; the error says what is wrong with it.
    pub(crate) fn new(filter: &ast::LineFilter) -> Result<Self, String> {
        let mut texts = Vec::new();
        let mut finders = Vec::new();
        for needle in &filter.needles {
            match (needle, filter.op) {
                (Needle::Ip(text), LineOp::Contains | LineOp::NotContains) => {
                    let pattern = IpPattern::parse(text);
                    finders.push(Find::Ip(pattern.ok_or_else(|| format!("invalid ip pattern: {text}"))?));
                }
                (Needle::Ip(text), op) => {
                    return Err(format!("ip(\"{text}\") cannot be used with {}", op.as_str()));
                }
                (Needle::Text(text), LineOp::Contains | LineOp::NotContains) => texts.push(text.as_str()),
                (Needle::Text(text), LineOp::Regex | LineOp::NotRegex) => match plain_alternatives(text) {
                    Some(alternatives) => texts.extend(alternatives),
                    None => finders.push(Find::Regex(compile(text)?)),
                },
                (Needle::Text(text), LineOp::Pattern | LineOp::NotPattern) => {
                    finders.push(Find::Pattern(PatternText::parse_filter(text).map_err(|e| e.to_string())?));
                }
            }
        }
        finders.extend(find_texts(&texts)?);
        Ok(Self { negated: filter.op.is_negated(), finders })
    }

    /// Whether the line stays.
    pub(crate) fn keeps(&self, line: &str) -> bool {
        self.finders.iter().any(|find| find.finds(line)) != self.negated
    }

    /// Keeps of the rows, which ascend, those whose line stays.
    pub(crate) fn retain(&self, lines: &StringArray, rows: &mut Vec<u32>) {
        // A pass over the column reads every line; one over the rows only those that are left.
        let dense = rows.len() * 4 >= lines.len();
        if !dense || !self.finders.iter().all(Find::is_columnar) {
            rows.retain(|row| self.keeps(lines.value(*row as usize)));
            return;
        }
        let mut found = vec![false; lines.len()];
        for find in &self.finders {
            find.mark(lines, &mut found);
        }
        rows.retain(|row| found[*row as usize] != self.negated);
    }
}

fn find_texts(texts: &[&str]) -> Result<Option<Find>, String> {
    Ok(match texts {
        [] => None,
        _ if texts.iter().any(|text| text.is_empty()) => Some(Find::Everything),
        [text] => Some(Find::Text(Box::new(Finder::new(text).into_owned()))),
        _ => Some(Find::Texts(
            AhoCorasick::new(texts).map_err(|error| format!("too many alternatives: {error}"))?,
        )),
    })
}

/// The alternatives of an expression that is nothing but texts and `|`.
pub(crate) fn plain_alternatives(regex: &str) -> Option<impl Iterator<Item = &str>> {
    let is_plain = !regex.contains(|c: char| r"\.+*?()[]{}^$".contains(c));
    is_plain.then(|| regex.split('|'))
}

/// Texts that every line that the filter keeps has in it.
pub(crate) fn needles(filter: &ast::LineFilter) -> Vec<String> {
    let [Needle::Text(text)] = filter.needles.as_slice() else { return Vec::new() };
    let texts: Vec<String> = match filter.op {
        LineOp::Contains => vec![text.clone()],
        LineOp::Regex => match plain_alternatives(text).map(Iterator::collect::<Vec<_>>).as_deref() {
            Some([only]) => vec![(*only).to_owned()],
            _ => Vec::new(),
        },
        LineOp::Pattern => match PatternText::parse_filter(text) {
            Ok(pattern) => pattern.literals().map(str::to_owned).collect(),
            Err(_) => Vec::new(),
        },
        LineOp::NotContains | LineOp::NotRegex | LineOp::NotPattern => Vec::new(),
    };
    texts.into_iter().filter(|text| !text.is_empty()).collect()
}

impl Find {
    fn finds(&self, line: &str) -> bool {
        match self {
            Find::Text(finder) => finder.find(line.as_bytes()).is_some(),
            Find::Texts(automaton) => automaton.is_match(line),
            Find::Regex(regex) => regex.is_match(line),
            Find::Pattern(pattern) => pattern.matches(line),
            Find::Ip(pattern) => pattern.finds(line),
            Find::Everything => true,
        }
    }

    fn is_columnar(&self) -> bool {
        matches!(self, Find::Text(_) | Find::Texts(_) | Find::Everything)
    }

    /// Marks the rows whose line is found, in one pass over the column's bytes.
    fn mark(&self, lines: &StringArray, found: &mut [bool]) {
        match self {
            Find::Text(finder) => {
                let length = finder.needle().len();
                mark_rows(lines, found, |bytes, from| {
                    finder.find(&bytes[from..]).map(|at| (from + at, from + at + length))
                });
            }
            Find::Texts(automaton) => mark_rows(lines, found, |bytes, from| {
                automaton.find(Input::new(bytes).range(from..)).map(|m| (m.start(), m.end()))
            }),
            Find::Everything => found.fill(true),
            Find::Regex(_) | Find::Pattern(_) | Find::Ip(_) => {
                for (row, mark) in found.iter_mut().enumerate() {
                    *mark |= self.finds(lines.value(row));
                }
            }
        }
    }
}

/// Lines stand one behind the other in the column's bytes: a search over all of them marks the row of each hit and
/// goes on behind it. A hit across a border is none.
fn mark_rows(
    lines: &StringArray,
    found: &mut [bool],
    search: impl Fn(&[u8], usize) -> Option<(usize, usize)>,
) {
    let offsets = lines.value_offsets();
    let offset = |row: usize| usize::try_from(offsets[row]).expect("offsets are not negative");
    let bytes = &lines.value_data()[..offset(lines.len())];
    let (mut row, mut from) = (0, offset(0));
    while let Some((start, end)) = search(bytes, from) {
        row += offsets[row + 1..].partition_point(|o| usize::try_from(*o).is_ok_and(|o| o <= start));
        let Some(mark) = found.get_mut(row) else { return };
        if end <= offset(row + 1) {
            *mark = true;
            from = offset(row + 1);
        } else {
            from = start + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(op: LineOp, needles: &[&str]) -> LineFilter {
        let needles = needles.iter().map(|n| match n.strip_prefix("ip:") {
            Some(ip) => Needle::Ip(ip.to_owned()),
            None => Needle::Text((*n).to_owned()),
        });
        LineFilter::new(&ast::LineFilter { op, needles: needles.collect() }).unwrap()
    }

    #[test]
    fn each_operator() {
        for (op, needles, line, keeps) in [
            (LineOp::Contains, &["err"][..], "an error", true),
            (LineOp::Contains, &["ERR"], "an error", false),
            (LineOp::Contains, &["x", "err"], "an error", true),
            (LineOp::Contains, &[""], "anything", true),
            (LineOp::NotContains, &["err"], "an error", false),
            (LineOp::NotContains, &["x", "err"], "an error", false),
            (LineOp::NotContains, &["x", "y"], "an error", true),
            (LineOp::Regex, &["(?i)ERR.r"], "an error", true),
            (LineOp::Regex, &["one|err"], "an error", true),
            (LineOp::NotRegex, &["^an"], "an error", false),
            (LineOp::Pattern, &["<_> error"], "an error", true),
            (LineOp::NotPattern, &["<_> error"], "an error", false),
            (LineOp::Contains, &["ip:10.0.0.0/8"], "from 10.2.3.4", true),
            (LineOp::NotContains, &["ip:10.0.0.0/8"], "from 10.2.3.4", false),
        ] {
            assert_eq!(filter(op, needles).keeps(line), keeps, "{op:?} {needles:?} {line}");
        }
    }

    proptest! {
        #[test]
        fn columns_filter_as_rows_do(
            lines in prop::collection::vec("[abé]{0,6}", 0..40),
            needles in prop::collection::vec("[abé]{0,3}", 1..4),
            negated: bool,
            skip in 0_usize..5,
        ) {
            let op = if negated { LineOp::NotContains } else { LineOp::Contains };
            let needles: Vec<&str> = needles.iter().map(String::as_str).collect();
            let filter = filter(op, &needles);
            let skip = skip.min(lines.len());
            let column = StringArray::from(lines.clone()).slice(skip, lines.len() - skip);
            let mut rows: Vec<u32> = (0..u32::try_from(column.len()).unwrap()).collect();
            filter.retain(&column, &mut rows);
            let one_by_one = lines[skip..].iter().enumerate().filter(|(_, line)| {
                needles.iter().any(|needle| line.contains(needle)) != negated
            });
            let expected: Vec<u32> = one_by_one.map(|(i, _)| u32::try_from(i).unwrap()).collect();
            prop_assert_eq!(rows, expected);
        }
    }
}
