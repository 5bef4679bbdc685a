//! What simulations found of one node, each told as the shortest story that shows it, under several seeds: chance decides
//! what a crash leaves.

use std::sync::Arc;

use model::{Signal, TimeRange};
use storage::Fsync;

use super::clients::Client;
use super::disk::End;
use super::items::{Row, Wanted};
use super::machine::{Machine, START_NS, ms};
use super::oracle::Partition;
use super::store::Weather;
use super::world::{INTERVAL, World};

pub(crate) const LOGS: Partition = (0, Signal::Logs);
pub(crate) const METRICS: Partition = (0, Signal::Metrics);

/// A world with one node that is open.
fn opened(seed: u64, fsync: Fsync) -> World {
    let mut world = World::with(seed, Machine::new(seed, false), fsync, 1);
    reopen(&mut world);
    world
}

fn reopen(world: &mut World) {
    world.start(0);
    let is_open = |world: &World| world.open_node(0).is_some_and(|(_, storage)| storage.replay().done);
    world.until("an open node", is_open).unwrap();
}

fn client(world: &World) -> (u64, Client) {
    let (life, storage) = world.open_node(0).unwrap();
    (life, world.client_of(0, life, storage))
}

fn write(world: &mut World, value: u64) {
    let timestamp_ns = START_NS + i64::try_from(value).unwrap();
    write_to(world, LOGS, Row { source: 0, timestamp_ns, value });
}

fn write_to(world: &mut World, partition: Partition, row: Row) {
    let (life, client) = client(world);
    world.wait(life, "write", client.write(partition, vec![row]));
}

/// Reads everything, and holds it against the model.
fn read(world: &mut World) {
    read_from(world, LOGS);
}

fn read_from(world: &mut World, partition: Partition) {
    let (life, client) = client(world);
    world.wait(life, "read", client.read(partition, Wanted { range: TimeRange::ALL, source: None }));
    world.until("a read", World::is_calm).unwrap();
}

#[test]
fn what_a_replay_showed_survives_the_power() {
    for seed in 0..20 {
        for fsync in [Fsync::Always, INTERVAL] {
            let mut world = opened(seed, fsync);
            write(&mut world, 1);
            world.until("a write", World::is_calm).unwrap();
            // The process ends before the sync of this one.
            write(&mut world, 2);
            world.nodes[0].disk.end_after(1);
            world.run(1_000).unwrap();
            world.crash(0, End::Killed);
            reopen(&mut world);
            read(&mut world);
            // Longer than an interval of the log, and too short for a flush.
            world.pass(ms(1_000)).unwrap();
            world.crash(0, End::PowerLoss);
            reopen(&mut world);
            read(&mut world);
        }
    }
}

#[test]
fn a_sample_that_is_replayed_does_not_replace_one_that_was_written_since() {
    for seed in 0..20 {
        let mut world = opened(seed, Fsync::Always);
        write_to(&mut world, METRICS, Row { source: 0, timestamp_ns: START_NS, value: 1 });
        world.until("a write", World::is_calm).unwrap();
        world.crash(0, End::Killed);
        world.start(0);
        world.until("an open node", |world| world.open_node(0).is_some()).unwrap();
        write_to(&mut world, METRICS, Row { source: 0, timestamp_ns: START_NS, value: 2 });
        let is_replayed = |world: &World| world.open_node(0).is_some_and(|(_, s)| s.replay().done);
        world.until("a write", |world| world.is_calm() && is_replayed(world)).unwrap();
        read_from(&mut world, METRICS);
    }
}

#[test]
fn segments_stand_in_the_order_of_the_log_also_when_writers_are_flushed_during_its_replay() {
    let row = |value: u64| {
        let timestamp_ns = START_NS + i64::try_from(ms(1_000 * (value % 3))).unwrap();
        Row { source: 0, timestamp_ns, value }
    };
    let mut overtaken = 0;
    for seed in 0..40 {
        let mut world = opened(seed, Fsync::Always);
        for value in 0..30 {
            write_to(&mut world, METRICS, row(value));
            world.until("a write", World::is_calm).unwrap();
        }
        world.crash(0, End::Killed);
        world.start(0);
        world.until("an open node", |world| world.open_node(0).is_some()).unwrap();
        // Each is the last of its moment.
        for value in 30..33 {
            write_to(&mut world, METRICS, row(value));
            world.until("a write", World::is_calm).unwrap();
            let (life, asking) = client(&world);
            overtaken += u64::from(!asking.storage.replay().done);
            world.wait(life, "flush", asking.flush());
            let (life, asking) = client(&world);
            world.wait(life, "compact", asking.compact());
            let polls = world.machine().below(100);
            world.run(polls).unwrap();
        }
        let is_replayed = |world: &World| world.open_node(0).is_some_and(|(_, s)| s.replay().done);
        world.until("the replay", |world| world.is_calm() && is_replayed(world)).unwrap();
        read_from(&mut world, METRICS);
        let (life, asking) = client(&world);
        world.wait(life, "flush", asking.flush());
        world.until("a flush", World::is_calm).unwrap();
        read_from(&mut world, METRICS);
        let (life, asking) = client(&world);
        world.wait(life, "compact", asking.compact());
        world.until("a compaction", World::is_calm).unwrap();
        read_from(&mut world, METRICS);
    }
    assert!(overtaken > 10, "{overtaken}");
}

#[test]
fn what_was_answered_before_a_long_shutdown_is_synced_within_the_interval() {
    for seed in 0..10 {
        let mut world = opened(seed, INTERVAL);
        write(&mut world, 1);
        world.until("a write", World::is_calm).unwrap();
        world.store.set_weather(Weather { slow: 1_000, is_crawling: true, ..Weather::default() });
        let (life, asking) = client(&world);
        world.wait(life, "shutdown", asking.shutdown(Arc::default()));
        world.pass(ms(1_000)).unwrap();
        world.crash(0, End::PowerLoss);
        world.store.set_weather(Weather::default());
        reopen(&mut world);
        read(&mut world);
    }
}

#[test]
fn a_flush_that_is_answered_leaves_nothing_also_when_many_heads_waited() {
    let mut world = opened(1, Fsync::Always);
    for value in 0..8 {
        write(&mut world, value);
        world.until("a write", World::is_calm).unwrap();
        world.store.set_weather(Weather { refused: 1_000, ..Weather::default() });
        let (life, asking) = client(&world);
        world.wait(life, "flush", asking.flush());
        world.until("a flush", World::is_calm).unwrap();
    }
    world.store.set_weather(Weather::default());
    let (life, asking) = client(&world);
    world.wait(life, "flush", asking.flush());
    world.until("a flush", World::is_calm).unwrap();
    assert_eq!(world.metric(0, "stella_head_rows"), 0.0);
    read(&mut world);
}

#[test]
fn what_a_full_disk_took_of_a_refused_write_is_cut_off() {
    for seed in 0..20 {
        let mut world = opened(seed, Fsync::Always);
        write(&mut world, 1);
        world.until("a write", World::is_calm).unwrap();
        world.nodes[0].disk.trouble(0, Some(30), true);
        write(&mut world, 2);
        world.until("a write", World::is_calm).unwrap();
        assert!(world.metric(0, "stella_wal_errors_total") > 0.0);
        world.nodes[0].disk.trouble(0, None, false);
        write(&mut world, 3);
        world.until("a write", World::is_calm).unwrap();
        world.crash(0, End::Killed);
        // The world holds it against a replay when it finds a damaged stretch.
        reopen(&mut world);
        read(&mut world);
    }
}
