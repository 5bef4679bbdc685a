//! The token filter of a page of log lines: says that no line can contain a needle.
//!
//! A token is a maximal run of ASCII letters and digits, `_`, and bytes of other scripts. The filter, a split block
//! Bloom filter as Parquet has it, holds every token of less than [`WINDOW`] bytes. A needle's inner tokens are whole
//! tokens of each line that contains it; those at its edges may be parts of longer ones. So that ids can be found anyway,
//! the filter holds long tokens as their minimizers: of every [`WINDOW`] bytes the gram of [`GRAM`] bytes with the least
//! hash. Text with the same [`WINDOW`] bytes has the same minimizer, whatever stands around it.

use std::ops::Range;
use std::sync::Arc;

use parquet::bloom_filter::Sbbf;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::reader::{Footer, SegmentFile};
use crate::error::StorageError;

/// Bytes of a token of which one minimizer is kept.
pub(crate) const WINDOW: usize = 16;
/// Bytes of a minimizer.
const GRAM: usize = 8;
/// Grams of a window.
const GRAMS: usize = WINDOW - GRAM + 1;
/// Keeps minimizers apart from tokens of the same bytes.
const GRAM_SEED: u64 = 1;
/// The share of needles that are not there and pass the filter anyway, at most. An id asks for several minimizers, which
/// must all pass; a word that passes costs one page.
const FALSE_POSITIVES: f64 = 0.15;
/// The size that a filter is made in, in bytes; it is folded to the least that keeps the share.
const FULL_BYTES: usize = 64 << 10;
/// With more of its bits set a filter of the full size says too little, and is left out: the lines are encoded bodies,
/// mostly. The eighth power of the share is the share of needles that pass.
const MAX_FILL: f64 = 0.8;
/// Hashes that are remembered as entered: most words of a line stood in the lines before it.
const RECENT: usize = 4_096;

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

/// Collects the lines of a page.
#[derive(Debug)]
pub(crate) struct TokenFilterBuilder {
    filter: Sbbf,
    /// At its hash's place, what was entered last.
    recent: Vec<u64>,
}

impl Default for TokenFilterBuilder {
    fn default() -> Self {
        Self { filter: Sbbf::new_with_num_of_bytes(FULL_BYTES), recent: vec![0; RECENT] }
    }
}

impl TokenFilterBuilder {
    /// Enters a line.
    pub(crate) fn line(&mut self, line: &str) {
        for (_, token) in tokens(line.as_bytes()) {
            if token.len() >= WINDOW {
                minimizers(token, |hash| self.enter(hash));
            } else {
                self.enter(xxh3_64(token));
            }
        }
    }

    fn enter(&mut self, hash: u64) {
        let recent = &mut self.recent[hash as usize % RECENT];
        // The empty place is 0, which is entered each time.
        if *recent != hash || hash == 0 {
            *recent = hash;
            self.filter.insert(&hash.cast_signed());
        }
    }

    /// The filter of all lines so far, as bytes; none when there is too much in it to tell anything. The builder is empty
    /// afterwards.
    ///
    /// # Errors
    /// When Parquet cannot write the filter.
    pub(crate) fn finish(&mut self) -> Result<Option<Vec<u8>>, StorageError> {
        let mut filter = std::mem::take(self).filter;
        filter.fold_to_target_fpp(FALSE_POSITIVES);
        let mut bytes = Vec::new();
        filter.write(&mut bytes)?;
        let set: u64 = bytes.iter().map(|byte| u64::from(byte.count_ones())).sum();
        let fill = set as f64 / (bytes.len() * 8) as f64;
        Ok((fill <= MAX_FILL).then_some(bytes))
    }
}

/// What a needle asks of a filter, hashed once for all pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NeedleHashes(Vec<u64>);

impl NeedleHashes {
    /// The hashes that each line with all the needles has entered.
    pub(crate) fn new(needles: &[String]) -> Self {
        let mut hashes = Vec::new();
        for needle in needles {
            let bytes = needle.as_bytes();
            for (start, token) in tokens(bytes) {
                let is_inner = start > 0 && start + token.len() < bytes.len();
                if token.len() >= WINDOW {
                    minimizers(token, |hash| hashes.push(hash));
                } else if is_inner {
                    hashes.push(xxh3_64(token));
                }
            }
        }
        Self(hashes)
    }

    /// Whether the needles say nothing about the filter.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a line with all the needles may be among those that the filter was made of.
    pub(crate) fn may_match(&self, filter: &Sbbf) -> bool {
        self.0.iter().all(|hash| filter.check(&hash.cast_signed()))
    }
}

impl SegmentFile {
    /// Bloom filters that lie in the file, those of a row group, from the cache where they are there.
    ///
    /// # Errors
    /// The store's; [`StorageError::Corrupt`] for what is not a filter.
    pub(crate) async fn filters(
        &self,
        footer: &Footer,
        row_group: usize,
        places: &[Option<Range<u64>>],
    ) -> Result<Arc<[Option<Sbbf>]>, StorageError> {
        if let Some(filters) = self.cache.filters(&self.path, row_group) {
            return Ok(filters);
        }
        let ranges: Vec<Range<u64>> = places.iter().flatten().cloned().collect();
        let mut pieces = self.data(&footer.blocks, &ranges).await?.into_iter();
        let filters = places.iter().map(|place| {
            let bytes = place.as_ref().and_then(|_| pieces.next());
            bytes.map(|bytes| self.bloom_filter(&bytes)).transpose()
        });
        let filters: Arc<[Option<Sbbf>]> = filters.collect::<Result<_, _>>()?;
        self.cache.put_filters(&self.path, row_group, &filters);
        Ok(filters)
    }

    fn bloom_filter(&self, bytes: &[u8]) -> Result<Sbbf, StorageError> {
        let filter = self.decode(|| Sbbf::from_bytes(bytes).map_err(|error| self.corrupt(error)))?;
        if filter.num_blocks() == 0 {
            return Err(self.corrupt("a filter without blocks"));
        }
        Ok(filter)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(lines: &[&str]) -> Sbbf {
        let mut builder = TokenFilterBuilder::default();
        lines.iter().for_each(|line| builder.line(line));
        Sbbf::from_bytes(&builder.finish().unwrap().unwrap()).unwrap()
    }

    fn may_match(filter: &Sbbf, needle: &str) -> bool {
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
            ("ffe92f3577b34da6a3ce929d0e0e4736", false),
            ("/users/", true),
            ("/accounts/", false),
        ] {
            assert_eq!(may_match(&filter, needle), expected, "{needle:?}");
        }
        assert!(NeedleHashes::new(&["plain".to_owned()]).is_empty());
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
