//! Deletions: hidden at once, gone when segments are rewritten, and only what was there.

use model::limits::KeepRule;
use model::time::{NS_PER_MS, NS_PER_S};
use model::{MatchOp, Matcher, Signal, TimeRange};
use storage::delete::{Cancelled, DeletionRequest};
use storage::hold::HoldRequest;
use storage::manifest::keeping::{Deletion, HoldKind, LineOp, LineTest};
use storage::{AtOnce, Storage, StorageError};

use crate::fixture::{NOW_NS, World, batch, lines, write};

const HOUR_NS: i64 = 3_600 * NS_PER_S;

/// The numbers of [`batch`] from one to another.
fn numbers(first: i64, last: i64) -> TimeRange {
    TimeRange::new(NOW_NS + first * NS_PER_MS, NOW_NS + last * NS_PER_MS)
}

/// The matcher for what [`batch`] calls its source.
fn of_source(signal: Signal, source: &str) -> Vec<Matcher> {
    let name = if signal == Signal::Traces { "resource.service.name" } else { "source" };
    vec![Matcher::equal(name, source)]
}

fn request(signal: Signal, source: &str, range: TimeRange) -> DeletionRequest {
    DeletionRequest {
        query: format!("{{source={source:?}}}"),
        selectors: vec![of_source(signal, source)],
        lines: Vec::new(),
        labels: Vec::new(),
        range,
        actor: "tester".to_owned(),
        cancel_period_ns: 0,
    }
}

async fn delete(world: &World, storage: &Storage, signal: Signal, source: &str, range: TimeRange) {
    storage.delete(&world.context("a"), signal, &request(signal, source, range)).await.unwrap();
}

async fn deletions(world: &World, storage: &Storage, signal: Signal) -> Vec<Deletion> {
    storage.deletions(&world.context("a"), signal).await.unwrap()
}

