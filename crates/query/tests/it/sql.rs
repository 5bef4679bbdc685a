//! SQL over the three signals: columns, values, joins, and what is read of the store for which condition.

use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use model::histogram::{NativeHistogram, Span};
use model::log::{Entry, LogBatchBuilder};
use model::metric::{MetricBatchBuilder, MetricType, STALE_NAN_BITS, SeriesInfo};
use model::time::NS_PER_S;
use model::trace::{LinkFields, SpanFields, TraceBatchBuilder};
use model::{AttributeRef, Batch, Labels};
use query::{QueryError, SqlEnd, SqlRequest};

use crate::fixture::{Fixture, NOW_S};

const NOW_NS: i64 = NOW_S * NS_PER_S;

/// An answer as text: a line per row, columns between bars.
pub(crate) struct Told {
    pub(crate) rows: Vec<String>,
    pub(crate) end: SqlEnd,
}

pub(crate) async fn ask_with(
    fixture: &Fixture,
    tenant: &str,
    query: &str,
    request: SqlRequest,
) -> Result<Told, QueryError> {
    let mut answer = fixture.engine(2).sql(&fixture.context(tenant), query, request).await?;
    let mut rows = Vec::new();
    while let Some(batch) = answer.next().await? {
        rows.extend(lines(&batch));
    }
    Ok(Told { rows, end: answer.end().unwrap() })
}

pub(crate) async fn ask(fixture: &Fixture, tenant: &str, query: &str) -> Result<Told, QueryError> {
    ask_with(fixture, tenant, query, SqlRequest::default()).await
}

pub(crate) async fn rows(fixture: &Fixture, query: &str) -> Vec<String> {
    match ask(fixture, "a", query).await {
        Ok(told) => told.rows,
        Err(error) => panic!("{query}: {error}"),
    }
}

fn lines(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("null");
    let columns: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column as &dyn Array, &options).unwrap())
        .collect();
    let line = |row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(line).collect()
}

fn metrics() -> Batch {
    let mut builder = MetricBatchBuilder::default();
    let info = SeriesInfo { metric_type: MetricType::Counter, unit: "requests", help: "Requests." };
    for (job, factor) in [("api", 1.0), ("web", 2.0)] {
        let labels = Labels::from_pairs([("__name__", "requests_total"), ("job", job), ("zone", "x")]);
        let series = builder.series(&labels, info);
        for minute in 0..10 {
            let start_ms = if job == "api" { (NOW_S - 3_600) * 1_000 } else { 0 };
            builder.sample(series, (NOW_S - 540 + 60 * minute) * 1_000, start_ms, factor * minute as f64);
        }
    }
    let ended = builder.series(&Labels::from_pairs([("__name__", "ended")]), SeriesInfo::default());
    builder.sample(ended, (NOW_S - 60) * 1_000, 0, f64::NAN);
    builder.sample(ended, NOW_S * 1_000, 0, f64::from_bits(STALE_NAN_BITS));
    let latency =
        builder.series(&Labels::from_pairs([("__name__", "latency"), ("job", "api")]), SeriesInfo::default());
    let histogram = NativeHistogram {
        count: 3.0,
        sum: 4.5,
        positive_spans: vec![Span { offset: 1, length: 1 }],
        positive_counts: vec![3.0],
        ..NativeHistogram::default()
    };
    builder.histogram(latency, NOW_S * 1_000, 0, &histogram);
    builder.histogram(
        latency,
        NOW_S * 1_000 + 1_000,
        0,
        &NativeHistogram { sum: f64::from_bits(STALE_NAN_BITS), ..NativeHistogram::default() },
    );
    Batch::Metrics(builder.finish())
}

fn logs() -> Batch {
    let mut builder = LogBatchBuilder::default();
    for app in ["shop", "cart"] {
        let stream = builder.stream(&Labels::from_pairs([("app", app), ("job", "api")]));
        for i in 0..60_u8 {
            let line = format!("{app} line {i} level={}", if i % 10 == 0 { "error" } else { "info" });
            builder.metadata("user", AttributeRef::Int(i64::from(i)));
            builder.entry(
                stream,
                Entry {
                    timestamp_ns: NOW_NS - i64::from(60 - i) * 10 * NS_PER_S + 7,
                    line: &line,
                    severity: if i % 10 == 0 { 17 } else { 9 },
                    trace_id: (i % 10 == 0).then_some([i / 10 + 1; 16]),
                    span_id: (i % 10 == 0).then_some([i / 10 + 1; 8]),
                },
            );
        }
    }
    Batch::Logs(builder.finish())
}

