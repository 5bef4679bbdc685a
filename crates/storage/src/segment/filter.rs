//! The token filter of a page of log lines: says that no line can contain a needle.
//!
//! A token is a maximal run of ASCII letters and digits, `_`, and bytes of other scripts. The filter, a Bloom filter of
//! blocks, holds every token of less than [`WINDOW`] bytes. A needle's inner tokens are whole
//! tokens of each line that contains it; those at its edges may be parts of longer ones. So that ids can be found anyway,
//! the filter holds long tokens as their minimizers: of every [`WINDOW`] bytes the gram of [`GRAM`] bytes with the least
//! hash. Text with the same [`WINDOW`] bytes has the same minimizer, whatever stands around it.

use std::ops::Range;
use std::sync::Arc;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::reader::{Footer, SegmentFile};
use crate::error::StorageError;

/// Bytes of a token of which one minimizer is kept.
pub(crate) const WINDOW: usize = 16;
/// Bytes of a minimizer.
const GRAM: usize = 6;
/// Grams of a window.
const GRAMS: usize = WINDOW - GRAM + 1;
/// Keeps minimizers apart from tokens of the same bytes.
const GRAM_SEED: u64 = 1;
/// Bytes of a block; all bits of an entry lie in one.
const BLOCK_BYTES: usize = 32;
/// The blocks that a filter is made with. Its final number divides this one, and it has many divisors.
const FULL_BLOCKS: usize = 2_520;
/// The share of bits that are set in a finished filter, at most and about: half of them tells the most for its size.
const FILL: f64 = 0.5;
/// With more of its bits set a filter of the full size says too little, and is left out: the lines are encoded bodies,
/// mostly.
const MAX_FILL: f64 = 0.7;
/// Hashes that are remembered as entered: most words of a line stood in the lines before it.
const RECENT: usize = 4_096;
/// What the hash of a minimizer is multiplied by: the least of several hashes has few of its upper bits set.
const REMIX: u64 = 0x9e37_79b9_7f4a_7c15;
/// What the lower half of a hash is multiplied by for each bit.
const SPREAD: u32 = 0x9e37_79b1;

/// Bits of an entry. One in two to this power of the needles that are not there pass, so each is worth what it costs: of
/// words there are few, and a search has often no other; numbers are many, and most of them are in every page anyway; an
/// id of 16 digits is one minimizer, a longer one several.
const WORD_BITS: u8 = 12;
const NUMBER_BITS: u8 = 2;
const MIXED_BITS: u8 = 4;
const MINIMIZER_BITS: u8 = 4;

/// Which bytes tokens are made of.
const TOKEN_BYTES: [bool; 256] = {
    let mut bytes = [false; 256];
    let mut byte = 0_u8;
    loop {
        bytes[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        if byte == u8::MAX {
            break bytes;
        }
        byte += 1;
    }
};

const fn is_token_byte(byte: u8) -> bool {
    TOKEN_BYTES[byte as usize]
}

/// The tokens of a text with their offsets.
fn tokens(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text[at..].iter().position(|b| is_token_byte(*b))?;
        let len = text[start..].iter().position(|b| !is_token_byte(*b)).unwrap_or(text.len() - start);
        at = start + len;
        Some((start, &text[start..at]))
    })
}

/// Calls back with the minimizer of each window; the same one comes once for neighbouring windows.
fn minimizers(token: &[u8], mut found: impl FnMut(u64)) {
    let mut grams = [u64::MAX; GRAMS];
    let (mut least, mut least_at) = (u64::MAX, 0);
    let mut last = None;
    for (at, gram) in token.windows(GRAM).enumerate() {
        let hash = xxh3_64_with_seed(gram, GRAM_SEED);
        grams[at % GRAMS] = hash;
        if hash <= least {
            (least, least_at) = (hash, at);
        } else if at - least_at >= GRAMS {
            // It has left the window; only then the others are looked at.
            for before in at + 1 - GRAMS..=at {
                let hash = grams[before % GRAMS];
                if before == at + 1 - GRAMS || hash <= least {
                    (least, least_at) = (hash, before);
                }
            }
        }
        if at + 1 >= GRAMS && last != Some(least) {
            found(least);
            last = Some(least);
        }
    }
}

/// What is entered for a token or a part of it, and with how many bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    hash: u64,
    bits: u8,
}

impl Entry {
    /// Of a whole token of less than [`WINDOW`] bytes.
    fn of(token: &[u8]) -> Self {
        let digits = token.iter().filter(|byte| byte.is_ascii_digit()).count();
        let bits = match digits {
            0 => WORD_BITS,
            _ if digits == token.len() => NUMBER_BITS,
            _ => MIXED_BITS,
        };
        Self { hash: xxh3_64(token), bits }
    }

    fn minimizer(hash: u64) -> Self {
        Self { hash: hash.wrapping_mul(REMIX), bits: MINIMIZER_BITS }
    }

