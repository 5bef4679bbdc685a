//! Requests as readers send them, and chunks as readers of Prometheus' storage read them.

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, NativeHistogram, ResetHint, Span};
use proptest::prelude::*;

use super::*;

/// Reads bits, the highest of a byte first.
struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl BitReader<'_> {
    fn bit(&mut self) -> bool {
        let bit = self.bytes[self.at / 8] >> (7 - self.at % 8) & 1 == 1;
        self.at += 1;
        bit
    }

    fn bits(&mut self, count: u32) -> u64 {
        (0..count).fold(0, |value, _| value << 1 | u64::from(self.bit()))
    }

    fn ones(&mut self, most: u32) -> u32 {
        (0..most).take_while(|_| self.bit()).count() as u32
    }

    /// A number of two's complement, of which the highest half stands for what is below zero.
    fn signed(&mut self, size: u32) -> i64 {
        let value = self.bits(size);
        if size < 64 && value > 1 << (size - 1) { value as i64 - (1 << size) } else { value as i64 }
    }

    fn uvarint(&mut self) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.bits(8);
            value |= (byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }

    fn varint(&mut self) -> i64 {
        let raw = self.uvarint();
        (raw >> 1) as i64 ^ -((raw & 1) as i64)
    }

    fn xor(&mut self, before: f64, window: &mut (u32, u32)) -> f64 {
        if !self.bit() {
            return before;
        }
        if self.bit() {
            let leading = self.bits(5) as u32;
            let significant = match self.bits(6) as u32 {
                0 => 64,
                some => some,
            };
            *window = (leading, 64 - leading - significant);
        }
        let delta = self.bits(64 - window.0 - window.1) << window.1;
        f64::from_bits(before.to_bits() ^ delta)
    }

    fn varbit(&mut self, is_signed: bool) -> i64 {
        let size = [0, 3, 6, 9, 12, 18, 25, 56, 64][self.ones(8) as usize];
        match (size, is_signed) {
            (0, _) => 0,
            (size, true) => self.signed(size),
            (size, false) => self.bits(size) as i64,
        }
    }
}

fn read_floats(chunk: &Chunk) -> Vec<(i64, f64)> {
    let mut bits = BitReader { bytes: &chunk.data, at: 0 };
    let count = bits.bits(16);
    let (mut at_ms, mut delta_ms, mut value, mut window) = (0, 0, 0.0, (0, 0));
    (0..count)
        .map(|i| {
            match i {
                0 => {
                    at_ms = bits.varint();
                    value = f64::from_bits(bits.bits(64));
                }
                1 => {
                    delta_ms = bits.uvarint() as i64;
                    at_ms += delta_ms;
                    value = bits.xor(value, &mut window);
                }
                _ => {
                    let size = [0, 14, 17, 20, 64][bits.ones(4) as usize];
                    delta_ms += if size == 0 { 0 } else { bits.signed(size) };
                    at_ms += delta_ms;
                    value = bits.xor(value, &mut window);
                }
            }
            (at_ms, value)
        })
        .collect()
}

fn read_spans(bits: &mut BitReader<'_>) -> Vec<Span> {
    let count = bits.varbit(false);
    (0..count).map(|_| Span { length: bits.varbit(false) as u32, offset: bits.varbit(true) as i32 }).collect()
}

fn read_histograms(chunk: &Chunk) -> Vec<(i64, NativeHistogram)> {
    let mut bits = BitReader { bytes: &chunk.data, at: 0 };
    let count = bits.bits(16);
    let flags = bits.bits(8);
    let zero_threshold = match bits.bits(8) {
        0 => 0.0,
        255 => f64::from_bits(bits.bits(64)),
        code => 2_f64.powi(code as i32 - 244),
    };
    let schema = bits.varbit(true) as i8;
    let (positive_spans, negative_spans) = (read_spans(&mut bits), read_spans(&mut bits));
    let mut custom_bounds = Vec::new();
    if schema == CUSTOM_BUCKETS_SCHEMA {
        for _ in 0..bits.varbit(false) {
            let bound = match bits.bit() {
                true => (bits.varbit(false) - 1) as f64 / 1_000.0,
                false => f64::from_bits(bits.bits(64)),
            };
            custom_bounds.push(bound);
        }
    }
    let length = |spans: &[Span]| spans.iter().map(|span| span.length as usize).sum::<usize>();
    let (positive, negative) = (length(&positive_spans), length(&negative_spans));
    let mut values = vec![0.0; 3 + positive + negative];
    let mut windows = vec![(0, 0); values.len()];
    let (mut at_ms, mut delta_ms) = (0, 0);
    (0..count)
        .map(|i| {
            if i == 0 {
                at_ms = bits.varbit(true);
                values.iter_mut().for_each(|value| *value = f64::from_bits(bits.bits(64)));
            } else {
                delta_ms += bits.varbit(true);
                at_ms += delta_ms;
                for (value, window) in values.iter_mut().zip(&mut windows) {
                    *value = bits.xor(*value, window);
                }
            }
            let histogram = NativeHistogram {
                reset_hint: if flags == 0b1100_0000 { ResetHint::Gauge } else { ResetHint::Unknown },
                schema,
                zero_threshold,
                count: values[0],
                zero_count: values[1],
                sum: values[2],
                positive_spans: positive_spans.clone(),
                positive_counts: values[3..3 + positive].to_vec(),
                negative_spans: negative_spans.clone(),
                negative_counts: values[3 + positive..].to_vec(),
                custom_bounds: custom_bounds.clone(),
            };
            (at_ms, histogram)
        })
        .collect()
}

