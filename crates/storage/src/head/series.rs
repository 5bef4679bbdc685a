//! The series or streams of a head: numbers in the order of arrival, postings, and what is known of each besides its
//! labels.

use std::sync::Arc;

use arrow::array::{Array, BinaryArray, RecordBatch, StringArray, UInt8Array};
use hashbrown::HashMap;
use model::Matcher;
use model::labels::Labels;
use model::limits::LabelLimits;
use parking_lot::{Mutex, RwLock};

use super::index::LabelIndex;

/// What is known of a series besides its labels; the same texts are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    /// The number of the metric's type.
    pub(crate) metric_type: u8,
    /// The unit, empty where not told.
    pub(crate) unit: Arc<str>,
    /// The description, empty where not told.
    pub(crate) help: Arc<str>,
}

impl Info {
    /// Takes over what a later source tells.
    pub(crate) fn learn(&mut self, later: &Info) {
        if later.metric_type != 0 {
            self.metric_type = later.metric_type;
        }
        for (known, told) in [(&mut self.unit, &later.unit), (&mut self.help, &later.help)] {
            if !told.is_empty() {
                *known = Arc::clone(told);
            }
        }
    }
}

/// The sizes of a label set that limits speak of.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    labels: usize,
    longest_name: u32,
    longest_value: u32,
}

impl Sizes {
    fn of(labels: &Labels) -> Self {
        let bytes = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let none = Self { labels: 0, longest_name: 0, longest_value: 0 };
        labels.iter().fold(none, |sizes, (name, value)| Self {
            labels: sizes.labels + 1,
            longest_name: sizes.longest_name.max(bytes(name.len())),
            longest_value: sizes.longest_value.max(bytes(value.len())),
        })
    }

    const fn meet(self, limits: &LabelLimits) -> bool {
        self.labels <= limits.max_names
            && self.longest_name as usize <= limits.max_name_bytes
            && self.longest_value as usize <= limits.max_value_bytes
    }
}

/// Which series or streams of a batch a head knows: their numbers, or [`UNKNOWN`].
#[derive(Debug)]
pub(crate) struct Known {
    of: Arc<HeadSeries>,
    numbers: Vec<u32>,
}

/// So many label sets are sorted by themselves: the order of all costs more, where it is not known yet.
const FEW: u64 = 256;

/// The number of a label set that has none yet.
const UNKNOWN: u32 = u32::MAX;

impl Known {
    /// Whether the head knows the label set of a row, and it meets the limits.
    pub(crate) fn has(&self, row: usize) -> bool {
        self.numbers[row] != UNKNOWN
    }

    /// How many label sets the batch has.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }
}

#[derive(Debug, Default)]
struct Inner {
    index: LabelIndex,
    numbers: HashMap<Labels, u32>,
    sizes: Vec<Sizes>,
    infos: Vec<Info>,
    texts: hashbrown::HashSet<Arc<str>>,
    text_bytes: usize,
}

/// Numbers in the order of their labels.
#[derive(Debug, Default)]
struct Ranks {
    order: Vec<u32>,
    rank: Vec<u32>,
}

/// Series or streams with numbers; only grows.
#[derive(Debug, Default)]
pub(crate) struct HeadSeries {
    inner: RwLock<Inner>,
    ranks: Mutex<Arc<Ranks>>,
}

struct InfoColumns<'a> {
    types: &'a UInt8Array,
    units: &'a StringArray,
    helps: &'a StringArray,
}

impl<'a> InfoColumns<'a> {
    fn new(series: &'a RecordBatch) -> Self {
        fn typed<A: 'static>(series: &RecordBatch, column: usize) -> &A {
            series.column(column).as_any().downcast_ref().expect("a metric batch is built with its schema")
        }
        Self { types: typed(series, 1), units: typed(series, 2), helps: typed(series, 3) }
    }

    fn differs(&self, row: usize, info: &Info) -> bool {
        let (metric_type, unit, help) = (self.types.value(row), self.units.value(row), self.helps.value(row));
        (metric_type != 0 && metric_type != info.metric_type)
            || (!unit.is_empty() && unit != &*info.unit)
            || (!help.is_empty() && help != &*info.help)
    }
}

impl Inner {
    /// The number of a label set, if it has one. Senders repeat their series in one order, and so numbers were given: the
    /// one after `last`, which is kept here, is looked at first.
    fn number(&self, bytes: &[u8], last: &mut u32) -> Option<u32> {
        let next = *last + 1;
        let is_next = self.index.labels().get(next as usize).is_some_and(|labels| labels.as_bytes() == bytes);
        let number = if is_next { next } else { *self.numbers.get(bytes)? };
        *last = number;
        Some(number)
    }

    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(shared) = self.texts.get(text) {
            return Arc::clone(shared);
        }
        let shared: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&shared));
        self.text_bytes += text.len() + 48;
        shared
    }

    fn add(&mut self, bytes: &[u8]) -> u32 {
        if let Some(number) = self.numbers.get(bytes) {
            return *number;
        }
        let labels = Labels::from_bytes(bytes).expect("label bytes are checked when a batch is taken");
        self.sizes.push(Sizes::of(&labels));
        let number = self.index.push(labels.clone());
        self.numbers.insert(labels, number);
        let empty = self.text("");
        self.infos.push(Info { metric_type: 0, unit: Arc::clone(&empty), help: empty });
        number
    }

    fn tell(&mut self, number: u32, columns: &InfoColumns<'_>, row: usize) {
        let known = self.infos[number as usize].clone();
        let or = |new: &str, old: Arc<str>, inner: &mut Self| match new {
            "" => old,
            new => inner.text(new),
        };
        let unit = or(columns.units.value(row), known.unit, self);
        let help = or(columns.helps.value(row), known.help, self);
        let metric_type = match columns.types.value(row) {
            0 => known.metric_type,
            told => told,
        };
        self.infos[number as usize] = Info { metric_type, unit, help };
    }
}

