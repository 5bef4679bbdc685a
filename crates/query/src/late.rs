//! Lines that come late. Who follows a tenant's lines asks for those of the time since it asked last; a line of an earlier time
//! that comes after that is noted here, so that it can be asked for too.
//!
//! What is written through other processes is not known here.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};

use arrow::array::{Array, Int64Array, UInt32Array};
use model::TenantId;
use model::log::LogBatch;
use parking_lot::Mutex;

/// Lines that are noted for one who follows, until they are taken; of more the oldest are forgotten.
const MAX_NOTED: usize = 10_000;

/// The time of a line in nanoseconds, and the hash of its stream's labels.
pub type Moment = (i64, u64);

/// The hash of a stream's labels, in their canonical bytes.
#[must_use]
pub fn stream_hash(labels: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    labels.hash(&mut hasher);
    hasher.finish()
}

/// Who follows whose lines. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct LateLines(Arc<Mutex<Followed>>);

/// Those who follow the lines of each tenant.
type Followed = HashMap<TenantId, Vec<Weak<Mutex<Noted>>>>;

/// One who follows the lines of a tenant, until it is dropped.
#[derive(Debug)]
pub struct Follower(Arc<Mutex<Noted>>);

/// What is noted for one who follows.
#[derive(Debug)]
struct Noted {
    /// What is before this moment was asked for, or is being asked for.
    asked_ns: i64,
    late: BTreeSet<Moment>,
    /// Writes under way: their lines may be found before they are noted.
    under_way: usize,
    /// Lines that were found while there were any.
    found: HashSet<Moment>,
}

/// Lines under way into the engine.
#[derive(Debug)]
pub struct Coming(Vec<Arc<Mutex<Noted>>>);

impl LateLines {
    /// Follows the lines of a tenant.
    #[must_use]
    pub fn follow(&self, tenant: &TenantId) -> Follower {
        let noted = Noted { asked_ns: i64::MIN, late: BTreeSet::new(), under_way: 0, found: HashSet::new() };
        let noted = Arc::new(Mutex::new(noted));
        let mut followed = self.0.lock();
        followed.retain(|_, followers| {
            followers.retain(|follower| follower.strong_count() > 0);
            !followers.is_empty()
        });
        followed.entry(tenant.clone()).or_default().push(Arc::downgrade(&noted));
        Follower(noted)
    }

    /// Says that lines of a tenant are under way; none where nobody follows them.
    #[must_use]
    pub fn coming(&self, tenant: &TenantId) -> Option<Coming> {
        let followed = self.0.lock();
        let followers: Vec<_> = followed.get(tenant)?.iter().filter_map(Weak::upgrade).collect();
        for follower in &followers {
            follower.lock().under_way += 1;
        }
        Some(Coming(followers)).filter(|coming| !coming.0.is_empty())
    }
}

impl Coming {
    /// The lines have come: they are found from now on.
    pub fn came(self, batch: &LogBatch) {
        let columns = [0, 1].map(|column| batch.entries.column(column).as_any());
        let (Some(streams), Some(times)) =
            (columns[0].downcast_ref::<UInt32Array>(), columns[1].downcast_ref::<Int64Array>())
        else {
            return;
        };
        let labels = batch.label_bytes();
        let hashes: Vec<u64> = (0..labels.len()).map(|row| stream_hash(labels.value(row))).collect();
        for follower in &self.0 {
            let mut noted = follower.lock();
            let asked_ns = noted.asked_ns;
            for (stream, time_ns) in streams.values().iter().zip(times.values()) {
                let Some(hash) = hashes.get(*stream as usize) else { continue };
                if *time_ns < asked_ns && !noted.found.contains(&(*time_ns, *hash)) {
                    noted.note((*time_ns, *hash));
                }
            }
        }
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        for follower in &self.0 {
            let mut noted = follower.lock();
            noted.under_way -= 1;
            if noted.under_way == 0 {
                noted.found = HashSet::new();
            }
        }
    }
}

