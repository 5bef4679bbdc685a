//! Values at the ends of their ranges: they are kept, flushed, replayed and told apart like all others.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use model::limits::Retention;
use model::log::{Entry, LogBatchBuilder};
use model::metric::{MetricBatchBuilder, SeriesInfo};
use model::trace::{SpanFields, TraceBatchBuilder};
use model::{AttributeRef, Batch, Labels, Matcher, Signal, TimeRange};
use storage::Storage;
use storage::read::{LogColumns, LogScan, TraceIds, TraceScan};

use crate::fixture::{NOW_NS, World, batch, lines, open_store, write};

/// A world that keeps everything for ever, and takes it from the future too.
fn forever() -> World {
    let mut world = World::new();
    world.limits.retention = Retention { metrics_ns: None, logs_ns: None, traces_ns: None };
    for signal in Signal::ALL {
        world.limits.intake_mut(signal).reject_ahead_ns = i64::MAX;
    }
    world
}

/// A line, a sample and a span at the time, with values that equal nothing, not even themselves.
fn batches(time_ns: i64, time_ms: i64) -> [Batch; 3] {
    let mut metrics = MetricBatchBuilder::default();
    let labels = Labels::from_pairs([("__name__", "m")]);
    let series = metrics.series(&labels, SeriesInfo::default());
    metrics.sample(series, time_ms, 0, f64::NAN);
    let mut logs = LogBatchBuilder::default();
    let stream = logs.stream(&labels);
    logs.metadata("nan", AttributeRef::Double(f64::NAN));
    logs.entry(stream, Entry { timestamp_ns: time_ns, line: "", ..Entry::default() });
    let mut traces = TraceBatchBuilder::default();
    traces.attribute("nan", AttributeRef::Double(f64::NAN));
    traces.event(i64::MIN, "", 0, [("nan", AttributeRef::Double(f64::NAN))]);
    traces.span(SpanFields {
        trace_id: [1; 16],
        span_id: [2; 8],
        start_ns: time_ns,
        duration_ns: i64::MAX,
        ..SpanFields::default()
    });
    [Batch::Metrics(metrics.finish()), Batch::Logs(logs.finish()), Batch::Traces(traces.finish())]
}

fn times(batches: &[RecordBatch], column: usize) -> Vec<i64> {
    let of = |batch: &RecordBatch| batch.column(column).as_primitive::<Int64Type>().values().to_vec();
    batches.iter().flat_map(of).collect()
}

/// The times of all samples, lines and spans.
async fn read(world: &World, storage: &Storage) -> [Vec<i64>; 3] {
    let ctx = world.context("a");
    let set = storage.metrics(&ctx, TimeRange::ALL).await.unwrap().select(&[]).await.unwrap();
    let samples: Vec<_> = set.samples(0..set.labels().len(), TimeRange::ALL).try_collect().await.unwrap();
    let set = storage.logs(&ctx, TimeRange::ALL).await.unwrap().select(&[]).await.unwrap();
    let scan = LogScan { range: TimeRange::ALL, needles: Vec::new(), columns: LogColumns::ALL };
    let lines: Vec<_> = set.entries(0..set.labels().len(), scan).try_collect().await.unwrap();
    let scan = TraceScan { trace_ids: TraceIds::All, range: TimeRange::ALL, service: None };
    let spans: Vec<_> =
        storage.traces(&ctx, TimeRange::ALL).await.unwrap().scan(scan).try_collect().await.unwrap();
    [times(&samples, 1), times(&lines, 1), times(&spans, 7)]
}

#[tokio::test]
async fn every_time_is_kept_once_in_heads_in_the_log_and_in_segments() {
    let world = forever();
    let storage = world.open().await;
    let times_ns = [i64::MIN, -1, 0, NOW_NS, i64::MAX];
    let times_ms = [i64::MIN / 1_000_000, -1, 0, NOW_NS / 1_000_000, i64::MAX / 1_000_000];
    let expected = [times_ms.to_vec(), times_ns.to_vec(), times_ns.to_vec()];
    for (time_ns, time_ms) in times_ns.into_iter().zip(times_ms) {
        for batch in batches(time_ns, time_ms) {
            write(&storage, &world.context("a"), batch).await;
        }
    }
    assert_eq!(read(&world, &storage).await, expected);
    storage.flush().await.unwrap();
    assert_eq!(read(&world, &storage).await, expected);
    // The same again, now beside the segments.
    for (time_ns, time_ms) in times_ns.into_iter().zip(times_ms) {
        for batch in batches(time_ns, time_ms) {
            write(&storage, &world.context("a"), batch).await;
        }
    }
    assert_eq!(read(&world, &storage).await, expected);
    drop(storage);
    let storage = world.open().await;
    assert_eq!(read(&world, &storage).await, expected);
    storage.shutdown().await.unwrap();
    assert_eq!(read(&world, &storage).await, expected);
}

