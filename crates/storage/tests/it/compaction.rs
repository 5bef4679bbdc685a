//! Compaction through the engine: fewer segments, the same answers.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;
use futures::TryStreamExt;
use model::attributes::AttributeRef;
use model::histogram::NativeHistogram;
use model::labels::Labels;
use model::limits::Retention;
use model::log::{Entry, LogBatchBuilder};
use model::metric::{MetricBatchBuilder, MetricType, SeriesInfo};
use model::time::{NS_PER_MS, NS_PER_S};
use model::trace::{SpanFields, TraceBatchBuilder};
use model::{Batch, Ingest, Signal, TimeRange};
use proptest::prelude::*;
use storage::Storage;
use storage::read::{LogColumns, LogScan, TraceIds, TraceScan};

use crate::faulty::{Fault, Plan};
use crate::fixture::{NOW_NS, World, batch, lines, write};
use crate::rig::entries;

pub(crate) const HOUR_NS: i64 = 3_600 * NS_PER_S;
pub(crate) const DAY_NS: i64 = 24 * HOUR_NS;

/// One thing that is written; small numbers, so that keys meet.
#[derive(Clone, Copy, Debug)]
struct Item {
    source: u8,
    time: i16,
    value: u8,
}

fn item() -> impl Strategy<Value = Item> {
    (0_u8..6, -40_i16..40, any::<u8>()).prop_map(|(source, time, value)| Item { source, time, value })
}

fn labels(source: u8) -> Labels {
    let source_name = format!("source-{source}");
    let mut pairs = vec![("__name__", "m"), ("source", source_name.as_str())];
    if source.is_multiple_of(2) {
        pairs.push(("even", "yes"));
    }
    Labels::from_pairs(pairs)
}

/// A batch of the signal; the items' times reach over three days.
fn random(signal: Signal, items: &[Item]) -> Batch {
    let time_ns = |item: &Item| NOW_NS + i64::from(item.time) * HOUR_NS;
    match signal {
        Signal::Metrics => {
            let mut builder = MetricBatchBuilder::default();
            for item in items {
                let info = SeriesInfo { metric_type: MetricType::Counter, unit: "s", help: "Time." };
                let series = builder.series(&labels(item.source), info);
                let time_ms = time_ns(item) / NS_PER_MS;
                let value = f64::from(item.value);
                match item.value % 4 {
                    0 => {
                        let histogram =
                            NativeHistogram { count: value, sum: value / 3.0, ..NativeHistogram::default() };
                        builder.histogram(series, time_ms, 0, &histogram);
                    }
                    1 => {
                        builder.exemplar(series, time_ms, value, [("trace_id", "x")]);
                    }
                    2 => builder.sample(series, time_ms, 5, value / 7.0),
                    _ => builder.sample(series, time_ms, 0, value),
                }
            }
            Batch::Metrics(builder.finish())
        }
        Signal::Logs => {
            let mut builder = LogBatchBuilder::default();
            for item in items {
                let stream = builder.stream(&labels(item.source));
                builder.metadata("value", AttributeRef::Int(i64::from(item.value % 3)));
                let line = format!("line {}", item.value % 5);
                builder.entry(stream, Entry { timestamp_ns: time_ns(item), line: &line, ..Entry::default() });
            }
            Batch::Logs(builder.finish())
        }
        Signal::Traces => {
            let mut builder = TraceBatchBuilder::default();
            for item in items {
                builder.resource_attribute("service.name", AttributeRef::String("shop"));
                builder.attribute("value", AttributeRef::Int(i64::from(item.value % 3)));
                builder.span(SpanFields {
                    trace_id: [item.source + 1; 16],
                    span_id: [item.value % 16 + 1; 8],
                    parent_span_id: (item.value % 16 > 0).then_some([item.value % 16 / 2 + 1; 8]),
                    name: "work",
                    start_ns: time_ns(item),
                    ..SpanFields::default()
                });
            }
            Batch::Traces(builder.finish())
        }
    }
}

fn rows(batches: &[RecordBatch], labels: &[Labels]) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let columns = batch.columns().iter().enumerate().map(|(number, column)| {
                let value = array_value_to_string(column, row).unwrap();
                match value.parse::<usize>() {
                    Ok(series) if number == 0 => format!("{:?}", labels[series]),
                    _ => value,
                }
            });
            rows.push(columns.collect::<Vec<_>>().join(" | "));
        }
    }
    rows
}

