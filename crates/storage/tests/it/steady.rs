//! Compaction under a load that goes on: days of writes, tenants that have more to merge than others, segments that are
//! larger than the memory that a merge may take.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::future::poll_fn;

use futures::TryStreamExt;
use model::log::{Entry, LogBatchBuilder};
use model::time::NS_PER_S;
use model::{Batch, Labels, Signal};
use object_store::ObjectStore;
use object_store::path::Path;
use storage::manifest::Manifest;
use storage::{CompactionReport, Storage};

use crate::compaction::{DAY_NS, HOUR_NS, forever};
use crate::faulty::{Fault, Plan};
use crate::fixture::{NOW_NS, World, batch, lines, write};

/// A world whose engine does nothing by itself.
fn quiet(fan_in: usize) -> World {
    let mut world = forever();
    world.settings.flush.max_head_age_ms = u64::MAX / 2;
    world.settings.retention.interval_ms = u64::MAX / 2;
    world.settings.compaction.fan_in = fan_in;
    world
}

/// The newest manifest.
async fn newest(world: &World, signal: Signal) -> Manifest {
    let prefix = Path::from(format!("tenants/a/{signal}/manifest"));
    let versions: Vec<_> = world.store.list(Some(&prefix)).try_collect().await.unwrap();
    let newest = versions.into_iter().map(|meta| meta.location).max().unwrap();
    serde_json::from_slice(&world.get(newest.as_ref()).await).unwrap()
}

/// How many segments each day has.
async fn days(world: &World, signal: Signal) -> BTreeMap<String, usize> {
    let mut days = BTreeMap::new();
    for segment in newest(world, signal).await.segments {
        *days.entry(segment.day).or_default() += 1;
    }
    days
}

#[tokio::test]
async fn a_stream_of_days_leaves_few_segments_of_each() {
    const FLUSHES_PER_DAY: i64 = 48;
    const DAYS: i64 = 3;
    const FAN_IN: usize = 4;
    // 48 flushes are three levels: of each level fewer than can be merged are left, and what came late for a day that
    // had been settled.
    const MOST_PER_DAY: usize = 3 * (FAN_IN - 1) + 2;
    const MOST_SETTLED: usize = 3;
    let world = quiet(FAN_IN);
    let storage = world.open().await;
    let ctx = world.context("a");
    let (mut written, mut most) = (Vec::new(), 0);
    for flush in 0..FLUSHES_PER_DAY * DAYS {
        world.clock.advance_ns(DAY_NS / FLUSHES_PER_DAY);
        let now = (flush + 1) * (DAY_NS / FLUSHES_PER_DAY) / 1_000_000;
        // Some arrives half a day late.
        let late = (flush % 6 == 0).then_some(now + 2 - DAY_NS / 2 / 1_000_000);
        let numbers: Vec<i64> = late.into_iter().chain([now, now + 1]).collect();
        written.extend(numbers.clone());
        for signal in Signal::ALL {
            write(&storage, &ctx, batch(signal, "a", numbers.clone())).await;
        }
        storage.flush().await.unwrap();
        storage.compact().await.unwrap();
        for signal in Signal::ALL {
            let days = days(&world, signal).await;
            most = most.max(days.values().copied().max().unwrap_or(0));
            assert!(most <= MOST_PER_DAY, "{signal} after {flush} flushes: {days:?}");
        }
    }
    // The last day is over too.
    world.clock.advance_ns(DAY_NS + 2 * HOUR_NS);
    storage.compact().await.unwrap();
    for signal in Signal::ALL {
        let days = days(&world, signal).await;
        assert!(days.len() as i64 >= DAYS && days.values().all(|count| *count <= MOST_SETTLED), "{days:?}");
        assert!(world.read(&storage, "a", signal).await == lines("a", written.clone()), "{signal}");
    }
    assert!(most > MOST_SETTLED, "a day that is young is not rewritten with every flush");
}

async fn flushed(world: &World, storage: &Storage, tenant: &str, segments: i64) {
    for number in 0..segments {
        write(storage, &world.context(tenant), batch(Signal::Logs, tenant, [number])).await;
        storage.flush().await.unwrap();
    }
}

