//! OpenTelemetry's own Python SDK sends the three signals over both transports for two tenants; everything is
//! asked back through the three APIs, and each tenant sees its own alone.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::client::{Api, Client};
use crate::server::{Place, Stella};
use crate::tools::python_aside;
use crate::{sdk_logs, sdk_metrics, sdk_traces};

/// What one run of the SDK says that it has sent. Item `i` of `count` is a span, a log record and a measurement of
/// each instrument; four spans make a trace.
pub(crate) struct Run {
    pub(crate) name: String,
    pub(crate) count: usize,
    pub(crate) report: Value,
}

impl Run {
    /// The trace ids, in the order of their first item.
    pub(crate) fn trace_ids(&self) -> Vec<String> {
        let ids = self.report["trace_ids"].as_array().unwrap();
        ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    /// The trace of an item.
    pub(crate) fn trace_id_of(&self, item: usize) -> String {
        self.trace_ids()[item / 4].clone()
    }
}

async fn send(stella: &Stella, tenant: &str, protocol: &str, compression: &str, count: usize) -> Run {
    let name = format!("{tenant}-{protocol}");
    let address = |api: Api| stella.address(api.listener()).unwrap();
    let arguments = [
        ("--endpoint-grpc", address(Api::OtlpGrpc).to_string()),
        ("--endpoint-http", format!("http://{}", address(Api::OtlpHttp))),
        ("--tenant", tenant.to_owned()),
        ("--protocol", protocol.to_owned()),
        ("--compression", compression.to_owned()),
        ("--run", name.clone()),
        ("--count", count.to_string()),
    ];
    let arguments = arguments.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
    let report = python_aside("otel_send.py", arguments).await;
    Run { name, count, report }
}

async fn check(client: &Client, runs: &[Run]) {
    for run in runs {
        sdk_metrics::check(client, run).await;
        sdk_logs::check(client, run).await;
        sdk_traces::check(client, run).await;
    }
    sdk_metrics::check_together(client, runs).await;
    sdk_logs::check_together(client, runs).await;
    sdk_traces::check_together(client, runs).await;
}

/// A tenant finds nothing of another's run, however it asks.
async fn check_isolation(client: &Client, own: &[Run], foreign: &[Run]) {
    let names: BTreeSet<String> = own.iter().map(|run| run.name.clone()).collect();
    assert_eq!(client.metric_label_values("run").await, names);
    assert_eq!(client.metric_label_values("instance").await, names);
    assert_eq!(client.log_label_values("service_instance_id").await, names);
    let typed: BTreeSet<String> = names.iter().map(|name| format!("string:{name}")).collect();
    assert_eq!(client.tag_values("span.run").await, typed);
    for run in foreign {
        let name = &run.name;
        assert!(client.vector(&format!("{{run=\"{name}\"}}")).await.is_empty());
        assert!(client.lines(&format!("{{service_instance_id=\"{name}\"}}")).await.is_empty());
        assert!(client.lines(&format!("{{service_name=\"shop\"}} |= \"run={name} \"")).await.is_empty());
        assert!(client.search(&format!("{{ .run = \"{name}\" }}")).await.is_empty());
        for id in run.trace_ids() {
            for path in [format!("/api/traces/{id}"), format!("/api/v2/traces/{id}")] {
                assert_eq!(client.get(Api::Tempo, &path, &[]).await.status, 404, "{path}");
            }
        }
        let series = [("match[]", "{__name__=~\".+\"}")];
        let series = client.get(Api::Prometheus, "/api/v1/series", &series).await.text();
        assert!(!series.contains(name), "{series}");
        let streams = [("match[]", "{service_name=~\".+\"}")];
        let streams = client.get(Api::Loki, "/loki/api/v1/series", &streams).await.text();
        assert!(!streams.contains(name), "{streams}");
    }
}

async fn check_both(stella: &Stella, acme: &[Run], globex: &[Run]) {
    check(&stella.tenant("acme"), acme).await;
    check(&stella.tenant("globex"), globex).await;
    check_isolation(&stella.tenant("acme"), acme, globex).await;
    check_isolation(&stella.tenant("globex"), globex, acme).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_send_by_the_sdk_and_see_their_own_alone() {
    two_tenants_send(Place::chosen()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_send_by_the_sdk_and_see_their_own_alone_on_a_bucket() {
    two_tenants_send(Place::Bucket).await;
}

async fn two_tenants_send(place: Place) {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_in(place, folder.path(), &[]).await;
    let (a1, a2, g1, g2) = tokio::join!(
        send(&stella, "acme", "grpc", "gzip", 14),
        send(&stella, "acme", "http", "none", 8),
        send(&stella, "globex", "grpc", "none", 5),
        send(&stella, "globex", "http", "gzip", 21),
    );
    let (acme, globex) = ([a1, a2], [g1, g2]);
    check_both(&stella, &acme, &globex).await;
    check_isolation(&stella.tenant("nobody"), &[], &acme).await;

    // The same answers from segments as from heads.
    stella.stop().await;
    let stella = Stella::up_in(place, folder.path(), &[]).await;
    check_both(&stella, &acme, &globex).await;
    stella.stop().await;
}
