//! Runs query scripts against series in memory: our own in `testdata/`, where each case must hold, and those of the
//! folders named in `PROMQLTEST_DIRS` (separated by `:`), where each must hold too.

mod classic;

mod histogram;

mod script;

mod store;

use std::path::Path;

use script::Script;
use store::Store;

/// How many cases a script has, and what is said of those that do not hold.
struct Report {
    cases: usize,
    failures: Vec<String>,
}

fn run(path: &Path) -> Report {
    let text = std::fs::read_to_string(path).expect("the script was listed");
    let mut report = Report { cases: 0, failures: Vec::new() };
    let mut store = Store::default();
    for block in Script::parse(&text) {
        match block {
            Ok(script::Block::Clear) => store = Store::default(),
            Ok(script::Block::Load { step_ms, mut series, native }) => {
                if native {
                    let more = classic::to_native(&series);
                    series.extend(more);
                }
                series.into_iter().for_each(|(labels, samples)| store.load(&labels, &samples, step_ms));
            }
            Ok(script::Block::Eval(case)) => {
                report.cases += 1;
                if let Err(why) = store.check(&case) {
                    report.failures.push(format!(
                        "{}:{}: {}\n      {why}",
                        path.display(),
                        case.line,
                        case.query
                    ));
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

fn scripts(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).map(|entries| entries.flatten().map(|entry| entry.path()).collect());
    let mut paths: Vec<_> = entries.unwrap_or_else(|_| Vec::new());
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "test"));
    paths.sort();
    paths
}

#[test]
fn our_scripts_hold() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let reports: Vec<Report> = scripts(&dir).iter().map(|path| run(path)).collect();
    let failures: Vec<String> = reports.iter().flat_map(|report| report.failures.clone()).collect();
    assert!(reports.iter().map(|report| report.cases).sum::<usize>() > 0, "there are no scripts in testdata");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
#[expect(clippy::print_stdout, reason = "which scripts ran is part of the result")]
fn foreign_scripts_hold() {
    let dirs = std::env::var("PROMQLTEST_DIRS").unwrap_or_default();
    let mut failures = Vec::new();
    for path in dirs.split(':').filter(|dir| !dir.is_empty()).flat_map(|dir| scripts(Path::new(dir))) {
        let report = run(&path);
        println!("{}: {} of {} hold", path.display(), report.cases - report.failures.len(), report.cases);
        failures.extend(report.failures);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
