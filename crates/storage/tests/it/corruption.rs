//! A changed byte anywhere: the engine opens, reads give what is true and nothing else, everything beside the damage is
//! whole, and the damage is reported.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use futures::TryStreamExt;
use model::Ingest;
use object_store::{ObjectStore, ObjectStoreExt};
use proptest::prelude::*;
use storage::restore::Restoration;
use storage::verify::{Verification, VerifyReport};
use storage::{Storage, StorageError};

use crate::fixture::{World, batch, lines, write};
use crate::rich::{batches, dump};

type Dump = BTreeMap<&'static str, Vec<String>>;

const TENANTS: [&str; 2] = ["a", "b"];

/// What an engine left behind that wrote for two tenants: the first second is in segments, the next in the log.
struct Left {
    objects: Vec<(String, Bytes)>,
    files: Vec<(PathBuf, Vec<u8>)>,
    truth: Vec<Dump>,
}

async fn left() -> Left {
    let world = World::new();
    let storage = world.open().await;
    for step in 0..2 {
        for tenant in TENANTS {
            for batch in batches(step) {
                write(&storage, &world.context(tenant), batch).await;
            }
        }
        if step == 0 {
            storage.flush().await.unwrap();
        }
    }
    let mut truth = Vec::new();
    for tenant in TENANTS {
        truth.push(dump(&storage, &world.context(tenant)).await);
    }
    drop(storage);
    // Opening waits for the end of the writing thread; the log that it begins has no record.
    drop(world.open().await);
    let newest = world.log_files().pop().unwrap();
    std::fs::remove_file(newest).unwrap();
    let mut objects = Vec::new();
    for path in world.objects("").await {
        let bytes = world.store.get(&path.as_str().into()).await.unwrap().bytes().await.unwrap();
        objects.push((path, bytes));
    }
    let data_dir = &world.settings.data_dir;
    let mut files = world.log_files();
    files.push(data_dir.join("node"));
    let files = files
        .into_iter()
        .map(|file| (file.strip_prefix(data_dir).unwrap().to_owned(), std::fs::read(&file).unwrap()))
        .collect();
    Left { objects, files, truth }
}

/// What may be damaged: objects first, then log files.
impl Left {
    fn targets(&self) -> Vec<(String, usize)> {
        let objects = self.objects.iter().map(|(path, bytes)| (path.clone(), bytes.len()));
        let logs = self.files.iter().filter(|(path, _)| path.starts_with("wal"));
        objects.chain(logs.map(|(path, bytes)| (path.display().to_string(), bytes.len()))).collect()
    }

    /// A world with all of it, but for bits of one byte.
    async fn world(&self, target: &str, at: usize, bits: u8) -> World {
        let flipped = |path: &str, bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            if path == target {
                bytes[at] ^= bits;
            }
            bytes
        };
        let world = World::new();
        for (path, bytes) in &self.objects {
            world.store.put(&path.as_str().into(), flipped(path, bytes).into()).await.unwrap();
        }
        std::fs::create_dir_all(world.settings.data_dir.join("wal")).unwrap();
        for (path, bytes) in &self.files {
            let bytes = flipped(&path.display().to_string(), bytes);
            std::fs::write(world.settings.data_dir.join(path), bytes).unwrap();
        }
        world
    }
}

/// How many lines are missing, all of them in tables of one signal; a line that was never written fails the test.
fn missing(truth: &Dump, read: &Dump) -> BTreeMap<&'static str, usize> {
    let mut missing = BTreeMap::new();
    for (table, lines) in truth {
        let mut left = lines.iter();
        for line in &read[table] {
            assert!(left.any(|written| written == line), "{table} has what was never written there: {line}");
        }
        if read[table].len() < lines.len() {
            missing.insert(*table, lines.len() - read[table].len());
        }
    }
    missing
}

async fn verify(world: &World) -> VerifyReport {
    let (store, data_dir) = (std::sync::Arc::clone(&world.store) as _, Some(world.settings.data_dir.clone()));
    Verification { store, data_dir, tenant: None, signal: None }.run().await.unwrap()
}

fn reported(world: &World, storage: &Storage) -> f64 {
    ["manifests_quarantined", "segments_damaged", "wal_corrupt_records"]
        .map(|name| world.metric(storage, &format!("stella_{name}_total")))
        .iter()
        .sum()
}

