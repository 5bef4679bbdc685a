//! `stella bench` measures a real server, and what it reports of it is exact where it can be.

use serde_json::Value;

use crate::command::run;
use crate::server::Stella;

/// Runs a measurement; its report.
async fn bench(stella: &Stella, arguments: &[&str]) -> Value {
    let offset = stella.port_offset().to_string();
    let tail = ["--port-offset", offset.as_str(), "--stretch", "20m", "--json"];
    let arguments: Vec<String> =
        [&["bench"], arguments, &tail].concat().iter().map(|a| (*a).to_owned()).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = tokio::task::block_in_place(|| run(&arguments));
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_are_taken_whole_and_found_again_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    // Each load has a tenant of its own, so that nothing but it is found there.
    let loads: [(&[&str], u64, u64); 6] = [
        (&["metrics", "--series", "100"], 8_000, 8_000),
        (&["metrics", "--series", "36", "--format", "remote-write2"], 2_880, 2_880),
        (&["metrics", "--series", "36", "--format", "otlp"], 2_880, 2_880),
        (&["logs", "--lines", "2000", "--batch", "300"], 2_000, 2_000),
        (&["logs", "--lines", "500", "--format", "otlp"], 500, 500),
        (&["traces", "--spans", "1000", "--batch", "100"], 1_000, 100),
    ];
    for (n, (load, items, looked_for)) in loads.into_iter().enumerate() {
        let tenant = format!("load-{n}");
        let arguments = [&["ingest"], load, &["--tenant", &tenant, "--no-settle"]].concat();
        let report = bench(&stella, &arguments).await;
        let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
        assert!(number("/acknowledged") >= items as f64, "{load:?}: {report}");
        assert!(number("/acknowledged") < items as f64 * 1.1, "{load:?}: {report}");
        assert!(number("/found/of") >= looked_for as f64, "{load:?}: {report}");
        assert_eq!(number("/found/of"), number("/found/items"), "{load:?}: {report}");
        for measured in ["/per_second", "/wire_bytes_per_item", "/wal_bytes_per_item", "/latency/p50_ms"] {
            assert!(number(measured) > 0.0, "{load:?} {measured}: {report}");
        }
    }
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settled_server_has_everything_in_segments() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    let data_dir = folder.path().display().to_string();
    let load = ["ingest", "logs", "--lines", "1000", "--tenant", "acme", "--data-dir", &data_dir];
    let report = bench(&stella, &load).await;
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
    assert!(number("/segments") >= 1.0, "{report}");
    assert!(number("/segment_bytes_per_item") > 10.0, "{report}");
    assert!(number("/folder_bytes_per_item") >= number("/segment_bytes_per_item"), "{report}");
    assert!(number("/settled_cpu_us_per_item") >= number("/cpu_us_per_item"), "{report}");
    assert!(number("/peak_memory_mib") >= number("/memory_mib"), "{report}");
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_question_has_an_answer_of_the_right_kind() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    let loads: [&[&str]; 3] = [
        &["ingest", "metrics", "--series", "400"],
        &["ingest", "logs", "--lines", "20000"],
        &["ingest", "traces", "--spans", "20000"],
    ];
    for load in loads {
        bench(&stella, &[load, &["--no-settle", "--no-check"]].concat()).await;
    }
    // The command refuses answers that are empty and must not be, and the other way round.
    let reports = bench(&stella, &["query", "--runs", "1", "--warm-up", "1"]).await;
    let answers = |n: usize| reports.pointer(&format!("/{n}/answers")).and_then(Value::as_array).unwrap();
    assert_eq!([answers(0).len(), answers(1).len(), answers(2).len()], [14, 15, 9]);
    for answer in (0..3).flat_map(answers) {
        let kind = answer["kind"].as_str().unwrap();
        assert_eq!(answer["size"] == 0, matches!(kind, "no hit at all" | "absent id"), "{answer}");
        assert!(answer["p50_ms"].as_f64().unwrap() > 0.0, "{answer}");
    }
    stella.stop().await;
}