fn traces() -> Batch {
    let mut builder = TraceBatchBuilder::default();
    for trace in 0..6_u8 {
        for k in 0..3_u8 {
            builder
                .resource_attribute("service.name", AttributeRef::String(if k == 0 { "shop" } else { "db" }));
            builder.resource_attribute("zone", AttributeRef::String("x"));
            builder.attribute("http.status_code", AttributeRef::Int(200 + i64::from(trace)));
            builder.attribute("ratio", AttributeRef::Double(0.5));
            if k == 0 {
                builder.event(NOW_NS + 1, "thrown", 0, [("why", AttributeRef::Bool(true))]);
                let link = LinkFields { trace_id: [9; 16], span_id: [8; 8], ..LinkFields::default() };
                builder.link(link, [("of", AttributeRef::Int(4))]);
            }
            builder.span(SpanFields {
                trace_id: [trace + 1; 16],
                span_id: [10 * trace + k + 1; 8],
                parent_span_id: (k > 0).then_some([10 * trace + 1; 8]),
                name: if k == 0 { "GET /" } else { "select" },
                kind: if k == 0 { 2 } else { 3 },
                start_ns: NOW_NS - i64::from(6 - trace) * 100 * NS_PER_S,
                duration_ns: i64::from(k + 1) * 1_000_000,
                status_code: if trace == 3 { 2 } else { 0 },
                ..SpanFields::default()
            });
        }
    }
    Batch::Traces(builder.finish())
}

pub(crate) async fn filled(is_flushed: bool) -> Fixture {
    let fixture = Fixture::new().await;
    for batch in [metrics(), logs(), traces()] {
        fixture.write("a", batch).await;
    }
    if is_flushed {
        fixture.storage.flush().await.unwrap();
    }
    fixture
}