/// Flips bits of one byte, and checks all that must hold.
async fn check(left: &Left, target: &str, at: usize, bits: u8) {
    let case = format!("{target} at {at}, bits {bits:#04x}");
    let world = left.world(target, at, bits).await;
    assert_eq!(verify(&world).await.damaged, 1, "{case}");
    let storage = world.open().await;
    for (tenant, truth) in TENANTS.iter().zip(&left.truth) {
        let read = dump(&storage, &world.context(tenant)).await;
        let missing = missing(truth, &read);
        let is_damaged = |table: &str| match target.split('/').nth(2) {
            // A record has one tenant's one signal.
            None => true,
            Some(_) if !target.starts_with(&format!("tenants/{tenant}/")) => false,
            Some(signal) => match table {
                "samples" | "histograms" | "exemplars" | "metadata" => signal == "metrics",
                "entries" => signal == "logs",
                _ => signal == "traces",
            },
        };
        let is_manifest = target.contains("/manifest/");
        for table in missing.keys() {
            assert!(!is_manifest && is_damaged(table), "{case}: {tenant} lost rows of {table}: {missing:?}");
        }
        if let Some(part) =
            ["samples", "histograms", "exemplars"].iter().find(|part| target.contains(&format!(".{part}.")))
        {
            let others = missing.keys().filter(|table| *table != part);
            assert_eq!(others.count(), 0, "{case}: {missing:?}");
        }
    }
    assert_eq!(reported(&world, &storage), 1.0, "{case}");
    // The engine goes on.
    let [metrics, logs, traces] = batches(2);
    for batch in [metrics, logs, traces] {
        storage.ingest(&world.context("a"), batch).await.unwrap();
    }
    storage.flush().await.unwrap();
}

#[test]
fn a_changed_byte_anywhere_is_found_and_costs_at_most_what_it_is_in() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let left = runtime.block_on(left());
    let targets = left.targets();
    assert!(targets.len() > 15, "{targets:?}");
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let place = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_u32..8);
    let result = runner.run(&place, |(target, at, bit)| {
        let (target, len) = target.get(&targets);
        runtime.block_on(check(&left, target, at.index(*len), 1 << bit));
        Ok(())
    });
    result.unwrap();
    // And of each file the first and last bytes.
    for (target, len) in &targets {
        for at in [0, len - 1] {
            runtime.block_on(check(&left, target, at, 0xff));
        }
    }
}

#[tokio::test]
async fn what_is_whole_verifies() {
    let left = left().await;
    let world = left.world("", 0, 0).await;
    let report = verify(&world).await;
    assert_eq!((report.damaged, report.manifests, report.segments, report.files), (0, 6, 6, 12));
    assert_eq!((report.log_files, report.log_records, report.quarantined.len()), (1, 12, 0));
}

#[tokio::test]
async fn a_segment_is_restored_from_a_copy() {
    for signal in model::Signal::ALL {
        let mut world = World::new();
        // The clock stands still; what is restored is taken up by the pass of retention that the test asks for.
        world.settings.retention.interval_ms = 3_600_000;
        let storage = world.open().await;
        for number in 0..3 {
            write(&storage, &world.context("a"), batch(signal, "a", [number])).await;
            storage.flush().await.unwrap();
        }
        let damaged: Vec<String> = world.objects("/segments/").await;
        let damaged = damaged.iter().find(|path| !path.contains(".series.")).unwrap();
        let copies = tempfile::tempdir().unwrap();
        for path in world.objects("/segments/").await {
            let bytes = world.store.get(&path.as_str().into()).await.unwrap().bytes().await.unwrap();
            std::fs::write(copies.path().join(path.rsplit('/').next().unwrap()), bytes).unwrap();
        }
        world.flip(damaged, -20, 0x40).await;
        assert_eq!(world.read(&storage, "a", signal).await, lines("a", [1, 2]), "{signal}");
        world.until(|| world.metric(&storage, "stella_quarantined_segments") == 1.0).await;
        let name = damaged.rsplit('/').next().unwrap();
        let restoration = Restoration {
            store: std::sync::Arc::clone(&world.store) as _,
            tenant: world.context("a").tenant().clone(),
            signal,
            id: name.split('.').next().unwrap().to_owned(),
            from: None,
            clock: std::sync::Arc::clone(&world.clock) as _,
            seed: 1,
        };
        // The copy in the quarantine is as damaged as the segment was.
        let error = restoration.run().await.unwrap_err();
        assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
        let restoration = Restoration { from: Some(copies.path().to_owned()), ..restoration };
        restoration.run().await.unwrap();
        assert!(restoration.run().await.is_err(), "it is not set aside any more");
        storage.retain().await.unwrap();
        assert_eq!(world.read(&storage, "a", signal).await, lines("a", 0..3), "{signal}");
        assert_eq!(world.metric(&storage, "stella_quarantined_segments"), 0.0);
        for _ in 0..3 {
            world.clock.advance_ns(3_600_000_000_000);
            storage.retain().await.unwrap();
        }
        assert_eq!(world.read(&storage, "a", signal).await, lines("a", 0..3), "{signal}");
        assert_eq!(world.objects("quarantine/").await, Vec::<String>::new());
        assert_eq!(verify(&world).await.damaged, 0);
        let names = world.store.list(None).try_collect::<Vec<_>>().await.unwrap();
        assert!(
            names.iter().all(|object| !object.location.as_ref().contains(name)),
            "the damaged file is swept"
        );
    }
}
