//! Limits of tenants: in force without a restart, named in each protocol's own shape, explained by the commands.

use std::path::Path;

use serde_json::{Value, json};

use crate::client::{Answer, Api, Client};
use crate::command::run;
use crate::server::{Stella, eventually};
use crate::telemetry::{logs, now_ns, post_json, span, text_attribute, traces};

const OURS: &str = "own_telemetry: false\n";

fn write(folder: &Path, file: &str, text: &str) {
    let tenants = folder.join("tenants");
    std::fs::create_dir_all(&tenants).unwrap();
    // Put in place whole: a server may look at any moment.
    let begun = tenants.join("new");
    std::fs::write(&begun, text).unwrap();
    std::fs::rename(&begun, tenants.join(file)).unwrap();
}

async fn push(client: &Client, line: &str) -> Answer {
    let body = json!({"streams": [{"stream": {"app": "x"}, "values": [[now_ns().to_string(), line]]}]});
    post_json(client, Api::Loki, "/loki/api/v1/push", &body).await.unwrap()
}

fn resource() -> Vec<Value> {
    vec![text_attribute("service.name", "s")]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_over_its_limits_is_told_in_each_protocol_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let small = "    ingestion_rate_mb: 0.0001\n    ingestion_burst_size_mb: 0.001\n    max_line_size: 2KB\n";
    write(&data, "loki-overrides.yaml", &format!("overrides:\n  small:\n{small}"));
    write(
        &data,
        "tempo-overrides.yaml",
        "overrides:\n  small:\n    ingestion: { rate_limit_bytes: 1, burst_size_bytes: 10 }\n",
    );
    let stella = Stella::serve(folder.path(), OURS, &[]).await;
    let (small, other) = (stella.tenant("small"), stella.tenant("other"));
    let long = "x".repeat(1_000);
    assert_eq!(push(&small, &long).await.status, 204);
    let answer = push(&small, &long).await;
    assert_eq!(answer.status, 429, "{}", answer.text());
    let seconds: u32 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=10).contains(&seconds), "{seconds}");
    assert!(
        answer.text().starts_with("rate_limited: tenant=small is over its rate of logs"),
        "{}",
        answer.text()
    );
    let body = logs(&[(resource(), vec![&*long])]);
    let answer = post_json(&small, Api::OtlpHttp, "/v1/logs", &body).await.unwrap();
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert!(answer.text().starts_with("{\"code\":8,\"message\":\"rate_limited: "), "{}", answer.text());
    let body = traces(&[(resource(), vec![span(&"0a".repeat(16), "00000000000000a1", "s", now_ns(), &[])])]);
    let answer = post_json(&small, Api::OtlpHttp, "/v1/traces", &body).await.unwrap();
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert!(answer.text().contains("never taken whole"), "{}", answer.text());
    for _ in 0..20 {
        assert_eq!(push(&other, &long).await.status, 204);
    }
    assert_eq!(post_json(&other, Api::OtlpHttp, "/v1/traces", &body).await.unwrap().status, 200);
    let metrics = small.get(Api::Prometheus, "/metrics", &[]).await.text();
    let counted =
        "stella_ingest_rejected_items_total{tenant=\"small\",signal=\"logs\",reason=\"rate_limited\"} 2";
    assert!(metrics.contains(counted), "{metrics}");
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_limits_come_into_force_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let stella = Stella::serve(folder.path(), OURS, &[]).await;
    let client = stella.tenant("acme");
    assert_eq!(push(&client, "a line of some length").await.status, 204);
    write(
        &data,
        "loki-overrides.yaml",
        "overrides:\n  acme:\n    max_line_size: 5\n    max_query_length: 1h\n",
    );
    let answer = eventually("the limit is in force", async || {
        let answer = push(&client, "a line of some length").await;
        (answer.status == 400).then_some(answer)
    })
    .await;
    assert!(answer.text().contains("line_too_long"), "{}", answer.text());
    let ask = async |since: &str| {
        let parameters = [("query", "{app=\"x\"}"), ("since", since)];
        client.get(Api::Loki, "/loki/api/v1/query_range", &parameters).await
    };
    assert_eq!(ask("30m").await.status, 200);
    let answer = ask("2h").await;
    let wanted = "max_query_length=3600s, asked for 7200s; ask for less, or have the operator raise max_query_length \
                  in loki-overrides.yaml";
    assert!((400..500).contains(&answer.status) && answer.text().contains(wanted), "{}", answer.text());
    write(&data, "loki-overrides.yaml", "overrides: [\n");
    eventually("the broken file is told", async || {
        let metrics = client.get(Api::Prometheus, "/metrics", &[]).await.text();
        metrics.contains("stella_overrides_file_good{file=\"loki-overrides.yaml\"} 0").then_some(())
    })
    .await;
    assert_eq!(push(&client, "a line of some length").await.status, 400, "the limits before stay");
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_shorter_retention_expires_is_unreadable_for_its_tenant_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let stella = Stella::serve(folder.path(), OURS, &[]).await;
    let (acme, globex) = (stella.tenant("acme"), stella.tenant("globex"));
    for client in [&acme, &globex] {
        let old = (now_ns() - 600_000_000_000).to_string();
        let body = json!({"streams": [{"stream": {"app": "x"}, "values": [[old, "old"]]}]});
        let answer = post_json(client, Api::Loki, "/loki/api/v1/push", &body).await.unwrap();
        assert_eq!(answer.status, 204, "{}", answer.text());
        assert_eq!(push(client, "new").await.status, 204);
        assert_eq!(client.lines("{app=\"x\"}").await.len(), 2);
    }
    write(&data, "loki-overrides.yaml", "overrides:\n  acme:\n    retention_period: 5m\n");
    let left = eventually("the old line has expired", async || {
        let lines = acme.lines("{app=\"x\"}").await;
        (lines.len() < 2).then_some(lines)
    })
    .await;
    assert_eq!(left.iter().map(|line| line.line.as_str()).collect::<Vec<_>>(), ["new"]);
    assert_eq!(globex.lines("{app=\"x\"}").await.len(), 2);
    stella.stop().await;
}

