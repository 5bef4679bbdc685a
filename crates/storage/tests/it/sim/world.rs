//! The world of a simulation: nodes with disks, the store that they share, the model, and how lives begin and end. What
//! happens in it, and when, is decided in `plan`; what its clients do is in `clients`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use model::limits::{KeepRule, Limits, LimitsSource, Retention};
use model::time::NS_PER_S;
use model::{Signal, TenantContext, TenantId};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use storage::{CompactionSettings, DiskSettings, StoreSettings, WalSettings};
use storage::{
    Components, FlushSettings, Fsync, ReadSettings, RetentionSettings, Settings, Storage, StorageError,
};

use super::disk::{End, NodeDisk};
use super::items::matcher;
use super::machine::{Life, Living, Machine, ms};
use super::oracle::{Oracle, Partition};
use super::store::{Counts, SharedStore};

/// The tenants' names.
pub(crate) const TENANTS: [&str; 3] = ["ada", "bob", "cy"];

const MINUTE_NS: i64 = 60 * NS_PER_S;

/// How long an object that no manifest names stays.
pub(crate) const GRACE_MS: u64 = 90_000;

/// How the log is synced where it is not before every reply.
pub(crate) const INTERVAL: Fsync = Fsync::IntervalMs(200);

/// Longer than any story.
const NEVER_MS: u64 = 1_000 * 60 * 60 * 1_000;

/// The longest that anything may take that a client waits for.
const STUCK_NS: u64 = ms(60 * 60 * 1_000);

/// What happened, for whoever asks whether anything did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) steps: u64,
    pub(crate) writes: u64,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) reads: u64,
    pub(crate) rows: u64,
    pub(crate) flushes: u64,
    pub(crate) passes: u64,
    pub(crate) expired: u64,
    pub(crate) compactions: u64,
    /// Merges that were asked for; those of the background are not counted.
    pub(crate) merges: u64,
    pub(crate) deletions: u64,
    pub(crate) holds: u64,
    pub(crate) kills: u64,
    pub(crate) power_losses: u64,
    pub(crate) shutdowns: u64,
    pub(crate) failed_opens: u64,
    pub(crate) jumps: u64,
    pub(crate) settled: u64,
    pub(crate) store: Counts,
}

impl Report {
    pub(crate) fn add(&mut self, other: &Report) {
        self.steps += other.steps;
        self.writes += other.writes;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.reads += other.reads;
        self.rows += other.rows;
        self.flushes += other.flushes;
        self.passes += other.passes;
        self.expired += other.expired;
        self.compactions += other.compactions;
        self.merges += other.merges;
        self.deletions += other.deletions;
        self.holds += other.holds;
        self.kills += other.kills;
        self.power_losses += other.power_losses;
        self.shutdowns += other.shutdowns;
        self.failed_opens += other.failed_opens;
        self.jumps += other.jumps;
        self.settled += other.settled;
        self.store.requests += other.store.requests;
        self.store.faults += other.store.faults;
        self.store.commits += other.store.commits;
        self.store.deleted += other.store.deleted;
    }
}

/// Limits by tenant: how long each keeps its signals.
#[derive(Debug)]
pub(crate) struct TenantLimits(Vec<Arc<Limits>>);

impl TenantLimits {
    fn new() -> Self {
        let keep = |metrics: Option<i64>, logs: Option<i64>, traces: Option<i64>| {
            let ns = |minutes: Option<i64>| minutes.map(|minutes| minutes * MINUTE_NS);
            let retention = Retention { metrics_ns: ns(metrics), logs_ns: ns(logs), traces_ns: ns(traces) };
            let mut limits = Limits { retention, ..Limits::default() };
            // One source is kept for less where there is a long period.
            for (signal, source, least) in [(Signal::Metrics, 2, 300), (Signal::Logs, 1, 240)] {
                if retention.of(signal) >= ns(Some(least)) {
                    let (matchers, period_ns) = (vec![matcher(signal, source)], ns(Some(60)));
                    limits.keep_rules.of_mut(signal).push(KeepRule {
                        matchers,
                        of_everyone: false,
                        priority: 1,
                        period_ns,
                    });
                }
            }
            Arc::new(limits)
        };
        Self(vec![
            keep(Some(60), Some(60), Some(60)),
            keep(Some(300), None, Some(120)),
            keep(None, Some(240), None),
        ])
    }

