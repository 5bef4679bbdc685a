//! What was acknowledged is there after the process ended at any moment: nothing lost, nothing doubled.

use model::Signal;
use storage::{Fsync, StorageError};

use crate::faulty::{Fault, Plan};
use crate::fixture::{World, batch, lines, open_store, write};

/// Writes for two tenants and the three signals.
async fn write_all(world: &World, storage: &storage::Storage, numbers: std::ops::Range<i64>) {
    for tenant in ["a", "b"] {
        for signal in Signal::ALL {
            write(storage, &world.context(tenant), batch(signal, tenant, numbers.clone())).await;
        }
    }
}

/// Each tenant reads all of its own and nothing else.
async fn assert_all(world: &World, storage: &storage::Storage, numbers: std::ops::Range<i64>) {
    for tenant in ["a", "b"] {
        for signal in Signal::ALL {
            let read = world.read(storage, tenant, signal).await;
            assert_eq!(read, lines(tenant, numbers.clone()), "{tenant} {signal}");
        }
    }
    for signal in Signal::ALL {
        assert!(world.read(storage, "nobody", signal).await.is_empty());
    }
}

#[tokio::test]
async fn acknowledged_is_visible_at_once_and_after_the_end_of_the_process() {
    for fsync in [Fsync::Always, Fsync::IntervalMs(10)] {
        let mut world = World::new();
        world.settings.wal.fsync = fsync;
        let storage = world.open().await;
        write_all(&world, &storage, 0..50).await;
        assert_all(&world, &storage, 0..50).await;
        drop(storage);
        let storage = world.open().await;
        assert_eq!(storage.replay().records, 6);
        assert_all(&world, &storage, 0..50).await;
        write_all(&world, &storage, 50..60).await;
        assert_all(&world, &storage, 0..60).await;
    }
}

#[tokio::test]
async fn a_flush_moves_rows_to_segments_and_the_log_is_not_replayed_twice() {
    let folder = tempfile::tempdir().unwrap();
    for store in [open_store("memory://"), open_store(folder.path().to_str().unwrap())] {
        let world = World::on(store);
        let storage = world.open().await;
        write_all(&world, &storage, 0..20).await;
        storage.flush().await.unwrap();
        assert_all(&world, &storage, 0..20).await;
        write_all(&world, &storage, 20..30).await;
        assert_all(&world, &storage, 0..30).await;
        // The log still has everything: the process ends between the commit and the deletion of log files.
        drop(storage);
        let storage = world.open().await;
        let progress = storage.replay();
        assert_eq!((progress.records, progress.records_skipped), (6, 6));
        assert_all(&world, &storage, 0..30).await;
        storage.shutdown().await.unwrap();
        assert_all(&world, &storage, 0..30).await;
        assert!(world.log_files().is_empty(), "{:?}", world.log_files());
        drop(storage);
        let storage = world.open().await;
        assert_eq!(storage.replay().segments_total, 0);
        assert_all(&world, &storage, 0..30).await;
        assert_eq!(world.objects("manifest/00000000000000000002.json").await.len(), 6);
    }
}

