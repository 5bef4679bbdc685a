//! What was told lately of files: many listeners may have the same ones, and what is wrong with a file is said once.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::bounds::WARNING_PAUSE_S;

/// What was told, and when. Cheap to clone; listeners that share files share it.
#[derive(Clone, Debug, Default)]
pub struct Tellings(Arc<Mutex<HashMap<String, i64>>>);

impl Tellings {
    /// Whether something is to be told now, in Unix seconds: nobody has told it within so many, a day at most.
    pub(crate) fn is_first(&self, what: &str, now_s: i64, within_s: i64) -> bool {
        let mut told = self.0.lock();
        told.retain(|_, told_s| now_s - *told_s < WARNING_PAUSE_S);
        if told.get(what).is_some_and(|told_s| now_s - told_s < within_s) {
            return false;
        }
        told.insert(what.to_owned(), now_s);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_told_again_after_a_while() {
        let tellings = Tellings::default();
        let other = tellings.clone();
        assert!(tellings.is_first("a", 100, 10));
        assert!(!other.is_first("a", 109, 10) && other.is_first("b", 109, 10));
        assert!(other.is_first("a", 110, 10) && !tellings.is_first("a", 119, 10));
        assert!(tellings.is_first("c", 110 + WARNING_PAUSE_S, 10));
        assert_eq!(tellings.0.lock().len(), 1, "what is long past is forgotten");
    }
}
