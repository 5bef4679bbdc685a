//! `| pattern "<a> - <_>"`: what stands between literals, as labels.

use crate::pipeline::pattern_text::PatternText;
use crate::pipeline::row::{Category, Row};
use crate::pipeline::wanted::Wanted;

/// The stage.
#[derive(Debug)]
pub(crate) struct Pattern {
    pattern: PatternText,
    wanted: Wanted,
}

impl Pattern {
    /// Compiles the stage; the error says what is wrong with the pattern.
    pub(crate) fn new(text: &str, wanted: Wanted) -> Result<Self, String> {
        let pattern = PatternText::parse_extraction(text);
        Ok(Self { pattern: pattern.map_err(|e| format!("invalid pattern: {e}"))?, wanted })
    }

    /// Sets the labels.
    pub(crate) fn apply(&self, line: &str, row: &mut Row) {
        self.pattern.extract(line, |name, value| {
            if self.wanted.accepts(name) {
                row.extract(Category::Parsed, name, value);
            }
        });
    }
}
