//! A template's text as pieces: plain text and actions, and an action's text as tokens.

/// A piece of a template.
#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    Text(String),
    Action(Vec<Tok>),
}

/// A token of an action.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tok {
    /// A word: a function, a keyword, `true`, `nil`.
    Word(String),
    /// `.name`; whether it stands right behind what comes before it.
    Field(String, bool),
    Dot,
    /// `$name`
    Variable(String),
    Text(String),
    Int(i64),
    Float(f64),
    /// `(`, `)`, `|`, `,`, `:=`, `=`
    Sign(&'static str),
}

/// Splits a template.
pub(super) fn split(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim = false;
    loop {
        let open = rest.find("{{");
        let mut plain = &rest[..open.unwrap_or(rest.len())];
        if trim {
            plain = plain.trim_start();
        }
        let Some(open) = open else {
            push_text(&mut pieces, plain);
            return Ok(pieces);
        };
        let mut inner = &rest[open + 2..];
        if inner.starts_with("- ") {
            plain = plain.trim_end();
            inner = &inner[1..];
        }
        push_text(&mut pieces, plain);
        let (tokens, after, trims) = action(inner)?;
        if let Some(tokens) = tokens {
            pieces.push(Piece::Action(tokens));
        }
        trim = trims;
        rest = after;
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

type Action<'t> = (Option<Vec<Tok>>, &'t str, bool);

/// Reads an action up to its end; gives no tokens for a comment, what follows, and whether space is to be trimmed.
fn action(text: &str) -> Result<Action<'_>, String> {
    let trimmed = text.trim_start();
    if let Some(comment) = trimmed.strip_prefix("/*") {
        let end = comment.find("*/").ok_or("unclosed comment")?;
        let after = comment[end + 2..].trim_start();
        let (after, trims) = after.strip_prefix('-').map_or((after, false), |after| (after, true));
        let after = after.strip_prefix("}}").ok_or("comment ends before closing delimiter")?;
        return Ok((None, after, trims));
    }
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        let spaced = rest.starts_with(char::is_whitespace);
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix("}}") {
            return Ok((Some(tokens), after, false));
        }
        if let Some(after) = rest.strip_prefix("-}}")
            && spaced
        {
            return Ok((Some(tokens), after, true));
        }
        let Some(first) = rest.chars().next() else { return Err("unclosed action".into()) };
        let (token, length) = token(rest, first, spaced || tokens.is_empty())?;
        tokens.push(token);
        rest = &rest[length..];
    }
}

fn token(rest: &str, first: char, spaced: bool) -> Result<(Tok, usize), String> {
    let word_length =
        |text: &str| text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    if first == '"' || first == '`' {
        let length = syntax::string::literal_len(rest).ok_or("unterminated quoted string")?;
        let text = syntax::string::unquote(&rest[..length]).map_err(|error| error.to_string())?;
        return Ok((Tok::Text(text), length));
    }
    for sign in ["(", ")", "|", ",", ":=", "="] {
        if rest.starts_with(sign) {
            return Ok((Tok::Sign(sign), sign.len()));
        }
    }
    if first == '$' {
        let length = word_length(&rest[1..]);
        return Ok((Tok::Variable(rest[1..=length].to_owned()), length + 1));
    }
    let second_is_digit = rest[first.len_utf8()..].starts_with(|c: char| c.is_ascii_digit());
    if first == '.' && !second_is_digit {
        let length = word_length(&rest[1..]);
        return Ok(match length {
            0 => (Tok::Dot, 1),
            _ => (Tok::Field(rest[1..=length].to_owned(), !spaced), length + 1),
        });
    }
    if first.is_ascii_digit() || (matches!(first, '-' | '+' | '.') && second_is_digit) {
        let tail = rest[1..].find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_'));
        let length = tail.map_or(rest.len(), |n| n + 1);
        let text = &rest[..length];
        if let Ok(int) = text.parse() {
            return Ok((Tok::Int(int), length));
        }
        let number = syntax::number::parse(text).map_err(|_| format!("bad number syntax: {text:?}"))?;
        return Ok((Tok::Float(number), length));
    }
    match word_length(rest) {
        0 => Err(format!("unexpected {first:?} in action")),
        length => Ok((Tok::Word(rest[..length].to_owned()), length)),
    }
}
