//! Traces by id, TraceQL searches, tags and their values.

use model::limits::Limits;
use model::time::{NS_PER_MS, NS_PER_S};
use model::trace::{LinkFields, SpanFields, SpansView, TraceBatchBuilder};
use model::{AttributeRef, Batch, TimeRange};
use query::{QueryError, Tag, TagScope, TagSearch, TraceRequest};

use crate::fixture::{Fixture, NOW_S};

const NOW_NS: i64 = NOW_S * NS_PER_S;

/// Traces of a root and a child, a second apart, the newest now.
fn traces(count: u8) -> Batch {
    let mut builder = TraceBatchBuilder::default();
    for n in 0..count {
        let start_ns = NOW_NS - i64::from(count - n) * NS_PER_S;
        for (child, name) in ["root", "child"].into_iter().enumerate() {
            builder.resource_attribute("service.name", AttributeRef::String("shop"));
            builder.attribute("n", AttributeRef::Int(i64::from(n)));
            if child == 1 {
                builder.attribute("http.status_code", AttributeRef::Int(if n % 2 == 0 { 500 } else { 200 }));
            }
            builder.span(SpanFields {
                trace_id: [n.wrapping_mul(37).wrapping_add(1); 16],
                span_id: [u8::try_from(child).unwrap() + 1; 8],
                parent_span_id: (child == 1).then_some([1; 8]),
                name,
                start_ns: start_ns + i64::try_from(child).unwrap() * NS_PER_MS,
                duration_ns: 10 * NS_PER_MS,
                ..SpanFields::default()
            });
        }
    }
    Batch::Traces(builder.finish())
}

fn request(limit: usize) -> TraceRequest {
    let range = TimeRange::new(NOW_NS - 3_600 * NS_PER_S, NOW_NS);
    TraceRequest { range, limit, spans_per_span_set: 3, timeout_ns: None }
}

#[tokio::test]
async fn searches_find_the_newest_in_head_and_segments() {
    let fixture = Fixture::new().await;
    fixture.write("a", traces(20)).await;
    let context = fixture.context("a");
    for flushed in [false, true] {
        if flushed {
            fixture.storage.flush().await.unwrap();
        }
        for parallelism in [1, 3] {
            let engine = fixture.engine(parallelism);
            let answer =
                engine.traceql_search(&context, "{ span.http.status_code = 500 }", request(3)).await.unwrap();
            let starts: Vec<i64> = answer.traces.iter().map(|t| (NOW_NS - t.start_ns) / NS_PER_S).collect();
            assert_eq!(starts, [2, 4, 6], "flushed={flushed} parallelism={parallelism}");
            assert_eq!(answer.traces[0].root_trace_name, "root");
        }
    }
}

#[tokio::test]
async fn a_trace_is_found_by_its_id_and_by_its_tenant_alone() {
    let fixture = Fixture::new().await;
    fixture.write("a", traces(3)).await;
    let engine = fixture.engine(2);
    let id = [38; 16];
    let spans = engine.trace_by_id(&fixture.context("a"), id, TimeRange::ALL).await.unwrap().unwrap();
    let view = SpansView::new(&spans).unwrap();
    assert_eq!((view.rows(), view.name(0), view.name(1)), (2, "root", "child"));
    assert!(engine.trace_by_id(&fixture.context("b"), id, TimeRange::ALL).await.unwrap().is_none());
    assert!(engine.trace_by_id(&fixture.context("a"), [9; 16], TimeRange::ALL).await.unwrap().is_none());
}

#[tokio::test]
async fn tags_and_values() {
    let fixture = Fixture::new().await;
    fixture.write("a", traces(3)).await;
    let engine = fixture.engine(2);
    let context = fixture.context("a");
    let (names, _) =
        engine.trace_tag_names(&context, Some(TagScope::Span), TimeRange::ALL, None).await.unwrap();
    assert_eq!(names, [(TagScope::Span, vec!["http.status_code".to_owned(), "n".to_owned()])]);
    let tag = Tag { scope: Some(TagScope::Span), name: "n".into() };
    let filter = Some("{ span.http.status_code = 500 && span. }");
    let (values, _) = engine.trace_tag_values(&context, &tag, filter, TimeRange::ALL, None).await.unwrap();
    let values: Vec<&str> = values.iter().map(|v| v.value.as_str()).collect();
    assert_eq!(values, ["0", "2"]);
    let search = TagSearch { tags: vec![("http.status_code".into(), "200".into())], ..TagSearch::default() };
    let answer = engine.tag_search(&context, &search, request(20)).await.unwrap();
    assert_eq!(answer.traces.len(), 1);
}

