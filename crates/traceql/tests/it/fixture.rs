//! Traces to ask.

use model::attributes::AttributeRef::{self, Array, Bool, Double, Int, String as Text};
use model::trace::{LinkFields, SpanFields, TraceBatchBuilder};
use traceql::{Plan, SearchParams, TraceMatch};

pub(crate) const MS: i64 = 1_000_000;

/// A span whose ids are repeated bytes; parent 0 is none.
pub(crate) fn span(trace: u8, id: u8, parent: u8, name: &'static str) -> SpanFields<'static> {
    SpanFields {
        trace_id: [trace; 16],
        span_id: [id; 8],
        parent_span_id: (parent > 0).then_some([parent; 8]),
        name,
        start_ns: i64::from(id) * MS,
        duration_ns: 10 * MS,
        ..SpanFields::default()
    }
}

pub(crate) fn attributes(builder: &mut TraceBatchBuilder, service: &str, own: &[(&str, AttributeRef<'_>)]) {
    builder.resource_attribute("service.name", Text(service));
    own.iter().for_each(|(key, value)| builder.attribute(key, *value));
}

/// ```text
/// 1 GET /pay        shop  server
/// ├─ 2 select       shop  client  ok
/// ├─ 3 charge       shop  client  error, with events and a link
/// │  └─ 4 POST /charge    pay   server  error
/// │     ├─ 5 insert       pay   client
/// │     └─ 6 publish      pay   producer
/// └─ 7 render       shop  internal
/// ```
pub(crate) fn shop(builder: &mut TraceBatchBuilder) {
    builder.resource_attribute("host.name", Text("a"));
    builder.resource_attribute("deployment.environment", Text("prod"));
    attributes(
        builder,
        "shop",
        &[("http.method", Text("GET")), ("http.status_code", Int(500)), ("ratio", Double(0.5))],
    );
    builder.scope_attribute("lib", Text("net"));
    builder.span(SpanFields {
        kind: 2,
        duration_ns: 100 * MS,
        scope_name: "http",
        scope_version: "1.2",
        ..span(1, 1, 0, "GET /pay")
    });
    attributes(
        builder,
        "shop",
        &[("db.system", Text("postgres")), ("rows", Int(3)), ("cached", Bool(false))],
    );
    builder.span(SpanFields { kind: 3, status_code: 1, ..span(1, 2, 1, "select") });
    attributes(
        builder,
        "shop",
        &[("http.method", Text("POST")), ("cached", Bool(true)), ("host.name", Text("b"))],
    );
    builder.event(8 * MS, "retry", 0, [("attempt", Int(1))]);
    builder.event(9 * MS, "exception", 0, [("exception.type", Text("Timeout")), ("attempt", Int(2))]);
    let link = LinkFields { trace_id: [0xab; 16], span_id: [0x0c; 8], ..LinkFields::default() };
    builder.link(link, [("why", Text("follows"))]);
    builder.span(SpanFields {
        kind: 3,
        status_code: 2,
        status_message: "timed out",
        duration_ns: 60 * MS,
        ..span(1, 3, 1, "charge")
    });
    attributes(builder, "pay", &[("http.status_code", Int(503)), ("tags", Array(r#"["gold","eu"]"#))]);
    builder.span(SpanFields {
        kind: 2,
        status_code: 2,
        duration_ns: 50 * MS,
        ..span(1, 4, 3, "POST /charge")
    });
    attributes(
        builder,
        "pay",
        &[("db.system", Text("mysql")), ("rows", Int(12)), ("tags", Array("[1,2,3]"))],
    );
    builder.span(SpanFields { kind: 3, ..span(1, 5, 4, "insert") });
    attributes(builder, "pay", &[("a b", Text("quoted")), ("rows", Text("3"))]);
    builder.span(SpanFields { kind: 4, duration_ns: 1_500_000, ..span(1, 6, 4, "publish") });
    attributes(builder, "shop", &[]);
    builder.span(SpanFields { kind: 1, ..span(1, 7, 1, "render") });
}

/// A trace whose root did not arrive, with a cycle besides: 2 and 3 hang below the missing 1, 4 and 5 below each
/// other.
pub(crate) fn broken(builder: &mut TraceBatchBuilder) {
    for (id, parent) in [(2, 1), (3, 1), (4, 5), (5, 4), (6, 6)] {
        attributes(builder, "lost", &[]);
        builder.span(span(2, id, parent, "part"));
    }
}

pub(crate) fn search(
    query: &str,
    params: &SearchParams,
    traces: &[fn(&mut TraceBatchBuilder)],
) -> Vec<TraceMatch> {
    let query = traceql::parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let plan: Plan = traceql::plan(&query, params).expect("the query can be planned");
    let parts = traces.iter().map(|fill| {
        let mut builder = TraceBatchBuilder::default();
        fill(&mut builder);
        let mut worker = plan.leaf.worker();
        let spans = builder.finish().spans;
        worker.trace(&spans).expect("these are spans");
        let found = worker.finish();
        let marks = plan.leaf.marks(&spans).expect("these are spans").into_iter().fold(0, |all, of| all | of);
        let may_answer = plan.leaf.may_answer(marks, spans.num_rows());
        assert!(may_answer || found.is_empty(), "{query}: a trace that answers is passed over");
        found
    });
    traceql::finish(&plan, parts.collect())
}