#[test]
fn a_chunk_of_floats_is_prometheus_own() {
    // Two samples, 15 s apart: count, varint of the time, the value, the distance, and one bit for the same value.
    let [chunk] = &XorChunk::all(&[1_000, 16_000], &[1.0, 1.0])[..] else { panic!("one chunk") };
    let expected = [0, 2, 0xd0, 0x0f, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0x98, 0x75, 0];
    assert_eq!(chunk.data, expected);
    assert_eq!((chunk.min_time_ms, chunk.max_time_ms), (1_000, 16_000));
}

#[test]
fn histograms_are_cut_where_layouts_change_and_counters_fall() {
    let of = |count: f64, schema: i8| NativeHistogram {
        schema,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count,
        sum: count * 2.0,
        positive_spans: vec![Span { offset: -2, length: 2 }],
        positive_counts: vec![1.0, count - 2.0],
        negative_spans: vec![Span { offset: 300, length: 1 }],
        negative_counts: vec![0.5],
        ..NativeHistogram::default()
    };
    let gauge = NativeHistogram { reset_hint: ResetHint::Gauge, ..of(2.0, 1) };
    let custom = NativeHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: 3.0,
        sum: 1.5,
        positive_spans: vec![Span { offset: 0, length: 3 }],
        positive_counts: vec![1.0, 1.0, 1.0],
        custom_bounds: vec![0.005, 1.0 / 3.0],
        ..NativeHistogram::default()
    };
    let end =
        NativeHistogram { sum: f64::from_bits(model::metric::STALE_NAN_BITS), ..NativeHistogram::default() };
    let all = [of(3.0, 0), of(9.0, 0), of(4.0, 0), of(5.0, 1), gauge.clone(), gauge, custom, end];
    let times: Vec<i64> = (0..8).map(|i| 1_700_000_000_000 + i * 15_001).collect();
    let chunks = FloatHistogramChunk::all(&times, &all);
    let counts: Vec<usize> = chunks.iter().map(|chunk| read_histograms(chunk).len()).collect();
    assert_eq!(counts, [2, 1, 1, 2, 1, 1]);
    let read: Vec<(i64, NativeHistogram)> = chunks.iter().flat_map(read_histograms).collect();
    for ((at, read), (wanted_at, wanted)) in read.iter().zip(times.iter().zip(&all)).take(7) {
        assert_eq!((at, read), (wanted_at, wanted));
    }
    assert!(model::metric::is_stale(read[7].1.sum));
}

#[test]
fn frames_have_length_and_checksum() {
    let message = ChunkedReadResponse { chunked_series: Vec::new(), query_index: 1 };
    let frame = message.to_frame();
    assert_eq!(frame[0], 2);
    assert_eq!(frame[1..5], crc::castagnoli(&frame[5..]).to_be_bytes());
    assert_eq!(ChunkedReadResponse::decode(&frame[5..]).unwrap(), message);
}

#[test]
fn the_first_form_that_is_taken_holds() {
    let request = |types: &[ResponseType]| ReadRequest {
        queries: Vec::new(),
        accepted_response_types: types.iter().map(|one| *one as i32).collect(),
    };
    use ResponseType::{Samples, StreamedXorChunks};
    assert_eq!(request(&[]).response_type(), Samples);
    assert_eq!(request(&[StreamedXorChunks, Samples]).response_type(), StreamedXorChunks);
    let read = ReadRequest::read(&request(&[Samples]).encode_to_vec()).unwrap();
    assert_eq!(read.response_type(), Samples);
}

proptest! {
    #[test]
    fn floats_read_back(
        start in any::<i32>(),
        steps in prop::collection::vec((1_i64..5_000_000_000, any::<u64>()), 0..300),
        mask in prop::sample::select(vec![u64::MAX, 0xffff_0000_0000_0000, 0x7ff0_0000_0000_00ff]),
    ) {
        let mut at = i64::from(start);
        let mut times = Vec::new();
        let mut values = Vec::new();
        for (step, bits) in steps {
            at += step;
            times.push(at);
            values.push(f64::from_bits(bits & mask));
        }
        let chunks = XorChunk::all(&times, &values);
        prop_assert_eq!(chunks.len(), times.len().div_ceil(MAX_CHUNK_SAMPLES));
        let read: Vec<(i64, u64)> =
            chunks.iter().flat_map(read_floats).map(|(at, value)| (at, value.to_bits())).collect();
        let wanted: Vec<(i64, u64)> =
            times.into_iter().zip(values.iter().map(|value| value.to_bits())).collect();
        prop_assert_eq!(read, wanted);
    }

    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ReadRequest::read(&bytes);
    }
}
