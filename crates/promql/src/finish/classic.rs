//! `histogram_quantile` and `histogram_fraction`: over classic buckets (series with `le`) and native histograms.

use std::cmp::Ordering;

use hashbrown::HashMap;
use model::Labels;
use model::histogram::NativeHistogram;
use syntax::string::quote;

use super::falls::{Falls, Mended};
use super::quantiles::{self, Columns};
use crate::annotations::Annotations;
use crate::ast::Place;
use crate::error::EvalError;
use crate::functions::quantile::check_quantile;
use crate::histogram::estimate;
use crate::leaf::BOUND;
use crate::vector::{Grid, GridSeries, Present};

/// A bucket: how many observations are at most `upper`.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    upper: f64,
    count: f64,
}

/// By how much counts may differ from bucket to bucket and still be rounding, as a share.
pub(super) const TOLERANCE: f64 = 1e-12;

/// `q_place` is where the quantile stands, `place` where the histograms do. What is said names the metric where its name
/// stays to the end of the query.
pub(super) fn quantile(
    quantiles: &[f64],
    grid: &Grid,
    (q_place, place): (Place, Place),
    is_named: bool,
    notes: &mut Annotations,
) -> Result<Grid, EvalError> {
    notes.at(q_place);
    quantiles.iter().for_each(|q| check_quantile(*q, notes));
    notes.at(place);
    let mut falls = Falls::default();
    let mut buckets = Vec::new();
    let result = each(
        grid,
        is_named,
        notes,
        |family, wanted, result| {
            let name = name_of(&family.labels, is_named);
            let rest = quantiles::in_order(quantiles, &family.columns(grid), wanted, result);
            for step in rest.steps() {
                family.buckets(grid, step, &mut buckets);
                let (quantile, mended) = bucket_quantile(quantiles[step], &mut buckets);
                result.set_float(step, quantile);
                if let Some(mended) = mended {
                    falls.add(name, grid.steps.at(step), mended);
                }
            }
        },
        |step, histogram, name, notes| native_quantile(quantiles[step], histogram, name, notes),
    );
    falls.tell(notes);
    result
}

/// The quantiles of a histogram, of which these are all buckets; none where something is to be said of them, and where they
/// are none.
pub(crate) fn quantile_of(quantiles: &[f64], series: &[GridSeries]) -> Option<GridSeries> {
    let mut members = Vec::with_capacity(series.len());
    for one in series {
        members.push((bound(one.labels.get(BOUND)?)?, one));
    }
    members.sort_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    let columns = Columns {
        uppers: members.iter().map(|(upper, _)| *upper).collect(),
        series: members.iter().map(|(_, one)| *one).collect(),
    };
    if !columns.are_of_histogram() {
        return None;
    }
    let labels = series.first()?.labels.filter(|name| name != BOUND);
    let steps = quantiles.len();
    let mut wanted = Present::none(steps);
    series.iter().for_each(|one| wanted.unite(&one.present));
    let mut result = GridSeries::absent(labels, steps);
    let mut buckets = Vec::new();
    for step in quantiles::in_order(quantiles, &columns, &wanted, &mut result).steps() {
        buckets.clear();
        let counts = members.iter().filter_map(|(upper, one)| Some((*upper, one.float(step)?)));
        buckets.extend(counts.map(|(upper, count)| Bucket { upper, count }));
        let (quantile, mended) = bucket_quantile(quantiles[step], &mut buckets);
        if mended.is_some() {
            return None;
        }
        result.set_float(step, quantile);
    }
    Some(result)
}

