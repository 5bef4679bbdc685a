//! Histograms of OTLP and remote write to the native histograms of `model`.
//!
//! Sources: OpenTelemetry's "Prometheus and OpenMetrics Compatibility", section "Exponential Histograms"; Prometheus'
//! "Native Histograms" specification, sections "Buckets" and "Schema".

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, NativeHistogram, ResetHint, Span};
use model::metric::STALE_NAN_BITS;
use wire::otlp::metrics::ExponentialHistogramDataPoint;
use wire::otlp::metrics::exponential_histogram_data_point::Buckets;
use wire::remote_write::{self, BucketSpan, Count, ZeroCount};

/// The width of the zero bucket where OTLP tells none.
const DEFAULT_ZERO_THRESHOLD: f64 = 1e-128;
/// The finest schema that Prometheus knows.
const MAX_SCHEMA: i32 = 8;
/// The coarsest one.
const MIN_SCHEMA: i32 = -4;
/// Up to so many empty buckets are written out rather than begin a new span.
const MAX_GAP: i64 = 2;

/// A count as the float that columns hold; exact up to 2^53.
const fn count(count: u64) -> f64 {
    count as f64
}

/// A histogram that marks the end of its series.
pub(crate) fn stale() -> NativeHistogram {
    let marker = f64::from_bits(STALE_NAN_BITS);
    NativeHistogram { sum: marker, count: marker, ..NativeHistogram::default() }
}

/// An exponential histogram. A finer scale than 8 is merged down to it.
///
/// # Errors
/// A sentence, when the scale is coarser than -4 or a bucket's index does not fit.
pub(crate) fn exponential(point: &ExponentialHistogramDataPoint) -> Result<NativeHistogram, String> {
    if point.scale < MIN_SCHEMA {
        return Err(format!("scale must be at least `{MIN_SCHEMA}`: scale=`{}`", point.scale));
    }
    let in_range = |buckets: Option<&Buckets>| {
        buckets.is_none_or(|b| i64::from(b.offset) + (b.bucket_counts.len() as i64) < i64::from(i32::MAX))
    };
    if !in_range(point.positive.as_ref()) || !in_range(point.negative.as_ref()) {
        return Err("bucket indexes must fit 32 bits".to_owned());
    }
    let schema = point.scale.min(MAX_SCHEMA);
    let merge_bits = u32::try_from(point.scale - schema).unwrap_or(0).min(62);
    let (positive_spans, positive_counts) = layout(point.positive.as_ref(), merge_bits);
    let (negative_spans, negative_counts) = layout(point.negative.as_ref(), merge_bits);
    Ok(NativeHistogram {
        reset_hint: ResetHint::Unknown,
        schema: i8::try_from(schema).expect("between -4 and 8"),
        zero_threshold: if point.zero_threshold == 0.0 {
            DEFAULT_ZERO_THRESHOLD
        } else {
            point.zero_threshold
        },
        zero_count: count(point.zero_count),
        count: count(point.count),
        sum: point.sum.unwrap_or(0.0),
        positive_spans,
        positive_counts,
        negative_spans,
        negative_counts,
        custom_bounds: Vec::new(),
    })
}

/// Dense buckets to spans: `2^merge_bits` of them become one, empty ones at the edges and in long gaps are left out.
///
/// OTLP's bucket `i` ends where Prometheus' bucket `i + 1` does.
fn layout(buckets: Option<&Buckets>, merge_bits: u32) -> (Vec<Span>, Vec<f64>) {
    let Some(buckets) = buckets else { return (Vec::new(), Vec::new()) };
    let mut spans: Vec<Span> = Vec::new();
    let mut counts: Vec<f64> = Vec::new();
    // The index after the last bucket written.
    let mut next = 0_i64;
    let filled = (i64::from(buckets.offset)..).zip(&buckets.bucket_counts).filter(|(_, count)| **count > 0);
    for (index, added) in filled {
        let index = (index >> merge_bits) + 1;
        let gap = index - next;
        match (spans.last_mut(), counts.last_mut()) {
            (Some(_), Some(last)) if gap == -1 => {
                *last += count(*added);
                continue;
            }
            (Some(span), _) if gap <= MAX_GAP => {
                let added_buckets = usize::try_from(gap).unwrap_or(0) + 1;
                counts.resize(counts.len() + added_buckets - 1, 0.0);
                span.length += u32::try_from(added_buckets).expect("at most three");
            }
            _ => {
                let offset = i32::try_from(gap).unwrap_or(i32::MAX);
                spans.push(Span { offset, length: 1 });
            }
        }
        counts.push(count(*added));
        next = index + 1;
    }
    (spans, counts)
}

