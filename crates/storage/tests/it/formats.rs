//! Segment files are plain Parquet with the columns and order that `docs/format` names, and damage in them costs their
//! rows and nothing else.

use arrow::array::{Array, Float64Array, Int8Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::util::display::array_value_to_string;
use bytes::Bytes;
use futures::TryStreamExt;
use model::attributes::AttributeRef;
use model::labels::Labels;
use model::log::{Entry, LogBatchBuilder};
use model::metric::{MetricBatchBuilder, MetricType, SeriesInfo};
use model::trace::{SpanFields, TraceBatchBuilder};
use model::{Batch, Signal, TimeRange};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaData;
use proptest::prelude::*;
use storage::read::{LogColumns, LogScan, TraceIds, TraceScan};

use super::rig::{BASE_NS, Rig, column, rows_of, run};

const BASE_MS: i64 = BASE_NS / 1_000_000;

fn batch(signal: Signal) -> Batch {
    match signal {
        Signal::Metrics => {
            let mut builder = MetricBatchBuilder::default();
            let info = SeriesInfo { metric_type: MetricType::Counter, unit: "bytes", help: "Sent." };
            for (name, values) in [("b", [1.25, f64::NAN]), ("a", [3.0, 4.0])] {
                let labels = Labels::from_pairs([("__name__", name), ("job", "x")]);
                let series = builder.series(&labels, info);
                for (i, value) in (0..).zip(values) {
                    builder.sample(series, BASE_MS - i, 7, value);
                }
            }
            Batch::Metrics(builder.finish())
        }
        Signal::Logs => {
            let mut builder = LogBatchBuilder::default();
            for app in ["web", "api"] {
                let stream = builder.stream(&Labels::from_pairs([("app", app)]));
                for i in 0..2 {
                    builder.metadata("user", AttributeRef::Int(7));
                    let line = format!("line {i} of {app}");
                    builder
                        .entry(stream, Entry { timestamp_ns: BASE_NS - i, line: &line, ..Entry::default() });
                }
            }
            Batch::Logs(builder.finish())
        }
        Signal::Traces => {
            let mut builder = TraceBatchBuilder::default();
            // A root with two children, of which the first has a child; the spans arrive in no order.
            for (span, parent, start) in [(4, Some(2), 3), (1, None, 0), (3, Some(1), 2), (2, Some(1), 1)] {
                builder.resource_attribute("service.name", AttributeRef::String("shop"));
                builder.span(SpanFields {
                    trace_id: [9; 16],
                    span_id: [span; 8],
                    parent_span_id: parent.map(|id| [id; 8]),
                    name: "work",
                    start_ns: BASE_NS + start,
                    ..SpanFields::default()
                });
            }
            Batch::Traces(builder.finish())
        }
    }
}

async fn segment_files(rig: &Rig) -> Vec<Path> {
    let objects: Vec<_> = rig.store.list(None).try_collect().await.unwrap();
    let mut paths: Vec<Path> = objects.into_iter().map(|object| object.location).collect();
    paths.retain(|path| path.as_ref().ends_with(".parquet"));
    paths.sort();
    paths
}

async fn flushed(signal: Signal) -> Rig {
    let rig = Rig::new().await;
    rig.ingest(batch(signal)).await;
    rig.storage.flush().await.unwrap();
    rig
}

/// A file of the only segment as any reader of Parquet sees it.
async fn plain(rig: &Rig, ending: &str) -> (RecordBatch, ParquetMetaData) {
    let paths = segment_files(rig).await;
    let path = paths.iter().find(|path| path.as_ref().ends_with(ending)).unwrap();
    let bytes: Bytes = rig.store.get(path).await.unwrap().bytes().await.unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let metadata = (**builder.metadata()).clone();
    let schema = builder.schema().clone();
    let batches: Vec<RecordBatch> = builder.build().unwrap().collect::<Result<_, _>>().unwrap();
    (concat_batches(&schema, &batches).unwrap(), metadata)
}

fn texts(batch: &RecordBatch, name: &str) -> Vec<String> {
    let column = batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"));
    (0..batch.num_rows()).map(|row| array_value_to_string(column, row).unwrap()).collect()
}

#[test]
fn of_many_series_a_row_group_has_some() {
    run(async {
        let rig = Rig::new().await;
        let mut builder = MetricBatchBuilder::default();
        for number in 0..40_000_i64 {
            let labels = Labels::from_pairs([("__name__", "m"), ("n", &format!("{number:05}"))]);
            let series = builder.series(&labels, SeriesInfo::default());
            builder.sample(series, BASE_MS + number, 0, 1.0);
        }
        rig.ingest(Batch::Metrics(builder.finish())).await;
        rig.storage.flush().await.unwrap();
        let (_, metadata) = plain(&rig, "samples.parquet").await;
        let rows: Vec<i64> = metadata.row_groups().iter().map(|group| group.num_rows()).collect();
        assert_eq!(rows, [16_384, 16_384, 7_232]);
        let pairs = metadata.file_metadata().key_value_metadata().unwrap();
        let times = pairs.iter().find(|pair| pair.key == "stella.times").unwrap().value.as_deref().unwrap();
        let times: Vec<(i64, i64)> = serde_json::from_str(times).unwrap();
        let ends = [(0, 16_383), (16_384, 32_767), (32_768, 39_999)];
        assert_eq!(times, ends.map(|(first, last)| (BASE_MS + first, BASE_MS + last)));
    });
}

#[test]
fn metrics_are_a_table_of_series_and_a_table_of_samples() {
    run(async {
        let rig = flushed(Signal::Metrics).await;
        let (series, _) = plain(&rig, ".series.parquet").await;
        assert_eq!(texts(&series, "number"), ["0", "1"]);
        assert_eq!(texts(&series, "label.__name__"), ["a", "b"]);
        assert_eq!(texts(&series, "label.job"), ["x", "x"]);
        assert_eq!(texts(&series, "type"), ["counter", "counter"]);
        assert_eq!(texts(&series, "unit"), ["bytes", "bytes"]);
        assert_eq!(texts(&series, "samples"), ["2", "2"]);
        assert_eq!(texts(&series, "histograms"), ["0", "0"]);

        let (samples, metadata) = plain(&rig, ".samples.parquet").await;
        assert_eq!(texts(&samples, "series"), ["0", "0", "1", "1"]);
        let integers = |at: usize| column::<Int64Array>(&samples, at);
        let (bases, offsets) = (integers(1).values(), integers(2).values());
        let times: Vec<i64> = bases.iter().zip(offsets).map(|(base, offset)| base + offset).collect();
        assert_eq!(times, [BASE_MS - 1, BASE_MS, BASE_MS - 1, BASE_MS]);
        let pair = metadata.file_metadata().key_value_metadata().unwrap();
        let of_groups = pair.iter().find(|pair| pair.key == "stella.times").unwrap().value.as_deref();
        assert_eq!(of_groups, Some(format!("[[{},{}]]", BASE_MS - 1, BASE_MS).as_str()));
        assert_eq!(texts(&samples, "start_ms"), ["7", "7", "7", "7"]);
        let (scale, value) = (column::<Int8Array>(&samples, 4), column::<Float64Array>(&samples, 8));
        let (base, step, offset) = (integers(5), integers(6), integers(7));
        let values: Vec<f64> = (0..4)
            .map(|row| match offset.is_valid(row) {
                true => {
                    let scaled = base.value(row) + offset.value(row) * step.value(row);
                    scaled as f64 / 10_f64.powi(i32::from(scale.value(row)))
                }
                false => value.value(row),
            })
            .collect();
        assert_eq!((values[0], values[1], values[3]), (4.0, 3.0, 1.25));
        assert!(values[2].is_nan());
        let sorted_by = metadata.row_group(0).sorting_columns().unwrap();
        assert_eq!(sorted_by.iter().map(|column| column.column_idx).collect::<Vec<_>>(), [0, 2]);
        assert!(!segment_files(&rig).await.iter().any(|path| path.as_ref().contains(".histograms.")));
    });
}

#[test]
fn logs_carry_the_labels_of_their_streams() {
    run(async {
        let rig = flushed(Signal::Logs).await;
        let (lines, metadata) = plain(&rig, ".parquet").await;
        assert_eq!(texts(&lines, "stream"), ["0", "0", "1", "1"]);
        assert_eq!(texts(&lines, "label.app"), ["api", "api", "web", "web"]);
        let text = lines.column_by_name("line").unwrap();
        let text = text.as_any().downcast_ref::<StringArray>().unwrap();
        assert_eq!(text.value(0), "line 1 of api");
        let pairs = metadata.file_metadata().key_value_metadata().unwrap();
        let value = |key: &str| pairs.iter().find(|pair| pair.key == key).unwrap().value.clone().unwrap();
        assert_eq!(value("stella.format"), "1");
        assert_eq!(
            value("stella.streams"),
            r#"[{"labels":{"app":"api"},"rows":2},{"labels":{"app":"web"},"rows":2}]"#
        );
        assert!(value("stella.token_filters").starts_with("[["));
    });
}

#[test]
fn spans_are_numbered_as_nested_sets() {
    run(async {
        let rig = flushed(Signal::Traces).await;
        let (spans, metadata) = plain(&rig, ".parquet").await;
        assert_eq!(texts(&spans, "resource.service.name"), ["shop"; 4]);
        let numbers = |name: &str| {
            let column = spans.column_by_name(name).unwrap();
            column.as_any().downcast_ref::<Int32Array>().unwrap().values().to_vec()
        };
        // In the order of their start: root, first child, second child, child of the first child.
        assert_eq!(numbers("nested_left"), [1, 2, 6, 3]);
        assert_eq!(numbers("nested_right"), [8, 5, 7, 4]);
        assert_eq!(numbers("nested_parent"), [-1, 1, 1, 2]);
        assert!(metadata.row_group(0).column(0).bloom_filter_offset().is_some());
    });
}

/// How many rows a tenant reads of a signal.
async fn count(rig: &Rig, signal: Signal) -> usize {
    let (ctx, all) = (&rig.ctx, TimeRange::ALL);
    let batches: Vec<RecordBatch> = match signal {
        Signal::Metrics => {
            let set = rig.storage.metrics(ctx, all).await.unwrap().select(&[]).await.unwrap();
            set.samples(0..set.labels().len(), all).try_collect().await.unwrap()
        }
        Signal::Logs => {
            let set = rig.storage.logs(ctx, all).await.unwrap().select(&[]).await.unwrap();
            let needles = vec![" of ".to_owned()];
            let scan = LogScan { range: all, needles, columns: LogColumns::ALL };
            set.entries(0..set.labels().len(), scan).try_collect().await.unwrap()
        }
        Signal::Traces => {
            let scan = TraceScan { trace_ids: TraceIds::One([9; 16]), range: all, service: None };
            rig.storage.traces(ctx, all).await.unwrap().scan(scan).try_collect().await.unwrap()
        }
    };
    rows_of(&batches)
}

#[test]
fn a_missing_file_costs_its_rows_and_nothing_else() {
    run(async {
        for signal in Signal::ALL {
            let rig = flushed(signal).await;
            for path in segment_files(&rig).await {
                rig.store.delete(&path).await.unwrap();
            }
            assert_eq!(count(&rig, signal).await, 0, "{signal}");
            rig.ingest(batch(signal)).await;
            assert_eq!(count(&rig, signal).await, 4, "{signal}");
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_bytes_never_take_the_reader_down(
        signal in prop::sample::select(Signal::ALL.to_vec()),
        file in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..4),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        run(async {
            let rig = flushed(signal).await;
            let paths = segment_files(&rig).await;
            let path = file.get(&paths);
            let mut bytes = rig.store.get(path).await.unwrap().bytes().await.unwrap().to_vec();
            for (at, flip) in &damage {
                let at = at.index(bytes.len());
                bytes[at] ^= flip;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            rig.store.put(path, PutPayload::from(bytes)).await.unwrap();
            assert!(count(&rig, signal).await <= 4);
        });
    }
}
