//! The JSON mapping against the generated messages: every field by name, number and kind, what writers may
//! choose, what is refused, and that no bytes panic.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::common::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use super::logs::{LogRecord, ResourceLogs, ScopeLogs};
use super::metrics::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    exponential_histogram_data_point::Buckets, metric, number_data_point,
    summary_data_point::ValueAtQuantile,
};
use super::resource::Resource;
use super::trace::{ResourceSpans, ScopeSpans, Span, span};
use super::*;

fn decode_logs(format: Format, body: &Bytes) -> Result<ExportLogsServiceRequest, WireError> {
    let body = logs_in_protobuf(format, body)?;
    Message::decode(body).map_err(|source| WireError::protobuf(schema::LOGS_REQUEST.name, source))
}

fn decode_traces(format: Format, body: &Bytes) -> Result<ExportTraceServiceRequest, WireError> {
    let body = traces_in_protobuf(format, body)?;
    Message::decode(body).map_err(|source| WireError::protobuf(schema::TRACE_REQUEST.name, source))
}

fn value(value: any_value::Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn attribute(key: &str, of: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value(of)), ..KeyValue::default() }
}

/// An attribute of every type.
fn attributes() -> Vec<KeyValue> {
    use any_value::Value::{
        ArrayValue as Array, BoolValue, BytesValue, DoubleValue, IntValue, KvlistValue, StringValue,
    };
    let list = ArrayValue { values: vec![value(IntValue(1)), value(StringValue("ü".to_owned()))] };
    let map = KeyValueList { values: vec![attribute("inner", BoolValue(true))] };
    vec![
        attribute("string", StringValue("text \"quoted\"\n".to_owned())),
        attribute("bool", BoolValue(false)),
        attribute("int", IntValue(i64::MIN)),
        attribute("double", DoubleValue(-2.5e-9)),
        attribute("list", Array(list)),
        attribute("map", KvlistValue(map)),
        attribute("bytes", BytesValue(vec![0, 255, 62, 63])),
        attribute("empty", StringValue(String::new())),
    ]
}

fn resource_of_all() -> Option<Resource> {
    let entity = EntityRef {
        schema_url: "s".to_owned(),
        r#type: "service".to_owned(),
        id_keys: vec!["a".to_owned(), "b".to_owned()],
        description_keys: vec!["c".to_owned()],
    };
    Some(Resource { attributes: attributes(), dropped_attributes_count: 3, entity_refs: vec![entity] })
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: "library".to_owned(),
        version: "1.2".to_owned(),
        attributes: attributes(),
        dropped_attributes_count: u32::MAX,
    })
}

fn logs_of_all() -> ExportLogsServiceRequest {
    let record = LogRecord {
        time_unix_nano: u64::MAX,
        observed_time_unix_nano: 1_700_000_000_000_000_001,
        severity_number: 17,
        severity_text: "ERROR".to_owned(),
        body: Some(value(any_value::Value::StringValue("body".to_owned()))),
        attributes: attributes(),
        dropped_attributes_count: 1,
        flags: 257,
        trace_id: (0..16).collect(),
        span_id: (16..24).collect(),
        event_name: "event".to_owned(),
    };
    let log_records = vec![record, LogRecord::default()];
    let scope_logs = vec![ScopeLogs { scope: scope(), log_records, schema_url: "u".to_owned() }];
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: resource_of_all(),
            scope_logs,
            schema_url: "v".to_owned(),
        }],
    }
}

