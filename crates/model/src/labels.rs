//! A set of labels in one canonical run of bytes: sorted by name, no duplicate, no empty value.
//!
//! The bytes are `varint(len) name varint(len) value` for each label. Two sets are equal when their bytes are, so
//! that hashing and comparing never decode.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

pub use builder::{BadSet, LabelsBuilder};

mod builder;

/// The label that carries a metric's name.
pub const METRIC_NAME: &str = "__name__";

/// The label that holds the metric's type, where a writer gave it as one.
pub const METRIC_TYPE: &str = "__type__";

/// The label that holds the metric's unit, where a writer gave it as one.
pub const METRIC_UNIT: &str = "__unit__";

/// Whether a label says which metric it is and of what kind: what is computed from it is another metric.
#[must_use]
pub fn is_of_metric(name: &str) -> bool {
    [METRIC_NAME, METRIC_TYPE, METRIC_UNIT].contains(&name)
}

/// A sorted set of labels; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<[u8]>);

/// A sorted set of labels that lies in somebody else's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelsRef<'a> {
    bytes: &'a [u8],
}

impl<'a> LabelsRef<'a> {
    /// The canonical bytes.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The labels, sorted by name.
    #[must_use]
    pub const fn iter(self) -> Iter<'a> {
        Iter { bytes: self.bytes }
    }
}

impl<'a> From<&'a Labels> for LabelsRef<'a> {
    fn from(labels: &'a Labels) -> Self {
        LabelsRef { bytes: &labels.0 }
    }
}

impl From<LabelsRef<'_>> for Labels {
    fn from(labels: LabelsRef<'_>) -> Self {
        Labels(labels.bytes.into())
    }
}

/// Bytes that are not a canonical label set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a canonical label set: offset={offset}")]
pub struct LabelsError {
    /// Where the reading stopped.
    pub offset: usize,
}

impl Labels {
    /// The set without labels.
    #[must_use]
    pub fn empty() -> Self {
        Self(Arc::from(&[][..]))
    }

    /// Makes a set from pairs in any order. Empty values are left out; of two equal names the last wins.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut pairs: Vec<(N, V)> = pairs.into_iter().collect();
        pairs.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
        let mut bytes = Vec::with_capacity(pairs.len() * 32);
        for (i, (name, value)) in pairs.iter().enumerate() {
            let shadowed = pairs.get(i + 1).is_some_and(|next| next.0.as_ref() == name.as_ref());
            if !shadowed && !value.as_ref().is_empty() {
                push_text(&mut bytes, name.as_ref());
                push_text(&mut bytes, value.as_ref());
            }
        }
        Self(bytes.into())
    }

    /// Takes bytes that [`Labels::as_bytes`] gave, after checking them.
    ///
    /// # Errors
    /// When a length runs over the end, a text is not UTF-8, names are not strictly ascending or a value is empty.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LabelsError> {
        let mut offset = 0;
        let mut last: Option<&str> = None;
        while offset < bytes.len() {
            let name = checked_text(bytes, &mut offset)?;
            let value = checked_text(bytes, &mut offset)?;
            if last.is_some_and(|l| l >= name) || value.is_empty() {
                return Err(LabelsError { offset });
            }
            last = Some(name);
        }
        Ok(Self(bytes.into()))
    }

    /// The canonical bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A hash of the set that is the same on every machine and in every version.
    #[must_use]
    pub fn stable_hash(&self) -> u64 {
        xxh3_64(&self.0)
    }

    /// The labels, sorted by name.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter { bytes: &self.0 }
    }

    /// How many labels there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a label; none where the set has no such label.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut labels = self.iter();
        while !labels.bytes.is_empty() {
            if labels.raw() == name.as_bytes() {
                return Some(labels.text());
            }
            labels.raw();
        }
        None
    }

    /// The metric's name, where there is one.
    #[must_use]
    pub fn metric_name(&self) -> Option<&str> {
        self.get(METRIC_NAME)
    }

    /// The labels for which `keep` says yes, as a new set.
    #[must_use]
    pub fn filter(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len());
        for (name, value) in self.iter().filter(|(name, _)| keep(name)) {
            push_text(&mut bytes, name);
            push_text(&mut bytes, value);
        }
        Self(bytes.into())
    }

    /// Whether both have the same of the labels for which `keep` says yes.
    #[must_use]
    pub fn is_same_where(&self, other: &Self, keep: impl Fn(&str) -> bool) -> bool {
        let (mut ours, mut theirs) = (self.iter(), other.iter());
        loop {
            match (ours.next_where(&keep), theirs.next_where(&keep)) {
                (None, None) => return true,
                (a, b) if a == b => {}
                _ => return false,
            }
        }
    }

    /// The set without the metric's name, type and unit.
    #[must_use]
    pub fn without_metric(&self) -> Self {
        self.filter(|name| !is_of_metric(name))
    }

    /// The set with one label set to a value, or removed when the value is empty.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        Self::from_pairs(self.iter().filter(|(n, _)| *n != name).chain(std::iter::once((name, value))))
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    push_bytes(bytes, text.as_bytes());
}

