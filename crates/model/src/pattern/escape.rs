//! What a backslash begins.

use super::{PatternError, Reader};

/// The ASCII classes of Perl, as they stand within brackets.
pub(super) fn perl_class(c: char) -> Option<&'static str> {
    Some(match c {
        'd' => "0-9",
        's' => r"\t\n\f\r ",
        'w' => "0-9A-Za-z_",
        _ => return None,
    })
}

impl Reader<'_> {
    /// What stands behind a backslash outside of brackets.
    pub(super) fn escaped(&mut self, at: usize) -> Result<(), PatternError> {
        let Some((_, c)) = self.chars.peek().copied() else {
            return Err(PatternError::new("trailing backslash at end of expression", ""));
        };
        match c {
            'A' => self.out.push_str(r"\A"),
            'z' => self.out.push_str(r"\z"),
            'b' => self.out.push_str(r"(?-u:\b)"),
            'B' => self.out.push_str(r"(?-u:\B)"),
            'Q' => return self.quoted(),
            'p' | 'P' => {
                let class = self.unicode_class(at)?;
                self.out.push_str(&class);
                self.one();
                return Ok(());
            }
            'd' | 's' | 'w' | 'D' | 'S' | 'W' => {
                let members = perl_class(c.to_ascii_lowercase()).unwrap_or_default();
                let negation = if c.is_ascii_uppercase() { "^" } else { "" };
                self.out.push_str(&format!("[{negation}{members}]"));
            }
            _ => {
                let code = self.code(at)?;
                match char::from_u32(code) {
                    Some(c) => self.literal(c),
                    // No text has half of a pair.
                    None => self.out.push_str(r"[^\s\S]"),
                }
                self.one();
                return Ok(());
            }
        }
        self.chars.next();
        self.one();
        Ok(())
    }

    /// Text up to `\E` or to the end, none of which means anything else.
    fn quoted(&mut self) -> Result<(), PatternError> {
        self.chars.next();
        let rest = self.rest();
        let text = rest.split_once(r"\E").map_or(rest, |(text, _)| text).to_owned();
        let has_end = text.len() < rest.len();
        for c in text.chars() {
            self.literal(c);
            self.one();
        }
        let behind = text.chars().count() + if has_end { 2 } else { 0 };
        self.skip(behind);
        Ok(())
    }

    /// `\pN`, `\p{Greek}` and `\P`, whose letter comes next; in the engine's words, which are the same.
    pub(super) fn unicode_class(&mut self, at: usize) -> Result<String, PatternError> {
        let is_negated = self.chars.next().is_some_and(|(_, c)| c == 'P');
        let invalid = |text: &str| PatternError::new("invalid character class range", text);
        let Some((_, first)) = self.chars.next() else { return Err(invalid(&self.text[at..])) };
        let name = if first == '{' {
            let rest = self.rest();
            let Some(end) = rest.find('}') else { return Err(invalid(&self.text[at..])) };
            let name = rest[..end].to_owned();
            self.skip(name.chars().count() + 1);
            name
        } else {
            first.to_string()
        };
        let end = self.place();
        let (is_negated, name) = match name.strip_prefix('^') {
            Some(rest) => (!is_negated, rest.to_owned()),
            None => (is_negated, name),
        };
        let class = format!(r"\{}{{{name}}}", if is_negated { 'P' } else { 'p' });
        let is_word = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
        let is_known = is_word
            && name.starts_with(|c: char| c.is_ascii_uppercase())
            && regex::Regex::new(&class).is_ok();
        if is_known { Ok(class) } else { Err(invalid(&self.text[at..end])) }
    }

    /// The number of the character that an escape stands for, whose character comes next.
    pub(super) fn code(&mut self, at: usize) -> Result<u32, PatternError> {
        let Some((_, c)) = self.chars.next() else {
            return Err(PatternError::new("trailing backslash at end of expression", ""));
        };
        let code = match c {
            '1'..='7' if !self.chars.peek().is_some_and(|(_, next)| matches!(next, '0'..='7')) => None,
            '0'..='7' => {
                let mut code = u32::from(c) - u32::from('0');
                for _ in 0..2 {
                    let digit = self.chars.next_if(|(_, next)| matches!(next, '0'..='7'));
                    code = digit.map_or(code, |(_, digit)| code * 8 + (u32::from(digit) - u32::from('0')));
                }
                Some(code)
            }
            'x' => self.hexadecimal(),
            'a' => Some(7),
            'f' => Some(12),
            'n' => Some(10),
            'r' => Some(13),
            't' => Some(9),
            'v' => Some(11),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(u32::from(c)),
            _ => None,
        };
        let end = self.place();
        code.ok_or_else(|| PatternError::new("invalid escape sequence", &self.text[at..end]))
    }

    /// `\x7F` or `\x{10FFFF}`, behind the letter.
    fn hexadecimal(&mut self) -> Option<u32> {
        if self.chars.next_if(|(_, c)| *c == '{').is_none() {
            let mut code = 0;
            for _ in 0..2 {
                code = code * 16 + self.chars.next()?.1.to_digit(16)?;
            }
            return Some(code);
        }
        let mut code: Option<u32> = None;
        loop {
            match self.chars.next()?.1 {
                '}' => return code,
                c => code = Some(code.unwrap_or(0) * 16 + c.to_digit(16)?).filter(|code| *code <= 0x10_FFFF),
            }
            code?;
        }
    }
}
