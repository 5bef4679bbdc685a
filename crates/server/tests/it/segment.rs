//! `stella segment` on the folder of a server that ran: what is whole verifies, a changed byte is named, the answer of a
//! server says that rows are missing, and a copy brings them back.

use serde_json::Value;

use crate::command::run;
use crate::server::{Place, Stella, eventually};
use crate::telemetry::{now_ms, remote_write, series};

fn printed(arguments: &[&str]) -> (bool, String, String) {
    let output = run(arguments);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

fn samples_file(folder: &std::path::Path) -> std::path::PathBuf {
    let segments = folder.join("store/tenants/acme/metrics/segments");
    let days = std::fs::read_dir(segments).unwrap();
    let mut files =
        days.flat_map(|day| std::fs::read_dir(day.unwrap().path()).unwrap()).map(|file| file.unwrap().path());
    files.find(|file| file.to_string_lossy().ends_with(".samples.parquet")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_named_warned_of_and_restored() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    let stella = Stella::up_in(Place::Folder, folder.path(), &["--no-own-telemetry"]).await;
    let sent = series(&[("__name__", "stock")], &[(now_ms() - 1_000, 2.5)]);
    assert_eq!(remote_write(&stella.tenant("acme"), vec![sent]).await.unwrap().status, 204);
    stella.stop().await;

    let (is_whole, said, _) =
        printed(&["segment", "verify", "--data-dir", data_dir, "--tenant", "acme", "--json"]);
    let report: Value = serde_json::from_str(&said).unwrap();
    assert!(is_whole && report["damaged"] == 0 && report["segments"] == 1, "{report}");
    let file = samples_file(folder.path());
    let id = file.file_name().unwrap().to_str().unwrap().split('.').next().unwrap().to_owned();
    let name = format!("acme/metrics/{id}");
    for target in [name.as_str(), file.to_str().unwrap()] {
        let (is_whole, said, error) = printed(&["segment", "inspect", target, "--data-dir", data_dir]);
        assert!(is_whole, "{error}");
        for word in ["timestamp_offset_ms", "DELTA_BINARY_PACKED", "ZSTD", "stella.blocks", "bytes a row"] {
            assert!(said.contains(word), "{target} does not show {word}:\n{said}");
        }
    }

    let copies = tempfile::tempdir().unwrap();
    for part in ["series", "samples"] {
        let part = format!("{id}.{part}.parquet");
        std::fs::copy(file.with_file_name(&part), copies.path().join(&part)).unwrap();
    }
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (is_whole, said, error) = printed(&["segment", "verify", "--data-dir", data_dir, "--tenant", "acme"]);
    assert!(!is_whole && said.contains(&id) && error.contains("places=1"), "{said}{error}");
    assert!(!printed(&["segment", "inspect", file.to_str().unwrap()]).0);

    let stella = Stella::up_in(Place::Folder, folder.path(), &["--no-own-telemetry"]).await;
    let offset = stella.port_offset().to_string();
    let question =
        ["query", "promql", "last_over_time(stock[1h])", "--tenant", "acme", "--port-offset", &offset];
    let (_, said, _) = printed(&question);
    assert!(said.contains("warnings") && said.contains("segments=1") && !said.contains("2.5"), "{said}");
    let restore =
        ["segment", "restore", &name, "--data-dir", data_dir, "--from", copies.path().to_str().unwrap()];
    eventually("the segment is set aside and restored", async || printed(&restore).0.then_some(())).await;
    stella.stop().await;
    let (is_whole, said, error) = printed(&["segment", "verify", "--data-dir", data_dir]);
    assert!(is_whole, "{said}{error}");

    let stella = Stella::up_in(Place::Folder, folder.path(), &["--no-own-telemetry"]).await;
    let offset = stella.port_offset().to_string();
    let question =
        ["query", "promql", "last_over_time(stock[1h])", "--tenant", "acme", "--port-offset", &offset];
    let (_, said, _) = printed(&question);
    assert!(said.contains("2.5") && !said.contains("warnings"), "{said}");
    stella.stop().await;
    for wrong in [["segment", "inspect", "nothing"], ["segment", "inspect", "a/b/c"]] {
        assert!(!printed(&wrong).0);
    }
}
