//! A log with damaged bytes: what is whole is replayed, what is not is set aside, and the engine goes on.

use model::ingest::IngestError;
use model::{Ingest, Signal};

use crate::fixture::{World, batch, lines, write};

/// A world whose engine wrote ten lines, one a record, and ended; gives the log file.
async fn ended() -> (World, std::path::PathBuf, Vec<usize>) {
    let world = World::new();
    let storage = world.open().await;
    let file = world.log_files().pop().unwrap();
    let mut ends = Vec::new();
    for number in 0..10 {
        write(&storage, &world.context("a"), batch(Signal::Logs, "a", [number])).await;
        ends.push(usize::try_from(std::fs::metadata(&file).unwrap().len()).unwrap());
    }
    drop(storage);
    // The writing thread may still hold the file; opening waits for it.
    drop(world.open().await);
    (world, file, ends)
}

#[tokio::test]
async fn a_torn_end_is_cut_off_and_nothing_before_it_is_lost() {
    for cut in [1, 7, 100] {
        let (world, file, ends) = ended().await;
        // The log that was begun last has no record: without it the damaged file is the last one.
        let newest = world.log_files().pop().unwrap();
        assert_ne!(newest, file);
        std::fs::remove_file(newest).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() - cut]).unwrap();
        let storage = world.open().await;
        assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", 0..9), "{cut}");
        assert_eq!(storage.replay().damaged, 0);
        assert_eq!(std::fs::metadata(&file).unwrap().len(), ends[8] as u64);
        assert!(world.set_aside().is_empty());
        write(&storage, &world.context("a"), batch(Signal::Logs, "a", [9])).await;
        assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", 0..10));
    }
}

#[tokio::test]
async fn a_flipped_byte_costs_one_record_and_is_set_aside() {
    for (record, offset) in [(0, 2), (4, 60), (9, 30)] {
        let (world, file, ends) = ended().await;
        let start = if record == 0 { 16 } else { ends[record - 1] };
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[start + offset] ^= 0x10;
        std::fs::write(&file, &bytes).unwrap();
        let storage = world.open().await;
        let left = (0..10).filter(|number| *number != record as i64);
        assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", left), "{record}");
        assert_eq!(storage.replay().damaged, 1);
        let copies = world.set_aside();
        assert_eq!(copies.len(), 1);
        assert_eq!(std::fs::read(&copies[0]).unwrap(), bytes[start..ends[record]]);
        // After a clean end nothing is replayed, and what was set aside stays.
        storage.shutdown().await.unwrap();
        drop(storage);
        let storage = world.open().await;
        assert_eq!((storage.replay().damaged, world.set_aside().len()), (0, 1));
    }
}

#[tokio::test]
async fn a_file_of_garbage_among_the_logs_stops_nobody() {
    let (world, file, _) = ended().await;
    std::fs::write(file.with_file_name("00000000000000000000.wal"), [0xa5; 5_000]).unwrap();
    std::fs::write(file.with_file_name("notes.txt"), "not a log").unwrap();
    let storage = world.open().await;
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", 0..10));
    assert_eq!(storage.replay().damaged, 1);
    storage.shutdown().await.unwrap();
    assert_eq!(world.log_files().len(), 1, "the notes alone stay: {:?}", world.log_files());
}

#[tokio::test]
async fn a_file_that_cannot_be_read_keeps_the_log_until_it_can() {
    let (world, file, _) = ended().await;
    // A folder in the place of an older file cannot be read as one.
    let unreadable = file.with_file_name("00000000000000000000.wal");
    std::fs::create_dir(&unreadable).unwrap();
    let storage = world.open().await;
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", 0..10));
    storage.shutdown().await.unwrap();
    assert!(file.exists() && unreadable.exists());
    drop(storage);
    std::fs::remove_dir(&unreadable).unwrap();
    let storage = world.open().await;
    assert_eq!(storage.replay().records, 10);
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", 0..10));
    storage.shutdown().await.unwrap();
    assert!(world.log_files().is_empty(), "{:?}", world.log_files());
}

