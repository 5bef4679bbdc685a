//! Amounts of the last day, in slots of ten minutes: what came within the last hour or day, to a slot's precision.

use std::collections::BTreeMap;

/// The length of a slot.
pub(super) const SLOT_NS: i64 = 600 * 1_000_000_000;
/// Slots of an hour, the one that is under way included.
pub(super) const HOUR: usize = 7;
/// Slots of a day, the one that is under way included.
pub(super) const DAY: usize = 145;

/// Amounts by slot.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    slots: Box<[u64; DAY]>,
    /// The slot that is under way, counted from the epoch.
    newest: i64,
}

impl Default for Ring {
    fn default() -> Self {
        Self { slots: Box::new([0; DAY]), newest: i64::MIN }
    }
}

fn place(slot: i64) -> usize {
    usize::try_from(slot.rem_euclid(DAY as i64)).expect("a remainder is not negative")
}

impl Ring {
    /// Adds what came at a moment. A clock that goes back adds to the slot that is under way.
    pub(super) fn add(&mut self, now_ns: i64, amount: u64) {
        let slot = now_ns.div_euclid(SLOT_NS);
        if slot > self.newest {
            let first = self.newest.max(slot - DAY as i64) + 1;
            (first..=slot).for_each(|slot| self.slots[place(slot)] = 0);
            self.newest = slot;
        }
        let place = place(self.newest);
        self.slots[place] = self.slots[place].saturating_add(amount);
    }

    /// The amounts of the last day that are not zero, by slot.
    pub(super) fn amounts(&self) -> BTreeMap<i64, u64> {
        let oldest = self.newest.saturating_sub(DAY as i64 - 1);
        let slots = if self.newest == i64::MIN { 0..0 } else { oldest..self.newest + 1 };
        slots.map(|slot| (slot, self.slots[place(slot)])).filter(|(_, amount)| *amount > 0).collect()
    }

    /// A ring with these amounts, as [`Ring::amounts`] gave them.
    pub(super) fn of(amounts: &BTreeMap<i64, u64>) -> Self {
        let mut ring = Self::default();
        for (slot, amount) in amounts {
            ring.add(slot.saturating_mul(SLOT_NS), *amount);
        }
        ring
    }

    /// What came in the last `slots` slots before a moment.
    pub(super) fn last(&self, now_ns: i64, slots: usize) -> u64 {
        let now = now_ns.div_euclid(SLOT_NS).max(self.newest);
        let first = now - slots.min(DAY) as i64 + 1;
        let oldest = self.newest.saturating_sub(DAY as i64 - 1);
        (first.max(oldest)..=self.newest).map(|slot| self.slots[place(slot)]).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_and_a_day_forget_what_is_older() {
        let mut ring = Ring::default();
        assert_eq!(ring.last(5, DAY), 0);
        let start = 1_000_000 * SLOT_NS;
        for slot in 0..200 {
            ring.add(start + slot * SLOT_NS, 1);
            assert_eq!(ring.last(start + slot * SLOT_NS, HOUR), (slot as u64 + 1).min(7));
            assert_eq!(ring.last(start + slot * SLOT_NS, DAY), (slot as u64 + 1).min(145));
        }
        let end = start + 199 * SLOT_NS;
        ring.add(end - 50 * SLOT_NS, 10);
        assert_eq!(ring.last(end, HOUR), 17, "a clock that goes back");
        assert_eq!(ring.last(end + 6 * SLOT_NS, HOUR), 11, "the last slot with something");
        assert_eq!(ring.last(end + 7 * SLOT_NS, HOUR), 0);
        assert_eq!(ring.last(end + 1_000 * SLOT_NS, DAY), 0);
        ring.add(end + 1_000 * SLOT_NS, 3);
        assert_eq!(ring.last(end + 1_000 * SLOT_NS, DAY), 3, "a long pause");
        ring.add(end + 1_001 * SLOT_NS, 4);
        let again = Ring::of(&ring.amounts());
        assert_eq!(again.amounts(), ring.amounts());
        assert_eq!(again.last(end + 1_001 * SLOT_NS, DAY), 7);
        assert!(Ring::default().amounts().is_empty());
    }
}
