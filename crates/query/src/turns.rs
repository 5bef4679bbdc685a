//! Whose query runs next: a number of turns, shared among tenants so that none of them stops the others.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use model::{Signal, TenantId};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::error::QueryError;

/// Queries of one tenant that may wait: what is more would wait longer than it may take.
const MAX_WAITING_PER_TENANT: usize = 1_000;

/// The turns of an engine.
///
/// One tenant never has all of them, so that another's query finds one free; and where queries wait, the tenant with
/// the fewest running comes first.
#[derive(Debug)]
pub(crate) struct Turns {
    per_tenant: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    next_ticket: u64,
    tenants: HashMap<TenantId, Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// By signal, in the order of [`Signal::ALL`].
    running: [usize; 3],
    waiting: VecDeque<Waiting>,
}

/// A query that waits.
#[derive(Debug)]
struct Waiting {
    ticket: u64,
    signal: Signal,
    /// How many of the signal the tenant may have at once.
    most: usize,
    sender: oneshot::Sender<Turn>,
}

/// The right to run, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    tenant: TenantId,
    signal: Signal,
}

impl Turns {
    pub(crate) fn new(total: usize) -> Arc<Self> {
        let total = total.max(1);
        let per_tenant = (total - total.div_ceil(4)).max(1);
        let state = State { free: total, next_ticket: 0, tenants: HashMap::new() };
        Arc::new(Self { per_tenant, state: Mutex::new(state) })
    }

    /// Waits for a turn; of the tenant's signal at most so many run at once. Who stops waiting loses nothing but its place.
    ///
    /// # Errors
    /// When too many queries of the tenant wait already.
    pub(crate) async fn take(
        self: &Arc<Self>,
        (tenant, signal): (TenantId, Signal),
        most: Option<usize>,
    ) -> Result<Turn, QueryError> {
        let most = most.unwrap_or(usize::MAX).max(1);
        let waiting = {
            let mut guard = self.state.lock();
            let state = &mut *guard;
            let queue = state.tenants.entry(tenant.clone()).or_default();
            queue.waiting.retain(|waiting| !waiting.sender.is_closed());
            let has_room = queue.has_room(self.per_tenant, signal, most);
            if state.free > 0 && has_room && queue.next(self.per_tenant).is_none() {
                state.free -= 1;
                queue.running[signal as usize] += 1;
                return Ok(Turn { turns: Arc::clone(self), tenant, signal });
            }
            if queue.waiting.len() >= MAX_WAITING_PER_TENANT {
                return Err(QueryError::Limited(format!(
                    "too many queries of the tenant wait for a turn: waiting={MAX_WAITING_PER_TENANT}; \
                     ask again later"
                )));
            }
            let (sender, receiver) = oneshot::channel();
            queue.waiting.push_back(Waiting { ticket: state.next_ticket, signal, most, sender });
            state.next_ticket += 1;
            receiver
        };
        waiting.await.map_err(|_| QueryError::Internal("a turn was not handed over".into()))
    }

    fn give_back(self: &Arc<Self>, tenant: &TenantId, signal: Signal) {
        let mut returned = Vec::new();
        {
            let mut state = self.state.lock();
            state.free += 1;
            if let Some(queue) = state.tenants.get_mut(tenant) {
                queue.running[signal as usize] -= 1;
            }
            while let Some((tenant, waiting)) = state.next(self.per_tenant) {
                let turn = Turn { turns: Arc::clone(self), tenant, signal: waiting.signal };
                returned.extend(waiting.sender.send(turn).err());
            }
            state.tenants.retain(|_, queue| queue.all() > 0 || !queue.waiting.is_empty());
        }
        // Of those who wait no longer; each comes back here, so not under the lock.
        drop(returned);
    }
}

impl Queue {
    /// How many run.
    fn all(&self) -> usize {
        self.running.iter().sum()
    }

    /// Whether another query of a signal may run beside those that do.
    fn has_room(&self, per_tenant: usize, signal: Signal, most: usize) -> bool {
        self.all() < per_tenant && self.running[signal as usize] < most
    }

    /// The place of the first that may run.
    fn next(&self, per_tenant: usize) -> Option<usize> {
        self.waiting.iter().position(|waiting| self.has_room(per_tenant, waiting.signal, waiting.most))
    }
}

