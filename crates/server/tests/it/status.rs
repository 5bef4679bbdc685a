//! What a tenant and an operator see on `/api/status`, and of the same figures in the metrics.

use serde_json::{Value, json};

use crate::authority::{Deployment, succeed};
use crate::client::{Api, Client};
use crate::server::{Stella, eventually};
use crate::telemetry::{now_ns, post_json};

async fn push(client: &Client, at_ns: i64, lines: &[&str]) -> u16 {
    let values: Vec<Value> = lines.iter().map(|line| json!([at_ns.to_string(), line])).collect();
    let body = json!({"streams": [{"stream": {"app": "shop"}, "values": values}]});
    post_json(client, Api::Loki, "/loki/api/v1/push", &body).await.unwrap().status
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_of_a_tenant_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let tenants = folder.path().join("data/tenants");
    std::fs::create_dir_all(&tenants).unwrap();
    let overrides = "overrides:\n  acme:\n    retention_period: 48h\n    max_global_streams_per_user: 10\n";
    std::fs::write(tenants.join("loki-overrides.yaml"), overrides).unwrap();
    let stella = Stella::serve(folder.path(), "own_telemetry: false\n", &[]).await;
    let (acme, other) = (stella.tenant("acme"), stella.tenant("other"));
    assert_eq!(push(&acme, now_ns(), &["one", "two", "three"]).await, 204);
    assert_eq!(push(&acme, now_ns() - 60 * 86_400_000_000_000, &["ancient"]).await, 400);
    acme.lines("{app=\"shop\"}").await;
    assert_eq!(push(&other, now_ns(), &["x"]).await, 204);

    let status = async |client: &Client, api, path| client.get(api, path, &[]).await.json();
    let told = status(&acme, Api::Loki, "/api/status").await;
    assert_eq!((&told["service"], &told["tenants"].as_array().unwrap().len()), (&"loki".into(), &1));
    let tenant = &told["tenants"][0];
    assert_eq!(tenant["id"], "acme");
    for moment in ["first_write", "last_write", "last_query"] {
        assert!(tenant[moment].as_str().unwrap().starts_with("20"), "{moment}: {tenant}");
    }
    assert_eq!((&tenant["ingest"]["items_1h"], &tenant["ingest"]["items_24h"]), (&3.into(), &3.into()));
    assert!(tenant["ingest"]["bytes_1h"].as_u64().unwrap() > 0, "{tenant}");
    assert_eq!(tenant["ingest"]["rejected_1h"], json!({"greater_than_max_sample_age": 1}), "{tenant}");
    assert_eq!(tenant["active_streams"], 1);
    assert_eq!(tenant["headroom"]["active_streams"], json!({"limit": 10, "used": 1, "left": 9}), "{tenant}");
    assert_eq!(tenant["retention"]["period_s"], 48 * 3_600);
    assert!(tenant["retention"]["source"].as_str().unwrap().ends_with("loki-overrides.yaml:3"), "{tenant}");
    assert!(
        tenant["limits"].as_array().unwrap().iter().any(|limit| limit["source"] == "default"),
        "{tenant}"
    );

    assert_eq!(stella.anonymous().post(Api::Loki, "/flush", &[], Vec::new()).await.unwrap().status, 204);
    let told = status(&acme, Api::Loki, "/api/status").await;
    assert!(told["tenants"][0]["storage"]["bytes"].as_u64().unwrap() > 0, "{told}");
    assert!(told["tenants"][0]["storage"]["oldest"].is_string(), "{told}");
    for (api, service) in [(Api::Prometheus, "prometheus"), (Api::Tempo, "tempo")] {
        let told = status(&acme, api, "/api/status").await;
        assert_eq!(
            (&told["service"], &told["tenants"][0]["ingest"]["items_1h"]),
            (&service.into(), &0.into())
        );
    }

    // Who names nobody and is believed operates all; several are asked for by name.
    let all = status(&stella.anonymous(), Api::Loki, "/api/status").await;
    let names: Vec<_> = all["tenants"].as_array().unwrap().iter().map(|tenant| &tenant["id"]).collect();
    assert_eq!(names, ["acme", "other", "stella"], "{all}");
    let first = status(&stella.anonymous(), Api::Loki, "/api/status?limit=1").await;
    assert_eq!((&first["tenants"][0]["id"], &first["next"]), (&"acme".into(), &"acme".into()));
    let second = status(&stella.anonymous(), Api::Loki, "/api/status?limit=1&after=acme").await;
    assert_eq!((&second["tenants"][0]["id"], &second["next"]), (&"other".into(), &"other".into()));
    let third = status(&stella.anonymous(), Api::Loki, "/api/status?limit=1&after=other").await;
    assert_eq!((&third["tenants"][0]["id"], &third["next"]), (&"stella".into(), &Value::Null));
    let both = status(&stella.tenant("acme|other"), Api::Loki, "/api/status").await;
    assert_eq!(both["tenants"].as_array().unwrap().len(), 2, "{both}");

    let metrics = stella.anonymous().get(Api::Loki, "/metrics", &[]).await.text();
    for name in
        ["stored_bytes", "last_write_timestamp_seconds", "ingested_items_last_hour", "retention_seconds"]
    {
        let line = format!("stella_tenant_{name}{{tenant=\"acme\",signal=\"logs\"}} ");
        let value = metrics.lines().find_map(|text| text.strip_prefix(&line));
        assert!(value.is_some_and(|value| value.parse::<f64>().unwrap() > 0.0), "{line}: {metrics}");
    }
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_sees_its_own_tenant_and_an_operator_its_own_ones() {
    let deployment = Deployment::new().await;
    let folder = deployment.folder.path();
    let create = |name: &str, flags: &str| {
        succeed(folder, &format!("stella authority client create {name} --audience observability {flags}"));
        succeed(folder, &format!("stella authority token issue {name} --ttl 1h")).trim().to_owned()
    };
    let acme = create("acme", "--scopes obs:logs,obs:read --tenant acme");
    let globex = create("globex", "--scopes obs:logs,obs:read --tenant globex");
    let operator = create("op", "--scopes obs:admin --tenant acme --allowed-tenants acme,initech");
    let line = json!({"streams": [{"stream": {"app": "x"}, "values": [[now_ns().to_string(), "hello"]]}]});
    for token in [&acme, &globex] {
        eventually("the server knows the client", async || {
            let push = deployment.http.post(deployment.url("loki", "/loki/api/v1/push")).json(&line);
            (deployment.send(push, Some(token), None).await.status() == 204).then_some(())
        })
        .await;
    }
    let tenants = async |token: &str, tenant: Option<&str>| -> Option<Vec<String>> {
        let answer = deployment.ask("loki", "/api/status", Some(token), tenant).await;
        let told: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).ok()?;
        let tenants = told["tenants"].as_array()?;
        Some(tenants.iter().map(|tenant| tenant["id"].as_str().unwrap().to_owned()).collect())
    };
    assert_eq!(tenants(&acme, None).await.unwrap(), ["acme"]);
    assert_eq!(tenants(&globex, None).await.unwrap(), ["globex"]);
    assert_eq!(tenants(&acme, Some("globex")).await, None);
    assert_eq!(tenants(&acme, Some("acme|globex")).await, None);
    let operated = eventually("the server knows the operator", async || tenants(&operator, None).await).await;
    assert_eq!(operated, ["acme"], "globex is not one of its own, and initech has never written");
    assert_eq!(tenants(&operator, Some("globex")).await, None);

    // Metrics tell of other tenants nothing either.
    let metrics = deployment.ask("prometheus", "/metrics", Some(&acme), None).await.text().await.unwrap();
    assert!(metrics.contains("tenant=\"acme\"") && !metrics.contains("globex"), "{metrics}");
    deployment.stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_go_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let figures = async |stella: &Stella| {
        let told = stella.tenant("acme").get(Api::Loki, "/api/status", &[]).await.json();
        let tenant = told["tenants"][0].clone();
        let since = told["counted_since"].clone();
        (
            since,
            ["first_write", "last_write", "last_query"].map(|name| tenant[name].clone()),
            tenant["ingest"].clone(),
        )
    };
    let stella = Stella::serve(folder.path(), "own_telemetry: false\n", &[]).await;
    let acme = stella.tenant("acme");
    assert_eq!(push(&acme, now_ns(), &["one", "two"]).await, 204);
    assert_eq!(push(&acme, now_ns() - 60 * 86_400_000_000_000, &["ancient"]).await, 400);
    acme.lines("{app=\"shop\"}").await;
    let before = figures(&stella).await;
    stella.stop().await;
    let stella = Stella::serve(folder.path(), "own_telemetry: false\n", &[]).await;
    assert_eq!(figures(&stella).await, before);
    assert_eq!(push(&stella.tenant("acme"), now_ns(), &["three"]).await, 204);
    let (_, moments, ingest) = figures(&stella).await;
    assert_eq!((&ingest["items_1h"], &moments[0]), (&3.into(), &before.1[0]));
    assert_ne!(moments[1], before.1[1]);
    stella.stop().await;
}