/// A histogram of remote write; both versions share the message.
///
/// # Errors
/// A sentence, when schema, spans and counts do not fit together.
pub(crate) fn remote_write(histogram: &remote_write::Histogram) -> Result<NativeHistogram, String> {
    let schema = i8::try_from(histogram.schema)
        .ok()
        .filter(|s| *s == CUSTOM_BUCKETS_SCHEMA || (-4..=8).contains(s))
        .ok_or_else(|| format!("schema is not known: schema=`{}`", histogram.schema))?;
    let is_float = matches!(histogram.count, Some(Count::Float(_)));
    let counts = |deltas: &[i64], floats: &[f64]| match is_float {
        true => floats.to_vec(),
        false => absolute(deltas),
    };
    let native = NativeHistogram {
        reset_hint: match histogram.reset_hint {
            1 => ResetHint::Reset,
            2 => ResetHint::NoReset,
            3 => ResetHint::Gauge,
            _ => ResetHint::Unknown,
        },
        schema,
        zero_threshold: histogram.zero_threshold,
        zero_count: match histogram.zero_count {
            Some(ZeroCount::Int(zeros)) => count(zeros),
            Some(ZeroCount::Float(zeros)) => zeros,
            None => 0.0,
        },
        count: match histogram.count {
            Some(Count::Int(all)) => count(all),
            Some(Count::Float(all)) => all,
            None => 0.0,
        },
        sum: histogram.sum,
        positive_spans: spans(&histogram.positive_spans),
        positive_counts: counts(&histogram.positive_deltas, &histogram.positive_counts),
        negative_spans: spans(&histogram.negative_spans),
        negative_counts: counts(&histogram.negative_deltas, &histogram.negative_counts),
        custom_bounds: histogram.custom_values.clone(),
    };
    match native.is_valid() && is_sound(&native) {
        true => Ok(native),
        false => Err("spans, counts and bounds do not fit together".to_owned()),
    }
}

/// Whether no bucket is negative, indexes fit 32 bits, and custom buckets are within their bounds.
fn is_sound(native: &NativeHistogram) -> bool {
    let ends = |spans: &[Span]| {
        let mut end = 0_i64;
        let mut fits = true;
        for span in spans {
            end += i64::from(span.offset);
            fits &= i32::try_from(end).is_ok();
            end += i64::from(span.length);
            fits &= i32::try_from(end).is_ok();
        }
        fits.then_some(end)
    };
    let (Some(positive_end), Some(_)) = (ends(&native.positive_spans), ends(&native.negative_spans)) else {
        return false;
    };
    let bounds_fit = match native.schema {
        CUSTOM_BUCKETS_SCHEMA => {
            native.positive_spans.first().is_none_or(|span| span.offset >= 0)
                && positive_end <= native.custom_bounds.len() as i64 + 1
        }
        _ => native.custom_bounds.is_empty(),
    };
    bounds_fit && native.positive_counts.iter().chain(&native.negative_counts).all(|count| *count >= 0.0)
}

fn spans(spans: &[BucketSpan]) -> Vec<Span> {
    spans.iter().map(|span| Span { offset: span.offset, length: span.length }).collect()
}

