//! The chunk of native histograms with float counts: one layout of buckets for all of its samples, then times and counts
//! as in the chunk of floats.
//!
//! Source: `tsdb/docs/format/chunks.md` of Prometheus. Readers take a sample behind the first as one that only
//! continues the counter, so that a chunk ends where the counter falls.

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, NativeHistogram, ResetHint, Span};
use model::metric::is_stale;

use super::bits::{BitWriter, XorState};
use super::{Chunk, ChunkEncoding, MAX_CHUNK_SAMPLES};

/// The flags of a chunk whose histograms never begin anew.
const GAUGE: u64 = 0b1100_0000;
/// The flags of a chunk of which a reader must find out how it follows the one before it.
const UNKNOWN: u64 = 0;
/// The largest bound in thousandths that is written as a number of them.
const MAX_BOUND_THOUSANDTHS: f64 = 33_554_430.0;

/// Makes chunks of native histograms.
#[derive(Debug)]
pub struct FloatHistogramChunk;

impl FloatHistogramChunk {
    /// The chunks of samples, which are ascending in time; as many of both.
    #[must_use]
    pub fn all(timestamps_ms: &[i64], histograms: &[NativeHistogram]) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        let mut from = 0;
        for to in 1..=histograms.len().min(timestamps_ms.len()) {
            let is_last = to == histograms.len().min(timestamps_ms.len());
            let is_full = to - from == MAX_CHUNK_SAMPLES;
            if is_last || is_full || !continues(&histograms[to - 1], &histograms[to]) {
                chunks.extend(one(&timestamps_ms[from..to], &histograms[from..to]));
                from = to;
            }
        }
        chunks
    }
}

/// Whether a histogram may follow another in a chunk.
fn continues(before: &NativeHistogram, h: &NativeHistogram) -> bool {
    let is_gauge = |h: &NativeHistogram| h.reset_hint == ResetHint::Gauge;
    let same_layout = before.schema == h.schema
        && before.zero_threshold == h.zero_threshold
        && before.positive_spans == h.positive_spans
        && before.negative_spans == h.negative_spans
        && before.custom_bounds == h.custom_bounds;
    let fell = |before: &[f64], now: &[f64]| before.iter().zip(now).any(|(before, now)| now < before);
    let falls = h.reset_hint == ResetHint::Reset
        || h.count < before.count
        || h.zero_count < before.zero_count
        || fell(&before.positive_counts, &h.positive_counts)
        || fell(&before.negative_counts, &h.negative_counts);
    same_layout
        && is_gauge(before) == is_gauge(h)
        && (is_gauge(h) || !falls)
        && !is_stale(before.sum)
        && !is_stale(h.sum)
}

/// The values of one place of the histograms, as they were written last.
#[derive(Default)]
struct Track {
    before: f64,
    state: XorState,
}

impl Track {
    fn write(&mut self, bits: &mut BitWriter, value: f64, is_first: bool) {
        if is_first {
            bits.bits(value.to_bits(), 64);
        } else {
            bits.xor(self.before, value, &mut self.state);
        }
        self.before = value;
    }
}

fn one(times: &[i64], histograms: &[NativeHistogram]) -> Option<Chunk> {
    let (first_ms, last_ms) = (*times.first()?, *times.last()?);
    let first = histograms.first()?;
    // The end of a series has no buckets.
    let end = NativeHistogram { sum: first.sum, ..NativeHistogram::default() };
    let first = if is_stale(first.sum) { &end } else { first };
    let mut bits = BitWriter::default();
    bits.bits(times.len() as u64, 16);
    bits.bits(if first.reset_hint == ResetHint::Gauge { GAUGE } else { UNKNOWN }, 8);
    layout(&mut bits, first);
    let places = 3 + first.positive_counts.len() + first.negative_counts.len();
    let mut tracks: Vec<Track> = std::iter::repeat_with(Track::default).take(places).collect();
    let (mut before_ms, mut delta_ms) = (0_i64, 0_i64);
    for (i, at_ms) in times.iter().enumerate() {
        let h = if i == 0 { first } else { &histograms[i] };
        let next_ms = at_ms.wrapping_sub(before_ms);
        if i == 0 {
            bits.varbit(*at_ms);
        } else {
            bits.varbit(next_ms.wrapping_sub(delta_ms));
            delta_ms = next_ms;
        }
        before_ms = *at_ms;
        let values = [h.count, h.zero_count, h.sum].into_iter();
        let values = values.chain(h.positive_counts.iter().chain(&h.negative_counts).copied());
        for (track, value) in tracks.iter_mut().zip(values) {
            track.write(&mut bits, value, i == 0);
        }
    }
    Some(Chunk {
        min_time_ms: first_ms,
        max_time_ms: last_ms,
        r#type: ChunkEncoding::FloatHistogram as i32,
        data: bits.into_bytes(),
    })
}

fn layout(bits: &mut BitWriter, h: &NativeHistogram) {
    zero_threshold(bits, h.zero_threshold);
    bits.varbit(i64::from(h.schema));
    for spans in [&h.positive_spans, &h.negative_spans] {
        bits.varbit_unsigned(spans.len() as u64);
        for Span { offset, length } in spans {
            bits.varbit_unsigned(u64::from(*length));
            bits.varbit(i64::from(*offset));
        }
    }
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        bits.varbit_unsigned(h.custom_bounds.len() as u64);
        h.custom_bounds.iter().for_each(|value| bound(bits, *value));
    }
}

/// Powers of two in one byte, others whole.
fn zero_threshold(bits: &mut BitWriter, threshold: f64) {
    const MANTISSA_BITS: u32 = 52;
    let raw = threshold.to_bits();
    // As a half times a power of two.
    let power = i64::try_from(raw >> MANTISSA_BITS).unwrap_or(i64::MAX) - 1_022;
    let is_power = raw & ((1 << MANTISSA_BITS) - 1) == 0;
    match u64::try_from(power + 243) {
        _ if threshold == 0.0 => bits.byte(0),
        Ok(code) if is_power && (-242..=11).contains(&power) => bits.bits(code, 8),
        _ => {
            bits.byte(255);
            bits.bits(raw, 64);
        }
    }
}

/// Whole thousandths in few bits, others whole.
fn bound(bits: &mut BitWriter, value: f64) {
    let thousandths = (value * 1_000.0).round();
    let is_whole = (0.0..=MAX_BOUND_THOUSANDTHS).contains(&thousandths) && thousandths / 1_000.0 == value;
    bits.bit(is_whole);
    if is_whole {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the bounds were checked"
        )]
        bits.varbit_unsigned(thousandths as u64 + 1);
    } else {
        bits.bits(value.to_bits(), 64);
    }
}
