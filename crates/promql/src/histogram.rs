//! Arithmetic of native histograms: adding, scaling, resolution. Exponential buckets and custom bounds.
//!
//! Follows Prometheus' `model/histogram`: the coarser resolution and the wider zero bucket win.

pub(crate) mod buckets;

pub(crate) mod estimate;

pub(crate) mod total;

mod trim;

use std::collections::BTreeMap;

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, NativeHistogram, ResetHint};
use model::metric::is_stale;
use syntax::string::quote;

use crate::annotations::Annotations;
use buckets::{Bucket, Counts, pack, unpack, upper_bound};
pub(crate) use trim::trim;

/// Whether the buckets have custom bounds.
pub(crate) const fn is_custom(h: &NativeHistogram) -> bool {
    h.schema == CUSTOM_BUCKETS_SCHEMA
}

/// The sum of two; none where their buckets cannot be joined.
pub(crate) fn add(
    a: &NativeHistogram,
    b: &NativeHistogram,
    notes: &mut Annotations,
) -> Option<NativeHistogram> {
    tell_conflict(a, b, "addition", notes);
    combine(a, b, 1.0, notes)
}

/// By how much a counter or gauge grew, whatever the two say of resets; none as above.
pub(crate) fn growth(
    from: &NativeHistogram,
    to: &NativeHistogram,
    notes: &mut Annotations,
) -> Option<NativeHistogram> {
    combine(to, from, -1.0, notes)
}

/// The difference of two; none where their buckets cannot be joined.
pub(crate) fn subtract(
    a: &NativeHistogram,
    b: &NativeHistogram,
    notes: &mut Annotations,
) -> Option<NativeHistogram> {
    tell_conflict(a, b, "subtraction", notes);
    combine(a, b, -1.0, notes)
}

/// The same with buckets as coarse as another's; none where the two cannot be joined.
pub(crate) fn coarsened(h: &NativeHistogram, like: &NativeHistogram) -> Option<NativeHistogram> {
    let hint = h.reset_hint;
    let joined = combine(h, &scale(like, 0.0), 1.0, &mut Annotations::default())?;
    Some(NativeHistogram { reset_hint: hint, ..joined })
}

/// Says that one began anew and the other did not.
fn tell_conflict(a: &NativeHistogram, b: &NativeHistogram, what: &str, notes: &mut Annotations) {
    if is_conflict(a, b) {
        notes.warn(format!("conflicting counter resets during histogram {what}"));
    }
}

/// Whether one began anew and the other did not.
pub(crate) const fn is_conflict(a: &NativeHistogram, b: &NativeHistogram) -> bool {
    matches!(
        (a.reset_hint, b.reset_hint),
        (ResetHint::Reset, ResetHint::NoReset) | (ResetHint::NoReset, ResetHint::Reset)
    )
}

fn combine(
    a: &NativeHistogram,
    b: &NativeHistogram,
    sign: f64,
    notes: &mut Annotations,
) -> Option<NativeHistogram> {
    if is_custom(a) != is_custom(b) {
        return None;
    }
    let what = if sign < 0.0 { "subtraction" } else { "addition" };
    let mut left = Spread::of(a);
    let mut right = Spread::of(b);
    if is_custom(a) {
        if let Some(common) = reconciled(&a.custom_bounds, &b.custom_bounds, what, notes) {
            left.rebound(&common);
            right.rebound(&common);
        }
    } else {
        widen_together(&mut left, &mut right);
        let schema = left.schema.min(right.schema);
        left.coarsen(schema);
        right.coarsen(schema);
    }
    for (into, from) in [(&mut left.positive, &right.positive), (&mut left.negative, &right.negative)] {
        for (index, count) in from {
            *into.entry(*index).or_insert(0.0) += sign * count;
        }
    }
    left.zero_count += sign * right.zero_count;
    let mut out = left.gather();
    out.count = a.count + sign * b.count;
    out.sum = a.sum + sign * b.sum;
    out.reset_hint = joined_hint(a.reset_hint, b.reset_hint, sign);
    Some(out)
}

/// What is said where exponential buckets and custom ones of a metric cannot be joined.
pub(crate) fn mixed_schemas(name: &str) -> String {
    format!(
        "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
        quote(name)
    )
}

/// The bounds that two have in common, where they differ.
fn reconciled(a: &[f64], b: &[f64], what: &str, notes: &mut Annotations) -> Option<Vec<f64>> {
    if a == b {
        return None;
    }
    notes.info(format!("mismatched custom buckets were reconciled during {what}"));
    Some(a.iter().copied().filter(|x| b.contains(x)).collect())
}

fn joined_hint(a: ResetHint, b: ResetHint, sign: f64) -> ResetHint {
    match (a, b) {
        _ if sign < 0.0 => ResetHint::Gauge,
        (ResetHint::Gauge, _) | (_, ResetHint::Gauge) => ResetHint::Gauge,
        (a, b) if a == b => a,
        _ => ResetHint::Unknown,
    }
}

/// Every count times a factor.
pub(crate) fn scale(h: &NativeHistogram, factor: f64) -> NativeHistogram {
    each(h, factor < 0.0, |count| count * factor)
}

