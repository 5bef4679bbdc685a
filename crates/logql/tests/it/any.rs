//! What holds for any pipeline over any lines.

use logql::Value;
use model::Labels;
use model::log::{Entry, LogBatchBuilder};
use proptest::prelude::*;

use super::log_params;

const STAGES: [&str; 16] = [
    "| json",
    "| logfmt",
    "| json x=\"a.b[0]\", y=\"a\"",
    "| unpack",
    "| decolorize",
    "| pattern \"<a> <_>=<b>\"",
    "| regexp \"(?P<a>[a-z]+)\"",
    "|= \"a\" or \"=\"",
    "!= \"zz\"",
    "|> \"<_>a<_>\"",
    "| a > 1 or b <= 5s or x = ip(\"::1\")",
    "| line_format \"{{ .a | upper }}{{ __line__ | trunc 5 }}\"",
    "| label_format a=b, c=\"{{ .x }}-{{ fromJson .y }}\"",
    "| drop a, b=\"1\"",
    "| keep a, b, app",
    "|~ \"[0-9]\"",
];

fn run(stages: &[usize], lines: &[String], metric: bool) -> Result<Value, String> {
    let pipeline: Vec<&str> = stages.iter().map(|i| STAGES[*i]).collect();
    let pipeline = pipeline.join(" ");
    let query = match metric {
        false => format!("{{app=\"x\"}} {pipeline}"),
        true => format!("sum by (a) (count_over_time({{app=\"x\"}} {pipeline} | __error__=\"\" [1h]))"),
    };
    let expr = logql::parse(&query).map_err(|e| e.to_string())?;
    assert_eq!(logql::parse(&expr.to_string()).as_ref(), Ok(&expr));
    let plan = logql::plan(&expr, &log_params(1000)).map_err(|e| e.to_string())?;
    let mut builder = LogBatchBuilder::default();
    let labels = Labels::from_pairs([("app", "x"), ("a", "base")]);
    let stream = builder.stream(&labels);
    for (i, line) in lines.iter().enumerate() {
        builder.entry(
            stream,
            Entry { timestamp_ns: i64::try_from(i).expect("few lines"), line, ..Entry::default() },
        );
    }
    let mut worker = plan.leaves[0].worker();
    worker.entries(&labels, &builder.finish().entries).map_err(|e| e.to_string())?;
    assert_eq!(worker.stats().lines_processed, lines.len() as u64);
    let batch = worker.finish().map_err(|e| e.to_string())?;
    logql::finish(&plan, vec![vec![batch]]).map(|output| output.value).map_err(|e| e.to_string())
}

fn lines() -> impl Strategy<Value = Vec<String>> {
    let line = prop_oneof![
        "\\PC{0,30}",
        "[ab]=[0-9a\" ]{0,4} [xy]=[0-9.]{0,3}",
        "\\{\"[ab]\":[0-9\"\\[\\]\\{\\}]{0,6}\\}",
    ];
    prop::collection::vec(line, 0..8)
}

proptest! {
    #[test]
    fn no_line_breaks_a_pipeline(stages in prop::collection::vec(0_usize..16, 0..5), lines in lines()) {
        prop_assert!(run(&stages, &lines, false).is_ok());
        prop_assert!(run(&stages, &lines, true).is_ok());
    }
}

#[test]
fn plans_and_workers_may_cross_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<logql::Plan>();
    crosses::<logql::Leaf>();
    crosses::<logql::Worker>();
}
