//! Queries from tags, and from texts that are not finished.

use traceql::{legacy, parse_valid_matchers};

#[test]
fn tags_become_one_filter() {
    type Case = (&'static [(&'static str, &'static str)], Option<i64>, Option<i64>, &'static str);
    let cases: &[Case] = &[
        (&[], None, None, "{ true }"),
        (&[("service.name", "shop")], None, None, r#"{ .service.name = "shop" }"#),
        (
            &[("http.status_code", "500"), ("a", "x y")],
            None,
            None,
            r#"{ ((.http.status_code = "500") || (.http.status_code = 500)) && (.a = "x y") }"#,
        ),
        (&[("error", "true"), ("name", "GET")], None, None, r#"{ (status = error) && (name = "GET") }"#),
        (
            &[("status.code", "ok"), ("root.name", "a")],
            None,
            None,
            r#"{ (status = ok) && (rootName = "a") }"#,
        ),
        (&[("cached", "true")], None, None, r#"{ (.cached = "true") || (.cached = true) }"#),
        (&[("x", "inf"), ("y", "")], None, None, r#"{ (.x = "inf") && (.y = "") }"#),
        (&[], Some(1_000_000), Some(2_000_000_000), "{ (traceDuration >= 1ms) && (traceDuration <= 2s) }"),
    ];
    for (tags, min, max, expected) in cases {
        let pairs: Vec<_> = tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let query = legacy(&pairs, *min, *max);
        assert_eq!(query.to_string(), *expected, "{tags:?}");
        assert_eq!(traceql::parse(expected).unwrap(), query, "{tags:?}");
    }
}

#[test]
fn what_is_valid_of_an_unfinished_query_is_kept() {
    let cases = [
        ("", None),
        ("{", None),
        ("{}", Some("{ true }")),
        (r#"{ .a = "x" }"#, Some(r#"{ .a = "x" }"#)),
        (r#"{ .a = "x" && .b = }"#, Some(r#"{ .a = "x" }"#)),
        (r#"{ .a = "x" && .b = "#, Some(r#"{ .a = "x" }"#)),
        (r#"{ .a = "x" && .b = "unfinished"#, Some(r#"{ .a = "x" }"#)),
        (r#"{ .b =~ "(" && .a = "x" && .c }"#, Some(r#"{ .a = "x" }"#)),
        (
            r#"{ name = 3 && status = error && kind = server && }"#,
            Some("{ (status = error) && (kind = server) }"),
        ),
        (r#"{ .a = "x" || .b = }"#, None),
        (r#"{ .a = "x" && !(.b = "y" }"#, None),
        (r#"{ .a = "x" && .b = } && { .c = "y" }"#, None),
        (r#"{ .a = "x" } | rate()"#, Some(r#"{ .a = "x" }"#)),
        (r#"{ .a = "x" } || { .b = "y" }"#, Some(r#"{ .a = "x" } || { .b = "y" }"#)),
    ];
    for (text, expected) in cases {
        let query = parse_valid_matchers(text).map(|filter| filter.query().to_string());
        assert_eq!(query.as_deref(), expected, "{text}");
    }
}