#[tokio::test]
async fn a_log_that_cannot_be_written_refuses_until_it_can() {
    let mut world = World::new();
    world.settings.wal.segment_bytes = 1;
    let storage = world.open().await;
    write(&storage, &world.context("a"), batch(Signal::Logs, "a", [0])).await;
    let folder = world.settings.data_dir.join("wal");
    let away = world.settings.data_dir.join("away");
    std::fs::rename(&folder, &away).unwrap();
    // A file that is open takes one more record; the next one cannot be begun.
    let mut kept = vec![0];
    let mut refusals = 0;
    for number in 1..5 {
        match storage.ingest(&world.context("a"), batch(Signal::Logs, "a", [number])).await {
            Ok(_) => kept.push(number),
            Err(IngestError::Unavailable { .. }) => refusals += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refusals >= 3, "{refusals}");
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", kept.clone()));
    std::fs::rename(&away, &folder).unwrap();
    write(&storage, &world.context("a"), batch(Signal::Logs, "a", [9])).await;
    kept.push(9);
    drop(storage);
    let storage = world.open().await;
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", kept));
}

#[tokio::test]
async fn a_damaged_manifest_costs_nothing() {
    for signal in Signal::ALL {
        let mut world = World::new();
        world.settings.wal.segment_bytes = 1;
        let storage = world.open().await;
        for number in 0..3 {
            write(&storage, &world.context("a"), batch(signal, "a", [number])).await;
            storage.flush().await.unwrap();
        }
        write(&storage, &world.context("b"), batch(signal, "b", [1])).await;
        storage.shutdown().await.unwrap();
        drop(storage);
        // The log has been trimmed up to what the damaged version says: its segment is the only place of the rows.
        assert!(world.log_files().is_empty());
        let newest =
            world.objects("/manifest/").await.into_iter().rfind(|path| path.contains("/a/")).unwrap();
        world.flip(&newest, 40, 0x04).await;
        for _ in 0..2 {
            let storage = world.open().await;
            assert_eq!(world.read(&storage, "a", signal).await, lines("a", 0..3), "{signal}");
            assert_eq!(world.read(&storage, "b", signal).await, lines("b", [1]));
            storage.shutdown().await.unwrap();
        }
        let storage = world.open().await;
        assert_eq!(world.metric(&storage, "stella_manifests_quarantined_total"), 1.0);
        for _ in 0..2 {
            world.clock.advance_ns(3_600_000_000_000);
            storage.retain().await.unwrap();
        }
        assert_eq!(world.read(&storage, "a", signal).await, lines("a", 0..3), "{signal}");
        assert_eq!(world.objects("quarantine/").await.len(), 1);
        // The pass of retention has made a version of its own: nothing is damaged any more.
        drop(storage);
        let storage = world.open().await;
        assert_eq!(world.metric(&storage, "stella_manifests_quarantined_total"), 0.0);
        assert_eq!(world.read(&storage, "a", signal).await, lines("a", 0..3), "{signal}");
    }
}

#[tokio::test]
async fn without_any_manifest_the_segments_are_found_again() {
    let world = World::new();
    let storage = world.open().await;
    for number in 0..3 {
        write(&storage, &world.context("a"), batch(Signal::Metrics, "a", [number])).await;
        storage.flush().await.unwrap();
    }
    storage.shutdown().await.unwrap();
    drop(storage);
    for path in world.objects("/metrics/manifest/").await {
        world.flip(&path, 11, 0x80).await;
    }
    // What an upload that was cut off left behind: a series file alone.
    let files = world.objects(".samples.parquet").await;
    let half = files.last().unwrap();
    object_store::ObjectStoreExt::delete(&*world.store, &half.as_str().into()).await.unwrap();
    let storage = world.open().await;
    assert_eq!(world.read(&storage, "a", Signal::Metrics).await, lines("a", 0..2));
    assert_eq!(world.metric(&storage, "stella_manifests_quarantined_total"), 3.0);
}

#[tokio::test]
async fn a_version_of_another_writer_that_is_damaged_stops_nobody() {
    let world = World::new();
    let storage = world.open().await;
    write(&storage, &world.context("a"), batch(Signal::Logs, "a", [0])).await;
    storage.flush().await.unwrap();
    let first = world.objects("/manifest/").await.pop().unwrap();
    let second = first.replace("00001.json", "00002.json");
    object_store::ObjectStoreExt::put(&*world.store, &second.as_str().into(), "{".into()).await.unwrap();
    for number in 1..4 {
        write(&storage, &world.context("a"), batch(Signal::Logs, "a", [number])).await;
        storage.flush().await.unwrap();
    }
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", 0..4));
    assert_eq!(world.metric(&storage, "stella_manifests_quarantined_total"), 1.0);
    assert!(world.objects("/manifest/").await.last().unwrap().ends_with("00005.json"));
}

#[tokio::test]
async fn a_damaged_segment_is_set_aside_and_expires() {
    for signal in Signal::ALL {
        let mut world = World::new();
        world.limits.retention = model::limits::Retention {
            metrics_ns: Some(3_600_000_000_000),
            logs_ns: Some(3_600_000_000_000),
            traces_ns: Some(3_600_000_000_000),
        };
        let storage = world.open().await;
        for number in 0..2 {
            write(&storage, &world.context("a"), batch(signal, "a", [number])).await;
            storage.flush().await.unwrap();
        }
        let path =
            world.objects("/segments/").await.into_iter().find(|path| !path.contains(".series.")).unwrap();
        world.flip(&path, 9, 0x01).await;
        assert_eq!(world.read(&storage, "a", signal).await, lines("a", [1]), "{signal}");
        world.until(|| world.metric(&storage, "stella_quarantined_segments") == 1.0).await;
        assert_eq!(world.metric(&storage, "stella_segments_damaged_total"), 1.0);
        assert_eq!(world.metric(&storage, "stella_segments_quarantined_total"), 1.0);
        assert_eq!(world.read(&storage, "a", signal).await, lines("a", [1]));
        let snapshot = storage.metrics(&world.context("a"), model::TimeRange::ALL).await.unwrap();
        assert_eq!(snapshot.missing_segments(), usize::from(signal == Signal::Metrics));
        let files = if signal == Signal::Metrics { 2 } else { 1 };
        assert_eq!(world.objects("quarantine/").await.len(), files + 1, "the files and the reason");
        // It stays so after a restart, and nothing looks at it again.
        storage.shutdown().await.unwrap();
        drop(storage);
        let storage = world.open().await;
        assert_eq!(world.read(&storage, "a", signal).await, lines("a", [1]));
        assert_eq!(world.metric(&storage, "stella_quarantined_segments"), 1.0);
        assert_eq!(world.metric(&storage, "stella_segments_damaged_total"), 0.0);
        for _ in 0..3 {
            world.clock.advance_ns(3_600_000_000_000);
            storage.retain().await.unwrap();
        }
        assert_eq!(world.metric(&storage, "stella_quarantined_segments"), 0.0);
        assert_eq!(world.objects("parquet").await, Vec::<String>::new(), "{signal}");
        assert_eq!(world.objects("quarantine/").await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_byte_that_changed_on_the_way_alone_costs_nothing() {
    for signal in Signal::ALL {
        let world = World::new();
        let storage = world.open().await;
        write(&storage, &world.context("a"), batch(signal, "a", 0..5)).await;
        storage.shutdown().await.unwrap();
        drop(storage);
        for after in 0..4 {
            let storage = world.open().await;
            world.store.flip_a_read(".parquet", after);
            assert_eq!(world.read(&storage, "a", signal).await, lines("a", 0..5), "{signal} {after}");
            assert_eq!(world.metric(&storage, "stella_segments_damaged_total"), 0.0);
        }
    }
}
