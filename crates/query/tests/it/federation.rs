//! Several tenants at once: what is answered says whose it is, conditions choose among them, and nobody else is read.

use model::labels::METRIC_NAME;
use model::log::{Entry, LogBatchBuilder};
use model::metric::{MetricBatchBuilder, SeriesInfo};
use model::time::NS_PER_S;
use model::trace::{SpanFields, SpansView, TraceBatchBuilder};
use model::{Batch, Labels, Matcher, TenantContext, TimeRange};
use query::{
    Direction, Labelled, LogRequest, LogValue, PromRequest, QueryError, SqlRequest, Tag, TagScope,
    TraceRequest, Value,
};

use crate::fixture::{Fixture, NOW_S};

const NOW_NS: i64 = NOW_S * NS_PER_S;

/// The same series, stream and trace of each tenant, with a number of its own; `c` has labels of the label's name.
async fn world() -> Fixture {
    let fixture = Fixture::new().await;
    for (n, tenant) in (1_u8..).zip(["a", "b", "c", "d"]) {
        let original = if tenant == "c" { "mine" } else { "" };
        let labels = |name, value: &str| {
            Labels::from_pairs([(name, value), ("app", "shop"), ("of", tenant), ("__tenant_id__", original)])
        };
        let mut metrics = MetricBatchBuilder::default();
        let series = metrics.series(&labels(METRIC_NAME, "sold"), SeriesInfo::default());
        metrics.sample(series, NOW_S * 1_000, 0, f64::from(n));
        fixture.write(tenant, Batch::Metrics(metrics.finish())).await;

        let mut logs = LogBatchBuilder::default();
        let stream = logs.stream(&labels("pod", "p"));
        for second in 0..3 {
            let line = format!("{tenant} {second}");
            let timestamp_ns = NOW_NS - second * NS_PER_S;
            logs.entry(stream, Entry { timestamp_ns, line: &line, ..Entry::default() });
        }
        fixture.write(tenant, Batch::Logs(logs.finish())).await;

        let mut traces = TraceBatchBuilder::default();
        for (trace, span) in [(7, n), (100 + n, n)] {
            traces.span(SpanFields {
                trace_id: [trace; 16],
                span_id: [span; 8],
                name: tenant,
                start_ns: NOW_NS - i64::from(n) * NS_PER_S,
                ..SpanFields::default()
            });
        }
        fixture.write(tenant, Batch::Traces(traces.finish())).await;
    }
    fixture
}

fn several(fixture: &Fixture, tenants: &[&str]) -> TenantContext {
    TenantContext::several(tenants.iter().map(|tenant| fixture.context(tenant)).collect())
}

async fn vector(fixture: &Fixture, context: &TenantContext, query: &str) -> Vec<(String, f64)> {
    let (start_ms, end_ms) = (NOW_S * 1_000, NOW_S * 1_000);
    let request = PromRequest {
        start_ms,
        end_ms,
        step_ms: None,
        timeout_ns: None,
        lookback_ms: None,
        limit: None,
        counts_samples: false,
    };
    let answer = fixture.engine(2).promql(context, query, request).await.unwrap();
    let Value::Vector(samples) = answer.value else { panic!("not a vector: {:?}", answer.value) };
    let number = |point| if let query::Point::Float(number) = point { number } else { f64::NAN };
    samples.into_iter().map(|(labels, _, point)| (labels.to_string(), number(point))).collect()
}

#[tokio::test]
async fn promql_answers_and_sums_over_the_tenants_that_are_asked() {
    let fixture = world().await;
    let context = several(&fixture, &["a", "b", "c"]);
    let cases: [(&str, &[(&str, f64)]); 6] = [
        ("sum(sold)", &[("{}", 6.0)]),
        (
            "sum by (__tenant_id__) (sold)",
            &[("{__tenant_id__=\"a\"}", 1.0), ("{__tenant_id__=\"b\"}", 2.0), ("{__tenant_id__=\"c\"}", 3.0)],
        ),
        ("sum(sold{__tenant_id__=~\"b|c\"})", &[("{}", 5.0)]),
        ("sum(sold{__tenant_id__!=\"a\", __tenant_id__!=\"b\"})", &[("{}", 3.0)]),
        ("sum(sold{__tenant_id__=\"d\"})", &[]),
        (
            "sum by (original___tenant_id__) (sold{original___tenant_id__=\"mine\"})",
            &[("{original___tenant_id__=\"mine\"}", 3.0)],
        ),
    ];
    for flushed in [false, true] {
        if flushed {
            fixture.storage.flush().await.unwrap();
        }
        for (query, expected) in cases {
            let expected: Vec<_> =
                expected.iter().map(|(labels, value)| ((*labels).to_owned(), *value)).collect();
            assert_eq!(vector(&fixture, &context, query).await, expected, "{query}");
        }
    }
    let one = vector(&fixture, &several(&fixture, &["a"]), "sold").await;
    assert!(!one[0].0.contains("__tenant_id__"), "one tenant is answered as ever: {one:?}");
}