/// Every count divided by a number.
pub(crate) fn divide(h: &NativeHistogram, by: f64) -> NativeHistogram {
    let mut out = each(h, by < 0.0, |count| count / by);
    if by == 0.0 {
        out.positive_spans.clear();
        out.positive_counts.clear();
        out.negative_spans.clear();
        out.negative_counts.clear();
    }
    out
}

fn each(h: &NativeHistogram, gauge: bool, change: impl Fn(f64) -> f64) -> NativeHistogram {
    let mut out = h.clone();
    for count in [&mut out.zero_count, &mut out.count, &mut out.sum] {
        *count = change(*count);
    }
    for count in out.positive_counts.iter_mut().chain(&mut out.negative_counts) {
        *count = change(*count);
    }
    if gauge {
        out.reset_hint = ResetHint::Gauge;
    }
    out
}

/// Without buckets that are empty.
pub(crate) fn compact(h: &NativeHistogram) -> NativeHistogram {
    let (positive_spans, positive_counts) = pack(&unpack(&h.positive_spans, &h.positive_counts));
    let (negative_spans, negative_counts) = pack(&unpack(&h.negative_spans, &h.negative_counts));
    NativeHistogram { positive_spans, positive_counts, negative_spans, negative_counts, ..h.clone() }
}

/// Whether two say the same, however their buckets are laid out; hints do not count.
pub(crate) fn same(a: &NativeHistogram, b: &NativeHistogram) -> bool {
    let (a, b) = (compact(a), compact(b));
    let float = |x: f64, y: f64| x.to_bits() == y.to_bits() || x == y;
    a.schema == b.schema
        && float(a.count, b.count)
        && float(a.sum, b.sum)
        && float(a.zero_threshold, b.zero_threshold)
        && float(a.zero_count, b.zero_count)
        && a.custom_bounds == b.custom_bounds
        && a.positive_spans == b.positive_spans
        && a.positive_counts == b.positive_counts
        && a.negative_spans == b.negative_spans
        && a.negative_counts == b.negative_counts
}

/// Whether a counter histogram began anew after the one before it.
pub(crate) fn is_reset(previous: &NativeHistogram, h: &NativeHistogram) -> bool {
    match h.reset_hint {
        ResetHint::Reset => return true,
        ResetHint::NoReset => return false,
        ResetHint::Unknown | ResetHint::Gauge => {}
    }
    if h.count < previous.count || is_custom(h) != is_custom(previous) {
        return true;
    }
    if has_same_layout(previous, h) {
        let fell = |before: &[f64], now: &[f64]| before.iter().zip(now).any(|(before, now)| now < before);
        return h.zero_count < previous.zero_count
            || fell(&previous.positive_counts, &h.positive_counts)
            || fell(&previous.negative_counts, &h.negative_counts);
    }
    let mut before = Spread::of(previous);
    let mut now = Spread::of(h);
    if is_custom(h) {
        let common: Vec<f64> =
            h.custom_bounds.iter().copied().filter(|x| previous.custom_bounds.contains(x)).collect();
        before.rebound(&common);
        now.rebound(&common);
    } else {
        if h.schema > previous.schema || h.zero_threshold < previous.zero_threshold {
            return true;
        }
        before.widen(h.zero_threshold);
        before.coarsen(h.schema);
        if before.zero_threshold > h.zero_threshold {
            return true;
        }
    }
    let fell = |before: &Counts, now: &Counts| {
        before.iter().any(|(index, count)| now.get(index).copied().unwrap_or(0.0) < *count)
    };
    now.zero_count < before.zero_count
        || fell(&before.positive, &now.positive)
        || fell(&before.negative, &now.negative)
}

/// Whether the counts of two can be compared place by place.
fn has_same_layout(a: &NativeHistogram, b: &NativeHistogram) -> bool {
    a.schema == b.schema
        && a.zero_threshold == b.zero_threshold
        && a.custom_bounds == b.custom_bounds
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
}

/// The samples of a series, of which each says where it only continues the one before it, as a store of chunks knows.
pub(crate) fn with_continuations(all: &[NativeHistogram]) -> Vec<NativeHistogram> {
    let mut told = all.to_vec();
    for (i, h) in told.iter_mut().enumerate().skip(1) {
        let before = &all[i - 1];
        let are_counters = h.reset_hint == ResetHint::Unknown && before.reset_hint != ResetHint::Gauge;
        if are_counters && !is_stale(before.sum) && !is_stale(h.sum) && !is_reset(before, h) {
            h.reset_hint = ResetHint::NoReset;
        }
    }
    told
}

/// The samples of a series with what each says of the one before it; those that say so themselves stay as they are.
pub(crate) fn with_resets(all: &[NativeHistogram]) -> Vec<NativeHistogram> {
    let mut told = all.to_vec();
    for (i, h) in told.iter_mut().enumerate().skip(1) {
        if h.reset_hint == ResetHint::Unknown {
            h.reset_hint = if is_reset(&all[i - 1], h) { ResetHint::Reset } else { ResetHint::NoReset };
        }
    }
    told
}

