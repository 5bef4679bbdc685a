//! Quantiles of a classic histogram over all steps at once: of the steps at which its buckets are as they should be. The
//! others, which are rare, are looked at one by one elsewhere.

use super::classic::TOLERANCE;
use crate::vector::{GridSeries, Present};

/// The steps that one word of [`Present`] speaks of.
const BLOCK: usize = 64;

/// The buckets of a histogram, ascending by their bounds.
pub(super) struct Columns<'g> {
    pub(super) uppers: Vec<f64>,
    /// How many observations are at most that, at each step.
    pub(super) series: Vec<&'g GridSeries>,
}

impl Columns<'_> {
    /// Whether the bounds are those of a histogram, each once.
    pub(super) fn are_of_histogram(&self) -> bool {
        self.uppers.len() > 1
            && self.uppers.last() == Some(&f64::INFINITY)
            && self.uppers.windows(2).all(|pair| pair[0] < pair[1])
    }
}

/// What is known of the steps of a block, after some of the buckets.
struct Block {
    /// How many observations are below the quantile.
    ranks: [f64; BLOCK],
    /// In how many buckets, the last left out, there are fewer than that.
    places: [u64; BLOCK],
    /// Not 0 where a count is below that of the bucket before it, or so near to it that it counts as equal.
    mended: [u64; BLOCK],
}

/// Sets the quantiles of the wanted steps at which all buckets are there and their counts ascend; gives the steps that
/// are left.
pub(super) fn in_order(
    quantiles: &[f64],
    columns: &Columns<'_>,
    wanted: &Present,
    result: &mut GridSeries,
) -> Present {
    if !columns.are_of_histogram() {
        return wanted.clone();
    }
    let mut whole = wanted.clone();
    columns.series.iter().for_each(|series| whole.intersect(&series.present));
    let buckets = columns.series.len();
    let mut done = Present::none(wanted.len());
    for from in (0..wanted.len()).step_by(BLOCK).filter(|from| whole.words()[from / BLOCK] != 0) {
        let to = (from + BLOCK).min(wanted.len());
        let block = Block::of(columns, &quantiles[from..to], from..to);
        for (i, q) in quantiles[from..to].iter().enumerate() {
            let step = from + i;
            let is_quantile = (0.0..=1.0).contains(q);
            if !whole.get(step) || block.mended[i] != 0 || !is_quantile {
                continue;
            }
            let place = usize::try_from(block.places[i]).unwrap_or(usize::MAX);
            let count = |bucket: usize| columns.series[bucket].values[step];
            let quantile = between(buckets, |bucket| columns.uppers[bucket], count, block.ranks[i], place);
            result.set_float(step, quantile);
            done.set(step);
        }
    }
    let mut rest = wanted.clone();
    rest.subtract(&done);
    rest
}

impl Block {
    fn of(columns: &Columns<'_>, quantiles: &[f64], steps: std::ops::Range<usize>) -> Self {
        let mut block = Self { ranks: [0.0; BLOCK], places: [0; BLOCK], mended: [0; BLOCK] };
        let Some((last, below)) = columns.series.split_last() else { return block };
        let all = last.values[steps.clone()].iter().zip(quantiles);
        block.ranks.iter_mut().zip(all).for_each(|(rank, (count, q))| *rank = q * count);
        let mut before: Option<&[f64]> = None;
        for series in below {
            let counts = &series.values[steps.clone()];
            for ((place, rank), count) in block.places.iter_mut().zip(&block.ranks).zip(counts) {
                *place += u64::from(is_below(*count, *rank));
            }
            if let Some(before) = before {
                block.compare(before, counts);
            }
            before = Some(counts);
        }
        if let Some(before) = before {
            block.compare(before, &last.values[steps]);
        }
        block
    }

    /// Notes where the counts of a bucket are not clearly above those before it, nor the same.
    fn compare(&mut self, before: &[f64], counts: &[f64]) {
        for ((mended, before), count) in self.mended.iter_mut().zip(before).zip(counts) {
            let is_above = count - before >= TOLERANCE * (before.abs() + count.abs());
            *mended |= u64::from(!(is_above | (count == before)));
        }
    }
}

/// Whether fewer observations than those below the quantile are in a bucket; what is no number is not enough for any.
#[expect(clippy::neg_cmp_op_on_partial_ord, reason = "what is no number compares as nothing")]
pub(super) fn is_below(count: f64, rank: f64) -> bool {
    !(count >= rank)
}

/// The quantile of buckets whose counts ascend, where so many observations (`rank`) are below it, and fewer than that in
/// so many of the buckets (`place`).
pub(super) fn between(
    buckets: usize,
    upper: impl Fn(usize) -> f64,
    count: impl Fn(usize) -> f64,
    mut rank: f64,
    place: usize,
) -> f64 {
    let Some(last) = buckets.checked_sub(1).filter(|last| *last > 0) else { return f64::NAN };
    let observations = count(last);
    if observations == 0.0 {
        return f64::NAN;
    }
    if place >= last {
        return upper(last - 1);
    }
    if place == 0 && upper(0) <= 0.0 {
        return upper(0);
    }
    let (mut lower, mut inside) = (0.0, count(place));
    if place > 0 {
        lower = upper(place - 1);
        inside -= count(place - 1);
        rank -= count(place - 1);
    }
    lower + (upper(place) - lower) * (rank / inside)
}