#[tokio::test]
async fn logql_merges_the_lines_and_counts_them() {
    let fixture = world().await;
    let context = several(&fixture, &["c", "a"]);
    let lines = async |query: &str, limit| {
        let request = LogRequest {
            start_ns: NOW_NS - 3_600 * NS_PER_S,
            end_ns: NOW_NS + 1,
            step_ns: None,
            limit,
            direction: Direction::Backward,
            timeout_ns: None,
        };
        let answer = fixture.engine(2).logql(&context, query, request).await.unwrap();
        let LogValue::Streams(streams) = answer.value else { panic!("lines give streams") };
        let mut lines: Vec<_> = streams
            .into_iter()
            .flat_map(|stream| {
                let tenant = stream.labels.get("__tenant_id__").unwrap_or_default().to_owned();
                stream.entries.into_iter().map(move |entry| format!("{tenant}: {}", entry.line))
            })
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(lines("{app=\"shop\"}", 4).await, ["a: a 0", "a: a 1", "c: c 0", "c: c 1"]);
    assert_eq!(lines("{__tenant_id__=\"c\"}", 2).await, ["c: c 0", "c: c 1"]);
    assert_eq!(lines("{__tenant_id__=\"b\"}", 2).await, [""; 0]);
    assert_eq!(lines("{original___tenant_id__=\"mine\"} |= \"2\"", 9).await, ["c: c 2"]);
}

#[tokio::test]
async fn lists_are_of_all_of_them() {
    let fixture = world().await;
    let context = several(&fixture, &["a", "c"]);
    let (engine, range) = (fixture.engine(1), TimeRange::ALL);
    for of in [Labelled::Series, Labelled::Streams] {
        let names = engine.label_names(&context, of, &[], range, None).await.unwrap().value;
        for name in ["__tenant_id__", "original___tenant_id__", "app", "of"] {
            assert!(names.contains(&name.to_owned()), "{of:?} {names:?}");
        }
        let values = async |name: &str, sets: &[Vec<Matcher>]| {
            engine.label_values(&context, of, name, sets, range, None).await.unwrap().value
        };
        assert_eq!(values("of", &[]).await, ["a", "c"], "{of:?}");
        assert_eq!(values("__tenant_id__", &[]).await, ["a", "c"], "{of:?}");
        assert_eq!(values("original___tenant_id__", &[]).await, ["mine"], "{of:?}");
        let chosen = [vec![Matcher::equal("__tenant_id__", "c")], vec![Matcher::equal("__tenant_id__", "b")]];
        assert_eq!(values("of", &chosen).await, ["c"], "{of:?}");
        let sets = engine.label_sets(&context, of, &[], range, None).await.unwrap().value;
        let tenants: Vec<_> = sets.iter().map(|labels| labels.get("__tenant_id__").unwrap()).collect();
        assert_eq!(tenants, ["a", "c"], "{of:?}");
    }
}

#[tokio::test]
async fn traces_are_of_all_of_them_and_sql_is_of_one() {
    let fixture = world().await;
    let (context, engine) = (several(&fixture, &["b", "a", "d"]), fixture.engine(2));
    let spans = engine.trace_by_id(&context, [7; 16], TimeRange::ALL).await.unwrap().unwrap();
    let view = SpansView::new(&spans).unwrap();
    assert_eq!((0..view.rows()).map(|row| view.name(row)).collect::<Vec<_>>(), ["d", "b", "a"]);
    assert!(engine.trace_by_id(&context, [103; 16], TimeRange::ALL).await.unwrap().is_none(), "it is c's");
    let range = TimeRange::new(NOW_NS - 3_600 * NS_PER_S, NOW_NS);
    let request = TraceRequest { range, limit: 10, spans_per_span_set: 3, timeout_ns: None };
    let found = engine.traceql_search(&context, "{ name =~ \"a|b|c|d\" }", request).await.unwrap().traces;
    let mut names: Vec<_> = found.iter().map(|trace| trace.root_trace_name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert!(
        names.iter().all(|name| *name != "c") && names.contains(&"a") && names.contains(&"d"),
        "{names:?}"
    );
    let tag = Tag { scope: Some(TagScope::Intrinsic), name: "name".into() };
    let values = engine.trace_tag_values(&context, &tag, None, range, None).await.unwrap().0;
    let values: Vec<_> = values.into_iter().map(|value| value.value).collect();
    assert_eq!(values, ["a", "b", "d"]);
    let refused = engine.sql(&context, "select 1", SqlRequest::default()).await.unwrap_err();
    assert!(matches!(&refused, QueryError::Parse(text) if text.contains("one tenant")), "{refused}");
}
