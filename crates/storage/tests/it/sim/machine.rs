//! The machine that a simulation runs on: tasks in an order that the seed decides, virtual time, chance, and a record of
//! everything that happened. One thread; the same seed does the same again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::future::BoxFuture;
use model::time::{Clock, NS_PER_MS, TimestampNs};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use storage::Runtime;
use xxhash_rust::xxh3::Xxh3;

/// Who owns a task: the world itself, or one life of one node.
pub(crate) type Life = u64;

/// The owner of what no crash ends.
pub(crate) const WORLD: Life = 0;

/// The moment at which every world begins.
pub(crate) const START_NS: i64 = 1_769_860_800_000_000_000;

struct Task {
    life: Life,
    /// None while it is polled.
    future: Option<BoxFuture<'static, ()>>,
    waking: Arc<Waking>,
}

#[derive(Default)]
struct State {
    tasks: BTreeMap<u64, Task>,
    next_task: u64,
    timers: BTreeMap<(u64, u64), Waker>,
    next_timer: u64,
    /// Lives that ended by themselves, at a write of theirs.
    fallen: BTreeSet<Life>,
}

/// The machine; clones share it.
#[derive(Clone)]
pub(crate) struct Machine(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    ready: Mutex<Vec<u64>>,
    now_ns: AtomicU64,
    /// What the wall clock was set forward or back by.
    wall_offset_ns: AtomicI64,
    /// The latest wall clock that any engine may have seen.
    latest_wall_ns: AtomicI64,
    chance: Mutex<StdRng>,
    trace: Mutex<Trace>,
    failure: Mutex<Option<String>>,
}

struct Trace {
    hash: Xxh3,
    is_printed: bool,
    /// The last events, for the report of a failure.
    tail: std::collections::VecDeque<String>,
}

/// How many events a failure shows.
const TAIL_EVENTS: usize = 60;

struct Waking {
    task: u64,
    is_queued: AtomicBool,
    machine: Weak<Shared>,
}

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        if let Some(machine) = self.machine.upgrade()
            && !self.is_queued.swap(true, Ordering::Relaxed)
        {
            machine.ready.lock().push(self.task);
        }
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("now_ns", &self.now_ns()).finish_non_exhaustive()
    }
}

impl Machine {
    pub(crate) fn new(seed: u64, is_printed: bool) -> Self {
        let tail = std::collections::VecDeque::new();
        Self(Arc::new(Shared {
            state: Mutex::default(),
            ready: Mutex::default(),
            now_ns: AtomicU64::new(1),
            wall_offset_ns: AtomicI64::new(START_NS),
            latest_wall_ns: AtomicI64::new(START_NS),
            chance: Mutex::new(StdRng::seed_from_u64(seed)),
            trace: Mutex::new(Trace { hash: Xxh3::new(), is_printed, tail }),
            failure: Mutex::default(),
        }))
    }

