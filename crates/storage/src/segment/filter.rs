//! The token filter of a row group of log lines: says that no line can contain a needle.
//!
//! A token is a maximal run of ASCII letters and digits, `_`, and bytes of other scripts. The filter, a split block
//! Bloom filter as Parquet has it, holds every token. A needle's inner tokens are whole tokens of each line that
//! contains it; those at its edges may be parts of longer ones. So that ids can be found anyway, the filter also holds
//! minimizers of long tokens: of every [`WINDOW`] bytes the gram of [`GRAM`] bytes with the least hash. Text with the
//! same [`WINDOW`] bytes has the same minimizer, whatever stands around it.

use std::collections::HashSet;

use parquet::bloom_filter::Sbbf;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::error::StorageError;

/// Bytes of a token of which one minimizer is kept.
pub(crate) const WINDOW: usize = 16;
/// Bytes of a minimizer.
const GRAM: usize = 8;
/// Keeps minimizers apart from tokens of the same bytes.
const GRAM_SEED: u64 = 1;
/// The share of needles that are not there and pass the filter anyway.
const FALSE_POSITIVES: f64 = 0.02;
/// Distinct tokens and minimizers of a row group; with more (encoded bodies, mostly) it gets no filter.
const MAX_HASHES: usize = 2_000_000;

const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
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
    let grams: Vec<u64> = token.windows(GRAM).map(|gram| xxh3_64_with_seed(gram, GRAM_SEED)).collect();
    let mut last = None;
    for window in grams.windows(WINDOW - GRAM + 1) {
        let least = window.iter().copied().min();
        if let Some(least) = least.filter(|_| least != last) {
            found(least);
        }
        last = least;
    }
}

/// Collects the lines of a row group.
#[derive(Debug, Default)]
pub(crate) struct TokenFilterBuilder {
    hashes: HashSet<u64, hashbrown::DefaultHashBuilder>,
}

impl TokenFilterBuilder {
    /// Enters a line.
    pub(crate) fn line(&mut self, line: &str) {
        for (_, token) in tokens(line.as_bytes()) {
            if self.hashes.len() > MAX_HASHES {
                return;
            }
            self.hashes.insert(xxh3_64(token));
            if token.len() >= WINDOW {
                minimizers(token, |hash| {
                    self.hashes.insert(hash);
                });
            }
        }
    }

    /// The filter of all lines so far, as bytes; none when it would be too large. The builder is empty afterwards.
    ///
    /// # Errors
    /// When Parquet cannot make a filter of the size.
    pub(crate) fn finish(&mut self) -> Result<Option<Vec<u8>>, StorageError> {
        if self.hashes.len() > MAX_HASHES {
            self.hashes.clear();
            return Ok(None);
        }
        let mut filter = Sbbf::new_with_ndv_fpp(self.hashes.len().max(1) as u64, FALSE_POSITIVES)?;
        for hash in self.hashes.drain() {
            filter.insert(&hash.cast_signed());
        }
        let mut bytes = Vec::new();
        filter.write(&mut bytes)?;
        Ok(Some(bytes))
    }
}

/// What a needle asks of a filter, hashed once for all row groups.
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
                if is_inner {
                    hashes.push(xxh3_64(token));
                } else if token.len() >= WINDOW {
                    minimizers(token, |hash| hashes.push(hash));
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
