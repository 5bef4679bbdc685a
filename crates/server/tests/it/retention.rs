//! What goes before its time, what stays beyond it, and the proof that what is to go goes: through every door.

use std::process::Output;

use model::time::NS_PER_S;
use serde_json::{Value, json};

use crate::client::{Api, Client, array};
use crate::command::run;
use crate::server::{Stella, eventually};
use crate::telemetry::{
    loki_push, now_ms, now_ns, post_json, remote_write, series, span, text_attribute, traces,
};

/// Passes every moment, and nothing waits long.
const QUICK: &str = "own_telemetry: false\n\
    compaction: { interval: 100ms }\n\
    retention: { interval: 100ms, sweep_grace: 5s, delete_cancel_period: 0s }\n";

/// Runs a command against a server for a tenant.
async fn command(stella: &Stella, tenant: &str, arguments: &[&str]) -> Output {
    let offset = stella.port_offset().to_string();
    let all = [arguments, &["--port-offset", &offset, "--tenant", tenant]].concat();
    let all: Vec<String> = all.iter().map(|text| (*text).to_owned()).collect();
    let asked = tokio::task::spawn_blocking(move || run(&all.iter().map(String::as_str).collect::<Vec<_>>()));
    asked.await.unwrap()
}

fn out(output: &Output) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    stdout.into_owned()
}

async fn send_lines(client: &Client, app: &str, lines: &[&str]) {
    let lines: Vec<(i64, String)> =
        (0..).zip(lines).map(|(n, line)| (now_ns() - (60 - n) * NS_PER_S, (*line).to_owned())).collect();
    assert_eq!(loki_push(client, &json!({ "app": app }), &lines).await.unwrap().status, 204);
}

