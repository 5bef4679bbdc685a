//! Many small batches and few large ones: heads merge their runs over several levels, and what is read stays what a
//! naive model says, for the three signals.

use std::collections::BTreeMap;

use arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray, UInt32Array};
use futures::TryStreamExt;
use model::labels::Labels;
use model::log::{Entry, LogBatchBuilder};
use model::metric::{MetricBatchBuilder, SeriesInfo};
use model::trace::{SpanFields, SpansView, TraceBatchBuilder};
use model::{AttributeRef, Batch, Matcher, TimeRange};
use proptest::prelude::*;
use storage::read::{LogColumns, LogScan, TraceIds, TraceScan};

use super::rig::{BASE_NS, Rig, column, run};

const BASE_MS: i64 = BASE_NS / 1_000_000;

/// Owners (series, streams, traces) of the rows.
const OWNERS: u64 = 23;

/// Rows: whose, when, and what.
type Row = (u32, i64, u32);

/// What is written: sizes of batches, the time between rows, and after which batches a flush comes.
#[derive(Clone, Debug)]
struct Plan {
    seed: u64,
    batches: Vec<usize>,
    span: u64,
    flushes: Vec<usize>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let sizes = prop_oneof![14 => 1_usize..50, 2 => 100_usize..300, 1 => 1_000_usize..2_500];
    let batches = prop::collection::vec(sizes, 270..400);
    let flushes = prop::collection::vec(0_usize..400, 0..2);
    // A short span makes duplicates and overwritten rows common, a long one makes them rare.
    let span = prop_oneof![Just(50_u64), Just(3_000), Just(80_000)];
    (any::<u64>(), batches, span, flushes).prop_map(|(seed, batches, span, flushes)| Plan {
        seed,
        batches,
        span,
        flushes,
    })
}

/// Numbers that look random and depend on the seed alone (the constants are those of splitmix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

impl Plan {
    /// The batches in the order of their arrival: mostly forward in time, with late rows and rows sent twice.
    fn rows(&self) -> Vec<Vec<Row>> {
        let mut draw = Draw(self.seed);
        let mut sent: Vec<Row> = Vec::new();
        let total: usize = self.batches.iter().sum();
        let mut batches = Vec::new();
        for size in &self.batches {
            let mut batch = Vec::with_capacity(*size);
            for _ in 0..*size {
                let row = if !sent.is_empty() && draw.next(10) == 0 {
                    sent[usize::try_from(draw.next(sent.len() as u64)).unwrap()]
                } else {
                    let forward = self.span * (sent.len() as u64) / (total as u64);
                    let late = if draw.next(4) == 0 { draw.next(self.span) } else { draw.next(3) };
                    let time = i64::try_from(forward.saturating_sub(late)).unwrap();
                    (u32::try_from(draw.next(OWNERS)).unwrap(), time, u32::try_from(draw.next(7)).unwrap())
                };
                sent.push(row);
                batch.push(row);
            }
            batches.push(batch);
        }
        batches
    }
}

async fn write(rig: &Rig, plan: &Plan, build: impl Fn(&[Row]) -> Batch) {
    for (number, rows) in plan.rows().iter().enumerate() {
        rig.ingest(build(rows)).await;
        if plan.flushes.contains(&number) {
            rig.storage.flush().await.unwrap();
        }
    }
}

fn labels(owner: u32) -> Labels {
    Labels::from_pairs([("__name__", format!("m{}", owner % 5)), ("i", format!("{owner:02}"))])
}

fn owner(labels: &Labels) -> u32 {
    labels.get("i").unwrap().parse().unwrap()
}

fn metrics(rows: &[Row]) -> Batch {
    let mut builder = MetricBatchBuilder::default();
    for (of, time, value) in rows {
        let series = builder.series(&labels(*of), SeriesInfo::default());
        builder.sample(series, BASE_MS + time, 0, f64::from(*value));
    }
    Batch::Metrics(builder.finish())
}

fn logs(rows: &[Row]) -> Batch {
    let mut builder = LogBatchBuilder::default();
    for (of, time, value) in rows {
        let stream = builder.stream(&labels(*of));
        let line = format!("line {value}");
        builder.entry(stream, Entry { timestamp_ns: BASE_NS + time, line: &line, ..Entry::default() });
    }
    Batch::Logs(builder.finish())
}

fn traces(rows: &[Row]) -> Batch {
    let mut builder = TraceBatchBuilder::default();
    for (of, time, value) in rows {
        builder.attribute("value", AttributeRef::Int(i64::from(*value)));
        builder.span(SpanFields {
            trace_id: u128::from(of * 7 + 1).to_be_bytes(),
            span_id: (u64::from(*value) + 1).to_be_bytes(),
            name: "work",
            start_ns: BASE_NS + time,
            duration_ns: 5,
            ..SpanFields::default()
        });
    }
    Batch::Traces(builder.finish())
}

async fn read_metrics(rig: &Rig, matchers: &[Matcher], range: TimeRange) -> Vec<Row> {
    let set = rig.storage.metrics(&rig.ctx, range).await.unwrap().select(matchers).await.unwrap();
    let owners: Vec<u32> = set.labels().iter().map(owner).collect();
    let batches: Vec<RecordBatch> = set.samples(0..owners.len(), range).try_collect().await.unwrap();
    let mut rows = Vec::new();
    for batch in &batches {
        let (series, times) = (column::<UInt32Array>(batch, 0), column::<Int64Array>(batch, 1));
        let values = column::<Float64Array>(batch, 3);
        rows.extend((0..batch.num_rows()).map(|row| {
            (owners[series.value(row) as usize], times.value(row) - BASE_MS, values.value(row) as u32)
        }));
    }
    in_order(set.labels(), rows)
}