impl Noted {
    fn note(&mut self, moment: Moment) {
        self.late.insert(moment);
        if self.late.len() > MAX_NOTED {
            self.late.pop_first();
        }
    }
}

impl Follower {
    /// Takes what has come late since this was called last, and begins to ask for what is before a moment.
    #[must_use]
    pub fn ask(&self, until_ns: i64) -> BTreeSet<Moment> {
        let mut noted = self.0.lock();
        noted.asked_ns = until_ns;
        std::mem::take(&mut noted.late)
    }

    /// Lines were found by asking for their time.
    pub fn found(&self, lines: impl Iterator<Item = Moment>) {
        let mut noted = self.0.lock();
        for line in lines {
            noted.late.remove(&line);
            if noted.under_way > 0 && noted.found.len() < MAX_NOTED {
                noted.found.insert(line);
            }
        }
    }

    /// Notes again what was taken and not asked for yet.
    pub fn note_again(&self, late: BTreeSet<Moment>) {
        let mut noted = self.0.lock();
        late.into_iter().for_each(|moment| noted.note(moment));
    }
}

#[cfg(test)]
mod tests {
    use model::Labels;
    use model::log::{Entry, LogBatchBuilder};

    use super::*;

    fn batch(app: &str, times: &[i64]) -> (LogBatch, Vec<Moment>) {
        let mut builder = LogBatchBuilder::default();
        let labels = Labels::from_pairs([("app", app)]);
        let stream = builder.stream(&labels);
        for timestamp_ns in times {
            builder.entry(stream, Entry { timestamp_ns: *timestamp_ns, line: "x", ..Entry::default() });
        }
        let hash = stream_hash(labels.as_bytes());
        (builder.finish(), times.iter().map(|time| (*time, hash)).collect())
    }

    #[test]
    fn lines_of_a_time_that_was_asked_for_are_noted_once() {
        let (late, tenant) = (LateLines::default(), TenantId::parse("a").unwrap());
        assert!(late.coming(&tenant).is_none(), "nobody follows");
        let follower = late.follow(&tenant);
        assert!(late.coming(&TenantId::parse("b").unwrap()).is_none());
        let come = |app: &str, times: &[i64]| {
            let (batch, moments) = batch(app, times);
            late.coming(&tenant).unwrap().came(&batch);
            moments
        };
        come("x", &[5]);
        assert!(follower.ask(100).is_empty(), "nothing was asked for before");
        let moments = come("x", &[99, 100, 7]);
        assert_eq!(Vec::from_iter(follower.ask(200)), [moments[2], moments[0]]);
        // What is refused does not come.
        drop(late.coming(&tenant));
        assert!(follower.ask(300).is_empty());
        drop(follower);
        assert!(late.coming(&tenant).is_none());
    }

    #[test]
    fn what_is_found_while_it_comes_is_not_late() {
        let (late, tenant) = (LateLines::default(), TenantId::parse("a").unwrap());
        let follower = late.follow(&tenant);
        assert!(follower.ask(100).is_empty());
        let (batch, moments) = batch("x", &[1, 2]);
        let coming = late.coming(&tenant).unwrap();
        follower.found(moments[..1].iter().copied());
        coming.came(&batch);
        assert_eq!(Vec::from_iter(follower.ask(100)), [moments[1]]);
        late.coming(&tenant).unwrap().came(&batch);
        follower.found(moments.iter().copied());
        assert!(follower.ask(100).is_empty());
        follower.note_again(moments.iter().copied().collect());
        assert_eq!(follower.ask(100).len(), 2);
    }

    #[test]
    fn so_many_are_noted_and_no_more() {
        let (late, tenant) = (LateLines::default(), TenantId::parse("a").unwrap());
        let follower = late.follow(&tenant);
        let _nothing = follower.ask(i64::MAX);
        let (batch, moments) = batch("x", &Vec::from_iter(0..MAX_NOTED as i64 + 5));
        late.coming(&tenant).unwrap().came(&batch);
        let noted = follower.ask(i64::MAX);
        assert_eq!((noted.len(), noted.first()), (MAX_NOTED, Some(&moments[5])));
    }
}
