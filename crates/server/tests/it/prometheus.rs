//! Debian's Prometheus scrapes itself and writes into the server for two tenants, which must then answer as
//! Prometheus does; promtool asks it.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

use crate::client::{Api, Client, array, labels, number, texts};
use crate::server::{Process, Stella, eventually, free_port, http_client};
use crate::tools;

/// Seconds of telemetry before answers are compared. All that is compared looks back on the end of them only: how a
/// rate is extended beyond the first sample of a series is told differently by Prometheus 2 and 3.
const WARM_UP_S: f64 = 14.0;
/// Seconds that questions over a range are about.
const RANGE_S: f64 = 6.0;

/// A proxy that names the tenant of what passes through it; its address. Debian's build of Prometheus 2.42 reads the
/// `headers` of a remote write and does not send them.
async fn proxy(client: Client, path: &'static str) -> String {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let client = Arc::new(client);
    let pass = async move |headers: http::HeaderMap, body: bytes::Bytes| {
        let kept = ["content-type", "content-encoding", "x-prometheus-remote-write-version"];
        let kept: Vec<(&str, &str)> =
            kept.iter().filter_map(|name| Some((*name, headers.get(*name)?.to_str().ok()?))).collect();
        let answer = client.post(Api::Prometheus, path, &kept, body.to_vec()).await.unwrap();
        (http::StatusCode::from_u16(answer.status).unwrap(), answer.body)
    };
    let router = axum::Router::new().route(path, axum::routing::post(pass));
    tokio::spawn(async move { axum::serve(socket, router).await });
    format!("http://{address}{path}")
}

/// A Prometheus.
pub(crate) struct Prometheus {
    _process: Process,
    address: String,
    http: reqwest::Client,
}

