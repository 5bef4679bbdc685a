//! Batches with every kind of value that the engine keeps, and everything that can be read of a tenant as lines of text.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, UInt32Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use model::attributes::AttributeRef;
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, NativeHistogram, ResetHint, Span};
use model::log::{Entry, LogBatchBuilder};
use model::metric::{MetricBatchBuilder, MetricType, SeriesInfo};
use model::time::NS_PER_MS;
use model::trace::{LinkFields, SpanFields, TraceBatchBuilder};
use model::{Batch, Labels, TenantContext, TimeRange};
use storage::Storage;
use storage::read::{LogColumns, LogScan, TraceIds, TraceScan};

use crate::fixture::NOW_NS;
use crate::rig::entries;

/// Attributes of every kind.
const ATTRIBUTES: [(&str, AttributeRef<'static>); 8] = [
    ("text", AttributeRef::String("naïve ☃ 日本")),
    ("empty", AttributeRef::String("")),
    ("yes", AttributeRef::Bool(true)),
    ("least", AttributeRef::Int(i64::MIN)),
    ("ratio", AttributeRef::Double(0.1)),
    ("list", AttributeRef::Array(r#"[1,"two",null]"#)),
    ("map", AttributeRef::Map(r#"{"k":{"l":[true]}}"#)),
    ("bytes", AttributeRef::Bytes("AP9/")),
];

/// A batch of each signal; another `step` is another second of the same series, streams and services.
pub(crate) fn batches(step: i64) -> [Batch; 3] {
    [metrics(step), logs(step), traces(step)]
}

fn histograms() -> [NativeHistogram; 2] {
    let exponential = NativeHistogram {
        reset_hint: ResetHint::NoReset,
        schema: 3,
        zero_threshold: 1e-128,
        zero_count: 2.0,
        count: 21.0,
        sum: -18.4,
        positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }],
        positive_counts: vec![1.0, 4.0, 7.0],
        negative_spans: vec![Span { offset: 0, length: 2 }],
        negative_counts: vec![3.0, 4.0],
        custom_bounds: Vec::new(),
    };
    let custom = NativeHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: 5.0,
        sum: 12.5,
        positive_spans: vec![Span { offset: 0, length: 3 }],
        positive_counts: vec![1.0, 1.5, 2.5],
        custom_bounds: vec![0.5, 10.0],
        ..NativeHistogram::default()
    };
    [exponential, custom]
}

fn metrics(step: i64) -> Batch {
    let at_ms = NOW_NS / NS_PER_MS + step * 1_000;
    let mut builder = MetricBatchBuilder::default();
    let types = [MetricType::Counter, MetricType::Gauge, MetricType::Unknown, MetricType::Summary];
    let values = [
        [1.0, 2.0, 3.0],
        [0.25, -17.5, 1e300],
        [f64::NAN, f64::INFINITY, -0.0],
        [f64::from_bits(0x7ff0_0000_0000_0002), std::f64::consts::PI, 1_234_567.89],
    ];
    for (number, (metric_type, values)) in (0..).zip(types.into_iter().zip(values)) {
        let name = format!("requests_{number}");
        let instance = format!("host-{number}");
        let labels =
            Labels::from_pairs([("__name__", &*name), ("instance", &*instance), ("größe", "ümläut")]);
        let info = SeriesInfo { metric_type, unit: "bytes", help: "What it is: \"ß\"." };
        let series = builder.series(&labels, info);
        for (offset, value) in (0..).zip(values) {
            builder.sample(series, at_ms + offset, at_ms - 60_000, value);
        }
        let trace = [("trace_id", "0af7651916cd43dd8448eb211c80319c"), ("π", "☃")];
        builder.exemplar(series, at_ms, number as f64 / 3.0, trace);
    }
    let labels = Labels::from_pairs([("__name__", "http.server.duration"), ("job", "web")]);
    let info = SeriesInfo { metric_type: MetricType::Histogram, unit: "s", help: "" };
    let series = builder.series(&labels, info);
    for (offset, histogram) in (0..).zip(histograms()) {
        builder.histogram(series, at_ms + offset, 0, &histogram);
    }
    Batch::Metrics(builder.finish())
}

fn logs(step: i64) -> Batch {
    let at_ns = NOW_NS + step * 1_000_000_000;
    let mut builder = LogBatchBuilder::default();
    for (number, app) in (0_u8..).zip(["web", "日本", "db"]) {
        let stream = builder.stream(&Labels::from_pairs([("app", app), ("env", "prod")]));
        for (name, value) in ATTRIBUTES {
            builder.metadata(name, value);
        }
        let line = format!("level=info request_id=4bf92f3577b34da6a3ce929d0e0e47{number:02} ☃ {step}");
        builder.entry(
            stream,
            Entry {
                timestamp_ns: at_ns,
                line: &line,
                severity: 9 + number,
                trace_id: Some([number; 16]),
                span_id: Some([number; 8]),
            },
        );
        builder.entry(stream, Entry { timestamp_ns: at_ns + 1, line: "", ..Entry::default() });
    }
    Batch::Logs(builder.finish())
}

fn traces(step: i64) -> Batch {
    let at_ns = NOW_NS + step * 1_000_000_000;
    let mut builder = TraceBatchBuilder::default();
    for number in 0_u8..3 {
        for (key, value) in [
            ("service.name", AttributeRef::String("shop ☃")),
            ("k8s.pod.name", AttributeRef::String("pod-7")),
            ("service.version", AttributeRef::Double(1.5)),
        ] {
            builder.resource_attribute(key, value);
        }
        builder.scope_attribute("scope", AttributeRef::Bool(false));
        for (key, value) in ATTRIBUTES {
            builder.attribute(key, value);
        }
        builder.attribute("http.method", AttributeRef::String("GET"));
        builder.attribute("http.status_code", AttributeRef::Int(200 + i64::from(number)));
        builder.event(at_ns + 5, "exception", 1, ATTRIBUTES);
        builder.event(at_ns + 6, "", 0, []);
        let link = LinkFields {
            trace_id: [7; 16],
            span_id: [8; 8],
            trace_state: "a=b",
            flags: 1,
            dropped_attributes: 2,
        };
        builder.link(link, [("link", AttributeRef::Int(1))]);
        builder.span(SpanFields {
            trace_id: [u8::try_from(step % 100).unwrap() + 1; 16],
            span_id: [number + 1; 8],
            parent_span_id: (number > 0).then_some([1; 8]),
            trace_state: "vendor=☃",
            flags: 0x101,
            name: "GET /größe",
            kind: number,
            start_ns: at_ns + i64::from(number),
            duration_ns: 1_000_000,
            status_code: number,
            status_message: "no more",
            scope_name: "lib",
            scope_version: "1.2.3",
            dropped_attributes: 3,
            dropped_events: 4,
            dropped_links: 5,
        });
    }
    Batch::Traces(builder.finish())
}

/// A cell as text; of numbers in the column `value` every bit.
fn cell(name: &str, column: &dyn Array, row: usize) -> String {
    if name == "value" && column.data_type() == &DataType::Float64 {
        let value = column.as_primitive::<Float64Type>().value(row);
        return format!("{value} ({:016x})", value.to_bits());
    }
    let options = FormatOptions::default().with_null("-");
    ArrayFormatter::try_new(column, &options).unwrap().value(row).to_string()
}

fn lines(batches: &[RecordBatch], labels: &[Labels]) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in batches {
        let schema = batch.schema();
        for row in 0..batch.num_rows() {
            let mut text = String::new();
            for (field, column) in schema.fields().iter().zip(batch.columns()) {
                let value = match field.name().as_str() {
                    "series" | "stream" => {
                        let number = column.as_primitive::<UInt32Type>().value(row);
                        format!("{:?}", labels[number as usize])
                    }
                    name => cell(name, column, row),
                };
                text.push_str(&format!("{}={value} ", field.name()));
            }
            lines.push(text.trim_end().to_owned());
        }
    }
    lines
}

/// Everything that a tenant can read: lines by table, in the order in which they are read.
pub(crate) async fn dump(storage: &Storage, ctx: &TenantContext) -> BTreeMap<&'static str, Vec<String>> {
    let all = TimeRange::ALL;
    let snapshot = storage.metrics(ctx, all).await.unwrap();
    let set = snapshot.select(&[]).await.unwrap();
    let series = 0..set.labels().len();
    let mut tables = BTreeMap::new();
    for (name, stream) in [
        ("samples", set.samples(series.clone(), all)),
        ("histograms", set.histograms(series.clone(), all)),
        ("exemplars", set.exemplars(series, all)),
    ] {
        let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
        tables.insert(name, lines(&batches, set.labels()));
    }
    let metadata = snapshot.metadata().await.unwrap();
    tables.insert("metadata", metadata.iter().map(|metadata| format!("{metadata:?}")).collect());

    let set = storage.logs(ctx, all).await.unwrap().select(&[]).await.unwrap();
    let scan = LogScan { range: all, needles: Vec::new(), columns: LogColumns::ALL };
    tables.insert("entries", lines(&[entries(&set, scan).await], set.labels()));

    let scan = TraceScan { trace_ids: TraceIds::All, range: all, service: None };
    let batches: Vec<RecordBatch> =
        storage.traces(ctx, all).await.unwrap().scan(scan).try_collect().await.unwrap();
    tables.insert("spans", lines(&batches, &[]));
    tables
}
