//! Whose query runs next: a number of turns, shared among tenants so that none of them stops the others.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use model::{Signal, TenantId};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::error::QueryError;

/// Queries of one tenant that may wait, those of it and others included: what is more would wait longer than it may take.
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

/// A tenant whose turn a query takes, and how many of its signal the tenant may have at once.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) tenant: TenantId,
    pub(crate) most: Option<usize>,
}

#[derive(Debug)]
struct State {
    free: usize,
    next_ticket: u64,
    /// Of the tenants for which queries run.
    running: HashMap<TenantId, Running>,
    /// Those who wait, by whom they ask for: a tenant, or several at once. Tickets ascend in each.
    queues: HashMap<TenantId, VecDeque<Waiting>>,
    /// How many of them ask for a tenant, by itself or with others.
    waiting: HashMap<TenantId, usize>,
}

/// How many run for a tenant, by signal, in the order of [`Signal::ALL`].
type Running = [usize; 3];

/// A query that waits.
#[derive(Debug)]
struct Waiting {
    ticket: u64,
    signal: Signal,
    askers: Arc<[Asker]>,
    sender: oneshot::Sender<Turn>,
}

/// A place among those who wait, until it is dropped.
#[derive(Debug)]
struct Place<'a> {
    turns: &'a Turns,
    queue: &'a TenantId,
    ticket: u64,
}

/// The right to run, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    askers: Arc<[Asker]>,
    signal: Signal,
}

impl Turns {
    pub(crate) fn new(total: usize) -> Arc<Self> {
        let total = total.max(1);
        let per_tenant = (total - total.div_ceil(4)).max(1);
        let state = State {
            free: total,
            next_ticket: 0,
            running: HashMap::new(),
            queues: HashMap::new(),
            waiting: HashMap::new(),
        };
        Arc::new(Self { per_tenant, state: Mutex::new(state) })
    }

    /// Waits for a turn of a tenant, or of several: it counts as one of each of them. Who stops waiting loses nothing but its
    /// place.
    ///
    /// # Errors
    /// When too many queries of one of the tenants wait already.
    pub(crate) async fn take(
        self: &Arc<Self>,
        queue: &TenantId,
        askers: Vec<Asker>,
        signal: Signal,
    ) -> Result<Turn, QueryError> {
        let askers: Arc<[Asker]> = askers.into();
        let (_place, handed) = {
            let mut state = self.state.lock();
            let nobody_waits =
                state.queues.get(queue).is_none_or(|queue| self.next_of(&state.running, queue).is_none());
            if state.free > 0 && nobody_waits && self.has_room(&state.running, &askers, signal) {
                state.run(&askers, signal);
                return Ok(Turn { turns: Arc::clone(self), askers, signal });
            }
            let (ticket, handed) = state.wait(queue, askers, signal)?;
            (Place { turns: self, queue, ticket }, handed)
        };
        handed.await.map_err(|_| QueryError::Internal("a turn was not handed over".into()))
    }

    fn give_back(self: &Arc<Self>, askers: &[Asker], signal: Signal) {
        let mut returned = Vec::new();
        {
            let mut state = self.state.lock();
            state.end(askers, signal);
            while let Some(waiting) = self.next(&mut state) {
                let turn = Turn { turns: Arc::clone(self), askers: waiting.askers, signal: waiting.signal };
                returned.extend(waiting.sender.send(turn).err());
            }
        }
        // Of those who wait no longer; each comes back here, so not under the lock.
        drop(returned);
    }

    /// Whether another query may run beside those that do.
    fn has_room(&self, running: &HashMap<TenantId, Running>, askers: &[Asker], signal: Signal) -> bool {
        askers.iter().all(|asker| {
            let running = running.get(&asker.tenant).copied().unwrap_or_default();
            let most = asker.most.unwrap_or(usize::MAX).max(1);
            running.iter().sum::<usize>() < self.per_tenant && running[signal as usize] < most
        })
    }

    /// The place of the first in a queue that may run.
    fn next_of(&self, running: &HashMap<TenantId, Running>, queue: &VecDeque<Waiting>) -> Option<usize> {
        queue.iter().position(|waiting| self.has_room(running, &waiting.askers, waiting.signal))
    }