/// The rows of all segments that the newest manifest of a signal names.
async fn rows_in_store(world: &World, signal: Signal) -> u64 {
    let paths = world.objects(&format!("tenants/a/{signal}/manifest/")).await;
    let newest: serde_json::Value = serde_json::from_slice(&world.get(paths.last().unwrap()).await).unwrap();
    let segments = newest["segments"].as_array().unwrap();
    segments.iter().map(|segment| segment["rows"].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn what_is_deleted_is_hidden_at_once_and_gone_after_a_pass() {
    let world = World::new();
    let storage = world.open().await;
    for signal in Signal::ALL {
        write(&storage, &world.context("a"), batch(signal, "x", 0..4)).await;
        write(&storage, &world.context("a"), batch(signal, "y", 0..4)).await;
        storage.flush().await.unwrap();
        write(&storage, &world.context("a"), batch(signal, "x", 4..8)).await;
        write(&storage, &world.context("b"), batch(signal, "x", 0..4)).await;

        delete(&world, &storage, signal, "x", numbers(2, 5)).await;
        let left: Vec<String> = [lines("x", [0, 1, 6, 7]), lines("y", 0..4)].concat();
        assert_eq!(world.read(&storage, "a", signal).await, left, "{signal}");
        assert_eq!(world.read(&storage, "b", signal).await, lines("x", 0..4), "another tenant's stay");
        assert_eq!(rows_in_store(&world, signal).await, 12);
        assert_eq!(deletions(&world, &storage, signal).await[0].processed_ns, None);

        storage.compact().await.unwrap();
        assert_eq!(rows_in_store(&world, signal).await, 8, "{signal}");
        assert!(deletions(&world, &storage, signal).await[0].processed_ns.is_some());
        assert_eq!(world.read(&storage, "a", signal).await, left);
    }
    drop(storage);
    let storage = world.open().await;
    for signal in Signal::ALL {
        let left: Vec<String> = [lines("x", [0, 1, 6, 7]), lines("y", 0..4)].concat();
        assert_eq!(world.read(&storage, "a", signal).await, left, "{signal}");
    }
}

#[tokio::test]
async fn what_is_written_after_a_deletion_stays() {
    let world = World::new();
    let storage = world.open().await;
    for signal in Signal::ALL {
        write(&storage, &world.context("a"), batch(signal, "x", 0..4)).await;
        delete(&world, &storage, signal, "x", TimeRange::ALL).await;
        assert!(world.read(&storage, "a", signal).await.is_empty());
        write(&storage, &world.context("a"), batch(signal, "x", 2..6)).await;
        assert_eq!(world.read(&storage, "a", signal).await, lines("x", 2..6));
    }
    // The log has both: what came before the deletion is in segments and is not replayed.
    drop(storage);
    let storage = world.open().await;
    for signal in Signal::ALL {
        assert_eq!(world.read(&storage, "a", signal).await, lines("x", 2..6), "{signal}");
    }
    storage.flush().await.unwrap();
    storage.compact().await.unwrap();
    for signal in Signal::ALL {
        assert_eq!(world.read(&storage, "a", signal).await, lines("x", 2..6), "{signal}");
        assert_eq!(rows_in_store(&world, signal).await, 4);
    }
}

#[tokio::test]
async fn lines_are_deleted_by_their_text() {
    let world = World::new();
    let storage = world.open().await;
    write(&storage, &world.context("a"), batch(Signal::Logs, "x", 0..20)).await;
    storage.flush().await.unwrap();
    let line = |op, text: &str| LineTest { op, texts: vec![text.to_owned()] };
    let lines_of_one = vec![line(LineOp::Contains, "line 1"), line(LineOp::Differs, "1[0-4]$")];
    let wanted = DeletionRequest { lines: lines_of_one, ..request(Signal::Logs, "x", TimeRange::ALL) };
    storage.delete(&world.context("a"), Signal::Logs, &wanted).await.unwrap();
    let left = lines("x", (0..20).filter(|n| *n != 1 && *n < 15));
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, left);
    storage.compact().await.unwrap();
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, left);
    assert_eq!(rows_in_store(&world, Signal::Logs).await, 14);
    let metrics = storage.delete(&world.context("a"), Signal::Metrics, &wanted).await;
    assert!(matches!(metrics, Err(StorageError::Request(_))));
}

#[tokio::test]
async fn labels_of_what_is_deleted_are_listed_no_more() {
    let world = World::new();
    let storage = world.open().await;
    for signal in [Signal::Metrics, Signal::Logs] {
        write(&storage, &world.context("a"), batch(signal, "x", 0..4)).await;
        write(&storage, &world.context("a"), batch(signal, "y", 0..4)).await;
        delete(&world, &storage, signal, "x", TimeRange::ALL).await;
    }
    for _ in 0..2 {
        let metrics = storage.metrics(&world.context("a"), TimeRange::ALL).await.unwrap();
        let logs = storage.logs(&world.context("a"), TimeRange::ALL).await.unwrap();
        let all = [Vec::new()];
        for values in [
            metrics.label_values("source", &all).await.unwrap(),
            logs.label_values("source", &all).await.unwrap(),
        ] {
            assert_eq!(values.iter().map(|value| &**value).collect::<Vec<_>>(), ["y"]);
        }
        assert_eq!(metrics.select(&[]).await.unwrap().labels().len(), 1);
        assert_eq!(logs.select(&[]).await.unwrap().labels().len(), 1);
        storage.compact().await.unwrap();
    }
}