    pub(crate) fn of(&self, tenant: usize) -> &Arc<Limits> {
        &self.0[tenant]
    }

    /// The source of a partition that is kept for a time of its own.
    pub(crate) fn ruled(&self, (tenant, signal): Partition) -> Option<(u32, i64)> {
        let rule = self.of(tenant).keep_rules.of(signal).first()?;
        Some((rule.matchers.first()?.value.parse().ok()?, rule.period_ns?))
    }
}

impl LimitsSource for TenantLimits {
    fn limits(&self, tenant: &TenantId) -> Arc<Limits> {
        let index = TENANTS.iter().position(|name| *name == tenant.as_str());
        Arc::clone(&self.0[index.expect("there are no other tenants")])
    }
}

/// What a node and its clients share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) machine: Machine,
    pub(crate) oracle: Arc<Mutex<Oracle>>,
    pub(crate) report: Arc<Mutex<Report>>,
    pub(crate) limits: Arc<TenantLimits>,
    /// What clients wait for, and since when.
    pub(crate) waiting: Arc<Mutex<BTreeMap<u64, Waiting>>>,
}

/// Somebody who waits.
pub(crate) struct Waiting {
    pub(crate) what: &'static str,
    pub(crate) life: Life,
    pub(crate) since_ns: u64,
}

impl Shared {
    pub(crate) fn context(&self, tenant: usize) -> TenantContext {
        let id = TenantId::parse(TENANTS[tenant]).unwrap();
        TenantContext::new(id, Arc::clone(self.limits.of(tenant)))
    }
}

/// A life of a node, from its start on.
pub(crate) struct Alive {
    pub(crate) life: Life,
    opened: Arc<Mutex<Option<Result<Storage, StorageError>>>>,
    /// None while it opens.
    pub(crate) storage: Option<Storage>,
    pub(crate) registry: Registry,
    pub(crate) is_closing: bool,
    is_replayed: bool,
}

/// A node.
pub(crate) struct Node {
    pub(crate) disk: NodeDisk,
    pub(crate) alive: Option<Alive>,
    settings: Settings,
    /// Whether its log may be damaged: the disk was ill, the power went, or a torn end was
    /// not cut off because the next life ended too soon.
    pub(crate) is_log_doubtful: bool,
}

/// All of it.
pub(crate) struct World {
    pub(crate) shared: Shared,
    pub(crate) store: SharedStore,
    pub(crate) nodes: Vec<Node>,
    pub(crate) seed: u64,
    next_life: Life,
    pub(crate) next_value: u64,
    pub(crate) fsync: Fsync,
}

impl World {
    /// The world that a seed decides.
    pub(crate) fn new(seed: u64, is_printed: bool) -> Self {
        let machine = Machine::new(seed, is_printed);
        let fsync = if machine.permille(250) { INTERVAL } else { Fsync::Always };
        let node_count = if machine.permille(250) { 2 } else { 1 };
        Self::with(seed, machine, fsync, node_count)
    }

    /// A world with so many nodes.
    pub(crate) fn with(seed: u64, machine: Machine, fsync: Fsync, node_count: usize) -> Self {
        let nodes = (0..node_count)
            .map(|number| Node {
                disk: NodeDisk::new(&machine),
                alive: None,
                settings: settings(&machine, number, fsync),
                is_log_doubtful: false,
            })
            .collect();
        let store = SharedStore::new(&machine, GRACE_MS);
        let shared = Shared {
            machine,
            oracle: Arc::default(),
            report: Arc::default(),
            limits: Arc::new(TenantLimits::new()),
            waiting: Arc::default(),
        };
        Self { shared, store, nodes, seed, next_life: 1, next_value: 0, fsync }
    }

    /// Leaves flushes, merges and passes to those who ask for them, in lives that begin later; two segments make one.
    pub(crate) fn without_background(&mut self) {
        for node in &mut self.nodes {
            node.settings.flush.max_head_age_ms = NEVER_MS;
            node.settings.retention.interval_ms = NEVER_MS;
            node.settings.compaction.interval_ms = NEVER_MS;
            node.settings.compaction.fan_in = 2;
        }
    }

    /// Sets the sweep's grace, in lives that begin later.
    pub(crate) fn set_grace(&mut self, grace_ms: u64) {
        self.store.set_grace(grace_ms);
        for node in &mut self.nodes {
            node.settings.retention.sweep_grace_ms = grace_ms;
        }
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.shared.machine
    }

