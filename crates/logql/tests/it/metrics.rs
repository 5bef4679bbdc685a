//! Queries that answer with numbers.

use logql::{EvalParams, Value};
use model::Labels;

use super::{Streams, at, run, steps};

fn streams() -> Streams {
    vec![
        (
            Labels::from_pairs([("app", "api"), ("env", "dev")]),
            vec![
                (10, "level=info ms=10 d=1s", &[]),
                (20, "level=error ms=30 d=2s", &[]),
                (30, "level=info ms=20 d=3s", &[]),
                (60, "level=info ms=40 d=4s", &[]),
            ],
        ),
        (
            Labels::from_pairs([("app", "web"), ("env", "dev")]),
            vec![
                (10, "level=info ms=5 d=1s", &[("pod", "p1")]),
                (20, "level=info ms=7 d=1s", &[("pod", "p2")]),
            ],
        ),
        (Labels::from_pairs([("app", "bad")]), vec![(20, "level=info ms=x", &[]), (21, "no pairs", &[])]),
    ]
}

fn shown(value: &Value) -> String {
    match value {
        Value::Vector(samples) => {
            let lines: Vec<String> = samples.iter().map(|(labels, _, v)| format!("{labels} {v}")).collect();
            lines.join("\n")
        }
        Value::Matrix(series) => {
            let points = |points: &[(i64, f64)]| {
                points.iter().map(|(ms, v)| format!(" {}:{v}", ms / 1000)).collect::<String>()
            };
            let lines: Vec<String> =
                series.iter().map(|s| format!("{}{}", s.labels, points(&s.points))).collect();
            lines.join("\n")
        }
        Value::Scalar(ms, v) => format!("{}:{v}", ms / 1000),
        Value::Streams(_) => panic!("{value:?}"),
    }
}

#[track_caller]
fn check(query: &str, params: &EvalParams, expected: &[&str]) {
    let value = run(query, &streams(), params).unwrap_or_else(|e| panic!("{query}: {e}"));
    assert_eq!(shown(&value), expected.join("\n"), "{query}");
}