fn push_bytes(bytes: &mut Vec<u8>, text: &[u8]) {
    let mut len = text.len();
    while len >= 0x80 {
        bytes.push(u8::try_from(len & 0x7f).expect("seven bits fit") | 0x80);
        len >>= 7;
    }
    bytes.push(u8::try_from(len).expect("seven bits fit"));
    bytes.extend_from_slice(text);
}

fn read_len(bytes: &[u8], offset: &mut usize) -> Option<usize> {
    let mut len = 0_usize;
    for shift in [0_u32, 7, 14, 21, 28] {
        let byte = *bytes.get(*offset)?;
        *offset += 1;
        len |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            // A longer form of the same number would make equal sets unequal.
            return (shift == 0 || byte != 0).then_some(len);
        }
    }
    None
}

fn checked_text<'a>(bytes: &'a [u8], offset: &mut usize) -> Result<&'a str, LabelsError> {
    let start = *offset;
    let bad = LabelsError { offset: start };
    let len = read_len(bytes, offset).ok_or(bad)?;
    let end = offset.checked_add(len).ok_or(bad)?;
    let text = bytes.get(*offset..end).ok_or(bad)?;
    *offset = end;
    std::str::from_utf8(text).map_err(|_| bad)
}

/// Walks a label set in the order of names.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    bytes: &'a [u8],
}

impl<'a> Iter<'a> {
    /// The next name or value, in turn. Its bytes sort as its text does.
    fn raw(&mut self) -> &'a [u8] {
        let mut offset = 0;
        let len = read_len(self.bytes, &mut offset).expect("a label set is checked when it is made");
        let (text, rest) = self.bytes[offset..].split_at(len);
        self.bytes = rest;
        text
    }

    /// The next label of those that are kept, its value as bytes.
    fn next_where(&mut self, keep: impl Fn(&str) -> bool) -> Option<(&'a str, &'a [u8])> {
        while !self.bytes.is_empty() {
            let (name, value) = (self.text(), self.raw());
            if keep(name) {
                return Some((name, value));
            }
        }
        None
    }

    fn text(&mut self) -> &'a str {
        std::str::from_utf8(self.raw()).expect("a label set is checked when it is made")
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let name = self.text();
        Some((name, self.text()))
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl Ord for Labels {
    /// By the first label in which they differ: its name, then its value; a prefix comes first.
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut ours, mut theirs) = (self.iter(), other.iter());
        while !ours.bytes.is_empty() && !theirs.bytes.is_empty() {
            let order = ours.raw().cmp(theirs.raw());
            if order != Ordering::Equal {
                return order;
            }
        }
        ours.bytes.len().cmp(&theirs.bytes.len())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Borrow<[u8]> for Labels {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Display for Labels {
    /// As PromQL writes it: `name{a="b", c="d"}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.metric_name().unwrap_or_default())?;
        if self.metric_name().is_some() && self.len() == 1 {
            return Ok(());
        }
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().filter(|(n, _)| *n != METRIC_NAME).enumerate() {
            write!(f, "{}{name}={value:?}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests;