#[tokio::test]
async fn a_deletion_can_be_taken_back_for_a_while() {
    let world = World::new();
    let storage = world.open().await;
    let ctx = world.context("a");
    write(&storage, &ctx, batch(Signal::Logs, "x", 0..4)).await;
    let later = DeletionRequest { cancel_period_ns: HOUR_NS, ..request(Signal::Logs, "x", TimeRange::ALL) };
    let first = storage.delete(&ctx, Signal::Logs, &later).await.unwrap().remove(0);
    storage.compact().await.unwrap();
    assert!(world.read(&storage, "a", Signal::Logs).await.is_empty());
    assert_eq!(rows_in_store(&world, Signal::Logs).await, 4, "it may be taken back");
    let cancel =
        async |id: &str, forced| storage.cancel_deletion(&ctx, Signal::Logs, id, forced).await.unwrap();
    assert_eq!(cancel("nothing", false).await, Cancelled::Unknown);
    assert_eq!(cancel(&first.id, false).await, Cancelled::Done);
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("x", 0..4));
    let second = storage.delete(&ctx, Signal::Logs, &later).await.unwrap().remove(0);
    assert_eq!(second.number, first.number + 1);
    world.clock.advance_ns(HOUR_NS);
    assert_eq!(cancel(&second.id, false).await, Cancelled::TooLate);
    storage.compact().await.unwrap();
    assert_eq!(rows_in_store(&world, Signal::Logs).await, 0);
    assert_eq!(cancel(&second.id, true).await, Cancelled::TooLate);
}

#[tokio::test]
async fn merges_keep_what_waits_apart_from_what_came_later() {
    let mut world = World::new();
    world.settings.compaction.fan_in = 2;
    let storage = world.open().await;
    let ctx = world.context("a");
    for number in 0..2 {
        write(&storage, &ctx, batch(Signal::Logs, "x", [number])).await;
        storage.flush().await.unwrap();
    }
    let later = DeletionRequest { cancel_period_ns: HOUR_NS, ..request(Signal::Logs, "x", TimeRange::ALL) };
    storage.delete(&ctx, Signal::Logs, &later).await.unwrap();
    for number in 2..4 {
        write(&storage, &ctx, batch(Signal::Logs, "x", [number])).await;
        storage.flush().await.unwrap();
    }
    storage.compact().await.unwrap();
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("x", 2..4));
    assert_eq!(rows_in_store(&world, Signal::Logs).await, 4);
    world.clock.advance_ns(HOUR_NS);
    storage.compact().await.unwrap();
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("x", 2..4));
    assert_eq!(rows_in_store(&world, Signal::Logs).await, 2);
}

#[tokio::test]
async fn a_deletion_that_waits_does_not_hold_up_those_after_it() {
    for signal in Signal::ALL {
        let mut world = World::new();
        world.settings.compaction.fan_in = 2;
        let storage = world.open().await;
        let ctx = world.context("a");
        for first in [0, 4] {
            write(&storage, &ctx, batch(signal, "x", first..first + 4)).await;
            write(&storage, &ctx, batch(signal, "y", first..first + 4)).await;
            storage.flush().await.unwrap();
        }
        let of = |source: &str, range, cancel_period_ns| DeletionRequest {
            cancel_period_ns,
            ..request(signal, source, range)
        };
        storage.delete(&ctx, signal, &of("x", numbers(0, 1), 0)).await.unwrap();
        let waits = storage.delete(&ctx, signal, &of("x", numbers(2, 5), HOUR_NS)).await.unwrap().remove(0);
        storage.delete(&ctx, signal, &of("y", numbers(0, 6), 0)).await.unwrap();
        storage.delete(&ctx, signal, &of("none", TimeRange::ALL, 0)).await.unwrap();
        let left: Vec<String> = [lines("x", [6, 7]), lines("y", [7])].concat();
        assert_eq!(world.read(&storage, "a", signal).await, left);
        storage.compact().await.unwrap();
        assert_eq!(world.read(&storage, "a", signal).await, left);
        assert_eq!(rows_in_store(&world, signal).await, 3 + 4, "{signal}: what waits alone is there");
        let done = async || {
            let all = deletions(&world, &storage, signal).await;
            all.iter().map(|deletion| deletion.processed_ns.is_some()).collect::<Vec<_>>()
        };
        assert_eq!(done().await, [true, false, true, true], "{signal}");
        // Nothing is looked at again, and what is written now is not concerned.
        let versions = world.objects(&format!("tenants/a/{signal}/manifest/")).await.len();
        storage.compact().await.unwrap();
        assert_eq!(world.objects(&format!("tenants/a/{signal}/manifest/")).await.len(), versions, "{signal}");
        write(&storage, &ctx, batch(signal, "y", 20..24)).await;
        storage.flush().await.unwrap();
        let left: Vec<String> = [lines("x", [6, 7]), lines("y", [7, 20, 21, 22, 23])].concat();
        let mut left = left;
        left.sort();
        assert_eq!(world.read(&storage, "a", signal).await, left);

        if signal == Signal::Logs {
            let taken_back = storage.cancel_deletion(&ctx, signal, &waits.id, false).await.unwrap();
            assert_eq!(taken_back, Cancelled::Done);
            left.extend(lines("x", 2..6));
            left.sort();
        }
        world.clock.advance_ns(HOUR_NS);
        storage.compact().await.unwrap();
        assert_eq!(world.read(&storage, "a", signal).await, left, "{signal}");
        assert_eq!(rows_in_store(&world, signal).await, left.len() as u64, "{signal}");
        assert!(done().await.iter().all(|is_done| *is_done), "{signal}");
        drop(storage);
        let storage = world.open().await;
        assert_eq!(world.read(&storage, "a", signal).await, left, "{signal}");
    }
}

