//! Which OTLP message a batch of spans becomes.

use model::trace::{LinkFields, SpanFields, TraceBatchBuilder};

use super::*;

/// Three spans: two of one resource and scope, one of another resource.
fn spans() -> RecordBatch {
    let mut builder = TraceBatchBuilder::default();
    let trace_id = [7; 16];
    for (number, service) in [(1, "shop"), (2, "bank"), (3, "shop")] {
        builder.resource_attribute("service.name", AttributeRef::String(service));
        builder.resource_attribute("replicas", AttributeRef::Int(2));
        builder.attribute("http.status_code", AttributeRef::Int(200));
        builder.attribute("ratio", AttributeRef::Double(0.5));
        if number == 1 {
            builder.attribute("tags", AttributeRef::Array(r#"["a",1,1.5,true,null]"#));
            builder.attribute("map", AttributeRef::Map(r#"{"z":{"y":"x"},"a":[]}"#));
            builder.attribute("raw", AttributeRef::Bytes("AAE="));
            builder.attribute("broken", AttributeRef::Array("["));
            builder.event(5, "exception", 1, [("exception.type", AttributeRef::String("E"))]);
            let link = LinkFields { trace_id: [8; 16], span_id: [9; 8], ..LinkFields::default() };
            builder.link(link, [("why", AttributeRef::Bool(true))]);
        }
        builder.span(SpanFields {
            trace_id,
            span_id: [number; 8],
            parent_span_id: (number > 1).then_some([1; 8]),
            name: "GET /",
            kind: 2,
            start_ns: 1_000,
            duration_ns: 500,
            status_code: u8::from(number == 3) * 2,
            scope_name: "lib",
            scope_version: "1",
            ..SpanFields::default()
        });
    }
    builder.finish().spans
}

#[test]
fn spans_are_grouped_by_resource_and_scope() {
    let trace = to_otlp(&spans()).unwrap();
    let shape: Vec<Vec<Vec<u8>>> = trace
        .resource_spans
        .iter()
        .map(|resource| {
            let scopes = resource.scope_spans.iter();
            scopes.map(|scope| scope.spans.iter().map(|span| span.span_id[0]).collect()).collect()
        })
        .collect();
    assert_eq!(shape, [[[1, 3].to_vec()], [[2].to_vec()]]);
    let shop = trace.resource_spans[0].resource.as_ref().unwrap();
    let names: Vec<&str> = shop.attributes.iter().map(|pair| pair.key.as_str()).collect();
    assert_eq!(names, ["service.name", "replicas"]);
}

#[test]
fn every_field_of_a_span_arrives() {
    let trace = to_otlp(&spans()).unwrap();
    let spans = &trace.resource_spans[0].scope_spans[0].spans;
    let (first, last) = (&spans[0], &spans[1]);
    assert_eq!(
        (first.trace_id.as_slice(), first.parent_span_id.as_slice()),
        ([7; 16].as_slice(), [].as_slice())
    );
    assert_eq!(last.parent_span_id, [1; 8]);
    assert_eq!((first.start_time_unix_nano, first.end_time_unix_nano), (1_000, 1_500));
    assert_eq!((first.name.as_str(), first.kind), ("GET /", 2));
    assert_eq!((first.status.as_ref(), last.status.as_ref().map(|status| status.code)), (None, Some(2)));
    assert_eq!((first.events[0].name.as_str(), first.events[0].time_unix_nano), ("exception", 5));
    assert_eq!((first.events[0].dropped_attributes_count, first.events[0].attributes.len()), (1, 1));
    assert_eq!(
        (first.links[0].trace_id.as_slice(), first.links[0].attributes.len()),
        ([8; 16].as_slice(), 1)
    );
}

#[test]
fn attributes_keep_their_types() {
    use any_value::Value::{
        ArrayValue, BoolValue, BytesValue, DoubleValue, IntValue, KvlistValue, StringValue,
    };
    let trace = to_otlp(&spans()).unwrap();
    let attributes = &trace.resource_spans[0].scope_spans[0].spans[0].attributes;
    let value = |key: &str| {
        let pair = attributes.iter().find(|pair| pair.key == key).unwrap();
        pair.value.clone().unwrap().value.unwrap()
    };
    assert_eq!(value("http.status_code"), IntValue(200));
    assert_eq!(value("ratio"), DoubleValue(0.5));
    assert_eq!(value("raw"), BytesValue(vec![0, 1]));
    assert_eq!(value("broken"), StringValue("[".into()));
    let ArrayValue(array) = value("tags") else { panic!("not a list") };
    let items: Vec<Option<any_value::Value>> = array.values.into_iter().map(|item| item.value).collect();
    let expected = [
        Some(StringValue("a".into())),
        Some(IntValue(1)),
        Some(DoubleValue(1.5)),
        Some(BoolValue(true)),
        None,
    ];
    assert_eq!(items, expected);
    let KvlistValue(map) = value("map") else { panic!("not a map") };
    assert_eq!(map.values.iter().map(|pair| pair.key.as_str()).collect::<Vec<_>>(), ["z", "a"]);
}

#[test]
fn another_schema_is_an_error() {
    let batch = spans().project(&[0, 1]).unwrap();
    assert!(matches!(to_otlp(&batch), Err(ApiError::Internal(_))));
}
