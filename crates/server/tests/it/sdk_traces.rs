//! What the SDK traced, asked back by id in both versions and both encodings, and searched in TraceQL.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wire::otlp::common::AnyValue;
use wire::otlp::common::any_value::Value as Any;
use wire::otlp::trace::Span;

use crate::client::{Api, Client, array, texts};
use crate::sdk::Run;

pub(crate) async fn check(client: &Client, run: &Run) {
    for (at, id) in run.trace_ids().iter().enumerate() {
        let items: Vec<usize> = (at * 4..run.count.min(at * 4 + 4)).collect();
        check_by_id(client, run, id, &items).await;
    }
    check_search(client, run).await;
}

/// The spans of a trace with their resource, in the order of their items.
fn spans(trace: &wire::tempo::Trace) -> Vec<(BTreeMap<&str, &Any>, &Span)> {
    let mut spans = Vec::new();
    for resource in &trace.resource_spans {
        let attributes = attributes(&resource.resource.as_ref().unwrap().attributes);
        for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
            spans.push((attributes.clone(), span));
        }
    }
    spans.sort_by_key(|(_, span)| span.start_time_unix_nano);
    spans
}

fn attributes(pairs: &[wire::otlp::common::KeyValue]) -> BTreeMap<&str, &Any> {
    let value = |value: &'_ Option<AnyValue>| value.as_ref().unwrap().value.is_some();
    let pairs = pairs.iter().filter(|pair| value(&pair.value));
    pairs.map(|pair| (pair.key.as_str(), pair.value.as_ref().unwrap().value.as_ref().unwrap())).collect()
}

fn elements(value: &Any) -> Vec<Any> {
    let Any::ArrayValue(array) = value else { panic!("not an array: {value:?}") };
    array.values.iter().map(|element| element.value.clone().unwrap()).collect()
}

fn text(text: &str) -> Any {
    Any::StringValue(text.to_owned())
}

async fn check_by_id(client: &Client, run: &Run, id: &str, items: &[usize]) {
    let trace = client.trace(id).await.unwrap_or_else(|| panic!("trace {id} is not there"));
    let spans = spans(&trace);
    assert_eq!(spans.len(), items.len(), "{trace:?}");
    for ((resource, span), item) in spans.iter().zip(items) {
        assert_eq!(hex::encode(&span.trace_id), id);
        check_resource(resource, run);
        check_span(span, run, *item);
        let parent = if item % 4 == 0 { Vec::new() } else { spans[item % 4 - 1].1.span_id.clone() };
        assert_eq!(span.parent_span_id, parent, "item {item}");
    }
    let first = client.get_accepting(Api::Tempo, &format!("/api/traces/{id}"), "application/protobuf").await;
    assert_eq!((first.status, first.content_type()), (200, "application/protobuf"));
    let first: wire::tempo::Trace = prost::Message::decode(first.body).unwrap();
    assert_eq!(first, trace, "both versions tell the same");

    let v1 = client.get(Api::Tempo, &format!("/api/traces/{id}"), &[]).await.json();
    let v2 = client.get(Api::Tempo, &format!("/api/v2/traces/{id}"), &[]).await.json();
    for resources in [&v1["batches"], &v2["trace"]["resourceSpans"]] {
        assert_eq!(
            names_in_json(resources),
            spans.iter().map(|(_, span)| span.name.clone()).collect::<Vec<_>>()
        );
    }
}

/// The names of the spans in JSON, in the order of their start.
fn names_in_json(resources: &Value) -> Vec<String> {
    let scopes = array(resources).iter().flat_map(|resource| array(&resource["scopeSpans"]));
    let spans = scopes.flat_map(|scope| array(&scope["spans"]));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut spans: Vec<(String, String)> =
        spans.map(|span| (text(&span["startTimeUnixNano"]), text(&span["name"]))).collect();
    spans.sort();
    spans.into_iter().map(|(_, name)| name).collect()
}

fn check_resource(resource: &BTreeMap<&str, &Any>, run: &Run) {
    let want = [
        ("service.name", text("shop")),
        ("service.namespace", text("demo")),
        ("service.instance.id", text(&run.name)),
        ("deployment.environment", text("test")),
        ("host.cores", Any::IntValue(2)),
        ("telemetry.sdk.language", text("python")),
    ];
    for (name, value) in want {
        assert_eq!(resource.get(name), Some(&&value), "{name}");
    }
}