    /// Takes the one who waits that comes next, where a turn is free for it.
    fn next(&self, state: &mut State) -> Option<Waiting> {
        if state.free == 0 {
            return None;
        }
        let State { running, queues, .. } = &*state;
        let all = |asker: &Asker| running.get(&asker.tenant).map_or(0, |running| running.iter().sum());
        let first = queues.iter().filter_map(|(name, queue)| {
            let place = self.next_of(running, queue)?;
            let waiting = queue.get(place)?;
            let most_running: usize = waiting.askers.iter().map(all).max()?;
            Some(((most_running, waiting.ticket), place, name))
        });
        let (_, place, name) = first.min_by_key(|(rank, ..)| *rank)?;
        let name = name.clone();
        let waiting = state.leave(&name, place)?;
        state.run(&waiting.askers, waiting.signal);
        Some(waiting)
    }
}

impl State {
    /// Gives somebody a ticket, and where the turn will be handed over.
    ///
    /// # Errors
    /// When too many wait already.
    fn wait(
        &mut self,
        queue: &TenantId,
        askers: Arc<[Asker]>,
        signal: Signal,
    ) -> Result<(u64, oneshot::Receiver<Turn>), QueryError> {
        let has_most = |asker: &&Asker| {
            self.waiting.get(&asker.tenant).is_some_and(|waiting| *waiting >= MAX_WAITING_PER_TENANT)
        };
        if let Some(Asker { tenant, .. }) = askers.iter().find(has_most) {
            return Err(QueryError::Limited(format!(
                "too many queries of the tenant wait for a turn: tenant={tenant} \
                 waiting={MAX_WAITING_PER_TENANT}; ask again later"
            )));
        }
        for asker in askers.iter() {
            *self.waiting.entry(asker.tenant.clone()).or_default() += 1;
        }
        let (sender, handed) = oneshot::channel();
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let waiting = Waiting { ticket, signal, askers, sender };
        self.queues.entry(queue.clone()).or_default().push_back(waiting);
        Ok((ticket, handed))
    }

    /// Takes the one at a place of a queue out of it.
    fn leave(&mut self, queue: &TenantId, place: usize) -> Option<Waiting> {
        let waits = self.queues.get_mut(queue)?;
        let left = waits.remove(place)?;
        if waits.is_empty() {
            self.queues.remove(queue);
        }
        for asker in left.askers.iter() {
            if let Some(waiting) = self.waiting.get_mut(&asker.tenant) {
                *waiting -= 1;
                if *waiting == 0 {
                    self.waiting.remove(&asker.tenant);
                }
            }
        }
        Some(left)
    }

    fn run(&mut self, askers: &[Asker], signal: Signal) {
        self.free -= 1;
        for asker in askers {
            self.running.entry(asker.tenant.clone()).or_default()[signal as usize] += 1;
        }
    }