#[tokio::test]
async fn lines_are_deleted_by_their_labels_and_structured_metadata() {
    let matcher = |name: &str, op, value: &str| Matcher::new(name, op, value).unwrap();
    let cases = [
        (vec![Matcher::equal("number", "3")], vec![3]),
        (vec![matcher("number", MatchOp::Regex, "1.*"), matcher("number", MatchOp::NotEqual, "12")], {
            let mut numbers = vec![1];
            numbers.extend((10..20).filter(|number| *number != 12));
            numbers
        }),
        (vec![Matcher::equal("source", "x"), Matcher::equal("number", "5")], vec![5]),
        (vec![matcher("source", MatchOp::NotEqual, "x"), Matcher::equal("number", "5")], vec![]),
        (vec![Matcher::equal("absent", ""), Matcher::equal("number", "6")], vec![6]),
        (vec![Matcher::equal("absent", "y")], vec![]),
        (vec![Matcher::equal("number_extracted", "6")], vec![]),
    ];
    for (labels, gone) in cases {
        let world = World::new();
        let storage = world.open().await;
        let ctx = world.context("a");
        write(&storage, &ctx, batch(Signal::Logs, "x", 0..10)).await;
        storage.flush().await.unwrap();
        write(&storage, &ctx, batch(Signal::Logs, "x", 10..20)).await;
        let wanted = DeletionRequest { labels: labels.clone(), ..request(Signal::Logs, "x", TimeRange::ALL) };
        storage.delete(&ctx, Signal::Logs, &wanted).await.unwrap();
        let left = lines("x", (0..20).filter(|number| !gone.contains(number)));
        assert_eq!(world.read(&storage, "a", Signal::Logs).await, left, "{labels:?}");
        storage.compact().await.unwrap();
        assert_eq!(world.read(&storage, "a", Signal::Logs).await, left, "{labels:?}");
        assert_eq!(rows_in_store(&world, Signal::Logs).await, left.len() as u64, "{labels:?}");
    }
}

