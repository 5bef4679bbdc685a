//! Stories of what the sweep removes and what it must leave, of one node or two whose every step is asked for: what is told
//! here needs an order of requests that chance rarely gives.

use model::Signal;
use storage::Fsync;

use super::items::Row;
use super::machine::{Life, Machine, START_NS, ms};
use super::oracle::Partition;
use super::stories::METRICS;
use super::world::{GRACE_MS, World};

/// Samples that are kept for ever.
const KEPT: Partition = (2, Signal::Metrics);

/// A world of quiet nodes of which the first one is open and has flushed a sample.
fn quiet(seed: u64, node_count: usize, grace_ms: u64, partition: Partition) -> World {
    let mut world = World::with(seed, Machine::new(seed, false), Fsync::Always, node_count);
    world.without_background();
    world.set_grace(grace_ms);
    open(&mut world, 0);
    write(&mut world, partition, START_NS);
    done(&mut world, 0, "flush");
    world
}

fn open(world: &mut World, node: usize) {
    world.start(node);
    world.until("an open node", |world| world.open_node(node).is_some()).unwrap();
}

fn write(world: &mut World, partition: Partition, timestamp_ns: i64) {
    let (life, storage) = world.open_node(0).unwrap();
    let value = world.next_value;
    world.next_value += 1;
    let row = Row { source: 0, timestamp_ns, value };
    world.wait(life, "write", world.client_of(0, life, storage).write(partition, vec![row]));
    world.until("a write", World::is_calm).unwrap();
}

/// Asks a node for something.
fn ask(world: &mut World, node: usize, what: &'static str) -> Life {
    let (life, storage) = world.open_node(node).unwrap();
    let client = world.client_of(node, life, storage);
    match what {
        "flush" => world.wait(life, what, client.flush()),
        "compact" => world.wait(life, what, client.compact()),
        "retain" => world.wait(life, what, client.retain()),
        _ => panic!("nobody does {what}"),
    }
    life
}

/// Asks a node for something, and waits for its end.
fn done(world: &mut World, node: usize, what: &'static str) {
    ask(world, node, what);
    world
        .until(what, |world| world.shared.waiting.lock().values().all(|waiting| waiting.what != what))
        .unwrap();
}

/// Passes of the node after half of the grace each, so many.
fn sweep(world: &mut World, node: usize, passes: usize) {
    for _ in 0..passes {
        world.pass(ms(GRACE_MS / 2)).unwrap();
        done(world, node, "retain");
    }
}

/// Reads everything of a node while all is well.
fn read(world: &mut World, node: usize, partition: Partition) {
    let (life, storage) = world.open_node(node).unwrap();
    world.wait(life, "read", world.client_of(node, life, storage).read_all(partition));
    world.until("a read", World::is_calm).unwrap();
}

/// Files of segments in the store.
fn files(world: &World) -> usize {
    let objects = world.store.objects("tenants");
    objects.iter().filter(|meta| meta.location.as_ref().contains("/segments/")).count()
}

#[test]
fn a_node_reads_what_another_one_has_merged_and_swept_meanwhile() {
    for seed in 0..5 {
        let mut world = quiet(seed, 2, GRACE_MS, METRICS);
        write(&mut world, METRICS, START_NS);
        done(&mut world, 0, "flush");
        open(&mut world, 1);
        done(&mut world, 1, "compact");
        done(&mut world, 1, "retain");
        sweep(&mut world, 1, 3);
        assert_eq!(files(&world), 2, "the series and the samples of the merge");
        read(&mut world, 0, METRICS);
    }
}

#[test]
fn an_upload_that_was_named_and_merged_away_between_two_sweeps_stays_for_the_grace() {
    for seed in 0..5 {
        let mut world = quiet(seed, 2, GRACE_MS, METRICS);
        open(&mut world, 1);
        let before = files(&world);
        write(&mut world, METRICS, START_NS);
        let life = ask(&mut world, 0, "flush");
        world.store.hold(life, "/manifest/", u64::MAX);
        world.until("an upload", |world| files(world) == 2 * before).unwrap();
        // The other node sees an object that nobody has named yet.
        done(&mut world, 1, "retain");
        world.pass(ms(GRACE_MS / 3)).unwrap();
        world.store.let_go();
        world.until("a flush", World::is_calm).unwrap();
        done(&mut world, 0, "compact");
        // The store says when something goes that a reader may still use.
        for _ in 0..10 {
            world.pass(ms(GRACE_MS / 4)).unwrap();
            done(&mut world, 1, "retain");
        }
        assert_eq!(files(&world), before);
        read(&mut world, 0, METRICS);
        read(&mut world, 1, METRICS);
    }
}

#[test]
fn a_segment_that_took_too_long_is_not_named_when_another_node_may_have_swept_it() {
    for seed in 0..5 {
        let mut world = quiet(seed, 2, GRACE_MS, KEPT);
        open(&mut world, 1);
        let before = files(&world);
        // The day before is uploaded first, and waits for the other one.
        write(&mut world, KEPT, START_NS - i64::try_from(ms(20 * 60 * 60 * 1_000)).unwrap());
        write(&mut world, KEPT, START_NS);
        let life = ask(&mut world, 0, "flush");
        world.store.hold(life, "/segments/2026-01-31/", u64::MAX);
        world.until("an upload", |world| files(world) == 2 * before).unwrap();
        done(&mut world, 1, "retain");
        sweep(&mut world, 1, 3);
        assert_eq!(files(&world), before, "the other node has swept it");
        world.store.let_go();
        // It is not taken, and built again by the next one.
        world.until("a flush", World::is_calm).unwrap();
        done(&mut world, 0, "flush");
        assert_eq!(world.metric(0, "stella_head_rows"), 0.0);
        read(&mut world, 0, KEPT);
    }
}

#[test]
fn without_a_grace_a_merge_that_goes_on_keeps_its_files() {
    for seed in 0..5 {
        let mut world = quiet(seed, 1, 0, METRICS);
        let before = files(&world);
        write(&mut world, METRICS, START_NS);
        done(&mut world, 0, "flush");
        let life = ask(&mut world, 0, "compact");
        // The first file is there, the second is not.
        world.store.hold(life, "put tenants*.series.parquet", u64::MAX);
        world.until("a file", |world| files(world) == 2 * before + 1).unwrap();
        done(&mut world, 0, "retain");
        world.store.let_go();
        world.until("a merge", World::is_calm).unwrap();
        assert!(world.shared.report.lock().merges > 0);
        done(&mut world, 0, "retain");
        assert_eq!(files(&world), before);
        read(&mut world, 0, METRICS);
    }
}
