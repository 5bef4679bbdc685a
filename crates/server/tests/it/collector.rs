//! The collector's ports beside OTLP: what a deployment's checklist asks of them, and Debian's Prometheus, which scrapes
//! with a client certificate and a token.

use crate::authority::{Deployment, succeed};
use crate::server::{Process, eventually, free_port, http_client};
use crate::tls::{certificates, client};
use crate::tools;

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_scrapes_with_certificate_and_token() {
    let deployment = Deployment::new().await;
    let folder = deployment.folder.path();
    let own = certificates(&folder.join("stella-data"));
    succeed(
        folder,
        "stella authority client create observability-prometheus --scopes obs:read --audience observability \
         --description 'Prometheus collector scrape'\n\
         stella authority token issue observability-prometheus --ttl 30d > prometheus-stage.token",
    );
    // As the checklist has it: with the certificate, without a token and without a path.
    let curl = format!(
        "curl -sk --fail --cert {0}/client.crt --key {0}/client.key {1}",
        own.display(),
        deployment.url("scrape", "")
    );
    assert!(succeed(folder, &curl).contains("/metrics"));
    let bare = client(&own, None);
    for (listener, path) in [("scrape", "/"), ("scrape", "/metrics"), ("health", "/"), ("debug", "/")] {
        let refused = bare.get(deployment.url(listener, path)).send().await;
        assert!(refused.is_err(), "{listener} asks for a client certificate");
    }
    let health: serde_json::Value = deployment.ask("health", "/", None, None).await.json().await.unwrap();
    assert_eq!(health["status"], "Server available");
    let threads = deployment.ask("debug", "/debug/threads", None, None).await.text().await.unwrap();
    assert!(threads.contains("stella-door"), "{threads}");
    let token = std::fs::read_to_string(folder.join("prometheus-stage.token")).unwrap();
    eventually("the server knows the client", async || {
        let answer = deployment.ask("scrape", "/metrics", Some(token.trim()), None).await;
        (answer.status() == 200).then_some(())
    })
    .await;
    let answer = deployment.ask("debug", "/debug/threads", Some(token.trim()), None).await;
    assert_eq!(answer.status(), 403, "the token scrapes, and does nothing else");

    let (port, offset) = (free_port(), deployment.stella.port_offset());
    let config = format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 900ms }}\n\
         scrape_configs:\n  - job_name: collector\n    scheme: https\n    authorization:\n      credentials_file: \
         {token}\n    tls_config: {{ ca_file: {tls}/collector-ca.crt, cert_file: {tls}/client.crt, key_file: \
         {tls}/client.key }}\n    static_configs: [{{ targets: ['localhost:{scrape}'] }}]\n",
        token = folder.join("prometheus-stage.token").display(),
        tls = own.display(),
        scrape = 9464 + offset,
    );
    std::fs::write(folder.join("prometheus.yaml"), config).unwrap();
    let mut command = tools::prometheus();
    command
        .arg(format!("--config.file={}", folder.join("prometheus.yaml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--log.level=warn");
    let _process = Process::start("prometheus", &mut command);
    let http = http_client();
    let scraped = async |query: &str| {
        let url = format!("http://127.0.0.1:{port}/api/v1/query");
        let answer = http.get(url).query(&[("query", query)]).send().await.ok()?;
        let answer: serde_json::Value = answer.json().await.ok()?;
        answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
    };
    eventually("the scrape succeeds", async || {
        scraped("up{job=\"collector\"}").await.filter(|value| value == "1")
    })
    .await;
    assert!(scraped("{__name__=~\"otelcol_receiver_accepted_.+\"}").await.is_some());
    assert_eq!(scraped("count({tenant!=\"\"})").await, None, "the token is of no tenant, and sees none");
    deployment.stella.stop().await;
}