async fn read_logs(rig: &Rig, matchers: &[Matcher], range: TimeRange) -> Vec<Row> {
    let set = rig.storage.logs(&rig.ctx, range).await.unwrap().select(matchers).await.unwrap();
    let owners: Vec<u32> = set.labels().iter().map(owner).collect();
    let scan = LogScan { range, needles: Vec::new(), columns: LogColumns::ALL };
    let mut all = Vec::new();
    for source in set.sources(0..owners.len(), scan).await.unwrap() {
        let batches: Vec<RecordBatch> = source.entries.try_collect().await.unwrap();
        let mut rows = Vec::new();
        for batch in &batches {
            let (streams, times) = (column::<UInt32Array>(batch, 0), column::<Int64Array>(batch, 1));
            let lines = column::<StringArray>(batch, 2);
            rows.extend((0..batch.num_rows()).map(|row| {
                let value = lines.value(row)["line ".len()..].parse().unwrap();
                (owners[streams.value(row) as usize], times.value(row) - BASE_NS, value)
            }));
        }
        all.extend(in_order(set.labels(), rows));
    }
    all
}

async fn read_traces(rig: &Rig, trace_ids: TraceIds, range: TimeRange) -> Vec<Row> {
    let snapshot = rig.storage.traces(&rig.ctx, range).await.unwrap();
    let scan = TraceScan { trace_ids, range, service: None };
    let batches: Vec<RecordBatch> = snapshot.scan(scan).try_collect().await.unwrap();
    let mut rows = Vec::new();
    for batch in &batches {
        let view = SpansView::new(batch).unwrap();
        rows.extend((0..view.rows()).map(|row| {
            let Some(AttributeRef::Int(value)) = view.attribute(row, "value") else { panic!("row {row}") };
            let of = u32::try_from((u128::from_be_bytes(view.trace_id(row)) - 1) / 7).unwrap();
            (of, view.start_ns(row) - BASE_NS, u32::try_from(value).unwrap())
        }));
    }
    assert!(rows.is_sorted());
    rows
}

/// The rows, of which owners must come in the order of their labels, and times ascend within one.
fn in_order(labels: &[Labels], rows: Vec<Row>) -> Vec<Row> {
    let rank: BTreeMap<u32, usize> = labels.iter().enumerate().map(|(i, l)| (owner(l), i)).collect();
    assert!(rows.is_sorted_by_key(|(of, time, _)| (rank[of], *time)));
    rows
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_unstable();
    rows
}

/// Ranges to read: all, and parts of what there is.
fn ranges(plan: &Plan, base: i64) -> [(i64, i64); 3] {
    let span = i64::try_from(plan.span).unwrap();
    [(i64::MIN / 2, i64::MAX / 2), (base + span / 3, base + span / 2), (base + span - 5, base + span + 5)]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2, failure_persistence: None, max_shrink_iters: 30, ..ProptestConfig::default()
    })]

    #[test]
    fn samples_of_merged_runs_are_the_last_written(plan in plan()) {
        run(async {
            let rig = Rig::new().await;
            write(&rig, &plan, metrics).await;
            let mut last = BTreeMap::new();
            for (of, time, value) in plan.rows().into_iter().flatten() {
                last.insert((of, time), value);
            }
            let expected: Vec<Row> = last.into_iter().map(|((of, time), value)| (of, time, value)).collect();
            for (first, end) in ranges(&plan, BASE_MS) {
                let range = TimeRange::from_ms(first.max(0), end.min(BASE_MS * 2));
                let within: Vec<Row> =
                    expected.iter().filter(|row| (first..=end).contains(&(BASE_MS + row.1))).copied().collect();
                assert_eq!(sorted(read_metrics(&rig, &[], range).await), within);
                let one = [Matcher::equal("__name__", "m3")];
                let of_one: Vec<Row> = within.iter().filter(|row| row.0 % 5 == 3).copied().collect();
                assert_eq!(sorted(read_metrics(&rig, &one, range).await), of_one);
            }
        });
    }

    #[test]
    fn lines_of_merged_runs_come_once_each(plan in plan()) {
        run(async {
            let rig = Rig::new().await;
            write(&rig, &plan, logs).await;
            let mut expected = sorted(plan.rows().into_iter().flatten().collect());
            expected.dedup();
            for (first, end) in ranges(&plan, BASE_NS) {
                let range = TimeRange::new(first, end);
                let within: Vec<Row> =
                    expected.iter().filter(|row| (first..=end).contains(&(BASE_NS + row.1))).copied().collect();
                assert_eq!(sorted(read_logs(&rig, &[], range).await), within);
                let one = [Matcher::equal("i", "07")];
                let of_one: Vec<Row> = within.iter().filter(|row| row.0 == 7).copied().collect();
                assert_eq!(sorted(read_logs(&rig, &one, range).await), of_one);
            }
        });
    }

    #[test]
    fn spans_of_merged_runs_come_once_each(plan in plan()) {
        run(async {
            let rig = Rig::new().await;
            write(&rig, &plan, traces).await;
            let mut expected = sorted(plan.rows().into_iter().flatten().collect());
            expected.dedup();
            for (first, end) in ranges(&plan, BASE_NS) {
                let range = TimeRange::new(first, end);
                let within: Vec<Row> =
                    expected.iter().filter(|row| (first..=end).contains(&(BASE_NS + row.1))).copied().collect();
                assert_eq!(read_traces(&rig, TraceIds::All, range).await, within);
                let one = TraceIds::One(u128::from(7 * 7 + 1_u32).to_be_bytes());
                let of_one: Vec<Row> = within.iter().filter(|row| row.0 == 7).copied().collect();
                assert_eq!(read_traces(&rig, one, range).await, of_one);
            }
        });
    }
}
