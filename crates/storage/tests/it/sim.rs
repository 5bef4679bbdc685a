//! The engine in a simulated world: random writes, reads, flushes, merges, deletions, holds, retention and clock jumps, while processes are killed
//! and the power goes at any write of the log and any request to the store, disks fill, and the store fails in every way.
//! A model says what must and must not be there.
//!
//! A seed decides everything, so that a failure can be had again. `cargo xtask sim` runs it for longer: it sets
//! `STELLA_SIM_SEED`, `STELLA_SIM_STEPS` and, to print every event, `STELLA_SIM_TRACE`.

mod clients;
mod deletions;
mod disk;
mod items;
mod machine;
mod oracle;
mod plan;
mod store;
mod stories;
mod sweeps;
mod world;

use std::io::Write;

use world::{Report, World};

/// Steps of one world; the next one begins empty, with the next seed.
const STEPS_PER_WORLD: u64 = 1_000;

/// Where an ordinary run of the tests begins, and how far it goes.
const SEED: u64 = 1;
const STEPS: u64 = 3_000;

/// Between two lines of progress.
const PROGRESS_STEPS: u64 = 50_000;

/// Runs one world; gives what happened, and the hash of it.
fn run(seed: u64, steps: u64, is_printed: bool) -> (Report, u64) {
    let mut world = World::new(seed, is_printed);
    let result = world.run_steps(steps);
    let report = world.report();
    if let Err(broken) = result {
        let tail = world.machine().tail().join("\n");
        panic!(
            "{tail}\n\nseed {seed}, step {}: {broken}\nagain: cargo xtask sim --seed {seed} --steps {steps}\n",
            report.steps
        );
    }
    (report, world.machine().hash())
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number: {text}")))
}

#[test]
fn what_was_promised_holds_in_every_world() {
    let is_printed = variable("STELLA_SIM_TRACE").is_some();
    let steps = variable("STELLA_SIM_STEPS").unwrap_or(STEPS);
    let mut seed = variable("STELLA_SIM_SEED").unwrap_or(SEED);
    let mut all = Report::default();
    while all.steps < steps {
        let (report, _) = run(seed, STEPS_PER_WORLD.min(steps - all.steps), is_printed);
        let is_progress = all.steps / PROGRESS_STEPS < (all.steps + report.steps) / PROGRESS_STEPS;
        all.add(&report);
        seed += 1;
        if is_progress {
            let _closed = writeln!(std::io::stdout(), "up to seed {seed}: {all:?}");
        }
    }
    let _closed = writeln!(std::io::stdout(), "{all:?}");
    // A run in which nothing happens proves nothing.
    if steps >= STEPS {
        let happened = [
            all.acknowledged,
            all.rows,
            all.flushes,
            all.merges,
            all.deletions,
            all.holds,
            all.kills,
            all.power_losses,
            all.store.faults,
            all.settled,
        ];
        assert!(happened.iter().all(|count| *count > 0), "{all:?}");
    }
}

#[test]
fn a_seed_decides_everything() {
    let (first, again, other) = (run(7, 400, false), run(7, 400, false), run(8, 400, false));
    assert_eq!(first, again);
    assert_ne!(first.1, other.1);
}
