//! Native histograms with custom bounds, made from the series of classic ones.

use std::collections::BTreeMap;

use model::Labels;
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, NativeHistogram, Span};

use super::script::{Sample, Series};

/// A histogram's buckets by upper bound, and its sum.
#[derive(Default)]
struct Classic<'s> {
    buckets: Vec<(f64, &'s [Sample])>,
    sum: Option<&'s [Sample]>,
}

/// A series of native histograms for each family of `_bucket` series.
pub(crate) fn to_native(series: &[Series]) -> Vec<Series> {
    let mut families: BTreeMap<Labels, Classic<'_>> = BTreeMap::new();
    for (labels, samples) in series {
        let name = labels.metric_name().unwrap_or_default();
        if let (Some(base), Some(Ok(upper))) =
            (name.strip_suffix("_bucket"), labels.get("le").map(syntax::number::parse))
        {
            let key = labels.with("le", "").with("__name__", base);
            families.entry(key).or_default().buckets.push((upper, samples));
        } else if let Some(base) = name.strip_suffix("_sum") {
            families.entry(labels.with("__name__", base)).or_default().sum = Some(samples);
        }
    }
    families.retain(|_, family| !family.buckets.is_empty());
    families.into_iter().map(|(labels, family)| (labels, histograms(family))).collect()
}

fn histograms(mut family: Classic<'_>) -> Vec<Sample> {
    family.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let length = family.buckets.iter().map(|(_, samples)| samples.len()).max().unwrap_or(0);
    (0..length).map(|at| histogram(&family, at)).collect()
}

fn histogram(family: &Classic<'_>, at: usize) -> Sample {
    let float = |samples: &[Sample]| match samples.get(at) {
        Some(Sample::Float(value)) => Some(*value),
        _ => None,
    };
    let mut buckets: Vec<(f64, f64)> =
        family.buckets.iter().filter_map(|(upper, samples)| Some((*upper, float(samples)?))).collect();
    // Of two ways to write the same bound, the first holds.
    buckets.dedup_by(|next, before| next.0 == before.0);
    let Some((_, count)) = buckets.last() else { return Sample::Gap };
    let mut before = 0.0;
    let mut counts: Vec<f64> =
        buckets.iter().map(|(_, count)| count - std::mem::replace(&mut before, *count)).collect();
    let custom_bounds: Vec<f64> =
        buckets.iter().map(|(upper, _)| *upper).filter(|upper| upper.is_finite()).collect();
    counts.resize(custom_bounds.len() + 1, 0.0);
    Sample::Histogram(NativeHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: *count,
        sum: family.sum.and_then(float).unwrap_or(0.0),
        positive_spans: vec![Span { offset: 0, length: u32::try_from(counts.len()).expect("few buckets") }],
        positive_counts: counts,
        custom_bounds,
        ..NativeHistogram::default()
    })
}
