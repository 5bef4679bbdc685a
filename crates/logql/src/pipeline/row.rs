//! The labels of one line as the stages see and change them: those of its stream, its structured metadata, what was
//! parsed out of it, and what went wrong. Texts live in one buffer that is reused from line to line.
//!
//! Not here: the line itself, which a stage takes and gives back.

use model::Labels;

/// The label that names what went wrong with a line.
pub(crate) const ERROR: &str = "__error__";
/// The label that says more about it.
pub(crate) const ERROR_DETAILS: &str = "__error_details__";
/// What is added to the name of a parsed label or of metadata that the stream has too.
pub(crate) const EXTRACTED: &str = "_extracted";

/// How many labels a line may have besides its stream's: each new one is compared with all.
const MAX_FIELDS: usize = 4096;
/// The error label of a line that has more.
const LIMIT_ERROR: &str = "LabelLimitErr";

/// Where a label comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Category {
    /// The line's structured metadata.
    Structured,
    /// A parser or `label_format`.
    Parsed,
}

#[derive(Clone, Copy, Debug)]
struct Field {
    category: Category,
    name: (u32, u32),
    value: (u32, u32),
}

/// The labels of one line.
#[derive(Debug)]
pub(crate) struct Row {
    stream: Vec<(Box<str>, Box<str>)>,
    removed: Vec<bool>,
    any_removed: bool,
    text: String,
    fields: Vec<Field>,
    error: Option<&'static str>,
    details: String,
    foreign_error: String,
    /// When the line was written, in nanoseconds.
    pub(crate) timestamp_ns: i64,
}

impl Row {
    /// A row for lines of a stream.
    pub(crate) fn new(stream: &Labels) -> Self {
        let stream: Vec<_> = stream.iter().map(|(n, v)| (n.into(), v.into())).collect();
        Self {
            removed: vec![false; stream.len()],
            stream,
            any_removed: false,
            text: String::new(),
            fields: Vec::new(),
            error: None,
            details: String::new(),
            foreign_error: String::new(),
            timestamp_ns: 0,
        }
    }

    /// Forgets the last line.
    pub(crate) fn reset(&mut self, timestamp_ns: i64) {
        if self.any_removed {
            self.removed.fill(false);
            self.any_removed = false;
        }
        self.text.clear();
        self.fields.clear();
        self.error = None;
        self.details.clear();
        self.foreign_error.clear();
        self.timestamp_ns = timestamp_ns;
    }

    /// Whether the stream itself has the label.
    pub(crate) fn stream_has(&self, name: &str) -> bool {
        self.stream_index(name).is_some()
    }

    fn stream_index(&self, name: &str) -> Option<usize> {
        self.stream.iter().position(|(n, _)| &**n == name)
    }

    fn slice(&self, (start, end): (u32, u32)) -> &str {
        &self.text[start as usize..end as usize]
    }

    fn store(&mut self, text: &str) -> (u32, u32) {
        let start = self.text.len();
        self.text.push_str(text);
        (offset(start), offset(self.text.len()))
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.fields
            .iter()
            .position(|f| (f.name.1 - f.name.0) as usize == name.len() && self.slice(f.name) == name)
    }