#[tokio::test]
async fn many_kept_traces_hold_only_their_own_memory() {
    let limits = Limits { query_memory_bytes: 32 << 20, ..Limits::default() };
    let fixture = Fixture::with_limits(limits).await;
    let mut builder = TraceBatchBuilder::default();
    for n in 1..=2_000_u16 {
        let mut trace_id = [0; 16];
        trace_id[14..].copy_from_slice(&n.to_be_bytes());
        builder.attribute("text", AttributeRef::String(&"x".repeat(100)));
        builder.span(SpanFields {
            trace_id,
            span_id: [1; 8],
            name: "root",
            start_ns: NOW_NS - i64::from(n) * NS_PER_MS,
            ..SpanFields::default()
        });
    }
    fixture.write("a", Batch::Traces(builder.finish())).await;
    let answer = fixture.engine(1).traceql_search(&fixture.context("a"), "{}", request(2_000)).await.unwrap();
    assert_eq!(answer.traces.len(), 2_000);
}

#[tokio::test]
async fn searches_over_more_time_than_a_tenant_may_ask_for_are_refused() {
    let mut limits = Limits::default();
    limits.traces.query.max_length_ns = Some(3_600 * NS_PER_S);
    let fixture = Fixture::with_limits(limits).await;
    fixture.write("a", traces(2)).await;
    let (engine, a) = (fixture.engine(1), fixture.context("a"));
    assert_eq!(engine.traceql_search(&a, "{}", request(20)).await.unwrap().traces.len(), 2);
    // An hour, as its API asks for one: with the whole of the last second.
    let range = TimeRange::new(NOW_NS - 3_600 * NS_PER_S, NOW_NS + NS_PER_S);
    let answer = engine.traceql_search(&a, "{}", TraceRequest { range, ..request(20) }).await.unwrap();
    assert_eq!(answer.traces.len(), 2);
    let range = TimeRange::new(NOW_NS - 3_601 * NS_PER_S, NOW_NS + NS_PER_S);
    let error = engine.traceql_search(&a, "{}", TraceRequest { range, ..request(20) }).await.unwrap_err();
    let wanted = "read.max_search_duration=3600s, asked for 3601s";
    assert!(matches!(&error, QueryError::Execution(m) if m.contains(wanted)), "{error}");
}

#[tokio::test]
async fn spans_further_back_than_a_tenant_may_look_are_not_seen() {
    let mut limits = Limits::default();
    limits.traces.query.max_lookback_ns = Some(NS_PER_S / 2);
    let (fixture, strict) = (Fixture::new().await, Fixture::with_limits(limits).await);
    for (fixture, seen) in [(fixture, 2), (strict, 0)] {
        fixture.write("a", traces(2)).await;
        let (engine, a) = (fixture.engine(1), fixture.context("a"));
        assert_eq!(engine.traceql_search(&a, "{}", request(20)).await.unwrap().traces.len(), seen);
    }
}

