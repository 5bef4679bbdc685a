//! The command line: questions in tables and JSON, roles, and starts that fail with what to do about it.

use std::net::TcpStream;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::client::array;
use crate::server::{Stella, binary, eventually};
use crate::telemetry::{
    loki_push, now_ms, now_ns, post_json, remote_write, series, span, text_attribute, traces,
};

pub(crate) fn run(arguments: &[&str]) -> Output {
    binary().args(arguments).output().unwrap()
}

/// Asks a server; standard output of a success.
async fn ask(stella: &Stella, language: &str, arguments: &[&str]) -> String {
    let offset = stella.port_offset().to_string();
    let head = ["query", language, "--port-offset", offset.as_str(), "--tenant", "acme"];
    let arguments: Vec<String> = [&head, arguments].concat().iter().map(|text| (*text).to_owned()).collect();
    let output =
        tokio::task::spawn_blocking(move || run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
    let output = output.await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn send(stella: &Stella) {
    let acme = stella.tenant("acme");
    let (now_ms, now_ns) = (now_ms(), now_ns());
    let stock =
        series(&[("__name__", "stock"), ("shelf", "a")], &[(now_ms - 90_000, 1.0), (now_ms - 30_000, 2.5)]);
    assert_eq!(remote_write(&acme, vec![stock]).await.unwrap().status, 204);
    let lines = [
        (now_ns - 60_000_000_000, "order 1 paid".to_owned()),
        (now_ns - 30_000_000_000, "order 2 paid".to_owned()),
    ];
    assert_eq!(loki_push(&acme, &serde_json::json!({"app": "shop"}), &lines).await.unwrap().status, 204);
    let span = span("5bd66ef5095369c7b0d1f8f4bd33716a", "c532cb4098ac3dd2", "pay", now_ns, &[]);
    let body = traces(&[(vec![text_attribute("service.name", "shop")], vec![span])]);
    assert_eq!(post_json(&acme, crate::client::Api::Tempo, "/v1/traces", &body).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_answered_in_tables_and_json() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    send(&stella).await;
    let start = ((now_ms() / 1_000) - 120).to_string();
    let table: [(&str, &[&str], &[&str]); 7] = [
        ("promql", &["stock"], &["series", "stock{shelf=\"a\"}", "2.5"]),
        ("promql", &["stock", "--start", &start, "--step", "15s"], &["time", "stock{shelf=\"a\"}", "2.5"]),
        ("promql", &["1 + 1"], &["value", "2"]),
        ("logql", &["{app=\"shop\"} |= \"order\""], &["line", "order 1 paid", "order 2 paid"]),
        ("logql", &["sum(count_over_time({app=\"shop\"}[5m]))"], &["series", "2"]),
        (
            "sql",
            &["select l.line, t.service, m.value from logs l, traces t, metrics m \
               where m.name = 'stock' order by l.timestamp, m.timestamp"],
            &["line", "order 2 paid", "shop", "2.5"],
        ),
        ("traceql", &["{ name = \"pay\" }"], &["5bd66ef5095369c7b0d1f8f4bd33716a", "shop", "pay"]),
    ];
    for (language, arguments, words) in table {
        let printed = ask(&stella, language, arguments).await;
        for word in words {
            assert!(printed.contains(word), "{language} {arguments:?} has no {word}:\n{printed}");
        }
        let json = ask(&stella, language, &[arguments, &["--json"]].concat()).await;
        let json: Value = serde_json::from_str(&json).unwrap();
        assert!(json["status"] == "success" || array(&json["traces"]).len() == 1, "{json}");
    }
    let limited = ask(&stella, "logql", &["{app=\"shop\"}", "--limit", "1"]).await;
    assert!(!limited.contains("order 1 paid") && limited.contains("order 2 paid"), "{limited}");

    let csv = ask(&stella, "sql", &["select line from logs order by line", "--csv", "--limit", "1"]).await;
    assert_eq!(csv, "line\r\norder 1 paid\r\n");
    let (query, answer) = (folder.path().join("query.sql"), folder.path().join("answer.arrow"));
    std::fs::write(&query, "select count(*) from logs").unwrap();
    let (query, path) = (query.to_str().unwrap(), answer.to_str().unwrap());
    assert_eq!(ask(&stella, "sql", &["--file", query, "--arrow", path]).await, "");
    let mut reader =
        arrow::ipc::reader::StreamReader::try_new(std::fs::File::open(&answer).unwrap(), None).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().num_rows(), 1);

    let server = format!("http://{}", stella.address("prometheus").unwrap());
    for (arguments, word) in [
        (["query", "promql", "--server", &server, "sum("], "parse error: unclosed left parenthesis\nsum(\n"),
        (["query", "sql", "--server", &server, "select * from nowhere"], "nowhere"),
        (["query", "promql", "--tenant", "a/b", "--server=http://127.0.0.1:1"], "required"),
    ] {
        let output = run(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(word), "{arguments:?}: {said}");
    }
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_opens_its_own_ports_only() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::serve(folder.path(), "", &["--roles", "metrics"]).await;
    assert_eq!(stella.listeners(), ["prometheus"]);
    for port in [3100, 3200, 4317, 4318] {
        assert!(TcpStream::connect(("127.0.0.1", port + stella.port_offset())).is_err(), "{port}");
    }
    let own = stella.tenant("stella");
    eventually("its own metrics are there", async || own.vector("up").await.pop()).await;
    stella.stop().await;

    let stella = Stella::serve(folder.path(), "roles: [logs]\n", &["--roles", "traces,collector"]).await;
    let of_collector = ["debug", "health", "otlp_grpc", "otlp_http", "scrape"];
    assert_eq!(stella.listeners(), [&of_collector[..], &["tempo"]].concat(), "the flag wins");
    stella.stop().await;
}

/// Runs a start that must fail; what it says.
fn refused(arguments: &[&str]) -> String {
    let output = run(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{arguments:?} did not fail: {said}");
    assert!(!String::from_utf8(output.stdout).unwrap().contains("ready"), "{arguments:?}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[test]
fn a_wrong_configuration_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("stella.yaml");
    let path = config.to_str().unwrap();
    let table: [(&str, &[&str]); 9] = [
        ("data_dir: x\nwal:\n  fsink: always\n", &["fsink", "3"]),
        ("data_dir: x\n\nlisten_address: y\n", &["listen_address", "3"]),
        ("wal: { fsync: sometimes }\n", &["sometimes", "1"]),
        ("flush:\n  max_head_age: 10 minutes\n", &["10 minutes", "2"]),
        ("roles: [metrics, kitchen]\n", &["kitchen"]),
        ("listen: { address: 0.0.0.0 }\n", &["loopback"]),
        ("listen: { port_offset: 60000 }\n", &["65535"]),
        ("default_tenant: a/b\n", &["default_tenant"]),
        ("data_dir: [\n", &["stella.yaml"]),
    ];
    for (text, words) in table {
        std::fs::write(&config, text).unwrap();
        let said = refused(&["serve", "--config", path]);
        for word in words {
            assert!(said.contains(word), "{text:?}: no {word} in {said}");
        }
    }
    let missing = folder.path().join("missing.yaml");
    assert!(refused(&["serve", "--config", missing.to_str().unwrap()]).contains("missing.yaml"));
    std::fs::write(&config, "store: ftp://example\n").unwrap();
    assert!(refused(&["serve", "--config", path]).contains("ftp"));
}

fn up(data_dir: &Path, port_offset: u16) -> String {
    let offset = port_offset.to_string();
    refused(&["up", "--plaintext", "--data-dir", data_dir.to_str().unwrap(), "--port-offset", &offset])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_and_a_port_belong_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up(folder.path()).await;
    let said = up(folder.path(), stella.port_offset().wrapping_add(23));
    let path = folder.path().to_str().unwrap();
    assert!(said.contains(path) && (said.contains("another") || said.contains("use")), "{said}");

    let other = tempfile::tempdir().unwrap();
    let said = up(other.path(), stella.port_offset());
    assert!(said.contains("cannot listen") && said.contains("--port-offset"), "{said}");
    // Neither has harmed the one that was there first.
    assert_eq!(stella.anonymous().value("vector(1)").await, 1.0);
    stella.kill();

    // The folder of a killed process is free again.
    Stella::up(folder.path()).await.stop().await;
}
