//! What is told of who did what: refusals, tokens and clients become lines of the server's own tenant, which one scope reads
//! and nobody writes.

use serde_json::Value;

use crate::authority::{Deployment, succeed};
use crate::client::Api;
use crate::server::{Stella, eventually};
use crate::telemetry::{now_ns, post_json};

/// A query for lines, as a path.
fn lines(query: &str) -> String {
    let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
    format!("/loki/api/v1/query_range?limit=1000&query={query}")
}

/// The events that a query finds, the newest first.
fn events(answer: &Value) -> Vec<Value> {
    let streams = answer["data"]["result"].as_array().unwrap();
    let values = streams.iter().flat_map(|stream| stream["values"].as_array().unwrap());
    values.map(|value| serde_json::from_str(value[1].as_str().unwrap()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_and_refused_is_read_with_one_scope() {
    let deployment = Deployment::new().await;
    let folder = deployment.folder.path();
    let create = |name: &str, scopes: &str| {
        let flags =
            format!("--scopes {scopes} --audience observability --tenant acme --allowed-tenants acme,stella");
        succeed(folder, &format!("stella authority client create {name} {flags}"));
        succeed(folder, &format!("stella authority token issue {name} --ttl 1h")).trim().to_owned()
    };
    let (reader, logs) = (create("auditor", "timeline:read"), create("logs", "obs:logs"));
    let ask = async |token: &str, tenant: &str, query: &str| {
        let answer = deployment.ask("loki", &lines(query), Some(token), Some(tenant)).await;
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let found = async |query: &str| {
        let (status, body) = ask(&reader, "stella", query).await;
        if status != 200 { Vec::new() } else { events(&serde_json::from_str(&body).unwrap()) }
    };

    // What commands did beside the server.
    let created = "{service_name=\"stella-audit\", action=\"client.created\"} | subject=\"logs\"";
    let created = eventually("the client that was made", async || found(created).await.pop()).await;
    assert_eq!((&created["tenant"], &created["scopes"]), (&"acme".into(), &"obs:logs".into()));
    assert!(created["actor"].as_str().unwrap().starts_with("command:"), "{created}");
    let issued = "{service_name=\"stella-audit\", action=\"token.issued\"} | client=\"logs\"";
    eventually("the token that was issued", async || found(issued).await.pop()).await;
    assert!(!created.to_string().contains("secret"), "{created}");

    // What the server refused: once in a line of its own, however often.
    for _ in 0..20 {
        assert_eq!(ask(&logs, "globex", "{app=\"x\"}").await.0, 403);
    }
    let refused =
        "{service_name=\"stella-audit\", action=\"request.refused\"} | code=\"ERR_TENANT_MISMATCH\"";
    let refused =
        eventually("the refusal", async || Some(found(refused).await).filter(|found| !found.is_empty()))
            .await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    let [event] = refused.as_slice() else { unreachable!() };
    assert_eq!((&event["actor"], &event["tenant"]), (&"logs".into(), &"globex".into()));
    assert_eq!((&event["source"], &event["listener"]), (&"127.0.0.1".into(), &"loki".into()));

    // A connection without a certificate, and a token that nobody issued.
    let bare = crate::tls::client(&crate::tls::certificates(&folder.join("stella-data")), None);
    assert!(bare.get(deployment.url("loki", "/ready")).send().await.is_err());
    let form = [("grant_type", "client_credentials"), ("client_id", "logs"), ("client_secret", "guess")];
    let answer =
        deployment.http.post(deployment.url("authority", "/token")).form(&form).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    for action in ["connection.refused", "token.refused"] {
        let query = format!("{{service_name=\"stella-audit\", action=\"{action}\"}}");
        eventually(action, async || found(&query).await.pop()).await;
    }

    // Who may read it, and who may not.
    let all = "{service_name=~\".+\"}";
    assert_eq!(ask(&logs, "stella", all).await.0, 403, "logs are not events");
    assert_eq!(ask(&reader, "acme", all).await.0, 403, "events are not logs");
    let line = serde_json::json!({"streams": [{"stream": {"app": "x"}, "values": [[now_ns().to_string(), "forged"]]}]});
    let push = deployment.http.post(deployment.url("loki", "/loki/api/v1/push")).json(&line);
    assert_eq!(
        deployment.send(push, None, Some("stella")).await.status(),
        403,
        "not even an operator writes there"
    );
    let metrics = deployment.ask("prometheus", "/metrics", None, None).await.text().await.unwrap();
    let counted = metrics
        .lines()
        .find(|line| line.starts_with("stella_audit_events_total{action=\"request.refused\"}"));
    let counted: u64 = counted.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(counted >= 22, "all are counted: {counted}");
    refusals_leave_nothing_else(&deployment, &reader).await;
    deployment.stella.stop().await;
}

/// Refusals leave no lines and no spans besides their events: nobody fills the disk by being refused.
async fn refusals_leave_nothing_else(deployment: &Deployment, reader: &str) {
    let spans = async |status: u16| {
        let query = format!(
            "{{ name = \"GET /loki/api/v1/query_range\" && span.http.response.status_code = {status} }}"
        );
        let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let path = format!("/api/search?limit=100&q={query}");
        let answer = deployment.ask("tempo", &path, None, Some("stella")).await;
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        answer["traces"].as_array().map_or(0, Vec::len)
    };
    eventually("answers leave spans", async || (spans(200).await > 0).then_some(())).await;
    assert_eq!(spans(403).await, 0);
    let query = lines("{service_name=\"stella\"} |= \"request refused\"");
    let said = deployment.ask("loki", &query, Some(reader), Some("stella")).await.text().await.unwrap();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["data"]["result"].as_array().map(Vec::len), Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_refusals_are_summarised_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::serve(folder.path(), "own_telemetry: false\n", &[]).await;
    let own = stella.tenant("stella");
    let body = serde_json::json!({"streams": []});
    for _ in 0..30 {
        assert_eq!(post_json(&own, Api::Loki, "/loki/api/v1/push", &body).await.unwrap().status, 403);
    }
    stella.stop().await;
    let stella = Stella::serve(folder.path(), "own_telemetry: false\n", &[]).await;
    let own = stella.tenant("stella");
    let told = own.lines("{service_name=\"stella-audit\", action=\"request.refused\"}").await;
    let events = told.iter().map(|line| serde_json::from_str::<Value>(&line.line).unwrap());
    // The first of a minute is told as it is, the others in one line at the minute's or the server's end.
    let counted: u64 = events.map(|event| event["repeated"].as_u64().unwrap_or(1)).sum();
    assert_eq!(counted, 30, "{told:?}");
    assert!(told.len() <= 4, "{told:?}");
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_how_long_telemetry_is_kept_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::serve(folder.path(), "own_telemetry: false\n", &[]).await;
    let (acme, own) = (stella.tenant("acme"), stella.tenant("stella"));
    for path in
        ["/telemetry/retention/run", "/telemetry/retention/run/all", "/api/v1/admin/tsdb/clean_tombstones"]
    {
        let answer = acme.post(Api::Prometheus, path, &[], Vec::new()).await.unwrap();
        assert!(answer.status < 300, "{path}: {}", answer.text());
    }
    let tenants = folder.path().join("data/tenants");
    std::fs::create_dir_all(&tenants).unwrap();
    let text = "overrides:\n  acme:\n    retention_period: 48h\n";
    std::fs::write(tenants.join("loki-overrides.yaml"), text).unwrap();
    for (action, subject, tenant) in [
        ("retention.run", "acme", "acme"),
        ("retention.run", "*", ""),
        ("tombstones.cleaned", "metrics", "acme"),
        ("overrides.changed", "loki-overrides.yaml", "acme"),
    ] {
        let query = format!("{{service_name=\"stella-audit\", action=\"{action}\"}}");
        let event = eventually(action, async || {
            let told = own.lines(&query).await;
            let mut events = told.iter().map(|line| serde_json::from_str::<Value>(&line.line).unwrap());
            events.find(|event| event["subject"] == subject)
        })
        .await;
        assert_eq!(event["tenant"].as_str().unwrap_or_default(), tenant, "{event}");
    }
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_in_the_audit_though_the_server_is_killed_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let changes: [(&str, Api, &str, Value); 4] = [
        (
            "hold.placed",
            Api::Prometheus,
            "/telemetry/retention/holds",
            serde_json::json!({"reason": "case 7"}),
        ),
        (
            "incident.started",
            Api::Loki,
            "/telemetry/incidents/mode",
            serde_json::json!({"enabled": true, "reason": "x"}),
        ),
        ("delete.requested", Api::Loki, "/loki/api/v1/delete?query=%7Ba%3D%22b%22%7D&start=1", Value::Null),
        ("retention.run", Api::Tempo, "/telemetry/retention/run", Value::Null),
    ];
    for (action, api, path, body) in changes {
        let stella = Stella::serve(folder.path(), "own_telemetry: false\n", &[]).await;
        let answer = post_json(&stella.tenant("acme"), api, path, &body).await.unwrap();
        assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.text());
        stella.kill();
        let stella = Stella::serve(folder.path(), "own_telemetry: false\n", &[]).await;
        let query = format!("{{service_name=\"stella-audit\", action=\"{action}\"}}");
        // The log is replayed while the server answers.
        eventually(action, async || {
            let told = stella.tenant("stella").lines(&query).await;
            (told.len() == 1).then_some(())
        })
        .await;
        stella.kill();
    }
}
