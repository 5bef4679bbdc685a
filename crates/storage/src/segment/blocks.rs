//! Checksums of a segment's file, so that a changed byte is found before a decoder sees it.
//!
//! A file is its data (everything up to the last row group and filter) and its tail (page indexes and footer). The data
//! is hashed in blocks of [`BLOCK_BYTES`]; the hashes stand in the footer. The tail is hashed whole; its hash and length
//! stand in the manifest. Nothing here reads or writes files: bytes pass through.

use std::io::{self, Write};
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The bytes of a block; the last one of the data may be shorter. Small enough that a read of one page fetches little
/// more than the page, large enough that the hashes are a ten-thousandth of the file.
pub(crate) const BLOCK_BYTES: u64 = 64 << 10;

/// An XXH3 hash of 64 bits, written as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Checksum(pub u64);

impl Checksum {
    /// The checksum of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxh3_64(bytes))
    }

    /// Reads what its `Display` writes, and nothing else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_hex =
            text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten().map(Self)
    }
}

impl std::fmt::Display for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for Checksum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom("a checksum has 16 hexadecimal digits");
        Self::parse(&text).ok_or_else(wrong)
    }
}

/// What the manifest says of the end of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Its length.
    pub(crate) bytes: u64,
    /// Its hash.
    pub(crate) checksum: Checksum,
}

/// What the footer says of the data before the tail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blocks {
    /// The length of the data.
    data_bytes: u64,
    /// The hash of each block.
    hashes: Vec<u64>,
}

/// [`Blocks`] as they stand in the footer: the hashes are little-endian, in Base64.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    data_bytes: u64,
    xxh3: String,
}

impl Blocks {
    /// The text for the footer.
    pub(crate) fn to_text(&self) -> String {
        let bytes: Vec<u8> = self.hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
        let xxh3 = STANDARD.encode(bytes);
        serde_json::json!({ "data_bytes": self.data_bytes, "xxh3": xxh3 }).to_string()
    }

    /// Reads the footer's text.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let written: Written = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let bytes = STANDARD.decode(&written.xxh3).map_err(|error| error.to_string())?;
        let (chunks, rest) = bytes.as_chunks::<8>();
        let hashes: Vec<u64> = chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect();
        if !rest.is_empty() || hashes.len() as u64 != written.data_bytes.div_ceil(BLOCK_BYTES) {
            return Err(format!("{} checksums for {} bytes of data", hashes.len(), written.data_bytes));
        }
        Ok(Self { data_bytes: written.data_bytes, hashes })
    }

    /// The length of the data.
    pub(crate) const fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// How many blocks there are.
    pub(crate) fn count(&self) -> usize {
        self.hashes.len()
    }

    /// What these take of memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.hashes.len() * size_of::<u64>()
    }

    /// The range moved out to the borders of blocks; none where it does not lie in the data.
    pub(crate) fn widened(&self, range: &Range<u64>) -> Option<Range<u64>> {
        if range.start > range.end || range.end > self.data_bytes {
            return None;
        }
        let start = range.start / BLOCK_BYTES * BLOCK_BYTES;
        let end = range.end.checked_next_multiple_of(BLOCK_BYTES)?.min(self.data_bytes);
        Some(start..end)
    }

    /// The blocks, by number, that do not have their checksums. `bytes` are the data from `start` on, and both ends
    /// are borders of blocks.
    pub(crate) fn damaged(&self, start: u64, bytes: &[u8]) -> Vec<u64> {
        let first = start / BLOCK_BYTES;
        let block_bytes = usize::try_from(BLOCK_BYTES).expect("a constant that fits");
        let blocks = (first..).zip(bytes.chunks(block_bytes));
        let is_damaged = |number: u64, block: &[u8]| {
            let hash = usize::try_from(number).ok().and_then(|number| self.hashes.get(number));
            hash != Some(&xxh3_64(block))
        };
        blocks.filter(|(number, block)| is_damaged(*number, block)).map(|(number, _)| number).collect()
    }
}

/// Ranges that overlap or touch as one, sorted.
pub(crate) fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// Counts and hashes the bytes of a file on their way to where they are written.
pub(crate) struct HashingSink<W> {
    inner: W,
    hasher: Xxh3,
    /// Bytes that the hasher has taken since its last reset.
    hashed: u64,
    blocks: Blocks,
    is_tail: bool,
}

