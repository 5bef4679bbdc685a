//! Label sets of a record, each as what tells it from the one before: the series of a scrape follow each other and share
//! most of their labels. It costs a tenth of what a compressor takes for finding the same.
//!
//! A row is `varint(prefix) varint(suffix) bytes`: as many bytes of the row before from its beginning, the bytes, and as
//! many of its end. Packing and unpacking only; what label sets are is not looked at.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch};
use arrow::buffer::OffsetBuffer;

/// The bytes of labels in a table of series.
pub(super) fn unpacked_bytes(series: &RecordBatch) -> usize {
    let offsets = series.column(0).as_binary::<i32>().value_offsets();
    let ends = offsets.first().zip(offsets.last());
    ends.map_or(0, |(first, last)| usize::try_from(last - first).unwrap_or(0))
}

/// The table with its labels packed.
pub(super) fn packed(series: &RecordBatch) -> RecordBatch {
    let labels = series.column(0).as_binary::<i32>();
    let mut bytes = Vec::with_capacity(unpacked_bytes(series) / 4 + labels.len() * 4);
    let mut ends = Vec::with_capacity(labels.len() + 1);
    ends.push(0);
    let mut last: &[u8] = &[];
    for row in 0..labels.len() {
        let labels = labels.value(row);
        let prefix = common_prefix(last, labels);
        let rest = &labels[prefix..];
        let suffix = common_suffix(&last[prefix..], rest);
        push_varint(&mut bytes, prefix);
        push_varint(&mut bytes, suffix);
        bytes.extend_from_slice(&rest[..rest.len() - suffix]);
        ends.push(bytes.len());
        last = labels;
    }
    with_labels(series, &ends, bytes).expect("packed labels are as bounded as a batch is")
}

/// The table with its labels as they were.
///
/// # Errors
/// What is wrong with them, in words; nothing beyond `max_bytes` is made.
pub(super) fn unpacked(series: &RecordBatch, max_bytes: usize) -> Result<RecordBatch, String> {
    let packed = series.column(0).as_binary::<i32>();
    let mut bytes: Vec<u8> = Vec::with_capacity(max_bytes);
    let mut ends = Vec::with_capacity(packed.len() + 1);
    ends.push(0);
    let mut last = 0..0;
    for row in 0..packed.len() {
        let mut rest = packed.value(row);
        let (prefix, suffix) =
            varint(&mut rest).zip(varint(&mut rest)).ok_or("a label set's lengths are cut")?;
        if prefix.checked_add(suffix).is_none_or(|shared| shared > last.len()) {
            return Err("a label set shares more than there is".to_owned());
        }
        let start = bytes.len();
        if start + prefix + rest.len() + suffix > max_bytes {
            return Err(format!("the labels are larger than was said: bytes={max_bytes}"));
        }
        bytes.extend_from_within(last.start..last.start + prefix);
        bytes.extend_from_slice(rest);
        bytes.extend_from_within(last.end - suffix..last.end);
        ends.push(bytes.len());
        last = start..bytes.len();
    }
    with_labels(series, &ends, bytes)
}

fn with_labels(series: &RecordBatch, ends: &[usize], bytes: Vec<u8>) -> Result<RecordBatch, String> {
    let offsets = ends.iter().map(|end| i32::try_from(*end)).collect::<Result<Vec<i32>, _>>();
    let offsets = OffsetBuffer::new(offsets.map_err(|_| "the labels are too large")?.into());
    let mut columns = series.columns().to_vec();
    columns[0] = Arc::new(BinaryArray::new(offsets, bytes.into(), None)) as ArrayRef;
    RecordBatch::try_new(series.schema(), columns).map_err(|error| error.to_string())
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let ((a_words, _), (b_words, _)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let equal = a_words.iter().zip(b_words).take_while(|(a, b)| a == b).count() * 8;
    let rest = a[equal..].iter().zip(&b[equal..]);
    equal + rest.take_while(|(a, b)| a == b).count()
}

fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    let ((_, a_words), (_, b_words)) = (a.as_rchunks::<8>(), b.as_rchunks::<8>());
    let equal = a_words.iter().rev().zip(b_words.iter().rev()).take_while(|(a, b)| a == b).count() * 8;
    let rest = a[..a.len() - equal].iter().rev().zip(b[..b.len() - equal].iter().rev());
    equal + rest.take_while(|(a, b)| a == b).count()
}

fn push_varint(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn varint(bytes: &mut &[u8]) -> Option<usize> {
    let mut number = 0;
    for shift in [0_u32, 7, 14, 21, 28] {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use arrow::array::{StringArray, UInt8Array};
    use model::metric::SERIES_SCHEMA;
    use proptest::prelude::*;

    use super::*;

    fn series(labels: &[Vec<u8>]) -> RecordBatch {
        let texts = || Arc::new(StringArray::from(vec![""; labels.len()]));
        let column = BinaryArray::from_iter_values(labels);
        let types = Arc::new(UInt8Array::from(vec![0; labels.len()]));
        RecordBatch::try_new(Arc::clone(&SERIES_SCHEMA), vec![Arc::new(column), types, texts(), texts()])
            .unwrap()
    }

    proptest! {
        #[test]
        fn labels_come_back_within_what_was_said(
            labels in prop::collection::vec(prop::collection::vec(0_u8..3, 0..40), 0..30),
            start in 0_usize..30,
        ) {
            let all = series(&labels);
            let start = start.min(labels.len());
            let series = all.slice(start, labels.len() - start);
            let bytes = unpacked_bytes(&series);
            let packed = packed(&series);
            prop_assert_eq!(&unpacked(&packed, bytes).unwrap(), &series);
            if bytes > 0 {
                prop_assert!(unpacked(&packed, bytes - 1).is_err());
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 0..9)) {
            if let Ok(unpacked) = unpacked(&series(&labels), 1_000) {
                prop_assert!(unpacked_bytes(&unpacked) <= 1_000);
            }
        }
    }

    #[test]
    fn a_series_of_the_same_pod_is_told_by_what_differs() {
        let rows: Vec<Vec<u8>> = ["requests", "errors", "errors"]
            .map(|name| format!("__name__{name},cluster=eu-1,pod=checkout-5d9f7c,zone=a").into_bytes())
            .into();
        let packed = packed(&series(&rows));
        let labels = packed.column(0).as_binary::<i32>();
        assert_eq!(
            (labels.value(1).len(), labels.value(2)),
            (2 + "error".len(), &[rows[2].len() as u8, 0][..])
        );
    }
}
