//! Partial success, and refusal when there is no room.

use model::ingest::{IngestError, Reason};
use model::time::NS_PER_S;
use model::{Ingest, Signal};
use prometheus_client::registry::Registry;

use crate::faulty::{Fault, Plan};
use crate::fixture::{World, batch, lines, write};

#[tokio::test]
async fn what_is_rejected_is_named_and_counted_and_the_rest_is_kept() {
    let mut world = World::new();
    world.limits.reject_older_than_ns = Some(3_600 * NS_PER_S);
    let storage = world.open().await;
    let mut registry = Registry::default();
    storage.register_metrics(&mut registry);
    for signal in Signal::ALL {
        let numbers = [-3_600_001, -3_600_000, 0, 600_000, 600_001];
        let receipt = storage.ingest(&world.context("a"), batch(signal, "a", numbers)).await.unwrap();
        let reasons: Vec<_> = receipt.rejections.iter().map(|r| (r.reason, r.items)).collect();
        assert_eq!(reasons, [(Reason::TooOld, 1), (Reason::TooFarAhead, 1)]);
        assert_eq!(receipt.accepted, 3);
        assert_eq!(world.read(&storage, "a", signal).await, lines("a", [-3_600_000, 0, 600_000]));
        let none = storage.ingest(&world.context("a"), batch(signal, "a", [-4_000_000])).await.unwrap();
        assert_eq!((none.accepted, none.rejected()), (0, 1));
    }
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "stella_ingest_items_total{tenant=\"a\",signal=\"logs\"} 3",
        "stella_ingest_rejected_items_total{tenant=\"a\",signal=\"traces\",reason=\"greater_than_max_sample_age\"} 2",
        "stella_replay_done 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn identical_items_are_kept_once_wherever_they_are() {
    let world = World::new();
    let storage = world.open().await;
    for signal in Signal::ALL {
        write(&storage, &world.context("a"), batch(signal, "a", [5, 3, 5])).await;
        storage.flush().await.unwrap();
        write(&storage, &world.context("a"), batch(signal, "a", [3, 4])).await;
        storage.flush().await.unwrap();
        write(&storage, &world.context("a"), batch(signal, "a", [4, 1])).await;
        assert_eq!(world.read(&storage, "a", signal).await, lines("a", [1, 3, 4, 5]), "{signal}");
    }
}

#[tokio::test]
async fn writers_wait_when_the_heads_are_full_and_go_on_when_there_is_room() {
    let mut world = World::new();
    world.settings.flush.max_head_bytes = 1;
    world.settings.flush.max_total_head_bytes = 1;
    let storage = world.open().await;
    world.store.fail(Plan { path_contains: "", fault: Fault::Refused, after: 0, times: usize::MAX });
    write(&storage, &world.context("a"), batch(Signal::Logs, "a", 0..10)).await;
    let refused = storage.ingest(&world.context("b"), batch(Signal::Logs, "b", 0..10)).await;
    assert!(matches!(refused, Err(IngestError::Unavailable { retry_after_s: 1.., .. })), "{refused:?}");
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", 0..10));
    world.store.heal();
    storage.flush().await.unwrap();
    write(&storage, &world.context("b"), batch(Signal::Logs, "b", 0..10)).await;
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused_by_name() {
    let mut world = World::new();
    world.settings.flush.max_total_head_bytes = world.settings.flush.max_head_bytes - 1;
    let error = world.try_open().await.err().unwrap().to_string();
    assert!(error.contains("flush.max_total_head_bytes"), "{error}");
}
