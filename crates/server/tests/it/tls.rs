//! TLS from the outside: what `stella up` serves without being told anything, who comes in, and exchange while it runs.

use std::path::{Path, PathBuf};
use std::process::Output;

use reqwest::Certificate;

use crate::command::run;
use crate::server::{PATIENCE, Stella, eventually};

/// The folder that `stella up` keeps its certificates in.
pub(crate) fn certificates(data_dir: &Path) -> PathBuf {
    data_dir.join("tls")
}

/// A client that trusts the authority of a folder, and shows a pair of another, or none.
pub(crate) fn client(trusts: &Path, shows: Option<&Path>) -> reqwest::Client {
    security::tls::install_provider();
    let read = |path: PathBuf| std::fs::read(path).unwrap();
    let ca = Certificate::from_pem(&read(trusts.join("collector-ca.crt"))).unwrap();
    let mut builder = reqwest::Client::builder().timeout(PATIENCE).tls_certs_only([ca]);
    if let Some(folder) = shows {
        let pair = [read(folder.join("client.key")), read(folder.join("client.crt"))].concat();
        builder = builder.identity(reqwest::Identity::from_pem(&pair).unwrap());
    }
    builder.build().unwrap()
}

pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn status(client: &reqwest::Client, url: &str) -> Option<u16> {
    Some(client.get(url).send().await.ok()?.status().as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn up_serves_tls_with_certificates_that_it_makes() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let stella = Stella::up_secured(folder.path()).await;
    let own = certificates(folder.path());
    let made = run(&["tls", "dev", "--out", other.path().to_str().unwrap()]);
    assert!(made.status.success() && text(&made).contains("client.crt"), "{}", text(&made));

    let (good, none) = (client(&own, Some(&own)), client(&own, None));
    let foreign = client(&own, Some(other.path()));
    let url =
        |name: &str, path: &str| format!("https://localhost:{}{path}", stella.address(name).unwrap().port());
    let doors = [
        ("prometheus", "/-/ready"),
        ("loki", "/ready"),
        ("tempo", "/ready"),
        ("otlp_http", "/v1/logs"),
        ("otlp_grpc", "/"),
    ];
    for (name, path) in doors {
        let url = url(name, path);
        assert!(status(&good, &url).await.is_some(), "{name}");
        let needs_none = name == "prometheus";
        assert_eq!(status(&none, &url).await.is_some(), needs_none, "{name}: no certificate");
        assert_eq!(status(&foreign, &url).await, None, "{name}: a foreign certificate");
        let plain = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        let answer = plain.get(url.replace("https", "http")).send().await.unwrap();
        assert_eq!(answer.status(), 400);
        assert!(answer.text().await.unwrap().contains("https"), "{name}: says what to do");
    }

    let metrics = good.get(url("loki", "/metrics")).send().await.unwrap().text().await.unwrap();
    let expiry = metrics.lines().find(|line| {
        line.starts_with("tls_certificate_expiry_timestamp_seconds{") && line.contains("CN=stella-loki")
    });
    assert!(expiry.is_some_and(|line| line.contains("listener=\"loki\"")), "{metrics}");

    let at = format!("localhost:{}", stella.address("loki").unwrap().port());
    let file = |name: &str| own.join(name).to_str().unwrap().to_owned();
    let (ca, cert, key) = (file("collector-ca.crt"), file("client.crt"), file("client.key"));
    let shown = run(&["tls", "inspect", &at, "--ca", &ca, "--cert", &cert, "--key", &key]);
    assert!(shown.status.success(), "{}", text(&shown));
    for word in ["CN=stella-loki", "localhost", "days left", "TLSv1_3", "spki:"] {
        assert!(text(&shown).contains(word), "{word}: {}", text(&shown));
    }
    let refused = run(&["tls", "inspect", &at, "--ca", &ca]);
    assert!(!refused.status.success() && text(&refused).contains("CN=stella-loki"), "{}", text(&refused));
    assert!(text(&run(&["tls", "inspect", &cert])).contains("CN=stella-dev-client"));

    let offset = stella.port_offset().to_string();
    let flags = [
        "query",
        "promql",
        "vector(1)",
        "--port-offset",
        &offset,
        "--ca",
        &ca,
        "--cert",
        &cert,
        "--key",
        &key,
    ];
    let answered = run(&flags);
    assert!(answered.status.success(), "{}", text(&answered));
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_exchanged_and_revoked_while_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("certificates");
    let out = dir.to_str().unwrap();
    let make = |flags: &[&str]| {
        let output = run(&[&["tls", "dev", "--out", out][..], flags].concat());
        assert!(output.status.success(), "{}", text(&output));
    };
    make(&["--env", "stage"]);
    std::fs::write(dir.join("deny"), "").unwrap();
    let keys = format!(
        "own_telemetry: false\ntls:\n  cert: {out}/{{service}}-stage.crt\n  key: {out}/{{service}}-stage.key\n  \
         ca: {out}/collector-ca.crt\n  revoked: [{out}/deny]\n  client_auth: {{ prometheus: required, tempo: none }}\n"
    );
    let stella = Stella::serve_secured(folder.path(), &keys).await;
    let url =
        |name: &str, path: &str| format!("https://localhost:{}{path}", stella.address(name).unwrap().port());
    let (loki, old) = (url("loki", "/ready"), client(&dir, Some(&dir)));
    assert_eq!(status(&old, &loki).await, Some(200));
    let none = client(&dir, None);
    assert_eq!(status(&none, &url("prometheus", "/-/ready")).await, None);
    assert_eq!(status(&none, &url("tempo", "/ready")).await, Some(200));

    // A new authority and new pairs: the open connection of the old client goes on, a new one is made with the new.
    make(&["--env", "stage", "--force"]);
    let new = client(&dir, Some(&dir));
    eventually("the new certificates are served", async || {
        assert_eq!(status(&old, &loki).await, Some(200), "a connection that is open stays");
        status(&new, &loki).await.filter(|status| *status == 200)
    })
    .await;

    // The new client is revoked: its open connection is refused, and it makes no other.
    let certificate = security::tls::inspect::file(&dir.join("client.crt")).unwrap().remove(0);
    std::fs::write(dir.join("deny"), format!("serial:{}\n", certificate.serial)).unwrap();
    eventually("the open connection is refused", async || {
        status(&new, &loki).await.filter(|status| *status == 401)
    })
    .await;
    assert_eq!(status(&client(&dir, Some(&dir)), &loki).await, None);
    assert_eq!(status(&old, &loki).await, Some(200), "what is not revoked stays");
    stella.stop().await;
}
