//! How much memory a body takes once it is decoded, told from its bytes before it is: an empty message of two bytes
//! becomes a struct of hundreds. What is counted is structs and text; nothing is allocated here.

use wire::otlp::common::{AnyValue, InstrumentationScope, KeyValue};
use wire::otlp::metrics::summary_data_point::ValueAtQuantile;
use wire::otlp::metrics::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, SummaryDataPoint,
};
use wire::otlp::trace::Span;

/// What a decoded JSON object takes at most: the largest struct of a repeated field.
const JSON_OBJECT_BYTES: usize = size_of::<Span>();

/// What a JSON array takes beside its items: a vector and its first room.
const JSON_ARRAY_BYTES: usize = 96;

/// Messages may lie in each other so deep; the decoder refuses what lies deeper.
const MAX_DEPTH: usize = 100;

/// A message or a repeated scalar as the decoder keeps it.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Its struct, where it does not lie inside its parent's.
    own: usize,
    /// Bytes that one byte of a packed field becomes; of messages none.
    scale: usize,
    /// The fields that are messages, repeated text or packed.
    fields: &'static [(u64, &'static Shape)],
}

const fn message(own: usize, fields: &'static [(u64, &'static Shape)]) -> Shape {
    Shape { own, scale: 0, fields }
}

static TEXT: Shape = Shape { own: size_of::<String>(), scale: 1, fields: &[] };
static PACKED: Shape = Shape { own: 0, scale: 8, fields: &[] };
static ANY: Shape = message(0, &[(5, &ARRAY), (6, &MAP)]);
/// A value that holds others.
pub(crate) static ANY_ITEM: Shape = message(size_of::<AnyValue>(), &[(5, &ARRAY), (6, &MAP)]);
static ARRAY: Shape = message(0, &[(1, &ANY_ITEM)]);
static MAP: Shape = message(0, &[(1, &PAIR)]);
static PAIR: Shape = message(size_of::<KeyValue>(), &[(2, &ANY)]);
static ENTITY: Shape = message(128, &[(3, &TEXT), (4, &TEXT)]);
/// A resource.
pub(crate) static RESOURCE: Shape = message(0, &[(1, &PAIR), (3, &ENTITY)]);
/// An instrumentation scope.
pub(crate) static SCOPE: Shape = message(size_of::<InstrumentationScope>(), &[(3, &PAIR)]);

static EXEMPLAR: Shape = message(size_of::<Exemplar>(), &[(7, &PAIR)]);
static NUMBER: Shape = message(size_of::<NumberDataPoint>(), &[(5, &EXEMPLAR), (7, &PAIR)]);
static CLASSIC: Shape = message(size_of::<HistogramDataPoint>(), &[(8, &EXEMPLAR), (9, &PAIR)]);
static BUCKETS: Shape = message(0, &[(2, &PACKED)]);
static EXPONENTIAL: Shape = message(
    size_of::<ExponentialHistogramDataPoint>(),
    &[(1, &PAIR), (8, &BUCKETS), (9, &BUCKETS), (11, &EXEMPLAR)],
);
static QUANTILE: Shape = message(size_of::<ValueAtQuantile>(), &[]);
static SUMMARY: Shape = message(size_of::<SummaryDataPoint>(), &[(6, &QUANTILE), (7, &PAIR)]);
static NUMBERS: Shape = message(0, &[(1, &NUMBER)]);
static CLASSICS: Shape = message(0, &[(1, &CLASSIC)]);
static EXPONENTIALS: Shape = message(0, &[(1, &EXPONENTIAL)]);
static SUMMARIES: Shape = message(0, &[(1, &SUMMARY)]);
static METRIC: Shape = message(
    size_of::<Metric>(),
    &[(5, &NUMBERS), (7, &NUMBERS), (9, &CLASSICS), (10, &EXPONENTIALS), (11, &SUMMARIES), (12, &PAIR)],
);
static SCOPE_METRICS: Shape = message(size_of::<ScopeMetrics>(), &[(1, &SCOPE), (2, &METRIC)]);
static RESOURCE_METRICS: Shape =
    message(size_of::<ResourceMetrics>(), &[(1, &RESOURCE), (2, &SCOPE_METRICS)]);
