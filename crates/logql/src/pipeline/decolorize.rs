//! `| decolorize`: takes the escape sequences that colour a terminal out of the line.

use std::borrow::Cow;

/// The line without `ESC [ … letter` sequences.
pub(crate) fn decolorize(line: Cow<'_, str>) -> Cow<'_, str> {
    if memchr::memchr(0x1b, line.as_bytes()).is_none() {
        return line;
    }
    let mut out = String::with_capacity(line.len());
    let mut rest = &*line;
    while let Some(at) = rest.find('\u{1b}') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        match sequence_length(tail) {
            Some(length) => rest = &tail[length..],
            None => {
                out.push('\u{1b}');
                rest = tail;
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The length of what follows the escape character, when it is a control sequence.
fn sequence_length(tail: &str) -> Option<usize> {
    let body = tail.strip_prefix('[')?;
    let end = body.bytes().position(|b| (0x40..=0x7e).contains(&b))?;
    let parameters = &body.as_bytes()[..end];
    parameters.iter().all(|b| (0x20..=0x3f).contains(b)).then_some(end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_and_text_stays() {
        for (line, expected) in [
            ("plain", "plain"),
            ("\u{1b}[31mred\u{1b}[0m text", "red text"),
            ("\u{1b}[1;38;5;200mx", "x"),
            ("a\u{1b}b", "a\u{1b}b"),
            ("tail\u{1b}[", "tail\u{1b}["),
        ] {
            assert_eq!(decolorize(Cow::Borrowed(line)), expected);
        }
    }
}