#[tokio::test]
async fn a_store_that_fails_between_upload_and_commit_loses_and_doubles_nothing() {
    let everywhere = ["/segments/", ".samples.", "/manifest/"];
    for path_contains in everywhere {
        for fault in [Fault::Refused, Fault::ReplyLost] {
            let world = World::new();
            let storage = world.open().await;
            write_all(&world, &storage, 0..10).await;
            world.store.fail(Plan { path_contains, fault, after: 0, times: 1 });
            storage.flush().await.unwrap();
            assert_all(&world, &storage, 0..10).await;
            write_all(&world, &storage, 10..20).await;
            drop(storage);
            let storage = world.open().await;
            assert_all(&world, &storage, 0..20).await;
            storage.flush().await.unwrap();
            assert_all(&world, &storage, 0..20).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_at_any_call_of_the_store_loses_and_doubles_nothing() {
    for fault in [Fault::Refused, Fault::ReplyLost] {
        for after in 0.. {
            let world = World::new();
            let storage = world.open().await;
            write_all(&world, &storage, 0..10).await;
            // From this call on the store takes nothing, then the process ends.
            world.store.fail(Plan { path_contains: "", fault, after, times: usize::MAX });
            let flushed = storage.flush().await;
            write_all(&world, &storage, 10..12).await;
            assert_all(&world, &storage, 0..12).await;
            drop(storage);
            world.store.heal();
            let storage = world.open().await;
            assert_all(&world, &storage, 0..12).await;
            storage.shutdown().await.unwrap();
            drop(storage);
            let storage = world.open().await;
            assert_all(&world, &storage, 0..12).await;
            if flushed.is_ok() && world.store.is_unharmed() {
                break;
            }
        }
    }
}

#[tokio::test]
async fn heads_stay_readable_while_the_store_is_away_and_are_flushed_when_it_is_back() {
    let world = World::new();
    let storage = world.open().await;
    write(&storage, &world.context("a"), batch(Signal::Logs, "a", 0..10)).await;
    world.store.fail(Plan {
        path_contains: "/manifest/",
        fault: Fault::Refused,
        after: 0,
        times: usize::MAX,
    });
    assert!(matches!(storage.flush().await, Err(StorageError::Store(_))));
    write(&storage, &world.context("a"), batch(Signal::Logs, "a", 10..20)).await;
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", 0..20));
    // The process ends with segments uploaded and no manifest that names them.
    drop(storage);
    assert!(!world.objects("/segments/").await.is_empty());
    assert!(world.objects("/manifest/").await.is_empty());
    world.store.heal();
    let storage = world.open().await;
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", 0..20));
    storage.flush().await.unwrap();
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", 0..20));
    let uploaded = world.objects("/segments/").await;
    world.clock.advance_ns(3_600_000_000_000);
    storage.retain().await.unwrap();
    world.clock.advance_ns(3_600_000_000_000);
    let report = storage.retain().await.unwrap();
    assert!(report.objects_deleted > 0 && world.objects("/segments/").await.len() < uploaded.len());
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", 0..20));
}

#[tokio::test]
async fn log_files_are_begun_by_size_and_deleted_when_all_their_records_are_flushed() {
    let mut world = World::new();
    world.settings.wal.segment_bytes = 8_000;
    let storage = world.open().await;
    for number in 0..30 {
        write(&storage, &world.context("busy"), batch(Signal::Logs, "busy", [number])).await;
        if number == 3 {
            write(&storage, &world.context("idle"), batch(Signal::Logs, "idle", [number])).await;
        }
    }
    let before = world.log_files().len();
    assert!(before > 2, "{before}");
    storage.flush().await.unwrap();
    assert_eq!(world.log_files().len(), 1);
    drop(storage);
    let storage = world.open().await;
    assert_eq!(world.read(&storage, "busy", Signal::Logs).await, lines("busy", 0..30));
    assert_eq!(world.read(&storage, "idle", Signal::Logs).await, lines("idle", [3]));
}

#[tokio::test]
async fn a_folder_that_was_emptied_hides_no_new_record() {
    let world = World::new();
    let storage = world.open().await;
    write_all(&world, &storage, 0..10).await;
    storage.shutdown().await.unwrap();
    drop(storage);
    std::fs::remove_dir_all(&world.settings.data_dir).unwrap();
    let storage = world.open().await;
    write_all(&world, &storage, 10..20).await;
    drop(storage);
    let storage = world.open().await;
    assert_all(&world, &storage, 0..20).await;
}

#[tokio::test]
async fn two_processes_do_not_share_a_folder() {
    let mut world = World::new();
    let storage = world.open().await;
    world.settings.lock_wait_ms = 0;
    let second = world.try_open().await.err().unwrap().to_string();
    assert!(second.contains("in use by another process"), "{second}");
    storage.shutdown().await.unwrap();
    let refused = model::Ingest::ingest(&storage, &world.context("a"), batch(Signal::Logs, "a", [1])).await;
    assert!(matches!(refused, Err(model::ingest::IngestError::Unavailable { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_folder_that_a_dying_process_still_holds_is_waited_for() {
    let world = World::new();
    let storage = world.open().await;
    write(&storage, &world.context("a"), batch(Signal::Logs, "a", [1])).await;
    let dying = async move {
        tokio::time::sleep(std::time::Duration::from_millis(120)).await;
        drop(storage);
    };
    let (opened, ()) = tokio::join!(world.try_open(), dying);
    let storage = opened.unwrap();
    storage.replayed().await;
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", [1]));
}

/// Polls an ingest once, so that its record is on its way, and drops it, as a server does when its client is gone.
async fn abandon(storage: &storage::Storage, ctx: &model::TenantContext, batch: model::Batch) {
    let mut ingest = model::Ingest::ingest(storage, ctx, batch);
    let polled = futures::poll!(&mut ingest);
    assert!(polled.is_pending(), "{polled:?}");
}

#[tokio::test]
async fn writes_whose_clients_went_away_reach_the_heads_before_a_flush_claims_them() {
    let world = World::new();
    let storage = world.open().await;
    for round in 0..20_i64 {
        for signal in Signal::ALL {
            abandon(&storage, &world.context("a"), batch(signal, "a", [round])).await;
        }
        // Flushes meet the records at every stage: before the log has them, behind the log, in the head.
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        storage.flush().await.unwrap();
    }
    // A write that is answered is behind all that came before it.
    for signal in Signal::ALL {
        write(&storage, &world.context("a"), batch(signal, "a", [20])).await;
    }
    for signal in Signal::ALL {
        assert_eq!(world.read(&storage, "a", signal).await, lines("a", 0..21), "{signal} before the end");
    }
    drop(storage);
    let storage = world.open().await;
    for signal in Signal::ALL {
        assert_eq!(world.read(&storage, "a", signal).await, lines("a", 0..21), "{signal} after the end");
    }
    storage.shutdown().await.unwrap();
    assert!(world.log_files().is_empty(), "{:?}", world.log_files());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_on_one_store_keep_each_others_segments() {
    let one = World::new();
    let mut two = World::new();
    two.store = std::sync::Arc::clone(&one.store);
    let (first, second) = (one.open().await, two.open().await);
    for round in 0..5_i64 {
        write(&first, &one.context("a"), batch(Signal::Traces, "one", [round])).await;
        write(&second, &one.context("a"), batch(Signal::Traces, "two", [round])).await;
        let (a, b) = tokio::join!(first.flush(), second.flush());
        a.and(b).unwrap();
    }
    drop((first, second));
    let storage = one.open().await;
    let mut expected = lines("one", 0..5);
    expected.extend(lines("two", 0..5));
    assert_eq!(one.read(&storage, "a", Signal::Traces).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_and_flushes_lose_nothing() {
    let mut world = World::new();
    world.settings.wal.segment_bytes = 50_000;
    let storage = world.open().await;
    let writers = (0..8_i64).map(|writer| {
        let (storage, ctx) = (storage.clone(), world.context(if writer % 2 == 0 { "a" } else { "b" }));
        tokio::spawn(async move {
            for step in 0..25 {
                let numbers = [writer * 1_000 + step * 2, writer * 1_000 + step * 2 + 1];
                write(&storage, &ctx, batch(Signal::Metrics, "s", numbers)).await;
            }
        })
    });
    let flushing = storage.clone();
    let flusher = tokio::spawn(async move {
        for _ in 0..20 {
            flushing.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    futures::future::try_join_all(writers.collect::<Vec<_>>()).await.unwrap();
    flusher.await.unwrap();
    drop(storage);
    let storage = world.open().await;
    for (tenant, parity) in [("a", 0), ("b", 1)] {
        let writers = (0..8_i64).filter(|writer| writer % 2 == parity);
        let expected = lines("s", writers.flat_map(|writer| (0..50).map(move |step| writer * 1_000 + step)));
        assert_eq!(world.read(&storage, tenant, Signal::Metrics).await, expected);
    }
}

/// Waits for what the background work does on its own.
async fn eventually(world: &World, is_done: impl Fn(&[String]) -> bool) {
    for _ in 0..6_000 {
        if is_done(&world.objects("/manifest/").await) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("the background work does not come to it");
}

#[tokio::test]
async fn heads_are_flushed_by_age_and_by_size_without_being_asked() {
    let mut world = World::new();
    world.settings.flush.max_head_age_ms = 60_000;
    world.settings.flush.max_head_bytes = 1 << 20;
    let storage = world.open().await;
    write(&storage, &world.context("a"), batch(Signal::Logs, "old", 0..3)).await;
    world.clock.advance_ns(60_000_000_000);
    eventually(&world, |manifests| manifests.len() == 1).await;
    write(&storage, &world.context("a"), batch(Signal::Metrics, "large", 0..200_000)).await;
    eventually(&world, |manifests| manifests.len() == 2).await;
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("old", 0..3));
    assert_eq!(world.read(&storage, "a", Signal::Metrics).await.len(), 200_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_larger_than_the_heads_may_be_is_replayed_in_turns() {
    let mut world = World::new();
    let storage = world.open().await;
    for number in 0..40 {
        write(&storage, &world.context("a"), batch(Signal::Logs, "a", [number])).await;
    }
    drop(storage);
    world.settings.flush.max_head_bytes = 1;
    world.settings.flush.max_total_head_bytes = 1;
    let storage = world.open().await;
    assert_eq!(storage.replay().records, 40);
    assert!(!world.objects("/manifest/").await.is_empty());
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", 0..40));
    drop(storage);
    // Whatever the flushes during the replay claimed, nothing is missing.
    let storage = world.open().await;
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", 0..40));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_and_flushes_while_the_log_is_replayed_lose_and_double_nothing() {
    let mut world = World::new();
    world.settings.wal.segment_bytes = 30_000;
    let storage = world.open().await;
    for number in 0..30 {
        for signal in Signal::ALL {
            write(&storage, &world.context("a"), batch(signal, "a", [number])).await;
            write(&storage, &world.context("b"), batch(signal, "b", [number])).await;
        }
    }
    drop(storage);
    // The replay stands still while the store is away: the heads have no room for a second record.
    world.settings.flush.max_head_bytes = 100_000;
    world.settings.flush.max_total_head_bytes = 100_000;
    world.store.fail(Plan { path_contains: "", fault: Fault::Refused, after: 0, times: usize::MAX });
    let storage = loop {
        match world.try_open().await {
            Err(StorageError::Locked { .. }) => {}
            opened => break opened.unwrap(),
        }
    };
    while storage.replay().records < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!(!storage.replay().done);
    world.store.heal();
    let mut written = 30;
    while !storage.replay().done {
        let taken = batch(Signal::Logs, "a", [written]);
        match model::Ingest::ingest(&storage, &world.context("a"), taken).await {
            Ok(_) => written += 1,
            Err(model::ingest::IngestError::Unavailable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        storage.flush().await.unwrap();
    }
    for _ in 0..2 {
        for signal in Signal::ALL {
            let last = if signal == Signal::Logs { written } else { 30 };
            assert_eq!(world.read(&storage, "a", signal).await, lines("a", 0..last), "{signal}");
            assert_eq!(world.read(&storage, "b", signal).await, lines("b", 0..30), "{signal}");
        }
        storage.flush().await.unwrap();
    }
    assert_eq!(world.log_files().len(), 1, "all but the open file are trimmed, also where a tenant is idle");
    drop(storage);
    let storage = world.open().await;
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", 0..written));
    assert_eq!(world.read(&storage, "b", Signal::Metrics).await, lines("b", 0..30));
}

#[tokio::test]
async fn a_node_that_stood_still_neither_loses_its_flush_nor_sweeps_what_others_wrote() {
    let mut busy = World::new();
    busy.settings.retention.sweep_grace_ms = 0;
    let mut idle = World::new();
    idle.store = std::sync::Arc::clone(&busy.store);
    idle.settings.retention.sweep_grace_ms = 0;
    let (first, second) = (busy.open().await, idle.open().await);
    write(&second, &busy.context("a"), batch(Signal::Logs, "idle", [0])).await;
    second.flush().await.unwrap();
    for round in 0..20_i64 {
        write(&first, &busy.context("a"), batch(Signal::Logs, "busy", [round])).await;
        first.flush().await.unwrap();
    }
    first.retain().await.unwrap();
    assert!(busy.objects("/logs/manifest/").await.len() < 12, "the versions in between are swept");
    second.retain().await.unwrap();
    write(&second, &busy.context("a"), batch(Signal::Logs, "idle", [1])).await;
    second.flush().await.unwrap();
    second.retain().await.unwrap();
    drop((first, second));
    let storage = busy.open().await;
    let mut expected = lines("busy", 0..20);
    expected.extend(lines("idle", 0..2));
    assert_eq!(busy.read(&storage, "a", Signal::Logs).await, expected);
}