#[tokio::test]
async fn times_in_milliseconds_that_no_nanoseconds_can_tell_are_kept_or_named() {
    let world = forever();
    let storage = world.open().await;
    for time_ms in [i64::MIN, i64::MAX] {
        let [metrics, ..] = batches(0, time_ms);
        let receipt = model::Ingest::ingest(&storage, &world.context("a"), metrics).await.unwrap();
        assert_eq!(receipt.accepted + receipt.rejected(), 1);
    }
    let [metrics, ..] = batches(0, 7);
    write(&storage, &world.context("a"), metrics).await;
    // Whatever became of them: they stop no flush, and hide nothing.
    storage.flush().await.unwrap();
    assert!(read(&world, &storage).await[0].contains(&7));
    storage.shutdown().await.unwrap();
    assert!(world.log_files().is_empty());
}

#[tokio::test]
async fn tenants_of_every_allowed_character_find_their_data_again() {
    let folder = tempfile::tempdir().unwrap();
    for store in ["memory://", folder.path().to_str().unwrap()] {
        let world = World::on(open_store(store));
        let storage = world.open().await;
        let names = ["a!-_.*'()", "A", "...", ".a", "a.", "-", "*", "61", &"x".repeat(150)];
        for name in names {
            for signal in Signal::ALL {
                write(&storage, &world.context(name), batch(signal, name, [1])).await;
            }
        }
        storage.shutdown().await.unwrap();
        assert!(world.log_files().is_empty());
        drop(storage);
        let storage = world.open().await;
        for name in names {
            for signal in Signal::ALL {
                assert_eq!(world.read(&storage, name, signal).await, lines(name, [1]), "{name} {signal}");
            }
        }
    }
}

#[tokio::test]
async fn labels_of_any_name_are_kept_and_found() {
    let world = forever();
    let storage = world.open().await;
    let mut names: Vec<String> = [
        "series",
        "labels",
        "timestamp_ms",
        "value",
        "stream",
        "line",
        "Series",
        "SERIES",
        "a.b",
        "a\"b",
        "a\0b",
        "ü",
        " ",
        "metric_type",
        "unit",
        "help",
        "label.a",
        "__name__x",
    ]
    .map(str::to_owned)
    .into();
    names.push("n".repeat(1_024));
    names.extend((0..600).map(|number| format!("l{number}")));
    let sets: Vec<Labels> = names
        .iter()
        .map(|name| Labels::from_pairs([("__name__", "m"), (name.as_str(), "v"), ("both", "\0\u{10ffff}")]))
        .collect();
    for part in sets.chunks(7) {
        let mut metrics = MetricBatchBuilder::default();
        let mut logs = LogBatchBuilder::default();
        for labels in part {
            let series = metrics.series(labels, SeriesInfo::default());
            metrics.sample(series, NOW_NS / 1_000_000, 0, 1.0);
            let stream = logs.stream(labels);
            logs.entry(stream, Entry { timestamp_ns: NOW_NS, line: "x", ..Entry::default() });
        }
        write(&storage, &world.context("a"), Batch::Metrics(metrics.finish())).await;
        write(&storage, &world.context("a"), Batch::Logs(logs.finish())).await;
    }
    let mut expected = sets.clone();
    expected.sort();
    for flushed in [false, true] {
        let ctx = world.context("a");
        let snapshot = storage.metrics(&ctx, TimeRange::ALL).await.unwrap();
        assert_eq!(snapshot.select(&[]).await.unwrap().labels(), expected, "flushed={flushed}");
        let logs = storage.logs(&ctx, TimeRange::ALL).await.unwrap();
        assert_eq!(logs.select(&[]).await.unwrap().labels(), expected, "flushed={flushed}");
        for (name, labels) in names.iter().zip(&sets) {
            let found = snapshot.select(&[Matcher::equal(name, "v")]).await.unwrap();
            assert_eq!(found.labels(), std::slice::from_ref(labels), "flushed={flushed} {name}");
        }
        storage.flush().await.unwrap();
    }
}
