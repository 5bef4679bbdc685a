//! What the bodies of Tempo's answers look like, to the letter.

use query::Held;

use super::*;
use crate::json::written;
use model::AttributeValue;

fn text(traces: Vec<TraceMatch>) -> String {
    let stats = QueryStats { items: 30, bytes: 400, series: 5, ..QueryStats::default() };
    String::from_utf8(written(|json| {
        write_answer(json, &TraceAnswer { traces, stats, held: Held::default() });
    }))
    .unwrap()
}

const METRICS: &str = r#""metrics":{"inspectedTraces":5,"inspectedBytes":"400","inspectedSpans":"30"}}"#;

fn trace() -> TraceMatch {
    let mut trace_id = [0; 16];
    trace_id[15] = 0xab;
    TraceMatch {
        trace_id,
        root_service_name: "shop".into(),
        root_trace_name: "GET /".into(),
        start_ns: 1_700_000_000_000_000_000,
        duration_ns: 1_500_000,
        span_sets: vec![],
        service_stats: vec![],
    }
}

#[test]
fn no_trace_is_an_empty_list() {
    assert_eq!(text(vec![]), format!(r#"{{"traces":[],{METRICS}"#));
}

#[test]
fn ids_keep_their_zeros_and_empty_fields_are_left_out() {
    let without_root = TraceMatch {
        root_service_name: "<root span not yet received>".into(),
        root_trace_name: String::new(),
        duration_ns: 999_999,
        ..trace()
    };
    assert_eq!(
        text(vec![trace(), without_root]),
        format!(
            concat!(
                r#"{{"traces":[{{"traceID":"000000000000000000000000000000ab","rootServiceName":"shop","#,
                r#""rootTraceName":"GET /","startTimeUnixNano":"1700000000000000000","durationMs":1}},"#,
                r#"{{"traceID":"000000000000000000000000000000ab","#,
                r#""rootServiceName":"<root span not yet received>","startTimeUnixNano":"1700000000000000000"}}],{}"#
            ),
            METRICS
        )
    );
}

#[test]
fn span_sets_have_typed_attributes() {
    let attributes = vec![
        ("s".to_owned(), AttributeValue::String("text".into())),
        ("b".to_owned(), AttributeValue::Bool(true)),
        ("i".to_owned(), AttributeValue::Int(-7)),
        ("d".to_owned(), AttributeValue::Double(0.5)),
        ("n".to_owned(), AttributeValue::Double(f64::NAN)),
        ("a".to_owned(), AttributeValue::Array("[1]".into())),
        ("m".to_owned(), AttributeValue::Map("{\"x\":null}".into())),
        ("y".to_owned(), AttributeValue::Bytes("AAE=".into())),
    ];
    let span = SpanMatch {
        span_id: [0, 0, 0, 0, 0, 0, 0, 1],
        name: "GET /".into(),
        start_ns: 10,
        duration_ns: 20,
        attributes,
    };
    let set = SpanSet {
        spans: vec![span],
        matched: 4,
        attributes: vec![("by(.x)".to_owned(), AttributeValue::String("y".into()))],
    };
    let mut matched = TraceMatch { span_sets: vec![set], ..trace() };
    for (service, span_count, error_count) in [("bank", 3, 1), ("shop", 1, 0)] {
        matched.service_stats.push((service.to_owned(), Default::default()));
        let (_, stats) = matched.service_stats.last_mut().unwrap();
        stats.span_count = span_count;
        stats.error_count = error_count;
    }
    let set_text = concat!(
        r#"{"spans":[{"spanID":"0000000000000001","name":"GET /","startTimeUnixNano":"10","durationNanos":"20","#,
        r#""attributes":[{"key":"s","value":{"stringValue":"text"}},{"key":"b","value":{"boolValue":true}},"#,
        r#"{"key":"i","value":{"intValue":"-7"}},{"key":"d","value":{"doubleValue":0.5}},"#,
        r#"{"key":"n","value":{"doubleValue":"NaN"}},"#,
        r#"{"key":"a","value":{"arrayValue":{"values":[{"intValue":"1"}]}}},"#,
        r#"{"key":"m","value":{"kvlistValue":{"values":[{"key":"x","value":{}}]}}},"#,
        r#"{"key":"y","value":{"bytesValue":"AAE="}}]}],"matched":4,"#,
        r#""attributes":[{"key":"by(.x)","value":{"stringValue":"y"}}]}"#
    );
    assert_eq!(
        text(vec![matched]),
        format!(
            concat!(
                r#"{{"traces":[{{"traceID":"000000000000000000000000000000ab","rootServiceName":"shop","#,
                r#""rootTraceName":"GET /","startTimeUnixNano":"1700000000000000000","durationMs":1,"#,
                r#""spanSet":{set_text},"spanSets":[{set_text}],"#,
                r#""serviceStats":{{"bank":{{"spanCount":3,"errorCount":1}},"shop":{{"spanCount":1}}}}}}],{metrics}"#
            ),
            set_text = set_text,
            metrics = METRICS
        )
    );
}
