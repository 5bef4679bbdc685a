//! Numbers, durations and strings: how far they reach, and what is wrong with those that are none.

use syntax::string;

use super::{Lexer, Step, is_alphanumeric};
use crate::lexer::Tok;

/// Digits of a number: decimal ones, or hexadecimal ones.
type IsDigit = fn(char) -> bool;

impl Lexer<'_> {
    /// A number or a duration, whose first character is taken. What looks like a duration is one; its units are read later.
    pub(super) fn number(&mut self) -> Step {
        self.at = self.start;
        if self.reads_number() {
            return self.emit(Tok::Number);
        }
        if self.reads_units() {
            return self.emit(Tok::Duration);
        }
        Err(format!("bad number or duration syntax: {}", string::quote(self.text())))
    }

    /// Reads a number as far as it goes; false where something stands there that no number has.
    fn reads_number(&mut self) -> bool {
        let mut is_digit: IsDigit = |c| c.is_ascii_digit();
        if self.eat(|c| c == '0') && self.eat(|c| matches!(c, 'x' | 'X')) {
            self.eat(|c| c == '_');
            is_digit = |c| c.is_ascii_hexdigit();
        }
        let is_hex = is_digit('a');
        self.eat(|c| c == '.');
        self.eat(is_digit);
        let (mut has_point, mut has_exponent) = (false, false);
        // What may not stand behind an exponent's letter or an underscore.
        let no_successor = |c: char| matches!(c, '.' | '_' | 'e' | 'E');
        while let Some(c) = self.peek() {
            match c {
                '.' => {
                    self.bump();
                    if has_point || self.eat(|c| matches!(c, '.' | '_')) || is_hex {
                        return false;
                    }
                    has_point = true;
                }
                'e' | 'E' => {
                    self.bump();
                    if has_exponent {
                        return false;
                    }
                    has_exponent = true;
                    self.eat(|c| matches!(c, '+' | '-'));
                    if self.eat(no_successor) || self.peek().is_none() {
                        return false;
                    }
                }
                '_' => {
                    self.bump();
                    if self.eat(no_successor) || self.peek().is_none() {
                        return false;
                    }
                }
                c if is_digit(c) => self.eat_while(is_digit),
                _ => break,
            }
        }
        !self.peek().is_some_and(is_alphanumeric)
    }

    /// Reads a unit and then numbers with units; false where something else comes, which is read too.
    fn reads_units(&mut self) -> bool {
        if !self.eat(|c| matches!(c, 's' | 'm' | 'h' | 'd' | 'w' | 'y')) {
            return false;
        }
        self.eat(|c| c == 's');
        while self.eat(|c| c.is_ascii_digit()) {
            self.eat_while(|c| c.is_ascii_digit());
            // Years come first or not at all.
            if !self.eat(|c| matches!(c, 's' | 'm' | 'h' | 'd' | 'w')) {
                return false;
            }
            self.eat(|c| c == 's');
        }
        !self.eat(is_alphanumeric)
    }

    /// A string, whose quote is taken.
    pub(super) fn string(&mut self, quote: char) -> Step {
        let is_raw = quote == '`';
        loop {
            match self.bump() {
                Some(c) if c == quote => return self.emit(Tok::Text),
                Some('\\') if !is_raw => self.escape(quote)?,
                Some(char::REPLACEMENT_CHARACTER) => return Err("invalid UTF-8 rune".to_owned()),
                None if is_raw => return Err("unterminated raw string".to_owned()),
                None | Some('\n') if !is_raw => return Err("unterminated quoted string".to_owned()),
                _ => {}
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self, quote: char) -> Result<(), String> {
        const UNFINISHED: &str = "escape sequence not terminated";
        let Some(first) = self.peek() else { return Err(UNFINISHED.to_owned()) };
        let (digits, radix, most) = match first {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => (0, 0, 0),
            c if c == quote => (0, 0, 0),
            '0'..='7' => (3, 8, 255),
            'x' => (2, 16, 255),
            'u' => (4, 16, u32::from(char::MAX)),
            'U' => (8, 16, u32::from(char::MAX)),
            other => return Err(format!("unknown escape sequence {}", unicode(other))),
        };
        if radix != 8 {
            self.bump();
        }
        let mut value = 0_u32;
        for _ in 0..digits {
            let Some(c) = self.bump() else { return Err(UNFINISHED.to_owned()) };
            let Some(digit) = c.to_digit(radix) else {
                return Err(format!("illegal character {} in escape sequence", unicode(c)));
            };
            value = value.wrapping_mul(radix).wrapping_add(digit);
        }
        if value > most || (0xd800..0xe000).contains(&value) {
            return Err("escape sequence is an invalid Unicode code point".to_owned());
        }
        Ok(())
    }
}

/// A character as Go's `%#U` writes it.
fn unicode(c: char) -> String {
    let number = format!("U+{:04X}", u32::from(c));
    if string::is_printable(c) { format!("{number} '{c}'") } else { number }
}
