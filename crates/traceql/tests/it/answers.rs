//! In which shape and order traces answer.

use model::attributes::AttributeValue;
use model::trace::{SpanFields, TraceBatchBuilder};
use traceql::{ROOT_NOT_RECEIVED, SearchParams, ServiceStats, TraceMatch};

use crate::fixture::{MS, broken, search, shop, span};

fn text(value: &str) -> AttributeValue {
    AttributeValue::String(value.into())
}

#[test]
fn a_match_tells_of_its_trace_and_spans() {
    let query =
        "{ span.http.status_code >= 500 && status = error && duration > 1ms } | select(.tags, .absent)";
    let answers = search(query, &SearchParams::default(), &[shop]);
    let [answer] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(answer.trace_id, [1; 16]);
    assert_eq!((answer.root_service_name.as_str(), answer.root_trace_name.as_str()), ("shop", "GET /pay"));
    assert_eq!((answer.start_ns, answer.duration_ns), (MS, 100 * MS));
    let stats = |span_count, error_count| ServiceStats { span_count, error_count };
    assert_eq!(answer.service_stats, [("pay".into(), stats(3, 1)), ("shop".into(), stats(4, 1))]);
    let [set] = &answer.span_sets[..] else { panic!("{answer:?}") };
    assert_eq!((set.matched, set.attributes.len()), (1, 0));
    let matched = &set.spans[0];
    assert_eq!((matched.span_id, matched.name.as_str()), ([4; 8], "POST /charge"));
    assert_eq!((matched.start_ns, matched.duration_ns), (4 * MS, 50 * MS));
    let attributes = [
        ("http.status_code".to_owned(), AttributeValue::Int(503)),
        ("status".to_owned(), text("error")),
        ("tags".to_owned(), AttributeValue::Array(r#"["gold","eu"]"#.into())),
    ];
    assert_eq!(matched.attributes, attributes);
}

#[test]
fn spansets_are_cut_and_say_how_many_spans_they_have() {
    let answers = search("{} | by(kind) | count() > 1", &SearchParams::default(), &[shop]);
    let sets: Vec<_> = answers[0]
        .span_sets
        .iter()
        .map(|set| {
            (set.matched, set.spans.iter().map(|s| s.span_id[0]).collect::<Vec<_>>(), set.attributes.clone())
        })
        .collect();
    let named = |kind: &str, count| {
        vec![("by(kind)".to_owned(), text(kind)), ("count()".to_owned(), AttributeValue::Int(count))]
    };
    assert_eq!(sets, [(2, vec![1, 4], named("server", 2)), (3, vec![2, 3, 5], named("client", 3))]);
    let one = SearchParams { spans_per_spanset: 1, ..SearchParams::default() };
    let answers = search("{}", &one, &[shop]);
    assert_eq!((answers[0].span_sets[0].matched, answers[0].span_sets[0].spans.len()), (7, 1));
}

#[test]
fn a_missing_root_is_said_to_be_missing() {
    let answers = search("{}", &SearchParams::default(), &[broken]);
    assert_eq!(answers[0].root_service_name, ROOT_NOT_RECEIVED);
    assert_eq!(answers[0].root_trace_name, "");
}

fn at(builder: &mut TraceBatchBuilder, trace: u8, start_ms: i64) {
    builder.span(SpanFields { start_ns: start_ms * MS, ..span(trace, 1, 0, "x") });
}

#[test]
fn the_newest_answer_first_whoever_worked_on_them() {
    let query = traceql::parse("{}").unwrap();
    let params = SearchParams { limit: 3, start_ns: 0, end_ns: 90 * MS, ..SearchParams::default() };
    let plan = traceql::plan(&query, &params).unwrap();
    let starts = [(1, 10), (2, 30), (3, 30), (4, 20), (5, 100), (6, -20), (7, 25), (8, 1)];
    let ask = |parts: usize| -> Vec<u8> {
        let mut workers: Vec<_> = (0..parts).map(|_| plan.leaf.worker()).collect();
        for (i, (trace, start_ms)) in starts.iter().enumerate() {
            let mut builder = TraceBatchBuilder::default();
            at(&mut builder, *trace, *start_ms);
            workers[i % parts].trace(&builder.finish().spans).unwrap();
        }
        assert!(workers.iter().all(|worker| worker.memory_bytes() > 0));
        let parts: Vec<Vec<TraceMatch>> = workers.into_iter().map(traceql::Worker::finish).collect();
        traceql::finish(&plan, parts).iter().map(|answer| answer.trace_id[0]).collect()
    };
    assert_eq!(ask(1), [2, 3, 7]);
    assert_eq!(ask(2), [2, 3, 7]);
    assert_eq!(ask(3), [2, 3, 7]);
}
