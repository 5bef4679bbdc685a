//! What happens in a world, step by step, as its seed decides; and now and then everything heals, settles, and is looked
//! at whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::Signal;
use storage::Storage;

use super::clients::{Client, some_range, some_rows};
use super::disk::End;
use super::items::Wanted;
use super::machine::{Life, ms};
use super::oracle::Partition;
use super::store::Weather;
use super::world::{GRACE_MS, Report, TENANTS, World, partitions};

/// Clients that a world has at a time.
const MOST_CLIENTS: usize = 12;

/// Steps between two times at which everything settles, about.
const SETTLE_EVERY: u64 = 250;

/// Manifest versions that may stay behind the newest.
const MOST_MANIFESTS: usize = 20;

impl World {
    /// Runs so many steps and settles at the end.
    pub(crate) fn run_steps(&mut self, steps: u64) -> Result<(), String> {
        self.note(&format_args!("seed {}: {} nodes, {:?}", self.seed, self.nodes.len(), self.fsync));
        for node in 0..self.nodes.len() {
            self.start(node);
        }
        for step in 0..steps {
            self.note(&format_args!("step {step}"));
            self.shared.report.lock().steps += 1;
            self.step()?;
            let polls = self.machine().below(60);
            self.run(polls)?;
        }
        self.settle()
    }

    /// What has happened so far.
    pub(crate) fn report(&self) -> Report {
        Report { store: self.store.counts(), ..*self.shared.report.lock() }
    }

    fn step(&mut self) -> Result<(), String> {
        let node = self.some_node();
        if self.nodes[node].alive.is_none() && self.machine().permille(300) {
            self.start(node);
        }
        match self.machine().below(1_000) {
            0..400 => self.client(node, "write"),
            400..560 => self.client(node, "read"),
            560..600 => self.client(node, "flush"),
            600..625 => self.client(node, "retain"),
            625..655 => self.client(node, "compact"),
            655..667 => self.client(node, "delete"),
            667..675 => self.client(node, "hold"),
            675..850 => self.pass(ms(1 + self.machine().below(3_000)))?,
            850..880 => self.pass(ms(1_000 * (1 + self.machine().below(120))))?,
            880..890 => self.pass(ms(60_000 * (1 + self.machine().below(30))))?,
            890..915 => self.change_weather(),
            915..920 => self.hold_requests(node),
            920..940 => self.trouble_disk(node),
            940..955 => self.crash(node, self.some_end()),
            955..970 => self.nodes[node].disk.end_after(self.machine().below(40)),
            970..985 => {
                if let Some(alive) = &self.nodes[node].alive {
                    self.store.end_after(alive.life, self.machine().below(60));
                }
            }
            985..992 => self.shut_down(node)?,
            992..995 => self.set_clock(),
            _ => {
                if self.machine().permille(1_000 * 200 / SETTLE_EVERY) {
                    self.settle()?;
                }
            }
        }
        Ok(())
    }

    fn some_node(&self) -> usize {
        usize::try_from(self.machine().below(self.nodes.len() as u64)).unwrap_or(0)
    }

    fn some_end(&self) -> End {
        if self.machine().permille(500) { End::Killed } else { End::PowerLoss }
    }

    fn some_partition(&self) -> Partition {
        let tenant = usize::try_from(self.machine().below(TENANTS.len() as u64)).unwrap_or(0);
        let signal = usize::try_from(self.machine().below(3)).unwrap_or(0);
        (tenant, Signal::ALL[signal])
    }

    /// A client does something, if the node is open.
    fn client(&mut self, node: usize, what: &'static str) {
        let Some((life, storage)) = self.open_node(node) else { return };
        if self.shared.waiting.lock().len() >= MOST_CLIENTS {
            return;
        }
        let partition = self.some_partition();
        let client = self.client_of(node, life, storage);
        match what {
            "write" => {
                let rows = some_rows(&self.shared, partition, &mut self.next_value);
                self.wait(life, what, client.write(partition, rows));
            }
            "read" => {
                let source = self.machine().permille(300).then(|| self.machine().below(5));
                let source = source.and_then(|source| u32::try_from(source).ok());
                let wanted = Wanted { range: some_range(&self.shared), source };
                self.wait(life, what, client.read(partition, wanted));
            }
            // What another node holds in its heads learns of a deletion later: the model knows one node's time alone.
            "delete" if self.nodes.len() == 1 => {
                let source = self.machine().permille(700).then(|| self.machine().below(5));
                let source = source.and_then(|source| u32::try_from(source).ok());
                let range = some_range(&self.shared);
                self.wait(life, what, client.delete(partition, source, range));
            }
            "hold" => self.wait(life, what, client.hold_or_release(partition.0)),
            "delete" => {}
            "flush" => self.wait(life, what, client.flush()),
            "compact" => self.wait(life, what, client.compact()),
            _ => self.wait(life, what, client.retain()),
        }
    }

