//! What was written lately, by hashes, in two generations: what is seen in neither of them is forgotten.

use hashbrown::HashMap;

/// Hashes, each with a number of bytes.
#[derive(Debug)]
pub(crate) struct Lately {
    now: HashMap<u64, u64>,
    /// What was seen in the generation before, and not in this one.
    before: HashMap<u64, u64>,
    began_ns: u64,
}

impl Lately {
    /// Begins with some that are there already.
    pub(crate) fn begun(now_ns: u64, there: impl IntoIterator<Item = u64>) -> Self {
        let now = there.into_iter().map(|hash| (hash, 0)).collect();
        Self { now, before: HashMap::new(), began_ns: now_ns }
    }

    /// Forgets what was not seen for one to two lengths of a generation.
    pub(crate) fn turn(&mut self, now_ns: u64, length_ns: u64) {
        let age_ns = now_ns.saturating_sub(self.began_ns);
        if age_ns < length_ns.max(1) {
            return;
        }
        let last = std::mem::take(&mut self.now);
        self.before = if age_ns < length_ns.saturating_mul(2) { last } else { HashMap::new() };
        self.began_ns = now_ns;
    }

    /// The bytes of one that was seen lately, or is new and not more than the most; else none.
    pub(crate) fn entry(&mut self, hash: u64, most: u64) -> Option<&mut u64> {
        if !self.now.contains_key(&hash) {
            let bytes = match self.before.remove(&hash) {
                Some(bytes) => bytes,
                None if self.len() as u64 >= most => return None,
                None => 0,
            };
            self.now.insert(hash, bytes);
        }
        self.now.get_mut(&hash)
    }

    /// How many were seen lately.
    pub(crate) fn len(&self) -> usize {
        self.now.len() + self.before.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ones_are_taken_up_to_the_most_and_old_ones_are_forgotten() {
        let mut lately = Lately::begun(0, [1]);
        *lately.entry(2, 2).unwrap() += 7;
        assert!(lately.entry(3, 2).is_none());
        assert!(lately.entry(1, 2).is_some());
        lately.turn(10, 10);
        assert_eq!(lately.entry(2, 2), Some(&mut 7), "what is seen again keeps its bytes");
        assert_eq!(lately.len(), 2);
        assert!(lately.entry(3, 2).is_none(), "the generation before still counts");
        lately.turn(19, 10);
        lately.turn(20, 10);
        assert_eq!(lately.len(), 1);
        assert!(lately.entry(3, 2).is_some());
        lately.turn(45, 10);
        assert_eq!(lately.len(), 0);
    }
}
