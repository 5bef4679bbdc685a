//! String literals with Go's escapes, between `"`, `'` or, without escapes, `` ` ``.

/// What is wrong with a literal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StringError {
    /// It does not start and end with the same quote.
    #[error("unterminated quoted string")]
    Unterminated,
    /// A backslash and something that is no escape.
    #[error("unknown escape sequence at offset={offset}")]
    Escape {
        /// The byte of the literal at which the escape starts.
        offset: usize,
    },
    /// The escapes do not make valid UTF-8.
    #[error("the escapes of the string do not make valid UTF-8")]
    NotUtf8,
}

/// The length in bytes of the literal at the start of a text, quotes included; none where there is none or it does
/// not end. Quoted literals end at a line feed, raw ones do not.
#[must_use]
pub fn literal_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let quote = *bytes.first().filter(|b| matches!(b, b'"' | b'\'' | b'`'))?;
    let mut i = 1;
    while let Some(byte) = bytes.get(i) {
        match byte {
            b if *b == quote => return Some(i + 1),
            b'\\' if quote != b'`' => i += 2,
            b'\n' if quote != b'`' => return None,
            _ => i += 1,
        }
    }
    None
}

/// The text that a literal, quotes included, stands for.
///
/// # Errors
/// When it is not one whole literal, an escape is wrong, or the escapes do not make a text.
pub fn unquote(literal: &str) -> Result<String, StringError> {
    String::from_utf8(unquote_bytes(literal)?).map_err(|_| StringError::NotUtf8)
}

/// The text that a literal, quotes included, stands for; bytes of escapes that make no text are kept as characters of a
/// private plane, which [`quote`] writes as those bytes again. They are equal to no text but one of the same bytes.
///
/// # Errors
/// When it is not one whole literal, or an escape is wrong.
pub fn unquote_any(literal: &str) -> Result<String, StringError> {
    let bytes = unquote_bytes(literal)?;
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|byte| char::from_u32(BYTES | u32::from(*byte))));
    }
    Ok(text)
}

/// Whether no byte of it stands for itself; see [`unquote_any`].
#[must_use]
pub fn is_text(text: &str) -> bool {
    !text.contains(|c: char| u32::from(c) & !0x7f == BYTES | 0x80)
}

