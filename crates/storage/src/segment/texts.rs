//! A column of texts of a `series` file as it is kept in memory: the texts that there are, sorted and once each, and which
//! of them each row has. Rows lie in the order of their labels, so that many columns are a few long runs.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, DictionaryArray, StringArray};
use arrow::datatypes::Int32Type;
use model::{MatchOp, Matcher};
use xxhash_rust::xxh3::Xxh3Builder;

/// Rows of a file: ranges in their order that do not touch each other.
pub(crate) type Rows = Vec<Range<u32>>;

/// What a text costs besides its bytes, about: its place in the list and its counters.
const TEXT_BYTES: usize = 40;

/// The number of a text that was not looked at yet.
const UNKNOWN: u32 = u32::MAX;

/// A column of texts.
#[derive(Debug)]
pub(crate) struct Texts {
    /// Sorted, once each.
    values: Box<[Arc<str>]>,
    codes: Codes,
}

/// Texts, sorted and once each.
#[derive(Debug)]
pub(crate) enum Listing {
    /// Those of a whole column.
    All(Arc<Texts>),
    /// These.
    Some(Vec<Arc<str>>),
}

impl Default for Listing {
    fn default() -> Self {
        Self::Some(Vec::new())
    }
}

impl Listing {
    fn texts(&self) -> &[Arc<str>] {
        match self {
            Self::All(texts) => &texts.values,
            Self::Some(texts) => texts,
        }
    }

    /// Memory that they take, about.
    pub(super) fn bytes(texts: &[Arc<str>]) -> usize {
        texts.iter().map(|text| text.len() + TEXT_BYTES).sum()
    }

    /// The texts of all lists, sorted and once each.
    pub(crate) fn union(lists: &[Self]) -> Vec<Arc<str>> {
        let mut level: Vec<Vec<&Arc<str>>> = lists.iter().map(|list| list.texts().iter().collect()).collect();
        // Neighbours in time have the most in common.
        while level.len() > 1 {
            level = level
                .chunks(2)
                .map(|pair| match pair {
                    [ours, theirs] => joined(ours, theirs),
                    rest => rest.concat(),
                })
                .collect();
        }
        level.into_iter().flatten().cloned().collect()
    }
}

/// The texts of both.
fn joined<'a>(ours: &[&'a Arc<str>], theirs: &[&'a Arc<str>]) -> Vec<&'a Arc<str>> {
    let mut all = Vec::with_capacity(ours.len().max(theirs.len()));
    let (mut our, mut their) = (0, 0);
    while our < ours.len() && their < theirs.len() {
        let (one, other) = (ours[our], theirs[their]);
        let order = if Arc::ptr_eq(one, other) { Ordering::Equal } else { one.cmp(other) };
        all.push(if order == Ordering::Greater { other } else { one });
        our += usize::from(order != Ordering::Greater);
        their += usize::from(order != Ordering::Less);
    }
    all.extend(&ours[our..]);
    all.extend(&theirs[their..]);
    all
}

/// For each row 0 where it has no text, else the place of its text, counted from 1.
#[derive(Debug)]
enum Codes {
    Bytes(Box<[u8]>),
    Shorts(Box<[u16]>),
    Words(Box<[u32]>),
    /// Where each run of rows ends, and what all of them have.
    Runs(Box<[(u32, u32)]>),
}

/// Adds a range behind others.
pub(super) fn push_range(rows: &mut Rows, range: Range<u32>) {
    match rows.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ if range.is_empty() => {}
        _ => rows.push(range),
    }
}

/// How many rows there are.
pub(super) fn count(rows: &Rows) -> usize {
    rows.iter().map(|range| range.len()).sum()
}

impl Codes {
    fn of(codes: Vec<u32>, values: usize) -> Self {
        let changes = codes.windows(2).filter(|pair| pair[0] != pair[1]).count();
        let width = if values < 1 << 8 {
            1
        } else if values < 1 << 16 {
            2
        } else {
            4
        };
        if (changes + 1) * size_of::<(u32, u32)>() <= codes.len() * width {
            let runs = codes.chunk_by(|a, b| a == b).scan(0_u32, |end, run| {
                *end += u32::try_from(run.len()).expect("rows have numbers of 32 bits");
                Some((*end, run[0]))
            });
            return Self::Runs(runs.collect());
        }
        // What does not fit was ruled out by the number of texts.
        match width {
            1 => Self::Bytes(codes.iter().map(|code| u8::try_from(*code).unwrap_or_default()).collect()),
            2 => Self::Shorts(codes.iter().map(|code| u16::try_from(*code).unwrap_or_default()).collect()),
            _ => Self::Words(codes.into()),
        }
    }

