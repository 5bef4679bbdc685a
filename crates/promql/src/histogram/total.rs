//! The sum or mean of many histograms, as exact as that of numbers: what rounding takes away is kept beside it, and a
//! mean does not overflow where the sum does.

use model::histogram::{NativeHistogram, ResetHint};

use super::buckets::Counts;
use super::{Spread, compact, is_custom, joined_hint, reconciled, widen_together};
use crate::aggregate::sum::{SCALE, Sum};
use crate::annotations::Annotations;

/// Buckets with the two numbers that belong to them.
#[derive(Clone, Debug)]
struct Layer {
    spread: Spread,
    count: f64,
    sum: f64,
}

/// Histograms added so far; at least one.
#[derive(Clone, Debug)]
pub(crate) struct Total {
    histograms: u64,
    hint: ResetHint,
    /// Whether one that began anew, and one that did not, was added.
    seen: [bool; 2],
    is_custom: bool,
    value: Layer,
    /// What rounding took away.
    lost: Layer,
    /// The sum of scaled histograms, for the mean.
    scaled: Layer,
}

impl Layer {
    fn of(h: &NativeHistogram) -> Self {
        Self { spread: Spread::of(h), count: h.count, sum: h.sum }
    }

    fn each(&mut self, change: impl Fn(f64) -> f64) {
        let Self { spread, count, sum } = self;
        let buckets = spread.positive.values_mut().chain(spread.negative.values_mut());
        buckets.chain([&mut spread.zero_count, count, sum]).for_each(|value| *value = change(*value));
    }

    fn scaled(&self, factor: f64) -> Self {
        let mut scaled = self.clone();
        scaled.each(|value| value * factor);
        scaled
    }
}

/// Adds to a number and to what it lost.
fn add(value: &mut f64, lost: &mut f64, scaled: &mut f64, more: f64) {
    let mut sum = Sum { value: *value, lost: *lost };
    sum.add(more);
    (*value, *lost) = (sum.value, sum.lost);
    *scaled += more * SCALE;
}

impl Total {
    pub(crate) fn of(first: &NativeHistogram) -> Self {
        let value = Layer::of(first);
        Self {
            histograms: 1,
            hint: first.reset_hint,
            seen: [ResetHint::Reset, ResetHint::NoReset].map(|hint| first.reset_hint == hint),
            is_custom: is_custom(first),
            lost: value.scaled(0.0),
            scaled: value.scaled(SCALE),
            value,
        }
    }

    /// Adds one more; false, with a warning, where their buckets cannot be joined.
    pub(crate) fn add(&mut self, h: &NativeHistogram, notes: &mut Annotations) -> bool {
        if self.is_custom != is_custom(h) {
            return false;
        }
        let mut more = Layer::of(h);
        self.align(&mut more, notes);
        let (value, lost, scaled) = (&mut self.value, &mut self.lost, &mut self.scaled);
        add(&mut value.count, &mut lost.count, &mut scaled.count, more.count);
        add(&mut value.sum, &mut lost.sum, &mut scaled.sum, more.sum);
        let (value, lost, scaled) = (&mut value.spread, &mut lost.spread, &mut scaled.spread);
        add(&mut value.zero_count, &mut lost.zero_count, &mut scaled.zero_count, more.spread.zero_count);
        let of_sign = |values: &mut Counts, lost: &mut Counts, scaled: &mut Counts, more: Counts| {
            for (index, count) in more {
                add(
                    values.entry(index).or_insert(0.0),
                    lost.entry(index).or_insert(0.0),
                    scaled.entry(index).or_insert(0.0),
                    count,
                );
            }
        };
        of_sign(&mut value.positive, &mut lost.positive, &mut scaled.positive, more.spread.positive);
        of_sign(&mut value.negative, &mut lost.negative, &mut scaled.negative, more.spread.negative);
        self.seen[0] |= h.reset_hint == ResetHint::Reset;
        self.seen[1] |= h.reset_hint == ResetHint::NoReset;
        if self.seen == [true; 2] {
            notes.warn("conflicting counter resets during histogram aggregation");
        }
        self.hint = joined_hint(self.hint, h.reset_hint, 1.0);
        self.histograms += 1;
        true
    }

    /// Gives all layers the coarser resolution and the wider zero bucket of the two.
    fn align(&mut self, more: &mut Layer, notes: &mut Annotations) {
        let (value, more) = (&mut self.value.spread, &mut more.spread);
        let others = [&mut self.lost.spread, &mut self.scaled.spread];
        if self.is_custom {
            if let Some(common) = reconciled(&value.bounds, &more.bounds, "aggregation", notes) {
                [value, more].into_iter().chain(others).for_each(|spread| spread.rebound(&common));
            }
            return;
        }
        widen_together(value, more);
        let (schema, threshold) = (value.schema.min(more.schema), value.zero_threshold);
        for spread in others {
            spread.take_below(threshold);
            spread.coarsen(schema);
        }
        value.coarsen(schema);
        more.coarsen(schema);
    }

    /// The sum.
    pub(crate) fn sum(self) -> NativeHistogram {
        self.finish(|value, lost, _| Sum { value, lost }.total())
    }

    /// The mean.
    pub(crate) fn mean(self) -> NativeHistogram {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let count = self.histograms as f64;
        self.finish(|value, lost, scaled| {
            if value.is_infinite() && scaled.is_finite() {
                scaled / count / SCALE
            } else if value.is_infinite() {
                value
            } else {
                value / count + lost / count
            }
        })
    }

    fn finish(self, join: impl Fn(f64, f64, f64) -> f64) -> NativeHistogram {
        let Self { value, lost, scaled, .. } = self;
        let mut spread = value.spread.clone();
        spread.zero_count = join(value.spread.zero_count, lost.spread.zero_count, scaled.spread.zero_count);
        let counts = |into: &mut Counts, lost: &Counts, scaled: &Counts| {
            let of = |counts: &Counts, index: &i32| counts.get(index).copied().unwrap_or(0.0);
            into.iter_mut().for_each(|(i, count)| *count = join(*count, of(lost, i), of(scaled, i)));
        };
        counts(&mut spread.positive, &lost.spread.positive, &scaled.spread.positive);
        counts(&mut spread.negative, &lost.spread.negative, &scaled.spread.negative);
        let mut out = spread.gather();
        out.count = join(value.count, lost.count, scaled.count);
        out.sum = join(value.sum, lost.sum, scaled.sum);
        out.reset_hint = self.hint;
        compact(&out)
    }
}
