//! What stands between brackets: members, ranges and named classes. Neither sets nor classes within classes.

use std::fmt::Write;

use super::escape::perl_class;
use super::{PatternError, Reader};

/// The classes that have a name between colons.
const NAMED: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

impl Reader<'_> {
    /// A class, whose bracket at this place is behind the reader.
    pub(super) fn class(&mut self, at: usize) -> Result<(), PatternError> {
        let mut out = String::from("[");
        if self.chars.next_if(|(_, c)| *c == '^').is_some() {
            out.push('^');
        }
        let mut is_first = true;
        loop {
            let Some((place, c)) = self.chars.peek().copied() else { return Err(self.no_end(at)) };
            if c == ']' && !is_first {
                self.chars.next();
                break;
            }
            is_first = false;
            if !(self.named_class(&mut out)? || self.escaped_class(place, &mut out)?) {
                self.range(at, place, &mut out)?;
            }
        }
        out.push(']');
        self.out.push_str(&out);
        Ok(())
    }

    fn no_end(&self, at: usize) -> PatternError {
        PatternError::new("missing closing ]", &self.text[at..])
    }

    /// `[:alpha:]` and `[:^alpha:]`; false where something else comes.
    fn named_class(&mut self, out: &mut String) -> Result<bool, PatternError> {
        let rest = self.rest();
        let Some(end) = rest.strip_prefix("[:").and_then(|inner| inner.find(":]")) else { return Ok(false) };
        let (whole, name) = (&rest[..end + 4], &rest[2..end + 2]);
        if !NAMED.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Err(PatternError::new("invalid character class range", whole));
        }
        out.push_str(whole);
        let length = whole.chars().count();
        self.skip(length);
        Ok(true)
    }

    /// `\d`, `\pN` and their like; false where something else comes.
    fn escaped_class(&mut self, at: usize, out: &mut String) -> Result<bool, PatternError> {
        let rest = self.rest();
        let Some(c) = rest.strip_prefix('\\').and_then(|rest| rest.chars().next()) else { return Ok(false) };
        if matches!(c, 'p' | 'P') {
            self.chars.next();
            out.push_str(&self.unicode_class(at)?);
            return Ok(true);
        }
        let Some(members) = perl_class(c.to_ascii_lowercase()) else { return Ok(false) };
        if c.is_ascii_uppercase() {
            out.push_str(&format!("[^{members}]"));
        } else {
            out.push_str(members);
        }
        self.skip(2);
        Ok(true)
    }

    /// A character, or all from one to another.
    fn range(&mut self, class: usize, at: usize, out: &mut String) -> Result<(), PatternError> {
        let low = self.member(class)?;
        let is_range =
            self.rest().strip_prefix('-').is_some_and(|rest| !rest.starts_with(']') && !rest.is_empty());
        let high = if is_range {
            self.chars.next();
            self.member(class)?
        } else {
            low
        };
        if high < low {
            let end = self.place();
            return Err(PatternError::new("invalid character class range", &self.text[at..end]));
        }
        // Halves of pairs are no characters of a text.
        let from = if (0xD800..=0xDFFF).contains(&low) { 0xE000 } else { low };
        let to = if (0xD800..=0xDFFF).contains(&high) { 0xD7FF } else { high };
        if from <= to {
            write!(out, "\\x{{{from:X}}}-\\x{{{to:X}}}").expect("memory takes every text");
        }
        Ok(())
    }

    fn member(&mut self, class: usize) -> Result<u32, PatternError> {
        match self.chars.peek().copied() {
            None => Err(self.no_end(class)),
            Some((at, '\\')) => {
                self.chars.next();
                self.code(at)
            }
            Some((_, c)) => {
                self.chars.next();
                Ok(u32::from(c))
            }
        }
    }
}
