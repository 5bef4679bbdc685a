//! Runs query scripts against the real store: the project's own, which lie beside the language's crate, and those of the
//! folders named in `PROMQLTEST_DIRS` (separated by `:`). Each case must hold, however its samples lie in the store.

mod classic;

mod fixed;

mod histogram;

mod load;

mod result;

mod script;

mod series;

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

async fn run(name: &str, text: &str, layout: Layout) -> Report {
    let mut report = Report::default();
    let mut store = Store::new(layout).await;
    for block in script::parse(text) {
        match block {
            Ok(Block::Clear) => store.clear(),
            Ok(Block::Load { step_ms, series }) => store.load(&series, step_ms).await,
            Ok(Block::Eval(case)) => {
                report.cases += 1;
                if let Err(why) = result::check(&store, &case).await {
                    let at = format!("{name}:{}", case.line);
                    report.failures.push(format!("{at}: {} ({layout:?})\n      {why}", case.query));
                }
            }
            Err(why) => {
                report.cases += 1;
                report.failures.push(format!("{name}: {why}"));
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
            let (name, text) =
                (path.display().to_string(), std::fs::read_to_string(&path).expect("it was listed"));
            let report = run(&name, &text, layout).await;
            assert!(report.cases > 0, "{name} has no case");
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

/// Scripts that must not hold, and a part of why. Each follows the same samples.
const WRONG: &[(&str, &str)] = &[
    ("eval instant at 5m a\n  a{i=\"1\"} 2\n  a{i=\"2\"} 21", "gave Vector"),
    ("eval instant at 5m a\n  a{i=\"1\"} 2", "gave Vector"),
    ("eval instant at 5m a{i=\"1\"}\n  a{i=\"1\"} 2\n  a{i=\"3\"} 2", "gave Vector"),
    ("eval instant at 5m a{i=\"1\"}\n  a{i=\"1\"} {{}}", "gave Vector"),
    ("eval instant at 5m 3\n  2", "gave Scalar"),
    ("eval instant at 5m 3\n  {} 3", "gave Scalar"),
    ("eval instant at 5m vector(3)\n  3", "gave Vector"),
    ("eval instant at 5m \"x\"\n  expect string \"y\"", "gave String"),
    ("eval instant at 5m \"x\"\n  expect string x", "unterminated"),
    ("eval range from 0 to 5m step 5m vector(3)\n  3", "gave Matrix"),
    ("eval range from 0 to 5m step 5m a{i=\"1\"}\n  a{i=\"1\"} 1 2 3", "gave Matrix"),
    ("eval range from 0 to 5m step 5m a{i=\"1\"}\n  a{i=\"1\"} 1 _", "gave Matrix"),
    ("eval range from 0 to 5m step 5m nothing\n  a _ _", "gave Matrix"),
    ("eval range from 5m to 0s step 5m a", "the end is before the start"),
    ("eval instant at 5m a\n  a{i=\"1\"} 1 2", "an instant query gives one sample"),
    (
        "eval instant at 5m a{i=\"1\"}[5m]\n  expect range vector from 5m to 5m step 1m\n  a{i=\"1\"} 2 3",
        "gave Matrix",
    ),
    ("eval_ordered instant at 5m sort(a)\n  a{i=\"2\"} 20\n  a{i=\"1\"} 2", "gave Vector"),
    ("eval instant at 5m sort_desc(a)\n  expect ordered\n  a{i=\"1\"} 2\n  a{i=\"2\"} 20", "gave Vector"),
    ("eval_fail instant at 5m vector(0)", "did not fail"),
    (
        "eval instant at 5m ceil({i=\"1\"})\n  expect fail msg: something else",
        "failed with: vector cannot contain",
    ),
    ("eval instant at 5m a\n  expect fail\n  expect fail", "more than one"),
    ("eval instant at 5m a\n  expect fail error: x", "neither msg nor regex"),
    ("eval instant at 5m a\n  expect info\n  expect no_info", "both something and nothing"),
    ("eval instant at 5m a\n  expect no_warn\n  expect warn", "both something and nothing"),
    ("eval_warn instant at 5m vector(0)\n  {} 0", "expected warnings"),
    ("eval instant at 5m rate(a[10m])\n  expect no_info", "expected infos"),
    ("eval instant at 5m min(h or a)\n  expect info msg: something\n  {} 2", "expected infos"),
    ("eval instant at 5m h\n  h {{sum:2 count:1 buckets:[1]}}", "gave Vector"),
    ("eval instant at 5m h\n  h {{sum:1 count:1 buckets:[1] counter_reset_hint:unknown}}", "gave Vector"),
    ("eval instant at 5m h\n  h {{sum:1 sum:1}}", "twice: sum"),
    ("eval instant at x a", "not a valid duration string"),
    ("eval instant a", "expected \"at\""),
    ("load 5m\n  b 1+1", "how many times"),
    ("load 5m\n  b 1 2 _a4", "not a number"),
    ("load 5m\n  b {{schema:1}}+{{schema:0}}x2", "cannot merge from schema 0 to 1"),
    ("load 5m\n  b@st -1mx3\n  b 0+1x4", "start times of other samples"),
    ("load 5m\n  c@st -1mx4\n  b 0+1x4", "start times of other samples"),
    ("load 5m\n  b@st -1mx4", "start times without samples"),
    ("load 5m\n  b@st -1m\n  b@st -1m\n  b 0", "have no samples"),
    ("load 5m\n  b@st -1m+15s\n  b 0", "how many times"),
    ("load_with_nhcb 5m\n  b_bucket{le=\"1\"} 2\n  b_bucket{le=\"2\"} 1", "not cumulative"),
    ("load 1s\n  b 0x20000\n\neval instant at 20000s b[20000s]", "too many samples"),
    ("eval_soon instant at 0 a", "unknown command"),
    ("what", "what is this"),
];

#[tokio::test]
async fn what_does_not_hold_is_told() {
    let samples = "load 5m\n  a{i=\"1\"} 1+1x10\n  a{i=\"2\"} 10+10x10\n  b{i=\"1\"} 1x10\n  h {{}} {{sum:1 count:1 buckets:[1]}}\n\n";
    let mut others = Vec::new();
    for (script, why) in WRONG {
        let failures = run("wrong", &format!("{samples}{script}\n"), Layout::Heads).await.failures;
        if failures.len() != 1 || !failures[0].contains(why) {
            others.push(format!("{script}\n{why}\n{failures:?}"));
        }
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}
