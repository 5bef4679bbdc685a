//! OTLP logs become the streams and lines that Loki would make of them.

use collector::settings::{LogsSettings, Settings};
use http::StatusCode;
use model::Batch;
use prost::Message as _;
use wire::otlp::ExportLogsServiceRequest;
use wire::otlp::common::any_value::Value;
use wire::otlp::common::{ArrayValue, KeyValueList};
use wire::otlp::logs::LogRecord;

use crate::door::{Door, NOW_NS, post};
use crate::otlp::{any, logs, pair, record, resource, scope, string};
use crate::shown;

async fn map_with(settings: Settings, request: ExportLogsServiceRequest) -> Batch {
    let door = Door::with(settings);
    let headers = [("content-type", "application/x-protobuf")];
    let request = post("/otlp/v1/logs", &headers, request.encode_to_vec());
    let reply = door.send(door.collector.loki_push(), request).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.text());
    assert!(reply.body.is_empty());
    door.batch()
}

fn quiet() -> Settings {
    let logs = LogsSettings { discover_log_levels: false, ..LogsSettings::default() };
    Settings { logs, ..Settings::default() }
}

#[tokio::test]
async fn resources_are_streams_and_metadata() {
    let attributes = [
        ("service.name", "cart"),
        ("k8s.pod.name", "p-1"),
        ("host.name", "h"),
        ("deployment.environment", "prod"),
    ];
    let batch = map_with(quiet(), logs(vec![(resource(&attributes), vec![record("hello")])])).await;
    let stream = "{deployment_environment=\"prod\", k8s_pod_name=\"p-1\", service_name=\"cart\"}";
    assert_eq!(shown::entries(&batch), [format!("{stream} 9 0 hello | host_name=String(\"h\")")]);

    let unknown = map_with(quiet(), logs(vec![(None, vec![record("x")])])).await;
    assert_eq!(shown::entries(&unknown), ["{service_name=\"unknown_service\"} 9 0 x | "]);
    let found = map_with(quiet(), logs(vec![(resource(&[("app", "shop")]), vec![record("x")])])).await;
    assert_eq!(shown::entries(&found), ["{service_name=\"shop\"} 9 0 x | app=String(\"shop\")"]);
}

#[tokio::test]
async fn records_keep_types_ids_and_times() {
    let map =
        KeyValueList { values: vec![pair("a.b", Value::IntValue(1)), pair("c", Value::BoolValue(true))] };
    let list = ArrayValue { values: vec![any(Value::IntValue(1)), any(string("x"))] };
    let full = LogRecord {
        time_unix_nano: 0,
        observed_time_unix_nano: 77,
        severity_number: 17,
        severity_text: "ERROR".to_owned(),
        body: Some(any(Value::KvlistValue(map.clone()))),
        attributes: vec![
            pair("http.status", Value::IntValue(500)),
            pair("ratio", Value::DoubleValue(0.5)),
            pair("nested", Value::KvlistValue(map)),
            pair("list", Value::ArrayValue(list)),
        ],
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        flags: 1,
        ..LogRecord::default()
    };
    let mut request = logs(vec![(resource(&[("service.name", "s")]), vec![full, LogRecord::default()])]);
    request.resource_logs[0].scope_logs[0].scope = scope("lib", "2");
    let batch = map_with(Settings::default(), request).await;
    let stream = "{service_name=\"s\"}";
    let scope = "scope_name=String(\"lib\") scope_version=String(\"2\")";
    let want = [
        format!(
            "{stream} 77 17 {{\"a.b\":1,\"c\":true}} trace_id={} span_id={} | http_status=Int(500) \
             ratio=Double(0.5) nested_a_b=Int(1) nested_c=Bool(true) list=Array(\"[1,\\\"x\\\"]\") \
             severity_text=String(\"ERROR\") observed_timestamp=Int(77) flags=Int(1) {scope} \
             detected_level=String(\"error\")",
            hex::encode([0xab; 16]),
            hex::encode([0xcd; 8])
        ),
        format!("{stream} {NOW_NS} 0  | {scope} detected_level=String(\"unknown\")"),
    ];
    assert_eq!(shown::entries(&batch), want);
}

#[tokio::test]
async fn the_innermost_of_equal_names_stays() {
    let attributed = LogRecord { attributes: vec![pair("host.name", string("inner"))], ..record("x") };
    let batch = map_with(quiet(), logs(vec![(resource(&[("host.name", "outer")]), vec![attributed])])).await;
    let want = "{service_name=\"unknown_service\"} 9 0 x | host_name=String(\"inner\")";
    assert_eq!(shown::entries(&batch), [want]);
}

#[tokio::test]
async fn levels_come_from_the_surest_source() {
    let with = |number, text: &str, level: &str, body: &str| LogRecord {
        severity_number: number,
        severity_text: text.to_owned(),
        attributes: if level.is_empty() { Vec::new() } else { vec![pair("level", string(level))] },
        ..record(body)
    };
    let table = [
        (with(9, "ERROR", "warn", "fatal"), "info"),
        (with(0, "Warning", "debug", "fatal"), "warn"),
        (with(0, "", "DEBUG", "fatal"), "debug"),
        (with(0, "", "odd", "level=trace x"), "trace"),
        (with(0, "", "", "{\"level\":\"critical\"}"), "critical"),
        (with(0, "", "", "nothing here"), "unknown"),
    ];
    for (record, want) in table {
        let batch = map_with(Settings::default(), logs(vec![(None, vec![record])])).await;
        let entries = shown::entries(&batch);
        assert!(entries[0].ends_with(&format!("detected_level=String(\"{want}\")")), "{entries:?}");
    }
}