    /// A number below `end`.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.0.chance.lock().random_range(0..end.max(1))
    }

    /// True in so many of a thousand cases.
    pub(crate) fn permille(&self, permille: u64) -> bool {
        permille > 0 && self.below(1_000) < permille
    }

    /// Notes what happened: it becomes part of the run's hash.
    pub(crate) fn note(&self, event: &fmt::Arguments<'_>) {
        let text = format!("{:>12} {event}", self.now_ns() / 1_000);
        let mut trace = self.0.trace.lock();
        trace.hash.update(text.as_bytes());
        if trace.is_printed {
            use std::io::Write;
            let _closed = writeln!(io::stderr(), "{text}");
        }
        if trace.tail.len() == TAIL_EVENTS {
            trace.tail.pop_front();
        }
        trace.tail.push_back(text);
    }

    /// Says that a promise was broken; the first one counts.
    pub(crate) fn fail(&self, promise: String) {
        self.0.failure.lock().get_or_insert(promise);
    }

    /// The promise that was broken.
    pub(crate) fn failure(&self) -> Option<String> {
        self.0.failure.lock().clone()
    }

    /// The hash of all that was noted.
    pub(crate) fn hash(&self) -> u64 {
        self.0.trace.lock().hash.digest()
    }

    /// The last events.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.0.trace.lock().tail.iter().cloned().collect()
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.0.now_ns.load(Ordering::Relaxed)
    }

    /// The wall clock.
    pub(crate) fn wall_ns(&self) -> i64 {
        let now = i64::try_from(self.now_ns()).unwrap_or(i64::MAX);
        let wall = self.0.wall_offset_ns.load(Ordering::Relaxed).saturating_add(now);
        self.0.latest_wall_ns.fetch_max(wall, Ordering::Relaxed);
        wall
    }

    /// The latest that the wall clock was since it was set.
    pub(crate) fn latest_wall_ns(&self) -> i64 {
        self.wall_ns().max(self.0.latest_wall_ns.load(Ordering::Relaxed))
    }

    /// Sets the wall clock forward or back; what is late from then on is counted anew.
    pub(crate) fn jump(&self, ns: i64) {
        self.0.wall_offset_ns.fetch_add(ns, Ordering::Relaxed);
        self.0.latest_wall_ns.store(i64::MIN, Ordering::Relaxed);
        self.wall_ns();
    }

    /// Starts a task.
    pub(crate) fn spawn(&self, life: Life, future: BoxFuture<'static, ()>) {
        let mut state = self.0.state.lock();
        let task = state.next_task;
        state.next_task += 1;
        let waking =
            Arc::new(Waking { task, is_queued: AtomicBool::new(true), machine: Arc::downgrade(&self.0) });
        state.tasks.insert(task, Task { life, future: Some(future), waking });
        drop(state);
        self.0.ready.lock().push(task);
    }

    /// Says that a life ended: the world takes its tasks away.
    pub(crate) fn fall(&self, life: Life) {
        self.0.state.lock().fallen.insert(life);
    }

    /// The lives that ended since the last call.
    pub(crate) fn fallen(&self) -> Vec<Life> {
        std::mem::take(&mut self.0.state.lock().fallen).into_iter().collect()
    }

    /// Ends all tasks of a life, wherever they wait.
    pub(crate) fn kill(&self, life: Life) {
        let mut state = self.0.state.lock();
        let doomed: Vec<u64> =
            state.tasks.iter().filter(|(_, task)| task.life == life).map(|(id, _)| *id).collect();
        let tasks: Vec<Task> = doomed.into_iter().filter_map(|id| state.tasks.remove(&id)).collect();
        drop(state);
        // What they hold may wake others.
        drop(tasks);
    }

    /// Polls one task that can go on; false when all wait.
    pub(crate) fn run_one(&self) -> bool {
        let mut ready = self.0.ready.lock();
        if ready.is_empty() {
            return false;
        }
        let index = usize::try_from(self.below(ready.len() as u64)).unwrap_or(0);
        let id = ready.swap_remove(index);
        drop(ready);
        let mut state = self.0.state.lock();
        let Some(task) = state.tasks.get_mut(&id) else { return true };
        let Some(mut future) = task.future.take() else { return true };
        let waking = Arc::clone(&task.waking);
        drop(state);
        waking.is_queued.store(false, Ordering::Relaxed);
        let waker = Waker::from(waking);
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        let mut state = self.0.state.lock();
        let done = if polled.is_ready() {
            state.tasks.remove(&id)
        } else if let Some(task) = state.tasks.get_mut(&id) {
            task.future = Some(future);
            return true;
        } else {
            None
        };
        drop(state);
        drop(done);
        true
    }

    /// Moves time to the next timer, if it is not after the limit; false where there is none.
    pub(crate) fn next_moment(&self, until_ns: u64) -> bool {
        let mut state = self.0.state.lock();
        let Some((&(deadline, timer), _)) = state.timers.first_key_value() else { return false };
        if deadline > until_ns {
            return false;
        }
        let waker = state.timers.remove(&(deadline, timer));
        drop(state);
        self.0.now_ns.fetch_max(deadline, Ordering::Relaxed);
        self.wall_ns();
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Lets time pass up to a moment at which nothing happens.
    pub(crate) fn pass_until(&self, until_ns: u64) {
        self.0.now_ns.fetch_max(until_ns, Ordering::Relaxed);
        self.wall_ns();
    }

    /// Waits so long.
    pub(crate) fn sleep(&self, ns: u64) -> Sleep {
        Sleep { machine: self.clone(), deadline: self.now_ns().saturating_add(ns), timer: None }
    }

    /// Lets the others go on a few times.
    pub(crate) async fn yield_some(&self) {
        for _ in 0..self.below(3) {
            let mut is_first = true;
            std::future::poll_fn(|context| {
                if std::mem::take(&mut is_first) {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
        }
    }
}

/// A timer.
pub(crate) struct Sleep {
    machine: Machine,
    deadline: u64,
    timer: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.machine.now_ns() >= self.deadline {
            return Poll::Ready(());
        }
        let shared = Arc::clone(&self.machine.0);
        let mut state = shared.state.lock();
        let timer = *self.timer.get_or_insert_with(|| {
            state.next_timer += 1;
            state.next_timer
        });
        state.timers.insert((self.deadline, timer), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            let waker = self.machine.0.state.lock().timers.remove(&(self.deadline, timer));
            drop(waker);
        }
    }
}

/// The runtime and the clock of one life.
#[derive(Clone, Debug)]
pub(crate) struct Living {
    pub(crate) machine: Machine,
    pub(crate) life: Life,
    pub(crate) born_ns: u64,
}

impl Runtime for Living {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.machine.spawn(self.life, task);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        let machine = self.machine.clone();
        self.machine.spawn(
            self.life,
            Box::pin(async move {
                if machine.permille(100) {
                    machine.sleep(machine.below(500_000_000)).await;
                }
                work();
            }),
        );
    }

    fn spawn_thread(&self, _: &str, task: BoxFuture<'static, ()>) -> io::Result<()> {
        self.machine.spawn(self.life, task);
        Ok(())
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Box::pin(self.machine.sleep(ns))
    }
}

impl Clock for Living {
    fn now(&self) -> TimestampNs {
        TimestampNs(self.machine.wall_ns())
    }

    fn monotonic_ns(&self) -> u64 {
        self.machine.now_ns() - self.born_ns
    }
}

/// Milliseconds as nanoseconds.
pub(crate) const fn ms(ms: u64) -> u64 {
    ms * NS_PER_MS.unsigned_abs()
}
