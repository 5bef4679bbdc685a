//! The server in little memory: it says what it may use, keeps to it, and refuses to start in too little.

use crate::client::Api;
use crate::command::run;
use crate::server::Stella;
use crate::telemetry::{now_ms, remote_write, series};

#[tokio::test(flavor = "multi_thread")]
async fn the_least_memory_is_split_told_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(folder.path(), &["--memory-limit", "192MiB"]).await;
    let client = stella.tenant("acme");
    let one = |i: i32| series(&[("__name__", "m"), ("i", &i.to_string())], &[(now_ms(), 1.0)]);
    assert_eq!(remote_write(&client, (0..100).map(one).collect()).await.unwrap().status, 204);
    assert_eq!(client.value("count(m)").await, 100.0);
    let metrics = client.get(Api::Prometheus, "/metrics", &[]).await.text();
    let value = |series: &str| -> f64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{series} is not in\n{metrics}")).parse().unwrap()
    };
    assert_eq!(value("stella_memory_limit_bytes"), f64::from(192 << 20));
    let parts = ["heads", "merges", "queries", "caches", "requests", "log"];
    let of = |name: &str| parts.map(|part| value(&format!("{name}{{part=\"{part}\"}}")));
    assert!(of("stella_memory_budget_bytes").iter().sum::<f64>() < f64::from(192 << 20));
    assert!(of("stella_memory_used_bytes")[0] > 0.0, "heads hold what was written");
    stella.stop().await;
}

#[test]
fn too_little_memory_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        run(&["up", "--plaintext", "--data-dir", folder.path().to_str().unwrap(), "--memory-limit", "64MiB"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("memory.limit=67108864"), "{said}");
}
