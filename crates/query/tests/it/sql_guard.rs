//! What SQL must not do: reach other tenants, files or the process, write, or take more than it may.

use model::limits::Limits;
use model::log::{Entry, LogBatchBuilder};
use model::metric::{MetricBatchBuilder, SeriesInfo};
use model::time::NS_PER_S;
use model::trace::{SpanFields, TraceBatchBuilder};
use model::{Batch, Labels};
use query::{QueryError, SqlRequest};

use crate::fixture::{Fixture, NOW_S};
use crate::sql::{ask, ask_with};

/// What only the other tenant has.
const SECRET: &str = "s3cret";

/// The same of two tenants, one with a secret in every text, and `lines` lines of both.
async fn fixture(limits: Limits, lines: i64) -> Fixture {
    let fixture = Fixture::with_limits(limits).await;
    for (tenant, text) in [("a", "plain"), ("b", SECRET)] {
        let now_ns = NOW_S * NS_PER_S;
        let mut metrics = MetricBatchBuilder::default();
        let name = format!("{text}_total");
        let labels = Labels::from_pairs([("__name__", name.as_str()), ("job", text)]);
        let series = metrics.series(&labels, SeriesInfo { unit: text, ..SeriesInfo::default() });
        metrics.sample(series, NOW_S * 1_000, 0, 1.0);
        fixture.write(tenant, Batch::Metrics(metrics.finish())).await;
        let mut logs = LogBatchBuilder::default();
        let stream = logs.stream(&Labels::from_pairs([("app", text)]));
        for i in 0..lines {
            let line = format!("{text} {i}");
            logs.entry(stream, Entry { timestamp_ns: now_ns - i, line: &line, ..Entry::default() });
        }
        fixture.write(tenant, Batch::Logs(logs.finish())).await;
        let mut traces = TraceBatchBuilder::default();
        traces.span(SpanFields {
            trace_id: [1; 16],
            span_id: [1; 8],
            name: text,
            start_ns: now_ns,
            ..SpanFields::default()
        });
        fixture.write(tenant, Batch::Traces(traces.finish())).await;
    }
    fixture
}

/// What is no query that reads, or reads what is not the caller's.
const REFUSED: &[&str] = &[
    // Other catalogs, schemas and tables.
    "select * from b.public.logs",
    "select * from b.logs",
    "select * from \"b/logs\"",
    "select * from datafusion.public.logs",
    "select * from stella.b.logs",
    "select * from stella.information_schema.df_settings",
    "select * from information_schema.df_settings",
    "select * from information_schema.routines",
    "select * from information_schema.parameters",
    "select * from exemplars",
    "show all",
    "show functions",
    "show datafusion.execution.batch_size",
    // Files and stores.
    "select * from '/etc/passwd'",
    "select * from 'file:///etc/passwd'",
    "select * from 's3://bucket/key.parquet'",
    "select * from \"/etc/passwd\"",
    "select * from read_parquet('/etc/passwd')",
    "select * from read_csv('/etc/passwd')",
    "select * from parquet_metadata('/etc/passwd')",
    "select * from arrow_file('/etc/passwd')",
    "select input_file_name() from logs",
    "select file_row_index() from logs",
    // Writes and statements.
    "create external table x stored as csv location '/etc/passwd'",
    "create table x as select 1",
    "create view x as select * from logs",
    "create schema x",
    "create database x",
    "create function f() returns int return 1",
    "copy logs to 'copied.csv'",
    "copy (select * from logs) to 'copied' stored as parquet",
    "insert into logs values (1)",
    "update logs set line = 'x'",
    "delete from logs",
    "truncate table logs",
    "merge into logs using traces on true when matched then delete",
    "drop table logs",
    "alter table logs rename to x",
    "set datafusion.execution.batch_size = 1",
    "set time zone = 'x'",
    "reset datafusion.execution.batch_size",
    "prepare p as select 1",
    "execute p",
    "deallocate p",
    "begin",
    "commit",
    "explain drop table logs",
    "explain copy logs to 'copied.csv'",
    "explain analyze insert into logs values (1)",
    "explain explain select 1",
    "select 1; drop table logs",
    "select 1; select 2",
    "select * into x from logs",
    // The process.
    "select version()",
    "select current_setting('x')",
    "select pg_read_file('/etc/passwd')",
    "select @@version",
    "select $1",
    "select random()",
    "select uuid()",
    "select arrow_cast(1, 'FixedSizeBinary(1000000000)')",
    "select cast(null as int[2000000000])",
    "call f()",
    "use b",
    "kill 1",
    "load 'x'",
    "analyze table logs",
];