/// Each delta is the difference to the bucket before.
fn absolute(deltas: &[i64]) -> Vec<f64> {
    let mut now = 0_i64;
    deltas
        .iter()
        .map(|delta| {
            now = now.wrapping_add(*delta);
            now as f64
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn buckets(offset: i32, bucket_counts: &[u64]) -> Buckets {
        Buckets { offset, bucket_counts: bucket_counts.to_vec() }
    }

    #[test]
    fn dense_buckets_become_spans() {
        let span = |offset, length| Span { offset, length };
        let table: [(Buckets, u32, Vec<Span>, Vec<f64>); 7] = [
            (buckets(0, &[]), 0, vec![], vec![]),
            (buckets(0, &[0, 0]), 0, vec![], vec![]),
            (buckets(0, &[1, 2]), 0, vec![span(1, 2)], vec![1.0, 2.0]),
            (buckets(-3, &[0, 1, 0, 0, 2]), 0, vec![span(-1, 4)], vec![1.0, 0.0, 0.0, 2.0]),
            (buckets(0, &[1, 0, 0, 0, 2]), 0, vec![span(1, 1), span(3, 1)], vec![1.0, 2.0]),
            // Scale 9 to 8: the buckets 2i and 2i+1 become i.
            (buckets(0, &[1, 2, 3, 4, 5]), 1, vec![span(1, 3)], vec![3.0, 7.0, 5.0]),
            (buckets(-3, &[1, 2, 3, 4]), 1, vec![span(-1, 3)], vec![1.0, 5.0, 4.0]),
        ];
        for (dense, bits, spans, counts) in table {
            assert_eq!(layout(Some(&dense), bits), (spans, counts), "{dense:?}");
        }
        assert_eq!(layout(None, 0), (vec![], vec![]));
    }

    #[test]
    fn scales_are_clamped_or_refused() {
        let point = |scale| ExponentialHistogramDataPoint {
            scale,
            count: 3,
            sum: Some(1.5),
            zero_count: 1,
            positive: Some(buckets(i32::MAX - 8, &[1, 1])),
            ..ExponentialHistogramDataPoint::default()
        };
        assert_eq!(exponential(&point(20)).unwrap().schema, 8);
        assert_eq!(exponential(&point(-4)).unwrap().schema, -4);
        assert!(exponential(&point(-5)).is_err());
        assert!(exponential(&point(i32::MAX)).unwrap().is_valid());
        assert!(exponential(&point(3)).unwrap().is_valid());
        let far = Some(buckets(i32::MAX, &[1]));
        assert!(exponential(&ExponentialHistogramDataPoint { positive: far, ..point(3) }).is_err());
    }

    #[test]
    fn remote_write_deltas_become_counts() {
        let histogram = remote_write::Histogram {
            count: Some(Count::Int(7)),
            zero_count: Some(ZeroCount::Int(1)),
            sum: 2.0,
            schema: 2,
            positive_spans: vec![BucketSpan { offset: 1, length: 3 }],
            positive_deltas: vec![1, 2, -1],
            ..remote_write::Histogram::default()
        };
        let native = remote_write(&histogram).unwrap();
        assert_eq!(native.positive_counts, [1.0, 3.0, 2.0]);
        assert_eq!((native.count, native.zero_count, native.schema), (7.0, 1.0, 2));
        let broken = remote_write::Histogram { positive_deltas: vec![1], ..histogram.clone() };
        assert!(remote_write(&broken).is_err());
        assert!(remote_write(&remote_write::Histogram { schema: 99, ..histogram }).is_err());
    }

    #[test]
    fn custom_bounds_are_kept() {
        let histogram = remote_write::Histogram {
            count: Some(Count::Float(3.5)),
            schema: -53,
            positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
            positive_counts: vec![1.0, 2.5],
            custom_values: vec![0.5, 1.0],
            ..remote_write::Histogram::default()
        };
        let native = remote_write(&histogram).unwrap();
        assert_eq!((native.custom_bounds, native.positive_counts), (vec![0.5, 1.0], vec![1.0, 2.5]));
        let outside = remote_write::Histogram { custom_values: vec![], ..histogram.clone() };
        assert!(remote_write(&outside).is_err());
        assert!(remote_write(&remote_write::Histogram { schema: 1, ..histogram }).is_err());
    }

    #[test]
    fn unsound_buckets_are_refused() {
        let histogram = |positive_spans: Vec<BucketSpan>, positive_deltas| remote_write::Histogram {
            count: Some(Count::Int(1)),
            positive_spans,
            positive_deltas,
            ..remote_write::Histogram::default()
        };
        let far = BucketSpan { offset: i32::MAX, length: 1 };
        assert!(remote_write(&histogram(vec![far], vec![1])).is_err());
        assert!(remote_write(&histogram(vec![BucketSpan { offset: 0, length: 1 }], vec![-1])).is_err());
    }

    proptest! {
        #[test]
        fn no_observation_is_lost(
            offset in -1_000_i32..1_000,
            counts in prop::collection::vec(prop_oneof![3 => Just(0_u64), 1 => 0..9_u64], 0..80),
            scale in -4..20_i32,
        ) {
            let total: u64 = counts.iter().sum();
            let point = ExponentialHistogramDataPoint {
                scale,
                positive: Some(buckets(offset, &counts)),
                ..ExponentialHistogramDataPoint::default()
            };
            let native = exponential(&point).unwrap();
            prop_assert!(native.is_valid() && is_sound(&native));
            prop_assert_eq!(native.positive_counts.iter().sum::<f64>(), total as f64);
        }
    }
}