/// As `count_values` shows it in a label.
pub(crate) fn format(h: &NativeHistogram) -> String {
    let mut text = format!("{{count:{}, sum:{}", short(h.count), short(h.sum));
    for bucket in buckets::all(h) {
        let is_first = is_custom(h) && bucket.lower == f64::NEG_INFINITY;
        let open = if bucket.closed_below() || is_first { '[' } else { '(' };
        let close = if bucket.closed_above() { ']' } else { ')' };
        text.push_str(&format!(
            ", {open}{},{}{close}:{}",
            short(bucket.lower),
            short(bucket.upper),
            short(bucket.count)
        ));
    }
    text.push('}');
    text
}

fn short(value: f64) -> String {
    syntax::number::format_short(value)
}

/// A histogram with its buckets by index.
#[derive(Clone, Debug)]
struct Spread {
    schema: i8,
    zero_threshold: f64,
    zero_count: f64,
    positive: Counts,
    negative: Counts,
    bounds: Vec<f64>,
}

impl Spread {
    fn of(h: &NativeHistogram) -> Self {
        Self {
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            zero_count: h.zero_count,
            positive: unpack(&h.positive_spans, &h.positive_counts),
            negative: unpack(&h.negative_spans, &h.negative_counts),
            bounds: h.custom_bounds.clone(),
        }
    }

    fn set(&mut self, bucket: &Bucket, count: f64) {
        match (bucket.index, bucket.negative) {
            (None, _) => self.zero_count = count,
            (Some(index), false) => _ = self.positive.insert(index, count),
            (Some(index), true) => _ = self.negative.insert(index, count),
        }
    }

    /// Halves the resolution until it is of the schema.
    fn coarsen(&mut self, schema: i8) {
        let Ok(shift) = u32::try_from(self.schema.saturating_sub(schema)) else { return };
        if shift == 0 {
            return;
        }
        for counts in [&mut self.positive, &mut self.negative] {
            let mut coarse = BTreeMap::new();
            for (index, count) in std::mem::take(counts) {
                *coarse.entry(((index - 1) >> shift) + 1).or_insert(0.0) += count;
            }
            *counts = coarse;
        }
        self.schema = schema;
    }

    /// Widens the zero bucket to at least a threshold; a bucket in which it ends is taken whole if it has a count.
    fn widen(&mut self, threshold: f64) {
        if self.zero_threshold >= threshold {
            return;
        }
        let mut reached = threshold;
        for counts in [&mut self.positive, &mut self.negative] {
            let inside: Vec<i32> = counts
                .iter()
                .filter(|(index, _)| upper_bound(self.schema, **index - 1) < threshold)
                .map(|(index, _)| *index)
                .collect();
            for index in inside {
                let count = counts.remove(&index).unwrap_or(0.0);
                self.zero_count += count;
                if count != 0.0 {
                    reached = reached.max(upper_bound(self.schema, index));
                }
            }
        }
        if reached > threshold {
            self.zero_threshold = threshold;
            self.widen(reached);
        }
        self.zero_threshold = self.zero_threshold.max(reached);
    }

    /// Takes all buckets that begin below a threshold into the zero bucket.
    fn take_below(&mut self, threshold: f64) {
        if self.zero_threshold >= threshold {
            return;
        }
        for counts in [&mut self.positive, &mut self.negative] {
            let mut taken = 0.0;
            counts.retain(|index, count| {
                let is_inside = upper_bound(self.schema, *index - 1) < threshold;
                taken += if is_inside { *count } else { 0.0 };
                !is_inside
            });
            self.zero_count += taken;
        }
        self.zero_threshold = threshold;
    }

    /// Joins the buckets between bounds that are not wanted.
    fn rebound(&mut self, bounds: &[f64]) {
        let mut counts = BTreeMap::new();
        for (index, count) in std::mem::take(&mut self.positive) {
            let upper = usize::try_from(index)
                .ok()
                .and_then(|i| self.bounds.get(i))
                .copied()
                .unwrap_or(f64::INFINITY);
            let at = bounds.partition_point(|bound| *bound < upper);
            *counts.entry(i32::try_from(at).unwrap_or(i32::MAX)).or_insert(0.0) += count;
        }
        self.positive = counts;
        self.bounds = bounds.to_vec();
    }

    fn gather(self) -> NativeHistogram {
        let (positive_spans, positive_counts) = pack(&self.positive);
        let (negative_spans, negative_counts) = pack(&self.negative);
        NativeHistogram {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            positive_spans,
            positive_counts,
            negative_spans,
            negative_counts,
            custom_bounds: self.bounds,
            ..NativeHistogram::default()
        }
    }
}

/// Gives both the same zero bucket.
fn widen_together(a: &mut Spread, b: &mut Spread) {
    // Each round takes at least one bucket, so that it ends.
    while a.zero_threshold != b.zero_threshold && !a.zero_threshold.is_nan() && !b.zero_threshold.is_nan() {
        let wider = a.zero_threshold.max(b.zero_threshold);
        a.widen(wider);
        b.widen(wider);
    }
}
