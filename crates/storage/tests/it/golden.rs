//! Files of every format number, as they were written once, read as what was written then.
//!
//! `testdata/format-<number>/` has a data folder with its store, and beside it what must be read of it. While a format
//! is being made, `STELLA_WRITE_GOLDEN=1 cargo test -p stella-storage --test it golden` writes the newest one anew; once
//! a release has written a format its folder never changes again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Signal;
use storage::verify::Verification;

use crate::fixture::{World, open_store, write};
use crate::rich::{batches, dump};

const NEWEST: &str = "format-1";
const TENANTS: [&str; 2] = ["acme", "other"];

type Expected = BTreeMap<String, BTreeMap<String, Vec<String>>>;

fn folder(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(format)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

async fn read(world: &World, storage: &storage::Storage) -> Expected {
    let mut tenants = Expected::new();
    for tenant in TENANTS {
        let tables = dump(storage, &world.context(tenant)).await;
        let tables = tables.into_iter().map(|(table, lines)| (table.to_owned(), lines)).collect();
        tenants.insert(tenant.to_owned(), tables);
    }
    tenants
}

/// Of each signal two seconds in a merged segment, one in a segment as it was flushed, and one in the log.
async fn fill(world: &mut World) -> storage::Storage {
    world.settings.compaction.fan_in = 2;
    let storage = world.open().await;
    for step in 0..4 {
        for tenant in TENANTS {
            for batch in batches(step) {
                write(&storage, &world.context(tenant), batch).await;
            }
        }
        if step < 3 {
            storage.flush().await.unwrap();
        }
        if step == 1 {
            assert_eq!(storage.compact().await.unwrap().merges, TENANTS.len() * Signal::ALL.len());
        }
    }
    storage
}

async fn write_golden(format: &str) {
    let target = folder(format);
    if target.exists() {
        std::fs::remove_dir_all(&target).unwrap();
    }
    std::fs::create_dir_all(target.join("store")).unwrap();
    let mut world = World::on(open_store(target.join("store").to_str().unwrap()));
    let storage = fill(&mut world).await;
    let expected = read(&world, &storage).await;
    let logs = world.log_files();
    drop(storage);
    // Opening waits for the end of the writing thread.
    drop(world.open().await);
    std::fs::create_dir_all(target.join("wal")).unwrap();
    for log in logs {
        std::fs::copy(&log, target.join("wal").join(log.file_name().unwrap())).unwrap();
    }
    std::fs::copy(world.settings.data_dir.join("node"), target.join("node")).unwrap();
    let json = serde_json::to_string_pretty(&expected).unwrap();
    std::fs::write(target.join("expected.json"), json + "\n").unwrap();
}

#[tokio::test]
async fn every_format_reads_as_it_was_written() {
    if std::env::var_os("STELLA_WRITE_GOLDEN").is_some() {
        write_golden(NEWEST).await;
    }
    let formats: Vec<_> =
        std::fs::read_dir(folder("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(formats.iter().any(|format| format == NEWEST), "{formats:?}");
    for format in formats {
        let golden = folder(format.to_str().unwrap());
        let expected: Expected =
            serde_json::from_slice(&std::fs::read(golden.join("expected.json")).unwrap()).unwrap();
        let copies = tempfile::tempdir().unwrap();
        copy(&golden.join("store"), &copies.path().join("store"));
        let world = World::on(open_store(copies.path().join("store").to_str().unwrap()));
        let data_dir = world.settings.data_dir.clone();
        copy(&golden.join("wal"), &data_dir.join("wal"));
        std::fs::copy(golden.join("node"), data_dir.join("node")).unwrap();
        let store = Arc::clone(&world.store) as _;
        let verification = Verification { store, data_dir: Some(data_dir), tenant: None, signal: None };
        let report = verification.run().await.unwrap();
        assert_eq!((report.damaged, report.segments, report.log_records), (0, 12, 24), "{report:?}");
        let storage = world.open().await;
        assert_eq!(read(&world, &storage).await, expected, "{format:?}");
        storage.shutdown().await.unwrap();
        drop(storage);
        let storage = world.open().await;
        assert_eq!(read(&world, &storage).await, expected, "{format:?}, after its log became segments");
    }
}

#[tokio::test]
async fn the_newest_format_is_what_is_written_now() {
    let expected = std::fs::read(folder(NEWEST).join("expected.json")).unwrap();
    let expected: Expected = serde_json::from_slice(&expected).unwrap();
    let mut world = World::new();
    let storage = fill(&mut world).await;
    assert_eq!(read(&world, &storage).await, expected);
    let rows: usize = expected.values().flat_map(BTreeMap::values).map(Vec::len).sum();
    assert_eq!(
        rows,
        2 * 4 * (12 + 2 + 4 + 6 + 3) + 2 * 5,
        "samples, histograms, exemplars, lines, spans; metadata"
    );
}
