//! `histogram_quantile` and `histogram_fraction`: over classic buckets (series with `le`) and native histograms.

use std::cmp::Ordering;

use hashbrown::HashMap;
use model::Labels;
use model::histogram::NativeHistogram;
use syntax::string::quote;

use super::falls::{Falls, Mended};
use crate::annotations::Annotations;
use crate::ast::Place;
use crate::error::EvalError;
use crate::functions::quantile::check_quantile;
use crate::histogram::estimate;
use crate::vector::{Grid, GridSeries};

/// A bucket: how many observations are at most `upper`.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    upper: f64,
    count: f64,
}

/// By how much counts may differ from bucket to bucket and still be rounding, as a share.
const TOLERANCE: f64 = 1e-12;

/// `q_place` is where the quantile stands, `place` where the histograms do.
pub(super) fn quantile(
    quantiles: &[f64],
    grid: &Grid,
    (q_place, place): (Place, Place),
    notes: &mut Annotations,
) -> Result<Grid, EvalError> {
    notes.at(q_place);
    quantiles.iter().for_each(|q| check_quantile(*q, notes));
    notes.at(place);
    let mut falls = Falls::default();
    let result = each(
        grid,
        notes,
        |step, buckets, name| {
            let (quantile, mended) = bucket_quantile(quantiles[step], buckets);
            if let Some(mended) = mended {
                falls.add(name, grid.steps.at(step), mended);
            }
            quantile
        },
        |step, histogram, name, notes| native_quantile(quantiles[step], histogram, name, notes),
    );
    falls.tell(notes);
    result
}

pub(super) fn fraction(
    lower: &[f64],
    upper: &[f64],
    grid: &Grid,
    notes: &mut Annotations,
) -> Result<Grid, EvalError> {
    each(
        grid,
        notes,
        |step, buckets, _| bucket_fraction(lower[step], upper[step], buckets),
        |step, histogram, name, notes| {
            if has_nan(histogram) {
                let text =
                    "input to histogram_fraction has NaN observations, which are excluded from all fractions";
                notes.info(of_metric(text, name));
            }
            estimate::fraction(lower[step], upper[step], histogram)
        },
    )
}

/// Whether there were observations that are in no bucket, since they were no numbers.
fn has_nan(h: &NativeHistogram) -> bool {
    let counts = h.positive_counts.iter().chain(&h.negative_counts);
    h.sum.is_nan() && counts.sum::<f64>() + h.zero_count < h.count
}

fn native_quantile(q: f64, h: &NativeHistogram, name: &str, notes: &mut Annotations) -> f64 {
    let quantile = estimate::quantile(q, h);
    if has_nan(h) && (0.0..=1.0).contains(&q) {
        let result = if quantile.is_nan() { "NaN" } else { "skewed higher" };
        let text = format!("input to histogram_quantile has NaN observations, result is {result}");
        notes.info(of_metric(&text, name));
    }
    quantile
}

/// A text with the metric that it is about, where that has a name.
pub(super) fn of_metric(text: &str, name: &str) -> String {
    if name.is_empty() { text.to_owned() } else { format!("{text} for metric name {}", quote(name)) }
}

/// The series of one histogram: their bounds, ascending, and their places.
struct Family {
    labels: Labels,
    members: Vec<(f64, usize)>,
}

fn families(grid: &Grid, notes: &mut Annotations) -> Vec<Family> {
    let mut numbers: HashMap<Labels, usize> = HashMap::new();
    let mut families: Vec<Family> = Vec::new();
    for (i, series) in grid.series.iter().enumerate().filter(|(_, series)| series.present.any()) {
        let le = series.labels.get("le");
        let Some(upper) = le.and_then(|le| syntax::number::parse(le).ok()) else {
            let name = series.labels.metric_name().unwrap_or_default();
            let value = quote(le.unwrap_or_default());
            let text = format!("bucket label \"le\" is missing or has a malformed value of {value}");
            notes.warn(of_metric(&text, name));
            continue;
        };
        let key = series.labels.filter(|name| name != "le");
        let number = *numbers.entry(key).or_insert_with_key(|labels| {
            families.push(Family { labels: labels.clone(), members: Vec::new() });
            families.len() - 1
        });
        families[number].members.push((upper, i));
    }
    for family in &mut families {
        family.members.sort_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    }
    families
}