fn check_span(span: &Span, run: &Run, item: usize) {
    let depth = item % 4;
    assert_eq!(span.name, format!("order step {depth}"));
    // Server, client, internal, producer.
    assert_eq!(span.kind, [2, 3, 1, 4][depth]);
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    let found = attributes(&span.attributes);
    let index = i64::try_from(item).unwrap();
    let want = [
        ("run", text(&run.name)),
        ("order.index", Any::IntValue(index)),
        ("order.price", Any::DoubleValue(index as f64 + 0.5)),
        ("order.express", Any::BoolValue(item.is_multiple_of(2))),
    ];
    for (name, value) in want {
        assert_eq!(found.get(name), Some(&&value), "{name} of item {item}");
    }
    assert_eq!(elements(found["order.items"]), [text("book"), text("pen")]);
    assert_eq!(elements(found["order.amounts"]), [Any::IntValue(1), Any::IntValue(2)]);
    assert_eq!(elements(found["order.weights"]), [Any::DoubleValue(0.5), Any::DoubleValue(1.5)]);
    assert_eq!(elements(found["order.flags"]), [Any::BoolValue(true), Any::BoolValue(false)]);

    let events: Vec<&str> = span.events.iter().map(|event| event.name.as_str()).collect();
    let status = span.status.as_ref().map_or((0, ""), |status| (status.code, status.message.as_str()));
    if depth == 3 {
        assert_eq!((events, status), (vec!["step taken", "exception"], (2, "out of stock")));
        assert_eq!(attributes(&span.events[1].attributes)["exception.message"], &text("out of stock"));
    } else {
        assert_eq!((events, status), (vec!["step taken"], (0, "")));
    }
    assert_eq!(
        attributes(&span.events[0].attributes)["depth"],
        &Any::IntValue(i64::try_from(depth).unwrap())
    );
    if depth == 0 && item > 0 {
        let [link] = span.links.as_slice() else { panic!("one link: {span:?}") };
        assert_eq!(hex::encode(&link.trace_id), run.trace_id_of(item - 4));
        assert_eq!(attributes(&link.attributes)["why"], &text("previous order"));
    } else {
        assert!(span.links.is_empty(), "{span:?}");
    }
}

