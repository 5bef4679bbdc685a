//! An error with its place in the text, shown as each language's clients expect it.

use model::Kind;
use model::error::Classified;

use crate::span::{Position, Span};

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// What is wrong, without the place.
    pub message: String,
    /// Where.
    pub span: Span,
}

impl SyntaxError {
    /// An error at a place.
    pub fn new(span: Span, message: impl Into<String>) -> Self {
        Self { message: message.into(), span }
    }

    /// Line and column of its start.
    #[must_use]
    pub fn position(&self, source: &str) -> Position {
        Position::of(source, self.span.start)
    }

    /// The message with the line of the text and a caret under the place: for terminals.
    #[must_use]
    pub fn with_caret(&self, source: &str) -> String {
        format!("{}: {}\n{}", self.position(source), self.message, caret(source, self.span))
    }
}

impl Classified for SyntaxError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// The line of the text in which the span starts, and carets under it.
#[must_use]
pub fn caret(source: &str, span: Span) -> String {
    let start = floor_boundary(source, span.start);
    let end = floor_boundary(source, span.end).max(start);
    let line_start = source[..start].rfind('\n').map_or(0, |i| i + 1);
    let line_end = source[start..].find('\n').map_or(source.len(), |i| start + i);
    let indent = source[line_start..start].chars().count();
    let width = source[start..end.min(line_end).max(start)].chars().count().max(1);
    format!("{}\n{}{}", &source[line_start..line_end], " ".repeat(indent), "^".repeat(width))
}

fn floor_boundary(source: &str, offset: usize) -> usize {
    (0..=offset.min(source.len())).rev().find(|i| source.is_char_boundary(*i)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_place() {
        let error = SyntaxError::new(Span::new(9, 11), "no such thing");
        assert_eq!(error.with_caret("a\nb + ä foo"), "2:8: no such thing\nb + ä foo\n      ^^");
        assert_eq!(caret("", Span::new(5, 9)), "\n^");
    }
}