/// The text with the sign for what is no character in place of bytes that stand for themselves; see [`unquote_any`].
#[must_use]
pub fn lossy(text: &str) -> String {
    let is_byte = |c: char| u32::from(c) & !0x7f == BYTES | 0x80;
    text.chars().map(|c| if is_byte(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The characters for bytes from 0x80 on: the last ones of the second private plane.
const BYTES: u32 = 0x10_ff00;

/// The bytes that a literal, quotes included, stands for; escapes can make any.
fn unquote_bytes(literal: &str) -> Result<Vec<u8>, StringError> {
    if literal_len(literal) != Some(literal.len()) {
        return Err(StringError::Unterminated);
    }
    let inner = &literal[1..literal.len() - 1];
    let quote = literal.as_bytes()[0];
    if quote == b'`' {
        return Ok(inner.as_bytes().to_vec());
    }
    let mut out: Vec<u8> = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let offset = 1 + inner.len() - rest.len() + at;
        let taken = escape(&rest[at + 1..], quote, &mut out).ok_or(StringError::Escape { offset })?;
        rest = &rest[at + 1 + taken..];
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// Reads what follows a backslash; gives the bytes that it took.
fn escape(text: &str, quote: u8, out: &mut Vec<u8>) -> Option<usize> {
    let byte = *text.as_bytes().first()?;
    let plain = match byte {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'\\' => b'\\',
        b if b == quote => quote,
        b'x' => u8::from_str_radix(digits(text, 1, 2)?, 16).ok()?,
        b'0'..=b'7' => u8::from_str_radix(digits(text, 0, 3)?, 8).ok()?,
        b'u' | b'U' => {
            let width = if byte == b'u' { 4 } else { 8 };
            let c = char::from_u32(u32::from_str_radix(digits(text, 1, width)?, 16).ok()?)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(1 + width);
        }
        _ => return None,
    };
    out.push(plain);
    Some(match byte {
        b'x' => 3,
        b'0'..=b'7' => 3,
        _ => 1,
    })
}

fn digits(text: &str, from: usize, width: usize) -> Option<&str> {
    text.get(from..from + width).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Writes a text as a literal between `"`, as Go's `strconv.Quote` does.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        push_quoted(&mut out, c, '"');
    }
    out.push('"');
    out
}

/// Writes a character between `'`, as Go's `%q` does.
#[must_use]
pub fn quote_char(c: char) -> String {
    let mut out = "'".to_owned();
    match c {
        // The sign for what is no character stands for itself.
        char::REPLACEMENT_CHARACTER => out.push(c),
        _ => push_quoted(&mut out, c, '\''),
    }
    out.push('\'');
    out
}

/// Whether a character leaves ink, or is the space: letters, marks, numbers, punctuation and symbols.
#[must_use]
pub fn is_printable(c: char) -> bool {
    // Behind a letter a combining mark is shown as it is, so that only what cannot be shown is escaped.
    let mut shown = String::from_iter(['a', c]);
    shown = shown.escape_debug().collect();
    matches!(c, '"' | '\'' | '\\') || !shown.contains('\\')
}

fn push_quoted(out: &mut String, c: char, quote: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        c if c == quote => out.extend(['\\', quote]),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\u{b}' => out.push_str("\\v"),
        c if u32::from(c) < 0x20 || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
        c if u32::from(c) & !0x7f == BYTES | 0x80 => out.push_str(&format!("\\x{:02x}", u32::from(c) & 0xff)),
        // Written as it is, it could not be told from bytes that are no text.
        char::REPLACEMENT_CHARACTER => out.push_str("\\ufffd"),
        ' '..='~' => out.push(c),
        c if is_printable(c) => out.push(c),
        c if u32::from(c) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn literals() {
        let cases = [
            (r#""a\nb""#, Some("a\nb")),
            (r"'it\'s \x41\101\u00e4'", Some("it's AAä")),
            (r"`raw\n`", Some(r"raw\n")),
            (r#""\xc3\xa4""#, Some("ä")),
            (r#""\xff""#, None),
            (r#""\'""#, None),
            (r#""\q""#, None),
            (r#""open"#, None),
            (r#""open\""#, None),
            ("\"a\nb\"", None),
            (r#""a"b"#, None),
            ("", None),
        ];
        for (literal, text) in cases {
            assert_eq!(unquote(literal).ok().as_deref(), text, "{literal}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        let literal = r#""a\xc5z\xff\u00e4""#;
        assert_eq!(unquote(literal), Err(StringError::NotUtf8));
        let text = unquote_any(literal).unwrap();
        assert_eq!((is_text(&text), is_text("aä\u{10ff00}")), (false, true));
        assert_eq!(
            (quote(&text).as_str(), lossy(&text).as_str()),
            (r#""a\xc5z\xffä""#, "a\u{fffd}z\u{fffd}ä")
        );
    }

    #[test]
    fn what_cannot_be_shown_is_escaped() {
        let cases = [
            ("a\"'\\\n\0", r#""a\"'\\\n\x00""#),
            ("\u{a0}\u{feff}\u{e0001}", r#""\u00a0\ufeff\U000e0001""#),
            ("äe\u{301}日 😀", "\"äe\u{301}日 😀\""),
            ("\u{fffd}", r#""\ufffd""#),
        ];
        for (text, quoted) in cases {
            assert_eq!(quote(text), quoted);
        }
        let chars = ['a', '\'', '"', '\0', '\u{a0}', '\u{fffd}'].map(quote_char);
        assert_eq!(chars.map(|c| c[1..c.len() - 1].to_owned()).join(" "), "a \\' \" \\x00 \\u00a0 \u{fffd}");
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read_back(text in ".*") {
            prop_assert_eq!(unquote_any(&quote(&text)).unwrap(), text);
        }

        #[test]
        fn arbitrary_text_is_read_or_refused(text in "[\"'`\\\\xu0-9a-fn\u{e4}]{0,12}") {
            let _ = unquote(&text);
        }
    }
}