#[tokio::test]
async fn a_run_of_retention_leaves_nothing_in_the_log_either() {
    let world = keeping_two_hours();
    let storage = world.open().await;
    let ctx = world.context("a");
    let sought = async |signal: Signal| {
        let matchers = if signal == Signal::Traces { Vec::new() } else { of_source(signal, "x") };
        let stored = storage.stored(&ctx, signal, &matchers, Some([9; 16]), numbers(1, 2)).await.unwrap();
        (stored.rows, stored.log_rows, stored.log_files.len())
    };
    for signal in Signal::ALL {
        write(&storage, &ctx, batch(signal, "x", 0..4)).await;
        write(&storage, &ctx, batch(signal, "y", 0..1)).await;
        write(&storage, &world.context("b"), batch(signal, "x", 0..4)).await;
        assert_eq!(sought(signal).await, (0, 2, 1), "{signal}");
    }
    storage.flush().await.unwrap();
    world.clock.advance_ns(HOUR_NS - 1);
    storage.retain().await.unwrap();
    for signal in Signal::ALL {
        assert_eq!(sought(signal).await, (2, 2, 1), "{signal}: a log file is not new for every pass");
    }
    world.clock.advance_ns(1);
    storage.retain().await.unwrap();
    for signal in Signal::ALL {
        assert_eq!(sought(signal).await, (2, 0, 0), "{signal}");
    }
    write(&storage, &ctx, batch(Signal::Logs, "x", 0..4)).await;
    assert_eq!(sought(Signal::Logs).await, (2, 2, 1));
    storage.retain_at_once(&AtOnce::Everybody).await.unwrap();
    assert_eq!(sought(Signal::Logs).await.1, 0);
    assert_eq!(world.log_files().len(), 1);
}

/// A world whose tenants keep every signal for two hours.
fn keeping_two_hours() -> World {
    let mut world = World::new();
    let period = Some(2 * HOUR_NS);
    world.limits.retention =
        model::limits::Retention { metrics_ns: period, logs_ns: period, traces_ns: period };
    world
}

fn hold_all() -> HoldRequest {
    HoldRequest {
        kind: HoldKind::Hold,
        signals: Signal::ALL.to_vec(),
        matchers: Vec::new(),
        range: TimeRange::ALL,
        reason: "case 7".to_owned(),
        actor: "tester".to_owned(),
        until_ns: None,
        notes: [("severity".to_owned(), "high".to_owned())].into(),
    }
}

#[tokio::test]
async fn a_hold_stops_retention_and_deletions_until_it_is_released() {
    let world = keeping_two_hours();
    let storage = world.open().await;
    let ctx = world.context("a");
    for signal in Signal::ALL {
        write(&storage, &ctx, batch(signal, "x", 0..4)).await;
    }
    let hold = storage.hold(&ctx, &hold_all()).await.unwrap();
    delete(&world, &storage, Signal::Logs, "x", numbers(0, 1)).await;
    world.clock.advance_ns(5 * HOUR_NS);
    storage.retain_at_once(&AtOnce::Everybody).await.unwrap();
    assert_eq!(world.read(&storage, "a", Signal::Metrics).await, lines("x", 0..4));
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("x", 2..4), "hidden all the same");
    assert_eq!(rows_in_store(&world, Signal::Logs).await, 4, "but there");
    // Another node, and this one after a restart, know of it.
    drop(storage);
    let storage = world.open().await;
    let held = storage.holds(&ctx).await.unwrap();
    assert_eq!((held.len(), held[0].signals.len(), &held[0].hold), (1, 3, &hold));
    assert_eq!(held[0].hold.notes["severity"], "high");
    let notes = [("report".to_owned(), "x".repeat(1 << 20))].into();
    storage.hold(&ctx, &HoldRequest { notes, ..hold_all() }).await.unwrap_err();
    storage.retain().await.unwrap();
    assert_eq!(world.read(&storage, "a", Signal::Traces).await, lines("x", 0..4));
    assert!(storage.release(&ctx, &hold.id).await.unwrap());
    assert!(!storage.release(&ctx, &hold.id).await.unwrap());
    for signal in Signal::ALL {
        assert!(world.read(&storage, "a", signal).await.is_empty(), "{signal}");
    }
    assert_eq!(storage.retain().await.unwrap().segments_expired, 3);
}