/// Everything that a tenant can read of a signal, in the order in which it is given.
async fn everything(world: &World, storage: &Storage, signal: Signal) -> Vec<String> {
    let ctx = world.context("a");
    let all = TimeRange::ALL;
    match signal {
        Signal::Metrics => {
            let snapshot = storage.metrics(&ctx, all).await.unwrap();
            let set = snapshot.select(&[]).await.unwrap();
            let n = set.labels().len();
            let mut read: Vec<String> = Vec::new();
            for stream in [set.samples(0..n, all), set.histograms(0..n, all), set.exemplars(0..n, all)] {
                let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
                read.extend(rows(&batches, set.labels()));
            }
            read.extend(snapshot.metadata().await.unwrap().iter().map(|metadata| format!("{metadata:?}")));
            read
        }
        Signal::Logs => {
            let set = storage.logs(&ctx, all).await.unwrap().select(&[]).await.unwrap();
            let scan = LogScan { range: all, needles: Vec::new(), columns: LogColumns::ALL };
            rows(&[entries(&set, scan).await], set.labels())
        }
        Signal::Traces => {
            let scan = TraceScan { trace_ids: TraceIds::All, range: all, service: None };
            let spans = storage.traces(&ctx, all).await.unwrap().scan(scan);
            rows(&spans.try_collect::<Vec<_>>().await.unwrap(), &[])
        }
    }
}

/// The number of segments that the newest manifest names.
async fn segments(world: &World, signal: Signal) -> usize {
    let manifests = world.objects(&format!("/{signal}/manifest/")).await;
    let newest = manifests.last().unwrap();
    let bytes = world.get(newest).await;
    let manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    manifest["segments"].as_array().unwrap().len()
}

pub(crate) fn forever() -> World {
    let mut world = World::new();
    world.limits.retention = Retention { metrics_ns: None, logs_ns: None, traces_ns: None };
    for signal in Signal::ALL {
        world.limits.intake_mut(signal).reject_ahead_ns = i64::MAX;
    }
    world.settings.compaction.interval_ms = u64::MAX / 2;
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_the_same_before_and_after(
        flushes in prop::collection::vec(prop::collection::vec(item(), 1..30), 2..8),
        last in prop::collection::vec(item(), 1..10),
        fan_in in 2_usize..5,
        repeated in any::<prop::sample::Index>(),
    ) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let mut world = forever();
            world.settings.compaction.fan_in = fan_in;
            let storage = world.open().await;
            let ctx = world.context("a");
            for signal in Signal::ALL {
                let ingest = |items| storage.ingest(&ctx, random(signal, items));
                for items in flushes.iter().chain([repeated.get(&flushes)]) {
                    assert_eq!(ingest(items).await.unwrap().rejections, []);
                    storage.flush().await.unwrap();
                }
                assert_eq!(ingest(&last).await.unwrap().rejections, []);
            }
            let mut before = Vec::new();
            for signal in Signal::ALL {
                before.push(everything(&world, &storage, signal).await);
            }
            for later_ns in [0, 10 * DAY_NS] {
                world.clock.advance_ns(later_ns);
                if later_ns > 0 {
                    // The head is old now, and would become segments at any moment.
                    storage.flush().await.unwrap();
                }
                let report = storage.compact().await.unwrap();
                for (signal, before) in Signal::ALL.into_iter().zip(&before) {
                    assert_eq!(&everything(&world, &storage, signal).await, before, "{signal} {report:?}");
                }
                assert_eq!(storage.compact().await.unwrap().merges, 0);
            }
            drop(storage);
            let storage = world.open().await;
            for (signal, before) in Signal::ALL.into_iter().zip(&before) {
                assert_eq!(&everything(&world, &storage, signal).await, before, "{signal}");
                let named = segments(&world, signal).await;
                assert!(named <= 5 * fan_in.max(3), "{signal}: segments={named}");
            }
        });
    }
}

#[tokio::test]
async fn rows_that_came_twice_are_kept_once() {
    let mut world = forever();
    world.settings.compaction.fan_in = 4;
    let storage = world.open().await;
    for signal in Signal::ALL {
        for _ in 0..4 {
            write(&storage, &world.context("a"), batch(signal, "a", 0..100)).await;
            storage.flush().await.unwrap();
        }
    }
    let report = storage.compact().await.unwrap();
    assert_eq!((report.merges, report.segments_in), (3, 12));
    assert_eq!((report.rows_in, report.rows_dropped), (1_200, 900));
    assert!(report.bytes_out < report.bytes_in && report.peak_bytes > 0);
    for signal in Signal::ALL {
        assert_eq!(world.read(&storage, "a", signal).await, lines("a", 0..100));
        assert_eq!(segments(&world, signal).await, 1);
    }
    // Their objects go when the grace is over.
    storage.retain().await.unwrap();
    world.clock.advance_ns(HOUR_NS);
    storage.retain().await.unwrap();
    assert_eq!(world.objects("/segments/").await.len(), 2 + 1 + 1);
    for signal in Signal::ALL {
        assert_eq!(world.read(&storage, "a", signal).await, lines("a", 0..100));
    }
}