    pub(crate) fn client_of(&self, node: usize, life: Life, storage: Storage) -> Client {
        Client { shared: self.shared.clone(), disk: self.nodes[node].disk.clone(), node, life, storage }
    }

    fn change_weather(&mut self) {
        let weather = match self.machine().below(9) {
            0..=3 => Weather::default(),
            4 | 5 => Weather { refused: 50, reply_lost: 50, late: 30, slow: 150, is_crawling: false },
            6 | 7 => Weather { refused: 700, reply_lost: 100, late: 50, slow: 100, is_crawling: false },
            _ => Weather { slow: 50, is_crawling: true, ..Weather::default() },
        };
        self.note(&format_args!("{weather:?}"));
        self.store.set_weather(weather);
    }

    /// Requests of a kind wait for a while: shorter than what the sweep's grace leaves to a commit.
    fn hold_requests(&mut self, node: usize) {
        let Some(alive) = &self.nodes[node].alive else { return };
        let machine = self.machine();
        let kinds = ["/manifest/", "/segments/", "put ", "list ", "delete "];
        let part = kinds[usize::try_from(machine.below(kinds.len() as u64)).unwrap_or(0)];
        let ns = machine.below(ms(GRACE_MS / 4));
        self.note(&format_args!("`{part}` of life {} waits", alive.life));
        self.store.hold(alive.life, part, ns);
    }

    fn trouble_disk(&mut self, node: usize) {
        let machine = self.machine().clone();
        let is_always = self.fsync == storage::Fsync::Always;
        let (ill, room, is_room_lost) = match machine.below(4) {
            // A failed sync may cost what was acknowledged where the log is synced by interval.
            0 if is_always => (200, None, false),
            1 => (0, usize::try_from(machine.below(20_000)).ok(), machine.permille(300)),
            _ => (0, None, false),
        };
        self.note(&format_args!("disk of node {node}: ill={ill} room={room:?} lost={is_room_lost}"));
        self.nodes[node].disk.trouble(ill, room, is_room_lost);
    }

    fn set_clock(&mut self) {
        let machine = self.machine().clone();
        let latest_ns = machine.latest_wall_ns();
        self.shared.oracle.lock().clock_set(latest_ns);
        let ns = i64::try_from(machine.below(ms(2 * 3_600_000))).unwrap_or(0);
        let jump = if machine.permille(500) { ns } else { -ns };
        self.note(&format_args!("the clock jumps by {jump}"));
        machine.jump(jump);
        self.shared.report.lock().jumps += 1;
    }

    /// Ends a life in good order; what it wrote is all in segments then, and its log is empty.
    fn shut_down(&mut self, node: usize) -> Result<(), String> {
        let Some((life, storage)) = self.open_node(node) else { return Ok(()) };
        if let Some(alive) = &mut self.nodes[node].alive {
            alive.is_closing = true;
        }
        // A replay that is not over is left to the next life, and the log with it.
        let is_replayed = storage.replay().done;
        let client = self.client_of(node, life, storage);
        let is_done = Arc::new(AtomicBool::new(false));
        self.wait(life, "shutdown", client.shutdown(Arc::clone(&is_done)));
        self.until("a shutdown", |world| {
            let waiting = world.shared.waiting.lock();
            !waiting.values().any(|waiting| waiting.life == life && waiting.what == "shutdown")
        })?;
        if let Some(alive) = self.nodes[node].alive.as_ref().filter(|_| !self.nodes[node].disk.was_ill()) {
            let files = self.nodes[node].disk.files(&format!("/node-{node}/wal"));
            if is_replayed && is_done.load(Ordering::Relaxed) && !files.is_empty() {
                return Err(format!("log files of life {} stay after a shutdown: {files:?}", alive.life));
            }
        }
        self.crash(node, self.some_end());
        Ok(())
    }