    fn end(&mut self, askers: &[Asker], signal: Signal) {
        self.free += 1;
        for asker in askers {
            if let Some(running) = self.running.get_mut(&asker.tenant) {
                running[signal as usize] -= 1;
                if *running == Running::default() {
                    self.running.remove(&asker.tenant);
                }
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.state.lock();
        let Some(queue) = state.queues.get(self.queue) else { return };
        // Whoever was handed a turn is in no queue any more.
        if let Ok(place) = queue.binary_search_by_key(&self.ticket, |waiting| waiting.ticket) {
            state.leave(self.queue, place);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.give_back(&self.askers, self.signal);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// A turn of the tenants, of which each may have so many.
    async fn take_of(
        turns: &Arc<Turns>,
        names: &str,
        most: Option<usize>,
        signal: Signal,
    ) -> Result<Turn, QueryError> {
        let tenants = names.split(',').map(|name| TenantId::parse(name).unwrap());
        let askers = tenants.map(|tenant| Asker { tenant, most }).collect();
        turns.take(&TenantId::parse(&names.replace(',', "_")).unwrap(), askers, signal).await
    }

    async fn take(turns: &Arc<Turns>, names: &str) -> Result<Turn, QueryError> {
        take_of(turns, names, None, Signal::Metrics).await
    }

    #[tokio::test]
    async fn one_tenant_never_has_every_turn() {
        let turns = Turns::new(4);
        let mut held: Vec<Turn> =
            (0..3).map(|_| take(&turns, "heavy").now_or_never().unwrap().unwrap()).collect();
        let mut waiting: Vec<_> = (0..50).map(|_| Box::pin(take(&turns, "heavy"))).collect();
        assert!(waiting.iter_mut().all(|one| one.as_mut().now_or_never().is_none()));
        let other = take(&turns, "light").now_or_never().expect("a turn is kept for others").unwrap();
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
        let (a, b) = (take(&turns, "a").await.unwrap(), take(&turns, "b").await.unwrap());
        let mut a_waits = Box::pin(take(&turns, "a"));
        let mut b_waits = Box::pin(take(&turns, "b"));
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
        let first = take_of(&turns, "a", Some(1), Signal::Metrics).now_or_never().unwrap().unwrap();
        let mut second = Box::pin(take_of(&turns, "a", Some(1), Signal::Metrics));
        assert!(second.as_mut().now_or_never().is_none());
        let _other = take(&turns, "b").now_or_never().expect("others do not wait").unwrap();
        let logs = take_of(&turns, "a", Some(1), Signal::Logs);
        let _logs = logs.now_or_never().expect("another signal is by itself").unwrap();
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(second.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_turn_of_several_tenants_is_one_of_each() {
        let turns = Turns::new(8);
        let both = take_of(&turns, "a,b", Some(1), Signal::Metrics).now_or_never().unwrap().unwrap();
        for names in ["a", "b", "a,c", "b,c"] {
            let another = take_of(&turns, names, Some(1), Signal::Metrics).now_or_never();
            assert!(another.is_none(), "{names} runs beside a query of a and b");
        }
        let mut waits = Box::pin(take_of(&turns, "a,c", Some(1), Signal::Metrics));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(both);
        assert!(waits.as_mut().now_or_never().is_some());
        let held: Vec<_> = ["a", "a,b", "a,c", "a,b,c", "a", "a"]
            .map(|names| take(&turns, names).now_or_never().unwrap().unwrap())
            .into();
        assert!(take(&turns, "a,d").now_or_never().is_none(), "a has as many as one tenant may have");
        assert!(take(&turns, "d").now_or_never().is_some(), "a turn is kept for others");
        drop(held);
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_nothing_behind() {
        let turns = Turns::new(1);
        let held = take(&turns, "a").await.unwrap();
        for _ in 0..2 * MAX_WAITING_PER_TENANT {
            assert!(take(&turns, "a").now_or_never().is_none());
        }
        let mut waits = Box::pin(take(&turns, "b"));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(held);
        drop(waits.as_mut().now_or_never().expect("the turn is handed over"));
        let state = turns.state.lock();
        assert!(
            state.queues.is_empty() && state.waiting.is_empty() && state.running.is_empty(),
            "tenants that ask for nothing are forgotten"
        );
        assert_eq!(state.free, 1);
    }

    #[tokio::test]
    async fn not_more_may_wait_than_there_is_room_for() {
        let turns = Turns::new(1);
        let _held = take(&turns, "a").await.unwrap();
        let mut waiting: Vec<_> = (0..MAX_WAITING_PER_TENANT).map(|_| Box::pin(take(&turns, "a"))).collect();
        assert!(waiting.iter_mut().all(|one| one.as_mut().now_or_never().is_none()));
        let refused = take(&turns, "a").await.unwrap_err();
        assert!(matches!(refused, QueryError::Limited(_)), "{refused}");
    }
    #[tokio::test]
    async fn who_waits_for_several_tenants_waits_for_each_of_them() {
        let turns = Turns::new(1);
        let held = take(&turns, "a").await.unwrap();
        let sets = ["a", "a,b", "a,c", "a,b,c"];
        let mut waiting: Vec<_> =
            (0..MAX_WAITING_PER_TENANT).map(|i| Box::pin(take(&turns, sets[i % 4]))).collect();
        assert!(waiting.iter_mut().all(|one| one.as_mut().now_or_never().is_none()));
        for names in ["a", "a,b", "d,a"] {
            let refused = take(&turns, names).await.unwrap_err();
            assert!(refused.to_string().contains("tenant=a "), "{names}: {refused}");
        }
        assert!(take(&turns, "b,c").now_or_never().is_none(), "half of them wait for b, and half for c");
        waiting.pop();
        assert!(take(&turns, "a").now_or_never().is_none(), "who has gone leaves room");
        drop((waiting, held));
        let state = turns.state.lock();
        assert!(state.queues.is_empty() && state.waiting.is_empty(), "nobody waits any more");
    }
}
