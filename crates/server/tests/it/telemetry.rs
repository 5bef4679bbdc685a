//! Telemetry in the bytes that senders put on the wire: remote write, Loki's push and OTLP's JSON.

use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;
use serde_json::{Value, json};
use wire::remote_write::v1::{Label, Sample, TimeSeries, WriteRequest};

use crate::client::{Answer, Api, Client};

/// The time in nanoseconds since the epoch.
pub(crate) fn now_ns() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

/// The time in milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    now_ns() / 1_000_000
}

/// A series of remote write: its labels in order, and its samples as time in milliseconds and value.
pub(crate) fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    let label = |(name, value): &(&str, &str)| Label { name: (*name).into(), value: (*value).into() };
    let sample = |(timestamp, value): &(i64, f64)| Sample { value: *value, timestamp: *timestamp };
    TimeSeries {
        labels: labels.iter().map(label).collect(),
        samples: samples.iter().map(sample).collect(),
        ..TimeSeries::default()
    }
}

/// Sends series by remote write 1.0.
pub(crate) async fn remote_write(
    client: &Client,
    timeseries: Vec<TimeSeries>,
) -> Result<Answer, reqwest::Error> {
    let request = WriteRequest { timeseries, ..WriteRequest::default() };
    let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap();
    let headers = [
        ("Content-Type", "application/x-protobuf"),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Write-Version", "0.1.0"),
    ];
    client.post(Api::Prometheus, "/api/v1/write", &headers, body).await
}

/// Sends lines of one stream by Loki's push, in JSON.
pub(crate) async fn loki_push(
    client: &Client,
    stream: &Value,
    lines: &[(i64, String)],
) -> Result<Answer, reqwest::Error> {
    let values: Vec<Value> = lines.iter().map(|(ns, line)| json!([ns.to_string(), line])).collect();
    let body = json!({"streams": [{"stream": stream, "values": values}]});
    post_json(client, Api::Loki, "/loki/api/v1/push", &body).await
}

/// Sends a body as JSON.
pub(crate) async fn post_json(
    client: &Client,
    api: Api,
    path: &str,
    body: &Value,
) -> Result<Answer, reqwest::Error> {
    client.post(api, path, &[("Content-Type", "application/json")], body.to_string().into_bytes()).await
}

/// An attribute of OTLP with a text.
pub(crate) fn text_attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// A span of OTLP that began at `start_ns` and took a millisecond.
pub(crate) fn span(trace_id: &str, span_id: &str, name: &str, start_ns: i64, attributes: &[Value]) -> Value {
    json!({
        "traceId": trace_id,
        "spanId": span_id,
        "name": name,
        "kind": 2,
        "startTimeUnixNano": start_ns.to_string(),
        "endTimeUnixNano": (start_ns + 1_000_000).to_string(),
        "attributes": attributes,
    })
}

/// A traces request of OTLP: per resource its attributes and its spans.
pub(crate) fn traces(resources: &[(Vec<Value>, Vec<Value>)]) -> Value {
    let resources = resources.iter().map(|(attributes, spans)| {
        json!({"resource": {"attributes": attributes}, "scopeSpans": [{"spans": spans}]})
    });
    json!({"resourceSpans": resources.collect::<Vec<_>>()})
}

/// A logs request of OTLP: per resource its attributes and its lines, all of this moment.
pub(crate) fn logs(resources: &[(Vec<Value>, Vec<&str>)]) -> Value {
    let now_ns = now_ns().to_string();
    let record =
        |line: &&str| json!({"timeUnixNano": now_ns, "severityNumber": 9, "body": {"stringValue": line}});
    let resources = resources.iter().map(|(attributes, lines)| {
        let records: Vec<Value> = lines.iter().map(record).collect();
        json!({"resource": {"attributes": attributes}, "scopeLogs": [{"logRecords": records}]})
    });
    json!({"resourceLogs": resources.collect::<Vec<_>>()})
}

/// A metrics request of OTLP: per resource its attributes and a gauge with its value at this moment.
pub(crate) fn metrics(resources: &[(Vec<Value>, &str, f64)]) -> Value {
    let now_ns = now_ns().to_string();
    let resources = resources.iter().map(|(attributes, name, value)| {
        let point = json!({"timeUnixNano": now_ns, "asDouble": value});
        let metric = json!({"name": name, "gauge": {"dataPoints": [point]}});
        json!({"resource": {"attributes": attributes}, "scopeMetrics": [{"metrics": [metric]}]})
    });
    json!({"resourceMetrics": resources.collect::<Vec<_>>()})
}
