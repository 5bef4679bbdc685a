//! The text with holes of `| pattern "<a> - <_>"` and of the line filter `|> "<_> failed <_>"`.

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text that must stand there.
    Literal(String),
    /// Anything; named, or `<_>`.
    Capture(Option<String>),
}

/// A pattern in pieces; two captures never touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PatternText {
    pub(crate) pieces: Vec<Piece>,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatternError {
    /// Nothing at all.
    #[error("empty pattern")]
    Empty,
    /// Where the first would end is unknowable.
    #[error("found consecutive capture '{0}': captures must be separated by literals")]
    Consecutive(String),
    /// Nothing would be extracted.
    #[error("at least one capture is required")]
    NoCapture,
    /// A name stands twice.
    #[error("duplicate capture name ({0})")]
    Duplicate(String),
    /// A filter has no names to give.
    #[error("named captures are not allowed in a pattern filter: found '{0}'")]
    Named(String),
}

impl PatternText {
    /// Reads a pattern.
    pub(crate) fn parse(text: &str) -> Result<Self, PatternError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some((name, length)) = capture(rest) {
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                } else if matches!(pieces.last(), Some(Piece::Capture(_))) {
                    return Err(PatternError::Consecutive(rest[..length].to_owned()));
                }
                pieces.push(Piece::Capture((name != "_").then(|| name.to_owned())));
                rest = &rest[length..];
            } else {
                literal.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        if pieces.is_empty() { Err(PatternError::Empty) } else { Ok(Self { pieces }) }
    }

    /// Reads the pattern of a parser: it names at least one capture, each once.
    pub(crate) fn parse_extraction(text: &str) -> Result<Self, PatternError> {
        let pattern = Self::parse(text)?;
        let names: Vec<&String> = pattern.names().collect();
        if let Some(twice) = names.iter().enumerate().find(|(i, n)| names[..*i].contains(n)) {
            return Err(PatternError::Duplicate((*twice.1).clone()));
        }
        if names.is_empty() { Err(PatternError::NoCapture) } else { Ok(pattern) }
    }

    /// Reads the pattern of a filter: no capture has a name.
    pub(crate) fn parse_filter(text: &str) -> Result<Self, PatternError> {
        let pattern = Self::parse(text)?;
        if let Some(name) = pattern.names().next() {
            return Err(PatternError::Named(format!("<{name}>")));
        }
        Ok(pattern)
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Capture(name) => name.as_ref(),
            Piece::Literal(_) => None,
        })
    }

    /// The literal texts, in order.
    pub(crate) fn literals(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Literal(text) => Some(text.as_str()),
            Piece::Capture(_) => None,
        })
    }

    /// Gives each named capture's text to `found`, as far as the line follows the pattern.
    pub(crate) fn extract<'l>(&self, line: &'l str, mut found: impl FnMut(&str, &'l str)) {
        let mut rest = line;
        let mut pieces = self.pieces.iter().peekable();
        while let Some(piece) = pieces.next() {
            match piece {
                Piece::Literal(text) => {
                    // A pattern that starts with text may start anywhere in the line.
                    let Some(at) = rest.find(text.as_str()) else { return };
                    rest = &rest[at + text.len()..];
                }
                Piece::Capture(name) => {
                    let end = match pieces.peek() {
                        Some(Piece::Literal(text)) => rest.find(text.as_str()),
                        _ => Some(rest.len()),
                    };
                    let Some(end) = end else {
                        // The last capture that begins still takes what is left.
                        if let Some(name) = name {
                            found(name, rest);
                        }
                        return;
                    };
                    if let Some(name) = name {
                        found(name, &rest[..end]);
                    }
                    rest = &rest[end..];
                }
            }
        }
    }

    /// Whether the whole line follows the pattern; each capture takes at least one byte.
    pub(crate) fn matches(&self, line: &str) -> bool {
        let mut rest = line;
        let mut open = false;
        for (i, piece) in self.pieces.iter().enumerate() {
            match piece {
                Piece::Capture(_) => open = true,
                Piece::Literal(text) => {
                    let from = usize::from(open);
                    let is_last = i + 1 == self.pieces.len();
                    let at = match rest.as_bytes().get(from..) {
                        None => None,
                        Some(_) if !open => rest.starts_with(text.as_str()).then_some(0),
                        Some(_) if is_last => rest
                            .ends_with(text.as_str())
                            .then(|| rest.len() - text.len())
                            .filter(|at| *at >= from),
                        Some(tail) => memchr::memmem::find(tail, text.as_bytes()).map(|at| at + from),
                    };
                    let Some(at) = at else { return false };
                    rest = &rest[at + text.len()..];
                    open = false;
                }
            }
        }
        open != rest.is_empty()
    }
}

/// The name of the capture at the start of a text, and the capture's length.
fn capture(text: &str) -> Option<(&str, usize)> {
    let inner = text.strip_prefix('<')?;
    let end = inner.find('>')?;
    let name = &inner[..end];
    let mut chars = name.chars();
    let starts = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    (starts && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')).then_some((name, end + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extracts_between_literals() {
        for (pattern, line, expected) in [
            (
                "<ip> - <_> [<when>] \"<m> <path>\"",
                "1.2.3.4 - bob [now] \"GET /x\"",
                "ip=1.2.3.4 when=now m=GET path=/x",
            ),
            ("level=<level> ", "ts=1 level=warn msg=x", "level=warn"),
            ("<a> <b>", "one", "a=one"),
            ("<a>", "whole line", "a=whole line"),
            ("x<a>", "none", ""),
        ] {
            let mut got = Vec::new();
            PatternText::parse_extraction(pattern)
                .unwrap()
                .extract(line, |n, v| got.push(format!("{n}={v}")));
            assert_eq!(got.join(" "), expected, "{pattern}");
        }
    }

    #[test]
    fn filters_the_whole_line() {
        for (pattern, line, expected) in [
            ("<_> failed <_>", "job failed now", true),
            ("<_> failed <_>", "failed now", false),
            ("start <_>", "start x", true),
            ("start <_>", "restart x", false),
            ("<_>end", "the end", true),
            ("<_>end", "the ends", false),
            ("<_>end", "end", false),
            ("<_>", "", false),
            ("<_>", "x", true),
            ("<_>a<_>a", "xaya", true),
            ("exact", "exact", true),
            ("exact", "exactly", false),
        ] {
            assert_eq!(
                PatternText::parse_filter(pattern).unwrap().matches(line),
                expected,
                "{pattern} {line}"
            );
        }
    }

    #[test]
    fn refuses_what_cannot_be_a_pattern() {
        assert_eq!(PatternText::parse(""), Err(PatternError::Empty));
        assert_eq!(PatternText::parse("<a><b>"), Err(PatternError::Consecutive("<b>".into())));
        assert_eq!(PatternText::parse_extraction("x <_>"), Err(PatternError::NoCapture));
        assert_eq!(PatternText::parse_extraction("<a> <a>"), Err(PatternError::Duplicate("a".into())));
        assert_eq!(PatternText::parse_filter("<a> x"), Err(PatternError::Named("<a>".into())));
    }
}