fn spans_of_all() -> ExportTraceServiceRequest {
    let event = span::Event {
        time_unix_nano: 5,
        name: "event".to_owned(),
        attributes: attributes(),
        dropped_attributes_count: 2,
    };
    let link = span::Link {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        trace_state: "a=b".to_owned(),
        attributes: attributes(),
        dropped_attributes_count: 3,
        flags: 256,
    };
    let span = Span {
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        trace_state: "c=d".to_owned(),
        parent_span_id: vec![0xef; 8],
        flags: 0x301,
        name: "GET /".to_owned(),
        kind: 2,
        start_time_unix_nano: 10,
        end_time_unix_nano: 20,
        attributes: attributes(),
        dropped_attributes_count: 4,
        events: vec![event],
        dropped_events_count: 5,
        links: vec![link],
        dropped_links_count: 6,
        status: Some(trace::Status { message: "broken".to_owned(), code: 2 }),
    };
    let scope_spans = vec![ScopeSpans { scope: scope(), spans: vec![span], schema_url: "u".to_owned() }];
    let resource_spans =
        vec![ResourceSpans { resource: resource_of_all(), scope_spans, schema_url: "v".to_owned() }];
    ExportTraceServiceRequest { resource_spans }
}

fn exemplars() -> Vec<Exemplar> {
    [exemplar::Value::AsDouble(1.5), exemplar::Value::AsInt(-7)]
        .map(|value| Exemplar {
            filtered_attributes: attributes(),
            time_unix_nano: 9,
            span_id: vec![3; 8],
            trace_id: vec![4; 16],
            value: Some(value),
        })
        .to_vec()
}

fn number_points() -> Vec<NumberDataPoint> {
    use number_data_point::Value::{AsDouble, AsInt};
    [AsDouble(0.0), AsDouble(1e300), AsInt(0), AsInt(i64::MAX)]
        .map(|value| NumberDataPoint {
            attributes: attributes(),
            start_time_unix_nano: 1,
            time_unix_nano: 2,
            exemplars: exemplars(),
            flags: 1,
            value: Some(value),
        })
        .to_vec()
}

fn histogram_point() -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: attributes(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 6,
        sum: Some(0.0),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.5, 10.0],
        exemplars: exemplars(),
        flags: 1,
        min: Some(-1.0),
        max: Some(12.0),
    }
}

fn exponential_point() -> ExponentialHistogramDataPoint {
    ExponentialHistogramDataPoint {
        attributes: attributes(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 6,
        sum: Some(3.25),
        scale: -4,
        zero_count: 1,
        positive: Some(Buckets { offset: -3, bucket_counts: vec![1, 0, u64::MAX] }),
        negative: Some(Buckets { offset: 2, bucket_counts: vec![4] }),
        flags: 1,
        exemplars: exemplars(),
        min: None,
        max: Some(2.0),
        zero_threshold: 1e-10,
    }
}

fn summary_point() -> SummaryDataPoint {
    SummaryDataPoint {
        attributes: attributes(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 3,
        sum: 4.5,
        quantile_values: vec![ValueAtQuantile { quantile: 0.99, value: 7.0 }],
        flags: 1,
    }
}

fn metrics_of_all() -> ExportMetricsServiceRequest {
    let metrics = vec![
        metric::Data::Gauge(Gauge { data_points: number_points() }),
        metric::Data::Sum(Sum {
            data_points: number_points(),
            aggregation_temporality: 2,
            is_monotonic: true,
        }),
        metric::Data::Histogram(Histogram {
            data_points: vec![histogram_point()],
            aggregation_temporality: 1,
        }),
        metric::Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![exponential_point()],
            aggregation_temporality: 2,
        }),
        metric::Data::Summary(Summary { data_points: vec![summary_point()] }),
    ]
    .into_iter()
    .map(|data| Metric {
        name: "http.requests".to_owned(),
        description: "d".to_owned(),
        unit: "1".to_owned(),
        metadata: attributes(),
        data: Some(data),
    })
    .collect();
    let scope_metrics = vec![ScopeMetrics { scope: scope(), metrics, schema_url: "u".to_owned() }];
    let resource_metrics =
        vec![ResourceMetrics { resource: resource_of_all(), scope_metrics, schema_url: "v".to_owned() }];
    ExportMetricsServiceRequest { resource_metrics }
}

