//! From text to tokens. Letter case and meaning of words are left to the parser: a keyword may name a label.

use syntax::{Span, SyntaxError, Token, string};

/// What a token is; its text is in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tok {
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    Assign,
    Equal,
    NotEqual,
    MatchRegex,
    MatchNotRegex,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    TrimUpper,
    TrimLower,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    At,
    /// A word without a colon.
    Word,
    /// A word with a colon.
    Metric,
    Number,
    Duration,
    Text,
}

/// The words that are not names outside of braces and lists of labels.
pub(crate) const KEYWORDS: [&str; 18] = [
    "and",
    "or",
    "unless",
    "atan2",
    "bool",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "offset",
    "fill",
    "fill_left",
    "fill_right",
    "smoothed",
    "anchored",
    "group",
];

/// Whether a word could be read as something else than a metric's name.
pub(crate) fn is_keyword(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    KEYWORDS.contains(&word.as_str())
        || matches!(word.as_str(), "inf" | "nan" | "start" | "end" | "step" | "range" | "min_of" | "max_of")
        || crate::ast::AggregateOp::ALL.iter().any(|op| op.as_str() == word)
}

/// Splits a text into tokens.
///
/// # Errors
/// At the first character that begins no token, and where brackets do not pair.
pub(crate) fn lex(source: &str) -> Result<Vec<Token<Tok>>, SyntaxError> {
    let mut lexer = Lexer { source, at: 0, open: Vec::new(), tokens: Vec::new() };
    while lexer.skip_blank() {
        lexer.token()?;
    }
    match lexer.open.last() {
        Some('(') => Err(lexer.error_at_end("unclosed left parenthesis")),
        Some('[') => Err(lexer.error_at_end("unclosed left bracket")),
        Some(_) => Err(lexer.error_at_end("unexpected end of input inside braces")),
        None => Ok(lexer.tokens),
    }
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
    /// The brackets that are open, the innermost last.
    open: Vec<char>,
    tokens: Vec<Token<Tok>>,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn error_at_end(&self, message: &str) -> SyntaxError {
        SyntaxError::new(Span::at(self.source.len()), message)
    }

    fn error<T>(&self, len: usize, message: String) -> Result<T, SyntaxError> {
        Err(SyntaxError::new(Span::new(self.at, self.at + len), message))
    }

    fn push(&mut self, kind: Tok, len: usize) {
        self.tokens.push(Token { kind, span: Span::new(self.at, self.at + len) });
        self.at += len;
    }

    /// Skips blanks and comments; false at the end.
    fn skip_blank(&mut self) -> bool {
        loop {
            let trimmed = self.rest().trim_start_matches([' ', '\t', '\n', '\r']);
            self.at = self.source.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return !trimmed.is_empty();
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn token(&mut self) -> Result<(), SyntaxError> {
        let in_braces = self.open.last() == Some(&'{');
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(()) };
        match first {
            '(' | '[' | '{' if !in_braces => self.open(first),
            ')' | ']' | '}' => self.close(first),
            '"' | '\'' | '`' => self.text(first),
            c if c.is_ascii_alphabetic()
                || c == '_'
                || (c == ':' && self.open.last() != Some(&'[') && !in_braces) =>
            {
                self.word(in_braces);
                Ok(())
            }
            c if !in_braces && starts_number(rest, c) => self.number(),
            _ => self.operator(first, in_braces),
        }
    }

    fn open(&mut self, c: char) -> Result<(), SyntaxError> {
        self.open.push(c);
        self.push(
            if c == '(' {
                Tok::LeftParen
            } else if c == '[' {
                Tok::LeftBracket
            } else {
                Tok::LeftBrace
            },
            1,
        );
        Ok(())
    }

    fn close(&mut self, c: char) -> Result<(), SyntaxError> {
        let (kind, opening, name) = match c {
            ')' => (Tok::RightParen, '(', "parenthesis"),
            ']' => (Tok::RightBracket, '[', "bracket"),
            _ => (Tok::RightBrace, '{', "brace"),
        };
        if self.open.last() != Some(&opening) {
            let inside = self.open.last() == Some(&'{');
            return match inside {
                true => self.error(1, format!("unexpected character inside braces: '{c}'")),
                false => self.error(1, format!("unexpected right {name} '{c}'")),
            };
        }
        self.open.pop();
        self.push(kind, 1);
        Ok(())
    }

    fn text(&mut self, quote: char) -> Result<(), SyntaxError> {
        match string::literal_len(self.rest()) {
            Some(len) => {
                self.push(Tok::Text, len);
                Ok(())
            }
            None if quote == '`' => self.error(self.rest().len(), "unterminated raw string".to_owned()),
            None => self.error(self.rest().len(), "unterminated quoted string".to_owned()),
        }
    }

    fn word(&mut self, in_braces: bool) {
        let colons = !in_braces && self.open.last() != Some(&'[');
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
        let len = self.rest().find(|c| !is_part(c)).unwrap_or(self.rest().len());
        let kind = if self.rest()[..len].contains(':') { Tok::Metric } else { Tok::Word };
        self.push(kind, len);
    }

    fn number(&mut self) -> Result<(), SyntaxError> {
        let rest = self.rest();
        let hex = rest.len() > 1 && rest.as_bytes()[0] == b'0' && matches!(rest.as_bytes()[1], b'x' | b'X');
        let bytes = rest.as_bytes();
        let mut len = 0;
        while let Some(byte) = bytes.get(len) {
            let after_exponent = len > 0 && {
                let before = bytes[len - 1].to_ascii_lowercase();
                (before == b'e' && !hex) || (before == b'p' && hex)
            };
            let sign = matches!(byte, b'+' | b'-')
                && after_exponent
                && bytes.get(len + 1).is_some_and(u8::is_ascii_digit);
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.') || sign) {
                break;
            }
            len += 1;
        }
        let text = &rest[..len];
        if syntax::number::parse(text).is_ok() {
            self.push(Tok::Number, len);
            return Ok(());
        }
        // Longer than 64 bits is for the parser to say.
        let is_duration = !matches!(
            syntax::duration::parse_prometheus_ms(text),
            Err(syntax::duration::DurationError::Invalid(_))
        );
        if is_duration || looks_like_duration(text) {
            self.push(Tok::Duration, len);
            return Ok(());
        }
        let shown = rest[..len + rest[len..].chars().next().map_or(0, char::len_utf8)].to_owned();
        self.error(len, format!("bad number or duration syntax: {}", string::quote(&shown)))
    }

    fn operator(&mut self, first: char, in_braces: bool) -> Result<(), SyntaxError> {
        let rest = self.rest();
        let two = rest.get(..2).unwrap_or_default();
        let kind = match (two, first) {
            ("=~", _) if in_braces => (Tok::MatchRegex, 2),
            ("!~", _) if in_braces => (Tok::MatchNotRegex, 2),
            ("!=", _) => (Tok::NotEqual, 2),
            (_, '=') if in_braces => (Tok::Assign, 1),
            (_, ',') => (Tok::Comma, 1),
            (_, c) if in_braces => {
                return self.error(1, format!("unexpected character inside braces: '{c}'"));
            }
            ("==", _) => (Tok::Equal, 2),
            ("=~", _) => return self.error(2, "unexpected character after '=': '~'".to_owned()),
            ("<=", _) => (Tok::LessEqual, 2),
            (">=", _) => (Tok::GreaterEqual, 2),
            ("</", _) => (Tok::TrimUpper, 2),
            (">/", _) => (Tok::TrimLower, 2),
            (_, '=') => (Tok::Assign, 1),
            (_, '<') => (Tok::Less, 1),
            (_, '>') => (Tok::Greater, 1),
            (_, '+') => (Tok::Add, 1),
            (_, '-') => (Tok::Sub, 1),
            (_, '*') => (Tok::Mul, 1),
            (_, '/') => (Tok::Div, 1),
            (_, '%') => (Tok::Mod, 1),
            (_, '^') => (Tok::Pow, 1),
            (_, '@') => (Tok::At, 1),
            (_, ':') => (Tok::Colon, 1),
            (_, '!') => {
                let next = rest.chars().nth(1).map_or("end of input".to_owned(), |c| format!("'{c}'"));
                return self.error(1, format!("unexpected character after '!': {next}"));
            }
            (_, c) => return self.error(c.len_utf8(), format!("unexpected character: '{c}'")),
        };
        self.push(kind.0, kind.1);
        Ok(())
    }
}

fn starts_number(rest: &str, c: char) -> bool {
    c.is_ascii_digit() || (c == '.' && rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit))
}

/// Digits and units in turn, in whatever order: the parser says what is wrong with it.
fn looks_like_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let behind = &rest[digits..];
        let unit = ["ms", "s", "m", "h", "d", "w", "y"].into_iter().find(|unit| {
            behind
                .strip_prefix(unit)
                .is_some_and(|next| next.is_empty() || next.as_bytes()[0].is_ascii_digit())
        });
        match (digits, unit) {
            (1.., Some(unit)) => rest = &behind[unit.len()..],
            _ => return false,
        }
    }
    true
}