    pub(crate) fn note(&self, event: &fmt::Arguments<'_>) {
        self.shared.machine.note(event);
    }

    /// The storage of a node that is open.
    pub(crate) fn open_node(&self, node: usize) -> Option<(Life, Storage)> {
        let alive = self.nodes[node].alive.as_ref().filter(|alive| !alive.is_closing)?;
        Some((alive.life, alive.storage.clone()?))
    }

    /// Begins a life of a node that has none.
    pub(crate) fn start(&mut self, node: usize) {
        let life = self.next_life;
        self.next_life += 1;
        let machine = self.machine().clone();
        let living = Living { machine: machine.clone(), life, born_ns: machine.now_ns() };
        let components = Components {
            runtime: Arc::new(living.clone()),
            disk: self.nodes[node].disk.of(life),
            clock: Arc::new(living),
            store: self.store.of(life),
            limits: Arc::clone(&self.shared.limits) as _,
            seed: self.seed,
        };
        let settings = self.nodes[node].settings.clone();
        let opened = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&opened);
        self.wait(life, "open", async move {
            let storage = Storage::open(settings, components).await;
            *slot.lock() = Some(storage);
        });
        self.note(&format_args!("node {node} starts life {life}"));
        self.nodes[node].alive = Some(Alive {
            life,
            opened,
            storage: None,
            registry: Registry::default(),
            is_closing: false,
            is_replayed: false,
        });
    }

    /// Runs what a client waits for, as a part of a life.
    pub(crate) fn wait(
        &self,
        life: Life,
        what: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let mut waiting = self.shared.waiting.lock();
        let number = waiting.last_key_value().map_or(0, |(last, _)| last + 1);
        waiting.insert(number, Waiting { what, life, since_ns: self.machine().now_ns() });
        drop(waiting);
        let all = Arc::clone(&self.shared.waiting);
        self.machine().spawn(
            life,
            Box::pin(async move {
                task.await;
                all.lock().remove(&number);
            }),
        );
    }

    /// Ends the life of a node here and now.
    pub(crate) fn crash(&mut self, node: usize, end: End) {
        let Some(alive) = self.nodes[node].alive.take() else { return };
        let life = alive.life;
        self.note(&format_args!("node {node} life {life} ends: {end:?}"));
        self.machine().kill(life);
        let was_ill = self.nodes[node].disk.was_ill();
        self.nodes[node].is_log_doubtful |= was_ill || end == End::PowerLoss || !alive.is_replayed;
        drop(alive);
        self.nodes[node].disk.end(end);
        self.shared.waiting.lock().retain(|_, waiting| waiting.life != life);
        let unsynced_ns = match self.fsync {
            Fsync::IntervalMs(interval_ms) => ms(interval_ms) + 1,
            Fsync::Always => 0,
        };
        self.shared.oracle.lock().ended((node, life), self.machine().now_ns(), unsynced_ns, end);
        let mut report = self.shared.report.lock();
        match end {
            End::Killed => report.kills += 1,
            End::PowerLoss => report.power_losses += 1,
        }
    }

    /// Sees to what happened at the last poll: lives that ended, and lives that are open now.
    fn attend(&mut self) {
        for life in self.machine().fallen() {
            let node = self.nodes.iter().position(|node| node.alive.as_ref().is_some_and(|a| a.life == life));
            if let Some(node) = node {
                let end = if self.machine().permille(500) { End::Killed } else { End::PowerLoss };
                self.crash(node, end);
            }
        }
        for number in 0..self.nodes.len() {
            let node = &mut self.nodes[number];
            let Some(alive) = &mut node.alive else { continue };
            let opened = alive.opened.lock().take();
            match opened {
                None => {
                    let replay = alive.storage.as_ref().map(Storage::replay).filter(|replay| replay.done);
                    let Some(replay) = replay.filter(|_| !alive.is_replayed) else { continue };
                    alive.is_replayed = true;
                    self.shared.oracle.lock().replayed(number, self.shared.machine.now_ns());
                    if replay.damaged > 0 && !node.is_log_doubtful && !node.disk.was_ill() {
                        self.shared
                            .machine
                            .fail(format!("the log is damaged, the disk was well: {replay:?}"));
                    }
                }
                Some(Ok(storage)) => {
                    storage.register_metrics(&mut alive.registry);
                    alive.storage = Some(storage);
                    self.shared.machine.note(&format_args!("node {number} is open"));
                }
                Some(Err(error)) => {
                    self.shared.machine.note(&format_args!("node {number} does not open: {error}"));
                    self.crash(number, End::Killed);
                    let mut report = self.shared.report.lock();
                    report.failed_opens += 1;
                    // It ended by itself, and is none of the kills.
                    report.kills -= 1;
                }
            }
        }
    }

    /// Lets tasks run so many times, without time passing; false when all wait.
    pub(crate) fn run(&mut self, polls: u64) -> Result<bool, String> {
        for _ in 0..polls {
            if !self.machine().run_one() {
                return Ok(false);
            }
            self.attend();
            if let Some(broken) = self.machine().failure() {
                return Err(broken);
            }
        }
        Ok(true)
    }

    /// Lets time pass, with all that happens in it.
    pub(crate) fn pass(&mut self, ns: u64) -> Result<(), String> {
        let until_ns = self.machine().now_ns() + ns;
        loop {
            self.run_all()?;
            if !self.machine().next_moment(until_ns) {
                break;
            }
        }
        self.machine().pass_until(until_ns);
        self.check_stuck()
    }

    fn run_all(&mut self) -> Result<(), String> {
        const MOST: u64 = 2_000_000;
        if self.run(MOST)? { Err(format!("after {MOST} polls something is still busy")) } else { Ok(()) }
    }

    /// Lets time pass until something holds.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) -> Result<(), String> {
        let until_ns = self.machine().now_ns() + STUCK_NS;
        loop {
            if is_so(self) {
                return Ok(());
            }
            if !self.run(1)? {
                if is_so(self) {
                    return Ok(());
                }
                if !self.machine().next_moment(until_ns) {
                    return Err(format!("stuck: {what} does not come to pass in an hour"));
                }
            }
        }
    }

    fn check_stuck(&self) -> Result<(), String> {
        let now_ns = self.machine().now_ns();
        let waiting = self.shared.waiting.lock();
        let stuck = waiting.values().find(|waiting| now_ns - waiting.since_ns > STUCK_NS);
        stuck.map_or(Ok(()), |stuck| Err(format!("stuck: somebody waits for `{}` for an hour", stuck.what)))
    }

    /// Whether nobody waits for anything.
    pub(crate) fn is_calm(&self) -> bool {
        self.shared.waiting.lock().is_empty()
    }

    /// The sum of a metric over its labels.
    pub(crate) fn metric(&self, node: usize, name: &str) -> f64 {
        let Some(alive) = &self.nodes[node].alive else { return 0.0 };
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &alive.registry).unwrap();
        let values = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
        });
        values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