/// The table must agree with the generated messages: what their own serde writes, and what is written by the
/// table in either style, reads back as the same message.
fn check_round_trip<M: Message + Default + PartialEq + serde::Serialize + std::fmt::Debug>(
    schema: &'static Schema,
    message: &M,
) {
    let theirs = serde_json::to_vec(message).unwrap();
    assert_eq!(&M::decode(json::to_protobuf(schema, &theirs).unwrap().as_slice()).unwrap(), message);
    let ours = json::encode(schema, message, Style::Otlp).unwrap();
    assert_eq!(&M::decode(json::to_protobuf(schema, ours.as_bytes()).unwrap().as_slice()).unwrap(), message);
    let protobuf = Bytes::from(message.encode_to_vec());
    assert_eq!(&M::decode(protobuf).unwrap(), message);
    // In the plain style only the ids differ in a way that does not read back.
    let plain: Value = serde_json::from_str(&json::encode(schema, message, Style::Plain).unwrap()).unwrap();
    assert!(plain.is_object());
}

#[test]
fn every_field_survives_the_round_trip() {
    check_round_trip(&schema::METRICS_REQUEST, &metrics_of_all());
    check_round_trip(&schema::LOGS_REQUEST, &logs_of_all());
    check_round_trip(&schema::TRACE_REQUEST, &spans_of_all());
}

fn decode_point(point: &Value) -> Result<NumberDataPoint, WireError> {
    let body =
        json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"gauge": {"dataPoints": [point]}}]}]}]});
    let request = decode_metrics(Format::Json, &Bytes::from(body.to_string()))?;
    let data = request.resource_metrics[0].scope_metrics[0].metrics[0].data.clone();
    match data {
        Some(metric::Data::Gauge(gauge)) => Ok(gauge.data_points[0].clone()),
        other => panic!("a gauge was sent, {other:?} came back"),
    }
}

#[test]
fn numbers_are_read_in_every_form_that_the_mapping_allows() {
    use number_data_point::Value::{AsDouble, AsInt};
    let cases = [
        (json!({"asDouble": 1}), AsDouble(1.0)),
        (json!({"asDouble": -1.5}), AsDouble(-1.5)),
        (json!({"asDouble": "2.5"}), AsDouble(2.5)),
        (json!({"asDouble": "Infinity"}), AsDouble(f64::INFINITY)),
        (json!({"asDouble": "-Infinity"}), AsDouble(f64::NEG_INFINITY)),
        (json!({"asInt": 7}), AsInt(7)),
        (json!({"asInt": "-9223372036854775808"}), AsInt(i64::MIN)),
        (json!({"asInt": 1e3}), AsInt(1000)),
        (json!({"asInt": "1e3"}), AsInt(1000)),
        (json!({"as_int": "5"}), AsInt(5)),
        (json!({"asInt": "5", "unknown": {"deep": [1, null]}, "exemplars": null, "flags": null}), AsInt(5)),
    ];
    for (point, expected) in cases {
        assert_eq!(decode_point(&point).unwrap().value, Some(expected), "{point}");
    }
    let nan = decode_point(&json!({"asDouble": "NaN"})).unwrap().value;
    assert!(matches!(nan, Some(AsDouble(value)) if value.is_nan()));
}

#[test]
fn values_that_do_not_fit_are_refused_with_the_field() {
    let cases = [
        (
            json!({"asInt": "9223372036854775808"}),
            "value=9223372036854775808 is out of range for field=`asInt`",
        ),
        (json!({"asInt": 1.5}), "expected an integer, or a string that holds one for field=`asInt`"),
        (json!({"asInt": "x"}), "invalid value: string \"x\""),
        (json!({"asInt": true}), "invalid type: boolean `true`"),
        (json!({"asInt": {}}), "invalid type: map"),
        (json!({"asInt": [1]}), "invalid type: sequence"),
        (json!({"timeUnixNano": -1}), "value=-1 is out of range for field=`timeUnixNano`"),
        (json!({"flags": 4_294_967_296_u64}), "out of range for field=`flags`"),
        (json!({"asDouble": "inf"}), "NaN, Infinity and -Infinity for field=`asDouble`"),
        (json!({"attributes": {}}), "expected an array for field=`attributes`"),
        (json!({"attributes": [1]}), "for field=`attributes`"),
        (json!({"exemplars": [{"traceId": "xyz"}]}), "expected a hex string for field=`traceId`"),
        (json!({"attributes": [{"value": {"bytesValue": "*"}}]}), "a base64 string for field=`bytesValue`"),
        (json!({"attributes": [{"key": 1}]}), "expected a string for field=`key`"),
    ];
    for (point, expected) in cases {
        let error = decode_point(&point).unwrap_err().to_string();
        assert!(error.contains(expected), "{point}: {error}");
        assert!(error.contains("line 1 column"), "{point}: {error}");
    }
}

