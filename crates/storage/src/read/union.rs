//! Label sets of many sources under one numbering, while the sources come one after the other: a set that another source
//! had is let go at once.

use std::collections::HashMap;
use std::sync::Arc;

use model::labels::Labels;
use xxhash_rust::xxh3::Xxh3Builder;

/// The reader's number and the source's, ascending in both where the source is a segment.
pub(crate) type Numbers = Arc<[(u32, u32)]>;

/// What a label set costs besides its bytes, about: its count, its place in a list and in a map.
const SET_BYTES: usize = 64;

/// The sets so far, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Union {
    labels: Vec<Labels>,
    /// Where each is among them; empty while there is one source.
    places: HashMap<Labels, u32, Xxh3Builder>,
    /// The place and the source's number, for each source.
    sources: Vec<Vec<(u32, u32)>>,
    bytes: usize,
}

impl Union {
    /// Adds a source: its numbers and their label sets, each set once, in the order of the labels.
    pub(crate) fn add(&mut self, source: impl ExactSizeIterator<Item = (u32, Labels)>) {
        self.bytes += source.len() * size_of::<(u32, u32)>();
        let mut numbers = Vec::with_capacity(source.len());
        if self.sources.is_empty() {
            self.labels.reserve_exact(source.len());
            for (local, labels) in source {
                numbers.push((self.push(labels), local));
            }
        } else {
            if self.places.is_empty() {
                self.places =
                    (0..).zip(&self.labels).map(|(place, labels)| (labels.clone(), place)).collect();
            }
            for (local, labels) in source {
                let place = match self.places.get(&labels) {
                    Some(place) => *place,
                    None => {
                        let place = self.push(labels.clone());
                        self.places.insert(labels, place);
                        place
                    }
                };
                numbers.push((place, local));
            }
        }
        self.sources.push(numbers);
    }

    fn push(&mut self, labels: Labels) -> u32 {
        self.bytes += labels.as_bytes().len() + SET_BYTES;
        self.labels.push(labels);
        u32::try_from(self.labels.len() - 1).expect("the memory for 2^32 series is never there")
    }

    /// Memory that it takes, about.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// All sets in their order, once each, and each source's numbers under that order.
    pub(crate) fn finish(self) -> (Vec<Labels>, Vec<Numbers>) {
        let Self { labels, places, sources, .. } = self;
        drop(places);
        if sources.len() == 1 {
            return (labels, sources.into_iter().map(Arc::from).collect());
        }
        let mut sorted: Vec<(u32, Labels)> = (0..).zip(labels).collect();
        sorted.sort_unstable_by(|(_, a), (_, b)| a.cmp(b));
        let mut rank = vec![0_u32; sorted.len()];
        (0..).zip(&sorted).for_each(|(global, (place, _))| rank[*place as usize] = global);
        let ranked = |mut numbers: Vec<(u32, u32)>| {
            numbers.iter_mut().for_each(|(place, _)| *place = rank[*place as usize]);
            Numbers::from(numbers)
        };
        let numbers = sources.into_iter().map(ranked).collect();
        (sorted.into_iter().map(|(_, labels)| labels).collect(), numbers)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(n: u8) -> Labels {
        Labels::from_pairs([("n", format!("{n:03}").as_str())])
    }

    proptest! {
        #[test]
        fn every_number_leads_to_its_labels(
            sources in prop::collection::vec(prop::collection::btree_set(any::<u8>(), 0..40), 0..6)
        ) {
            let mut union = Union::default();
            for source in &sources {
                let numbered: Vec<_> = (0..).zip(source.iter().copied().map(labels)).collect();
                union.add(numbered.into_iter());
            }
            let (all, numbers) = union.finish();
            prop_assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
            let distinct: std::collections::BTreeSet<u8> = sources.iter().flatten().copied().collect();
            prop_assert_eq!(all.len(), distinct.len());
            prop_assert_eq!(numbers.len(), sources.len());
            for (source, numbers) in sources.iter().zip(&numbers) {
                prop_assert!(numbers.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1));
                let told: Vec<Labels> = numbers.iter().map(|(global, _)| all[*global as usize].clone()).collect();
                prop_assert_eq!(told, source.iter().copied().map(labels).collect::<Vec<_>>());
            }
        }
    }
}
