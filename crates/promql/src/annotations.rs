//! What a query's answer says besides its values: warnings where something may be wrong, infos where it may surprise.

use std::collections::BTreeSet;

/// Warnings and infos; each is kept once, and no more than a bounded number of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    warnings: BTreeSet<String>,
    infos: BTreeSet<String>,
}

/// How many of each an answer carries at most, as in Prometheus' API.
const MAX_EACH: usize = 10;

impl Annotations {
    /// Adds a warning, without the words `PromQL warning:`.
    pub fn warn(&mut self, text: impl AsRef<str>) {
        insert(&mut self.warnings, format!("PromQL warning: {}", text.as_ref()));
    }

    /// Adds an info, without the words `PromQL info:`.
    pub fn info(&mut self, text: impl AsRef<str>) {
        insert(&mut self.infos, format!("PromQL info: {}", text.as_ref()));
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.warnings.is_empty() && self.infos.is_empty()
    }

    /// Takes over all of another.
    pub fn extend(&mut self, other: Annotations) {
        other.warnings.into_iter().for_each(|text| insert(&mut self.warnings, text));
        other.infos.into_iter().for_each(|text| insert(&mut self.infos, text));
    }

    /// The warnings and the infos, sorted.
    #[must_use]
    pub fn into_lists(self) -> (Vec<String>, Vec<String>) {
        (self.warnings.into_iter().collect(), self.infos.into_iter().collect())
    }

    /// Both kinds as lines: the form in which a leaf's column carries them.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.warnings.iter().chain(&self.infos).map(String::as_str)
    }

    /// Adds a line that [`Annotations::lines`] gave.
    pub(crate) fn push_line(&mut self, line: &str) {
        let set = if line.starts_with("PromQL info") { &mut self.infos } else { &mut self.warnings };
        insert(set, line.to_owned());
    }
}

fn insert(set: &mut BTreeSet<String>, text: String) {
    if set.len() < MAX_EACH {
        set.insert(text);
    }
}
