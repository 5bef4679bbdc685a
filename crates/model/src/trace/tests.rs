//! What a batch of spans promises.

use super::*;
use crate::attributes::AttributeRef;

#[test]
fn a_span_comes_back_as_it_went_in() {
    let mut builder = TraceBatchBuilder::default();
    builder.span(SpanFields { trace_id: [1; 16], span_id: [1; 8], name: "root", ..SpanFields::default() });
    builder.resource_attribute("service.name", AttributeRef::String("shop"));
    builder.resource_attribute("host", AttributeRef::String("a"));
    builder.attribute("http.status_code", AttributeRef::Int(500));
    builder.attribute("http.method", AttributeRef::Int(7));
    builder.event(11, "retry", 0, [("n", AttributeRef::Int(2))]);
    builder.event(12, "give up", 1, []);
    builder.link(LinkFields { trace_id: [9; 16], span_id: [8; 8], ..LinkFields::default() }, []);
    let fields = SpanFields {
        trace_id: [1; 16],
        span_id: [2; 8],
        parent_span_id: Some([1; 8]),
        name: "child",
        kind: 3,
        start_ns: 10,
        duration_ns: 5,
        status_code: 2,
        ..SpanFields::default()
    };
    builder.span(fields);
    let batch = builder.finish();
    let view = SpansView::new(&batch.spans).unwrap();

    assert_eq!(view.rows(), 2);
    assert_eq!(view.resource_attributes(0).count() + view.attributes(0).count(), 0);
    assert_eq!(view.parent_span_id(0), None);
    assert_eq!(view.events().of_span(0), 0..0);

    assert_eq!(view.service_name(1), "shop");
    assert_eq!(view.parent_span_id(1), Some([1; 8]));
    assert_eq!((view.fields(1).kind, view.status_code(1), view.duration_ns(1)), (3, 2, 5));
    let resource: Vec<_> = view.resource_attributes(1).collect();
    assert_eq!(
        resource,
        [("service.name", AttributeRef::String("shop")), ("host", AttributeRef::String("a"))]
    );
    // A promoted attribute of another type keeps its type, among the others.
    assert_eq!(view.attribute(1, "http.method"), Some(AttributeRef::Int(7)));
    assert_eq!(view.attribute(1, "http.status_code"), Some(AttributeRef::Int(500)));
    assert_eq!(view.events().of_span(1), 0..2);
    assert_eq!(view.events().attributes(0).collect::<Vec<_>>(), [("n", AttributeRef::Int(2))]);
    assert_eq!(view.links().fields(view.links().of_span(1).start).span_id, [8; 8]);
}