    /// Its block, of so many.
    fn block(self, blocks: usize) -> usize {
        let place = (self.hash >> 32) * blocks as u64;
        usize::try_from(place >> 32).expect("it is less than the number of blocks")
    }

    /// Its bits within the block, as byte and mask.
    fn places(self) -> impl Iterator<Item = (usize, u8)> {
        let mut state = (self.hash & u64::from(u32::MAX)) as u32;
        (0..self.bits).map(move |_| {
            state = state.wrapping_mul(SPREAD);
            let bit = (state >> 24) as usize;
            (bit / 8, 1 << (bit % 8))
        })
    }
}

/// Collects the lines of a page.
#[derive(Debug)]
pub(crate) struct TokenFilterBuilder {
    blocks: Vec<u8>,
    /// At its hash's place, what was entered last.
    recent: Vec<u64>,
}

impl Default for TokenFilterBuilder {
    fn default() -> Self {
        Self { blocks: vec![0; FULL_BLOCKS * BLOCK_BYTES], recent: vec![0; RECENT] }
    }
}

impl TokenFilterBuilder {
    /// Enters a line.
    pub(crate) fn line(&mut self, line: &str) {
        for (_, token) in tokens(line.as_bytes()) {
            if token.len() >= WINDOW {
                minimizers(token, |hash| self.enter(Entry::minimizer(hash)));
            } else {
                self.enter(Entry::of(token));
            }
        }
    }

    fn enter(&mut self, entry: Entry) {
        let recent = &mut self.recent[entry.hash as usize % RECENT];
        // The empty place is 0, which is entered each time.
        if *recent != entry.hash || entry.hash == 0 {
            *recent = entry.hash;
            let start = entry.block(FULL_BLOCKS) * BLOCK_BYTES;
            let block = &mut self.blocks[start..start + BLOCK_BYTES];
            entry.places().for_each(|(byte, mask)| block[byte] |= mask);
        }
    }

    /// The filter of all lines so far, as bytes; none when there is too much in it to tell anything. The builder is empty
    /// afterwards.
    pub(crate) fn finish(&mut self) -> Option<Vec<u8>> {
        let full = std::mem::take(self).blocks;
        let set: u64 = full.iter().map(|byte| u64::from(byte.count_ones())).sum();
        let fill = set as f64 / (full.len() * 8) as f64;
        if fill > MAX_FILL {
            return None;
        }
        // Of blocks that become one, each leaves a bit unset with the share of bits that it has unset.
        let folded_fill = |folds: usize| 1.0 - (1.0 - fill).powf(folds as f64);
        let folds = (1..=FULL_BLOCKS).rev().filter(|folds| FULL_BLOCKS.is_multiple_of(*folds));
        let folds = { folds }.find(|folds| folded_fill(*folds) <= FILL).unwrap_or(1);
        let mut folded = vec![0; full.len() / folds];
        let joined = full.chunks_exact(folds * BLOCK_BYTES);
        for (block, blocks) in folded.chunks_exact_mut(BLOCK_BYTES).zip(joined) {
            for part in blocks.chunks_exact(BLOCK_BYTES) {
                block.iter_mut().zip(part).for_each(|(byte, bits)| *byte |= bits);
            }
        }
        Some(folded)
    }
}

/// The filter of a page: blocks, at least one.
#[derive(Debug)]
pub(crate) struct TokenFilter(Box<[u8]>);

impl TokenFilter {
    /// A filter as it lies in a file; none where that is not whole blocks.
    fn parse(bytes: &[u8]) -> Option<Self> {
        (!bytes.is_empty() && bytes.len().is_multiple_of(BLOCK_BYTES)).then(|| Self(bytes.into()))
    }

    /// Memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }

    fn may_have(&self, entry: Entry) -> bool {
        let start = entry.block(self.0.len() / BLOCK_BYTES) * BLOCK_BYTES;
        let block = &self.0[start..start + BLOCK_BYTES];
        entry.places().all(|(byte, mask)| block[byte] & mask != 0)
    }
}

/// What needles ask of a filter, hashed once for all pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NeedleHashes(Vec<Entry>);

impl NeedleHashes {
    /// What each line with all the needles has entered.
    pub(crate) fn new(needles: &[String]) -> Self {
        let mut entries = Vec::new();
        for needle in needles {
            let bytes = needle.as_bytes();
            for (start, token) in tokens(bytes) {
                let is_inner = start > 0 && start + token.len() < bytes.len();
                if token.len() >= WINDOW {
                    minimizers(token, |hash| entries.push(Entry::minimizer(hash)));
                } else if is_inner {
                    entries.push(Entry::of(token));
                }
            }
        }
        Self(entries)
    }

    /// Whether the needles say nothing about the filter.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a line with all the needles may be among those that the filter was made of.
    pub(crate) fn may_match(&self, filter: &TokenFilter) -> bool {
        self.0.iter().all(|entry| filter.may_have(*entry))
    }
}