#[tokio::test]
async fn an_incident_ends_once_and_is_named_for_a_while() {
    let world = World::new();
    let storage = world.open().await;
    let ctx = world.context("a");
    write(&storage, &ctx, batch(Signal::Logs, "x", 0..4)).await;
    let wanted = HoldRequest {
        kind: HoldKind::Incident,
        until_ns: Some(NOW_NS + HOUR_NS),
        notes: std::collections::BTreeMap::new(),
        ..hold_all()
    };
    let said = |how: &str| [("resolution".to_owned(), how.to_owned())].into();
    let hold = storage.hold(&ctx, &wanted).await.unwrap();
    assert!(storage.end_incident(&ctx, &hold.id, &said("mended")).await.unwrap());
    assert!(!storage.end_incident(&ctx, &hold.id, &said("again")).await.unwrap(), "once");
    assert!(storage.holds(&ctx).await.unwrap().is_empty());
    // One that has ended by itself has something said of it by whoever is first.
    let late = storage.hold(&ctx, &wanted).await.unwrap();
    world.clock.advance_ns(HOUR_NS);
    assert!(storage.end_incident(&ctx, &late.id, &said("over")).await.unwrap());
    assert!(!storage.end_incident(&ctx, &late.id, &said("over")).await.unwrap());
    drop(storage);
    let storage = world.open().await;
    let known = storage.incidents(ctx.tenant());
    let ends = known.iter().map(|held| (held.hold.until_ns, held.hold.notes["resolution"].as_str()));
    assert_eq!(ends.collect::<Vec<_>>(), [(Some(NOW_NS), "mended"), (Some(NOW_NS + HOUR_NS), "over")]);
    assert_eq!(known[0].signals.len(), 3);
    assert!(!storage.end_incident(&ctx, "nobody", &said("x")).await.unwrap());
    // Holds of others do not stand in its way, and what has ended long ago is forgotten.
    for _ in 0..200 {
        storage.hold(&ctx, &HoldRequest { signals: vec![Signal::Logs], ..hold_all() }).await.unwrap();
    }
    storage.hold(&ctx, &HoldRequest { signals: vec![Signal::Logs], ..hold_all() }).await.unwrap_err();
    world.clock.advance_ns(31 * 24 * HOUR_NS);
    let until_ns = Some(NOW_NS + (2 + 31 * 24) * HOUR_NS);
    let last = storage.hold(&ctx, &HoldRequest { until_ns, ..wanted }).await.unwrap();
    let known = storage.incidents(ctx.tenant());
    assert_eq!(known.iter().map(|held| &held.hold.id).collect::<Vec<_>>(), [&last.id]);
}

#[tokio::test]
async fn a_hold_of_a_selector_and_a_time_holds_those_rows_alone_and_ends_by_itself() {
    let mut world = World::new();
    world.limits.retention.logs_ns = Some(2 * HOUR_NS);
    let storage = world.open().await;
    let ctx = world.context("a");
    write(&storage, &ctx, batch(Signal::Logs, "x", 0..4)).await;
    write(&storage, &ctx, batch(Signal::Logs, "y", 0..4)).await;
    let some = HoldRequest {
        signals: vec![Signal::Logs],
        matchers: of_source(Signal::Logs, "x"),
        range: numbers(1, 2),
        until_ns: Some(NOW_NS + 10 * HOUR_NS),
        ..hold_all()
    };
    storage.hold(&ctx, &some).await.unwrap();
    world.clock.advance_ns(5 * HOUR_NS);
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("x", 1..3));
    storage.retain_at_once(&AtOnce::Everybody).await.unwrap();
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("x", 1..3));
    assert_eq!(rows_in_store(&world, Signal::Logs).await, 2, "the others are gone");
    world.clock.advance_ns(5 * HOUR_NS);
    assert!(world.read(&storage, "a", Signal::Logs).await.is_empty());
    assert!(storage.holds(&ctx).await.unwrap().is_empty());
    storage.retain_at_once(&AtOnce::Everybody).await.unwrap();
    assert_eq!(rows_in_store(&world, Signal::Logs).await, 0);
}

