//! How many connections one address has, so that no single one takes all of a port.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// The connections of each address. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    most: usize,
}

/// One connection of an address, while it is there.
#[derive(Debug)]
pub(super) struct Entered {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    /// At most so many connections of each.
    pub(super) fn new(most: usize) -> Self {
        Self { counts: Arc::default(), most }
    }

    /// Counts a connection; none where its address has too many.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Entered> {
        let mut counts = self.counts.lock();
        let count = counts.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Entered { addresses: self.clone(), address })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut counts = self.addresses.counts.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_bound_and_leaves_nothing_behind() {
        let addresses = Addresses::new(2);
        let (a, b): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let first = addresses.enter(a);
        let second = addresses.enter(a);
        assert!(first.is_some() && second.is_some() && addresses.enter(a).is_none());
        let other = addresses.enter(b);
        assert!(other.is_some());
        drop(first);
        let third = addresses.enter(a);
        assert!(third.is_some() && addresses.enter(a).is_none());
        drop((second, third, other));
        assert!(addresses.counts.lock().is_empty());
    }
}
