//! What Grafana's data sources ask to find out whether a server is there and what it has.

use serde_json::Value;

use crate::client::{Api, Client};
use crate::server::{Stella, eventually};

/// A way to an answer, and what must be there.
type Question = (Api, &'static str, &'static [(&'static str, &'static str)], &'static str);

/// "Save & test" and the builders' first questions. Data that is asked for is the server's own.
const QUESTIONS: [Question; 18] = [
    (Api::Prometheus, "/api/v1/query", &[("query", "1+1"), ("time", "4")], "/data/result/1"),
    (Api::Prometheus, "/api/v1/status/buildinfo", &[], "/data/version"),
    (Api::Prometheus, "/api/v1/label/__name__/values", &[], "/data/0"),
    (Api::Prometheus, "/api/v1/metadata", &[("limit", "5")], "/data"),
    (Api::Prometheus, "/api/v1/labels", &[("match[]", "up")], "/data/0"),
    (Api::Prometheus, "/api/v1/series", &[("match[]", "up")], "/data/0/__name__"),
    (
        Api::Loki,
        "/loki/api/v1/query",
        &[("query", "vector(1)+vector(1)"), ("time", "4000000000")],
        "/data/result/0/value/1",
    ),
    (Api::Prometheus, "/api/v1/parse_query", &[("query", "rate(up[5m])")], "/data/args/0/range"),
    (Api::Prometheus, "/api/v1/status/tsdb", &[("limit", "3")], "/data/seriesCountByMetricName/2/value"),
    (Api::Prometheus, "/api/v1/status/walreplay", &[], "/data/state"),
    (Api::Prometheus, "/version", &[], "/version"),
    (Api::Loki, "/loki/api/v1/status/buildinfo", &[], "/version"),
    (Api::Loki, "/loki/api/v1/labels", &[], "/data/0"),
    (Api::Loki, "/loki/api/v1/label/service_name/values", &[], "/data/0"),
    (Api::Loki, "/loki/api/v1/series", &[("match[]", "{service_name=\"stella\"}")], "/data/0/service_name"),
    (Api::Tempo, "/api/status/buildinfo", &[], "/version"),
    (Api::Tempo, "/api/v2/search/tags", &[], "/scopes/0/name"),
    (Api::Tempo, "/api/v2/search/tag/resource.service.name/values", &[], "/tagValues/0/value"),
];

async fn ask(client: &Client, (api, path, parameters, pointer): &Question) -> Option<Value> {
    let answer = client.get(*api, path, parameters).await;
    answer.json().pointer(pointer).cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn data_sources_find_what_they_look_for() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up(folder.path()).await;
    let own = stella.tenant("stella");
    for question in &QUESTIONS {
        eventually(&format!("an answer to {question:?}"), async || ask(&own, question).await).await;
    }
    let build = own.get(Api::Prometheus, "/version", &[]).await.json();
    assert_eq!(build["application"], concat!("Stella Telemetry ", env!("CARGO_PKG_VERSION")));
    assert_eq!(ask(&own, &QUESTIONS[0]).await.unwrap(), "2");
    assert_eq!(ask(&own, &QUESTIONS[6]).await.unwrap(), "2");
    // The data source posts forms where it can, for queries may be long.
    for (api, path, parameters, _) in &QUESTIONS {
        let is_posted =
            *api == Api::Prometheus && ["/query", "/labels", "/series"].iter().any(|p| path.ends_with(p));
        if is_posted {
            let (asked, posted) =
                (own.get(*api, path, parameters).await, own.post_form(*api, path, parameters).await);
            assert_eq!((posted.status, posted.json()), (asked.status, asked.json()), "{path}");
        }
    }
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_prometheus_takes_samples_over() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up(folder.path()).await;
    let own = stella.tenant("stella");
    let federated = async || {
        let answer =
            own.get(Api::Prometheus, "/federate", &[("match[]", "up"), ("match[]", "nothing")]).await;
        answer.text().contains("# TYPE up untyped\nup{").then_some(answer)
    };
    let answer = eventually("samples to take over", federated).await;
    assert_eq!(
        answer.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
    );
    let wrong = own.get(Api::Prometheus, "/federate", &[("match[]", "up{")]).await;
    assert_eq!(wrong.status, 400);
    let nobody = own.get(Api::Prometheus, "/federate", &[]).await;
    assert_eq!((nobody.status, nobody.text().as_str()), (200, ""));
    // What is in segments is told once it is there.
    let flushed = own.post_form(Api::Prometheus, "/flush", &[]).await;
    assert_eq!(flushed.status, 204);
    let blocks = own.get(Api::Prometheus, "/api/v1/status/tsdb/blocks", &[]).await.json();
    let block = &blocks["data"]["blocks"][0];
    assert_eq!(block["ulid"].as_str().unwrap().len(), 26);
    assert!(block["stats"]["numSamples"].as_u64().unwrap() > 0, "{block}");
    stella.stop().await;
}
