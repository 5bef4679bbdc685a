//! Regular expressions as the query languages write them (RE2's syntax, as Go reads it), said in the dialect of the engine
//! that runs them; and what is wrong with one, in Go's words.
//!
//! The two differ in what `\w`, `\d`, `\s` and `\b` are (ASCII here), in what may stand in a class, in which braces repeat
//! something, and in what is refused. Not here: matching.

mod class;

mod escape;

use std::iter::Peekable;
use std::str::CharIndices;

/// The most that one repetition, or all those within each other, may ask for.
const MAX_REPEAT: u32 = 1_000;

/// How deep groups may lie within each other: what the engine takes.
const MAX_DEPTH: usize = 200;

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {what}: `{text}`")]
pub struct PatternError {
    what: &'static str,
    text: String,
}

impl PatternError {
    fn new(what: &'static str, text: &str) -> Self {
        Self { what, text: text.to_owned() }
    }

    /// The error of an expression that is valid, and too large or too deep for the engine.
    #[must_use]
    pub fn too_large() -> Self {
        Self::new("expression too large", "")
    }
}

/// The expression in the engine's dialect, where it is valid. Whether `.` is a line feed too, the expression itself may
/// change.
///
/// # Errors
/// What is wrong, in Go's words.
pub fn translated(text: &str, dot_is_all: bool) -> Result<String, PatternError> {
    let mut reader = Reader {
        text,
        chars: text.char_indices().peekable(),
        out: String::with_capacity(text.len() + 16),
        flags: Flags { dot_is_all, is_multi_line: false },
        groups: Vec::new(),
        held: String::new(),
        atom: None,
        deepest: 1,
    };
    while let Some((at, c)) = reader.chars.next() {
        reader.element(at, c)?;
    }
    reader.release();
    if !reader.groups.is_empty() {
        return Err(PatternError::new("missing closing )", text));
    }
    Ok(reader.out)
}

/// The name of a group as the expression has it, of the engine's name for it: several groups may have the same one.
#[must_use]
pub fn written_name(engine: &str) -> &str {
    let name = engine.split_once('[').map_or(engine, |(name, _)| name);
    name.strip_prefix("_.").unwrap_or(name)
}

/// What is said of the characters from here on, as far as the engine is not told.
#[derive(Clone, Copy)]
struct Flags {
    dot_is_all: bool,
    is_multi_line: bool,
}

/// A group that is open: the flags outside of it, and the repetitions of what comes before it in its own group.
struct Group {
    flags: Flags,
    deepest: u32,
}

/// What a repetition may follow.
#[derive(Clone, Copy)]
struct Atom {
    /// How often the repetitions within it ask for a part of it, multiplied.
    repeated: u32,
    /// Where the repetition after it begins, if there is one already.
    repetition: Option<usize>,
}

struct Reader<'t> {
    text: &'t str,
    chars: Peekable<CharIndices<'t>>,
    out: String,
    flags: Flags,
    groups: Vec<Group>,
    /// Flags that were read and not yet written: a repetition behind them is one of what stands before them.
    held: String,
    atom: Option<Atom>,
    /// The most that repetitions in the open group ask for.
    deepest: u32,
}