    /// The value of a label, errors included.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        if name == ERROR {
            return self.error();
        }
        if name == ERROR_DETAILS {
            return (!self.details.is_empty()).then_some(self.details.as_str());
        }
        if let Some(i) = self.position(name) {
            return Some(self.slice(self.fields[i].value));
        }
        self.stream_index(name).filter(|i| !self.removed[*i]).map(|i| &*self.stream[i].1)
    }

    /// Sets a label; what had the name before, in the stream too, is hidden by it.
    pub(crate) fn set(&mut self, category: Category, name: &str, value: &str) {
        match name {
            ERROR => {
                self.error = None;
                self.foreign_error.clear();
                self.foreign_error.push_str(value);
                return;
            }
            ERROR_DETAILS => {
                self.details.clear();
                self.details.push_str(value);
                return;
            }
            _ => {}
        }
        let known = self.position(name);
        if known.is_none() && self.fields.len() >= MAX_FIELDS {
            self.fail(LIMIT_ERROR, &format!("a line has too many labels: max_labels={MAX_FIELDS}"));
            return;
        }
        let value = self.store(value);
        if let Some(i) = known {
            self.fields[i].value = value;
            self.fields[i].category = category;
            return;
        }
        let name_span = self.store(name);
        self.fields.push(Field { category, name: name_span, value });
        if let Some(i) = self.stream_index(name) {
            self.removed[i] = true;
            self.any_removed = true;
        }
    }

    /// Sets a label as parsers and metadata do: beside a label of the stream, not over it.
    pub(crate) fn extract(&mut self, category: Category, name: &str, value: &str) {
        if self.stream_has(name) {
            self.set(category, &format!("{name}{EXTRACTED}"), value);
        } else {
            self.set(category, name, value);
        }
    }

    /// Takes a label away.
    pub(crate) fn remove(&mut self, name: &str) {
        match name {
            ERROR => {
                self.error = None;
                self.foreign_error.clear();
            }
            ERROR_DETAILS => self.details.clear(),
            _ => {
                if let Some(i) = self.position(name) {
                    self.fields.remove(i);
                }
                if let Some(i) = self.stream_index(name) {
                    self.removed[i] = true;
                    self.any_removed = true;
                }
            }
        }
    }

    /// Keeps only the labels for which `keep` says yes; errors stay.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str, &str) -> bool) {
        let text = &self.text;
        let part = |(start, end): (u32, u32)| &text[start as usize..end as usize];
        self.fields.retain(|f| keep(part(f.name), part(f.value)));
        for (i, (name, value)) in self.stream.iter().enumerate() {
            if !self.removed[i] && !keep(name, value) {
                self.removed[i] = true;
                self.any_removed = true;
            }
        }
    }

    /// What went wrong with the line, if anything.
    pub(crate) fn error(&self) -> Option<&str> {
        self.error.or_else(|| (!self.foreign_error.is_empty()).then_some(self.foreign_error.as_str()))
    }

    /// Notes what went wrong.
    pub(crate) fn fail(&mut self, error: &'static str, details: &str) {
        self.error = Some(error);
        self.details.clear();
        self.details.push_str(details);
    }

    /// The labels that the line has besides its stream's, in the order in which they were set.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (Category, &str, &str)> {
        self.fields.iter().map(|f| (f.category, self.slice(f.name), self.slice(f.value)))
    }

    /// Every label, errors included, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let stream = self.stream.iter().zip(&self.removed).filter(|(_, removed)| !**removed);
        let details = (!self.details.is_empty()).then_some((ERROR_DETAILS, self.details.as_str()));
        stream
            .map(|((n, v), _)| (&**n, &**v))
            .chain(self.fields().map(|(_, n, v)| (n, v)))
            .chain(self.error().map(|e| (ERROR, e)))
            .chain(details)
    }

    /// Whether the line has its stream's labels and no other.
    pub(crate) fn is_plain(&self) -> bool {
        !self.any_removed && self.fields.is_empty() && self.error().is_none() && self.details.is_empty()
    }

    /// Writes bytes that are equal for lines of one stream whose labels were set alike; equal labels that were set
    /// in another order may give other bytes.
    pub(crate) fn fingerprint(&self, key: &mut Vec<u8>) {
        if self.any_removed {
            key.extend(self.removed.iter().map(|r| u8::from(*r)));
        }
        for (category, name, value) in self.fields() {
            key.push(if category == Category::Parsed { b'p' } else { b's' });
            push_part(key, name);
            push_part(key, value);
        }
        if let Some(error) = self.error() {
            key.push(b'e');
            push_part(key, error);
            push_part(key, &self.details);
        }
    }
}

/// Writes a text so that no other run of texts gives the same bytes.
pub(crate) fn push_part(key: &mut Vec<u8>, text: &str) {
    key.extend_from_slice(&offset(text.len()).to_le_bytes());
    key.extend_from_slice(text.as_bytes());
}

fn offset(length: usize) -> u32 {
    u32::try_from(length).expect("a line and its labels are bounded far below 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(row: &Row) -> String {
        Labels::from_pairs(row.all()).to_string()
    }

    #[test]
    fn labels_are_set_hidden_and_removed() {
        let mut row = Row::new(&Labels::from_pairs([("app", "web"), ("env", "dev")]));
        assert!(row.is_plain());
        row.extract(Category::Structured, "trace", "t1");
        row.extract(Category::Parsed, "app", "inner");
        assert_eq!(shown(&row), r#"{app="web", app_extracted="inner", env="dev", trace="t1"}"#);
        row.set(Category::Parsed, "env", "prod");
        row.remove("app");
        row.fail("JSONParserErr", "no object");
        assert_eq!(row.get("env"), Some("prod"));
        assert_eq!(row.get("app"), None);
        assert_eq!(row.get(ERROR), Some("JSONParserErr"));
        row.retain(|name, _| name == "env");
        row.remove(ERROR);
        row.remove(ERROR_DETAILS);
        assert_eq!(shown(&row), r#"{env="prod"}"#);
        row.reset(7);
        assert_eq!(shown(&row), r#"{app="web", env="dev"}"#);
    }

    #[test]
    fn labels_are_bounded() {
        let mut row = Row::new(&Labels::empty());
        for i in 0..=MAX_FIELDS {
            row.extract(Category::Parsed, &format!("l{i}"), "x");
        }
        assert_eq!((row.fields().count(), row.error()), (MAX_FIELDS, Some(LIMIT_ERROR)));
    }
}
