//! Whose query runs next: a number of turns, shared among tenants so that none of them stops the others.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use model::TenantId;
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
    running: usize,
    /// What the tenant may have at once, as its last query said.
    most: usize,
    waiting: VecDeque<(u64, oneshot::Sender<Turn>)>,
}

/// The right to run, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    tenant: TenantId,
}

impl Turns {
    pub(crate) fn new(total: usize) -> Arc<Self> {
        let total = total.max(1);
        let per_tenant = (total - total.div_ceil(4)).max(1);
        let state = State { free: total, next_ticket: 0, tenants: HashMap::new() };
        Arc::new(Self { per_tenant, state: Mutex::new(state) })
    }

    /// Waits for a turn; of the tenant at most so many run at once. Who stops waiting loses nothing but its place.
    ///
    /// # Errors
    /// When too many queries of the tenant wait already.
    pub(crate) async fn take(
        self: &Arc<Self>,
        tenant: TenantId,
        most: Option<usize>,
    ) -> Result<Turn, QueryError> {
        let waiting = {
            let mut guard = self.state.lock();
            let state = &mut *guard;
            let queue = state.tenants.entry(tenant.clone()).or_default();
            queue.most = most.map_or(self.per_tenant, |most| most.clamp(1, self.per_tenant));
            queue.waiting.retain(|(_, waiting)| !waiting.is_closed());
            if state.free > 0 && queue.running < queue.most && queue.waiting.is_empty() {
                state.free -= 1;
                queue.running += 1;
                return Ok(Turn { turns: Arc::clone(self), tenant });
            }
            if queue.waiting.len() >= MAX_WAITING_PER_TENANT {
                return Err(QueryError::Limited(format!(
                    "too many queries of the tenant wait for a turn: waiting={MAX_WAITING_PER_TENANT}; \
                     ask again later"
                )));
            }
            let (sender, receiver) = oneshot::channel();
            queue.waiting.push_back((state.next_ticket, sender));
            state.next_ticket += 1;
            receiver
        };
        waiting.await.map_err(|_| QueryError::Internal("a turn was not handed over".into()))
    }

    fn give_back(self: &Arc<Self>, tenant: &TenantId) {
        let mut returned = Vec::new();
        {
            let mut state = self.state.lock();
            state.free += 1;
            if let Some(queue) = state.tenants.get_mut(tenant) {
                queue.running -= 1;
            }
            while let Some((tenant, waiting)) = state.next() {
                let turn = Turn { turns: Arc::clone(self), tenant };
                returned.extend(waiting.send(turn).err());
            }
            state.tenants.retain(|_, queue| queue.running > 0 || !queue.waiting.is_empty());
        }
        // Of those who wait no longer; each comes back here, so not under the lock.
        drop(returned);
    }
}

impl State {
    /// Takes the one who waits that comes next, where a turn is free for it.
    fn next(&mut self) -> Option<(TenantId, oneshot::Sender<Turn>)> {
        if self.free == 0 {
            return None;
        }
        let may = self.tenants.iter_mut().filter(|(_, queue)| queue.running < queue.most);
        let first = may.filter_map(|(tenant, queue)| {
            let ticket = queue.waiting.front()?.0;
            Some(((queue.running, ticket), tenant, queue))
        });
        let (_, tenant, queue) = first.min_by_key(|(rank, ..)| *rank)?;
        let (_, waiting) = queue.waiting.pop_front()?;
        queue.running += 1;
        self.free -= 1;
        Some((tenant.clone(), waiting))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.give_back(&self.tenant);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
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