#[tokio::test]
async fn expired_rows_leave_the_disk() {
    let mut world = forever();
    world.limits.retention =
        Retention { metrics_ns: Some(HOUR_NS), logs_ns: Some(HOUR_NS), traces_ns: Some(HOUR_NS) };
    let storage = world.open().await;
    for signal in Signal::ALL {
        // Two hours, a line a minute.
        write(&storage, &world.context("a"), batch(signal, "a", (0..120).map(|n| n * 60_000))).await;
    }
    storage.flush().await.unwrap();
    let before: usize = world.bytes("/segments/").await;
    world.clock.advance_ns(HOUR_NS + 90 * 60 * NS_PER_S);
    let report = storage.compact().await.unwrap();
    assert_eq!((report.merges, report.rows_in, report.rows_dropped), (3, 3 * 30, 0));
    world.settings.retention.sweep_grace_ms = 0;
    storage.retain().await.unwrap();
    world.clock.advance_ns(11 * 60 * NS_PER_S);
    storage.retain().await.unwrap();
    assert!(world.bytes("/segments/").await < before);
    for signal in Signal::ALL {
        assert_eq!(world.read(&storage, "a", signal).await.len(), 30 - 11, "{signal}");
    }
}

#[tokio::test]
async fn a_failure_at_any_step_of_the_store_changes_nothing() {
    for fault in [Fault::Refused, Fault::ReplyLost] {
        for step in 0..6 {
            let mut world = forever();
            world.settings.compaction.fan_in = 2;
            let storage = world.open().await;
            for signal in Signal::ALL {
                for part in [0..50, 50..100] {
                    write(&storage, &world.context("a"), batch(signal, "a", part)).await;
                    storage.flush().await.unwrap();
                }
            }
            world.store.fail(Plan { path_contains: "tenants/", fault, after: step, times: 100 });
            let failed = storage.compact().await;
            assert!(failed.is_err() || world.store.is_unharmed(), "{fault:?} {step}");
            for signal in Signal::ALL {
                assert_eq!(world.read(&storage, "a", signal).await, lines("a", 0..100), "{fault:?} {step}");
            }
            // The process ends here or goes on; both find their way.
            world.store.heal();
            let storage = if step % 2 == 0 {
                drop(storage);
                world.open().await
            } else {
                storage
            };
            storage.compact().await.unwrap();
            world.clock.advance_ns(2 * HOUR_NS);
            storage.retain().await.unwrap();
            world.clock.advance_ns(2 * HOUR_NS);
            storage.retain().await.unwrap();
            for signal in Signal::ALL {
                assert_eq!(world.read(&storage, "a", signal).await, lines("a", 0..100), "{fault:?} {step}");
                assert_eq!(segments(&world, signal).await, 1, "{fault:?} {step} {signal}");
            }
            assert_eq!(world.objects("/segments/").await.len(), 2 + 1 + 1, "{fault:?} {step}");
        }
    }
}

#[tokio::test]
async fn a_damaged_segment_is_left_out_and_the_others_are_merged() {
    let mut world = forever();
    world.settings.compaction.fan_in = 3;
    let storage = world.open().await;
    for number in 0..4 {
        write(&storage, &world.context("a"), batch(Signal::Logs, "a", [number])).await;
        storage.flush().await.unwrap();
    }
    let damaged = world.objects("/segments/").await.remove(1);
    world.flip(&damaged, -100, 1).await;
    let report = storage.compact().await.unwrap();
    assert_eq!((report.merges, report.segments_in), (1, 3));
    assert_eq!(world.read(&storage, "a", Signal::Logs).await, lines("a", [0, 2, 3]));
}

#[tokio::test]
async fn a_trace_that_came_in_pieces_is_whole_afterwards() {
    let mut world = forever();
    world.settings.compaction.fan_in = 3;
    let storage = world.open().await;
    // A root, its child, and the child's child, each flushed alone; the root comes last.
    for (span, parent, start) in [(3, Some(2), 2), (2, Some(1), 1), (1, None, 0)] {
        let mut builder = TraceBatchBuilder::default();
        builder.span(SpanFields {
            trace_id: [7; 16],
            span_id: [span; 8],
            parent_span_id: parent.map(|parent| [parent; 8]),
            name: "work",
            start_ns: NOW_NS + start,
            ..SpanFields::default()
        });
        write(&storage, &world.context("a"), Batch::Traces(builder.finish())).await;
        storage.flush().await.unwrap();
    }
    let before = world.objects("/segments/").await;
    storage.compact().await.unwrap();
    let after = world.objects("/segments/").await;
    let merged = after.iter().find(|path| !before.contains(path)).unwrap();
    let bytes = bytes::Bytes::from(world.get(merged).await);
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let spans: Vec<RecordBatch> = reader.build().unwrap().collect::<Result<_, _>>().unwrap();
    let nested = |name: &str| {
        let column = Arc::clone(spans[0].column_by_name(name).unwrap());
        (0..3).map(|row| array_value_to_string(&column, row).unwrap()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(nested("nested_left"), "1 2 3");
    assert_eq!(nested("nested_right"), "6 5 4");
    assert_eq!(nested("nested_parent"), "-1 1 2");
}