    /// Everything heals, comes to rest, and is looked at whole.
    fn settle(&mut self) -> Result<(), String> {
        self.note(&format_args!("everything settles"));
        self.heal();
        self.all_open()?;
        self.flush_all()?;
        for node in 0..self.nodes.len() {
            self.check_rest(node)?;
        }
        self.read_all()?;
        if self.machine().permille(400) {
            for node in 0..self.nodes.len() {
                self.client(node, "compact");
                self.until("a compaction", Self::is_calm)?;
            }
            self.read_all()?;
        }
        if self.machine().permille(400) {
            self.all_closed()?;
            self.all_open()?;
            // What every node has flushed, every node that opens afterwards sees.
            self.shared.oracle.lock().everywhere();
            self.read_all()?;
        }
        if self.machine().permille(400) {
            self.sweep_all()?;
            self.read_all()?;
        }
        self.shared.report.lock().settled += 1;
        Ok(())
    }

    fn heal(&mut self) {
        self.store.set_weather(Weather::default());
        self.store.end_none();
        self.store.let_go();
        for node in &self.nodes {
            node.disk.trouble(0, None, false);
            node.disk.end_none();
        }
    }

    /// Opens every node, waits for the replay of its log, and until no client waits any more.
    fn all_open(&mut self) -> Result<(), String> {
        loop {
            for node in 0..self.nodes.len() {
                if self.nodes[node].alive.is_none() {
                    self.start(node);
                }
            }
            let is_replayed = |world: &Self, node: usize| {
                world.open_node(node).is_none_or(|(_, storage)| storage.replay().done)
            };
            self.until("rest", |world| {
                world.is_calm() && (0..world.nodes.len()).all(|node| is_replayed(world, node))
            })?;
            if (0..self.nodes.len()).all(|node| self.open_node(node).is_some()) {
                return Ok(());
            }
        }
    }

    fn flush_all(&mut self) -> Result<(), String> {
        for node in 0..self.nodes.len() {
            loop {
                let Some((life, _)) = self.open_node(node) else {
                    self.all_open()?;
                    continue;
                };
                self.client(node, "flush");
                self.until("a flush", Self::is_calm)?;
                if self.open_node(node).is_some_and(|(now, _)| now == life) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// After a flush nothing is in memory, and one log file is left: the one that is being written.
    fn check_rest(&mut self, node: usize) -> Result<(), String> {
        if self.nodes[node].alive.is_none() {
            return Ok(());
        }
        for metric in ["stella_head_bytes", "stella_head_rows"] {
            let value = self.metric(node, metric);
            if value != 0.0 {
                return Err(format!("{metric} is {value} after everything was flushed"));
            }
        }
        let files = self.nodes[node].disk.files(&format!("/node-{node}/wal"));
        if files.len() > 1 && !self.nodes[node].disk.was_ill() {
            return Err(format!("log files stay after everything was flushed: {files:?}"));
        }
        self.nodes[node].is_log_doubtful &= files.len() > 1;
        Ok(())
    }

    /// Shuts all nodes down.
    fn all_closed(&mut self) -> Result<(), String> {
        for node in 0..self.nodes.len() {
            self.shut_down(node)?;
        }
        Ok(())
    }

    fn read_all(&mut self) -> Result<(), String> {
        for node in 0..self.nodes.len() {
            for partition in partitions() {
                let Some((life, storage)) = self.open_node(node) else { continue };
                let client = self.client_of(node, life, storage);
                self.wait(life, "read", client.read_all(partition));
                self.until("a read", Self::is_calm)?;
            }
        }
        Ok(())
    }

    /// After passes with the grace between them, the store has what the manifests name and nothing else.
    fn sweep_all(&mut self) -> Result<(), String> {
        for _ in 0..3 {
            for node in 0..self.nodes.len() {
                self.client(node, "retain");
                self.until("a pass", Self::is_calm)?;
            }
            self.pass(ms(GRACE_MS + 5_000))?;
        }
        // A pass sees it first, one finds that it may have been named since, and one that the grace is over.
        let left = self.store.unnamed_for(ms(2 * GRACE_MS + 3 * 30_000 + 10_000));
        if !left.is_empty() {
            return Err(format!("{left:?} stay, and no manifest names them"));
        }
        for (key, manifest) in &self.store.newest() {
            let versions = self.store.objects(&format!("{key}/manifest")).len();
            if versions > MOST_MANIFESTS {
                return Err(format!("{versions} versions of {key} stay, up to {}", manifest.version));
            }
        }
        Ok(())
    }
}