#[test]
fn counts_and_rates() {
    let now = at(30);
    check(r#"count_over_time({app="api"}[20s])"#, &now, &[r#"{app="api", env="dev"} 2"#]);
    check(r#"count_over_time({app="api"}[21s])"#, &now, &[r#"{app="api", env="dev"} 3"#]);
    check(r#"rate({app="api"} |= "info" [40s])"#, &now, &[r#"{app="api", env="dev"} 0.05"#]);
    check(
        r#"bytes_over_time({app="web"}[1m])"#,
        &now,
        &[r#"{app="web", env="dev", pod="p1"} 20"#, r#"{app="web", env="dev", pod="p2"} 20"#],
    );
    check(
        r#"sum by (app) (count_over_time({env="dev"}[1m]))"#,
        &now,
        &[r#"{app="api"} 3"#, r#"{app="web"} 2"#],
    );
    check(r#"sum without (app, pod) (bytes_rate({env="dev"}[10s]))"#, &now, &[r#"{env="dev"} 2.1"#]);
    check(r#"sum(count_over_time({env="dev"}[10s] offset 10s))"#, &now, &["{} 2"]);
    check(
        r#"sum by (level) (count_over_time({env="dev"} | logfmt [1m]))"#,
        &now,
        &[r#"{level="error"} 1"#, r#"{level="info"} 4"#],
    );
}

#[test]
fn structured_metadata_groups_and_filters() {
    let now = at(30);
    check(
        r#"sum by (pod) (count_over_time({app="web"} | logfmt | ms > 5 [1m]))"#,
        &now,
        &[r#"{pod="p2"} 1"#],
    );
    let renamed = r#"sum by (x) (count_over_time({app="web"} | label_format x="{{.pod}}" | pod!="p2" [1m]))"#;
    check(renamed, &now, &[r#"{x="p1"} 1"#]);
}

#[test]
fn steps_are_evaluated_one_by_one() {
    check(
        r#"sum(count_over_time({app="api"}[20s]))"#,
        &steps(10, 80, 10),
        &["{} 10:1 20:2 30:2 40:1 60:1 70:1"],
    );
    check(
        r#"max by (app) (max_over_time({app="api"} | logfmt | unwrap ms [20s]))"#,
        &steps(20, 60, 20),
        &[r#"{app="api"} 20:30 40:20 60:40"#],
    );
    check(r#"absent_over_time({app="api"}[20s])"#, &steps(20, 100, 30), &[r#"{app="api"} 50:1 80:1"#]);
    check("vector(3) + 1", &steps(0, 20, 10), &["{} 0:4 10:4 20:4"]);
    check("1 + 2 * 3", &steps(0, 10, 10), &["{} 0:7 10:7"]);
}

#[test]
fn unwrapped_samples() {
    for (query, expected) in [
        (r#"sum_over_time({app="api"} | logfmt | unwrap ms [1m])"#, "60"),
        (r#"avg_over_time({app="api"} | logfmt | unwrap ms [1m]) by (app)"#, "20"),
        (r#"min_over_time({app="api"} | logfmt | unwrap ms [1m]) by (app)"#, "10"),
        (r#"first_over_time({app="api"} | logfmt | unwrap ms [1m]) by (app)"#, "10"),
        (r#"last_over_time({app="api"} | logfmt | unwrap ms [1m]) by (app)"#, "20"),
        (r#"stdvar_over_time({app="api"} | logfmt | unwrap ms [25s]) by (app)"#, "66.66666666666667"),
        (r#"quantile_over_time(0.5, {app="api"} | logfmt | unwrap ms [1m]) by (app)"#, "20"),
        (r#"rate({app="api"} | logfmt | unwrap duration(d) [1m])"#, "0.1"),
    ] {
        let grouped = if query.contains("by") { query.to_owned() } else { format!("sum by (app) ({query})") };
        check(&grouped, &at(30), &[&format!(r#"{{app="api"}} {expected}"#)]);
    }
    check(
        r#"sum_over_time({app="web"} | logfmt | keep ms, app | unwrap ms [1m])"#,
        &at(30),
        &[r#"{app="web"} 12"#],
    );
}

#[test]
fn errors_of_lines_fail_the_query_unless_filtered() {
    let query =
        |filter: &str| format!(r#"sum(sum_over_time({{app="bad"}} | logfmt | unwrap ms {filter} [1m]))"#);
    let error = run(&query(""), &streams(), &at(30)).unwrap_err();
    assert!(error.starts_with("pipeline error: 'SampleExtractionErr' for series: '{"), "{error}");
    check(&query("| __error__=\"\""), &at(30), &[]);
}

#[test]
fn aggregations_and_operators() {
    let now = at(30);
    let counts = r#"sum by (app) (count_over_time({env="dev"}[1m]))"#;
    for (query, expected) in [
        (format!("topk(1, {counts})"), vec![r#"{app="api"} 3"#]),
        (format!("approx_topk(1, {counts})"), vec![r#"{app="api"} 3"#]),
        (format!("bottomk(1, {counts})"), vec![r#"{app="web"} 2"#]),
        (format!("sort({counts})"), vec![r#"{app="web"} 2"#, r#"{app="api"} 3"#]),
        (format!("sort_desc({counts})"), vec![r#"{app="api"} 3"#, r#"{app="web"} 2"#]),
        (format!("avg({counts})"), vec!["{} 2.5"]),
        (format!("count({counts})"), vec!["{} 2"]),
        (format!("stdvar({counts})"), vec!["{} 0.25"]),
        (format!("{counts} > 2"), vec![r#"{app="api"} 3"#]),
        (format!("{counts} > bool 2"), vec![r#"{app="api"} 1"#, r#"{app="web"} 0"#]),
        (format!("10 - {counts}"), vec![r#"{app="api"} 7"#, r#"{app="web"} 8"#]),
        (format!("{counts} / on(app) {counts}"), vec![r#"{app="api"} 1"#, r#"{app="web"} 1"#]),
        (
            format!("{counts} / on() group_left sum({counts})"),
            vec![r#"{app="api"} 0.6"#, r#"{app="web"} 0.4"#],
        ),
        (format!("({counts} > 2) or {counts}"), vec![r#"{app="api"} 3"#, r#"{app="web"} 2"#]),
        (format!("{counts} unless ({counts} > 2)"), vec![r#"{app="web"} 2"#]),
        (format!("{counts} and ({counts} > 2)"), vec![r#"{app="api"} 3"#]),
        (r#"count_over_time({app="none"}[1m]) or vector(0)"#.to_owned(), vec!["{} 0"]),
        (
            format!(r#"label_replace({counts}, "first", "$1-x", "app", "(.).*")"#),
            vec![r#"{app="api", first="a-x"} 3"#, r#"{app="web", first="w-x"} 2"#],
        ),
        ("2 ^ 3 ^ 2".to_owned(), vec!["30:512"]),
    ] {
        check(&query, &now, &expected);
    }
    let many = EvalParams { max_series: 1, ..now };
    let error = run(counts, &streams(), &many).unwrap_err();
    assert!(error.starts_with("maximum of series (1) reached for a single query"), "{error}");
}

#[test]
fn a_worker_s_parts_join_whatever_the_split() {
    // Three streams fall to two workers; dropping the label that tells them apart joins them again.
    for (query, expected) in [
        (r#"avg_over_time({env="dev"} | logfmt | unwrap ms [1m]) by (env)"#, "14.4"),
        (r#"stddev_over_time({env="dev"} | logfmt | unwrap ms [1m]) by (env)"#, "9.350935782048767"),
        (r#"max_over_time({env="dev"} | logfmt | unwrap ms [1m]) by (env)"#, "30"),
        (r#"quantile_over_time(1, {env="dev"} | logfmt | unwrap ms [1m]) by (env)"#, "30"),
    ] {
        check(query, &at(30), &[&format!(r#"{{env="dev"}} {expected}"#)]);
    }
    check(r#"count_over_time({env="dev"} | drop app, pod [1m])"#, &at(30), &[r#"{env="dev"} 5"#]);
}
