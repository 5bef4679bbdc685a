//! A cursor over the tokens of a text, from a `logos` lexer or from any other.

use logos::Logos;

use crate::span::{Position, Span};

/// A token and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Token<T> {
    /// What it is.
    pub kind: T,
    /// Where it stands.
    pub span: Span,
}

/// Walks tokens with unlimited look-ahead; never moves behind the end.
#[derive(Clone, Debug)]
pub struct Cursor<'s, T> {
    source: &'s str,
    tokens: Vec<Token<T>>,
    position: usize,
}

impl<'s, T> Cursor<'s, T> {
    /// Takes tokens that a lexer made from the text.
    #[must_use]
    pub fn new(source: &'s str, tokens: Vec<Token<T>>) -> Self {
        Self { source, tokens, position: 0 }
    }

    /// Reads the whole text with a `logos` lexer (which skips what it does not want: spaces, comments).
    ///
    /// # Errors
    /// The first place that is no token, with the lexer's own error.
    pub fn lex(source: &'s str) -> Result<Self, (T::Error, Span)>
    where
        T: Logos<'s, Source = str>,
        T::Extras: Default,
    {
        let mut tokens = Vec::new();
        for (kind, range) in T::lexer(source).spanned() {
            let span = Span::from(range);
            tokens.push(Token { kind: kind.map_err(|error| (error, span))?, span });
        }
        Ok(Self::new(source, tokens))
    }

    /// The text.
    #[must_use]
    pub fn source(&self) -> &'s str {
        self.source
    }

    /// The token that comes next, not taken.
    #[must_use]
    pub fn peek(&self) -> Option<&T> {
        self.peek_nth(0)
    }

    /// The token `n` behind the next one, not taken.
    #[must_use]
    pub fn peek_nth(&self, n: usize) -> Option<&T> {
        self.tokens.get(self.position + n).map(|token| &token.kind)
    }

    /// Takes the next token.
    pub fn bump(&mut self) -> Option<&Token<T>> {
        let token = self.tokens.get(self.position)?;
        self.position += 1;
        Some(token)
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.position >= self.tokens.len()
    }

    /// Where the next token stands; at the text's end where nothing is left.
    #[must_use]
    pub fn span(&self) -> Span {
        self.tokens.get(self.position).map_or(Span::at(self.source.len()), |token| token.span)
    }

    /// Where the token stands that was taken last; the text's start where none was.
    #[must_use]
    pub fn last_span(&self) -> Span {
        self.position.checked_sub(1).and_then(|i| self.tokens.get(i)).map_or(Span::at(0), |token| token.span)
    }

    /// The text of the next token; empty at the end.
    #[must_use]
    pub fn text(&self) -> &'s str {
        self.source.get(self.span().start..self.span().end).unwrap_or_default()
    }

    /// The text of the token that was taken last.
    #[must_use]
    pub fn last_text(&self) -> &'s str {
        self.source.get(self.last_span().start..self.last_span().end).unwrap_or_default()
    }

    /// Line and column of the next token.
    #[must_use]
    pub fn position(&self) -> Position {
        Position::of(self.source, self.span().start)
    }

    /// A mark to come back to with [`Cursor::reset`].
    #[must_use]
    pub fn mark(&self) -> usize {
        self.position
    }

    /// Goes back to a mark.
    pub fn reset(&mut self, mark: usize) {
        self.position = mark.min(self.tokens.len());
    }
}

impl<T: PartialEq> Cursor<'_, T> {
    /// Whether the next token is this one.
    #[must_use]
    pub fn at(&self, kind: &T) -> bool {
        self.peek() == Some(kind)
    }

    /// Takes the next token if it is this one.
    pub fn eat(&mut self, kind: &T) -> bool {
        let at = self.at(kind);
        self.position += usize::from(at);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Logos, Clone, Debug, PartialEq)]
    #[logos(skip r"[ \n]+")]
    enum Tok {
        #[token("+")]
        Plus,
        #[regex("[0-9]+")]
        Number,
    }

    #[test]
    fn tokens_are_walked_with_their_text() {
        let mut cursor = Cursor::<Tok>::lex("12 +\n 3").unwrap();
        assert_eq!(cursor.peek_nth(2), Some(&Tok::Number));
        assert_eq!((cursor.peek(), cursor.text()), (Some(&Tok::Number), "12"));
        assert!(!cursor.eat(&Tok::Plus));
        assert!(cursor.eat(&Tok::Number) && cursor.eat(&Tok::Plus));
        assert_eq!((cursor.last_text(), cursor.position().to_string().as_str()), ("+", "2:2"));
        assert!(cursor.bump().is_some() && cursor.is_at_end() && cursor.bump().is_none());
        assert_eq!(cursor.span(), Span::at(7));
    }

    #[test]
    fn what_is_no_token_is_named_by_its_place() {
        assert_eq!(Cursor::<Tok>::lex("1 ?").unwrap_err().1, Span::new(2, 3));
    }
}