async fn texts(client: &Client, query: &str) -> Vec<String> {
    let mut texts: Vec<String> = client.lines(query).await.into_iter().map(|line| line.line).collect();
    texts.sort();
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn series_are_deleted_as_prometheus_deletes_them() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::serve(folder.path(), QUICK, &[]).await;
    let (acme, globex) = (stella.tenant("acme"), stella.tenant("globex"));
    let now = now_ms();
    let all = |value| {
        [("a", "web"), ("b", "api")].map(|(shelf, job)| {
            series(&[("__name__", "stock"), ("shelf", shelf), ("job", job)], &[(now, value)])
        })
    };
    for client in [&acme, &globex] {
        assert_eq!(remote_write(client, all(1.0).to_vec()).await.unwrap().status, 204);
    }
    let path = "/api/v1/admin/tsdb/delete_series";
    let nothing = acme.ask("POST", Api::Prometheus, path, &[]).await;
    assert_eq!(nothing.status, 400);
    assert!(nothing.text().contains("\"errorType\":\"bad_data\""), "{}", nothing.text());
    let gone = acme.ask("PUT", Api::Prometheus, path, &[("match[]", "stock{shelf=\"a\"}")]).await;
    assert_eq!(gone.status, 204, "{}", gone.text());
    // At once, in every question, and of this tenant alone.
    assert_eq!(acme.vector("stock").await.len(), 1);
    assert_eq!(acme.metric_label_values("shelf").await.into_iter().collect::<Vec<_>>(), ["b"]);
    assert_eq!(
        array(
            &acme.ask("GET", Api::Prometheus, "/api/v1/series", &[("match[]", "stock")]).await.json()["data"]
        )
        .len(),
        1
    );
    let sql = acme
        .ask("GET", Api::Prometheus, "/api/v1/sql", &[("query", "select count(*) as n from metrics")])
        .await;
    assert!(sql.text().contains('1') && !sql.text().contains('2'), "{}", sql.text());
    assert_eq!(globex.vector("stock").await.len(), 2);
    // What is written afterwards stays.
    assert_eq!(remote_write(&acme, all(2.0).to_vec()).await.unwrap().status, 204);
    assert_eq!(acme.vector("stock").await.len(), 2);
    let cleaned = acme.ask("POST", Api::Prometheus, "/api/v1/admin/tsdb/clean_tombstones", &[]).await;
    assert_eq!(cleaned.status, 204);
    assert_eq!(acme.vector("stock").await.len(), 2);
    let snapshot = acme.ask("POST", Api::Prometheus, "/api/v1/admin/tsdb/snapshot", &[]).await;
    assert_eq!(snapshot.status, 400);
    assert!(snapshot.text().contains("never change"), "{}", snapshot.text());
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_deleted_as_loki_deletes_them() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::serve(folder.path(), QUICK, &[]).await;
    let acme = stella.tenant("acme");
    send_lines(&acme, "web", &["paid by card 1234", "paid in cash", "refused card 9"]).await;
    send_lines(&acme, "api", &["card 7"]).await;
    let path = "/loki/api/v1/delete";
    let start = ((now_ms() / 1_000) - 3_600).to_string();
    for (bad, message) in [
        (vec![("start", start.as_str())], "query not set"),
        (vec![("query", "{app=\"web\"}")], "start time not set"),
        (vec![("query", "{app=\"web\"}"), ("start", "soon")], "invalid start time"),
        (vec![("query", "{app=\"web\"} | json"), ("start", &start)], "line filters"),
        (vec![("query", "{app=\"web\"}"), ("start", &start), ("end", "4000000000")], "in the future"),
    ] {
        let answer = acme.ask("POST", Api::Loki, path, &bad).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.text().contains(message), "{}", answer.text());
    }
    let query = "{app=\"web\"} |= \"card\"";
    let added = acme
        .ask("POST", Api::Loki, path, &[("query", query), ("start", &start), ("max_interval", "30m")])
        .await;
    assert_eq!(added.status, 204, "{}", added.text());
    assert_eq!(texts(&acme, "{app=~\".+\"}").await, ["card 7", "paid in cash"]);
    assert_eq!(acme.log_vector("sum(count_over_time({app=\"web\"}[5m]))").await[0].1, 1.0);
    // No segment has them once it is worked off.
    eventually("a deletion that is worked off", async || {
        let listed = acme.ask("GET", Api::Loki, path, &[]).await.json();
        assert_eq!(listed[0]["query"], query);
        (listed[0]["status"] == "processed").then_some(())
    })
    .await;
    assert_eq!(texts(&acme, "{app=~\".+\"}").await, ["card 7", "paid in cash"]);
    assert!(array(&stella.tenant("globex").ask("GET", Api::Loki, path, &[]).await.json()).is_empty());
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mode_of_a_tenant_says_what_becomes_of_deletions() {
    let folder = tempfile::tempdir().unwrap();
    let tenants = folder.path().join("data/tenants");
    std::fs::create_dir_all(&tenants).unwrap();
    let modes = "overrides:\n  acme: { deletion_mode: filter-only }\n  globex: { deletion_mode: disabled }\n";
    std::fs::write(tenants.join("loki-overrides.yaml"), modes).unwrap();
    let stella = Stella::serve(folder.path(), QUICK, &[]).await;
    let (acme, globex) = (stella.tenant("acme"), stella.tenant("globex"));
    let path = "/loki/api/v1/delete";
    let start = ((now_ms() / 1_000) - 3_600).to_string();
    for method in ["POST", "PUT", "GET", "DELETE"] {
        let refused =
            globex.ask(method, Api::Loki, path, &[("query", "{app=\"web\"}"), ("start", &start)]).await;
        assert_eq!(refused.status, 403, "{method}: {}", refused.text());
    }
    send_lines(&acme, "web", &["one", "two"]).await;
    // What a browser calls now, in milliseconds, is no moment in seconds.
    let wrong = acme
        .ask("POST", Api::Loki, path, &[("query", "{app=\"web\"}"), ("start", &now_ms().to_string())])
        .await;
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    let added =
        acme.ask("POST", Api::Loki, path, &[("query", "{app=\"web\"} |= \"one\""), ("start", &start)]).await;
    assert_eq!(added.status, 204);
    assert_eq!(texts(&acme, "{app=\"web\"}").await, ["two"]);
    // A filter, and no more: passes come and go, it can be taken back, and nothing is lost.
    out(&command(&stella, "acme", &["retention", "run"]).await);
    let plan = out(&command(&stella, "acme", &["retention", "plan"]).await);
    assert!(plan.contains("filter-only"), "{plan}");
    let listed = acme.ask("GET", Api::Loki, path, &[]).await.json();
    assert_eq!(listed[0]["status"], "received");
    let id = listed[0]["request_id"].as_str().unwrap();
    assert_eq!(acme.ask("DELETE", Api::Loki, path, &[("request_id", id)]).await.status, 204);
    assert_eq!(texts(&acme, "{app=\"web\"}").await, ["one", "two"]);
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_taken_back_while_that_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::serve(folder.path(), "own_telemetry: false\n", &[]).await;
    let acme = stella.tenant("acme");
    send_lines(&acme, "web", &["one", "two"]).await;
    let path = "/loki/api/v1/delete";
    let start = ((now_ms() / 1_000) - 3_600).to_string();
    let added = acme.ask("PUT", Api::Loki, path, &[("query", "{app=\"web\"}"), ("start", &start)]).await;
    assert_eq!(added.status, 204);
    assert!(texts(&acme, "{app=\"web\"}").await.is_empty());
    let listed = acme.ask("GET", Api::Loki, path, &[]).await.json();
    assert_eq!(listed[0]["status"], "received");
    let id = listed[0]["request_id"].as_str().unwrap();
    assert_eq!(acme.ask("DELETE", Api::Loki, path, &[("request_id", "x")]).await.status, 404);
    assert_eq!(acme.ask("DELETE", Api::Loki, path, &[("request_id", id)]).await.status, 204);
    assert_eq!(texts(&acme, "{app=\"web\"}").await, ["one", "two"]);
    assert!(array(&acme.ask("GET", Api::Loki, path, &[]).await.json()).is_empty());
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn selectors_have_periods_of_their_own_and_the_plan_says_where_they_come_from() {
    let folder = tempfile::tempdir().unwrap();
    let tenants = folder.path().join("data/tenants");
    std::fs::create_dir_all(&tenants).unwrap();
    let rule = |selector: &str| {
        format!("    retention_stream:\n      - {{ selector: '{selector}', priority: 1, period: 5m }}\n")
    };
    let of = |selector: &str| format!("overrides:\n  acme:\n{}", rule(selector));
    std::fs::write(tenants.join("loki-overrides.yaml"), of("{app=\"debug\"}")).unwrap();
    std::fs::write(tenants.join("metrics-overrides.yaml"), of("{job=\"debug\"}")).unwrap();
    std::fs::write(tenants.join("tempo-overrides.yaml"), of("{resource.service.name=\"debug\"}")).unwrap();
    let stella = Stella::serve(folder.path(), QUICK, &[]).await;
    let acme = stella.tenant("acme");
    // What has outlived its period already is not taken; this does so in a moment.
    let (old_ms, old_ns) = (now_ms() - 290_000, now_ns() - 290 * NS_PER_S);
    for name in ["debug", "web"] {
        let labels = [("__name__", "stock"), ("job", name)];
        assert_eq!(remote_write(&acme, vec![series(&labels, &[(old_ms, 1.0)])]).await.unwrap().status, 204);
        let line = [(old_ns, "a line".to_owned())];
        assert_eq!(loki_push(&acme, &json!({ "app": name }), &line).await.unwrap().status, 204);
        let id = format!("{:0>32}", hex::encode(name));
        let span = span(&id, "00000000000000a1", "work", old_ns, &[]);
        let body = traces(&[(vec![text_attribute("service.name", name)], vec![span])]);
        assert_eq!(post_json(&acme, Api::Tempo, "/v1/traces", &body).await.unwrap().status, 200);
    }
    eventually("an end of the shorter periods", async || {
        let is_over = acme.lines("{app=~\".+\"}").await.len() == 1;
        let debug = acme.trace(&format!("{:0>32}", hex::encode("debug"))).await;
        (is_over && debug.is_none()).then_some(())
    })
    .await;
    let at = (old_ms / 1_000 + 1).to_string();
    let found =
        acme.ask("GET", Api::Prometheus, "/api/v1/query", &[("query", "stock"), ("time", &at)]).await.json();
    assert_eq!(array(&found["data"]["result"]).len(), 1, "{found}");
    assert_eq!(acme.lines("{app=~\".+\"}").await.len(), 1);
    assert!(acme.trace(&format!("{:0>32}", hex::encode("web"))).await.is_some());
    assert!(acme.trace(&format!("{:0>32}", hex::encode("debug"))).await.is_none());

    let plan: Value =
        serde_json::from_str(&out(&command(&stella, "acme", &["retention", "plan", "--json"]).await))
            .unwrap();
    for signal in array(&plan[0]["signals"]) {
        let rule = signal["rules"][0].as_str().unwrap();
        assert!(rule.contains("debug") && rule.contains("5m"), "{rule}");
        assert!(signal["rules_from"].as_str().unwrap().ends_with("-overrides.yaml:3"), "{signal}");
    }
    let done: Value =
        serde_json::from_str(&out(&command(&stella, "acme", &["retention", "run", "--json"]).await)).unwrap();
    assert_eq!(done["segments_expired"], 0, "{done}");
    // Whoever was quicker, the run or the server's own pass: what outlived its period is in no segment.
    let plan = out(&command(&stella, "acme", &["retention", "plan", "--json"]).await);
    let plan: Value = serde_json::from_str(&plan).unwrap();
    for signal in array(&plan[0]["signals"]) {
        assert_eq!(signal["days"][0]["rows"], 1, "{signal}");
    }
    let text = out(&command(&stella, "acme", &["retention", "plan"]).await);
    assert!(text.contains("tenant acme · traces") && text.contains("is over then"), "{text}");
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_is_proven_a_hold_stops_it_and_its_release_lets_it_go() {
    let folder = tempfile::tempdir().unwrap();
    let config = QUICK.replace("retention: {", "retention: { metrics: 1m, logs: 1m, traces: 1m,");
    let stella = Stella::serve(folder.path(), &config, &[]).await;
    let prove = ["retention", "prove", "--ahead", "3s", "--timeout", "30s"];
    let proven = out(&command(&stella, "acme", &prove).await);
    assert!(proven.contains("proven"), "{proven}");

    let hold = out(&command(&stella, "acme", &["retention", "hold", "add", "--reason", "case 7"]).await);
    let held = command(&stella, "acme", &prove).await;
    assert!(!held.status.success());
    assert!(String::from_utf8_lossy(&held.stderr).contains("case 7"), "{held:?}");
    let list = out(&command(&stella, "acme", &["retention", "hold", "list"]).await);
    assert!(list.contains(hold.trim()) && list.contains("everything"), "{list}");
    out(&command(&stella, "acme", &["retention", "hold", "release", hold.trim()]).await);

    // One that comes while the samples wait for their end.
    let offset = stella.port_offset();
    let waiting = tokio::task::spawn_blocking(move || {
        let offset = offset.to_string();
        run(&["retention", "prove", "--ahead", "8s", "--port-offset", &offset, "--tenant", "acme"])
    });
    let acme = stella.tenant("acme");
    eventually("samples", async || {
        (!acme.lines("{service_name=\"stella_retention_proof\"}").await.is_empty()).then_some(())
    })
    .await;
    let on = out(&command(
        &stella,
        "acme",
        &["incident", "start", "--ttl", "10m", "--reason", "checkout is down"],
    )
    .await);
    assert!(on.contains("incident mode is on: tenant=acme"), "{on}");
    let held = waiting.await.unwrap();
    assert!(!held.status.success());
    assert!(String::from_utf8_lossy(&held.stderr).contains("checkout is down"), "{held:?}");
    assert!(
        !acme.lines("{service_name=\"stella_retention_proof\"}").await.is_empty(),
        "what is held can be read"
    );
    let off = out(&command(&stella, "acme", &["incident", "end", "--resolution", "mended"]).await);
    assert!(off.contains("is off"), "{off}");
    assert!(acme.lines("{service_name=\"stella_retention_proof\"}").await.is_empty());
    eventually("an empty store", async || {
        let plan = out(&command(&stella, "acme", &["retention", "plan", "--json"]).await);
        let plan: Value = serde_json::from_str(&plan).unwrap();
        array(&plan[0]["signals"]).iter().all(|signal| array(&signal["days"]).is_empty()).then_some(())
    })
    .await;
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn incident_mode_is_a_switch_with_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::serve(folder.path(), QUICK, &[]).await;
    let acme = stella.tenant("acme");
    let path = "/telemetry/incidents/mode";
    let order = async |body: Value| post_json(&acme, Api::Loki, path, &body).await.unwrap();
    assert_eq!(order(json!({"enabled": true})).await.status, 400, "it needs a reason");
    let on = order(json!({"enabled": true, "reason": "x"})).await;
    assert_eq!((on.status, on.json()["enabled"].as_bool()), (200, Some(true)), "{}", on.text());
    let longer = order(json!({"enabled": true, "reason": "x", "ttl": "2h"})).await.json();
    assert_ne!(on.json()["expires_at"], longer["expires_at"]);
    // The same through every door, and of this tenant alone.
    for api in [Api::Prometheus, Api::Tempo] {
        assert_eq!(acme.ask("GET", api, path, &[]).await.json(), longer);
    }
    let other = stella.tenant("globex").ask("GET", Api::Loki, path, &[]).await.json();
    assert_eq!(other, json!({"tenant": "globex", "enabled": false}));
    assert_eq!(order(json!({"enabled": false})).await.json()["enabled"], false);
    let short = order(json!({"enabled": true, "reason": "x", "ttl": "1s"})).await;
    assert_eq!(short.status, 200);
    eventually("an end by itself", async || {
        (acme.ask("GET", Api::Loki, path, &[]).await.json()["enabled"] == false).then_some(())
    })
    .await;
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_incidents_is_kept_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::serve(folder.path(), QUICK, &[]).await;
    let acme = stella.tenant("acme");
    let order =
        async |body: Value| post_json(&acme, Api::Loki, "/telemetry/incidents/mode", &body).await.unwrap();
    // What is said once holds when it goes on for longer, and what there is to tell comes with its end.
    let said = json!({"enabled": true, "reason": "down", "severity": "high", "scope": "checkout"});
    let began = order(said).await.json();
    assert_eq!((&began["severity"], &began["scope"]), (&json!("high"), &json!("checkout")));
    let more = order(json!({"enabled": true, "reason": "still", "severity": "low"})).await.json();
    assert_eq!((&more["severity"], &more["scope"]), (&json!("low"), &json!("checkout")));
    assert_eq!((&more["set_at"], &more["reason"]), (&began["set_at"], &json!("still")));
    send_lines(&acme, "web", &["one"]).await;
    let end = order(json!({"enabled": false, "reason": "mended", "report": true})).await.json();
    let report = &end["report"];
    assert_eq!((&report["began_at"], &report["resolution"]), (&began["set_at"], &json!("mended")), "{end}");
    assert_eq!((&report["severity"], &report["scope"]), (&json!("low"), &json!("checkout")));
    assert!(array(&report["held"]).iter().any(|held| held["signal"] == "logs"), "{end}");
    // Both are named, and what was placed meanwhile goes with the end where that is asked for.
    let again = order(json!({"enabled": true, "reason": "down again"})).await.json();
    let place = async |reason: &str| {
        let placed =
            post_json(&acme, Api::Loki, "/telemetry/retention/holds", &json!({ "reason": reason })).await;
        serde_json::from_slice::<Value>(&placed.unwrap().body).unwrap()
    };
    let hold = place("of the incident").await;
    assert_eq!(hold["incident"], again["id"]);
    let list = async |status: &str| {
        let flags = ["incident", "list", "--json", "--status", status];
        serde_json::from_str::<Value>(&out(&command(&stella, "acme", &flags).await)).unwrap()
    };
    let (open, closed, all) = (list("open").await, list("closed").await, list("all").await);
    assert_eq!((array(&open).len(), &open[0]["id"], &open[0]["status"]), (1, &again["id"], &json!("open")));
    assert_eq!((&closed[0]["id"], &closed[0]["resolution"]), (&began["id"], &json!("mended")), "{closed}");
    assert_eq!((&closed[0]["severity"], &closed[0]["began_at"]), (&json!("low"), &began["set_at"]));
    assert_eq!(array(&all).len(), array(&closed).len() + 1);
    let ended = command(&stella, "acme", &["incident", "end", "--release-holds", "--json"]).await;
    let ended: Value = serde_json::from_str(&out(&ended)).unwrap();
    assert_eq!(ended["released"], json!([hold["id"]]));
    assert!(
        acme.ask("GET", Api::Loki, "/telemetry/retention/holds", &[])
            .await
            .json()
            .as_array()
            .unwrap()
            .is_empty()
    );
    let kept = place("of nothing").await;
    assert_eq!(kept["incident"], Value::Null);
    let too_long = order(json!({"enabled": true, "reason": "x", "ttl": "100000d"})).await;
    assert_eq!(
        (too_long.status, too_long.text().contains("30d at most")),
        (400, true),
        "{}",
        too_long.text()
    );

    let off = order(json!({"enabled": false, "report": true})).await.json();
    assert_eq!(off, json!({"tenant": "acme", "enabled": false}), "there is nothing to tell of none");
    stella.stop().await;
}
