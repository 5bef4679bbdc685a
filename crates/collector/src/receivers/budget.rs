//! The memory that requests may hold together: counted as they arrive, are decompressed, decoded and mapped. One tenant
//! gets a part of it only, so that others find room.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;
use model::TenantId;

use crate::bounds::MAX_SHARES;
use crate::error::CollectorError;
use crate::settings::BodySettings;

/// The memory of all requests; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    settings: BodySettings,
    used: AtomicUsize,
    /// What each tenant's requests hold; requests whose tenants only their data names have a share together.
    shares: Mutex<HashMap<Option<TenantId>, Arc<AtomicUsize>>>,
}

/// What one request holds, until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    pool: Arc<Pool>,
    share: Arc<AtomicUsize>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(settings: &BodySettings) -> Self {
        Self(Arc::new(Pool {
            settings: settings.clone(),
            used: AtomicUsize::new(0),
            shares: Mutex::default(),
        }))
    }

    /// What all requests hold now, in bytes.
    pub(crate) fn used_bytes(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// A request that holds nothing yet.
    pub(crate) fn request(&self, tenant: Option<&TenantId>) -> Held {
        let mut shares = self.0.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if shares.len() >= MAX_SHARES {
            shares.retain(|_, share| Arc::strong_count(share) > 1);
        }
        let share = Arc::clone(shares.entry(tenant.cloned()).or_default());
        Held { pool: Arc::clone(&self.0), share, bytes: 0 }
    }
}

fn take(used: &AtomicUsize, more: usize, most: usize) -> bool {
    let sum = |have: usize| have.checked_add(more).filter(|sum| *sum <= most);
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).is_ok()
}

impl Held {
    /// The sizes that hold.
    pub(crate) fn settings(&self) -> &BodySettings {
        &self.pool.settings
    }

    /// What the request holds, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that the request may still take before it is too large by itself.
    pub(crate) fn left(&self) -> usize {
        self.pool.settings.max_request_bytes().saturating_sub(self.bytes)
    }

    /// Takes bytes.
    ///
    /// # Errors
    /// [`CollectorError::RequestTooLarge`] where the request alone is over its bound, [`CollectorError::Busy`] where
    /// others have the memory now.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), CollectorError> {
        let BodySettings { max_in_flight_bytes, .. } = self.pool.settings;
        let max_request_bytes = self.pool.settings.max_request_bytes();
        if bytes > self.left() {
            let bytes = self.bytes.saturating_add(bytes);
            return Err(CollectorError::RequestTooLarge { bytes, max_bytes: max_request_bytes });
        }
        // What one request may hold is also what one tenant may hold.
        if !take(&self.share, bytes, max_request_bytes) {
            return Err(CollectorError::Busy { whose: "of the tenant ", max_bytes: max_request_bytes });
        }
        if !take(&self.pool.used, bytes, max_in_flight_bytes) {
            self.share.fetch_sub(bytes, Ordering::Relaxed);
            return Err(CollectorError::Busy { whose: "", max_bytes: max_in_flight_bytes });
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Gives bytes back.
    pub(crate) fn give_back(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.share.fetch_sub(bytes, Ordering::Relaxed);
        self.pool.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_leaves_room_for_others_and_a_request_that_never_fits_is_told_so() {
        let settings = BodySettings { max_in_flight_bytes: 1_000 };
        let budget = Budget::new(&settings);
        let (a, b) = (TenantId::parse("a").unwrap(), TenantId::parse("b").unwrap());
        let mut one = budget.request(Some(&a));
        let mut two = budget.request(Some(&a));
        one.take(700).unwrap();
        let tenant = two.take(100).unwrap_err();
        assert!(tenant.to_string().contains("of the tenant") && tenant.retry_after_s().is_some(), "{tenant}");
        let mut other = budget.request(Some(&b));
        other.take(300).unwrap();
        let all = budget.request(None).take(1).unwrap_err();
        assert!(all.to_string().contains("1000") && all.retry_after_s().is_some(), "{all}");
        assert_eq!(budget.used_bytes(), 1_000);
        one.give_back(600);
        two.take(100).unwrap();
        let never = two.take(651).unwrap_err();
        assert!(matches!(never, CollectorError::RequestTooLarge { bytes: 751, max_bytes: 750 }), "{never}");
        drop((one, two, other));
        assert_eq!(budget.used_bytes(), 0, "what is dropped, and what was refused, is given back");
    }

    #[test]
    fn tenants_that_are_gone_are_forgotten() {
        let budget = Budget::new(&BodySettings::default());
        for number in 0..=MAX_SHARES {
            let _gone = budget.request(Some(&TenantId::parse(&format!("t{number}")).unwrap()));
        }
        assert!(budget.0.shares.lock().unwrap().len() < 3);
    }
}
