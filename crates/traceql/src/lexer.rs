//! The words of a query. Attributes are one token each, since almost any character may stand in their names.

use syntax::{Span, Token};

use crate::ast::{Attribute, Scope};
use crate::error::ParseError;

/// The longest text of a query, in bytes.
pub(crate) const MAX_QUERY_BYTES: usize = 128 << 10;

/// A word of a query.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tok<'s> {
    /// A keyword or an intrinsic, with its scope: `count`, `span:name`.
    Word(&'s str),
    /// An attribute with its scope.
    Attribute(Attribute),
    /// Text between quotes, read.
    String(String),
    /// A whole number.
    Int(i64),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// Nanoseconds.
    Duration(i64),
    /// An operator or a bracket.
    Sign(&'static str),
}

/// Longer signs before those that begin them.
const SIGNS: [&str; 36] = [
    "&>>", "&<<", "!>>", "!<<", "&&", "||", "&>", "&<", "&~", "!>", "!<", "!~", "!=", "=~", ">>", "<<", ">=",
    "<=", "{", "}", "(", ")", ",", "=", "!", "<", ">", "~", "|", "+", "-", "*", "/", "%", "^", ".",
];

/// Whether a character may stand in an attribute's name without quotes.
pub(crate) fn is_attribute_char(c: char) -> bool {
    !c.is_whitespace() && !"{}()=~!<>&|^,".contains(c)
}

/// Reads the whole text.
///
/// # Errors
/// The first place that is no word.
pub(crate) fn lex(source: &str) -> Result<Vec<Token<Tok<'_>>>, ParseError> {
    let (tokens, error) = lex_prefix(source);
    error.map_or(Ok(tokens), Err)
}