impl State {
    /// Takes the one who waits that comes next, where a turn is free for it.
    fn next(&mut self, per_tenant: usize) -> Option<(TenantId, Waiting)> {
        if self.free == 0 {
            return None;
        }
        let first = self.tenants.iter_mut().filter_map(|(tenant, queue)| {
            let place = queue.next(per_tenant)?;
            Some(((queue.all(), queue.waiting.get(place)?.ticket), place, tenant, queue))
        });
        let (_, place, tenant, queue) = first.min_by_key(|(rank, ..)| *rank)?;
        let waiting = queue.waiting.remove(place)?;
        queue.running[waiting.signal as usize] += 1;
        self.free -= 1;
        Some((tenant.clone(), waiting))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.give_back(&self.tenant, self.signal);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn tenant(name: &str) -> (TenantId, Signal) {
        (TenantId::parse(name).unwrap(), Signal::Metrics)
    }

    #[tokio::test]
    async fn one_tenant_never_has_every_turn() {
        let turns = Turns::new(4);
        let (heavy, light) = (tenant("heavy"), tenant("light"));
        let mut held: Vec<Turn> =
            (0..3).map(|_| turns.take(heavy.clone(), None).now_or_never().unwrap().unwrap()).collect();
        let mut waiting: Vec<_> = (0..50).map(|_| Box::pin(turns.take(heavy.clone(), None))).collect();
        assert!(waiting.iter_mut().all(|one| one.as_mut().now_or_never().is_none()));
        let other = turns.take(light, None).now_or_never().expect("a turn is kept for others").unwrap();
        drop(other);
        held.pop();
        let mut handed = waiting.iter_mut().map(|one| one.as_mut().now_or_never());
        let first = handed.next().unwrap();
        assert!(first.is_some(), "who waits longest comes first");
        assert!(handed.all(|one| one.is_none()));
    }

    #[tokio::test]
    async fn the_tenant_with_the_fewest_running_comes_first() {
        let turns = Turns::new(2);
        let (a, b) =
            (turns.take(tenant("a"), None).await.unwrap(), turns.take(tenant("b"), None).await.unwrap());
        let mut a_waits = Box::pin(turns.take(tenant("a"), None));
        let mut b_waits = Box::pin(turns.take(tenant("b"), None));
        assert!(a_waits.as_mut().now_or_never().is_none() && b_waits.as_mut().now_or_never().is_none());
        drop(b);
        assert!(a_waits.as_mut().now_or_never().is_none(), "it has one already");
        let second = b_waits.as_mut().now_or_never().unwrap().unwrap();
        drop((a, second));
        assert!(a_waits.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_tenant_has_as_many_turns_as_it_may() {
        let turns = Turns::new(8);
        let first = turns.take(tenant("a"), Some(1)).now_or_never().unwrap().unwrap();
        let mut second = Box::pin(turns.take(tenant("a"), Some(1)));
        assert!(second.as_mut().now_or_never().is_none());
        let _other = turns.take(tenant("b"), None).now_or_never().expect("others do not wait").unwrap();
        let logs = (tenant("a").0, Signal::Logs);
        let _logs = turns.take(logs, Some(1)).now_or_never().expect("another signal is by itself").unwrap();
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(second.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_nothing_behind() {
        let turns = Turns::new(1);
        let held = turns.take(tenant("a"), None).await.unwrap();
        for _ in 0..2 * MAX_WAITING_PER_TENANT {
            assert!(turns.take(tenant("a"), None).now_or_never().is_none());
        }
        let mut waits = Box::pin(turns.take(tenant("b"), None));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(held);
        drop(waits.as_mut().now_or_never().expect("the turn is handed over"));
        assert!(turns.state.lock().tenants.is_empty(), "tenants that ask for nothing are forgotten");
        assert_eq!(turns.state.lock().free, 1);
    }

    #[tokio::test]
    async fn not_more_may_wait_than_there_is_room_for() {
        let turns = Turns::new(1);
        let _held = turns.take(tenant("a"), None).await.unwrap();
        let mut waiting: Vec<_> =
            (0..MAX_WAITING_PER_TENANT).map(|_| Box::pin(turns.take(tenant("a"), None))).collect();
        assert!(waiting.iter_mut().all(|one| one.as_mut().now_or_never().is_none()));
        let refused = turns.take(tenant("a"), None).await.unwrap_err();
        assert!(matches!(refused, QueryError::Limited(_)), "{refused}");
    }
}
