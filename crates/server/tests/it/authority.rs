//! Who may do what, from the outside: the commands that a deployment begins with, and its tokens at every port.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use reqwest::{Client, Method, Response};
use serde_json::Value;

use crate::server::{Stella, binary, eventually};
use crate::telemetry::now_ns;
use crate::tls::{certificates, client, text};

/// The commands of a deployment, word for word.
const DEPLOYMENT: &str = r#"
stella authority client create observability-prometheus \
  --scopes obs:read \
  --audience observability --description "Prometheus collector scrape"
stella authority client create observability-loki \
  --scopes obs:logs timeline:read \
  --audience observability --description "Loki ingestion"
stella authority client create observability-tempo \
  --scopes obs:traces \
  --audience observability --description "Tempo ingestion"
stella authority token issue observability-prometheus --ttl 30d > prometheus-stage.token
"#;

/// Runs a script where `stella` is the binary under test and the folder is the working directory.
fn shell(folder: &Path, script: &str) -> Output {
    let own = binary();
    let programs = Path::new(own.get_program()).parent().unwrap().to_owned();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    command.arg("-ec").arg(script).current_dir(folder).env("PATH", path);
    for (name, _) in own.get_envs() {
        command.env_remove(name);
    }
    command.output().unwrap()
}

pub(crate) fn succeed(folder: &Path, script: &str) -> String {
    let output = shell(folder, script);
    assert!(output.status.success(), "{script}: {}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn refused(folder: &Path, script: &str, word: &str) {
    let output = shell(folder, script);
    assert!(!output.status.success() && text(&output).contains(word), "{script}: {}", text(&output));
}

/// A server with certificates in a folder, where commands find its data.
pub(crate) struct Deployment {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) stella: Stella,
    /// Shows the certificate that connects to every port.
    pub(crate) http: Client,
}

