//! Who reads on gets some chunks ahead: the more, the longer it has read on.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use object_store::path::Path;

use crate::bounds::{MAX_AHEAD_CHUNKS, MAX_CACHED_OBJECTS};

/// What is known of an object's readers.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    /// The chunk after the last one that was wanted.
    next: u32,
    /// Chunks that were fetched ahead last time.
    ahead: u32,
    /// The chunk after the highest one that may be in memory.
    highest: u32,
}

/// How each object is being read.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    objects: HashMap<Path, Reading>,
}

impl Ahead {
    /// Takes note of what is wanted; the chunks that may be fetched with it.
    pub(super) fn next(&mut self, path: &Path, wanted: &BTreeSet<u32>) -> Range<u32> {
        let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { return 0..0 };
        if self.objects.len() >= MAX_CACHED_OBJECTS && !self.objects.contains_key(path) {
            self.objects.clear();
        }
        let reading = self.objects.entry(path.clone()).or_default();
        let end = last + 1;
        let reads_on =
            reading.next > 0 && (*first == reading.next || first + 1 == reading.next) && end > reading.next;
        if reads_on {
            reading.ahead = (reading.ahead * 2).clamp(1, MAX_AHEAD_CHUNKS);
        } else if end != reading.next {
            reading.ahead = 0;
        }
        reading.next = end;
        let until = end.saturating_add(reading.ahead);
        reading.highest = reading.highest.max(until);
        if reads_on { end..until } else { end..end }
    }

    /// Takes note of chunks that were put into memory: those below the number.
    pub(super) fn kept(&mut self, path: &Path, end: u32) {
        if self.objects.len() < MAX_CACHED_OBJECTS {
            let reading = self.objects.entry(path.clone()).or_default();
            reading.highest = reading.highest.max(end);
        }
    }

    /// Forgets an object; the chunk after the highest one that may be in memory.
    pub(super) fn forget(&mut self, path: &Path) -> u32 {
        self.objects.remove(path).map_or(0, |reading| reading.highest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_on_gets_more_and_who_jumps_gets_nothing() {
        let mut ahead = Ahead::default();
        let path = Path::from("x");
        let mut next = |chunks: Range<u32>| ahead.next(&path, &chunks.collect()).len();
        assert_eq!(next(0..1), 0, "the first read says nothing");
        assert_eq!(next(1..2), 1);
        assert_eq!(next(1..2), 0, "again in the same chunk");
        assert_eq!(next(2..3), 2);
        assert_eq!(next(3..5), 4);
        assert_eq!(next(4..6), 8);
        assert_eq!(next(6..7), 8, "there is a bound");
        assert_eq!(next(50..51), 0, "a jump");
        assert_eq!(next(51..52), 1);
        assert_eq!(next(2..3), 0, "a jump back");
        assert_eq!(ahead.forget(&path), 53);
        assert_eq!(ahead.forget(&path), 0);
    }
}
