//! `/-/reload` and `/-/quit`, what the status routes show, and experimental words that are enabled.

use reqwest::Method;

use crate::client::Api;
use crate::server::{Stella, http_client};

#[tokio::test(flavor = "multi_thread")]
async fn lifecycle_is_closed_unless_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    let acme = stella.tenant("acme");
    for path in ["/-/reload", "/-/quit"] {
        let answer = acme.post(Api::Prometheus, path, &[], Vec::new()).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (403, "Lifecycle API is not enabled."), "{path}");
        let asked = acme.get(Api::Prometheus, path, &[]).await;
        assert_eq!(
            (asked.status, asked.text().as_str()),
            (405, "Only POST or PUT requests allowed"),
            "{path}"
        );
    }
    let refused = acme.get(Api::Prometheus, "/api/v1/query", &[("query", "start()")]).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_lifecycle_reloads_and_quits() {
    let folder = tempfile::tempdir().unwrap();
    let flags =
        ["--no-own-telemetry", "--enable-lifecycle", "--enable-feature=promql-experimental-functions"];
    let stella = Stella::up_with(folder.path(), &flags).await;
    let acme = stella.tenant("acme");
    assert!(acme.value("vector(step() + 1)").await == 1.0, "experimental words are enabled");
    let flags = acme.get(Api::Prometheus, "/api/v1/status/flags", &[]).await.json();
    assert_eq!(flags["data"]["enable-feature"], "promql-experimental-functions");
    assert_eq!(flags["data"]["web.enable-lifecycle"], "true");
    let config = acme.get(Api::Prometheus, "/api/v1/status/config", &[]).await.json();
    assert!(config["data"]["yaml"].as_str().unwrap().contains("lookback: \"5m\""), "{config}");

    let tenants = folder.path().join("tenants");
    std::fs::create_dir_all(&tenants).unwrap();
    let limits = tenants.join("metrics-overrides.yaml");
    std::fs::write(&limits, "overrides: [broken\n").unwrap();
    let reload = async || acme.post(Api::Prometheus, "/-/reload", &[], Vec::new()).await.unwrap();
    let broken = reload().await;
    assert_eq!(broken.status, 500, "{}", broken.text());
    assert!(broken.text().contains("failed to reload config"), "{}", broken.text());
    std::fs::write(&limits, "overrides: {}\n").unwrap();
    assert_eq!(reload().await.status, 200);

    let url = acme.url(Api::Prometheus, "/-/quit");
    let answer = acme.send(http_client().put(url)).await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "Requesting termination... Goodbye!"));
    stella.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_of_the_port_names_what_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    let acme = stella.tenant("acme");
    let description = acme.get(Api::Prometheus, "/api/v1/openapi.yaml", &[]).await;
    assert_eq!(description.content_type(), "application/yaml; charset=utf-8");
    let (mut path, mut asked) = (String::new(), 0);
    let text = description.text();
    for line in text.lines().skip_while(|line| *line != "paths:").take_while(|line| *line != "components:") {
        if let Some(named) = line.strip_prefix("  \"").and_then(|rest| rest.strip_suffix("\":")) {
            path = named.replace("{name}", "job");
        } else if let Some(method) = line.strip_prefix("    ").and_then(|rest| rest.strip_suffix(':'))
            && !method.starts_with(' ')
        {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let request = http_client().request(method.clone(), acme.url(Api::Prometheus, &path));
            let answer = acme.send(request).await.unwrap();
            assert!(![404, 405].contains(&answer.status), "{method} {path}: {}", answer.text());
            asked += 1;
        }
    }
    assert!(asked > 50, "{asked} {text}");
    stella.stop().await;
}