type Condition = (&'static str, fn(usize) -> bool);

/// Conditions on a span in TraceQL, and the items that they hold for.
const CONDITIONS: [Condition; 34] = [
    ("true", |_| true),
    ("span.order.index = 3", |i| i == 3),
    ("span.order.index != 3", |i| i != 3),
    ("span.order.index >= 5", |i| i >= 5),
    (".order.index < 2", |i| i < 2),
    ("span.order.price = 0.5", |i| i == 0),
    ("span.order.price > 2", |i| i >= 2),
    ("span.order.price > 2.75", |i| i >= 3),
    ("span.order.express = true", |i| i % 2 == 0),
    ("span.order.express != true", |i| i % 2 == 1),
    ("span.order.items = \"pen\"", |_| true),
    ("span.order.items =~ \"bo.*\"", |_| true),
    ("span.order.items = \"cup\"", |_| false),
    ("span.order.amounts = 2", |_| true),
    ("span.order.weights = 1.5", |_| true),
    ("span.order.flags = false", |_| true),
    ("resource.service.name = \"shop\"", |_| true),
    ("resource.host.cores = 2", |_| true),
    ("resource.deployment.environment =~ \"te.t\"", |_| true),
    ("resource.order.index = 3", |_| false),
    ("status = error", |i| i % 4 == 3),
    ("status = unset", |i| i % 4 != 3),
    ("statusMessage = \"out of stock\"", |i| i % 4 == 3),
    ("kind = client", |i| i % 4 == 1),
    ("name = \"order step 2\"", |i| i % 4 == 2),
    ("name =~ \"order .* [01]\"", |i| i % 4 < 2),
    ("event:name = \"exception\"", |i| i % 4 == 3),
    ("event.depth = 1", |i| i % 4 == 1),
    ("link.why = \"previous order\"", |i| i % 4 == 0 && i > 0),
    ("instrumentation:name = \"shop.tracer\"", |_| true),
    ("rootName = \"order step 0\"", |_| true),
    ("duration >= 0ms && duration < 1h", |_| true),
    ("span.order.index = 3 || span.order.index = 1", |i| i == 3 || i == 1),
    ("span.order.index > 1 && status != error", |i| i > 1 && i % 4 != 3),
];

async fn check_search(client: &Client, run: &Run) {
    for (condition, holds) in CONDITIONS {
        let query = format!("{{ span.run = \"{}\" && ({condition}) }}", run.name);
        let found: BTreeMap<String, u64> = client.search(&query).await.iter().map(matched).collect();
        let mut want: BTreeMap<String, u64> = BTreeMap::new();
        for item in (0..run.count).filter(|item| holds(*item)) {
            *want.entry(run.trace_id_of(item)).or_default() += 1;
        }
        assert_eq!(found, want, "{query}");
    }
    let run_is = format!("span.run = \"{}\"", run.name);
    let both = format!("{{ {run_is} && kind = server }} && {{ {run_is} && status = error }}");
    let either = format!("{{ {run_is} && span.order.index = 0 }} || {{ {run_is} && span.order.index = 4 }}");
    for (query, want) in [(both, run.count / 4), (either, run.trace_ids().len().min(2))] {
        assert_eq!(client.search(&query).await.len(), want, "{query}");
    }
    check_summary(client, run).await;
}

/// A found trace's id, zeros in front and all, and how many of its spans matched.
fn matched(trace: &Value) -> (String, u64) {
    let sets = array(&trace["spanSets"]);
    let [set] = sets else { panic!("one set of spans: {trace}") };
    let (spans, matched) = (array(&set["spans"]).len(), set["matched"].as_u64().unwrap());
    assert_eq!(spans as u64, matched, "all of them were asked for: {trace}");
    (format!("{:0>32}", trace["traceID"].as_str().unwrap()), matched)
}

async fn check_summary(client: &Client, run: &Run) {
    let traces = client.search(&format!("{{ span.run = \"{}\" && span.order.index = 1 }}", run.name)).await;
    let [trace] = traces.as_slice() else { panic!("one trace: {traces:?}") };
    assert_eq!(trace["rootServiceName"], "shop");
    assert_eq!(trace["rootTraceName"], "order step 0");
    assert!(trace["startTimeUnixNano"].as_str().unwrap().parse::<u64>().unwrap() > 0);
    let span = &trace["spanSets"][0]["spans"][0];
    assert_eq!(span["spanID"].as_str().unwrap().len(), 16, "{span}");
    assert!(span["durationNanos"].as_str().unwrap().parse::<u64>().is_ok(), "{span}");
    let attributes = array(&span["attributes"]);
    let index = attributes.iter().find(|attribute| attribute["key"] == "order.index");
    assert_eq!(index.unwrap()["value"]["intValue"], "1", "what was asked about is shown: {span}");
}

pub(crate) async fn check_together(client: &Client, runs: &[Run]) {
    let all: BTreeSet<String> = client.search("{}").await.iter().map(|trace| matched(trace).0).collect();
    assert_eq!(all, runs.iter().flat_map(Run::trace_ids).collect::<BTreeSet<_>>());
    let limited = [("q", "{}"), ("limit", "1")];
    let limited = client.get(Api::Tempo, "/api/search", &limited).await.json();
    assert_eq!(array(&limited["traces"]).len(), 1);

    let names = texts(&client.get(Api::Tempo, "/api/search/tags", &[]).await.json()["tagNames"]);
    let scopes = client.get(Api::Tempo, "/api/v2/search/tags", &[]).await.json();
    let scope = |wanted: &str| {
        let scope = array(&scopes["scopes"]).iter().find(|scope| scope["name"] == wanted);
        texts(&scope.unwrap_or_else(|| panic!("no scope {wanted}: {scopes}"))["tags"])
    };
    for name in ["run", "order.index", "order.price", "order.express", "order.items", "order.weights"] {
        assert!(names.contains(name) && scope("span").contains(name), "{name}: {scopes}");
    }
    for name in ["service.name", "host.cores", "deployment.environment"] {
        assert!(names.contains(name) && scope("resource").contains(name), "{name}: {scopes}");
    }
    assert!(scope("event").contains("depth") && scope("link").contains("why"), "{scopes}");
    assert!(scope("intrinsic").contains("name") && scope("intrinsic").contains("duration"), "{scopes}");
    check_values(client, runs).await;
}

async fn check_values(client: &Client, runs: &[Run]) {
    let longest = runs.iter().map(|run| run.count).max().unwrap();
    let steps = (0..4).map(|depth| format!("string:order step {depth}")).collect();
    let table: [(&str, BTreeSet<String>); 8] = [
        ("resource.service.name", ["string:shop".to_owned()].into()),
        (".service.name", ["string:shop".to_owned()].into()),
        ("resource.host.cores", ["int:2".to_owned()].into()),
        ("span.order.index", (0..longest).map(|item| format!("int:{item}")).collect()),
        ("span.order.express", ["bool:false".to_owned(), "bool:true".to_owned()].into()),
        ("name", steps),
        ("kind", ["client", "internal", "producer", "server"].map(|kind| format!("keyword:{kind}")).into()),
        ("span.no.such", BTreeSet::new()),
    ];
    for (tag, want) in table {
        assert_eq!(client.tag_values(tag).await, want, "{tag}");
    }
    let plain = client.get(Api::Tempo, "/api/search/tag/service.name/values", &[]).await.json();
    assert_eq!(texts(&plain["tagValues"]), ["shop".to_owned()].into());
    let filtered = [("q", "{ span.order.index = 2 }")];
    let filtered = client.get(Api::Tempo, "/api/v2/search/tag/name/values", &filtered).await.json();
    assert_eq!(array(&filtered["tagValues"]).len(), 1, "{filtered}");
}