impl SegmentFile {
    /// The token filters of a row group, from the cache where they are there.
    ///
    /// # Errors
    /// The store's; [`StorageError::Corrupt`] for what is not a filter.
    pub(crate) async fn token_filters(
        &self,
        footer: &Footer,
        row_group: usize,
        places: &[Option<Range<u64>>],
    ) -> Result<Arc<[Option<TokenFilter>]>, StorageError> {
        if let Some(filters) = self.cache.token_filters(&self.path, row_group) {
            return Ok(filters);
        }
        let ranges: Vec<Range<u64>> = places.iter().flatten().cloned().collect();
        let mut pieces = self.data(&footer.blocks, &ranges).await?.into_iter();
        let filters = places.iter().map(|place| {
            let bytes = place.as_ref().and_then(|_| pieces.next());
            let parsed = |bytes: bytes::Bytes| {
                TokenFilter::parse(&bytes).ok_or_else(|| self.corrupt("a token filter without whole blocks"))
            };
            bytes.map(parsed).transpose()
        });
        let filters: Arc<[Option<TokenFilter>]> = filters.collect::<Result<_, _>>()?;
        self.cache.put_token_filters(&self.path, row_group, &filters);
        Ok(filters)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(lines: &[&str]) -> TokenFilter {
        let mut builder = TokenFilterBuilder::default();
        lines.iter().for_each(|line| builder.line(line));
        TokenFilter::parse(&builder.finish().unwrap()).unwrap()
    }

    fn may_match(filter: &TokenFilter, needle: &str) -> bool {
        NeedleHashes::new(&[needle.to_owned()]).may_match(filter)
    }

    #[test]
    fn needles_use_inner_tokens_and_long_ids() {
        let filter = filter(&[
            r#"level=info msg="request done" trace_id=4bf92f3577b34da6a3ce929d0e0e4736 took=12ms"#,
            "GET /api/users/42 200",
        ]);
        for (needle, expected) in [
            ("", true),
            ("quest do", true),
            ("msg=\"request done\"", true),
            (" info ", true),
            (" warn ", false),
            ("msg=\"nothing done\"", false),
            ("4bf92f3577b34da6a3ce929d0e0e4736", true),
            ("f92f3577b34da6a3ce92", true),
            ("00000000000000000000000000000000", false),
            ("4bf92f3577b34da6ffff929d0e0e4736", false),
            ("/users/", true),
            ("/accounts/", false),
        ] {
            assert_eq!(may_match(&filter, needle), expected, "{needle:?}");
        }
        assert!(NeedleHashes::new(&["plain".to_owned()]).is_empty());
    }

    /// How many in a thousand needles that are nowhere pass.
    fn passing(filter: &TokenFilter, needle: impl Fn(u64) -> String) -> usize {
        (0..10_000).filter(|n| may_match(filter, &needle(*n))).count() / 10
    }

    #[test]
    fn a_filter_passes_few_words_and_ids_that_are_nowhere() {
        let id = |n: u64, seed| format!("{:016x}", xxh3_64_with_seed(&n.to_le_bytes(), seed));
        let lines =
            (0..4_096).map(|n| format!("took {n} ms, request={}, trace={}{}", id(n, 2), id(n, 3), id(n, 4)));
        let lines: Vec<String> = lines.collect();
        let filter = filter(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let bits = filter.bytes() * 8 / lines.len();
        assert!(bits <= 40, "{bits} bits a line");
        let word = |n: u64| id(n, 5).bytes().map(|digit| char::from(b'g' + digit % 16)).collect::<String>();
        let passing = [
            passing(&filter, |n| format!("-{}-", &word(n)[..15])),
            passing(&filter, |n| id(n, 6)),
            passing(&filter, |n| format!("{}{}", id(n, 7), id(n, 8))),
            passing(&filter, |n| format!(" {} ", n + 10_000)),
        ];
        let most = [10, 80, 2, 280];
        assert!(passing.iter().zip(most).all(|(passing, most)| *passing <= most), "{passing:?} of 1000");
    }

    #[test]
    fn lines_of_nothing_but_new_tokens_have_no_filter() {
        let mut builder = TokenFilterBuilder::default();
        for n in 0..250_000_u64 {
            builder.line(&format!("{:x}z", xxh3_64(&n.to_le_bytes()) >> 8));
        }
        assert_eq!(builder.finish(), None);
        assert_eq!(builder.finish(), Some(vec![0; BLOCK_BYTES]));
    }

    proptest! {
        #[test]
        fn no_part_of_a_line_is_ever_missed(
            line in "([a-z0-9_]{1,40}|[ =./:-]{1,3}|\\PC{1,4}){0,20}",
            cut in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        ) {
            let bounds: Vec<usize> = (0..=line.len()).filter(|i| line.is_char_boundary(*i)).collect();
            let (a, b) = (bounds[cut.0.index(bounds.len())], bounds[cut.1.index(bounds.len())]);
            let needle = &line[a.min(b)..a.max(b)];
            prop_assert!(may_match(&filter(&[&line]), needle));
        }
    }
}