    /// Calls back for stretches of some rows that have one code.
    fn for_each(&self, rows: &[Range<u32>], mut f: impl FnMut(Range<u32>, u32)) {
        fn single<C: Copy + Into<u32>>(codes: &[C], rows: &[Range<u32>], mut f: impl FnMut(Range<u32>, u32)) {
            for range in rows {
                let of_range = &codes[range.start as usize..range.end as usize];
                for (row, code) in range.clone().zip(of_range) {
                    f(row..row + 1, (*code).into());
                }
            }
        }
        match self {
            Self::Bytes(codes) => single(codes, rows, f),
            Self::Shorts(codes) => single(codes, rows, f),
            Self::Words(codes) => single(codes, rows, f),
            Self::Runs(runs) => {
                let mut at = 0;
                for range in rows {
                    let mut start = range.start;
                    at += runs[at..].partition_point(|(end, _)| *end <= start);
                    while start < range.end {
                        let (end, code) = runs[at];
                        let end_here = end.min(range.end);
                        f(start..end_here, code);
                        start = end_here;
                        at += usize::from(end == end_here);
                    }
                }
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Bytes(codes) => codes.len(),
            Self::Shorts(codes) => codes.len() * 2,
            Self::Words(codes) => codes.len() * 4,
            Self::Runs(runs) => runs.len() * 8,
        }
    }
}

impl Texts {
    /// The texts, sorted and once each.
    pub(crate) fn values(&self) -> &[Arc<str>] {
        &self.values
    }

    /// The text of a code; none for 0.
    pub(crate) fn value(&self, code: u32) -> Option<&Arc<str>> {
        self.values.get((code as usize).checked_sub(1)?)
    }

    /// The same, where texts that are known, in a sorted list, are not kept a second time.
    pub(super) fn sharing(mut self, known: &[Arc<str>]) -> Self {
        let mut theirs = known.iter().peekable();
        for value in &mut self.values {
            while theirs.next_if(|their| **their < *value).is_some() {}
            if let Some(their) = theirs.next_if(|their| **their == *value) {
                *value = Arc::clone(their);
            }
        }
        self
    }

    /// Of some rows those whose text meets a matcher; a row without one has the empty text.
    pub(crate) fn narrow(&self, matcher: &Matcher, rows: &Rows) -> Rows {
        let mut met = Rows::new();
        if matcher.op == MatchOp::Equal && !matcher.matches_empty() {
            let place = self.values.binary_search_by(|value| (**value).cmp(matcher.value.as_str()));
            if let Ok(place) = place {
                let wanted = place as u64 + 1;
                self.codes.for_each(rows, |range, code| {
                    if u64::from(code) == wanted {
                        push_range(&mut met, range);
                    }
                });
            }
            return met;
        }
        let mut known: Vec<Option<bool>> = vec![None; self.values.len() + 1];
        self.codes.for_each(rows, |range, code| {
            let is_met = *known[code as usize]
                .get_or_insert_with(|| matcher.matches(self.value(code).map_or("", |value| &**value)));
            if is_met {
                push_range(&mut met, range);
            }
        });
        met
    }

    /// The codes of some rows, one behind the other; whether any of them has a text.
    pub(crate) fn codes(&self, rows: &[Range<u32>], codes: &mut Vec<u32>) -> bool {
        codes.clear();
        let mut is_any = false;
        self.codes.for_each(rows, |range, code| {
            is_any |= code > 0;
            codes.extend(std::iter::repeat_n(code, range.len()));
        });
        is_any
    }

