//! Queries that answer with lines.

use logql::{Direction, EvalParams, Value};
use model::Labels;

use super::{Streams, log_params, run};

fn streams() -> Streams {
    vec![
        (
            Labels::from_pairs([("app", "api"), ("env", "dev")]),
            vec![
                (10, r#"{"level":"info","status":200,"app":"inner","t":{"ms":12}}"#, &[]),
                (20, r#"{"level":"error","status":500,"t":{"ms":90}}"#, &[("trace", ""), ("pod", "p1")]),
                (30, "not json at all", &[]),
            ],
        ),
        (
            Labels::from_pairs([("app", "web"), ("env", "dev")]),
            vec![
                (10, r#"level=info method=GET path="/a b" dur=12ms size=2KB peer=10.1.2.3"#, &[]),
                (15, "level=warn method=POST path=/x dur=1.5s size=10B peer=192.168.0.1", &[]),
                (15, "level=warn method=POST path=/x dur=1.5s size=10B peer=192.168.0.1", &[]),
                (40, "\u{1b}[31mlevel=error\u{1b}[0m method=GET", &[("env", "meta")]),
            ],
        ),
    ]
}

/// An answer as text: a line per stream, then its lines.
fn shown(value: &Value) -> String {
    let Value::Streams(streams) = value else { panic!("{value:?}") };
    let mut out = String::new();
    for stream in streams {
        out.push_str(&format!("{}\n", stream.labels));
        for entry in &stream.entries {
            out.push_str(&format!("  {} {}\n", entry.timestamp_ns / 1_000_000_000, entry.line));
        }
    }
    out
}

#[track_caller]
fn check(query: &str, expected: &[&str]) {
    let value = run(query, &streams(), &log_params(100)).unwrap_or_else(|e| panic!("{query}: {e}"));
    assert_eq!(shown(&value).trim_end(), expected.join("\n"), "{query}");
}

#[test]
fn line_filters() {
    check(
        r#"{app="web"} |= "POST" != "GET""#,
        &[
            r#"{app="web", env="dev"}"#,
            "  15 level=warn method=POST path=/x dur=1.5s size=10B peer=192.168.0.1",
            "  15 level=warn method=POST path=/x dur=1.5s size=10B peer=192.168.0.1",
        ],
    );
    check(
        r#"{env="dev"} |= "not json" or "path=\"/a""#,
        &[
            r#"{app="api", env="dev"}"#,
            "  30 not json at all",
            r#"{app="web", env="dev"}"#,
            r#"  10 level=info method=GET path="/a b" dur=12ms size=2KB peer=10.1.2.3"#,
        ],
    );
    check(
        r#"{app="web"} |= ip("10.0.0.0/8") | logfmt | keep dur"#,
        &[r#"{dur="12ms"}"#, r#"  10 level=info method=GET path="/a b" dur=12ms size=2KB peer=10.1.2.3"#],
    );
    check(r#"{app="api"} |> "<_> json <_>""#, &[r#"{app="api", env="dev"}"#, "  30 not json at all"]);
}

#[test]
fn parsers_and_label_filters() {
    check(
        r#"{app="api"} | json | status >= 500"#,
        &[
            r#"{__error__="JSONParserErr", __error_details__="expecting a JSON object at offset=0", app="api", env="dev"}"#,
            "  30 not json at all",
            "{app=\"api\", env=\"dev\", level=\"error\", pod=\"p1\", status=\"500\", t_ms=\"90\", \
         trace_id=\"abababababababababababababababab\"}",
            r#"  20 {"level":"error","status":500,"t":{"ms":90}}"#,
        ],
    );
    check(
        r#"{app="api"} | json ms="t.ms" | __error__="" | ms < 50 | line_format "{{.ms}}ms""#,
        &[r#"{app="api", env="dev", ms="12"}"#, "  10 12ms"],
    );
    check(
        r#"{app="api"} | json | app_extracted="inner" | keep app_extracted"#,
        &[r#"{app_extracted="inner"}"#, r#"  10 {"level":"info","status":200,"app":"inner","t":{"ms":12}}"#],
    );
    check(
        r#"{app="web"} | logfmt | dur > 1s and size <= 10B or peer = ip("10.1.2.3") | keep method"#,
        &[
            r#"{method="GET"}"#,
            r#"  10 level=info method=GET path="/a b" dur=12ms size=2KB peer=10.1.2.3"#,
            r#"{method="POST"}"#,
            "  15 level=warn method=POST path=/x dur=1.5s size=10B peer=192.168.0.1",
            "  15 level=warn method=POST path=/x dur=1.5s size=10B peer=192.168.0.1",
        ],
    );
    check(
        r#"{app="web"} | pattern "level=<lvl> method=<m> " | lvl="info" | drop env"#,
        &[
            r#"{app="web", lvl="info", m="GET"}"#,
            r#"  10 level=info method=GET path="/a b" dur=12ms size=2KB peer=10.1.2.3"#,
        ],
    );
    check(
        r#"{app="web"} | regexp "path=(?P<p>/x)" | p!="" | line_format `{{.p | replace "/" ""}}` | keep p"#,
        &[r#"{p="/x"}"#, "  15 x", "  15 x"],
    );
}

#[test]
fn formats_and_metadata() {
    check(
        r#"{app="web"} | decolorize | logfmt | level="error" | label_format lvl=level,x="{{.method}}!""#,
        &[
            r#"{app="web", env="dev", env_extracted="meta", lvl="error", method="GET", x="GET!"}"#,
            "  40 level=error method=GET",
        ],
    );
    check(
        r#"{app="api"} | pod="p1" | drop pod, trace_id"#,
        &[r#"{app="api", env="dev"}"#, r#"  20 {"level":"error","status":500,"t":{"ms":90}}"#],
    );
}

#[test]
fn directions_limits_and_ends() {
    let run_with = |direction, limit, start: i64, end: i64| {
        let second = 1_000_000_000_i64;
        let params =
            EvalParams { direction, limit, start_ns: start * second, end_ns: end * second, ..log_params(1) };
        shown(&run(r#"{env="dev"} | drop app | line_format "x""#, &streams(), &params).unwrap())
    };
    assert_eq!(
        run_with(Direction::Backward, 3, 0, 1000).trim(),
        "{env=\"dev\"}\n  30 x\n{env=\"dev\", env_extracted=\"meta\"}\n  40 x\n{env=\"dev\", pod=\"p1\", trace_id=\"abababababababababababababababab\"}\n  20 x"
    );
    assert_eq!(run_with(Direction::Forward, 3, 0, 1000).trim(), "{env=\"dev\"}\n  10 x\n  10 x\n  15 x");
    assert_eq!(run_with(Direction::Forward, 9, 15, 15), "");
    assert_eq!(run_with(Direction::Forward, 9, 15, 20).trim(), "{env=\"dev\"}\n  15 x\n  15 x");
    assert_eq!(run_with(Direction::Forward, 0, 0, 1000), "");
}

#[test]
fn labels_are_kept_apart_by_kind() {
    let value = run(r#"{app="api"} | json | level="error""#, &streams(), &log_params(10)).unwrap();
    let Value::Streams(streams) = value else { panic!() };
    assert_eq!(streams[0].stream_labels().to_string(), r#"{app="api", env="dev"}"#);
    let names =
        |pairs: &[(String, String)]| pairs.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>().join(" ");
    assert_eq!(names(&streams[0].entries[0].structured), "pod trace_id");
    assert_eq!(names(&streams[0].entries[0].parsed), "level status t_ms");
}

#[test]
fn what_cannot_be_planned_is_named() {
    for (query, expected) in [
        (
            r#"{a="b"} | regexp "(x)""#,
            "parse error : stage '| regexp \"(x)\"' : at least one named capture must be supplied",
        ),
        (
            r#"{a="b"} | json | line_format "{{ nope }}""#,
            "parse error : stage '| line_format \"{{ nope }}\"' : invalid template: function \"nope\" not defined",
        ),
        (r#"{a="b"} |= ip("x")"#, "parse error : stage '|= ip(\"x\")' : invalid ip pattern: x"),
    ] {
        assert_eq!(run(query, &streams(), &log_params(1)).unwrap_err(), expected);
    }
}

#[test]
fn steps_bound_metric_queries_alone() {
    let params = EvalParams { step_ns: 1, ..log_params(10) };
    assert!(run(r#"{app="web"}"#, &streams(), &params).is_ok());
    let error = run(r#"rate({app="web"}[1m])"#, &streams(), &params).unwrap_err();
    assert!(error.starts_with("invalid time range: steps=1000000000001 max_steps=100000"), "{error}");
}

#[test]
fn needles_and_columns_are_told() {
    let plan = |query: &str| logql::plan(&logql::parse(query).unwrap(), &log_params(10)).unwrap();
    let leaf = |query: &str| std::sync::Arc::clone(&plan(query).leaves[0]);
    let one = leaf(
        r#"{a="b"} |= "x" |~ "y.*" |~ "lit" |> "<_>p<_>" |= "a" or "b" | json |= "z" | line_format "q" |= "w""#,
    );
    assert_eq!(one.needles(), ["x", "lit", "p", "z"]);
    assert_eq!(one.lines(), Some((10, Direction::Backward)));
    let cases: [(&str, bool, Option<&[&str]>); 9] = [
        (r#"{a="b"}"#, true, None),
        (r#"sum(count_over_time({a="b"}[1m]))"#, false, Some(&[])),
        (r#"sum by (x) (count_over_time({a="b"}[1m]))"#, false, Some(&["x"])),
        (r#"sum without (x) (count_over_time({a="b"}[1m]))"#, false, None),
        (r#"count_over_time({a="b"}[1m])"#, false, None),
        (r#"sum(bytes_rate({a="b"}[1m]))"#, true, Some(&[])),
        (r#"sum(rate({a="b"} |= "x" [1m]))"#, true, Some(&[])),
        (r#"sum(rate({a="b"} | pod="x" [1m]))"#, false, Some(&["pod"])),
        (
            r#"sum by (x) (rate({a="b"} | json | s_extracted > 5 [1m]))"#,
            true,
            Some(&["s", "s_extracted", "x"]),
        ),
    ];
    for (query, line, metadata) in cases {
        let metadata = metadata.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect());
        assert_eq!((leaf(query).needs_line(), leaf(query).metadata_keys()), (line, metadata), "{query}");
    }
}
