//! Every door in besides those that the SDK and Prometheus use: what comes in by one protocol is asked back by
//! another, at once.

use prost::Message;
use serde_json::json;
use wire::loki::{EntryAdapter, LabelPairAdapter, PushRequest, StreamAdapter, Timestamp};
use wire::remote_write::v2;

use crate::client::{Answer, Api, Client};
use crate::server::{Stella, http_client};
use crate::telemetry::{logs, metrics, now_ms, now_ns, post_json, span, text_attribute, traces};

fn snappy(message: &impl Message) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&message.encode_to_vec()).unwrap()
}

async fn remote_write_2(client: &Client) -> Answer {
    let symbols = ["", "__name__", "orders_total", "shop", "a", "Orders taken"];
    let sample = |timestamp, value| v2::Sample { value, timestamp, start_timestamp: now_ms() - 60_000 };
    let request = v2::Request {
        symbols: symbols.map(str::to_owned).to_vec(),
        timeseries: vec![v2::TimeSeries {
            labels_refs: vec![1, 2, 3, 4],
            samples: vec![sample(now_ms() - 1_000, 3.0), sample(now_ms(), 5.0)],
            metadata: Some(v2::Metadata { r#type: 1, help_ref: 5, unit_ref: 0 }),
            ..v2::TimeSeries::default()
        }],
    };
    let headers = [
        ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Write-Version", "2.0.0"),
    ];
    client.post(Api::Prometheus, "/api/v1/write", &headers, snappy(&request)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_write_2_says_what_it_has_written() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    let acme = stella.tenant("acme");
    let answer = remote_write_2(&acme).await;
    assert!((200..300).contains(&answer.status), "{} {}", answer.status, answer.text());
    for (kind, written) in [("samples", "2"), ("histograms", "0"), ("exemplars", "0")] {
        let header = format!("x-prometheus-remote-write-{kind}-written");
        assert_eq!(answer.headers[header.as_str()].to_str().unwrap(), written, "{header}");
    }
    assert_eq!(acme.value("orders_total{shop=\"a\"}").await, 5.0);
    assert_eq!(acme.value("sum_over_time(orders_total[1m])").await, 8.0);
    let metadata = acme.get(Api::Prometheus, "/api/v1/metadata", &[("metric", "orders_total")]).await.json();
    assert_eq!(metadata["data"]["orders_total"][0]["help"], "Orders taken", "{metadata}");
    // The same once more is no news, and no error.
    assert!((200..300).contains(&remote_write_2(&acme).await.status));
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lokis_protobuf_keeps_structured_metadata() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    let acme = stella.tenant("acme");
    let now_ns = now_ns();
    let timestamp = Timestamp::from_nanoseconds(now_ns);
    let entry = EntryAdapter {
        timestamp: Some(timestamp),
        line: "level=warn msg=\"late\"".into(),
        structured_metadata: vec![LabelPairAdapter { name: "order".into(), value: "17".into() }],
        parsed: Vec::new(),
    };
    let stream = StreamAdapter { labels: "{app=\"shop\", env=\"x\"}".into(), entries: vec![entry], hash: 0 };
    let body = snappy(&PushRequest { streams: vec![stream] });
    let headers = [("Content-Type", "application/x-protobuf")];
    let answer = acme.post(Api::Loki, "/loki/api/v1/push", &headers, body).await.unwrap();
    assert_eq!(answer.status, 204, "{}", answer.text());
    let lines = acme.lines("{app=\"shop\"} | order=\"17\" | detected_level=\"warn\"").await;
    let [line] = lines.as_slice() else { panic!("one line: {lines:?}") };
    assert_eq!((line.timestamp_ns, line.line.as_str()), (now_ns, "level=warn msg=\"late\""));

    // Metadata in JSON is the third of an entry.
    let values = json!([[now_ns.to_string(), "said", {"order": "18"}]]);
    let body = json!({"streams": [{"stream": {"app": "shop"}, "values": values}]});
    assert_eq!(post_json(&acme, Api::Loki, "/loki/api/v1/push", &body).await.unwrap().status, 204);
    assert_eq!(acme.lines("{app=\"shop\"} | order=\"18\"").await.len(), 1);

    // Grafana wants to know which labels are whose.
    let request = [("query", "{app=\"shop\", env=\"x\"} | logfmt")];
    let request = http_client().get(acme.url(Api::Loki, "/loki/api/v1/query_range")).query(&request);
    let request = request.header("X-Loki-Response-Encoding-Flags", "categorize-labels");
    let answer = acme.send(request).await.unwrap().json();
    assert_eq!(answer["data"]["encodingFlags"], json!(["categorize-labels"]), "{answer}");
    let stream = &answer["data"]["result"][0];
    assert!(stream["stream"].get("order").is_none(), "{stream}");
    let told = &stream["values"][0][2];
    assert_eq!(
        (&told["structuredMetadata"]["order"], &told["parsed"]["msg"]),
        (&json!("17"), &json!("late")),
        "{told}"
    );
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn otlp_comes_in_on_the_ports_of_all_three() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    let acme = stella.tenant("acme");
    let resource = || vec![text_attribute("service.name", "shop")];
    let trace_id = "5bd66ef5095369c7b0d1f8f4bd33716a";
    let pay = span(trace_id, "c532cb4098ac3dd2", "pay", now_ns(), &[]);
    let bodies = [
        (Api::Prometheus, "/api/v1/otlp/v1/metrics", metrics(&[(resource(), "stock.level", 12.5)])),
        (Api::Loki, "/otlp/v1/logs", logs(&[(resource(), vec!["order 1 paid"])])),
        (Api::Tempo, "/v1/traces", traces(&[(resource(), vec![pay])])),
    ];
    for (api, path, body) in bodies {
        let answer = post_json(&acme, api, path, &body).await.unwrap();
        assert!((200..300).contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
    }
    assert_eq!(acme.value("stock_level{job=\"shop\"}").await, 12.5);
    assert_eq!(acme.lines("{service_name=\"shop\"}").await[0].line, "order 1 paid");
    assert_eq!(acme.search("{ name = \"pay\" }").await.len(), 1);
    assert!(acme.trace(trace_id).await.is_some());
    stella.stop().await;
}
