//! OTLP spans come through whole.

use http::StatusCode;
use model::trace::SpansView;
use model::{AttributeRef, Batch};
use prost::Message as _;
use wire::otlp::ExportTraceServiceResponse;
use wire::otlp::common::any_value::Value;
use wire::otlp::common::{ArrayValue, KeyValueList};
use wire::otlp::trace::span::{Event, Link};
use wire::otlp::trace::{Span, Status};

use crate::door::{Door, post};
use crate::otlp::{any, pair, resource, span, string, traces};

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

#[tokio::test]
async fn a_span_keeps_everything() {
    let full = Span {
        parent_span_id: vec![3; 8],
        trace_state: "a=b".to_owned(),
        flags: 1,
        kind: 3,
        attributes: vec![
            pair("http.method", string("GET")),
            pair("retries", Value::IntValue(2)),
            pair("list", Value::ArrayValue(ArrayValue { values: vec![any(Value::BoolValue(true))] })),
            pair("map", Value::KvlistValue(KeyValueList { values: vec![pair("k", Value::IntValue(1))] })),
            pair("raw", Value::BytesValue(vec![0, 1])),
        ],
        dropped_attributes_count: 1,
        events: vec![Event {
            time_unix_nano: 120,
            name: "retry".to_owned(),
            attributes: vec![pair("n", Value::DoubleValue(0.5))],
            dropped_attributes_count: 4,
        }],
        dropped_events_count: 2,
        links: vec![
            Link { trace_id: vec![9; 16], span_id: vec![8; 8], ..Link::default() },
            Link { trace_id: vec![9; 2], span_id: vec![8; 8], ..Link::default() },
        ],
        dropped_links_count: 3,
        status: Some(Status { code: 2, message: "broken".to_owned() }),
        ..span("GET /")
    };
    let door = Door::new();
    let body = traces(vec![(resource(&[("service.name", "cart"), ("host", "h")]), vec![full])]);
    let request = post("/v1/traces", &[PROTOBUF], body.encode_to_vec());
    let reply = door.send(door.collector.tempo_push(), request).await;
    assert_eq!(reply.status, StatusCode::OK);
    let Batch::Traces(batch) = door.batch() else { panic!("spans were expected") };
    let view = SpansView::new(&batch.spans).unwrap();
    let fields = view.fields(0);
    assert_eq!((fields.trace_id, fields.span_id, fields.parent_span_id), ([1; 16], [2; 8], Some([3; 8])));
    assert_eq!((fields.name, fields.trace_state, fields.flags, fields.kind), ("GET /", "a=b", 1, 3));
    assert_eq!((fields.start_ns, fields.duration_ns), (100, 50));
    assert_eq!((fields.status_code, fields.status_message), (2, "broken"));
    assert_eq!((fields.scope_name, fields.scope_version), ("lib", "1.2"));
    assert_eq!((fields.dropped_attributes, fields.dropped_events, fields.dropped_links), (1, 2, 4));
    let wanted = [
        ("http.method", AttributeRef::String("GET")),
        ("retries", AttributeRef::Int(2)),
        ("list", AttributeRef::Array("[true]")),
        ("map", AttributeRef::Map("{\"k\":1}")),
        ("raw", AttributeRef::Bytes("AAE=")),
    ];
    for (key, value) in wanted {
        assert_eq!(view.attribute(0, key), Some(value), "{key}");
    }
    assert_eq!(view.service_name(0), "cart");
    assert_eq!(view.events().of_span(0), 0..1);
    assert_eq!(view.events().attributes(0).collect::<Vec<_>>(), [("n", AttributeRef::Double(0.5))]);
    assert_eq!(view.links().of_span(0), 0..1);
}

#[tokio::test]
async fn spans_without_a_valid_id_are_rejected() {
    let table = [
        (Span { trace_id: vec![0; 16], ..span("z") }, "invalid_trace_id (1): span=`z`"),
        (Span { trace_id: vec![1; 15], ..span("s") }, "invalid_trace_id (1): span=`s`"),
        (Span { span_id: vec![], ..span("e") }, "invalid_span_id (1): span=`e`: span id"),
        (Span { parent_span_id: vec![1; 7], ..span("p") }, "invalid_span_id (1): span=`p`: parent span id"),
    ];
    for (bad, want) in table {
        let door = Door::new();
        let body = traces(vec![(None, vec![bad, span("good")])]).encode_to_vec();
        let reply = door.send(door.collector.otlp_http(), post("/v1/traces", &[PROTOBUF], body)).await;
        assert_eq!(reply.status, StatusCode::OK);
        let partial = ExportTraceServiceResponse::decode(reply.body).unwrap().partial_success.unwrap();
        assert_eq!(partial.rejected_spans, 1);
        assert!(partial.error_message.starts_with(want), "{}", partial.error_message);
        assert_eq!(door.batch().items(), 1);
    }
}

#[tokio::test]
async fn a_span_that_ends_before_it_begins_takes_no_time() {
    let door = Door::new();
    let backwards = Span { end_time_unix_nano: 1, ..span("x") };
    let body = traces(vec![(None, vec![backwards])]).encode_to_vec();
    door.send(door.collector.otlp_http(), post("/v1/traces", &[PROTOBUF], body)).await;
    let Batch::Traces(batch) = door.batch() else { panic!("spans were expected") };
    assert_eq!(SpansView::new(&batch.spans).unwrap().duration_ns(0), 0);
}

#[tokio::test]
async fn long_text_is_cut_at_a_character() {
    let most = model::Limits::default().traces.max_attribute_bytes;
    let long = "ü".repeat(most);
    let array = ArrayValue { values: vec![any(string(&long))] };
    let full = Span {
        attributes: vec![
            pair("odd", string(&format!("x{long}"))),
            pair("list", Value::ArrayValue(array)),
            pair("short", string("kept")),
        ],
        events: vec![Event {
            name: long.clone(),
            attributes: vec![pair("e", string(&long))],
            ..Event::default()
        }],
        status: Some(Status { code: 2, message: long.clone() }),
        ..span(&long)
    };
    let door = Door::new();
    let body = traces(vec![(resource(&[("host", &long)]), vec![full])]).encode_to_vec();
    let reply = door.send(door.collector.otlp_http(), post("/v1/traces", &[PROTOBUF], body)).await;
    assert_eq!((reply.status, reply.body.len()), (StatusCode::OK, 0));
    let Batch::Traces(batch) = door.batch() else { panic!("spans were expected") };
    let view = SpansView::new(&batch.spans).unwrap();
    let even = AttributeRef::String(&long[..most]);
    assert_eq!(view.fields(0).name, &long[..most]);
    assert_eq!(view.fields(0).status_message, &long[..most]);
    let odd = format!("x{}", &long[..most - 2]);
    assert_eq!(view.attribute(0, "odd"), Some(AttributeRef::String(&odd)), "half a character is left out");
    let list = format!("[\"{}", &long[..most - 2]);
    assert_eq!(view.attribute(0, "list"), Some(AttributeRef::String(&list)));
    assert_eq!(view.attribute(0, "short"), Some(AttributeRef::String("kept")));
    assert_eq!(view.resource_attribute(0, "host"), Some(even));
    assert_eq!(view.events().attributes(0).collect::<Vec<_>>(), [("e", even)]);
}