pub(super) fn fraction(
    lower: &[f64],
    upper: &[f64],
    grid: &Grid,
    is_named: bool,
    notes: &mut Annotations,
) -> Result<Grid, EvalError> {
    let mut buckets = Vec::new();
    each(
        grid,
        is_named,
        notes,
        |family, wanted, result| {
            for step in wanted.steps() {
                family.buckets(grid, step, &mut buckets);
                result.set_float(step, bucket_fraction(lower[step], upper[step], &mut buckets));
            }
        },
        |step, histogram, name, notes| {
            let is_share = lower[step] < upper[step] && histogram.count != 0.0;
            if is_share && has_nan(histogram) {
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
    let (quantile, is_certain) = estimate::quantile(q, h);
    if has_nan(h) && (0.0..=1.0).contains(&q) && !is_certain {
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

/// A bucket's bound: a decimal number as every exposition writes it, none of the forms that the language has besides.
fn bound(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// The name by which annotations call a metric; empty where they do not name it.
fn name_of(labels: &Labels, is_named: bool) -> &str {
    labels.metric_name().filter(|_| is_named).unwrap_or_default()
}

/// The series of one histogram: their bounds, ascending, and their places.
struct Family {
    labels: Labels,
    members: Vec<(f64, usize)>,
}

impl Family {
    /// The buckets of a step, as far as there are some.
    fn buckets(&self, grid: &Grid, step: usize, into: &mut Vec<Bucket>) {
        into.clear();
        let counts =
            self.members.iter().filter_map(|(upper, i)| Some((*upper, grid.series[*i].float(step)?)));
        into.extend(counts.map(|(upper, count)| Bucket { upper, count }));
    }

    /// The buckets of all steps.
    fn columns<'g>(&self, grid: &'g Grid) -> Columns<'g> {
        Columns {
            uppers: self.members.iter().map(|(upper, _)| *upper).collect(),
            series: self.members.iter().map(|(_, i)| &grid.series[*i]).collect(),
        }
    }

    /// At which steps there is any bucket.
    fn presence(&self, grid: &Grid) -> Present {
        let mut presence = Present::none(grid.steps.count);
        self.members.iter().for_each(|(_, i)| presence.unite(&grid.series[*i].present));
        presence
    }
}

fn families(grid: &Grid, is_named: bool, notes: &mut Annotations) -> Vec<Family> {
    let mut numbers: HashMap<Labels, usize> = HashMap::new();
    let mut families: Vec<Family> = Vec::new();
    for (i, series) in grid.series.iter().enumerate().filter(|(_, series)| series.present.any()) {
        let le = series.labels.get(BOUND);
        let Some(upper) = le.and_then(bound) else {
            let name = name_of(&series.labels, is_named);
            let value = quote(le.unwrap_or_default());
            let text = format!("bucket label \"le\" is missing or has a malformed value of {value}");
            notes.warn(of_metric(&text, name));
            continue;
        };
        let key = series.labels.filter(|name| name != BOUND);
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

/// Computes the histograms of both kinds: of the classic ones the steps that are wanted, of the native ones each.
fn each(
    grid: &Grid,
    is_named: bool,
    notes: &mut Annotations,
    mut classic: impl FnMut(&Family, &Present, &mut GridSeries),
    native: impl Fn(usize, &NativeHistogram, &str, &mut Annotations) -> f64,
) -> Result<Grid, EvalError> {
    let mut out = Grid::empty(grid.steps);
    let mut native_at: HashMap<Labels, Present> = HashMap::new();
    for series in grid.series.iter().filter(|series| series.has_histograms()) {
        let labels = series.labels.clone();
        let mut result = GridSeries::absent(labels.clone(), grid.steps.count);
        result.name_dropped = true;
        for step in 0..grid.steps.count {
            if let Some(histogram) = series.histogram(step) {
                let name = name_of(&labels, is_named);
                result.set_float(step, native(step, histogram, name, notes));
            }
        }
        native_at.entry(labels).or_insert_with(|| Present::none(grid.steps.count)).unite(&result.present);
        out.series.push(result);
    }
    for family in families(grid, is_named, notes) {
        let mut wanted = family.presence(grid);
        if let Some(native) = native_at.get(&family.labels) {
            let mut both = wanted.clone();
            both.intersect(native);
            if both.any() {
                let name = name_of(&family.labels, is_named);
                notes.warn(of_metric("vector contains a mix of classic and native histograms", name));
            }
            let natives = out.series.iter_mut().filter(|series| series.labels == family.labels);
            natives.for_each(|series| series.present.subtract(&both));
            wanted.subtract(&both);
        }
        let mut result = GridSeries::absent(family.labels.clone(), grid.steps.count);
        result.name_dropped = true;
        classic(&family, &wanted, &mut result);
        out.series.push(result);
    }
    out.unite()
}

/// Joins equal bounds; false where the buckets are no histogram.
fn coalesce(buckets: &mut Vec<Bucket>) -> bool {
    if buckets.last().is_none_or(|last| last.upper != f64::INFINITY) {
        return false;
    }
    buckets.dedup_by(|next, into| {
        let equal = next.upper == into.upper;
        if equal {
            into.count += next.count;
        }
        equal
    });
    true
}

/// Joins equal bounds and mends counts that fall, and says what it mended; none where the buckets are no histogram.
fn prepare(buckets: &mut Vec<Bucket>) -> Option<Option<Mended>> {
    if !coalesce(buckets) {
        return None;
    }
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
    let [finite @ .., last] = buckets else { return f64::NAN };
    let rank = q * last.count;
    let place = finite.partition_point(|bucket| quantiles::is_below(bucket.count, rank));
    quantiles::between(buckets.len(), |i| buckets[i].upper, |i| buckets[i].count, rank, place)
}

/// Counts that fall from bucket to bucket are taken as they are.
fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if !coalesce(buckets) {
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
                // Where a bucket begins that goes on below all numbers is not known: all of it counts as below.
                if edge.is_infinite() {
                    return bucket.count;
                }
                let inside = bucket.count - below;
                let is_open = bucket.upper.is_infinite();
                return if is_open { below } else { below + inside * (at - edge) / (bucket.upper - edge) };
            }
            (edge, below) = (bucket.upper, bucket.count);
        }
        observations
    };
    let rank = |at: f64| rank(at).min(observations);
    (rank(upper) - rank(lower)) / observations
}