impl<W: Write> HashingSink<W> {
    /// An empty file.
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hasher: Xxh3::new(), hashed: 0, blocks: Blocks::default(), is_tail: false }
    }

    /// Says that all data was written: what follows is the tail.
    pub(crate) fn end_data(&mut self) -> &Blocks {
        if !self.is_tail {
            self.end_block();
            self.is_tail = true;
        }
        &self.blocks
    }

    /// The tail so far.
    pub(crate) fn tail(&self) -> Tail {
        let bytes = if self.is_tail { self.hashed } else { 0 };
        Tail { bytes, checksum: Checksum(self.hasher.digest()) }
    }

    /// Where the bytes go.
    pub(crate) const fn inner(&self) -> &W {
        &self.inner
    }

    /// Where the bytes go, to take some of them out.
    pub(crate) fn inner_mut(&mut self) -> &mut W {
        &mut self.inner
    }

    fn end_block(&mut self) {
        if self.hashed > 0 {
            self.blocks.hashes.push(self.hasher.digest());
            self.hasher.reset();
            self.hashed = 0;
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        if self.is_tail {
            self.hasher.update(bytes);
            self.hashed += bytes.len() as u64;
            return;
        }
        self.blocks.data_bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = usize::try_from(BLOCK_BYTES - self.hashed).expect("a block fits into memory");
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.hasher.update(now);
            self.hashed += now.len() as u64;
            if self.hashed == BLOCK_BYTES {
                self.end_block();
            }
            bytes = later;
        }
    }
}

impl<W: Write> Write for HashingSink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.take(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(data: &[u8], tail: &[u8], piece: usize) -> (Blocks, Tail) {
        let mut sink = HashingSink::new(Vec::new());
        data.chunks(piece).for_each(|piece| sink.write_all(piece).unwrap());
        let blocks = sink.end_data().clone();
        tail.chunks(piece).for_each(|piece| sink.write_all(piece).unwrap());
        assert_eq!(sink.inner_mut().len(), data.len() + tail.len());
        (blocks, sink.tail())
    }

    #[test]
    fn ranges_are_widened_to_blocks_and_joined() {
        let data = vec![7; 150_000];
        let (blocks, _) = written(&data, b"end", 1_000);
        assert_eq!((blocks.count(), blocks.data_bytes()), (3, 150_000));
        for (range, expected) in [
            (0..1, Some(0..65_536)),
            (65_535..65_537, Some(0..131_072)),
            (131_072..150_000, Some(131_072..150_000)),
            (10..10, Some(0..65_536)),
            (149_999..150_001, None),
        ] {
            assert_eq!(blocks.widened(&range), expected, "{range:?}");
        }
        assert_eq!(joined(vec![5..9, 0..2, 2..3, 6..7, 20..21]), [0..3, 5..9, 20..21]);
    }

    #[test]
    fn what_is_no_list_of_checksums_is_refused() {
        for text in ["", "{}", r#"{"data_bytes":1,"xxh3":""}"#, r#"{"data_bytes":1,"xxh3":"AAAA"}"#] {
            assert!(Blocks::parse(text).is_err(), "{text}");
        }
        for text in ["", "0123456789abcde", "0123456789abcdeF", "+123456789abcdef"] {
            assert_eq!(Checksum::parse(text), None, "{text}");
        }
        assert_eq!(Checksum::parse("00000000000000ff"), Some(Checksum(255)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn every_flipped_bit_is_found_whatever_the_pieces(
            len in 0_usize..200_000,
            piece in 1_usize..100_000,
            at in any::<prop::sample::Index>(),
            bit in 0_u32..8,
        ) {
            let mut data: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
            let (blocks, tail) = written(&data, b"the tail", piece);
            prop_assert_eq!(tail, Tail { bytes: 8, checksum: Checksum::of(b"the tail") });
            prop_assert_eq!(&Blocks::parse(&blocks.to_text()).unwrap(), &blocks);
            prop_assert!(blocks.damaged(0, &data).is_empty());
            if len > 0 {
                let at = at.index(len);
                data[at] ^= 1 << bit;
                prop_assert_eq!(blocks.damaged(0, &data), [at as u64 / BLOCK_BYTES]);
            }
        }
    }
}