fn settings(machine: &Machine, number: usize, fsync: Fsync) -> Settings {
    let max_head_bytes = 4_000 << machine.below(5);
    Settings {
        data_dir: format!("/node-{number}").into(),
        lock_wait_ms: 100,
        wal: WalSettings { fsync, segment_bytes: 2_000 << machine.below(5) },
        flush: FlushSettings {
            max_head_bytes,
            max_head_age_ms: 5_000 << machine.below(4),
            max_total_head_bytes: max_head_bytes * 6,
        },
        // Below the mark nothing is written; without one the disk fills to its end.
        disk: DiskSettings {
            min_free_bytes: Some(machine.below(2) * 8_000),
            reserve_bytes: machine.below(2) * 2_000,
            store_folder: None,
        },
        compaction: CompactionSettings {
            interval_ms: 5_000 << machine.below(6),
            max_concurrent: 1 + usize::try_from(machine.below(2)).unwrap_or(0),
            fan_in: 2 + usize::try_from(machine.below(4)).unwrap_or(0),
            max_segment_bytes: 20_000 << machine.below(6),
            settle_ms: 60_000,
        },
        retention: RetentionSettings { interval_ms: 30_000, sweep_grace_ms: GRACE_MS, shorten_grace_ms: 0 },
        store: StoreSettings { retry_backoff_ms: 100 },
        // Without a cache series are picked from files each time.
        read: ReadSettings { cache_bytes: machine.below(2) << 24, ..Settings::default().read },
        ..Settings::default()
    }
}

/// All partitions that there are.
pub(crate) fn partitions() -> impl Iterator<Item = Partition> {
    (0..TENANTS.len()).flat_map(|tenant| Signal::ALL.map(|signal| (tenant, signal)))
}
