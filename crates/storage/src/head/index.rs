//! Label sets by number, with postings: which numbers have a label with a value. Serves heads and decoded segments.

use std::collections::HashMap;
use std::sync::Arc;

use model::labels::Labels;
use model::{MatchOp, Matcher};
use roaring::RoaringBitmap;

/// What an entry of a map costs besides its text, about.
const ENTRY_BYTES: usize = 96;

/// What a bitmap costs besides its numbers, about: the room of its first containers.
const BITMAP_BYTES: usize = 192;

/// What a number in a bitmap costs while it is sparse, about: two bytes, and as much of room to grow.
const NUMBER_BYTES: usize = 4;

/// The numbers with a value. Values of one number are the most of them, and a bitmap of one is large.
#[derive(Debug)]
enum Postings {
    One(u32),
    Many(RoaringBitmap),
}

impl Postings {
    /// Adds a number, and says what that costs in bytes.
    fn insert(&mut self, number: u32) -> usize {
        match self {
            Postings::One(first) => {
                *self = Postings::Many(RoaringBitmap::from([*first, number]));
                BITMAP_BYTES + 2 * NUMBER_BYTES
            }
            Postings::Many(numbers) => {
                numbers.insert(number);
                NUMBER_BYTES
            }
        }
    }

    fn meets(&self, selected: &RoaringBitmap) -> bool {
        match self {
            Postings::One(number) => selected.contains(*number),
            Postings::Many(numbers) => !numbers.is_disjoint(selected),
        }
    }

    fn add_to(&self, all: &mut RoaringBitmap) {
        match self {
            Postings::One(number) => {
                all.insert(*number);
            }
            Postings::Many(numbers) => *all |= numbers,
        }
    }

    fn take_from(&self, all: &mut RoaringBitmap) {
        match self {
            Postings::One(number) => {
                all.remove(*number);
            }
            Postings::Many(numbers) => *all -= numbers,
        }
    }

    fn narrow(&self, all: &mut RoaringBitmap) {
        match self {
            Postings::One(number) => {
                let is_there = all.contains(*number);
                all.clear();
                all.extend(is_there.then_some(*number));
            }
            Postings::Many(numbers) => *all &= numbers,
        }
    }
}

#[derive(Debug, Default)]
struct Values {
    by_value: HashMap<Arc<str>, Postings>,
}

/// Numbered label sets that can be matched.
#[derive(Debug, Default)]
pub(crate) struct LabelIndex {
    labels: Vec<Labels>,
    names: HashMap<Arc<str>, Values>,
    bytes: usize,
}

impl LabelIndex {
    /// Adds a set and gives it the next number.
    pub(crate) fn push(&mut self, labels: Labels) -> u32 {
        let number = u32::try_from(self.labels.len()).expect("the memory for 2^32 series is never there");
        for (name, value) in &labels {
            if !self.names.contains_key(name) {
                self.names.insert(name.into(), Values::default());
                self.bytes += name.len() + ENTRY_BYTES;
            }
            let values = self.names.get_mut(name).expect("it was put there");
            match values.by_value.get_mut(value) {
                Some(postings) => self.bytes += postings.insert(number),
                None => {
                    values.by_value.insert(value.into(), Postings::One(number));
                    self.bytes += value.len() + ENTRY_BYTES;
                }
            }
        }
        self.bytes += labels.as_bytes().len() + size_of::<Labels>() + 16;
        self.labels.push(labels);
        number
    }

    /// The sets, by number.
    pub(crate) fn labels(&self) -> &[Labels] {
        &self.labels
    }

    /// Memory that the index takes, about.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The numbers below `count` whose labels meet all matchers; an absent label has the empty value.
    pub(crate) fn select(&self, matchers: &[Matcher], count: u32) -> RoaringBitmap {
        let mut selected = RoaringBitmap::new();
        selected.insert_range(0..count);
        for matcher in matchers {
            if selected.is_empty() {
                break;
            }
            match self.names.get(matcher.name.as_str()) {
                Some(values) => values.narrow(matcher, &mut selected),
                None if matcher.matches_empty() => {}
                None => selected.clear(),
            }
        }
        selected
    }

    /// The names of the labels of some sets, sorted and once each.
    pub(crate) fn names(&self, selected: &RoaringBitmap) -> Vec<Arc<str>> {
        let is_all = self.is_all(selected);
        let has =
            |values: &Values| is_all || values.by_value.values().any(|postings| postings.meets(selected));
        let names = self.names.iter().filter(|(_, values)| has(values)).map(|(name, _)| Arc::clone(name));
        let mut names: Vec<Arc<str>> = names.collect();
        names.sort_unstable();
        names
    }

    /// The values that a label has in some sets, sorted and once each.
    pub(crate) fn values(&self, name: &str, selected: &RoaringBitmap) -> Vec<Arc<str>> {
        let Some(of_name) = self.names.get(name) else { return Vec::new() };
        let is_all = self.is_all(selected);
        let has = |postings: &Postings| is_all || postings.meets(selected);
        let values = of_name.by_value.iter().filter(|(_, postings)| has(postings));
        let mut values: Vec<Arc<str>> = values.map(|(value, _)| Arc::clone(value)).collect();
        values.sort_unstable();
        values
    }

    fn is_all(&self, selected: &RoaringBitmap) -> bool {
        selected.len() == self.labels.len() as u64
    }
}

impl Values {
    /// Leaves the numbers that meet the matcher.
    fn narrow(&self, matcher: &Matcher, selected: &mut RoaringBitmap) {
        if matcher.matches_empty() {
            // What does not match has the label, with a value that does not match.
            let others = self.by_value.iter().filter(|(value, _)| !matcher.matches(value));
            others.for_each(|(_, postings)| postings.take_from(selected));
            return;
        }
        if matcher.op == MatchOp::Equal {
            match self.by_value.get(matcher.value.as_str()) {
                Some(postings) => postings.narrow(selected),
                None => selected.clear(),
            }
            return;
        }
        let mut matching = RoaringBitmap::new();
        match matcher.literal_alternatives() {
            Some(alternatives) => {
                let values = alternatives.iter().filter_map(|value| self.by_value.get(*value));
                values.for_each(|postings| postings.add_to(&mut matching));
            }
            None => self
                .by_value
                .iter()
                .filter(|(v, _)| matcher.matches(v))
                .for_each(|(_, postings)| postings.add_to(&mut matching)),
        }
        *selected &= matching;
    }
}