/// A trace whose two spans have something of everything that can be asked for, and one without.
fn rich() -> Batch {
    let mut builder = TraceBatchBuilder::default();
    for (trace, child) in [(1, 0), (1, 1), (2, 0)] {
        builder.resource_attribute("service.name", AttributeRef::String("shop"));
        if trace == 1 {
            builder.resource_attribute("k8s.pod.name", AttributeRef::String("shop-1"));
            builder.resource_attribute("zone", AttributeRef::String("b"));
            builder.scope_attribute("mode", AttributeRef::String("auto"));
            builder.attribute("http.route", AttributeRef::Int(7));
            builder.attribute("url.path", AttributeRef::String("/a"));
            builder.attribute("rows", AttributeRef::Int(9));
            builder.event(NOW_NS - 5, "retry", 0, [("cause", AttributeRef::String("late"))]);
            let link = LinkFields { trace_id: [7; 16], span_id: [8; 8], ..LinkFields::default() };
            builder.link(link, [("why", AttributeRef::String("batch"))]);
        }
        builder.span(SpanFields {
            trace_id: [trace; 16],
            span_id: [child + 1; 8],
            parent_span_id: (child == 1).then_some([1; 8]),
            name: if trace == 1 { "pay" } else { "wait" },
            kind: if trace == 1 { 3 } else { 1 },
            start_ns: NOW_NS - 1_000 + i64::from(child),
            duration_ns: if trace == 1 { 500 } else { 5 },
            status_code: if trace == 1 { 2 } else { 0 },
            status_message: if trace == 1 { "no" } else { "" },
            scope_name: if trace == 1 { "lib" } else { "" },
            scope_version: if trace == 1 { "3" } else { "" },
            ..SpanFields::default()
        });
    }
    Batch::Traces(builder.finish())
}

#[tokio::test]
async fn whatever_is_asked_for_is_read() {
    let fixture = Fixture::new().await;
    fixture.write("a", rich()).await;
    let conditions = [
        "name = \"pay\"",
        "status = error",
        "statusMessage = \"no\"",
        "kind = client",
        "duration > 100ns",
        "rootName = \"pay\"",
        "span:childCount = 1",
        "trace:duration > 100ns",
        "event:name = \"retry\"",
        "event:timeSinceStart > 0s",
        "link:spanID = \"0808080808080808\"",
        "link:traceID = \"07070707070707070707070707070707\"",
        "instrumentation:name = \"lib\"",
        "instrumentation:version = \"3\"",
        "span.http.route = 7",
        "span.url.path = \"/a\"",
        ".url.path = \"/a\"",
        "span.rows = 9",
        ".rows = 9",
        "parent.rows = 9",
        "resource.k8s.pod.name = \"shop-1\"",
        "resource.zone = \"b\"",
        ".zone = \"b\"",
        "event.cause = \"late\"",
        "link.why = \"batch\"",
        "instrumentation.mode = \"auto\"",
    ];
    // In the first spanset, in another one, and in a later stage.
    let forms: [fn(&str) -> String; 3] = [
        |condition| format!("{{ {condition} }}"),
        |condition| format!("{{ }} && {{ {condition} }}"),
        |condition| format!("{{ }} | {{ {condition} }} | count() > 0"),
    ];
    let context = fixture.context("a");
    for flushed in [false, true] {
        if flushed {
            fixture.storage.flush().await.unwrap();
        }
        let engine = fixture.engine(1);
        for query in conditions.iter().flat_map(|condition| forms.map(|form| form(condition))) {
            let answer = engine.traceql_search(&context, &query, request(20)).await.unwrap();
            let found: Vec<u8> = answer.traces.iter().map(|trace| trace.trace_id[0]).collect();
            assert_eq!(found, [1], "{query} flushed={flushed}");
            assert_eq!(answer.traces[0].root_trace_name, "pay", "{query}");
            assert_eq!(answer.traces[0].root_service_name, "shop", "{query}");
        }
        let query = "{ name = \"pay\" } | select(span.rows, resource.zone, event.cause)";
        let answer = engine.traceql_search(&context, query, request(20)).await.unwrap();
        let shown = format!("{:?}", answer.traces[0].span_sets[0].spans[0]);
        assert!(["9", "\"b\"", "\"late\""].iter().all(|value| shown.contains(value)), "{shown}");
    }
}

