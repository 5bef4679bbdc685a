//! What parses to what, what is refused with which words, and what holds for any text.

use proptest::prelude::*;

use super::*;

const QUERIES: &[(&str, &str)] = &[
    (r#"{app="web"}"#, r#"{app="web"}"#),
    (
        r#"{app="web", env=~"a|b",} |= "x" or `y` != "z" |~ "re" !~ "no" |> "<_> p" !> "q <_>""#,
        r#"{app="web", env=~"a|b"} |= "x" or "y" != "z" |~ "re" !~ "no" |> "<_> p" !> "q <_>""#,
    ),
    (r#"{a="b"} |= ip("10.0.0.0/8") or "z""#, r#"{a="b"} |= ip("10.0.0.0/8") or "z""#),
    (
        r#"{a="b"} | json | json x="a.b[0]", y | logfmt --strict --keep-empty k, v="w" | unpack | decolorize"#,
        r#"{a="b"} | json | json x="a.b[0]", y="y" | logfmt --strict --keep-empty k="k", v="w" | unpack | decolorize"#,
    ),
    (
        r#"{a="b"} | regexp "(?P<x>.)" | pattern "<x> y" | line_format "{{.x}}" | label_format x=y,z="{{.q}}""#,
        r#"{a="b"} | regexp "(?P<x>.)" | pattern "<x> y" | line_format "{{.x}}" | label_format x=y, z="{{.q}}""#,
    ),
    (r#"{a="b"} | drop x, y=~"1.*" | keep z, w="2""#, r#"{a="b"} | drop x, y=~"1.*" | keep z, w="2""#),
    (
        r#"{a="b"} | s >= 500 and m="GET" or d > 1m30s , z<5KB | ip = ip("::1") | json="x" | json != "x" | (logfmt!="y")"#,
        r#"{a="b"} | ((s>=500 and m="GET") or (d>1m30s and z<5000B)) | ip=ip("::1") | (json="x") | json != "x" | (logfmt!="y")"#,
    ),
    (r#"{a="b"} | (x="1" or y="2") z!=-3 q==1"#, r#"{a="b"} | (((x="1" or y="2") and z!=-3) and q==1)"#),
    (r#"rate({a="b"}[5m])"#, r#"rate({a="b"}[5m])"#),
    (r#"count_over_time(({a="b"} |= "x")[1h] )"#, r#"count_over_time({a="b"} |= "x" [1h])"#),
    (r#"rate({a="b"}[5m] offset 1h | json)"#, r#"rate({a="b"} | json [5m] offset 1h)"#),
    (
        r#"quantile_over_time(0.99, {a="b"} | json | unwrap duration(t) | __error__="" [1m]) by (x, y)"#,
        r#"quantile_over_time(0.99, {a="b"} | json | unwrap duration_seconds(t) | __error__="" [1m]) by (x, y)"#,
    ),
    (
        r#"sum by (x) (rate({a="b"}[1m])) / ignoring(y) group_left(z) sum without (x) (rate({a="b"}[1m])) > bool 5"#,
        "((sum by (x) (rate({a=\"b\"}[1m])) / ignoring (y) group_left (z) sum without (x) (rate({a=\"b\"}[1m]))) > bool 5)",
    ),
    (r#"topk(3, rate({a="b"}[1m])) by (c)"#, r#"topk by (c) (3, rate({a="b"}[1m]))"#),
    (r#"1 + 2 * 3 ^ 2 ^ 2 - -1"#, "((1 + (2 * (3 ^ (2 ^ 2)))) - -1)"),
    (
        r#"sort_desc(sum(bytes_rate({a="b"}[1m]))) or vector(0)"#,
        r#"(sort_desc(sum(bytes_rate({a="b"}[1m]))) or vector(0))"#,
    ),
    (
        r#"label_replace(rate({a="b"}[1m]), "x", "$1", "a", "(.*)")"#,
        r#"label_replace(rate({a="b"}[1m]), "x", "$1", "a", "(.*)")"#,
    ),
];

#[test]
fn queries_parse_and_print() {
    for (query, expected) in QUERIES {
        let expr = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(expr.to_string(), *expected);
        assert_eq!(parse(expected).unwrap(), expr, "{expected}");
    }
}

#[test]
fn refusals_are_in_lokis_words() {
    for (query, expected) in [
        ("", "parse error at line 1, col 1: syntax error: unexpected $end"),
        (r#"{a="b""#, "parse error at line 1, col 7: syntax error: unexpected $end, expecting } or ,"),
        (
            r#"{a="b"} |"#,
            "parse error at line 1, col 10: syntax error: unexpected $end, expecting IDENTIFIER",
        ),
        (
            r#"{a "b"}"#,
            "parse error at line 1, col 4: syntax error: unexpected STRING, expecting = or =~ or !~ or !=",
        ),
        (r#"unk({a="b"}[5m])"#, "parse error at line 1, col 1: syntax error: unexpected IDENTIFIER"),
        (r#"rate({a="b"})"#, "parse error at line 1, col 13: syntax error: unexpected ), expecting RANGE"),
        (r#"sum_over_time({a="b"}[1m])"#, "parse error : invalid aggregation sum_over_time without unwrap"),
        (
            r#"count_over_time({a="b"} | unwrap x [1m])"#,
            "parse error : invalid aggregation count_over_time with unwrap",
        ),
        (r#"topk(rate({a="b"}[1m]))"#, "parse error : parameter required for operation topk"),
        (r#"sum(3, rate({a="b"}[1m]))"#, "parse error : unsupported parameter for operation sum(3,"),
        (r#"rate({a="b"}[1m]) by (x)"#, "parse error : grouping not allowed for rate aggregation"),
        (
            r#"{a="b"} | x > "5""#,
            "parse error at line 1, col 15: syntax error: unexpected STRING, expecting BYTES or NUMBER or DURATION",
        ),
    ] {
        assert_eq!(parse(query).unwrap_err().to_string(), expected, "{query}");
    }
    for query in ["{}", r#"{a=~".*"}"#, r#"{a!="b"}"#, r#"{a=""}"#] {
        let error = parse(query).unwrap_err().to_string();
        assert!(
            error.starts_with("parse error : queries require at least one regexp or equality matcher"),
            "{query}"
        );
        assert!(parse_selector(query).is_ok());
    }
    let deep = "(".repeat(100_000);
    assert!(parse(&deep).is_err());
    assert!(parse(&format!("rate({deep}")).is_err());
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC*", pieces in prop::collection::vec(0_usize..32, 0..24)) {
        let words = [
            "{", "}", "a", "=", "\"b\"", "|", "|=", "json", "unwrap", "(", ")", "[5m]", "rate", "sum", "by", ",",
            "and", "or", "5", "5KB", "!=", "offset", "1h", "ip", "-", "topk", "drop", "label_format", "[", "bool",
            "on", "{a=\"b\"}",
        ];
        let _ = parse(&text);
        let joined: Vec<&str> = pieces.iter().map(|i| words[*i]).collect();
        if let Ok(expr) = parse(&joined.join(" ")) {
            let shown = expr.to_string();
            prop_assert_eq!(parse(&shown).map_err(|e| e.to_string()), Ok(expr), "{}", shown);
        }
    }
}
