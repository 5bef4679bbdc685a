//! Records come back as they went in, and damage anywhere is seen.

use model::Labels;
use model::log::{Entry, LogBatchBuilder};
use model::metric::{MetricBatchBuilder, SeriesInfo};
use model::trace::{SpanFields, TraceBatchBuilder};
use proptest::prelude::*;

use super::*;

fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn metrics(values: &[f64]) -> Batch {
    let mut builder = MetricBatchBuilder::default();
    let labels = Labels::from_pairs([("__name__", "up"), ("job", "api")]);
    let series = builder.series(&labels, SeriesInfo::default());
    for (i, value) in values.iter().enumerate() {
        builder.sample(series, i64::try_from(i).unwrap(), 0, *value);
    }
    Batch::Metrics(builder.finish())
}

fn logs(lines: &[String]) -> Batch {
    let mut builder = LogBatchBuilder::default();
    let stream = builder.stream(&Labels::from_pairs([("app", "x")]));
    for line in lines {
        builder.metadata("k", model::AttributeRef::Int(1));
        builder.entry(stream, Entry { timestamp_ns: 5, line, ..Entry::default() });
    }
    Batch::Logs(builder.finish())
}

fn traces(names: &[String]) -> Batch {
    let mut builder = TraceBatchBuilder::default();
    for name in names {
        let fields = SpanFields { trace_id: [1; 16], span_id: [2; 8], name, ..SpanFields::default() };
        builder.span(fields);
    }
    Batch::Traces(builder.finish())
}

fn assert_same(a: &Batch, b: &Batch) {
    let (a, b) = (tables(a), tables(b));
    assert_eq!(a, b);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_batch_comes_back(
        values in prop::collection::vec(-1e9_f64..1e9, 0..50),
        texts in prop::collection::vec(".{0,20}", 0..20),
    ) {
        for batch in [metrics(&values), logs(&texts), traces(&texts)] {
            let bytes = encode(&tenant(), &batch, usize::MAX).unwrap();
            let record = decode(&bytes).unwrap();
            prop_assert_eq!(&record.tenant, &tenant());
            prop_assert_eq!(owner(&bytes).unwrap(), (tenant(), batch.signal()));
            assert_same(&record.batch, &batch);
        }
    }

    #[test]
    fn a_flipped_bit_or_a_cut_is_seen(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let whole = encode(&tenant(), &logs(&["one".to_owned(), "two".to_owned()]), usize::MAX).unwrap();
        let at = at.index(whole.len());
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << bit;
        prop_assert!(decode(&flipped).is_err());
        prop_assert!(decode(&whole[..at]).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), is_signed: bool) {
        if is_signed && bytes.len() >= HEADER_BYTES {
            bytes[..4].copy_from_slice(&MAGIC);
            let length = u32::try_from(bytes.len() - HEADER_BYTES).unwrap();
            bytes[4..8].copy_from_slice(&length.to_le_bytes());
            bytes[12] = KIND_BATCH;
            bytes[13] %= 3;
            let sum = checksum(&bytes);
            bytes[8..12].copy_from_slice(&sum.to_le_bytes());
        }
        prop_assert!(decode(&bytes).is_err());
    }
}

#[test]
fn labels_that_repeat_take_next_to_nothing() {
    let mut builder = MetricBatchBuilder::default();
    for number in 0..500 {
        let (pod, path) = (format!("checkout-{number:05}"), "p".repeat(200));
        let pairs = [("__name__", "requests_total"), ("path", path.as_str()), ("pod", pod.as_str())];
        let series = builder.series(&Labels::from_pairs(pairs), SeriesInfo::default());
        builder.sample(series, 1_700_000_000_000, 0, 1.0);
    }
    let batch = Batch::Metrics(builder.finish());
    let bytes = encode(&tenant(), &batch, usize::MAX).unwrap();
    assert!(bytes.len() < 500 * 50, "{} bytes", bytes.len());
    assert_same(&decode(&bytes).unwrap().batch, &batch);
}

#[test]
fn a_block_that_claims_more_than_a_record_holds_is_refused() {
    let mut block = Vec::new();
    // A varint of 2^31.
    block.extend_from_slice(&[0x80, 0x80, 0x80, 0x80, 0x08, 0x00]);
    let error = decompress(&block).unwrap_err();
    assert!(error.contains("too large"), "{error}");
}

#[test]
fn a_truncated_record_at_every_length_is_seen() {
    let whole = encode(&tenant(), &metrics(&[1.0, 2.0]), usize::MAX).unwrap();
    for end in 0..whole.len() {
        assert!(!is_intact(&whole[..end]), "{end}");
    }
    assert!(is_intact(&whole));
}
