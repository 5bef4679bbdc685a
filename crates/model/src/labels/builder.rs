//! Writes canonical label sets one after the other into a buffer that is used again: nothing is allocated for a set
//! whose labels come as senders are asked to send them, sorted and without empty values.

use super::{LabelsRef, METRIC_NAME, push_bytes, push_text, read_len};

/// Why labels are no set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadSet<'a> {
    /// Two labels have this name.
    Twice(&'a str),
    /// A name or a value is not UTF-8.
    NotUtf8,
}

/// Builds one label set at a time.
#[derive(Debug, Default)]
pub struct LabelsBuilder {
    bytes: Vec<u8>,
    /// The labels in their order, where they did not come in it.
    sorted: Vec<u8>,
    last_name: (usize, usize),
    metric_name: Option<(usize, usize)>,
    count: usize,
    is_ordered: bool,
}

impl LabelsBuilder {
    /// Begins a set; what was built before is gone.
    pub fn begin(&mut self) {
        self.bytes.clear();
        self.last_name = (0, 0);
        self.metric_name = None;
        self.count = 0;
        self.is_ordered = true;
    }

    /// Adds a label, in any order; whether its texts are UTF-8 is looked at when the set is finished.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let (start, end) = self.last_name;
        self.is_ordered &= !value.is_empty() && (self.count == 0 || self.bytes[start..end] < *name);
        push_bytes(&mut self.bytes, name);
        let end = self.bytes.len();
        self.last_name = (end - name.len(), end);
        push_bytes(&mut self.bytes, value);
        if name == METRIC_NAME.as_bytes() {
            let end = self.bytes.len();
            self.metric_name = Some((end - value.len(), end));
        }
        self.count += 1;
    }

    /// Labels so far.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Bytes so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no label.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether the labels came sorted and without empty values: only then [`LabelsBuilder::finish`] allocates nothing,
    /// else some 32 bytes a label.
    #[must_use]
    pub const fn is_ordered(&self) -> bool {
        self.is_ordered
    }

    /// The value of the label that names the metric, as it was pushed last; empty where it is absent or not UTF-8.
    #[must_use]
    pub fn metric_name(&self) -> &str {
        let name = self.metric_name.map_or(&[][..], |(start, end)| &self.bytes[start..end]);
        std::str::from_utf8(name).unwrap_or_default()
    }

    /// The labels as they were pushed; none for one that is not UTF-8.
    pub fn pairs(&self) -> impl Iterator<Item = Option<(&str, &str)>> {
        Pairs(&self.bytes)
    }

    /// The set. Empty values are left out, but count as labels where a name stands twice.
    ///
    /// # Errors
    /// When the labels are no set.
    pub fn finish(&mut self) -> Result<LabelsRef<'_>, BadSet<'_>> {
        if self.is_ordered {
            // All of it is ASCII where every text is and every length is below 128.
            let is_text = self.bytes.is_ascii() || Pairs(&self.bytes).all(|pair| pair.is_some());
            return if is_text { Ok(LabelsRef { bytes: &self.bytes }) } else { Err(BadSet::NotUtf8) };
        }
        let pairs: Option<Vec<(&str, &str)>> = Pairs(&self.bytes).collect();
        let mut pairs = pairs.ok_or(BadSet::NotUtf8)?;
        pairs.sort_by_key(|(name, _)| *name);
        if let Some(twice) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(BadSet::Twice(twice[0].0));
        }
        self.sorted.clear();
        for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
            push_text(&mut self.sorted, name);
            push_text(&mut self.sorted, value);
        }
        Ok(LabelsRef { bytes: &self.sorted })
    }
}

/// The labels of a builder's bytes.
struct Pairs<'a>(&'a [u8]);

impl<'a> Pairs<'a> {
    fn text(&mut self) -> Option<&'a str> {
        let mut offset = 0;
        let len = read_len(self.0, &mut offset).expect("the builder wrote it");
        let (text, rest) = self.0[offset..].split_at(len);
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Option<(&'a str, &'a str)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let (name, value) = (self.text(), self.text());
        Some(name.zip(value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Labels;
    use super::*;

    proptest! {
        /// What is built is what [`Labels::from_pairs`] makes of the same pairs, in any order.
        #[test]
        fn sets_are_canonical(
            sets in prop::collection::vec(prop::collection::vec(("[a-dé]{0,2}", "[xé]{0,3}|y{150}"), 0..6), 1..4),
        ) {
            let mut builder = LabelsBuilder::default();
            for pairs in &sets {
                builder.begin();
                for (name, value) in pairs {
                    builder.push(name.as_bytes(), value.as_bytes());
                }
                let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
                names.sort_unstable();
                let twice = names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
                match (builder.finish(), twice) {
                    (Err(BadSet::Twice(found)), Some(name)) => prop_assert_eq!(found, name),
                    (Ok(built), None) => {
                        let labels = Labels::from_pairs(pairs.iter().map(|(n, v)| (n, v)));
                        prop_assert_eq!(built.as_bytes(), labels.as_bytes());
                    }
                    (result, twice) => prop_assert!(false, "{result:?} {twice:?}"),
                }
            }
        }

        #[test]
        fn texts_that_are_none_are_refused(bytes in prop::collection::vec(any::<u8>(), 1..9), is_value: bool) {
            let mut builder = LabelsBuilder::default();
            builder.begin();
            builder.push(b"a", b"\xc3\xa9");
            match is_value {
                true => builder.push(b"b", &bytes),
                false => builder.push(&bytes, b"x"),
            }
            let is_text = std::str::from_utf8(&bytes).is_ok();
            prop_assert_eq!(builder.finish() == Err(BadSet::NotUtf8), !is_text);
        }
    }

    #[test]
    fn the_metric_has_a_name() {
        let mut builder = LabelsBuilder::default();
        builder.begin();
        assert_eq!((builder.metric_name(), builder.is_empty()), ("", true));
        builder.push(b"job", b"x");
        builder.push(METRIC_NAME.as_bytes(), b"up");
        assert_eq!((builder.metric_name(), builder.count(), builder.is_ordered()), ("up", 2, false));
        builder.begin();
        assert_eq!(builder.metric_name(), "");
    }
}