/// Reads as far as there are words, and says what is wrong behind them.
pub(crate) fn lex_prefix(source: &str) -> (Vec<Token<Tok<'_>>>, Option<ParseError>) {
    let mut tokens = Vec::new();
    if source.len() > MAX_QUERY_BYTES {
        let message =
            format!("query is too long: bytes={}, at most {MAX_QUERY_BYTES} are allowed", source.len());
        return (tokens, Some(ParseError::syntax(source, Span::at(0), message)));
    }
    let mut lexer = Lexer { source, at: 0 };
    loop {
        if let Err(error) = lexer.skip_blanks() {
            return (tokens, Some(error));
        }
        let start = lexer.at;
        if lexer.rest().is_empty() {
            return (tokens, None);
        }
        match lexer.token() {
            Ok(kind) => tokens.push(Token { kind, span: Span::new(start, lexer.at) }),
            Err(error) => return (tokens, Some(error)),
        }
    }
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::syntax(self.source, Span::at(self.at), message)
    }

    /// Takes the characters for which the condition holds.
    fn take_while(&mut self, condition: impl Fn(char) -> bool) -> &'s str {
        let rest = self.rest();
        let taken = &rest[..rest.find(|c| !condition(c)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// Skips white space and comments, `// …` and `/* … */`.
    fn skip_blanks(&mut self) -> Result<(), ParseError> {
        loop {
            self.take_while(char::is_whitespace);
            if self.rest().starts_with("//") {
                self.take_while(|c| c != '\n');
            } else if self.rest().starts_with("/*") {
                let end = self.rest().find("*/").ok_or_else(|| self.error("comment not terminated"))?;
                self.at += end + 2;
            } else {
                return Ok(());
            }
        }
    }

    fn token(&mut self) -> Result<Tok<'s>, ParseError> {
        let mut chars = self.rest().chars();
        let (first, second) = (chars.next().unwrap_or_default(), chars.next().unwrap_or_default());
        match first {
            '"' | '`' => self.string(),
            '0'..='9' => self.number(),
            '.' if second.is_ascii_digit() => self.number(),
            '.' => {
                self.at += 1;
                self.attribute(Scope::Any, false)
            }
            c if c.is_alphabetic() || c == '_' => self.word(),
            _ => {
                let sign = SIGNS.iter().find(|sign| self.rest().starts_with(**sign));
                let sign = *sign.ok_or_else(|| self.error(format!("syntax error: unexpected {first:?}")))?;
                self.at += sign.len();
                Ok(Tok::Sign(sign))
            }
        }
    }

    fn string(&mut self) -> Result<Tok<'s>, ParseError> {
        let length = syntax::string::literal_len(self.rest())
            .ok_or_else(|| self.error("syntax error: literal not terminated"))?;
        let literal = &self.rest()[..length];
        let mut text = syntax::string::unquote(literal).map_err(|e| self.error(e.to_string()))?;
        if literal.starts_with('`') {
            // Go's raw strings have no carriage returns.
            text.retain(|c| c != '\r');
        }
        self.at += length;
        Ok(Tok::String(text))
    }

    fn number(&mut self) -> Result<Tok<'s>, ParseError> {
        let start = self.at;
        self.take_while(|c| c.is_ascii_digit() || c == '.');
        let is_unit = |c: char| "nsuµμmhdwy".contains(c);
        if self.rest().starts_with(is_unit) {
            self.take_while(|c| c.is_ascii_digit() || c == '.' || is_unit(c));
            let text = &self.source[start..self.at];
            let ns = syntax::duration::parse_ns(text);
            return ns
                .map(Tok::Duration)
                .map_err(|e| ParseError::syntax(self.source, Span::new(start, self.at), e.to_string()));
        }
        let exponent =
            self.rest().strip_prefix(['e', 'E']).map(|rest| rest.strip_prefix(['+', '-']).unwrap_or(rest));
        if exponent.is_some_and(|digits| digits.starts_with(|c: char| c.is_ascii_digit())) {
            self.at += 1;
            self.take_while(|c| c == '+' || c == '-');
            self.take_while(|c| c.is_ascii_digit());
        }
        let text = &self.source[start..self.at];
        let number = if text.bytes().all(|b| b.is_ascii_digit()) {
            text.parse().ok().map(Tok::Int)
        } else {
            text.parse().ok().filter(|v: &f64| v.is_finite()).map(Tok::Float)
        };
        number.ok_or_else(|| {
            ParseError::syntax(
                self.source,
                Span::new(start, self.at),
                format!("syntax error: {text} is not a number in range"),
            )
        })
    }

    /// A keyword, an intrinsic with its scope, or an attribute with its scope.
    fn word(&mut self) -> Result<Tok<'s>, ParseError> {
        let start = self.at;
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let word = self.take_while(is_word);
        if self.rest().starts_with('.') {
            let scope = match word {
                "span" => Some(Scope::Span),
                "resource" => Some(Scope::Resource),
                "event" => Some(Scope::Event),
                "link" => Some(Scope::Link),
                "instrumentation" => Some(Scope::Instrumentation),
                _ => None,
            };
            if let Some(scope) = scope {
                self.at += 1;
                return self.attribute(scope, false);
            }
            if word == "parent" {
                self.at += 1;
                let scope = match () {
                    () if self.eat("span.") => Scope::Span,
                    () if self.eat("resource.") => Scope::Resource,
                    () => Scope::Any,
                };
                return self.attribute(scope, true);
            }
        }
        if matches!(word, "span" | "trace" | "event" | "link" | "instrumentation") && self.eat(":") {
            self.take_while(is_word);
        }
        Ok(Tok::Word(&self.source[start..self.at]))
    }

    /// The name of an attribute, in which parts may be quoted: `span."a b".c`.
    fn attribute(&mut self, scope: Scope, parent: bool) -> Result<Tok<'s>, ParseError> {
        let start = self.at;
        let mut name = String::new();
        loop {
            name.push_str(self.take_while(|c| is_attribute_char(c) && c != '"'));
            if !self.eat("\"") {
                break;
            }
            loop {
                name.push_str(self.take_while(|c| c != '"' && c != '\\'));
                if self.eat("\"") {
                    break;
                }
                if self.rest().is_empty() {
                    return Err(self.error("syntax error: unexpected EOF, expecting \""));
                }
                if !self.rest().starts_with("\\\"") && !self.rest().starts_with("\\\\") {
                    return Err(self.error("invalid escape sequence"));
                }
                name.push_str(&self.rest()[1..2]);
                self.at += 2;
            }
        }
        if self.at == start {
            return Err(self.error("syntax error: unexpected END_ATTRIBUTE, expecting IDENTIFIER"));
        }
        Ok(Tok::Attribute(Attribute { scope, parent, name }))
    }
}
