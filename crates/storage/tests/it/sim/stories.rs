//! What simulations found, each told as the shortest story that shows it, under several seeds: chance decides what a
//! crash leaves.

use model::{Signal, TimeRange};
use storage::Fsync;

use super::clients::Client;
use super::disk::End;
use super::items::{Row, Wanted};
use super::machine::{Machine, START_NS, ms};
use super::world::{INTERVAL, World};

const LOGS: (usize, Signal) = (0, Signal::Logs);

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
    let (life, client) = client(world);
    let row = Row { source: 0, timestamp_ns: START_NS + i64::try_from(value).unwrap(), value };
    world.wait(life, "write", client.write(LOGS, vec![row]));
}

/// Reads everything, and holds it against the model.
fn read(world: &mut World) {
    let (life, client) = client(world);
    world.wait(life, "read", client.read(LOGS, Wanted { range: TimeRange::ALL, source: None }));
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
            world.pass(ms(60_000)).unwrap();
            world.crash(0, End::PowerLoss);
            reopen(&mut world);
            read(&mut world);
        }
    }
}
