//! Partial success, and refusal when there is no room.

use std::sync::Arc;

use model::ingest::{IngestError, Reason};
use model::log::{Entry, LogBatchBuilder};
use model::time::NS_PER_S;
use model::{Batch, Ingest, Labels, Signal, TenantContext, TenantId};
use prometheus_client::registry::Registry;
use storage::StorageError;

use crate::faulty::{Fault, Plan};
use crate::fixture::{NOW_NS, World, batch, lines, write};

#[tokio::test]
async fn what_is_rejected_is_named_and_counted_and_the_rest_is_kept() {
    let mut world = World::new();
    for signal in Signal::ALL {
        world.limits.intake_mut(signal).reject_older_than_ns = Some(3_600 * NS_PER_S);
    }
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
async fn a_tenant_over_its_rate_is_told_when_to_come_back_and_others_are_not_slowed() {
    let mut world = World::new();
    for signal in Signal::ALL {
        // Samples, or bytes of about one batch below.
        let per_s = batch(signal, "a", [1, 2, 3]);
        let per_s = if signal == Signal::Metrics { per_s.items() as u64 } else { 2_000 };
        let intake = world.limits.intake_mut(signal);
        (intake.rate_per_s, intake.burst) = (Some(per_s), Some(per_s));
    }
    let storage = world.open().await;
    let mut free = world.limits.clone();
    for signal in Signal::ALL {
        free.intake_mut(signal).rate_per_s = None;
    }
    let free = TenantContext::new(TenantId::parse("b").unwrap(), Arc::new(free));
    for signal in Signal::ALL {
        let one = |number| batch(signal, "a", [number, number + 1, number + 2]);
        let mut taken = 0;
        let refused = loop {
            match storage.ingest(&world.context("a"), one(taken * 3)).await {
                Ok(receipt) => assert_eq!(receipt.rejected(), 0),
                Err(error) => break error,
            }
            taken += 1;
        };
        let IngestError::Limited { message, retry_after_s } = &refused else { panic!("{refused}") };
        assert!(
            message.starts_with(&format!("rate_limited: tenant=a is over its rate of {signal}")),
            "{message}"
        );
        assert_eq!(*retry_after_s, 1, "{message}");
        for number in 0..50 {
            write(&storage, &free, one(number * 3)).await;
        }
        world.clock.advance_ns(i64::from(*retry_after_s) * NS_PER_S);
        write(&storage, &world.context("a"), one(taken * 3)).await;
    }
    assert_eq!(world.metric(&storage, "stella_ingest_refused_batches_total"), 3.0);
    let rejected = world.metric(&storage, "stella_ingest_rejected_items_total");
    assert_eq!(rejected, 9.0, "each item is counted, as rate_limited");
}

#[tokio::test]
async fn a_limit_of_series_counts_those_that_are_in_the_head_already() {
    let mut world = World::new();
    let storage = world.open().await;
    write(&storage, &world.context("a"), batch(Signal::Metrics, "one", [1])).await;
    world.limits.metrics.intake.max_active = Some(1);
    write(&storage, &world.context("a"), batch(Signal::Metrics, "one", [2])).await;
    let receipt = storage.ingest(&world.context("a"), batch(Signal::Metrics, "two", [3])).await.unwrap();
    assert_eq!(receipt.rejections[0].reason, Reason::TooManySeries);
    assert_eq!(world.metric(&storage, "stella_ingest_active"), 1.0);
    storage.flush().await.unwrap();
    let receipt = storage.ingest(&world.context("a"), batch(Signal::Metrics, "two", [3])).await.unwrap();
    assert_eq!(receipt.accepted, 0, "a flush does not make room");
    // As long as two heads may live.
    world.clock.advance_ns(3 * 600 * NS_PER_S);
    let receipt = storage.ingest(&world.context("a"), batch(Signal::Metrics, "two", [3])).await.unwrap();
    assert_eq!(receipt.rejected(), 0, "{receipt:?}");
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

/// A line of so many bytes.
fn line_of(bytes: usize) -> Batch {
    let mut builder = LogBatchBuilder::default();
    let stream = builder.stream(&Labels::from_pairs([("source", "a")]));
    builder.entry(stream, Entry { timestamp_ns: NOW_NS, line: &"x".repeat(bytes), ..Entry::default() });
    Batch::Logs(builder.finish())
}

#[tokio::test]
async fn a_batch_that_is_too_large_for_one_record_becomes_several() {
    let mut world = World::new();
    world.settings.memory.log_bytes = 64 << 10;
    let storage = world.open().await;
    for signal in Signal::ALL {
        write(&storage, &world.context("a"), batch(signal, "a", 0..1_500)).await;
        assert_eq!(world.read(&storage, "a", signal).await, lines("a", 0..1_500), "{signal}");
    }
    assert!(world.metric(&storage, "stella_wal_records_total") > 4.0);
    assert_eq!(storage.memory().log_bytes, 0, "what waited for the log is given back");
    write(&storage, &world.context("a"), line_of(10 << 10)).await;
    let refused = storage.ingest(&world.context("a"), line_of(20 << 10)).await;
    assert!(matches!(refused, Err(IngestError::TooLarge { .. })), "trying again cannot help: {refused:?}");
    drop(storage);
    let storage = world.open().await;
    for signal in [Signal::Metrics, Signal::Traces] {
        assert_eq!(world.read(&storage, "a", signal).await, lines("a", 0..1_500), "{signal}");
    }
}

#[tokio::test]
async fn a_log_that_is_larger_than_all_heads_may_be_is_replayed_within_their_bound() {
    let mut world = World::new();
    let mut expected = Vec::new();
    let storage = world.open().await;
    for number in 0..24 {
        let numbers = number * 500..(number + 1) * 500;
        for tenant in ["a", "b"] {
            write(&storage, &world.context(tenant), batch(Signal::Logs, "s", numbers.clone())).await;
        }
        expected.extend(numbers);
    }
    let in_heads = storage.memory().head_bytes;
    drop(storage);
    let bound = in_heads / 8;
    world.settings.flush.max_head_bytes = bound / 8;
    world.settings.flush.max_total_head_bytes = bound;
    world.settings.memory.log_bytes = 256 << 10;
    world.settings.memory.merge_bytes = 64 << 10;
    let storage = loop {
        match world.try_open().await {
            Err(StorageError::Locked { .. }) => {}
            opened => break opened.unwrap(),
        }
    };
    let mut most = storage.memory();
    while !storage.replay().done {
        let now = storage.memory();
        most.head_bytes = most.head_bytes.max(now.head_bytes);
        most.log_bytes = most.log_bytes.max(now.log_bytes);
        tokio::task::yield_now().await;
    }
    // The last batch may go beyond it.
    assert!(most.head_bytes <= bound + in_heads / 40, "{most:?}, at most {bound}");
    assert!(most.log_bytes <= 128 << 10, "{most:?}");
    assert!(world.metric(&storage, "stella_flushes_total") > 1.0);
    for tenant in ["a", "b"] {
        assert_eq!(
            world.read(&storage, tenant, Signal::Logs).await,
            lines("s", expected.clone()),
            "{tenant}"
        );
    }
}
