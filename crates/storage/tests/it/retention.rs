//! Expired data: unreadable at once, out of the manifest with one pass, out of the store after the grace.

use model::time::NS_PER_S;
use model::{Signal, limits::Retention};

use crate::fixture::{World, batch, lines, write};

const HOUR_NS: i64 = 3_600 * NS_PER_S;

fn kept_for(hours: i64) -> World {
    let mut world = World::new();
    let period = Some(hours * HOUR_NS);
    world.limits.retention = Retention { metrics_ns: period, logs_ns: period, traces_ns: None };
    world
}

#[tokio::test]
async fn expired_rows_are_unreadable_at_once_in_heads_and_in_segments() {
    let world = kept_for(2);
    let storage = world.open().await;
    for signal in Signal::ALL {
        write(&storage, &world.context("a"), batch(signal, "a", [0, 1])).await;
    }
    storage.flush().await.unwrap();
    for signal in Signal::ALL {
        write(&storage, &world.context("a"), batch(signal, "a", [2, 3])).await;
    }
    world.clock.advance_ns(2 * HOUR_NS + 2_000_000);
    assert_eq!(world.read(&storage, "a", Signal::Metrics).await, lines("a", [2, 3]));
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", [2, 3]));
    assert_eq!(world.read(&storage, "a", Signal::Traces).await, lines("a", 0..4));
}

#[tokio::test]
async fn expired_segments_leave_the_manifest_and_then_the_store() {
    let world = kept_for(2);
    let storage = world.open().await;
    for signal in Signal::ALL {
        write(&storage, &world.context("a"), batch(signal, "a", [0])).await;
    }
    storage.flush().await.unwrap();
    let all = world.objects("/segments/").await.len();
    assert_eq!(storage.retain().await.unwrap(), storage::RetentionReport::default());

    world.clock.advance_ns(3 * HOUR_NS);
    let report = storage.retain().await.unwrap();
    assert_eq!((report.segments_expired, report.objects_deleted), (2, 0));
    assert!(report.expired_bytes_present > 0);
    assert_eq!(world.objects("/segments/").await.len(), all);

    world.clock.advance_ns(HOUR_NS);
    let report = storage.retain().await.unwrap();
    assert_eq!((report.segments_expired, report.expired_bytes_present), (0, 0));
    assert!(report.objects_deleted >= 2 && report.bytes_deleted > 0);
    let left = world.objects("/segments/").await;
    assert!(!left.is_empty() && left.iter().all(|path| path.contains("/traces/")), "{left:?}");
    assert_eq!(world.read(&storage, "a", Signal::Traces).await, lines("a", [0]));

    // The truth of the manifests holds after a restart too.
    drop(storage);
    let storage = world.open().await;
    assert!(world.read(&storage, "a", Signal::Logs).await.is_empty());
    assert_eq!(world.read(&storage, "a", Signal::Traces).await, lines("a", [0]));
}

#[tokio::test]
async fn old_manifest_versions_are_swept_but_the_last_ones_stay() {
    let mut world = kept_for(1_000);
    world.settings.retention.sweep_grace_ms = 0;
    let storage = world.open().await;
    for number in 0..20 {
        write(&storage, &world.context("a"), batch(Signal::Logs, "a", [number])).await;
        storage.flush().await.unwrap();
    }
    storage.retain().await.unwrap();
    let left = world.objects("/manifest/").await;
    assert!((8..=10).contains(&left.len()), "{left:?}");
    drop(storage);
    let storage = world.open().await;
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", 0..20));
}