/// What reads all that there is to be read.
const SEEN: &[&str] = &[
    "select * from logs",
    "select * from stella.public.logs",
    "select * from public.logs",
    "select * from metrics",
    "select * from traces",
    "select * from information_schema.tables",
    "select * from information_schema.columns",
    "select * from information_schema.schemata",
    "select * from information_schema.views",
    "show tables",
    "show columns from logs",
    "describe logs",
    "explain verbose select * from logs",
    "explain analyze select * from logs",
    "explain format tree select * from traces",
    "explain format indent select * from metrics",
    "values (1), (2)",
    "with recursive n as (select 1 as i union all select i + 1 from n where i < 5) select * from n",
    "select * from generate_series(1, 5)",
    "select l.* from logs l, metrics m, traces t",
];

#[tokio::test]
async fn nothing_but_the_callers_tables_is_reached() {
    let fixture = fixture(Limits::default(), 10).await;
    fixture.storage.flush().await.unwrap();
    let mut wrong = Vec::new();
    for query in REFUSED {
        match ask(&fixture, "a", query).await {
            Err(QueryError::Parse(_)) => {}
            other => wrong.push(format!("{query}: {:?}", other.map(|told| told.rows))),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for query in SEEN {
        let told = ask(&fixture, "a", query).await.map(|told| told.rows);
        let rows = told.unwrap_or_else(|error| panic!("{query}: {error}"));
        assert!(!rows.is_empty() || query.ends_with("views"), "{query}");
        assert!(!rows.iter().any(|row| row.contains(SECRET)), "{query}: {rows:?}");
    }
    let tables =
        ask(&fixture, "a", "select table_name from information_schema.tables where table_schema = 'public'");
    assert_eq!(tables.await.unwrap().rows, ["metrics", "logs", "traces"]);
}

/// Queries that would take far more than they may, each with what its error says.
const BOMBS: &[(&str, &str)] = &[
    ("select repeat('x', 2000000000)", "function=repeat"),
    ("select repeat(line, 1000000) from logs", "function=repeat"),
    ("select length(repeat(line, 100000000)) from logs", "function=repeat"),
    ("select lpad('x', 2000000000, 'y')", "function=lpad"),
    ("select rpad(line, 1000000) from logs", "function=rpad"),
    ("select replace(repeat('a', 8000), 'a', repeat('b', 8000))", "memory"),
    ("select replace(line, 'l', repeat('b', 16000)) from logs", "function=replace"),
    ("select regexp_replace(line, '.', repeat('b', 16000), 'g') from logs", "function=regexp_replace"),
    (
        "select array_to_string(string_to_array(line, null), repeat('b', 16000)) from logs",
        "function=array_to_string",
    ),
    ("select concat_ws(repeat('a', 16000), line, line, line, line) from logs", "function=concat_ws"),
    ("select array_repeat('x', 1000000000)", "array_repeat"),
    ("select array_resize([1], 1000000000)", "array_resize"),
    ("select range(0, 1000000000000)", "range"),
    ("select levenshtein(line, line) from logs", "levenshtein"),
    ("select * from generate_series(1, 1000000000000000) order by 1 desc limit 5000000", "memory"),
    ("select array_agg(value) from generate_series(1, 1000000000000000)", "memory"),
    ("select string_agg(line, ',') from logs a, (select 1 from generate_series(1, 1000000000)) b", "memory"),
    ("select a.line, count(*) from logs a, logs b, logs c group by a.line, b.line, c.line", "memory"),
    ("select a.line from logs a, logs b, logs c order by b.line", "memory"),
    ("select row_number() over (order by a.line, b.line, c.line) from logs a, logs b, logs c", "memory"),
    ("select sum(a.severity_number) over () from logs a, logs b, logs c", "memory"),
    ("select sum(1) over (partition by a.line rows 5 preceding) from logs a, logs b, logs c", "memory"),
];

#[tokio::test]
async fn what_takes_too_much_is_an_error() {
    let limits = Limits { query_memory_bytes: 32 << 20, ..Limits::default() };
    let fixture = fixture(limits, 2_000).await;
    let mut wrong = Vec::new();
    for (query, part) in BOMBS {
        match ask(&fixture, "a", query).await {
            Err(QueryError::Execution(m) | QueryError::Limited(m) | QueryError::Parse(m))
                if m.contains(part) => {}
            other => wrong.push(format!("{query}: {:?}", other.map(|told| told.rows.len()))),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn texts_that_would_be_planned_into_too_much_are_refused() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let thread = std::thread::Builder::new().stack_size(query::STACK_BYTES);
    thread.spawn(move || runtime().block_on(refuse_texts())).unwrap().join().unwrap();
}

async fn refuse_texts() {
    let fixture = fixture(Limits::default(), 10).await;
    let doubling = |what: &str, times: usize| {
        let steps: Vec<String> = (1..times)
            .map(|i| what.replace("NOW", &format!("t{i}")).replace("LAST", &format!("t{}", i - 1)))
            .collect();
        format!("with t0 as (select 'x' as s), {} select * from t{}", steps.join(", "), times - 1)
    };
    let numbered = |what: &str, times: usize| {
        (0..times).map(|i| what.replace('#', &i.to_string())).collect::<Vec<_>>().join(", ")
    };
    let nested = |open: &str, inner: &str, close: &str, times: usize| {
        format!("select {}{inner}{}", open.repeat(times), close.repeat(times))
    };
    let cases = [
        (doubling("NOW as (select a.* from LAST a cross join LAST b)", 40), "max_relations"),
        (doubling("NOW as (select a.*, b.* from LAST a cross join LAST b)", 40), "max_relations"),
        (doubling("NOW as (select * from LAST union all select * from LAST)", 40), "max_relations"),
        (doubling("NOW as (select s || s || s || s as s from LAST)", 40), "would make too much"),
        (doubling("NOW as (select concat(s, s, s, s) as s from LAST)", 40), "would make too much"),
        (
            doubling("NOW as (select array_concat(s, s) as s from LAST)", 40)
                .replace("'x' as s", "['x'] as s"),
            "would make too much",
        ),
        (nested("(", "1", ")", 10_000), "nested"),
        (nested("(", "1", ")", 32), ""),
        (nested("array[", "1", "]", 30), ""),
        (nested("(select ", "1", ")", 30), "max_query_depth"),
        (nested("(select ", "1", ")", 7), ""),
        (nested("-", "1", "", 10_000), ""),
        (nested("not ", "true", "", 10_000), "nested"),
        (nested("(select ", "1", ")", 5_000), "nested"),
        (nested("array[", "1", "]", 5_000), "nested"),
        (nested("case when true then ", "1", " end", 2_000), "nested"),
        (format!("select 1 {}", "+ 1".repeat(20_000)), "nested"),
        (format!("select {}", "1+".repeat(30_000) + "1"), "nested"),
        (format!("select true {}", "and true ".repeat(7_000)), "nested"),
        (format!("select count(*) from logs where true {}", "and line = 'x' ".repeat(120)), ""),
        (format!("select 1 {} from metrics", "+ value".repeat(250)), ""),
        (format!("select value{} from metrics", "::text::float".repeat(120)), ""),
        (format!("select value {} from metrics", "is null ".repeat(250)), ""),
        (format!("select value {} from metrics", "is distinct from true ".repeat(250)), ""),
        (format!("select 'x' {} from logs", "|| line ".repeat(250)), ""),
        (format!("select {}line{} from logs", "upper(".repeat(32), ")".repeat(32)), ""),
        (format!("select {}line{} from logs", "upper(".repeat(32), " || 'x' || 'y')".repeat(32)), ""),
        (format!("select timestamp {} from logs", "at time zone 'UTC' ".repeat(250)), ""),
        (format!("select timestamp {} from logs", "+ interval '1 s' ".repeat(120)), ""),
        (format!("select line {} from logs", "~ 'a' ".repeat(250)), ""),
        (format!("select * from logs where {} false", "line = 'x' or ".repeat(3_000)), "nested"),
        (format!("select 1 {}", "union all select 1 ".repeat(3_000)), "max_set_operators"),
        (format!("select 1 {}", "union all select 1 ".repeat(128)), ""),
        (format!("select 'x' {}", "|| 'x' ".repeat(8_000)), "nested"),
        (format!("select {} line from logs", "line, ".repeat(7_000)), ""),
        (format!("select '{}'", "x".repeat(60_000)), "constants"),
        (format!("select '{}'", "x".repeat(70_000)), "too long"),
        (format!("select * from logs where line in ({} '')", "'x', ".repeat(7_000)), ""),
        (format!("select * from {}", vec!["logs"; 1_000].join(", ")), "max_relations"),
        (format!("select {}", numbered(&format!("'{}' as c#", "y".repeat(300)), 100)), "constants"),
        (format!("select {}", numbered("repeat('x', 16000) as c#", 1_000)), "constants"),
    ];
    for (query, part) in cases {
        let head: String = query.chars().take(60).collect();
        match ask(&fixture, "a", &query).await {
            Err(QueryError::Internal(message)) => panic!("{head}: {message}"),
            Err(error) => assert!(error.to_string().contains(part), "{head}: {error}"),
            Ok(_) => assert_eq!(part, "", "{head}"),
        }
    }
}

#[tokio::test]
async fn a_query_ends_when_its_time_is_over_or_nobody_reads() {
    let fixture = fixture(Limits::default(), 2_000).await;
    let endless =
        "select count(*) from generate_series(1, 100000000000) a, generate_series(1, 100000000000) b";
    let loops = "with recursive n as (select 1 as i union all select i + 1 from n) select count(*) from n";
    for query in [endless, loops, "select a.line from logs a, logs b, logs c where a.line || b.line = c.line"]
    {
        let request = SqlRequest { timeout_ns: Some(200_000_000), ..SqlRequest::default() };
        match ask_with(&fixture, "a", query, request).await {
            Err(QueryError::Timeout { timeout_ms: 200 }) => {}
            other => panic!("{query}: {:?}", other.map(|told| told.rows)),
        }
    }
    // One who does not read holds what a channel holds; one who goes away, nothing.
    let engine = fixture.engine(2);
    for _ in 0..40 {
        let answer =
            engine.sql(&fixture.context("a"), "select * from logs a, logs b", SqlRequest::default()).await;
        let mut answer = answer.unwrap();
        assert!(answer.next().await.unwrap().is_some());
    }
}

#[tokio::test]
async fn an_answer_over_its_bytes_is_an_error() {
    let fixture = fixture(Limits { max_sql_answer_bytes: 20_000, ..Limits::default() }, 2_000).await;
    assert_eq!(ask(&fixture, "a", "select line from logs limit 1000").await.unwrap().rows.len(), 1_000);
    let error = ask(&fixture, "a", "select line from logs").await.map(|told| told.rows.len()).unwrap_err();
    assert!(error.to_string().contains("max_sql_answer_bytes=20000"), "{error}");
}