#[test]
fn enums_are_read_by_name_and_number_and_written_by_number() {
    let decode = |kind: Value| {
        let body = json!({"resource_spans": [{"scope_spans": [{"spans": [{
            "kind": kind, "trace_id": "0123456789ABCDEF0123456789abcdef", "status": {"code": "STATUS_CODE_ERROR"},
        }]}]}]});
        let request = decode_traces(Format::Json, &Bytes::from(body.to_string()))?;
        Ok::<Span, WireError>(request.resource_spans[0].scope_spans[0].spans[0].clone())
    };
    for kind in [json!("SPAN_KIND_CLIENT"), json!(3), json!(3.0)] {
        let span = decode(kind).unwrap();
        assert_eq!((span.kind, span.status.unwrap().code), (3, 2));
        assert_eq!(span.trace_id[..2], [0x01, 0x23]);
    }
    assert_eq!(decode(json!(77)).unwrap().kind, 77, "an enum may grow");
    let error = decode(json!("SPAN_KIND_FOREIGN")).unwrap_err().to_string();
    assert!(error.contains("an enum's name or number for field=`kind`"), "{error}");
}

#[test]
fn bytes_are_read_in_both_base64_alphabets() {
    for text in ["AP8-Pw", "AP8+Pw==", "AP8-Pw=="] {
        let body =
            json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"bytesValue": text}}]}]}]});
        let request = decode_logs(Format::Json, &Bytes::from(body.to_string())).unwrap();
        let body = request.resource_logs[0].scope_logs[0].log_records[0].body.clone().unwrap();
        assert_eq!(body.value, Some(any_value::Value::BytesValue(vec![0, 255, 62, 63])), "{text}");
    }
}

#[test]
fn broken_bodies_are_refused() {
    for body in ["", "{", "[]", "null", "{} {}", "{\"resourceLogs\": 1}", "\u{feff}{}"] {
        let error = decode_logs(Format::Json, &Bytes::from_static(body.as_bytes())).unwrap_err();
        assert!(error.to_string().contains("message=`ExportLogsServiceRequest`"), "{body}: {error}");
    }
    let error = decode_logs(Format::Protobuf, &Bytes::from_static(b"\xff")).unwrap_err();
    assert!(matches!(error, WireError::Protobuf { .. }), "{error}");
    assert_eq!(
        decode_logs(Format::Json, &Bytes::from_static(b"{}")).unwrap(),
        ExportLogsServiceRequest::default()
    );
}

#[test]
fn deep_nesting_is_refused_and_does_not_overflow() {
    let open = r#"{"arrayValue":{"values":["#.repeat(50_000);
    let body = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{open}"#);
    let error = decode_logs(Format::Json, &Bytes::from(body)).unwrap_err().to_string();
    assert!(error.contains("recursion limit"), "{error}");
    let mut nested = AnyValue::default();
    for _ in 0..200 {
        nested = value(any_value::Value::ArrayValue(ArrayValue { values: vec![nested] }));
    }
    let mut request = logs_of_all();
    request.resource_logs[0].scope_logs[0].log_records[0].body = Some(nested);
    let error = json::encode(&schema::LOGS_REQUEST, &request, Style::Otlp).unwrap_err();
    assert!(matches!(error, WireError::Nesting { .. }), "{error}");
}