#[tokio::test]
async fn selectors_have_periods_of_their_own() {
    let mut world = World::new();
    let period = Some(4 * HOUR_NS);
    world.limits.retention =
        model::limits::Retention { metrics_ns: period, logs_ns: period, traces_ns: period };
    for signal in Signal::ALL {
        let rule = |source: &str, priority, period_ns| KeepRule {
            matchers: of_source(signal, source),
            of_everyone: false,
            priority,
            period_ns,
        };
        let rules = [
            rule("short", 1, Some(HOUR_NS)),
            rule("long", 1, Some(8 * HOUR_NS)),
            rule("long", 0, Some(NS_PER_S)),
        ];
        *world.limits.keep_rules.of_mut(signal) = rules.to_vec();
    }
    let storage = world.open().await;
    for signal in Signal::ALL {
        for source in ["short", "plain", "long"] {
            write(&storage, &world.context("a"), batch(signal, source, 0..4)).await;
        }
    }
    let mut readable = vec!["long", "plain", "short"];
    for (hours, gone) in [(2, "short"), (3, "plain"), (4, "long")] {
        world.clock.advance_ns(hours * HOUR_NS);
        readable.retain(|source| *source != gone);
        for signal in Signal::ALL {
            let left: Vec<String> = readable.iter().flat_map(|source| lines(source, 0..4)).collect();
            assert_eq!(world.read(&storage, "a", signal).await, left, "{signal} after {gone}");
        }
        storage.retain_at_once(&AtOnce::Everybody).await.unwrap();
        for signal in Signal::ALL {
            let left: Vec<String> = readable.iter().flat_map(|source| lines(source, 0..4)).collect();
            assert_eq!(world.read(&storage, "a", signal).await, left, "{signal} after {gone}");
            let rows = rows_in_store(&world, signal).await;
            assert_eq!(rows, 4 * readable.len() as u64, "{signal}");
        }
    }
}

#[tokio::test]
async fn a_period_that_becomes_shorter_waits_before_it_acts() {
    let mut world = World::new();
    world.limits.retention.logs_ns = Some(10 * HOUR_NS);
    let storage = world.open().await;
    write(&storage, &world.context("a"), batch(Signal::Logs, "x", 0..4)).await;
    storage.flush().await.unwrap();
    drop(storage);
    world.clock.advance_ns(5 * HOUR_NS);
    world.limits.retention.logs_ns = Some(HOUR_NS);
    let storage = world.open().await;
    assert_eq!(storage.retain().await.unwrap().segments_expired, 0);
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("x", 0..4));
    world.clock.advance_ns(HOUR_NS - 1);
    assert_eq!(storage.retain().await.unwrap().segments_expired, 0);
    world.clock.advance_ns(1);
    assert!(world.read(&storage, "a", Signal::Logs).await.is_empty());
    assert_eq!(storage.retain().await.unwrap().segments_expired, 1);
    // Without the grace when somebody asks for it.
    write(&storage, &world.context("a"), batch(Signal::Metrics, "x", 0..4)).await;
    storage.flush().await.unwrap();
    drop(storage);
    world.limits.retention.metrics_ns = Some(HOUR_NS);
    let storage = world.open().await;
    assert_eq!(storage.retain().await.unwrap().segments_expired, 0);
    assert_eq!(storage.retain_at_once(&AtOnce::Everybody).await.unwrap().segments_expired, 1);
}

/// Two nodes over one store.
fn two_worlds() -> (World, World) {
    let store: std::sync::Arc<dyn object_store::ObjectStore> =
        std::sync::Arc::new(object_store::memory::InMemory::new());
    (World::on(std::sync::Arc::clone(&store)), World::on(store))
}