impl Reader<'_> {
    fn element(&mut self, at: usize, c: char) -> Result<(), PatternError> {
        if !matches!(c, '*' | '+' | '?' | '{' | '(') {
            self.release();
        }
        match c {
            '(' => return self.open(at),
            ')' => return self.close(),
            '|' => {
                self.out.push('|');
                self.atom = None;
                return Ok(());
            }
            '*' | '+' | '?' => return self.repeat(at, 1, c),
            '{' => {
                if let Some((bounds, repeated)) = self.bounds(at)? {
                    self.skip(bounds.len() - 1);
                    return self.repeat_by(at, &bounds, repeated);
                }
                self.release();
                self.literal(c);
            }
            '^' => self.out.push_str(if self.flags.is_multi_line { "(?m:^)" } else { r"\A" }),
            '$' => self.out.push_str(if self.flags.is_multi_line { "(?m:$)" } else { r"\z" }),
            '.' => self.out.push_str(if self.flags.dot_is_all { "(?s:.)" } else { "(?-s:.)" }),
            '[' => self.class(at)?,
            '\\' => return self.escaped(at),
            c => self.literal(c),
        }
        self.one();
        Ok(())
    }

    /// Where the reader is.
    fn place(&mut self) -> usize {
        self.chars.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    /// Passes so many characters.
    fn skip(&mut self, characters: usize) {
        for _ in 0..characters {
            self.chars.next();
        }
    }

    fn rest(&mut self) -> &str {
        let place = self.place();
        &self.text[place..]
    }

    /// Writes the flags that were held back.
    fn release(&mut self) {
        self.out.push_str(&std::mem::take(&mut self.held));
    }

    /// Something stands there that may be repeated.
    fn one(&mut self) {
        self.atom = Some(Atom { repeated: 1, repetition: None });
    }

    fn literal(&mut self, c: char) {
        self.out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }

    fn repeat(&mut self, at: usize, repeated: u32, c: char) -> Result<(), PatternError> {
        self.repeat_by(at, c.encode_utf8(&mut [0; 4]), repeated)
    }

    /// A repetition, whose operator the reader has behind it.
    fn repeat_by(&mut self, at: usize, operator: &str, repeated: u32) -> Result<(), PatternError> {
        let Some(atom) = self.atom else {
            return Err(PatternError::new("missing argument to repetition operator", operator));
        };
        let is_lazy = self.chars.next_if(|(_, c)| *c == '?').is_some();
        let end = self.place();
        if let Some(before) = atom.repetition {
            return Err(PatternError::new("invalid nested repetition operator", &self.text[before..end]));
        }
        let all = atom.repeated.saturating_mul(repeated);
        if all > MAX_REPEAT {
            return Err(PatternError::new("invalid repeat count", &self.text[at..end]));
        }
        self.out.push_str(operator);
        self.out.push_str(if is_lazy { "?" } else { "" });
        self.release();
        self.deepest = self.deepest.max(all);
        self.atom = Some(Atom { repeated: all, repetition: Some(at) });
        Ok(())
    }

    /// The bounds at a brace, where it has some, and how much they ask for.
    fn bounds(&self, at: usize) -> Result<Option<(String, u32)>, PatternError> {
        let Some(end) = self.text[at..].find('}') else { return Ok(None) };
        let bounds = &self.text[at..=at + end];
        let inner = &bounds[1..end];
        let (least, most) = inner.split_once(',').unwrap_or((inner, inner));
        let number = |text: &str| -> Option<u32> {
            let is_number =
                text.bytes().all(|b| b.is_ascii_digit()) && (text.len() < 2 || !text.starts_with('0'));
            (is_number && !text.is_empty()).then(|| text.parse().unwrap_or(u32::MAX))
        };
        let (Some(least), Some(most)) = (number(least), if most.is_empty() { Some(0) } else { number(most) })
        else {
            return Ok(None);
        };
        let is_open = inner.ends_with(',');
        if least > MAX_REPEAT || most > MAX_REPEAT || (!is_open && least > most) {
            return Err(PatternError::new("invalid repeat count", bounds));
        }
        Ok(Some((bounds.to_owned(), least.max(most).max(1))))
    }

    fn open(&mut self, at: usize) -> Result<(), PatternError> {
        if self.chars.next_if(|(_, c)| *c == '?').is_none() {
            return self.push("(");
        }
        let rest = &self.text[at..];
        if let Some(name) = rest.strip_prefix("(?P<").or_else(|| rest.strip_prefix("(?<")) {
            return self.named(rest, name);
        }
        let (mut flags, mut shown) = (self.flags, String::from("(?"));
        let (mut is_on, mut saw) = (true, false);
        while let Some((place, c)) = self.chars.next() {
            match c {
                'i' | 'U' => {
                    shown.push(c);
                    saw = true;
                }
                'm' => {
                    flags.is_multi_line = is_on;
                    saw = true;
                }
                's' => {
                    flags.dot_is_all = is_on;
                    saw = true;
                }
                '-' if is_on => {
                    shown.push('-');
                    (is_on, saw) = (false, false);
                }
                ':' | ')' if is_on || saw => return self.flagged(c, &shown, flags),
                _ => {
                    let end = place + c.len_utf8();
                    return Err(PatternError::new("invalid or unsupported Perl syntax", &self.text[at..end]));
                }
            }
        }
        Err(PatternError::new("invalid or unsupported Perl syntax", rest))
    }

    /// The end of flags, which hold for a group of their own or for the rest of this one.
    fn flagged(&mut self, end: char, shown: &str, flags: Flags) -> Result<(), PatternError> {
        // What the engine is told may be nothing, or begin a list that stays empty.
        let shown = shown.strip_suffix('-').unwrap_or(shown);
        if end == ':' {
            self.push(&format!("{shown}:"))?;
        } else {
            if shown.len() > 2 {
                self.held.push_str(&format!("{shown})"));
            }
            // What stands before them may be repeated, whatever repeats it already.
            self.atom = self.atom.map(|atom| Atom { repetition: None, ..atom });
        }
        self.flags = flags;
        Ok(())
    }

    fn named(&mut self, whole: &str, from_name: &str) -> Result<(), PatternError> {
        let invalid = |text: &str| PatternError::new("invalid named capture", text);
        let end = from_name.find('>').ok_or_else(|| invalid(whole))?;
        let name = &from_name[..end];
        let opening = &whole[..whole.len() - from_name.len() + end + 1];
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            return Err(invalid(opening));
        }
        // The engine wants names to begin with a letter and to differ; `written_name` takes away what is added.
        let first = if name.starts_with(|c: char| c.is_ascii_digit()) { "_." } else { "" };
        let group = |again: &str| format!("(?P<{first}{name}{again}>");
        let mut group_name = group("");
        let mut times = 1;
        while self.out.contains(&group_name) {
            times += 1;
            group_name = group(&format!("[{times}]"));
        }
        // The parenthesis and the question mark are behind the reader.
        self.skip(opening.chars().count() - 2);
        self.push(&group_name)
    }

    fn push(&mut self, opening: &str) -> Result<(), PatternError> {
        if self.groups.len() >= MAX_DEPTH {
            return Err(PatternError::new("expression nests too deeply", self.text));
        }
        self.release();
        self.out.push_str(opening);
        self.groups.push(Group { flags: self.flags, deepest: self.deepest });
        (self.deepest, self.atom) = (1, None);
        Ok(())
    }

    fn close(&mut self) -> Result<(), PatternError> {
        let Some(group) = self.groups.pop() else { return Err(PatternError::new("unexpected )", self.text)) };
        self.out.push(')');
        self.flags = group.flags;
        self.atom = Some(Atom { repeated: self.deepest, repetition: None });
        self.deepest = self.deepest.max(group.deepest);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