fn said(arguments: &[&str]) -> (bool, String) {
    let output = run(arguments);
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_commands_check_and_explain_what_is_configured() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("stella.yaml");
    let data = folder.path().display();
    std::fs::write(&config, format!("data_dir: {data}\nretention:\n  logs: 7d\nquery:\n  timeout: 30s\n"))
        .unwrap();
    let config = config.to_str().unwrap();
    let check = ["config", "check", "--config", config];
    assert_eq!(said(&check), (true, "the configuration is good\n".to_owned()));
    let limits = "overrides:\n  acme:\n    max_line_size: 5\n    per_stream_rate_limit: 3MB\n";
    write(folder.path(), "loki-overrides.yaml", limits);
    let (is_good, text) = said(&check);
    assert!(is_good, "what has no effect is no error: {text}");
    let path = folder.path().join("tenants/loki-overrides.yaml");
    assert!(
        text.starts_with(&format!("{}:4: warning: `per_stream_rate_limit` has no effect", path.display()))
    );

    let (_, text) = said(&["tenant", "show", "acme", "--config", config, "--json"]);
    let shown: Value = serde_json::from_str(&text).unwrap();
    let of = |key: &str| {
        let limits = shown["limits"].as_array().unwrap().iter();
        let limit = limits.filter(|l| l["signal"] == "logs").find(|l| l["key"] == key).unwrap().clone();
        let from =
            limit["origin"]["path"].as_str().map(|path| Path::new(path).file_name().unwrap().to_owned());
        (limit["value"].as_str().unwrap().to_owned(), from, limit["origin"]["line"].as_u64())
    };
    assert_eq!(of("max_line_size"), ("5".into(), Some("loki-overrides.yaml".into()), Some(3)));
    assert_eq!(of("retention_period"), ("7d".into(), Some("stella.yaml".into()), Some(3)));
    assert_eq!(of("query_timeout"), ("30s".into(), Some("stella.yaml".into()), Some(5)));
    assert_eq!(of("max_label_names_per_series"), ("64".into(), None, None));
    for place in [["--config", config], ["--data-dir", folder.path().to_str().unwrap()]] {
        let (is_good, text) = said(&[&["tenant", "show", "acme"], &place[..]].concat());
        assert!(is_good && text.contains("loki-overrides.yaml:3"), "{text}");
    }
    let (is_good, text) = said(&["config", "check", "--tenants", "no-such-folder"]);
    assert!(is_good && text.starts_with("no-such-folder: warning: the folder"), "{text}");

    write(folder.path(), "loki-overrides.yaml", "overrides:\n  acme:\n    max_lime_size: 5\n");
    write(folder.path(), "tempo-overrides.yaml", "overrides:\n  acme:\n    block_retention: soon\n");
    let (is_good, text) = said(&check);
    assert!(!is_good);
    for line in
        ["loki-overrides.yaml:3: error: unknown key `max_lime_size`", "tempo-overrides.yaml:3: error: "]
    {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    std::fs::write(config, "data_dirr: x\nwal:\n  fsink: always\n").unwrap();
    let (is_good, text) = said(&check);
    assert!(
        !is_good && text.contains("stella.yaml:1: error: ") && text.contains("stella.yaml:3: error: "),
        "{text}"
    );
}
