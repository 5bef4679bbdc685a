//! Native histograms as the API shows them: the buckets that hold something, with their bounds.
//!
//! Source: the "Native Histograms" specification of Prometheus, section "Schema", and the API's reference.

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, NativeHistogram, Span};

use crate::json::Json;

/// Which ends belong to a bucket, as the API numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Ends {
    /// The upper one.
    OpenLeft = 0,
    /// The lower one.
    OpenRight = 1,
    /// Both.
    Closed = 3,
}

/// A bucket that holds something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) ends: Ends,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    pub(crate) count: f64,
}

/// The buckets that are not empty, from the lowest to the highest.
pub(crate) fn buckets(histogram: &NativeHistogram) -> Vec<Bucket> {
    let negative =
        indexed(&histogram.negative_spans, &histogram.negative_counts).map(|(index, count)| Bucket {
            ends: Ends::OpenRight,
            lower: -upper_bound(histogram, index),
            upper: -upper_bound(histogram, index - 1),
            count,
        });
    let mut buckets: Vec<Bucket> = negative.collect();
    buckets.reverse();
    if histogram.zero_count > 0.0 {
        buckets.push(Bucket {
            ends: Ends::Closed,
            lower: -histogram.zero_threshold,
            upper: histogram.zero_threshold,
            count: histogram.zero_count,
        });
    }
    let is_custom = histogram.schema == CUSTOM_BUCKETS_SCHEMA;
    let positive = indexed(&histogram.positive_spans, &histogram.positive_counts);
    buckets.extend(positive.map(|(index, count)| Bucket {
        ends: if is_custom && index == 0 { Ends::Closed } else { Ends::OpenLeft },
        lower: upper_bound(histogram, index - 1),
        upper: upper_bound(histogram, index),
        count,
    }));
    buckets.retain(|bucket| bucket.count != 0.0);
    buckets
}

/// Writes `{"count":…,"sum":…,"buckets":[[ends,lower,upper,count],…]}`; without a bucket there is no list.
pub(crate) fn write(json: &mut Json, histogram: &NativeHistogram) {
    json.raw("{\"count\":");
    json.float_with_exponent(histogram.count);
    json.raw(",\"sum\":");
    json.float_with_exponent(histogram.sum);
    let buckets = buckets(histogram);
    if !buckets.is_empty() {
        json.raw(",\"buckets\":");
        json.list(buckets, |json, bucket| {
            json.raw("[");
            json.plain(bucket.ends as u8);
            for value in [bucket.lower, bucket.upper, bucket.count] {
                json.raw(",");
                json.float_with_exponent(value);
            }
            json.raw("]");
        });
    }
    json.raw("}");
}

/// The counts with the indexes of their buckets, in ascending order.
fn indexed<'a>(spans: &'a [Span], counts: &'a [f64]) -> impl Iterator<Item = (i64, f64)> + 'a {
    let mut next = 0_i64;
    let indexes = spans.iter().flat_map(move |span| {
        let start = next.saturating_add(i64::from(span.offset));
        next = start.saturating_add(i64::from(span.length));
        start..next
    });
    indexes.zip(counts.iter().copied())
}

/// The upper bound of a bucket on the positive side.
fn upper_bound(histogram: &NativeHistogram, index: i64) -> f64 {
    if histogram.schema == CUSTOM_BUCKETS_SCHEMA {
        return match usize::try_from(index) {
            Ok(index) => histogram.custom_bounds.get(index).copied().unwrap_or(f64::INFINITY),
            Err(_) => f64::NEG_INFINITY,
        };
    }
    model::histogram::upper_bound(histogram.schema, index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(ends: Ends, lower: f64, upper: f64, count: f64) -> Bucket {
        Bucket { ends, lower, upper, count }
    }

    #[test]
    fn exponential_buckets_have_bounds_by_their_schema() {
        let histogram = NativeHistogram {
            schema: 1,
            zero_threshold: 0.001,
            zero_count: 2.0,
            positive_spans: vec![Span { offset: -1, length: 2 }, Span { offset: 1, length: 1 }],
            positive_counts: vec![1.0, 0.0, 3.0],
            negative_spans: vec![Span { offset: 0, length: 2 }],
            negative_counts: vec![4.0, 5.0],
            ..NativeHistogram::default()
        };
        // Prometheus' root of two, and half of it.
        let root = std::f64::consts::SQRT_2.next_down();
        let inverse = root / 2.0;
        assert_eq!(
            buckets(&histogram),
            [
                bucket(Ends::OpenRight, -root, -1.0, 5.0),
                bucket(Ends::OpenRight, -1.0, -inverse, 4.0),
                bucket(Ends::Closed, -0.001, 0.001, 2.0),
                bucket(Ends::OpenLeft, 0.5, inverse, 1.0),
                bucket(Ends::OpenLeft, root, 2.0, 3.0),
            ]
        );
    }

    #[test]
    fn powers_of_two_are_exact_and_the_last_bucket_ends_at_the_largest_number() {
        for (schema, index, expected) in [
            (0, 0, 1.0),
            (0, 1, 2.0),
            (0, -3, 0.125),
            (-2, 1, 16.0),
            (3, 8, 2.0),
            (3, -8, 0.5),
            (0, 1_024, f64::MAX),
            (0, 1_025, f64::INFINITY),
            (1, 2_048, f64::MAX),
            (-4, 64, f64::MAX),
            (0, -1_074, 5e-324),
        ] {
            let histogram = NativeHistogram { schema, ..NativeHistogram::default() };
            assert_eq!(upper_bound(&histogram, index), expected, "schema={schema} index={index}");
        }
        let histogram = NativeHistogram { schema: 1, ..NativeHistogram::default() };
        assert!(upper_bound(&histogram, 2_047).is_finite());
    }

    #[test]
    fn custom_buckets_have_the_bounds_that_were_sent() {
        let histogram = NativeHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            positive_spans: vec![Span { offset: 0, length: 3 }],
            positive_counts: vec![1.0, 2.0, 3.0],
            custom_bounds: vec![0.5, 1.0],
            ..NativeHistogram::default()
        };
        assert_eq!(
            buckets(&histogram),
            [
                bucket(Ends::Closed, f64::NEG_INFINITY, 0.5, 1.0),
                bucket(Ends::OpenLeft, 0.5, 1.0, 2.0),
                bucket(Ends::OpenLeft, 1.0, f64::INFINITY, 3.0),
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_spans_never_panic(
            schema in proptest::num::i8::ANY,
            spans in proptest::collection::vec((proptest::num::i32::ANY, proptest::num::u32::ANY), 0..4),
            counts in proptest::collection::vec(-1.0_f64..3.0, 0..8),
        ) {
            let spans: Vec<Span> = spans.into_iter().map(|(offset, length)| Span { offset, length }).collect();
            let histogram = NativeHistogram {
                schema,
                positive_spans: spans.clone(),
                positive_counts: counts.clone(),
                negative_spans: spans,
                negative_counts: counts,
                ..NativeHistogram::default()
            };
            proptest::prop_assert!(buckets(&histogram).len() <= 16);
        }
    }
}
