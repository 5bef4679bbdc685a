//! The samples in protobuf, native histograms among them. Those with bounds of their own are written as classic ones,
//! which is what a scraper makes them of.

use model::labels::METRIC_NAME;
use query::{LatestSample, Point};
use wire::exposition::{
    self, Bucket, BucketSpan, Histogram, LabelPair, Metric, MetricFamily, MetricType, Untyped,
};

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, NativeHistogram, ResetHint, Span};

use super::{Escaping, INSTANCE, write_label, write_name};

/// The families of the samples, each after its length; what has no name is left out.
pub(super) fn delimited(mut samples: Vec<LatestSample>, escaping: Escaping) -> Vec<u8> {
    samples.retain(|sample| sample.labels.metric_name().is_some());
    let family = |sample: &LatestSample| {
        (sample.labels.metric_name().unwrap_or_default().to_owned(), type_of(&sample.value) as i32)
    };
    samples.sort_by_cached_key(family);
    let families = samples.chunk_by(|a, b| family(a) == family(b)).map(|samples| {
        let (name, kind) = family(&samples[0]);
        let mut written = String::new();
        plain(&mut written, &name, escaping, true);
        let metric = samples.iter().map(|sample| metric(sample, escaping)).collect();
        MetricFamily { name: Some(written), r#type: Some(kind), metric }
    });
    exposition::delimited(&families.collect::<Vec<_>>())
}

/// A name without quotes: protobuf needs none.
fn plain(text: &mut String, name: &str, escaping: Escaping, is_metric: bool) {
    match (escaping, is_metric) {
        (Escaping::AllowUtf8, _) => text.push_str(name),
        (Escaping::Underscores, true) => write_name(text, name, escaping),
        (Escaping::Underscores, false) => write_label(text, name, escaping),
    }
}

const fn type_of(value: &Point) -> MetricType {
    match value {
        Point::Float(_) => MetricType::Untyped,
        Point::Histogram(histogram) => match histogram.reset_hint {
            ResetHint::Gauge => MetricType::GaugeHistogram,
            _ => MetricType::Histogram,
        },
    }
}

fn metric(sample: &LatestSample, escaping: Escaping) -> Metric {
    let pairs = sample.labels.iter().filter(|(name, _)| *name != METRIC_NAME);
    let instance = sample.labels.get(INSTANCE).is_none().then_some((INSTANCE, ""));
    let label = pairs.chain(instance).map(|(name, value)| {
        let mut written = String::new();
        plain(&mut written, name, escaping, false);
        LabelPair { name: Some(written), value: Some(value.to_owned()) }
    });
    let (untyped, histogram) = match &sample.value {
        Point::Float(value) => (Some(Untyped { value: Some(*value) }), None),
        Point::Histogram(histogram) => (None, Some(histogram_of(histogram))),
    };
    Metric { label: label.collect(), untyped, histogram, timestamp_ms: Some(sample.timestamp_ms) }
}

fn histogram_of(h: &NativeHistogram) -> Histogram {
    let all =
        Histogram { sample_count_float: Some(h.count), sample_sum: Some(h.sum), ..Histogram::default() };
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        return Histogram { bucket: classic(h), ..all };
    }
    let spans = |spans: &[Span]| {
        let span = |span: &Span| BucketSpan { offset: Some(span.offset), length: Some(span.length) };
        spans.iter().map(span).collect()
    };
    Histogram {
        schema: Some(i32::from(h.schema)),
        zero_threshold: Some(h.zero_threshold),
        zero_count_float: Some(h.zero_count),
        positive_span: spans(&h.positive_spans),
        positive_count: h.positive_counts.clone(),
        negative_span: spans(&h.negative_spans),
        negative_count: h.negative_counts.clone(),
        ..all
    }
}

/// Buckets with bounds of their own, each with what lies in those before it too.
fn classic(h: &NativeHistogram) -> Vec<Bucket> {
    let mut counts = vec![0.0; h.custom_bounds.len() + 1];
    let (mut place, mut values) = (0_i64, h.positive_counts.iter());
    for span in &h.positive_spans {
        place += i64::from(span.offset);
        for value in values.by_ref().take(span.length as usize) {
            if let Some(count) = usize::try_from(place).ok().and_then(|place| counts.get_mut(place)) {
                *count = *value;
            }
            place += 1;
        }
    }
    let bounds = h.custom_bounds.iter().copied().chain([f64::INFINITY]);
    let mut below = 0.0;
    let buckets = bounds.zip(counts).map(|(bound, count)| {
        below += count;
        Bucket { cumulative_count_float: Some(below), upper_bound: Some(bound) }
    });
    buckets.collect()
}

#[cfg(test)]
mod tests {
    use model::Labels;
    use prost::Message;

    use super::*;

    fn sample(pairs: &[(&str, &str)], value: Point) -> LatestSample {
        LatestSample { labels: Labels::from_pairs(pairs.iter().copied()), timestamp_ms: 1_500, value }
    }

    #[test]
    fn histograms_and_numbers_of_one_name_are_families_of_their_own() {
        let native = NativeHistogram {
            schema: 1,
            count: 7.0,
            sum: 9.5,
            zero_count: 1.0,
            zero_threshold: 0.001,
            positive_spans: vec![Span { offset: -1, length: 2 }],
            positive_counts: vec![2.0, 4.0],
            ..NativeHistogram::default()
        };
        let custom = NativeHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            reset_hint: ResetHint::Gauge,
            count: 5.0,
            sum: 6.0,
            positive_spans: vec![Span { offset: 1, length: 2 }],
            positive_counts: vec![2.0, 3.0],
            custom_bounds: vec![1.0, 2.0],
            ..NativeHistogram::default()
        };
        let samples = vec![
            sample(
                &[("__name__", "took.s"), ("pod", "b"), ("instance", "i")],
                Point::Histogram(Box::new(native)),
            ),
            sample(&[("__name__", "took.s"), ("pod", "c")], Point::Histogram(Box::new(custom))),
            sample(&[("__name__", "took.s"), ("pod", "a")], Point::Float(2.0)),
            sample(&[("pod", "nameless")], Point::Float(2.0)),
        ];
        let bytes = delimited(samples, Escaping::Underscores);
        let mut rest = bytes.as_slice();
        let mut families = Vec::new();
        while !rest.is_empty() {
            families.push(MetricFamily::decode_length_delimited(&mut rest).unwrap());
        }
        let kinds: Vec<_> = families.iter().map(|family| (family.name(), family.r#type())).collect();
        let wanted = [MetricType::Untyped, MetricType::Histogram, MetricType::GaugeHistogram];
        assert_eq!(kinds, wanted.map(|kind| ("took_s", kind)));
        let first = &families[0].metric[0];
        assert_eq!((first.untyped.as_ref().unwrap().value(), first.timestamp_ms()), (2.0, 1_500));
        assert_eq!(first.label[1], LabelPair { name: Some("instance".into()), value: Some(String::new()) });
        let exponential = families[1].metric[0].histogram.as_ref().unwrap();
        assert_eq!((exponential.schema(), exponential.sample_count_float()), (1, 7.0));
        assert_eq!(exponential.positive_count, [2.0, 4.0]);
        let of_bounds = families[2].metric[0].histogram.as_ref().unwrap();
        let cumulative: Vec<_> =
            of_bounds.bucket.iter().map(|one| (one.upper_bound(), one.cumulative_count_float())).collect();
        assert_eq!(cumulative, [(1.0, 0.0), (2.0, 2.0), (f64::INFINITY, 5.0)]);
        assert!(of_bounds.schema.is_none());
    }
}