impl Deployment {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("stella-data");
        std::fs::create_dir(&data).unwrap();
        let stella = Stella::up_secured(&data).await;
        let own = certificates(&data);
        let http = client(&own, Some(&own));
        Self { folder, stella, http }
    }

    pub(crate) fn url(&self, listener: &str, path: &str) -> String {
        format!("https://localhost:{}{path}", self.stella.address(listener).unwrap().port())
    }

    pub(crate) async fn ask(
        &self,
        listener: &str,
        path: &str,
        token: Option<&str>,
        tenant: Option<&str>,
    ) -> Response {
        self.send(self.http.request(Method::GET, self.url(listener, path)), token, tenant).await
    }

    pub(crate) async fn send(
        &self,
        mut request: reqwest::RequestBuilder,
        token: Option<&str>,
        tenant: Option<&str>,
    ) -> Response {
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(tenant) = tenant {
            request = request.header("X-StellaOps-Tenant", tenant);
        }
        request.send().await.unwrap()
    }

    /// The gRPC status of an empty export.
    async fn export(&self, service: &str, token: &str) -> String {
        let path = format!("/opentelemetry.proto.collector.{service}/Export");
        let request = self.http.post(self.url("otlp_grpc", &path)).header("content-type", "application/grpc");
        let request = request.header("te", "trailers").body(vec![0_u8; 5]);
        let response = self.send(request, Some(token), None).await;
        let status = response.headers().get("grpc-status");
        status.map_or_else(|| "0".to_owned(), |status| status.to_str().unwrap().to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_a_deployment_run_as_they_are_written() {
    let deployment = Deployment::new().await;
    let folder = deployment.folder.path();
    let said = succeed(folder, DEPLOYMENT);
    assert_eq!(said.matches("client_secret=").count(), 3, "{said}");
    let token = std::fs::read_to_string(folder.join("prometheus-stage.token")).unwrap();
    assert_eq!((token.trim().split('.').count(), token.lines().count()), (3, 1), "the token alone: {token}");
    let list = succeed(folder, "stella authority client list");
    assert!(list.contains("observability-tempo") && list.contains("obs:logs timeline:read"), "{list}");
    let claims: Value =
        serde_json::from_str(&succeed(folder, "stella authority token inspect @prometheus-stage.token"))
            .unwrap();
    assert_eq!((&claims["scope"], &claims["token_use"]), (&"obs:read".into(), &"service".into()));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 30 * 86_400);

    // The server, which was there before, takes the token; it scrapes, and acts for no tenant.
    let token = token.trim();
    eventually("the server knows the client", async || {
        (deployment.ask("prometheus", "/metrics", Some(token), None).await.status() == 200).then_some(())
    })
    .await;
    let none = client(&certificates(&folder.join("stella-data")), None);
    let bare = none.get(deployment.url("prometheus", "/metrics")).send().await.unwrap();
    assert_eq!(bare.status(), 401, "neither a token nor a certificate");
    assert_eq!(bare.headers()["www-authenticate"], "Bearer realm=\"stella\"");
    let without = none.get(deployment.url("prometheus", "/metrics")).bearer_auth(token).send().await.unwrap();
    assert_eq!(without.status(), 200, "the token is enough where no certificate is required");
    let query = deployment.ask("prometheus", "/api/v1/query?query=up", Some(token), None).await;
    assert_eq!(query.status(), 401);
    assert!(query.headers().contains_key("www-authenticate"));
    let said: Value = serde_json::from_str(&query.text().await.unwrap()).unwrap();
    assert!(said["error"].as_str().unwrap().starts_with("TENANT_REQUIRED"), "{said}");

    succeed(folder, "stella authority token revoke @prometheus-stage.token");
    eventually("the token is refused", async || {
        (deployment.ask("prometheus", "/metrics", Some(token), None).await.status() == 401).then_some(())
    })
    .await;
    refused(folder, "stella authority token inspect @prometheus-stage.token", "revoked");
    refused(
        folder,
        "stella authority client create observability-loki --scopes a --audience b",
        "client update",
    );
    refused(folder, "stella authority token issue observability-loki --ttl 400d", "--max-token-life");
    refused(folder, "stella authority token issue nobody --ttl 1d", "client list");
    deployment.stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_its_own_tenant_and_doors_alone() {
    let deployment = Deployment::new().await;
    let folder = deployment.folder.path();
    let create = |name: &str, tenant: &str, scopes: &str| {
        let flags = format!("--scopes {scopes} --audience observability --tenant {tenant}");
        succeed(folder, &format!("stella authority client create {name} {flags}"));
        let token = succeed(
            folder,
            &format!(
                "stella auth token mint --service-account {name} --expires-in 3600 --reason case-7 --raw"
            ),
        );
        token.trim().to_owned()
    };
    let (acme, globex) = (create("a", "acme", "obs:logs"), create("g", "globex", "obs:logs,obs:read"));
    let line = serde_json::json!({"streams": [{"stream": {"app": "x"}, "values": [[now_ns().to_string(), "hello"]]}]});
    let push = |token: String, tenant: Option<&'static str>| {
        let request = deployment.http.post(deployment.url("loki", "/loki/api/v1/push")).json(&line);
        let deployment = &deployment;
        async move { deployment.send(request, Some(&token), tenant).await.status().as_u16() }
    };
    eventually("the server knows the clients", async || {
        (push(acme.clone(), None).await == 204).then_some(())
    })
    .await;
    assert_eq!(push(acme.clone(), Some("acme")).await, 204);
    assert_eq!(push(acme.clone(), Some("globex")).await, 403, "a header grants nothing");

    let labels = "/loki/api/v1/labels";
    let own = deployment.ask("loki", labels, Some(&acme), None).await.text().await.unwrap();
    let other = deployment.ask("loki", labels, Some(&globex), None).await.text().await.unwrap();
    assert!(own.contains("app") && !other.contains("app"), "{own} {other}");
    for tenant in ["acme", "default", "stella"] {
        let answer = deployment.ask("loki", labels, Some(&globex), Some(tenant)).await;
        assert_eq!(answer.status(), 403);
        assert!(answer.text().await.unwrap().starts_with("ERR_TENANT_MISMATCH"));
    }
    for (listener, path, shape) in [
        (
            "prometheus",
            "/api/v1/query?query=up",
            "\"errorType\":\"forbidden\",\"error\":\"ERR_SCOPE_MISMATCH",
        ),
        ("prometheus", "/api/v1/status/buildinfo", "\"error\":\"ERR_SCOPE_MISMATCH"),
        ("prometheus", "/metrics", "ERR_SCOPE_MISMATCH"),
        ("tempo", "/api/search?q={}", "ERR_SCOPE_MISMATCH"),
        ("tempo", "/api/status/buildinfo", "ERR_SCOPE_MISMATCH"),
    ] {
        let answer = deployment.ask(listener, path, Some(&acme), None).await;
        let (status, body) = (answer.status(), answer.text().await.unwrap());
        assert!(status == 403 && body.contains(shape), "{path}: {status} {body}");
    }
    assert_eq!(deployment.export("logs.v1.LogsService", &acme).await, "0");
    assert_eq!(deployment.export("trace.v1.TraceService", &acme).await, "7", "permission denied");
    assert_eq!(deployment.export("logs.v1.LogsService", "a.b.c").await, "16", "unauthenticated");
    deployment.stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_does_the_same_over_the_port_of_the_authority() {
    let deployment = Deployment::new().await;
    let folder = deployment.folder.path();
    let flags = "--scopes obs:read --audience observability --tenant acme";
    succeed(folder, &format!("stella authority client create a {flags}"));
    let token = succeed(folder, "stella authority token issue a --ttl 1h");
    let query = async || {
        let answer = deployment.ask("prometheus", "/api/v1/query?query=up", Some(token.trim()), None).await;
        answer.status().as_u16()
    };
    eventually("the server knows the client", async || (query().await == 200).then_some(())).await;
    succeed(folder, "stella authority client create op --scopes authority:admin --audience authority");
    succeed(folder, "stella authority token issue op --ttl 1h > op.token");
    let at = format!(
        "--server {} --ca stella-data/tls/collector-ca.crt --token @op.token",
        deployment.url("authority", "")
    );
    eventually("the server knows the operator", async || {
        let listed = shell(folder, &format!("stella authority client list {at}"));
        (listed.status.success() && text(&listed).contains("acme")).then_some(())
    })
    .await;
    succeed(
        folder,
        &format!("stella authority client create over --scopes obs:read --audience observability {at}"),
    );
    let over = succeed(folder, &format!("stella authority token issue over --ttl 1d {at}"));
    assert_eq!(over.trim().split('.').count(), 3);
    succeed(folder, &format!("stella authority key rotate --algorithm EdDSA {at}"));
    succeed(folder, &format!("stella authority client delete a {at}"));
    assert_eq!(query().await, 401, "the client is gone, and its tokens with it");
    refused(folder, &format!("stella authority client show a {at}"), "client list");
    let shown = succeed(folder, &format!("stella authority client show op {at}"));
    assert!(shown.contains("\"has_secret\": true") && !shown.contains("sha256"), "{shown}");
    refused(folder, &format!("stella authority token revoke nosuchjti {at}"), "neither a token");
    let claims = succeed(folder, &format!("stella authority token inspect @op.token {at}"));
    assert!(claims.contains("authority:admin"), "{claims}");
    // A command that looks makes no Authority, and one from another folder no key.
    refused(folder, "stella authority client list --data-dir nothing", "--server");
    let store = "--data-dir nothing --store stella-data/store";
    refused(folder, &format!("stella authority token issue op --ttl 1h {store}"), "signing keys");
    assert!(!folder.join("nothing/authority").exists());
    let keys = succeed(folder, &format!("stella authority key list {store}"));
    assert_eq!(keys.matches("elsewhere").count(), 2, "{keys}");
    let kid = keys.split_whitespace().find(|word| word.len() == 43).unwrap();
    succeed(folder, &format!("stella authority key retire {kid} {store}"));
    let forged = at.replace("@op.token", "x.y.z");
    refused(folder, &format!("stella authority client list {forged}"), "401");
    deployment.stella.stop().await;
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary();
    command.args(["tenant", "show", "acme"]).current_dir(folder.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The reader goes before the command says anything.
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output));
}