#[tokio::test]
async fn whatever_spans_have_is_completed() {
    use TagScope::{Event, Instrumentation, Intrinsic, Link, Resource, Span};
    let tags = [
        (Some(Intrinsic), "name", "pay wait"),
        (Some(Intrinsic), "status", "error unset"),
        (Some(Intrinsic), "statusMessage", "no"),
        (Some(Intrinsic), "kind", "client internal"),
        (Some(Intrinsic), "rootName", "pay wait"),
        (Some(Intrinsic), "trace:rootService", "shop"),
        (Some(Intrinsic), "event:name", "retry"),
        (Some(Intrinsic), "instrumentation:name", "lib"),
        (Some(Intrinsic), "instrumentation:version", "3"),
        (Some(Span), "http.route", "7"),
        (Some(Span), "url.path", "/a"),
        (Some(Span), "rows", "9"),
        (None, "rows", "9"),
        (None, "kind", "client internal"),
        (Some(Resource), "k8s.pod.name", "shop-1"),
        (None, "zone", "b"),
        (Some(Event), "cause", "late"),
        (Some(Link), "why", "batch"),
        (Some(Instrumentation), "mode", "auto"),
    ];
    let names = [
        (Resource, "k8s.pod.name service.name zone"),
        (Span, "http.route rows url.path"),
        (Instrumentation, "mode"),
        (Event, "cause"),
        (Link, "why"),
    ];
    let fixture = Fixture::new().await;
    fixture.write("a", rich()).await;
    let context = fixture.context("a");
    for flushed in [false, true] {
        if flushed {
            fixture.storage.flush().await.unwrap();
        }
        let engine = fixture.engine(1);
        for (scope, expected) in names {
            let (found, _) =
                engine.trace_tag_names(&context, Some(scope), TimeRange::ALL, None).await.unwrap();
            let found: Vec<String> = found.into_iter().map(|(_, names)| names.join(" ")).collect();
            assert_eq!(found, [expected], "{scope:?} flushed={flushed}");
        }
        for (scope, name, expected) in tags {
            let tag = Tag { scope, name: name.into() };
            for filter in [None, Some("{ event.cause = \"late\" || name = \"wait\" || kind != server }")] {
                let values = engine.trace_tag_values(&context, &tag, filter, TimeRange::ALL, None).await;
                let values: Vec<String> = values.unwrap().0.into_iter().map(|value| value.value).collect();
                assert_eq!(values.join(" "), expected, "{scope:?} {name} {filter:?} flushed={flushed}");
            }
        }
    }
}

#[tokio::test]
async fn what_reads_decode_is_held_and_refused_when_it_is_too_much() {
    let limits = Limits { query_memory_bytes: 2 << 20, ..Limits::default() };
    let fixture = Fixture::with_limits(limits).await;
    for segment in 0..4_u8 {
        let mut builder = TraceBatchBuilder::default();
        for n in 0..4_000_u16 {
            let mut trace_id = [segment + 1; 16];
            trace_id[..2].copy_from_slice(&n.to_be_bytes());
            // Texts that no dictionary and no compression make small.
            let text: String = (0..8).map(|k| format!("{:016x}", mixed(&trace_id, k))).collect();
            builder.attribute("text", AttributeRef::String(&text));
            builder.span(SpanFields {
                trace_id,
                span_id: [1; 8],
                name: "root",
                start_ns: NOW_NS - i64::from(n) * NS_PER_MS,
                ..SpanFields::default()
            });
        }
        fixture.write("a", Batch::Traces(builder.finish())).await;
        fixture.storage.flush().await.unwrap();
    }
    let (engine, context) = (fixture.engine(1), fixture.context("a"));
    let everything = engine.traceql_search(&context, "{ span.text != \"\" }", request(4_000)).await;
    let error = everything.unwrap_err();
    assert!(
        matches!(&error, QueryError::Execution(m) if m.contains("query_memory_bytes=2097152")),
        "{error}"
    );
    assert_eq!(engine.memory_bytes(), 0, "what a refused query held is given back");
    // One segment after the other, and only the names: that fits.
    let tag = Tag { scope: Some(TagScope::Intrinsic), name: "name".into() };
    let (values, stats) = engine.trace_tag_values(&context, &tag, None, TimeRange::ALL, None).await.unwrap();
    assert_eq!(values.len(), 1);
    assert!(stats.peak_memory_bytes > 0, "{stats:?}");
    assert_eq!(engine.memory_bytes(), 0);
}