/// The tenants of the segments that are there and were not before, in the order in which they were made.
async fn merged(world: &World, before: &[String]) -> Vec<String> {
    let after = world.objects("/segments/").await;
    let made = after.iter().filter(|path| !before.contains(path));
    let by_id: BTreeMap<&str, &str> =
        made.map(|path| (path.rsplit('/').next().unwrap(), path.split('/').nth(1).unwrap())).collect();
    by_id.into_values().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_tenant_with_much_to_merge_keeps_no_other_waiting() {
    for max_concurrent in [1, 2] {
        let mut world = quiet(2);
        world.settings.compaction.max_concurrent = max_concurrent;
        let storage = world.open().await;
        flushed(&world, &storage, "much", 16).await;
        for tenant in ["little", "few"] {
            flushed(&world, &storage, tenant, 2).await;
        }
        let before = world.objects("/segments/").await;
        let report = storage.compact().await.unwrap();
        assert_eq!(report.merges, 15 + 1 + 1);
        let merged = merged(&world, &before).await;
        let mut first = merged[..3].to_vec();
        first.sort();
        assert_eq!(first, ["few", "little", "much"], "{merged:?}");
        for (tenant, count) in [("much", 16), ("little", 2), ("few", 2)] {
            assert_eq!(world.read(&storage, tenant, Signal::Logs).await, lines(tenant, 0..count));
        }
    }
}

#[tokio::test]
async fn a_tenant_whose_merges_fail_keeps_no_other_waiting() {
    let world = quiet(2);
    let storage = world.open().await;
    for (tenant, segments) in [("ill", 8), ("well", 4)] {
        flushed(&world, &storage, tenant, segments).await;
    }
    let path_contains = "tenants/ill/logs/segments/";
    world.store.fail(Plan { path_contains, fault: Fault::Refused, after: 1, times: usize::MAX });
    let before = world.objects("/segments/").await;
    storage.compact().await.unwrap_err();
    assert_eq!(merged(&world, &before).await, ["ill", "well", "well", "well"]);
    world.store.heal();
    assert_eq!(storage.compact().await.unwrap().merges, 6);
}

/// Flushes so many segments of so many lines each.
async fn filled(world: &World, storage: &Storage, segments: usize, lines_each: u64) {
    let (mut seed, mut line) = (1_u64, String::new());
    for _ in 0..segments {
        // A line is unlike the others, so that what it takes in memory is also what it takes in a file.
        for _ in 0..lines_each.div_ceil(LINES_PER_BATCH) {
            let mut builder = LogBatchBuilder::default();
            let stream = builder.stream(&Labels::from_pairs([("app", "shop")]));
            for _ in 0..LINES_PER_BATCH.min(lines_each) {
                line.clear();
                for _ in 0..WORDS_PER_LINE {
                    seed =
                        seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    write!(line, "{seed:016x}").unwrap();
                }
                let timestamp_ns = NOW_NS + i64::try_from(seed % 1_000).unwrap() * NS_PER_S;
                builder.entry(stream, Entry { timestamp_ns, line: &line, ..Entry::default() });
            }
            write(storage, &world.context("a"), Batch::Logs(builder.finish())).await;
        }
        storage.flush().await.unwrap();
    }
}

/// A merge of so many segments of so many lines each: what it did, and the most that it held of the room for merges.
async fn merge(segments: usize, lines_each: u64) -> (CompactionReport, usize) {
    let world = quiet(segments);
    let storage = world.open().await;
    filled(&world, &storage, segments, lines_each).await;
    let mut held_bytes = 0;
    let mut compacting = Box::pin(storage.compact());
    let report = poll_fn(|context| {
        let polled = compacting.as_mut().poll(context);
        held_bytes = held_bytes.max(storage.memory().merge_bytes);
        polled
    });
    let report = report.await.unwrap();
    assert_eq!((report.merges, report.segments_in), (1, segments));
    assert_eq!((report.rows_in, report.rows_dropped), (segments as u64 * lines_each, 0));
    (report, held_bytes)
}

/// A line has so many words of 16 letters.
const WORDS_PER_LINE: usize = 20;

/// Lines that are written at once.
const LINES_PER_BATCH: u64 = 1 << 13;

#[tokio::test]
async fn a_merge_takes_what_its_row_groups_need_however_large_its_segments_are() {
    const LINES_PER_ROW_GROUP: u64 = 1 << 14;
    let (small, small_held) = merge(2, LINES_PER_ROW_GROUP).await;
    let (large, large_held) = merge(2, 3 * LINES_PER_ROW_GROUP).await;
    assert!(large.bytes_in > 5 * small.bytes_in / 2, "{} {}", large.bytes_in, small.bytes_in);
    assert!(large_held < small_held * 11 / 10, "{large_held} {small_held}");
    // And what it takes is what it has asked for.
    for (report, held_bytes) in [(small, small_held), (large, large_held)] {
        assert!(report.peak_bytes <= held_bytes, "{} {held_bytes}", report.peak_bytes);
    }
}

#[tokio::test]
async fn a_merge_reads_no_more_segments_than_its_share_of_the_room_holds() {
    const LINES_PER_ROW_GROUP: u64 = 1 << 14;
    const SEGMENTS: usize = 4;
    let share_bytes = merge(2, LINES_PER_ROW_GROUP).await.1;
    let mut world = quiet(SEGMENTS);
    world.settings.memory.merge_bytes = 2 * share_bytes;
    world.settings.compaction.max_concurrent = 1;
    let storage = world.open().await;
    filled(&world, &storage, SEGMENTS, LINES_PER_ROW_GROUP).await;
    let report = storage.compact().await.unwrap();
    assert!(report.merges >= 1 && report.segments_in < SEGMENTS, "{report:?}");
    assert!(report.peak_bytes <= share_bytes, "{report:?} {share_bytes}");
    assert_eq!(
        newest(&world, Signal::Logs).await.segments.len(),
        SEGMENTS - report.segments_in + report.merges
    );
}
