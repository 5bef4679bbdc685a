//! A query's text as tokens. Words are not told apart here: `rate` is a word where a label may be named so.

use syntax::{Position, Span, Token};

use crate::error::ParseError;

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tok {
    /// A name or a word of the language.
    Word(String),
    /// A quoted text, unquoted.
    Text(String),
    /// A number.
    Number(f64),
    /// A duration, in nanoseconds.
    Duration(i64),
    /// A size, in bytes.
    Bytes(u64),
    /// `--strict` and its kin, without the dashes.
    Flag(String),
    /// Punctuation and operators.
    Sign(&'static str),
}

impl Tok {
    /// What an error calls it.
    pub(crate) fn describe(&self) -> &str {
        match self {
            Tok::Word(_) => "IDENTIFIER",
            Tok::Text(_) => "STRING",
            Tok::Number(_) => "NUMBER",
            Tok::Duration(_) => "DURATION",
            Tok::Bytes(_) => "BYTES",
            Tok::Flag(_) => "PARSER_FLAG",
            Tok::Sign(sign) => sign,
        }
    }
}

/// Longer signs before those that they start with.
const SIGNS: [&str; 30] = [
    "|=", "|~", "|>", "!=", "!~", "!>", "=~", "==", ">=", "<=", "{", "}", "(", ")", "[", "]", ",", "|", "=",
    ">", "<", "+", "-", "*", "/", "%", "^", ".", "!", ":",
];

/// Reads the tokens of a text.
pub(crate) fn lex(source: &str) -> Result<Vec<Token<Tok>>, ParseError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        if c == '#' {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let (kind, length) = token(rest, c)
            .map_err(|message| ParseError::At { position: Position::of(source, at), message })?;
        tokens.push(Token { kind, span: Span::new(at, at + length) });
        at += length;
    }
    Ok(tokens)
}

fn token(rest: &str, first: char) -> Result<(Tok, usize), String> {
    if first == '"' || first == '`' {
        let length = syntax::string::literal_len(rest).ok_or("literal not terminated")?;
        let text = syntax::string::unquote(&rest[..length]).map_err(|error| error.to_string())?;
        return Ok((Tok::Text(text), length));
    }
    if first.is_alphabetic() || first == '_' {
        let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        return Ok((Tok::Word(rest[..length].to_owned()), length));
    }
    let is_digit_at = |i: usize| rest.as_bytes().get(i).is_some_and(u8::is_ascii_digit);
    if first.is_ascii_digit() || (first == '.' && is_digit_at(1)) {
        return quantity(rest);
    }
    if let Some(flag) = rest.strip_prefix("--")
        && flag.starts_with(|c: char| c.is_ascii_alphabetic())
    {
        let length = flag.find(|c: char| !(c.is_ascii_alphabetic() || c == '-')).unwrap_or(flag.len());
        return Ok((Tok::Flag(flag[..length].to_owned()), length + 2));
    }
    let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
    sign.map(|sign| (Tok::Sign(sign), sign.len()))
        .ok_or_else(|| format!("syntax error: unexpected {first:?}"))
}

/// A number, a duration or a size.
fn quantity(rest: &str) -> Result<(Tok, usize), String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '.';
    let length = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
    let text = &rest[..length];
    // The sign of an exponent does not end a number.
    if text.ends_with(['e', 'E']) && rest[length..].starts_with(['+', '-']) {
        let digits =
            rest[length + 1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - length - 1);
        let whole = &rest[..length + 1 + digits];
        if let Ok(number) = whole.parse() {
            return Ok((Tok::Number(number), whole.len()));
        }
    }
    if let Ok(number) = text.parse() {
        return Ok((Tok::Number(number), length));
    }
    if let Ok(ns) = syntax::duration::parse_ns(text) {
        return Ok((Tok::Duration(ns), length));
    }
    if let Ok(bytes) = syntax::bytes::parse(text) {
        return Ok((Tok::Bytes(bytes), length));
    }
    match syntax::number::parse(text) {
        Ok(number) => Ok((Tok::Number(number), length)),
        Err(_) => Err(format!("not a valid duration string: {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let kinds = |text| lex(text).map(|t| t.into_iter().map(|t| t.kind).collect::<Vec<_>>());
        let word = |w: &str| Tok::Word(w.into());
        for (text, expected) in [
            (
                "a|=`x\"` # c\n5m",
                vec![word("a"), Tok::Sign("|="), Tok::Text("x\"".into()), Tok::Duration(300_000_000_000)],
            ),
            (
                "1e3 2.5e-1 5KB 1.5s",
                vec![Tok::Number(1000.0), Tok::Number(0.25), Tok::Bytes(5000), Tok::Duration(1_500_000_000)],
            ),
            ("logfmt --keep-empty", vec![word("logfmt"), Tok::Flag("keep-empty".into())]),
        ] {
            assert_eq!(kinds(text).unwrap(), expected, "{text}");
        }
        for (text, expected) in [
            ("{a=\"b", "parse error at line 1, col 4: literal not terminated"),
            ("a\n ~", "parse error at line 2, col 2: syntax error: unexpected '~'"),
            ("[5minutes]", "parse error at line 1, col 2: not a valid duration string: \"5minutes\""),
        ] {
            assert_eq!(lex(text).unwrap_err().to_string(), expected);
        }
    }
}