/// A query, and the rows that it gives.
type Case = (&'static str, &'static [&'static str]);

const COLUMNS: [Case; 14] = [
    (
        "select timestamp, name, labels, value, type, unit, start_timestamp from metrics \
             where name = 'requests_total' and labels['job'] = 'api' order by timestamp limit 2",
        &[
            "2023-11-14T22:04:20Z|requests_total|{job: api, zone: x}|0.0|counter|requests|2023-11-14T21:13:20Z",
            "2023-11-14T22:05:20Z|requests_total|{job: api, zone: x}|1.0|counter|requests|2023-11-14T21:13:20Z",
        ],
    ),
    (
        "select start_timestamp, count, sum, histogram from metrics where labels['job'] = 'web' limit 1",
        &["null|null|null|null"],
    ),
    // The marker of the end is no sample; another NaN is one.
    ("select value, timestamp from metrics where name = 'ended'", &["NaN|2023-11-14T22:12:20Z"]),
    (
        "select value, count, sum, histogram['positive_counts'] from metrics where name = 'latency'",
        &["null|3.0|4.5|[3.0]"],
    ),
    ("select count(*) from metrics", &["22"]),
    (
        "select count(*), min(timestamp), max(timestamp) from logs",
        &["120|2023-11-14T22:03:20.000000007Z|2023-11-14T22:13:10.000000007Z"],
    ),
    (
        "select timestamp, labels, line, severity, severity_number, trace_id, span_id, metadata from logs \
             where labels['app'] = 'cart' order by timestamp limit 2",
        &[
            "2023-11-14T22:03:20.000000007Z|{app: cart, job: api}|cart line 0 level=error|error|17|\
                 01010101010101010101010101010101|0101010101010101|{user: 0}",
            "2023-11-14T22:03:30.000000007Z|{app: cart, job: api}|cart line 1 level=info|info|9|null|null|{user: 1}",
        ],
    ),
    ("select count(*) from logs where line like '%level=error%' and labels['app'] <> 'cart'", &["6"]),
    (
        "select line from logs where metadata['user'] = '7' order by line",
        &["cart line 7 level=info", "shop line 7 level=info"],
    ),
    (
        "select timestamp, end_timestamp, duration_ns, trace_id, span_id, parent_span_id, service, name, kind, \
             status, attributes, resource from traces where trace_id = '04040404040404040404040404040404' \
             order by span_id limit 2",
        &[
            "2023-11-14T22:08:20Z|2023-11-14T22:08:20.001Z|1000000|04040404040404040404040404040404|\
                 1f1f1f1f1f1f1f1f|null|shop|GET /|server|error|{http.status_code: 203, ratio: 0.5}|\
                 {service.name: shop, zone: x}",
            "2023-11-14T22:08:20Z|2023-11-14T22:08:20.002Z|2000000|04040404040404040404040404040404|\
                 2020202020202020|1f1f1f1f1f1f1f1f|db|select|client|error|{http.status_code: 203, ratio: 0.5}|\
                 {service.name: db, zone: x}",
        ],
    ),
    (
        "select events[1]['name'], events[1]['timestamp'], events[1]['attributes']['why'], links[1]['trace_id'], \
             links[1]['attributes'] from traces where service = 'shop' limit 1",
        &["thrown|2023-11-14T22:13:20.000000001Z|true|09090909090909090909090909090909|{of: 4}"],
    ),
    (
        "select scope_name, scope_version, scope_attributes, trace_state, flags, dropped_attributes, \
             dropped_events, dropped_links, status_message from traces limit 1",
        &["||{}||0|0|0|0|"],
    ),
    (
        "select distinct service from traces where attributes['http.status_code'] = '204' order by 1",
        &["db", "shop"],
    ),
    ("select now(), timestamp '2023-11-14T22:13:20Z' = now()", &["2023-11-14T22:13:20Z|true"]),
];

#[tokio::test]
async fn every_table_has_its_columns() {
    for is_flushed in [false, true] {
        let fixture = filled(is_flushed).await;
        for (query, expected) in COLUMNS {
            assert_eq!(rows(&fixture, query).await, expected, "{query}, flushed={is_flushed}");
        }
    }
}

#[tokio::test]
async fn signals_are_joined() {
    let fixture = filled(true).await;
    let cases: [Case; 6] = [
        // Logs of a trace that failed.
        (
            "select l.line, t.service, t.duration_ns from logs l join traces t on l.trace_id = t.trace_id \
             where t.status = 'error' and t.parent_span_id is null order by l.line",
            &["cart line 30 level=error|shop|1000000", "shop line 30 level=error|shop|1000000"],
        ),
        // Errors per five minutes beside a counter's value.
        (
            "with errors as (select date_bin(interval '5 minutes', timestamp) as at, labels['job'] as job, \
               count(*) as errors from logs where severity = 'error' group by 1, 2), \
             load as (select date_bin(interval '5 minutes', timestamp) as at, labels['job'] as job, \
               max(value) as most from metrics where name = 'requests_total' group by 1, 2) \
             select errors.at, errors.job, errors, most from errors join load \
               on errors.at = load.at and errors.job = load.job order by 1",
            &[
                "2023-11-14T22:00:00Z|api|2|0.0",
                "2023-11-14T22:05:00Z|api|6|5.0",
                "2023-11-14T22:10:00Z|api|4|9.0",
            ],
        ),
        (
            "select service, count(*), approx_percentile_cont(duration_ns, 0.5), avg(duration_ns) from traces \
             group by service order by service",
            &["db|12|2750000.0|2500000.0", "shop|6|1000000.0|1000000.0"],
        ),
        (
            "select value - lag(value) over (partition by labels['job'] order by timestamp) as more from metrics \
             where labels['job'] = 'web' order by timestamp limit 3",
            &["null", "2.0", "2.0"],
        ),
        (
            "select name, unnest(map_keys(labels)) as label from metrics where name = 'requests_total' \
             group by name, label order by label",
            &["requests_total|job", "requests_total|zone"],
        ),
        (
            "select (select count(*) from logs) + (select count(*) from traces where kind in ('server')) as all, \
             'a' || 'b' || null as nothing, 'a' || 1 as text",
            &["126|null|a1"],
        ),
    ];
    for (query, expected) in cases {
        assert_eq!(rows(&fixture, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn a_limit_cuts_and_tells() {
    let fixture = filled(false).await;
    for (limit, is_truncated) in [(119, true), (120, false), (121, false)] {
        let request = SqlRequest { limit: Some(limit), ..SqlRequest::default() };
        let told = ask_with(&fixture, "a", "select line from logs", request).await.unwrap();
        assert_eq!((told.rows.len(), told.end.is_truncated), (limit.min(120), is_truncated));
    }
    assert!(ask(&fixture, "b", "select * from logs").await.unwrap().rows.is_empty());
    let stats = ask(&fixture, "a", "select line from logs").await.unwrap().end.stats;
    assert_eq!((stats.items, stats.series), (120, 2));
    assert!(stats.bytes > 0 && stats.peak_memory_bytes > 0, "{stats:?}");
}

/// What the operator of a scan says in an explained plan.
async fn scanned(fixture: &Fixture, query: &str) -> String {
    let plan = rows(fixture, &format!("explain {query}")).await.join("\n");
    let line = plan.lines().find(|line| line.contains("ScanExec")).unwrap_or_else(|| panic!("{plan}"));
    let line = line.trim_start_matches("physical_plan|").trim();
    line.to_owned() + if plan.contains("FilterExec") { " + filter" } else { "" }
}

#[tokio::test]
async fn conditions_say_where_to_look() {
    let fixture = filled(true).await;
    let cases = [
        ("select value from metrics", "MetricsScanExec: columns=[value], series=4"),
        ("select count(*) from metrics", "MetricsScanExec: columns=[], series=4"),
        (
            "select value from metrics where name = 'requests_total' and labels['job'] in ('api', 'x.y')",
            "MetricsScanExec: columns=[value], series=1, matchers=[name=\"requests_total\", job=~\"(?-s:api|x\\\\.y)\"]",
        ),
        (
            "select value from metrics where labels['job'] is not null and timestamp >= now() - interval '5 minutes'",
            "MetricsScanExec: columns=[value], series=3, start_ns=1699999700000000000, matchers=[job!=\"\"]",
        ),
        (
            "select value from metrics where labels['job'] ~ '^we'",
            "MetricsScanExec: columns=[labels, value], series=1, matchers=[job=~\"(?-s:we(?s:.*))\"] + filter",
        ),
        (
            "select line from logs where timestamp between '2023-11-14T22:05:00Z' and '2023-11-14T22:06:00Z'",
            "LogsScanExec: columns=[line], streams=2, start_ns=1699999500000000000, end_ns=1699999560000000000",
        ),
        (
            "select labels from logs where line like '%line 7%' and (timestamp < '2023-11-14T22:05:00Z' or \
             timestamp < '2023-11-14T22:04:00Z') and labels['app'] != 'cart'",
            "LogsScanExec: columns=[timestamp, labels, line], streams=1, end_ns=1699999499999999999, \
             matchers=[app!=\"cart\"], contains=[\"line 7\"] + filter",
        ),
        (
            "select name from traces where trace_id in ('04040404040404040404040404040404') and service = 'db'",
            "TracesScanExec: columns=[service, name], trace_ids=1, service=\"db\" + filter",
        ),
        (
            "select name from traces where date_trunc('hour', timestamp) = '2023-11-14T22:00:00Z'",
            "TracesScanExec: columns=[timestamp, name] + filter",
        ),
    ];
    for (query, expected) in cases {
        assert_eq!(scanned(&fixture, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn errors_point_at_the_text() {
    let fixture = filled(false).await;
    let cases = [
        ("select nothing from logs", "nothing"),
        ("select 1 +", "Expected"),
        ("select * from nowhere", "nowhere"),
        ("selec 1", "Expected"),
        ("", "No SQL statements"),
    ];
    for (query, part) in cases {
        let error = ask(&fixture, "a", query).await.map(|told| told.rows).unwrap_err();
        assert!(matches!(&error, QueryError::Parse(m) if m.contains(part)), "{query}: {error:?}");
    }
}