#[tokio::test]
async fn nodes_do_not_rewrite_what_another_one_has_rewritten() {
    let (mut one, mut two) = two_worlds();
    for world in [&mut one, &mut two] {
        for signal in Signal::ALL {
            let rule = KeepRule {
                matchers: of_source(signal, "short"),
                of_everyone: false,
                priority: 1,
                period_ns: Some(HOUR_NS),
            };
            *world.limits.keep_rules.of_mut(signal) = vec![rule];
        }
    }
    let (first, second) = (one.open().await, two.open().await);
    for signal in Signal::ALL {
        // What is left of the short period has rows of later, so that the segment stays one that periods divide.
        write(&first, &one.context("a"), batch(signal, "short", 0..4)).await;
        write(&first, &one.context("a"), batch(signal, "long", 0..4)).await;
    }
    first.flush().await.unwrap();
    for world in [&one, &two] {
        world.clock.advance_ns(HOUR_NS + 2 * NS_PER_MS);
    }
    let mut rewritten = 0;
    for _ in 0..3 {
        for storage in [&first, &second] {
            rewritten += storage.retain_at_once(&AtOnce::Everybody).await.unwrap().segments_rewritten;
            for world in [&one, &two] {
                world.clock.advance_ns(31 * NS_PER_S);
            }
        }
    }
    // The first pass leaves half of the short ones behind, the next the rest.
    assert!((3..=6).contains(&rewritten), "{rewritten} rewritings of three segments");
    let versions = one.objects("manifest").await.len();
    for storage in [&first, &second] {
        storage.retain_at_once(&AtOnce::Everybody).await.unwrap();
    }
    assert_eq!(one.objects("manifest").await.len(), versions, "nothing is left to be done");
}

#[tokio::test]
async fn another_node_hides_what_was_deleted_and_keeps_what_came_later() {
    let (one, two) = two_worlds();
    let (first, second) = (one.open().await, two.open().await);
    let ctx = one.context("a");
    write(&first, &ctx, batch(Signal::Logs, "x", 0..2)).await;
    first.flush().await.unwrap();
    // To the other node the tenant is new: what it takes comes before the deletion, in a head.
    write(&second, &ctx, batch(Signal::Logs, "x", 2..4)).await;
    delete(&one, &first, Signal::Logs, "x", TimeRange::ALL).await;
    for world in [&one, &two] {
        world.clock.advance_ns(6 * NS_PER_S);
    }
    assert!(two.read(&second, "a", Signal::Logs).await.is_empty());
    // What it takes from now on stays, in its head, in its log and in segments.
    write(&second, &ctx, batch(Signal::Logs, "x", 4..6)).await;
    assert_eq!(two.read(&second, "a", Signal::Logs).await, lines("x", 4..6));
    drop(second);
    let second = two.open().await;
    assert_eq!(two.read(&second, "a", Signal::Logs).await, lines("x", 4..6));
    second.flush().await.unwrap();
    second.compact().await.unwrap();
    assert_eq!(rows_in_store(&two, Signal::Logs).await, 2);
    // The first node did not know of another one, and asks less often.
    one.clock.advance_ns(31 * NS_PER_S);
    assert_eq!(one.read(&first, "a", Signal::Logs).await, lines("x", 4..6));
    assert!(deletions(&one, &first, Signal::Logs).await[0].processed_ns.is_some());
}

#[tokio::test]
async fn a_deletion_of_before_concerns_no_row_of_a_node_that_learns_of_the_tenant_later() {
    let (one, two) = two_worlds();
    let (first, second) = (one.open().await, two.open().await);
    let ctx = one.context("a");
    write(&first, &ctx, batch(Signal::Logs, "x", 0..2)).await;
    delete(&one, &first, Signal::Logs, "x", TimeRange::ALL).await;
    first.compact().await.unwrap();
    two.clock.advance_ns(6 * NS_PER_S);
    write(&second, &ctx, batch(Signal::Logs, "x", 2..4)).await;
    assert_eq!(two.read(&second, "a", Signal::Logs).await, lines("x", 2..4));
    drop(second);
    let second = two.open().await;
    second.flush().await.unwrap();
    second.compact().await.unwrap();
    assert_eq!(two.read(&second, "a", Signal::Logs).await, lines("x", 2..4));
}