impl Prometheus {
    /// One that scrapes itself every second and writes all of it to each of the addresses.
    async fn start(folder: &Path, write_urls: [&str; 2]) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let queue = "queue_config: { max_shards: 1, batch_send_deadline: 200ms }";
        let writes = write_urls.map(|url| format!("  - url: {url}\n    {queue}\n")).concat();
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 900ms }}\n\
             scrape_configs:\n  - job_name: self\n    static_configs:\n      - targets: ['{address}']\n\
             remote_write:\n{writes}"
        );
        Self::run(folder, address, &config, &[]).await
    }

    /// One that scrapes nothing and takes remote writes.
    pub(crate) async fn receiver(folder: &Path) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        Self::run(folder, address, "global: {}\n", &["--web.enable-remote-write-receiver"]).await
    }

    async fn run(folder: &Path, address: String, config: &str, flags: &[&str]) -> Self {
        std::fs::write(folder.join("prometheus.yaml"), config).unwrap();
        let mut command: Command = tools::prometheus();
        command
            .arg(format!("--config.file={}", folder.join("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .args(flags);
        let mut process = Process::start("prometheus", &mut command);
        let http = http_client();
        let ready = format!("http://{address}/-/ready");
        wait_until_ready(&mut process, &http, &ready).await;
        Self { _process: process, address, http }
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str, parameters: &[(&str, String)]) -> Value {
        let request = self.http.get(self.url(path)).query(parameters);
        serde_json::from_slice(&request.send().await.unwrap().bytes().await.unwrap()).unwrap()
    }
}

/// Waits until the address answers.
async fn wait_until_ready(process: &mut Process, http: &reqwest::Client, url: &str) {
    eventually("Prometheus is ready", async || {
        http.get(url).send().await.ok().filter(|response| response.status().is_success())
    })
    .await;
    assert!(process.exited().is_none(), "somebody else answers on Prometheus' port");
}

/// Queries whose answers are compared.
const QUERIES: [&str; 23] = [
    "up",
    "prometheus_build_info",
    "{job=\"self\", __name__=~\"prometheus_tsdb_head_.*\"}",
    "rate(prometheus_tsdb_head_samples_appended_total[5s])",
    "increase(prometheus_tsdb_head_samples_appended_total[5s])",
    "irate(prometheus_tsdb_head_samples_appended_total[5s])",
    "delta(go_goroutines[5s])",
    "sum by (code) (rate(prometheus_http_requests_total[5s]))",
    "sum without (handler, code) (prometheus_http_requests_total)",
    "avg(go_memstats_alloc_bytes) / 1024",
    "histogram_quantile(0.9, rate(prometheus_http_request_duration_seconds_bucket[5s]))",
    "histogram_quantile(0.5, sum by (le, handler) (rate(prometheus_http_request_duration_seconds_bucket[5s])))",
    "histogram_quantile(0.99, prometheus_http_response_size_bytes_bucket)",
    "max_over_time(go_goroutines[5s])",
    "avg_over_time(go_memstats_alloc_bytes[5s])",
    "count_over_time(up[5s])",
    "count by (job) ({__name__=~\".+\"})",
    "topk(3, scrape_duration_seconds)",
    "prometheus_build_info * on (instance) group_left () up",
    "up offset 3s",
    "prometheus_target_interval_length_seconds{quantile=\"0.99\"} > 0",
    "process_open_fds and on (job) up == 1",
    "-sum(up) + 3 ^ 2",
];

/// A number of the same value, or nearly.
fn is_close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// A vector or matrix as labels and points, sorted by labels.
pub(crate) fn points(result: &Value) -> Vec<(String, Vec<(f64, f64)>)> {
    let point = |value: &Value| (value[0].as_f64().unwrap(), number(&value[1]));
    let mut series: Vec<(String, Vec<(f64, f64)>)> = array(result)
        .iter()
        .map(|series| {
            let values = array(&series["values"]).iter().map(point);
            let value = Some(&series["value"]).filter(|value| !value.is_null()).map(point);
            (format!("{:?}", labels(&series["metric"])), values.chain(value).collect())
        })
        .collect();
    series.sort_by(|a, b| a.0.cmp(&b.0));
    series
}

fn compare(query: &str, theirs: &Value, ours: &Value) {
    assert_eq!(ours["status"], "success", "{query}: {ours}");
    assert_eq!(theirs["data"]["resultType"], ours["data"]["resultType"], "{query}");
    let (theirs, ours) = (points(&theirs["data"]["result"]), points(&ours["data"]["result"]));
    let names = |series: &[(String, Vec<(f64, f64)>)]| series.iter().map(|s| s.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs), "series of {query}");
    assert!(!theirs.is_empty(), "{query} compares nothing");
    for ((name, theirs), (_, ours)) in theirs.iter().zip(&ours) {
        let same = theirs.len() == ours.len()
            && theirs.iter().zip(ours).all(|(a, b)| a.0 == b.0 && is_close(a.1, b.1));
        assert!(same, "{query}: {name}\nPrometheus: {theirs:?}\nStella: {ours:?}");
    }
}

/// Waits until `WARM_UP_S` seconds of samples have arrived, and two more; a moment up to which all have.
async fn compared_time(acme: &Client) -> f64 {
    let first = eventually("Prometheus has written a first sample", async || newest(acme).await).await;
    let wanted = first + WARM_UP_S + 2.0;
    eventually("Prometheus goes on writing", async || newest(acme).await.filter(|now| *now >= wanted)).await;
    // Half-way between two scrapes: whether a range takes in its first moment is told differently by Prometheus 2 and 3.
    first + WARM_UP_S + 0.5
}

/// When the newest sample of `up` was taken.
async fn newest(client: &Client) -> Option<f64> {
    client.vector("timestamp(up{job=\"self\"})").await.first().map(|(_, time)| *time)
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_writes_and_the_answers_are_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up(&folder.path().join("stella")).await;
    let acme = stella.tenant("acme");
    let through_proxy = proxy(acme.clone(), "/api/v1/write").await;
    let directly = acme.url(Api::Prometheus, "/api/v1/write");
    let prometheus = Prometheus::start(folder.path(), [&through_proxy, &directly]).await;
    let time = compared_time(&acme).await;

    for query in QUERIES {
        let parameters = [("query", query.to_owned()), ("time", time.to_string())];
        let theirs = prometheus.get("/api/v1/query", &parameters).await;
        compare(query, &theirs, &ask(&acme, "/api/v1/query", &parameters).await);
        let range = [
            ("query", query.to_owned()),
            ("start", (time - RANGE_S).to_string()),
            ("end", time.to_string()),
            ("step", "2".to_owned()),
        ];
        let theirs = prometheus.get("/api/v1/query_range", &range).await;
        compare(query, &theirs, &ask(&acme, "/api/v1/query_range", &range).await);
    }
    compare_names(&prometheus, &acme, time).await;
    ask_by_promtool(&stella);
    assert!(stella.tenant("globex").vector("up").await.is_empty(), "another tenant");
}

async fn ask(client: &Client, path: &str, parameters: &[(&str, String)]) -> Value {
    let parameters: Vec<(&str, &str)> =
        parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    client.get(Api::Prometheus, path, &parameters).await.json()
}

/// Names, values and series; both have the same, since Prometheus writes all that it has.
async fn compare_names(prometheus: &Prometheus, acme: &Client, time: f64) {
    let range = [("start", (time - 5.0).to_string()), ("end", time.to_string())];
    for path in ["/api/v1/labels", "/api/v1/label/__name__/values", "/api/v1/label/handler/values"] {
        let theirs = prometheus.get(path, &range).await;
        assert_eq!(texts(&ask(acme, path, &range).await["data"]), texts(&theirs["data"]), "{path}");
    }
    let [start, end] = range;
    // The questions of this test make series of their own, which a slow machine scrapes before they are compared.
    let matched = ("match[]", "{job=\"self\", le=\"+Inf\", handler!~\"/api/.*\"}".to_owned());
    let parameters = [start, end, matched];
    let theirs = prometheus.get("/api/v1/series", &parameters).await;
    let ours = ask(acme, "/api/v1/series", &parameters).await;
    let sorted = |answer: &Value| {
        let mut series: Vec<_> = array(&answer["data"]).iter().map(labels).collect();
        series.sort();
        series
    };
    assert_eq!(sorted(&ours), sorted(&theirs));
    assert!(!sorted(&ours).is_empty());
}

/// promtool names no tenant, so it asks for the default one's.
fn ask_by_promtool(stella: &Stella) {
    let url = format!("http://{}", stella.address("prometheus").unwrap());
    let url = url.as_str();
    let up = tools::promtool(&["query", "instant", url, "up"]);
    assert!(up.starts_with("up{") && up.contains("job=\"self\"") && up.contains("=> 1 @["), "{up}");
    let sum = tools::promtool(&["query", "instant", "--format=json", url, "sum(up)"]);
    let sum: Value = serde_json::from_str(&sum).unwrap();
    assert_eq!(sum[0]["value"][1], "1", "{sum}");
    let range =
        tools::promtool(&["query", "range", "--step=2s", url, "rate(prometheus_http_requests_total[5s])"]);
    assert!(range.contains("handler=\"/metrics\""), "{range}");
    let labels = tools::promtool(&["query", "labels", url, "job"]);
    assert_eq!(labels.trim(), "self");
    let series = tools::promtool(&["query", "series", "--match=up", url]);
    assert!(series.contains("__name__=\"up\"") && series.contains("job=\"self\""), "{series}");
}
