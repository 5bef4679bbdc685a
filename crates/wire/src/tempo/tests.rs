//! Tempo's envelopes: their numbers on the wire and the exact JSON.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span, Status};

use super::*;

fn trace() -> Trace {
    let attribute = |key: &str, value| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    };
    let span = Span {
        trace_id: vec![0x01; 16],
        span_id: vec![0x02; 8],
        name: "GET".to_owned(),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_000_000_001,
        attributes: vec![
            attribute("n", any_value::Value::IntValue(5)),
            attribute("f", any_value::Value::DoubleValue(5.0)),
            attribute("tiny", any_value::Value::DoubleValue(1e-9)),
            attribute("nan", any_value::Value::DoubleValue(f64::NAN)),
        ],
        status: Some(Status { message: String::new(), code: 2 }),
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { scope: None, spans: vec![span], schema_url: String::new() }];
    Trace { resource_spans: vec![ResourceSpans { resource: None, scope_spans, schema_url: String::new() }] }
}

const SPANS: &str = concat!(
    r#"[{"scopeSpans":[{"spans":[{"traceId":"AQEBAQEBAQEBAQEBAQEBAQ==","spanId":"AgICAgICAgI=","name":"GET","#,
    r#""kind":"SPAN_KIND_SERVER","startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000000000001","#,
    r#""attributes":[{"key":"n","value":{"intValue":"5"}},{"key":"f","value":{"doubleValue":5}},"#,
    r#"{"key":"tiny","value":{"doubleValue":1e-9}},{"key":"nan","value":{"doubleValue":"NaN"}}],"#,
    r#""status":{"code":"STATUS_CODE_ERROR"}}]}]}]"#,
);

#[test]
fn traces_are_written_as_tempo_writes_them() {
    assert_eq!(trace().to_json().unwrap(), format!(r#"{{"batches":{SPANS}}}"#));
    let response = TraceByIdResponse {
        trace: Some(trace()),
        metrics: Some(TraceByIdMetrics { inspected_bytes: 0 }),
        ..TraceByIdResponse::default()
    };
    assert_eq!(
        response.to_json().unwrap(),
        format!(r#"{{"trace":{{"resourceSpans":{SPANS}}},"metrics":{{}}}}"#)
    );
    let partial = TraceByIdResponse {
        trace: None,
        metrics: Some(TraceByIdMetrics { inspected_bytes: 9 }),
        status: PartialStatus::Partial as i32,
        message: "too large".to_owned(),
    };
    assert_eq!(
        partial.to_json().unwrap(),
        r#"{"metrics":{"inspectedBytes":"9"},"status":"PARTIAL","message":"too large"}"#
    );
    assert_eq!(Trace::default().to_json().unwrap(), "{}");
}

#[test]
fn envelopes_have_the_specified_numbers() {
    let response = TraceByIdResponse {
        trace: Some(Trace { resource_spans: vec![ResourceSpans::default()] }),
        metrics: Some(TraceByIdMetrics { inspected_bytes: 1 }),
        status: 1,
        message: "m".to_owned(),
    };
    let wire = [0x0a, 2, 0x0a, 0, 0x12, 2, 0x08, 1, 0x18, 1, 0x22, 1, b'm'];
    assert_eq!(response.to_protobuf(), wire.as_slice());
    assert_eq!(Trace { resource_spans: vec![ResourceSpans::default()] }.to_protobuf(), [0x0a, 0].as_slice());
}