    /// The texts of some rows, sorted and once each.
    pub(crate) fn values_of(&self, rows: &Rows) -> Vec<Arc<str>> {
        let mut is_there = vec![false; self.values.len() + 1];
        self.codes.for_each(rows, |_, code| is_there[code as usize] = true);
        let there = self.values.iter().zip(&is_there[1..]).filter(|(_, is_there)| **is_there);
        there.map(|(value, _)| Arc::clone(value)).collect()
    }

    /// Whether any of some rows has a text.
    pub(crate) fn is_in(&self, rows: &Rows) -> bool {
        let mut is_any = false;
        self.codes.for_each(rows, |_, code| is_any |= code > 0);
        is_any
    }

    /// Memory that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        Listing::bytes(&self.values) + self.codes.bytes()
    }
}

/// A column that grows batch by batch.
#[derive(Default)]
pub(super) struct Builder {
    places: HashMap<Arc<str>, u32, Xxh3Builder>,
    codes: Vec<u32>,
    /// The dictionary of the last batch with the code of each of its texts: batches of a row group share one.
    last: Option<(ArrayRef, Vec<u32>)>,
}

impl Builder {
    /// Adds the texts of a batch; no if they are of another type.
    pub(super) fn push(&mut self, column: &ArrayRef) -> bool {
        let Some(column) = column.as_any().downcast_ref::<DictionaryArray<Int32Type>>() else { return false };
        let Some(texts) = column.values().as_any().downcast_ref::<StringArray>() else { return false };
        let mut codes = match self.last.take() {
            Some((last, codes)) if is_same(&last, texts) => codes,
            _ => vec![UNKNOWN; texts.len()],
        };
        for key in column.keys() {
            let key = key.and_then(|key| usize::try_from(key).ok());
            let Some(key) = key.filter(|key| texts.is_valid(*key)) else {
                self.codes.push(0);
                continue;
            };
            if codes[key] == UNKNOWN {
                codes[key] = self.code(texts.value(key));
            }
            self.codes.push(codes[key]);
        }
        self.last = Some((Arc::clone(column.values()), codes));
        true
    }

    fn code(&mut self, text: &str) -> u32 {
        if let Some(code) = self.places.get(text) {
            return *code;
        }
        let code = u32::try_from(self.places.len() + 1).expect("rows have numbers of 32 bits");
        self.places.insert(text.into(), code);
        code
    }

    /// Rows so far.
    pub(super) fn rows(&self) -> usize {
        self.codes.len()
    }

    /// The column.
    pub(super) fn finish(self) -> Texts {
        let Self { places, mut codes, .. } = self;
        let mut sorted: Vec<(Arc<str>, u32)> = places.into_iter().collect();
        sorted.sort_unstable();
        let mut ranks = vec![0_u32; sorted.len() + 1];
        (1..).zip(&sorted).for_each(|(rank, (_, code))| ranks[*code as usize] = rank);
        codes.iter_mut().for_each(|code| *code = ranks[*code as usize]);
        let codes = Codes::of(codes, sorted.len());
        Texts { values: sorted.into_iter().map(|(value, _)| value).collect(), codes }
    }
}

