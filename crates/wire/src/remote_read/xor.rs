//! The chunk of floats: times as differences of differences, values as what differs from the one before.
//!
//! Source: "Gorilla: A Fast, Scalable, In-Memory Time Series Database", and `tsdb/docs/format/chunks.md` of Prometheus.

use super::bits::{BitWriter, XorState, fits};
use super::{Chunk, ChunkEncoding, MAX_CHUNK_SAMPLES};

/// Makes chunks of floats.
#[derive(Debug)]
pub struct XorChunk;

impl XorChunk {
    /// The chunks of samples, which are ascending in time; as many of both.
    #[must_use]
    pub fn all(timestamps_ms: &[i64], values: &[f64]) -> Vec<Chunk> {
        let pieces = timestamps_ms.chunks(MAX_CHUNK_SAMPLES).zip(values.chunks(MAX_CHUNK_SAMPLES));
        pieces.filter_map(|(times, values)| one(times, values)).collect()
    }
}

fn one(times: &[i64], values: &[f64]) -> Option<Chunk> {
    let (first_ms, last_ms) = (*times.first()?, *times.last()?);
    let mut bits = BitWriter::default();
    bits.bits(times.len() as u64, 16);
    let (mut before_ms, mut delta_ms, mut before, mut state) = (0, 0, 0.0, XorState::default());
    for (i, (at_ms, value)) in times.iter().zip(values).enumerate() {
        let next_ms = at_ms.wrapping_sub(before_ms);
        match i {
            0 => {
                bits.varint(*at_ms);
                bits.bits(value.to_bits(), 64);
            }
            1 => {
                bits.uvarint(next_ms.cast_unsigned());
                bits.xor(before, *value, &mut state);
            }
            _ => {
                difference(&mut bits, next_ms.wrapping_sub(delta_ms));
                bits.xor(before, *value, &mut state);
            }
        }
        (before_ms, before) = (*at_ms, *value);
        delta_ms = if i == 0 { 0 } else { next_ms };
    }
    Some(Chunk {
        min_time_ms: first_ms,
        max_time_ms: last_ms,
        r#type: ChunkEncoding::Xor as i32,
        data: bits.into_bytes(),
    })
}

/// A difference of differences of times.
fn difference(bits: &mut BitWriter, value: i64) {
    const SIZES: [(u64, u32, u32); 3] = [(0b10, 2, 14), (0b110, 3, 17), (0b1110, 4, 20)];
    if value == 0 {
        return bits.bit(false);
    }
    match SIZES.iter().find(|(_, _, size)| fits(value, *size)) {
        Some((prefix, length, size)) => {
            bits.bits(*prefix, *length);
            bits.bits(value.cast_unsigned(), *size);
        }
        None => {
            bits.bits(0b1111, 4);
            bits.bits(value.cast_unsigned(), 64);
        }
    }
}
