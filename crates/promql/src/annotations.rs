//! What a query's answer says besides its values: warnings where something may be wrong, infos where it may surprise.
//! Each says at which place of the query.

use std::collections::BTreeMap;

use syntax::Position;

use crate::ast::Place;

/// Warnings and infos; each text is kept once, with the first place that it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    warnings: BTreeMap<String, usize>,
    infos: BTreeMap<String, usize>,
    /// What the next ones are about.
    place: usize,
}

/// How many of each are kept at most.
const MAX_KEPT: usize = 1_000;

/// How many of each an answer carries at most, as in Prometheus' API.
const MAX_SHOWN: usize = 10;

impl Annotations {
    /// What is said from now on is about this place.
    pub fn at(&mut self, place: Place) -> &mut Self {
        self.place = place.0;
        self
    }

    /// Adds a warning, without the words `PromQL warning:`.
    pub fn warn(&mut self, text: impl AsRef<str>) {
        insert(&mut self.warnings, format!("PromQL warning: {}", text.as_ref()), self.place);
    }

    /// Adds an info, without the words `PromQL info:`.
    pub fn info(&mut self, text: impl AsRef<str>) {
        insert(&mut self.infos, format!("PromQL info: {}", text.as_ref()), self.place);
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.warnings.is_empty() && self.infos.is_empty()
    }

    /// Takes over all of another.
    pub fn extend(&mut self, other: Annotations) {
        other.warnings.into_iter().for_each(|(text, place)| insert(&mut self.warnings, text, place));
        other.infos.into_iter().for_each(|(text, place)| insert(&mut self.infos, text, place));
    }

    /// The warnings and the infos as an answer carries them, with line and column in the query's text.
    #[must_use]
    pub fn to_lists(&self, query: &str) -> (Vec<String>, Vec<String>) {
        (shown(&self.warnings, query, "warning"), shown(&self.infos, query, "info"))
    }

    /// Both kinds as lines: the form in which a leaf's column carries them.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.warnings.iter().chain(&self.infos).map(|(text, place)| format!("{place} {text}"))
    }

    /// Adds a line that [`Annotations::lines`] gave; another says nothing.
    pub(crate) fn push_line(&mut self, line: &str) {
        let Some((place, text)) = line.split_once(' ') else { return };
        let Ok(place) = place.parse() else { return };
        let all = if text.starts_with("PromQL info") { &mut self.infos } else { &mut self.warnings };
        insert(all, text.to_owned(), place);
    }
}

fn insert(all: &mut BTreeMap<String, usize>, text: String, place: usize) {
    if let Some(known) = all.get_mut(&text) {
        *known = place.min(*known);
    } else if all.len() < MAX_KEPT {
        // A metric's name may break the line; each is one line on its way.
        let line = if text.contains('\n') { text.replace('\n', "\\n") } else { text };
        all.insert(line, place);
    }
}

fn shown(all: &BTreeMap<String, usize>, query: &str, kind: &str) -> Vec<String> {
    let one = |(text, place): (&String, &usize)| format!("{text} ({})", Position::of(query, *place));
    let mut shown: Vec<String> = all.iter().take(MAX_SHOWN).map(one).collect();
    if all.len() > MAX_SHOWN {
        shown.push(format!("{} more {kind} annotations omitted", all.len() - MAX_SHOWN));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_said_once_with_their_first_place_and_no_more_than_ten() {
        let mut notes = Annotations::default();
        notes.at(Place(7)).warn("w");
        notes.at(Place(2)).warn("w");
        for i in 0..12 {
            notes.at(Place(0)).info(format!("i{i:02}"));
        }
        let mut again = Annotations::default();
        notes.lines().for_each(|line| again.push_line(&line));
        again.push_line("no place");
        let (warnings, infos) = again.to_lists("a\nb + c");
        assert_eq!(warnings, ["PromQL warning: w (2:1)"]);
        assert_eq!((infos.len(), infos[10].as_str()), (11, "2 more info annotations omitted"));
        assert_eq!(infos[0], "PromQL info: i00 (1:1)");
    }
}
