//! The text in which a protobuf push writes a stream's labels: `{name="value", …}`. It is what LogQL calls a
//! stream selector, save that only `=` may stand between name and value.
//!
//! Source: Prometheus' grammar of label sets, which Loki uses; string literals are Go's.

use std::str::Chars;

use crate::error::WireError;

/// Reads the labels in the order in which they were sent.
///
/// # Errors
/// [`WireError::Labels`] with the place at which the text goes wrong.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, WireError> {
    Reader { text, rest: text.chars() }.labels()
}

struct Reader<'a> {
    text: &'a str,
    rest: Chars<'a>,
}

impl Reader<'_> {
    fn labels(mut self) -> Result<Vec<(String, String)>, WireError> {
        self.expect('{')?;
        let mut labels = Vec::new();
        loop {
            if self.take('}') {
                break;
            }
            let name = self.name()?;
            self.expect('=')?;
            self.skip_spaces();
            labels.push((name, self.string()?));
            if !self.take(',') {
                self.expect('}')?;
                break;
            }
        }
        self.skip_spaces();
        if self.rest.as_str().is_empty() { Ok(labels) } else { Err(self.error("nothing may follow `}`")) }
    }

    fn name(&mut self) -> Result<String, WireError> {
        self.skip_spaces();
        let rest = self.rest.as_str();
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let (name, after) = rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.error("a label's name is expected: letters, digits and `_`, no digit first"));
        }
        self.rest = after.chars();
        Ok(name.to_owned())
    }

    fn string(&mut self) -> Result<String, WireError> {
        let quote = match self.rest.next() {
            Some(quote @ ('"' | '\'' | '`')) => quote,
            _ => return Err(self.error("a quoted value is expected")),
        };
        // Escapes beyond ASCII may spell UTF-8 byte by byte, so bytes are gathered first.
        let mut value = Vec::new();
        loop {
            match self.rest.next() {
                None => return Err(self.error("the value has no closing quote")),
                Some(c) if c == quote => break,
                Some('\\') if quote != '`' => self.escape(quote, &mut value)?,
                Some(c) => value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        String::from_utf8(value).map_err(|_| self.error("the value's escapes are not UTF-8"))
    }

    fn escape(&mut self, quote: char, value: &mut Vec<u8>) -> Result<(), WireError> {
        let byte = match self.rest.next() {
            Some('a') => 0x07,
            Some('b') => 0x08,
            Some('f') => 0x0c,
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('v') => 0x0b,
            Some('\\') => b'\\',
            Some(c) if c == quote => quote as u8,
            Some('x') => self.digits(2, 16)? as u8,
            Some(c @ '0'..='7') => {
                let low = self.digits(2, 8)?;
                let code = (c as u32 - '0' as u32) * 64 + low;
                u8::try_from(code).map_err(|_| self.error("an octal escape is at most \\377"))?
            }
            Some(c @ ('u' | 'U')) => {
                let code = self.digits(if c == 'u' { 4 } else { 8 }, 16)?;
                let c = char::from_u32(code).ok_or_else(|| self.error("the escape is no character"))?;
                value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.error("the escape is not known")),
        };
        value.push(byte);
        Ok(())
    }

    fn digits(&mut self, count: usize, radix: u32) -> Result<u32, WireError> {
        let mut code: u32 = 0;
        for _ in 0..count {
            let digit = self.rest.next().and_then(|c| c.to_digit(radix));
            let digit = digit.ok_or_else(|| self.error("the escape has too few digits"))?;
            code = code.wrapping_mul(radix).wrapping_add(digit);
        }
        Ok(code)
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.as_str().trim_start_matches([' ', '\t', '\r', '\n']).chars();
    }

    fn take(&mut self, wanted: char) -> bool {
        self.skip_spaces();
        match self.rest.as_str().strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest.chars();
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), WireError> {
        if self.take(wanted) { Ok(()) } else { Err(self.error(&format!("`{wanted}` is expected"))) }
    }

    fn error(&self, reason: &str) -> WireError {
        WireError::Labels { at: self.text.len() - self.rest.as_str().len(), reason: reason.to_owned() }
    }
}