/// A number that looks random.
fn mixed(seed: &[u8; 16], k: u64) -> u64 {
    let seed = u128::from_be_bytes(*seed);
    let first = (seed as u64 ^ (seed >> 64) as u64 ^ k).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (first ^ (first >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Traces of one to three spans: some have a rare attribute, some an error, and the last span of every fifth is late. Only
/// the spans that are wanted, by whether they are late and by their age in nanoseconds.
fn varied(is_wanted: impl Fn(bool, i64) -> bool) -> Batch {
    let mut builder = TraceBatchBuilder::default();
    for trace in 1..=60_u8 {
        let spans = 1 + trace % 3;
        for span in 0..spans {
            let is_late = trace % 5 == 0 && span == spans - 1;
            let age_ns = i64::from(trace) * 1_000 - i64::from(span) - if is_late { 4_000 } else { 0 };
            if !is_wanted(is_late, age_ns) {
                continue;
            }
            builder
                .resource_attribute("service.name", AttributeRef::String(["a", "b"][usize::from(span % 2)]));
            if trace % 7 == 0 {
                builder.attribute("flag", AttributeRef::String(if span == 0 { "on" } else { "off" }));
            }
            builder.attribute("rows", AttributeRef::Int(i64::from(trace % 10)));
            builder.span(SpanFields {
                trace_id: [trace.wrapping_mul(83).max(1); 16],
                span_id: [span + 1; 8],
                parent_span_id: (span > 0).then_some([1; 8]),
                name: "work",
                start_ns: NOW_NS - age_ns,
                duration_ns: 10,
                status_code: if trace % 4 == 0 && span == 1 { 2 } else { 0 },
                ..SpanFields::default()
            });
        }
    }
    Batch::Traces(builder.finish())
}

#[tokio::test]
async fn answers_are_the_same_wherever_spans_are() {
    let queries = [
        "{}",
        "{ status = error }",
        "{ resource.service.name = \"b\" && span.rows > 6 }",
        "{ span.flag = \"off\" }",
        "{ .flag != nil } | count() > 1",
        "{ rootName = \"work\" && span.flag = \"on\" }",
        "{ span.flag = \"on\" } >> { status = error }",
        "{ span.flag = \"on\" } && { span.flag = \"off\" }",
        "{} | count() > 2",
        "{} | by(resource.service.name) | count() = 2",
        "{ span.rows = 3 } !>> { span.rows = 3 } | select(span.flag)",
    ];
    let mut expected: Option<Vec<String>> = None;
    // All in the head; in a segment and the head; in two segments; in two segments, and again in the head; in segments one
    // after the other; the same with the newest in the head.
    for place in 0..6 {
        let fixture = Fixture::new().await;
        for piece in [false, true].into_iter().filter(|_| place < 4) {
            fixture.write("a", varied(|is_late, _| is_late == piece)).await;
            if place > i32::from(piece) {
                fixture.storage.flush().await.unwrap();
            }
        }
        if place == 3 {
            fixture.write("a", varied(|is_late, _| !is_late)).await;
        }
        for stretch in (0..5).rev().filter(|_| place >= 4) {
            fixture.write("a", varied(|_, age_ns| age_ns / 15_000 == stretch)).await;
            if stretch > 0 || place == 4 {
                fixture.storage.flush().await.unwrap();
            }
        }
        for parallelism in [1, 3] {
            let engine = fixture.engine(parallelism);
            let mut answers = Vec::new();
            for query in queries {
                for limit in [1, 4, 100] {
                    let context = fixture.context("a");
                    let answer = engine.traceql_search(&context, query, request(limit)).await.unwrap();
                    assert!(!answer.traces.is_empty(), "{query}");
                    if (place, parallelism, limit, query) == (4, 1, 1, "{}") {
                        assert!(
                            answer.stats.items <= 32,
                            "{} spans for the newest trace",
                            answer.stats.items
                        );
                    }
                    answers.push(format!("{query} {limit} {:?}", answer.traces));
                }
            }
            match &expected {
                Some(expected) => assert_eq!(&answers, expected, "place={place} parallelism={parallelism}"),
                None => expected = Some(answers),
            }
        }
    }
}
