//! What is understood, and what is said of what is not.

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Expr, ParseError> {
    super::parse(text, Features::ALL)
}

#[test]
fn printing_shows_how_it_was_understood() {
    let cases = [
        ("up", "up"),
        ("up{job='a', x=~\"b.*\"}", "up{job=\"a\",x=~\"b.*\"}"),
        ("{\"http.requests\", a!='b'}", "{\"http.requests\",a!=\"b\"}"),
        ("{__name__=~'a|b'}", "{__name__=~\"a|b\"}"),
        ("rate(x[5m])", "rate(x[5m])"),
        ("x[300]", "x[5m]"),
        ("x offset -5m @ 1.5", "x @ 1.500 offset -5m"),
        ("sum(x) by (a,b)", "sum by (a, b) (x)"),
        ("SUM without() (x)", "sum without () (x)"),
        ("topk(3, x)", "topk(3, x)"),
        ("a + on(x) group_left(y) b", "a + on (x) group_left (y) b"),
        ("-1 ^ 2", "-1 ^ 2"),
        ("1h30m", "5400"),
        ("x[1h:5m] offset 1d @ end()", "x[1h:5m] @ end() offset 1d"),
        ("x[1h:]", "x[1h:]"),
        ("x # nothing\n+ y", "x + y"),
        ("sum by (on, bool) (x)", "sum by (on, bool) (x)"),
        ("x[step() * 2 + 1m]", "x[((step() * 2s) + 1m)]"),
        ("0x1f + 1e3", "31 + 1000"),
        ("a == bool 1", "a == bool 1"),
    ];
    for (text, printed) in cases {
        assert_eq!(parse(text).map(|expr| expr.to_string()).as_deref(), Ok(printed), "{text}");
    }
}

#[test]
fn precedence_and_sides() {
    fn shape(expr: &Expr) -> String {
        match expr {
            Expr::Binary(b) => format!("({} {} {})", shape(&b.lhs), b.op.as_str(), shape(&b.rhs)),
            Expr::Unary(_, inner) => format!("-{}", shape(inner)),
            other => other.to_string(),
        }
    }
    let cases = [
        ("a + b * c ^ d ^ e", "(a + (b * (c ^ (d ^ e))))"),
        ("a or b and c unless d", "(a or ((b and c) unless d))"),
        ("a - b - c", "((a - b) - c)"),
        ("-a ^ b * c", "(-(a ^ b) * c)"),
        ("a > b + c == d", "((a > (b + c)) == d)"),
        ("a atan2 b * c", "((a atan2 b) * c)"),
    ];
    for (text, wanted) in cases {
        assert_eq!(parse(text).map(|expr| shape(&expr)).as_deref(), Ok(wanted), "{text}");
    }
}

#[test]
fn errors_are_in_prometheus_words() {
    let cases = [
        ("", "1:1: parse error: no expression found in input"),
        ("# only words", "1:1: parse error: no expression found in input"),
        ("a and on (b) group_left () c", "1:1: parse error: no grouping allowed for \"and\" operation"),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        (
            "rate(x)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        ("rate()", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 0"),
        ("nope(x)", "1:1: parse error: unknown function with name \"nope\""),
        ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("1 and 1", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"),
        ("x{a=}", "1:5: parse error: unexpected \"}\" in label matching, expected string"),
        ("(x", "1:3: parse error: unclosed left parenthesis"),
        ("x)", "1:2: parse error: unexpected right parenthesis ')'"),
        ("1 +", "1:4: parse error: unexpected end of input"),
        ("x{a=~\"(\"}", "1:3: parse error: error parsing regexp: missing closing ): `(`"),
        (
            "1e400",
            "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"1e400\": value out of range",
        ),
        ("x[5m] offset 5m offset 5m", "1:1: parse error: offset may not be set multiple times"),
        (
            "sum(x[5m])",
            "1:5: parse error: expected type instant vector in aggregation expression, got range vector",
        ),
        (
            "1 offset 1d",
            "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector \
             or a subquery",
        ),
        ("x[0]", "1:3: parse error: duration must be greater than 0"),
        ("(a+b)[5m]", "1:6: parse error: ranges only allowed for vector selectors"),
        ("a\n  b", "2:3: parse error: unexpected identifier \"b\""),
    ];
    for (text, wanted) in cases {
        assert_eq!(parse(text).map_err(|error| error.to_string()), Err(wanted.to_owned()), "{text}");
    }
}

#[test]
fn a_hostile_text_does_not_exhaust_the_stack() {
    assert!(parse(&"(".repeat(100_000)).is_err());
    assert!(parse(&format!("{}x{}", "(".repeat(5_000), ")".repeat(5_000))).is_err());
    assert!(parse(&"-".repeat(100_000)).is_err());
    assert!(parse(&"1+".repeat(100_000)).is_err());
    assert!(parse(&format!("x{}", "[1m:1m]".repeat(100_000))).is_err());
}

/// Texts that are often queries: pieces of the language in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "up",
        "x",
        "{a=\"b\"}",
        "[5m]",
        "[1h:5m]",
        "offset 5m",
        "@ 3",
        "@ end()",
        "sum",
        "by (a)",
        "rate",
        "(",
        ")",
        ",",
        "+",
        "-",
        "*",
        "^",
        "and",
        "or",
        "==",
        "bool",
        "on(a)",
        "group_left(b)",
        "1",
        "5m",
        "'s'",
        "topk",
        "inf",
        "\u{e4}",
        "step()",
        "histogram_quantile(0.9, ",
        "{\"a.b\"}",
        "</",
        "0x1",
        "1e",
        ".",
        ":",
        "\"",
        "#",
        "\n",
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #[test]
    fn arbitrary_texts_are_parsed_or_refused(text in ".*") {
        let _ = parse(&text);
    }

    #[test]
    fn what_is_printed_is_the_same_query(text in pieces()) {
        if let Ok(expr) = parse(&text) {
            let printed = expr.to_string();
            let again = parse(&printed).map_err(|error| TestCaseError::fail(format!("{printed}: {error}")))?;
            prop_assert_eq!(again.to_string(), printed);
        }
    }
}