impl HeadSeries {
    /// Looks for the label sets of a batch: those that are there and meet the limits need not be checked again.
    pub(crate) fn known(self: &Arc<Self>, labels: &BinaryArray, limits: &LabelLimits) -> Known {
        let inner = self.inner.read();
        let mut last = 0;
        let number = |row| match inner.number(labels.value(row), &mut last) {
            Some(number) if inner.sizes[number as usize].meet(limits) => number,
            _ => UNKNOWN,
        };
        let numbers = (0..labels.len()).map(number).collect();
        drop(inner);
        Known { of: Arc::clone(self), numbers }
    }

    /// The numbers of the label sets of a batch, new ones given where needed; `known` saves looking for them again. What
    /// the batch tells of a series replaces what was known.
    pub(crate) fn resolve(
        self: &Arc<Self>,
        labels: &BinaryArray,
        series: Option<&RecordBatch>,
        known: Option<Known>,
    ) -> Vec<u32> {
        let columns = series.map(InfoColumns::new);
        let mut numbers = match known {
            // The head may have been replaced since it was asked.
            Some(known) if Arc::ptr_eq(self, &known.of) && known.len() == labels.len() => known.numbers,
            _ => vec![UNKNOWN; labels.len()],
        };
        let mut missing = Vec::new();
        {
            let inner = self.inner.read();
            for (row, number) in numbers.iter_mut().enumerate() {
                if *number == UNKNOWN {
                    let Some(found) = inner.numbers.get(labels.value(row)) else {
                        missing.push(row);
                        continue;
                    };
                    *number = *found;
                }
                let info = &inner.infos[*number as usize];
                if columns.as_ref().is_some_and(|columns| columns.differs(row, info)) {
                    missing.push(row);
                }
            }
        }
        if !missing.is_empty() {
            let mut inner = self.inner.write();
            for row in missing {
                numbers[row] = inner.add(labels.value(row));
                if let Some(columns) = &columns {
                    inner.tell(numbers[row], columns, row);
                }
            }
        }
        numbers
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.inner.read().infos.len()).expect("numbers are of 32 bits")
    }

    /// Memory that they take, about.
    pub(crate) fn bytes(&self) -> usize {
        let inner = self.inner.read();
        inner.index.bytes()
            + inner.text_bytes
            + inner.infos.len() * (size_of::<Info>() + size_of::<Sizes>() + 24)
    }

    /// The numbers below `count` that meet all matchers, in the order of their labels, with the labels.
    pub(crate) fn select(&self, matchers: &[Matcher], count: u32) -> Vec<(u32, Labels)> {
        let numbered = |inner: &Inner, numbers: Vec<u32>| -> Vec<(u32, Labels)> {
            let labels = inner.index.labels();
            numbers.into_iter().map(|number| (number, labels[number as usize].clone())).collect()
        };
        let inner = self.inner.read();
        let selected = inner.index.select(matchers, count);
        if selected.len() <= FEW {
            let mut few = numbered(&inner, selected.iter().collect());
            few.sort_unstable_by(|(_, a), (_, b)| a.cmp(b));
            return few;
        }
        drop(inner);
        let ranks = self.ranks();
        let numbers: Vec<u32> = if selected.len() == u64::from(count) {
            ranks.order.iter().copied().filter(|number| *number < count).collect()
        } else {
            let mut numbers: Vec<u32> = selected.iter().collect();
            numbers.sort_unstable_by_key(|number| ranks.rank[*number as usize]);
            numbers
        };
        numbered(&self.inner.read(), numbers)
    }

    /// Calls back with the labels and postings of all there are now.
    pub(crate) fn with_index(&self, f: impl FnOnce(&LabelIndex)) {
        f(&self.inner.read().index);
    }

    /// What is known of a series.
    pub(crate) fn info(&self, number: u32) -> Info {
        self.inner.read().infos[number as usize].clone()
    }

    /// Calls back for each series below `count` with its labels and what is known of it.
    pub(crate) fn for_each(&self, count: u32, mut f: impl FnMut(&Labels, &Info)) {
        let inner = self.inner.read();
        inner.index.labels().iter().zip(&inner.infos).take(count as usize).for_each(|(l, i)| f(l, i));
    }

    /// The order of the labels, of all series that there are now or more.
    fn ranks(&self) -> Arc<Ranks> {
        let mut cached = self.ranks.lock();
        let inner = self.inner.read();
        let labels = inner.index.labels();
        if cached.order.len() < labels.len() {
            let mut order = cached.order.clone();
            order.extend(
                (order.len()..labels.len()).map(|n| u32::try_from(n).expect("numbers are of 32 bits")),
            );
            // A stable sort merges what is sorted already.
            order.sort_by(|a, b| labels[*a as usize].cmp(&labels[*b as usize]));
            let mut rank = vec![0; order.len()];
            for (place, number) in (0..).zip(&order) {
                rank[*number as usize] = place;
            }
            *cached = Arc::new(Ranks { order, rank });
        }
        Arc::clone(&cached)
    }
}
