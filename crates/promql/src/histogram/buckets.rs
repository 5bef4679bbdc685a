//! The buckets of a native histogram as intervals, in ascending order.

use std::collections::BTreeMap;

use model::histogram::{NativeHistogram, Span};

/// Counts by bucket index.
pub(crate) type Counts = BTreeMap<i32, f64>;

/// One bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    pub(crate) count: f64,
    /// None for the zero bucket.
    pub(crate) index: Option<i32>,
    pub(crate) negative: bool,
}

impl Bucket {
    pub(crate) fn closed_below(&self) -> bool {
        self.index.is_none() || self.negative
    }

    pub(crate) fn closed_above(&self) -> bool {
        !self.negative
    }

    /// The edges; the zero bucket's are told by the whole histogram.
    pub(crate) fn edges(&self, zero: (f64, f64)) -> (f64, f64) {
        if self.index.is_none() { zero } else { (self.lower, self.upper) }
    }
}

/// The upper bound of a positive bucket of an exponential schema.
pub(crate) fn upper_bound(schema: i8, index: i32) -> f64 {
    model::histogram::upper_bound(schema, i64::from(index)).min(f64::MAX)
}

/// Reads spans and counts into an index.
pub(crate) fn unpack(spans: &[Span], counts: &[f64]) -> Counts {
    let mut out = Counts::new();
    let mut counts = counts.iter();
    let mut index = 0_i32;
    for span in spans {
        index = index.saturating_add(span.offset);
        for _ in 0..span.length {
            let Some(count) = counts.next() else { return out };
            out.insert(index, *count);
            index = index.saturating_add(1);
        }
    }
    out
}

/// Writes spans and counts; empty buckets are left out.
pub(crate) fn pack(counts: &Counts) -> (Vec<Span>, Vec<f64>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut values = Vec::with_capacity(counts.len());
    let mut next = 0_i32;
    for (index, count) in counts.iter().filter(|(_, count)| **count != 0.0) {
        match spans.last_mut() {
            Some(span) if *index == next => span.length += 1,
            _ => spans.push(Span { offset: index.saturating_sub(next), length: 1 }),
        }
        next = index.saturating_add(1);
        values.push(*count);
    }
    (spans, values)
}

/// The buckets that are not empty, from the lowest to the highest.
pub(crate) fn all(h: &NativeHistogram) -> Vec<Bucket> {
    let positive = unpack(&h.positive_spans, &h.positive_counts);
    let mut out = Vec::with_capacity(positive.len() + 1);
    if super::is_custom(h) {
        for (index, count) in positive {
            let bound = |i: i32| usize::try_from(i).ok().and_then(|i| h.custom_bounds.get(i)).copied();
            let lower =
                if index <= 0 { f64::NEG_INFINITY } else { bound(index - 1).unwrap_or(f64::INFINITY) };
            let upper = bound(index).unwrap_or(f64::INFINITY);
            out.push(Bucket { lower, upper, count, index: Some(index), negative: false });
        }
    } else {
        for (index, count) in unpack(&h.negative_spans, &h.negative_counts).into_iter().rev() {
            let (lower, upper) = (-upper_bound(h.schema, index), -upper_bound(h.schema, index - 1));
            out.push(Bucket { lower, upper, count, index: Some(index), negative: true });
        }
        let (lower, upper) = (-h.zero_threshold, h.zero_threshold);
        out.push(Bucket { lower, upper, count: h.zero_count, index: None, negative: false });
        for (index, count) in positive {
            let (lower, upper) = (upper_bound(h.schema, index - 1), upper_bound(h.schema, index));
            out.push(Bucket { lower, upper, count, index: Some(index), negative: false });
        }
    }
    out.retain(|bucket| bucket.count != 0.0);
    out
}
