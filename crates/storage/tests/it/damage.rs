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
async fn a_damaged_manifest_falls_back_and_nothing_is_swept() {
    let world = World::new();
    let storage = world.open().await;
    for number in 0..2 {
        write(&storage, &world.context("a"), batch(Signal::Logs, "a", [number])).await;
        storage.flush().await.unwrap();
    }
    storage.shutdown().await.unwrap();
    drop(storage);
    let newest = world.objects("/manifest/").await.pop().unwrap();
    let path = object_store::path::Path::from(newest);
    object_store::ObjectStoreExt::put(&*world.store, &path, "{".into()).await.unwrap();
    let storage = world.open().await;
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", [0]));
    write(&storage, &world.context("a"), batch(Signal::Logs, "a", [2])).await;
    storage.flush().await.unwrap();
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", [0, 2]));
    for _ in 0..2 {
        world.clock.advance_ns(3_600_000_000_000);
        assert_eq!(storage.retain().await.unwrap().objects_deleted, 0);
    }
    assert_eq!(world.objects("/segments/").await.len(), 3);
    assert_eq!(world.objects("quarantine/").await.len(), 1);
}
