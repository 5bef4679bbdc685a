//! A bit per step.

/// At which steps there is something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    words: Vec<u64>,
    len: usize,
}

impl Present {
    /// At no step.
    #[must_use]
    pub fn none(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)], len }
    }

    /// At every step.
    #[must_use]
    pub fn all(len: usize) -> Self {
        let mut words = vec![u64::MAX; len.div_ceil(64)];
        if let (Some(last), 1..) = (words.last_mut(), len % 64) {
            *last = (1 << (len % 64)) - 1;
        }
        Self { words, len }
    }

    /// At the steps whose bits are set, the least bit of a word first.
    #[must_use]
    pub fn from_words(words: impl Iterator<Item = u64>, len: usize) -> Self {
        let mut of_bits = Self::all(len);
        let mut words = words.fuse();
        of_bits.words.iter_mut().for_each(|word| *word &= words.next().unwrap_or(0));
        of_bits
    }

    /// A bit for each step, the least of a word first; there is none behind the last step.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// How many steps it speaks of.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it speaks of no step.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether there is something at a step; false behind the last.
    #[must_use]
    pub fn get(&self, step: usize) -> bool {
        step < self.len && self.words[step / 64] >> (step % 64) & 1 == 1
    }

    /// There is something at the step.
    pub fn set(&mut self, step: usize) {
        if step < self.len {
            self.words[step / 64] |= 1 << (step % 64);
        }
    }

    /// There is nothing at the step.
    pub fn clear(&mut self, step: usize) {
        if step < self.len {
            self.words[step / 64] &= !(1 << (step % 64));
        }
    }

    /// Whether there is something at any step.
    #[must_use]
    pub fn any(&self) -> bool {
        self.words.iter().any(|word| *word != 0)
    }

    /// At how many steps there is something.
    #[must_use]
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Adds the steps of another.
    pub fn unite(&mut self, other: &Present) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a |= b);
    }

    /// Keeps the steps that another has too.
    pub fn intersect(&mut self, other: &Present) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a &= b);
    }

    /// Takes the steps of another away.
    pub fn subtract(&mut self, other: &Present) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a &= !b);
    }

    /// The steps at which there is something, ascending.
    pub fn steps(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(i, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros() as usize;
                    rest &= rest - 1;
                    i * 64 + bit
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits() {
        let mut present = Present::none(130);
        present.set(0);
        present.set(129);
        present.set(130);
        assert_eq!(present.steps().collect::<Vec<_>>(), [0, 129]);
        let mut all = Present::all(130);
        assert_eq!(all.count(), 130);
        all.subtract(&present);
        assert_eq!((all.count(), all.get(129)), (128, false));
        assert_eq!(Present::all(64).count(), 64);
        assert_eq!(Present::from_words(present.words().iter().copied(), 130), present);
        assert_eq!(Present::from_words(std::iter::once(u64::MAX), 70).count(), 64);
        assert_eq!(Present::from_words(std::iter::repeat(u64::MAX), 70).words(), [u64::MAX, 63]);
    }
}