/// Whether a dictionary is the one of the batch before, which is still there.
fn is_same(last: &ArrayRef, texts: &StringArray) -> bool {
    let last = last.as_any().downcast_ref::<StringArray>();
    last.is_some_and(|last| {
        last.len() == texts.len() && std::ptr::eq(last.value_offsets(), texts.value_offsets())
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::StringDictionaryBuilder;
    use proptest::prelude::*;

    use super::*;

    fn column(batches: &[Vec<Option<String>>]) -> Texts {
        let mut builder = Builder::default();
        for batch in batches {
            let mut array = StringDictionaryBuilder::<Int32Type>::new();
            batch.iter().for_each(|text| array.append_option(text.as_ref()));
            assert!(builder.push(&(Arc::new(array.finish()) as ArrayRef)));
        }
        builder.finish()
    }

    /// Every second row, and the last three.
    fn some(rows: u32) -> Rows {
        let mut some = Rows::new();
        (0..rows)
            .filter(|row| row % 2 == 0 || row + 3 >= rows)
            .for_each(|row| push_range(&mut some, row..row + 1));
        some
    }

    proptest! {
        #[test]
        fn a_column_says_what_each_row_has(
            batches in prop::collection::vec(
                prop::collection::vec(prop::option::of(prop_oneof!["[ab]{1,2}", "[a-z]{3}"]), 0..40), 0..4),
            long_runs in any::<bool>(),
            values in 0..300_usize,
        ) {
            let mut batches = batches;
            if long_runs {
                batches.iter_mut().for_each(|batch| batch.sort());
            }
            batches.push((0..values).map(|value| Some(format!("value-{value}"))).collect());
            let all: Vec<Option<String>> = batches.iter().flatten().cloned().collect();
            let column = column(&batches);
            let rows = some(u32::try_from(all.len()).unwrap());
            let expected: Vec<&Option<String>> =
                rows.iter().flat_map(|range| range.clone().map(|row| &all[row as usize])).collect();

            let mut codes = Vec::new();
            let is_any = column.codes(&rows, &mut codes);
            prop_assert_eq!(is_any, expected.iter().any(|text| text.is_some()));
            prop_assert_eq!(column.is_in(&rows), is_any);
            let told: Vec<Option<&str>> = codes.iter().map(|code| column.value(*code).map(|text| &**text)).collect();
            prop_assert_eq!(told, expected.iter().map(|text| text.as_deref()).collect::<Vec<_>>());
            let distinct: std::collections::BTreeSet<&str> =
                expected.iter().filter_map(|text| text.as_deref()).collect();
            let values = column.values_of(&rows);
            prop_assert_eq!(values.iter().map(|text| &**text).collect::<Vec<_>>(), distinct.into_iter().collect::<Vec<_>>());

            for (op, value) in [
                (MatchOp::Equal, "ab"), (MatchOp::Equal, ""), (MatchOp::NotEqual, "b"), (MatchOp::NotEqual, ""),
                (MatchOp::Regex, "a.*|value-1.*"), (MatchOp::NotRegex, ".+"), (MatchOp::Regex, ".*"),
            ] {
                let matcher = Matcher::new("n", op, value).unwrap();
                let met = column.narrow(&matcher, &rows);
                let met: Vec<u32> = met.into_iter().flatten().collect();
                let is_met = |row: &u32| matcher.matches(all[*row as usize].as_deref().unwrap_or(""));
                let expected: Vec<u32> = rows.iter().cloned().flatten().filter(is_met).collect();
                prop_assert_eq!(met, expected, "{} {:?} {:?}", column.values.len(), op, value);
            }
        }
    }

    proptest! {
        #[test]
        fn lists_are_joined(lists in prop::collection::vec(prop::collection::btree_set("[a-c]{1,2}", 0..9), 0..6)) {
            let all: std::collections::BTreeSet<&String> = lists.iter().flatten().collect();
            let list = |texts: &std::collections::BTreeSet<String>| {
                Listing::Some(texts.iter().map(|text| text.as_str().into()).collect())
            };
            let union = Listing::union(&lists.iter().map(list).collect::<Vec<_>>());
            prop_assert_eq!(union.iter().map(|text| &**text).collect::<Vec<_>>(), all.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn columns_share_the_texts_that_both_have() {
        let texts = |texts: &[&str]| column(&[texts.iter().map(|text| Some((*text).to_owned())).collect()]);
        let first = texts(&["b", "d", "e"]);
        let second = texts(&["a", "b", "c", "e", "f"]).sharing(first.values());
        let told: Vec<&str> = second.values().iter().map(|text| &**text).collect();
        assert_eq!(told, ["a", "b", "c", "e", "f"]);
        let is_shared = |text: &Arc<str>| first.values().iter().any(|other| Arc::ptr_eq(text, other));
        assert_eq!(
            second.values().iter().map(is_shared).collect::<Vec<_>>(),
            [false, true, false, true, false]
        );
    }

    #[test]
    fn long_runs_take_no_room_for_each_row() {
        let rows: Vec<Option<String>> =
            (0..10_000).map(|row| (row > 9_000).then(|| (row / 9_500).to_string())).collect();
        let column = column(&[rows]);
        assert!(matches!(column.codes, Codes::Runs(_)), "{column:?}");
        assert!(column.bytes() < 200, "{}", column.bytes());
    }
}
