//! Native histograms with custom bounds, made from the series of classic ones.

use std::collections::BTreeMap;

use model::Labels;
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, NativeHistogram, Span};

use super::load::Loaded;
use super::series::Sample;

/// A histogram's buckets by upper bound, its count and its sum.
#[derive(Default)]
struct Classic<'s> {
    buckets: Vec<(f64, &'s [Sample])>,
    count: Option<&'s [Sample]>,
    sum: Option<&'s [Sample]>,
}

/// A series of native histograms for each family of classic series.
pub(crate) fn to_native(series: &[Loaded]) -> Result<Vec<Loaded>, String> {
    let mut families: BTreeMap<Labels, Classic<'_>> = BTreeMap::new();
    for Loaded { labels, samples, .. } in series {
        let name = labels.metric_name().unwrap_or_default();
        let key = |base: &str| labels.with("le", "").with("__name__", base);
        if let Some(base) = name.strip_suffix("_bucket") {
            let bound = labels.get("le").ok_or_else(|| format!("a bucket without a bound: {name}"))?;
            // What is no bound makes no bucket.
            if let Some(upper) = syntax::number::parse(bound).ok().filter(|upper| !upper.is_nan()) {
                families.entry(key(base)).or_default().buckets.push((upper, samples));
            }
        } else if let Some(base) = name.strip_suffix("_sum") {
            families.entry(key(base)).or_default().sum = Some(samples);
        } else if let Some(base) = name.strip_suffix("_count") {
            families.entry(key(base)).or_default().count = Some(samples);
        }
    }
    families
        .into_iter()
        .map(|(labels, family)| Ok(Loaded { samples: histograms(family)?, labels, starts: Vec::new() }))
        .collect()
}

fn histograms(mut family: Classic<'_>) -> Result<Vec<Sample>, String> {
    family.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let series = family.buckets.iter().map(|(_, samples)| *samples).chain(family.count).chain(family.sum);
    let length = series.map(<[Sample]>::len).max().unwrap_or(0);
    (0..length).map(|at| histogram(&family, at)).collect()
}

fn histogram(family: &Classic<'_>, at: usize) -> Result<Sample, String> {
    let float = |samples: &[Sample]| match samples.get(at) {
        Some(Sample::Float(value)) => Some(*value),
        _ => None,
    };
    let mut buckets: Vec<(f64, f64)> =
        family.buckets.iter().filter_map(|(upper, samples)| Some((*upper, float(samples)?))).collect();
    // Of two ways to write the same bound, the first holds.
    buckets.dedup_by(|next, before| next.0 == before.0);
    let (written, sum) = (family.count.and_then(float), family.sum.and_then(float));
    let Some(count) = written.or(buckets.last().map(|(_, count)| *count)) else {
        return if sum.is_none() { Ok(Sample::Gap) } else { Err("a sum without a count".to_owned()) };
    };
    if buckets.last().is_none_or(|(upper, _)| *upper != f64::INFINITY) {
        buckets.push((f64::INFINITY, count));
    }
    if !buckets.is_sorted_by(|a, b| a.1 <= b.1 || a.1.is_nan() || b.1.is_nan()) {
        return Err(format!("counts of buckets are not cumulative: {buckets:?}"));
    }
    if buckets.last().is_some_and(|(_, last)| *last != count && !count.is_nan()) {
        return Err(format!("the count {count} is not that of the last bucket: {buckets:?}"));
    }
    let mut before = 0.0;
    let positive_counts: Vec<f64> =
        buckets.iter().map(|(_, count)| count - std::mem::replace(&mut before, *count)).collect();
    let length = u32::try_from(positive_counts.len()).expect("few buckets");
    let native = NativeHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count,
        sum: sum.unwrap_or(0.0),
        positive_spans: vec![Span { offset: 0, length }],
        positive_counts,
        custom_bounds: buckets.iter().map(|(upper, _)| *upper).filter(|upper| upper.is_finite()).collect(),
        ..NativeHistogram::default()
    };
    Ok(Sample::Histogram(native, false))
}
