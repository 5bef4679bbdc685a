//! Runs query scripts against the real store: the project's own, which lie beside the language's crate, and those of the
//! folders named in `PROMQLTEST_DIRS` (separated by `:`). Each case must hold, however its samples lie in the store.

mod classic;

mod fixed;

mod histogram;

mod result;

mod script;

mod store;

use std::path::{Path, PathBuf};

use script::Block;
use store::{Layout, Store};

/// How many cases a script has, and what is said of those that do not hold.
#[derive(Default)]
struct Report {
    cases: usize,
    failures: Vec<String>,
}

async fn run(path: &Path, layout: Layout) -> Report {
    let text = std::fs::read_to_string(path).expect("the script was listed");
    let mut report = Report::default();
    let mut store = Store::new(layout).await;
    for block in script::parse(&text) {
        match block {
            Ok(Block::Clear) => store.clear(),
            Ok(Block::Load { step_ms, mut series, native }) => {
                if native {
                    let more = classic::to_native(&series);
                    series.extend(more);
                }
                store.load(&series, step_ms).await;
            }
            Ok(Block::Eval(case)) => {
                report.cases += 1;
                if let Err(why) = result::check(&store, &case).await {
                    let at = format!("{}:{}", path.display(), case.line);
                    report.failures.push(format!("{at}: {} ({layout:?})\n      {why}", case.query));
                }
            }
            Err(why) => {
                report.cases += 1;
                report.failures.push(format!("{}: {why}", path.display()));
            }
        }
    }
    report
}

fn scripts(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "test"));
    paths.sort();
    paths
}

async fn all_hold(layout: Layout) {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../promql/testdata");
    let others = std::env::var("PROMQLTEST_DIRS").unwrap_or_default();
    let dirs = others.split(':').filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let mut failures = Vec::new();
    for dir in std::iter::once(own).chain(dirs) {
        let paths = scripts(&dir);
        assert!(!paths.is_empty(), "there are no scripts in {}", dir.display());
        for path in paths {
            let report = run(&path, layout).await;
            assert!(report.cases > 0, "{} has no case", path.display());
            failures.extend(report.failures);
        }
    }
    assert!(failures.is_empty(), "{} cases do not hold\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test]
async fn scripts_hold_over_heads() {
    all_hold(Layout::Heads).await;
}

#[tokio::test]
async fn scripts_hold_over_segments() {
    all_hold(Layout::Segments).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_hold_over_pieces() {
    all_hold(Layout::Pieces).await;
}