#[test]
fn responses_are_written_in_both_formats() {
    let partial = ExportMetricsServiceResponse {
        partial_success: Some(ExportMetricsPartialSuccess {
            rejected_data_points: 3,
            error_message: "too old".to_owned(),
        }),
    };
    assert_eq!(
        encode_metrics_response(Format::Json, &partial),
        r#"{"partialSuccess":{"rejectedDataPoints":"3","errorMessage":"too old"}}"#
    );
    assert_eq!(encode_metrics_response(Format::Json, &ExportMetricsServiceResponse::default()), "{}");
    let body = encode_metrics_response(Format::Protobuf, &partial);
    assert_eq!(ExportMetricsServiceResponse::decode(body).unwrap(), partial);
    let logs = ExportLogsServiceResponse {
        partial_success: Some(ExportLogsPartialSuccess { rejected_log_records: 1, ..Default::default() }),
    };
    assert_eq!(encode_logs_response(Format::Json, &logs), r#"{"partialSuccess":{"rejectedLogRecords":"1"}}"#);
    let traces = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess { rejected_spans: 2, ..Default::default() }),
    };
    assert_eq!(encode_traces_response(Format::Json, &traces), r#"{"partialSuccess":{"rejectedSpans":"2"}}"#);
    let status = Status { code: 3, message: "no \"body\"".to_owned() };
    assert_eq!(encode_status(Format::Json, &status), r#"{"code":3,"message":"no \"body\""}"#);
    assert_eq!(Status::decode(encode_status(Format::Protobuf, &status)).unwrap(), status);
}

#[test]
fn formats_are_told_by_content_type() {
    for (header, format) in [
        ("application/json", Format::Json),
        ("Application/JSON; charset=utf-8", Format::Json),
        ("application/x-protobuf", Format::Protobuf),
    ] {
        assert_eq!(Format::from_content_type(Some(header)).unwrap(), format);
        assert_eq!(Format::from_content_type(Some(format.content_type())).unwrap(), format);
    }
    for header in [None, Some("text/plain"), Some("application/jsonl")] {
        assert_eq!(Format::from_content_type(header).unwrap_err().http_status(), 415);
    }
}

/// JSON that knows the fields' names, so that it goes deep.
fn likely_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[0-9a-fA-F+/=_-]{0,34}".prop_map(Value::from),
        prop_oneof![Just("NaN"), Just("Infinity"), Just("SPAN_KIND_SERVER"), Just("1e400")]
            .prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("resourceMetrics"),
        Just("scopeMetrics"),
        Just("metrics"),
        Just("exponentialHistogram"),
        Just("data_points"),
        Just("bucketCounts"),
        Just("positive"),
        Just("scale"),
        Just("attributes"),
        Just("value"),
        Just("arrayValue"),
        Just("values"),
        Just("bytesValue"),
        Just("traceId"),
        Just("foreign"),
    ];
    leaf.prop_recursive(8, 64, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((name.clone(), inner), 0..4).prop_map(|members| {
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let body = Bytes::from(bytes);
        for format in [Format::Protobuf, Format::Json] {
            let _ = decode_metrics(format, &body);
            let _ = decode_logs(format, &body);
            let _ = decode_traces(format, &body);
        }
    }

    #[test]
    fn likely_json_never_panics(json in likely_json()) {
        let body = Bytes::from(json!({"resourceMetrics": [&json], "resourceSpans": &json}).to_string());
        let _ = decode_metrics(Format::Json, &body);
        let _ = decode_traces(Format::Json, &body);
    }

    #[test]
    fn damaged_requests_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut wire = metrics_of_all().encode_to_vec();
        let at = at.index(wire.len());
        wire[at] = byte;
        if let Ok(request) = decode_metrics(Format::Protobuf, &Bytes::from(wire)) {
            let text = json::encode(&schema::METRICS_REQUEST, &request, Style::Plain).unwrap();
            serde_json::from_str::<Value>(&text).unwrap();
        }
    }
}