/// `ExportMetricsServiceRequest`.
pub(crate) static METRICS: Shape = message(0, &[(1, &RESOURCE_METRICS)]);

/// What a protobuf body takes, in bytes. Where the bytes are no message the count ends, as decoding does.
pub(crate) fn protobuf_bytes(body: &[u8], shape: &Shape) -> usize {
    body.len().saturating_add(fields(body, shape, 0))
}

fn fields(mut rest: &[u8], shape: &Shape, depth: usize) -> usize {
    let mut total = 0_usize;
    while let Some(key) = varint(&mut rest) {
        let length = match key & 7 {
            0 => {
                // A repeated number may be sent one by one.
                total = total.saturating_add(8);
                if varint(&mut rest).is_none() { None } else { Some(0) }
            }
            1 => Some(8),
            5 => Some(4),
            2 => varint(&mut rest).and_then(|length| usize::try_from(length).ok()),
            // The ends of a group. No message here has any, and the decoder skips what lies in them: to count it all the
            // same is on the high side.
            3 | 4 => Some(0),
            _ => None,
        };
        let Some((field, after)) = length.and_then(|length| rest.split_at_checked(length)) else { break };
        rest = after;
        if key & 7 == 2
            && depth < MAX_DEPTH
            && let Some((_, child)) = shape.fields.iter().find(|(number, _)| *number == key >> 3)
        {
            let scaled = field.len().saturating_mul(child.scale);
            total = total.saturating_add(child.own).saturating_add(scaled);
            if !child.fields.is_empty() {
                total = total.saturating_add(fields(field, child, depth + 1));
            }
        }
    }
    total
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (index, byte) in rest.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index).min(63);
        if byte & 0x80 == 0 {
            *rest = &rest[index + 1..];
            return Some(value);
        }
    }
    None
}

/// What a JSON body takes, in bytes: every object and array outside of text, and the text.
pub(crate) fn json_bytes(body: &[u8]) -> usize {
    let mut total = body.len();
    let (mut is_text, mut is_escaped) = (false, false);
    for byte in body {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b'{' if !is_text => total = total.saturating_add(JSON_OBJECT_BYTES),
            b'[' if !is_text => total = total.saturating_add(JSON_ARRAY_BYTES),
            _ => {}
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn empty_messages_count_as_what_they_become() {
        let nested =
            |inner: &[u8], number: u8| [&[number << 3 | 2, inner.len().try_into().unwrap()], inner].concat();
        let metrics: Vec<u8> = [0x12, 0x00].repeat(50);
        let body = nested(&nested(&metrics, 2), 1);
        let bytes = protobuf_bytes(&body, &METRICS);
        assert!(bytes >= 50 * size_of::<Metric>(), "{bytes}");
        assert!(bytes < 60 * size_of::<Metric>(), "{bytes}");
        let group = [&[0x0b, 0x0c][..], &nested(&[], 1)].concat();
        assert_eq!(
            protobuf_bytes(&group, &METRICS),
            4 + size_of::<ResourceMetrics>(),
            "a group, and what follows"
        );
        assert_eq!(protobuf_bytes(&[0x7f, 0x0a, 0x00], &METRICS), 3, "no message: the decoder says so");
        assert!(json_bytes(br#"{"spans":[{},{},{}]}"#) >= 4 * size_of::<Span>());
        assert!(json_bytes(br#"["{{{\"{{{"]"#) < 200);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            for shape in [&METRICS, &RESOURCE, &SCOPE, &ANY_ITEM] {
                let _ = protobuf_bytes(&body, shape);
            }
            let _ = json_bytes(&body);
        }
    }
}