fn each(
    grid: &Grid,
    notes: &mut Annotations,
    mut classic: impl FnMut(usize, &mut Vec<Bucket>, &str) -> f64,
    native: impl Fn(usize, &NativeHistogram, &str, &mut Annotations) -> f64,
) -> Result<Grid, EvalError> {
    let mut out = Grid::empty(grid.steps);
    let mut native_at: HashMap<Labels, Vec<usize>> = HashMap::new();
    for series in grid.series.iter().filter(|series| series.has_histograms()) {
        let labels = series.labels.clone();
        let mut result = GridSeries::absent(labels.clone(), grid.steps.count);
        result.name_dropped = true;
        for step in 0..grid.steps.count {
            if let Some(histogram) = series.histogram(step) {
                let name = labels.metric_name().unwrap_or_default();
                result.set_float(step, native(step, histogram, name, notes));
                native_at.entry(labels.clone()).or_default().push(step);
            }
        }
        out.series.push(result);
    }
    let mut buckets: Vec<Bucket> = Vec::new();
    for family in families(grid, notes) {
        let labels = family.labels;
        let name = labels.metric_name().unwrap_or_default();
        let mut result = GridSeries::absent(labels.clone(), grid.steps.count);
        result.name_dropped = true;
        for step in 0..grid.steps.count {
            buckets.clear();
            let counts =
                family.members.iter().filter_map(|(upper, i)| Some((*upper, grid.series[*i].float(step)?)));
            buckets.extend(counts.map(|(upper, count)| Bucket { upper, count }));
            if buckets.is_empty() {
                continue;
            }
            if native_at.get(&result.labels).is_some_and(|steps| steps.contains(&step)) {
                notes.warn(of_metric("vector contains a mix of classic and native histograms", name));
                out.series.iter_mut().filter(|s| s.labels == result.labels).for_each(|s| s.clear(step));
                continue;
            }
            result.set_float(step, classic(step, &mut buckets, name));
        }
        out.series.push(result);
    }
    out.unite()
}

/// Joins equal bounds and mends counts that fall, and says what it mended; none where the buckets are no histogram.
fn prepare(buckets: &mut Vec<Bucket>) -> Option<Option<Mended>> {
    if buckets.last().is_none_or(|last| last.upper != f64::INFINITY) {
        return None;
    }
    buckets.dedup_by(|next, into| {
        let equal = next.upper == into.upper;
        if equal {
            into.count += next.count;
        }
        equal
    });
    let mut mended = None;
    let mut before = buckets.first()?.count;
    for bucket in buckets.iter_mut().skip(1) {
        let is_rounding = (before - bucket.count).abs() < TOLERANCE * (before.abs() + bucket.count.abs());
        if bucket.count < before || is_rounding {
            if !is_rounding {
                mended = Some(Mended::with(mended, bucket.upper, before - bucket.count));
            }
            bucket.count = before;
        }
        before = bucket.count;
    }
    Some(mended)
}

/// The quantile, and what was mended for it.
fn bucket_quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Mended>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    match prepare(buckets) {
        Some(mended) => (within(q, buckets), mended),
        None => (f64::NAN, None),
    }
}

/// The quantile of buckets that are a histogram.
fn within(q: f64, buckets: &[Bucket]) -> f64 {
    let [.., before_last, last] = buckets else { return f64::NAN };
    let observations = last.count;
    if observations == 0.0 || observations.is_nan() {
        return f64::NAN;
    }
    let mut rank = q * observations;
    let place = buckets[..buckets.len() - 1].partition_point(|bucket| bucket.count < rank);
    if place == buckets.len() - 1 {
        return before_last.upper;
    }
    let bucket = buckets[place];
    if place == 0 && bucket.upper <= 0.0 {
        return bucket.upper;
    }
    let (mut lower, mut count) = (0.0, bucket.count);
    if place > 0 {
        lower = buckets[place - 1].upper;
        count -= buckets[place - 1].count;
        rank -= buckets[place - 1].count;
    }
    lower + (bucket.upper - lower) * (rank / count)
}

fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if prepare(buckets).is_none() {
        return f64::NAN;
    }
    let observations = buckets.last().map_or(0.0, |last| last.count);
    if observations == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank = |at: f64| {
        let (mut edge, mut below) = (if buckets[0].upper > 0.0 { 0.0 } else { f64::NEG_INFINITY }, 0.0);
        for bucket in buckets.iter() {
            if at <= edge {
                return below;
            }
            if at < bucket.upper {
                let inside = bucket.count - below;
                let open = edge.is_infinite() || bucket.upper.is_infinite();
                return if open { below } else { below + inside * (at - edge) / (bucket.upper - edge) };
            }
            (edge, below) = (bucket.upper, bucket.count);
        }
        observations
    };
    (rank(upper) - rank(lower)) / observations
}
