//! Room for what a request becomes while it is mapped: asked for before it is written, so that no small body becomes a
//! large batch.

use super::budget::Held;
use crate::bounds::MAX_MAPPED_BYTES;
use crate::error::CollectorError;

/// The least that is taken at once, so that not every item asks.
const STEP_BYTES: usize = 4 << 10;

/// What one request was given for its batch, on top of what it holds.
#[derive(Debug)]
pub(crate) struct Room<'h> {
    held: &'h mut Held,
    bytes: usize,
    lent: usize,
    paid: usize,
}

impl<'h> Room<'h> {
    pub(crate) const fn new(held: &'h mut Held) -> Self {
        Self { held, bytes: 0, lent: 0, paid: 0 }
    }

    /// Asks for bytes more.
    ///
    /// # Errors
    /// [`CollectorError::MappedTooLarge`], or those of [`Held::take`].
    #[inline]
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), CollectorError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= self.paid { Ok(()) } else { self.grow() }
    }

    /// Asks for bytes that are given back before the next are lent: only the most counts.
    ///
    /// # Errors
    /// As [`Room::take`].
    pub(crate) fn lend(&mut self, bytes: usize) -> Result<(), CollectorError> {
        let more = bytes.saturating_sub(self.lent);
        self.lent += more;
        self.take(more)
    }

    #[cold]
    fn grow(&mut self) -> Result<(), CollectorError> {
        if self.bytes > MAX_MAPPED_BYTES {
            return Err(CollectorError::MappedTooLarge { bytes: self.bytes, max_bytes: MAX_MAPPED_BYTES });
        }
        // Half as much again, so that the asking takes no time; where there is not so much, what is needed.
        let needed = self.bytes - self.paid;
        let most = self.held.left().min(MAX_MAPPED_BYTES - self.paid);
        let more = needed.max(STEP_BYTES).max(self.paid / 2).min(most).max(needed);
        self.held.take(more)?;
        self.paid += more;
        Ok(())
    }

    /// What was asked for so far.
    #[cfg(test)]
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receivers::Budget;
    use crate::settings::BodySettings;

    #[test]
    fn what_is_asked_for_is_held_and_the_bound_is_kept() {
        let budget = Budget::new(&BodySettings { max_in_flight_bytes: 100_000 });
        let mut held = budget.request(None);
        let most = held.left();
        let mut room = Room::new(&mut held);
        for _ in 0..most / 100 {
            room.take(100).unwrap();
        }
        assert!(matches!(room.take(100), Err(CollectorError::RequestTooLarge { .. })));
        assert!(budget.used_bytes() >= most / 100 * 100);
        drop(held);
        assert_eq!(budget.used_bytes(), 0);
        let budget = Budget::new(&BodySettings::default());
        let mut held = budget.request(None);
        let mut room = Room::new(&mut held);
        room.lend(500).unwrap();
        room.lend(300).unwrap();
        room.lend(700).unwrap();
        assert_eq!(room.bytes(), 700);
        let taken = (0..).find_map(|steps| room.take(1 << 20).err().map(|error| (steps, error)));
        assert!(matches!(taken, Some((95, CollectorError::MappedTooLarge { .. }))), "{taken:?}");
    }
}
