//! A scanner over JSON text that makes no tree: members are handed out as they come, texts are unescaped only when
//! somebody wants them.

use std::borrow::Cow;

/// How deep values may nest.
const MAX_DEPTH: usize = 128;

/// Why a text is not the JSON that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonError {
    /// The line is something else.
    #[error("expecting a JSON object at offset={0}")]
    NoObject(usize),
    /// A value or a separator is wrong.
    #[error("unexpected character in JSON at offset={0}")]
    Unexpected(usize),
    /// The text ends too early.
    #[error("JSON ends before its values are closed")]
    End,
    /// Beyond the bound.
    #[error("JSON nests too deep: max_depth={MAX_DEPTH}")]
    TooDeep,
}

/// A value where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// What stands between the quotes, escapes and all.
    Text(&'a str),
    /// A number, `true` or `false`.
    Scalar(&'a str),
    /// `null`
    Null,
    /// An object or an array, whole.
    Container(&'a str),
}

impl Value<'_> {
    /// The value as a label's value.
    pub(crate) fn with_text<R>(&self, take: impl FnOnce(&str) -> R) -> R {
        match self {
            Value::Text(raw) => take(&unescape(raw)),
            Value::Scalar(text) | Value::Container(text) => take(text),
            Value::Null => take(""),
        }
    }
}

/// Reads JSON from the front.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Scanner<'a> {
    /// Starts at the front.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    fn peek(&mut self) -> Result<u8, JsonError> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        bytes.get(self.at).copied().ok_or(JsonError::End)
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.peek()? != byte {
            return Err(JsonError::Unexpected(self.at));
        }
        self.at += 1;
        Ok(())
    }

    /// Nothing may follow.
    pub(crate) fn end(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Err(JsonError::End) => Ok(()),
            _ => Err(JsonError::Unexpected(self.at)),
        }
    }

    /// Whether an object comes next.
    pub(crate) fn at_object(&mut self) -> Result<(), JsonError> {
        if self.peek() == Ok(b'{') { Ok(()) } else { Err(JsonError::NoObject(self.at)) }
    }

    /// Whether an array comes next.
    pub(crate) fn at_array(&mut self) -> bool {
        self.peek() == Ok(b'[')
    }

    /// Gives each scalar member of the object, its key joined to those above it.
    pub(crate) fn flatten(
        &mut self,
        key: &mut String,
        found: &mut dyn FnMut(&str, Value<'a>),
    ) -> Result<(), JsonError> {
        self.at_object()?;
        let mut member = 0;
        while let Some(name) = self.next_member(member)? {
            member += 1;
            let above = key.len();
            if above > 0 {
                key.push('_');
            }
            push_label_name(key, &unescape(name));
            if self.peek()? == b'{' {
                self.flatten(key, found)?;
            } else {
                let value = self.value()?;
                if matches!(value, Value::Text(_) | Value::Scalar(_)) && !key.is_empty() {
                    found(key, value);
                }
            }
            key.truncate(above);
        }
        Ok(())
    }

    /// The raw name of an object's next member, with the value left to read; none at the object's end. The first
    /// call, with `member` 0, takes the brace.
    pub(crate) fn next_member(&mut self, member: usize) -> Result<Option<&'a str>, JsonError> {
        if !self.next_of(member, b'{', b'}')? {
            return Ok(None);
        }
        if self.peek()? != b'"' {
            return Err(JsonError::Unexpected(self.at));
        }
        let name = self.string()?;
        self.expect(b':')?;
        Ok(Some(name))
    }

    /// Whether an array has one more item, which is left to read.
    pub(crate) fn next_item(&mut self, item: usize) -> Result<bool, JsonError> {
        self.next_of(item, b'[', b']')
    }

    fn next_of(&mut self, index: usize, open: u8, close: u8) -> Result<bool, JsonError> {
        if index == 0 {
            self.expect(open)?;
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(JsonError::TooDeep);
            }
        }
        if self.peek()? == close {
            self.at += 1;
            self.depth -= 1;
            return Ok(false);
        }
        if index > 0 {
            self.expect(b',')?;
        }
        Ok(true)
    }

    /// Reads any value.
    pub(crate) fn value(&mut self) -> Result<Value<'a>, JsonError> {
        let first = self.peek()?;
        let start = self.at;
        match first {
            b'"' => Ok(Value::Text(self.string()?)),
            b'{' => {
                let mut member = 0;
                while self.next_member(member)?.is_some() {
                    self.value()?;
                    member += 1;
                }
                Ok(Value::Container(&self.text[start..self.at]))
            }
            b'[' => {
                let mut item = 0;
                while self.next_item(item)? {
                    self.value()?;
                    item += 1;
                }
                Ok(Value::Container(&self.text[start..self.at]))
            }
            _ => self.scalar(),
        }
    }

    fn scalar(&mut self) -> Result<Value<'a>, JsonError> {
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        let length =
            rest.iter().position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.')));
        self.at += length.unwrap_or(rest.len());
        let text = &self.text[start..self.at];
        match text {
            "null" => Ok(Value::Null),
            "true" | "false" => Ok(Value::Scalar(text)),
            _ => is_number(text).then_some(Value::Scalar(text)).ok_or(JsonError::Unexpected(start)),
        }
    }

    fn string(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at + 1;
        let mut at = start;
        let bytes = self.text.as_bytes();
        loop {
            let found = memchr::memchr2(b'"', b'\\', bytes.get(at..).ok_or(JsonError::End)?);
            at += found.ok_or(JsonError::End)?;
            if bytes[at] == b'"' {
                self.at = at + 1;
                return self.text.get(start..at).ok_or(JsonError::Unexpected(start));
            }
            at += 2;
        }
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let Some(b'0'..=b'9') = digits.first() else { return false };
    // Most numbers have digits and a point at most; only the others are worth the trouble of reading them.
    let others = digits.iter().filter(|byte| !byte.is_ascii_digit());
    let is_plain = others.clone().all(|byte| *byte == b'.') && others.count() <= 1;
    is_plain || text.parse::<f64>().is_ok()
}

/// The text that raw JSON text stands for; an escape that is none stays as it is.
pub(crate) fn unescape(raw: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', raw.as_bytes()) else { return Cow::Borrowed(raw) };
    let mut out = String::with_capacity(raw.len());
    out.push_str(&raw[..first]);
    let mut rest = &raw[first..];
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let Some(c) = tail.chars().next() else { break };
        rest = &tail[c.len_utf8()..];
        match c {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'u' => rest = push_unicode(&mut out, rest),
            other => out.push(other),
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Reads what follows `\u`, with the second half of a pair, and gives what is left.
fn push_unicode<'r>(out: &mut String, rest: &'r str) -> &'r str {
    let hex = |text: &str| text.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let Some(high) = hex(rest) else {
        out.push('\u{fffd}');
        return rest;
    };
    let after = &rest[4..];
    if (0xd800..0xdc00).contains(&high) {
        let low = after.strip_prefix("\\u").and_then(hex).filter(|low| (0xdc00..0xe000).contains(low));
        if let Some(low) = low {
            let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
            return &after[6..];
        }
    }
    out.push(char::from_u32(high).unwrap_or('\u{fffd}'));
    after
}

/// Appends a key so that the whole stays a label's name.
pub(crate) fn push_label_name(out: &mut String, key: &str) {
    let key = key.trim();
    if out.is_empty() && key.starts_with(|c: char| c.is_ascii_digit()) {
        out.push('_');
    }
    if key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        out.push_str(key);
    } else {
        out.extend(key.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }));
    }
}
