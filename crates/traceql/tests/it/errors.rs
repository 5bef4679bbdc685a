//! What is said of texts that are no queries.

use expect_test::expect;
use model::Kind;
use model::error::Classified;
use traceql::SearchParams;

#[test]
fn errors_name_the_place_and_the_reason() {
    let texts = [
        "",
        "{",
        "{ .a = }",
        "{ . }",
        "{ span. = 1 }",
        "{ .a = \"x }",
        "{ .a == 1 }",
        "{ foo = 1 }",
        "{ span:bogus = 1 }",
        "{ .a = 1 } |",
        "{ .a = 1 } { .b = 1 }",
        "{ .a = 99999999999999999999 }",
        "{ duration > 5x }",
        "{}\n| count() >",
        "{} | select(1)",
        "{} | foo()",
        "{} | rate()",
        "{} | quantile_over_time(duration, .9) by (name)",
        "({} | count()) > ({} | count())",
        "{ \"a\" }",
        "{ 1 + 1 }",
        "{ \"a\" + 1 = 2 }",
        "{ name = 1 }",
        "{ status > error }",
        "{ duration =~ \"1\" }",
        "{ status = ok && 3 }",
        "{ -name = 1 }",
        "{ !duration }",
        "{} | avg(name) > 1",
        "{} | avg(1) > 1",
        "{} | by(1)",
    ];
    let said: String = texts
        .iter()
        .map(|text| format!("{text:?}: {}\n", traceql::parse(text).map(|q| q.to_string()).unwrap_err()))
        .collect();
    expect![[r#"
        "": parse error at line 1, col 1: syntax error: unexpected end of the query, expecting { or (
        "{": parse error at line 1, col 2: syntax error: unexpected end of the query, expecting a field or a value
        "{ .a = }": parse error at line 1, col 8: syntax error: unexpected }, expecting a field or a value
        "{ . }": parse error at line 1, col 4: syntax error: unexpected END_ATTRIBUTE, expecting IDENTIFIER
        "{ span. = 1 }": parse error at line 1, col 8: syntax error: unexpected END_ATTRIBUTE, expecting IDENTIFIER
        "{ .a = \"x }": parse error at line 1, col 8: syntax error: literal not terminated
        "{ .a == 1 }": parse error at line 1, col 7: syntax error: unexpected =, expecting a field or a value
        "{ foo = 1 }": parse error at line 1, col 3: syntax error: unexpected foo, expecting a field or a value
        "{ span:bogus = 1 }": parse error at line 1, col 3: syntax error: unexpected span:bogus, expecting a field or a value
        "{ .a = 1 } |": parse error at line 1, col 13: syntax error: unexpected end of the query, expecting { or (
        "{ .a = 1 } { .b = 1 }": parse error at line 1, col 12: syntax error: unexpected {, expecting the end of the query
        "{ .a = 99999999999999999999 }": parse error at line 1, col 8: syntax error: 99999999999999999999 is not a number in range
        "{ duration > 5x }": parse error at line 1, col 15: syntax error: unexpected x, expecting }
        "{}\n| count() >": parse error at line 2, col 12: syntax error: unexpected end of the query, expecting an aggregate or a number
        "{} | select(1)": parse error at line 1, col 13: syntax error: unexpected 1, expecting an attribute
        "{} | foo()": parse error at line 1, col 6: syntax error: unexpected foo, expecting an aggregate or a number
        "{} | rate()": metrics queries (rate()) not yet supported
        "{} | quantile_over_time(duration, .9) by (name)": metrics queries (quantile_over_time()) not yet supported
        "({} | count()) > ({} | count())": comparisons of the aggregates of pipelines not yet supported
        "{ \"a\" }": span filter field expressions must resolve to a boolean: { "a" }
        "{ 1 + 1 }": span filter field expressions must resolve to a boolean: { 1 + 1 }
        "{ \"a\" + 1 = 2 }": binary operations must operate on the same type: "a" + 1
        "{ name = 1 }": binary operations must operate on the same type: name = 1
        "{ status > error }": illegal operation for the given types: status > error
        "{ duration =~ \"1\" }": binary operations must operate on the same type: duration =~ "1"
        "{ status = ok && 3 }": binary operations must operate on the same type: (status = ok) && 3
        "{ -name = 1 }": illegal operation for the given type: -name
        "{ !duration }": illegal operation for the given type: !duration
        "{} | avg(name) > 1": aggregate field expressions must resolve to a number type: avg(name)
        "{} | avg(1) > 1": aggregate field expressions must reference the span: avg(1)
        "{} | by(1)": grouping field expressions must reference the span: by(1)
    "#]].assert_eq(&said);
}

#[test]
fn a_place_is_pointed_at() {
    let text = "{ .a = }";
    let error = traceql::parse(text).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.with_caret(text).ends_with("{ .a = }\n       ^"), "{}", error.with_caret(text));
}

#[test]
fn regular_expressions_are_compiled_when_planned() {
    let cases = [
        ("{ .a =~ \"(\" }", "invalid regular expression: "),
        ("{ .a =~ .b }", "the right side of a regular expression match must be a string: .b"),
        ("{ .a =~ \"((((a{99}){99}){99}){99})\" }", "invalid regular expression: "),
    ];
    for (text, expected) in cases {
        let query = traceql::parse(text).unwrap();
        let error = traceql::plan(&query, &SearchParams::default()).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn texts_that_nest_too_deep_or_are_too_long_are_refused() {
    let deep = [
        format!("{{ {}.a }}", "!".repeat(100_000)),
        format!("{{ {} .a", "(".repeat(100_000)),
        format!("{} {{}}", "(".repeat(100_000)),
        format!("{}1 > 1", "(".repeat(100_000)),
        format!("{{ .a {} }}", "&& .a ".repeat(10_000)),
        format!("{{}} {}", "&& {} ".repeat(10_000)),
        " ".repeat(200_000),
    ];
    for text in deep {
        assert!(traceql::parse(&text).is_err());
    }
}
