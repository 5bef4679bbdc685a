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
        ("up{z='1', a='2'}", "up{a=\"2\",z=\"1\"}"),
        ("{\"http.requests\", a!='b'}", "{__name__=\"http.requests\",a!=\"b\"}"),
        ("{\"a b\"='c', \"m\"}", "{\"a b\"=\"c\",__name__=\"m\"}"),
        ("{__name__=~'a|b'}", "{__name__=~\"a|b\"}"),
        ("{a='\\xff\\ufffd'}", "{a=\"\\xff\\ufffd\"}"),
        ("rate(x[5m])", "rate(x[5m])"),
        ("x[300]", "x[5m]"),
        ("x offset -5m @ 1.5", "x @ 1.500 offset -5m"),
        ("x[1m] offset 1m @ start() anchored", "x[1m] anchored @ start() offset 1m"),
        ("x offset 1m smoothed @ end()", "x @ end() smoothed offset 1m"),
        ("x offset 0 offset 1m", "x offset 1m"),
        ("sum(x) by (a,b)", "sum by (a, b) (x)"),
        ("SUM without() (x)", "sum without () (x)"),
        ("topk(3, x)", "topk(3, x)"),
        ("a + on(x) group_left(y) b", "a + on (x) group_left (y) b"),
        ("a + on(x) group_left b", "a + on (x) group_left () b"),
        ("1 + on() a", "1 + a"),
        ("a + fill_right(-1) fill_left(2h) b", "a + fill_left (7200) fill_right (-1) b"),
        ("fill + fill", "fill + fill"),
        ("and and unless", "and and unless"),
        ("by{on='a'} - offset offset 1m", "by{on=\"a\"} - offset offset 1m"),
        ("-1 ^ 2", "-1 ^ 2"),
        ("1h30m", "1h30m"),
        ("-(1e-7) + 1e21 + inf", "-(0.0000001) + 1000000000000000000000 + +Inf"),
        ("x[1h:5m] offset 1d @ end()", "x[1h:5m] @ end() offset 1d"),
        ("x[1h:]", "x[1h:]"),
        ("x # nothing\n+ y", "x + y"),
        ("x # nothing\r+ y", "x + y"),
        ("sum by (on, bool) (x)", "sum by (on, bool) (x)"),
        ("sum by ('without', 'nan', a:b) (x)", "sum by (\"without\", \"nan\", \"a:b\") (x)"),
        ("x[step() * 2 + 1m]", "x[step() * 2 + 1m]"),
        ("x[(step() + 1m) * 2:MAX_OF(range(), 5)]", "x[(step() + 1m) * 2:max_of(range(), 5)]"),
        ("x offset -2 ^ 2", "x offset -2s ^ 2"),
        ("x offset -(2 ^ 2)", "x offset -(2 ^ 2)"),
        ("x offset (1m)", "x offset (1m)"),
        ("0x1f + 1e3 + 010", "31 + 1000 + 8"),
        ("a == bool 1", "a == bool 1"),
        ("info(a, {})", "info(a, {})"),
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

fn assert_errors(features: Features, cases: &[(&str, &str)]) {
    for (text, wanted) in cases {
        let got = super::parse(text, features).map_err(|error| error.to_string());
        let (place, message) = wanted.split_once(' ').unwrap();
        assert_eq!(got, Err(format!("{place}: parse error: {message}")), "{text}");
    }
}

#[test]
fn errors_are_in_prometheus_words() {
    const MOVES: &str =
        "modifier must be preceded by an instant vector selector or range vector selector or a subquery";
    const DURATION: &str = "in offset, expected number, duration, step(), or range()";
    let cases = [
        (" ", "1:1 no expression found in input"),
        ("# only words", "1:1 no expression found in input"),
        ("x{a=}", "1:5 unexpected \"}\" in label matching, expected string"),
        ("x{a}", "1:4 unexpected \"}\" in label matching, expected label matching operator"),
        ("x{a='b' and}", "1:9 unexpected identifier \"and\" in label matching, expected \",\" or \"}\""),
        ("x{,}", "1:3 unexpected \",\" in label matching, expected identifier or \"}\""),
        ("{'a' 'b'}", "1:6 unexpected string \"'b'\" in label matching, expected \",\" or \"}\""),
        ("1 +", "1:4 unexpected end of input"),
        ("a\n  b", "2:3 unexpected identifier \"b\""),
        ("a 'long enough to be cut'", "1:3 unexpected string \"'long enou\"..."),
        ("a a:b", "1:3 unexpected metric identifier \"a:b\""),
        ("a sum", "1:3 unexpected <aggr:sum>"),
        ("a Start", "1:3 unexpected \"Start\""),
        ("a > bool on (a) ignoring (b) c", "1:17 unexpected <ignoring>"),
        ("a = b", "1:3 unexpected \"=\""),
        ("a @ @", "1:5 unexpected <op:@> in @, expected timestamp"),
        ("a @ start", "1:10 unexpected end of input in @, expected timestamp"),
        ("a offset b", &format!("1:10 unexpected identifier \"b\" {DURATION}")),
        ("sum(a b)", "1:7 unexpected identifier \"b\" in aggregation"),
        ("sum(abs(a by (b)))", "1:11 unexpected <by> in aggregation"),
        ("sum by a (b)", "1:8 unexpected identifier \"a\" in grouping opts, expected \"(\""),
        ("sum by (a b) (c)", "1:11 unexpected identifier \"b\" in grouping opts, expected \",\" or \")\""),
        ("sum by (without) (c)", "1:9 unexpected <without> in grouping opts, expected label"),
        ("sum by (inf) (c)", "1:9 unexpected number \"inf\" in grouping opts, expected label"),
        ("inf{a='b'}", "1:4 unexpected \"{\""),
        ("and()", "1:4 unexpected \"(\""),
        ("a + group_left () b", "1:5 unexpected <group_left>"),
        ("a{b=~'('}", "1:3 error parsing regexp: missing closing ): `(`"),
        ("a{b=~'\\xff'}", "1:3 error parsing regexp: invalid UTF-8: `\u{fffd}`"),
        ("sum by (1) (c)", "1:9 unexpected number \"1\" in grouping opts, expected label"),
        ("sum by ('\\xff') (c)", "1:9 invalid label name for grouping: \"\\xff\""),
        ("(a + on (b) group_left )", "1:24 unexpected \")\" in grouping opts, expected \"(\""),
        ("abs(a,)", "1:6 trailing commas not allowed in function call args"),
        ("nope(a)", "1:1 unknown function with name \"nope\""),
        ("nope(a b)", "1:8 unexpected identifier \"b\""),
        ("count()", "1:1 no arguments for aggregate expression provided"),
        ("count(a, b)", "1:1 wrong number of arguments for aggregate expression provided, expected 1, got 2"),
        ("1e400", "1:1 error parsing number: strconv.ParseFloat: parsing \"1e400\": value out of range"),
        ("0x", "1:1 error parsing number: strconv.ParseFloat: parsing \"0x\": invalid syntax"),
        ("1.5h", "1:1 unknown unit \".\" in duration \"1.5h\""),
        ("1h1d", "1:1 not a valid duration string: \"1h1d\""),
        ("1 offset 1d", &format!("1:1 offset {MOVES}")),
        ("(a) @ 1", &format!("1:1 @ {MOVES}")),
        ("a[5m] offset 5m offset 5m", "1:1 offset may not be set multiple times"),
        ("a @ 1 @ end()", "1:1 @ <timestamp> may not be set multiple times"),
        ("a @ 1e19", "1:1 timestamp out of bounds for @ modifier: 10000000000000000000.000000"),
        ("a offset -1e10", "1:11 duration out of range"),
        ("a[5m] anchored smoothed", "1:1 anchored and smoothed modifiers cannot be used together"),
        ("a[5m:1m] anchored", "1:1 anchored modifier is not supported for subqueries"),
        ("(a) smoothed", "1:1 smoothed modifier not implemented"),
    ];
    assert_errors(Features::ALL, &cases);
    let empty = parse("").map_err(|error| error.to_string());
    assert_eq!(empty, Err("unknown position: parse error: no expression found in input".to_owned()));
}

#[test]
fn brackets_have_errors_of_their_own() {
    const RANGE: &str = "in subquery or range selector, expected number, duration, step(), or range()";
    const STEP: &str = "in subquery selector, expected number, duration, step(), range(), or \"]\"";
    let cases = [
        ("a[]", format!("1:3 unexpected \"]\" {RANGE}")),
        ("a[1m-]", format!("1:6 unexpected \"]\" {RANGE}")),
        ("a[(1m 1m)]", format!("1:7 unexpected duration \"1m\" {RANGE}")),
        ("a[1m:^]", format!("1:6 unexpected <op:^> {STEP}")),
    ];
    assert_errors(Features::ALL, &cases.each_ref().map(|(text, wanted)| (*text, wanted.as_str())));
    let cases = [
        ("a[1m 1m]", "1:6 unexpected duration \"1m\" in subquery or range, expected \":\" or \"]\""),
        ("a[1m:1m 1m]", "1:9 unexpected duration \"1m\" in subquery selector, expected \"]\""),
        ("a[1m:1m:1m]", "1:8 unexpected colon ':'"),
        ("a[:1m]", "1:4 unexpected colon before duration in duration expression"),
        ("a[$interval]", "1:3 unexpected character in duration expression: '$'"),
        ("a[five]", "1:3 unexpected character in duration expression: 'f'"),
        ("a[1m x]", "1:6 unexpected character: 'x', expected ':'"),
        ("a[", "1:3 unexpected end of input in duration expression"),
        ("a[1m", "1:5 unclosed left bracket"),
        ("a[-1m]", "1:3 duration must be greater than 0"),
        ("a[1m:0]", "1:6 duration must be greater than 0"),
        ("a[1m/0]", "1:5 division by zero"),
        ("a[1m%0s]", "1:5 modulo by zero"),
        ("a[1e10]", "1:3 duration out of range"),
        ("(a+b)[5m]", "1:6 ranges only allowed for vector selectors"),
        ("a offset 1m [5m]", "1:13 no offset modifiers allowed before range"),
        ("a @ end() [5m]", "1:11 no @ modifiers allowed before range"),
    ];
    assert_errors(Features::ALL, &cases);
}

#[test]
fn the_first_error_of_the_text_wins() {
    const UNARY: &str = "unary expression only allowed on expressions of type scalar or instant vector";
    let cases = [
        // What is no token is told only where the parser gets there.
        ("a b $", "1:3 unexpected identifier \"b\""),
        ("(a b", "1:4 unexpected identifier \"b\""),
        ("nope(a) $", "1:1 unknown function with name \"nope\""),
        ("sum by (a) () $", "1:1 no arguments for aggregate expression provided"),
        // The next token had to be seen to know that the aggregation ends.
        ("sum() $", "1:7 unexpected character: '$'"),
        ("abs(a,", "1:7 unclosed left parenthesis"),
        // Types come after syntax.
        ("1 == 2 b", "1:8 unexpected identifier \"b\""),
        ("rate(a) +", "1:10 unexpected end of input"),
        ("sum(1) b", "1:8 unexpected identifier \"b\""),
        // What is further down comes first; the vector of an aggregation before its parameter.
        ("a + bool (1 == 2)", "1:13 comparisons between scalars must use BOOL modifier"),
        ("topk('a', 1)", "1:11 expected type instant vector in aggregation expression, got scalar"),
        ("abs(1, 2)", "1:1 expected 1 argument(s) in call to \"abs\", got 2"),
        ("abs(-'a')", &format!("1:5 {UNARY}, got \"string\"")),
    ];
    assert_errors(Features::ALL, &cases);
}

#[test]
fn types_must_fit() {
    let cases = [
        ("{}", "1:1 vector selector must contain at least one non-empty matcher"),
        ("a{__name__=~'b'}", "1:1 metric name must not be set twice: \"a\" or \"b\""),
        ("rate(a)", "1:6 expected type range vector in call to function \"rate\", got instant vector"),
        ("rate()", "1:1 expected 1 argument(s) in call to \"rate\", got 0"),
        ("label_join(a)", "1:1 expected at least 3 argument(s) in call to \"label_join\", got 1"),
        ("info(a, 1)", "1:1 expected type instant vector in call to function \"info\", got scalar"),
        ("info(a, b)", "1:9 expected label selectors only, got vector selector instead"),
        ("info(a, abs(b))", "1:9 expected label selectors only"),
        ("sum(a[5m])", "1:5 expected type instant vector in aggregation expression, got range vector"),
        ("count_values(1, a)", "1:14 expected type string in aggregation parameter, got scalar"),
        ("1 == 1", "1:3 comparisons between scalars must use BOOL modifier"),
        ("a * bool b", "1:3 bool modifier can only be used on comparison operators"),
        ("1 and 1", "1:1 set operator \"and\" not allowed in binary scalar expression"),
        ("a and on (b) group_left () c", "1:1 no grouping allowed for \"and\" operation"),
        ("a + on (b) group_left (b) c", "1:3 label \"b\" must not occur in ON and GROUP clause at once"),
        ("a + on (b) 1", "1:1 vector matching only allowed between instant vectors"),
        ("a + fill (0) 1", "1:1 filling in missing series only allowed between instant vectors"),
        ("a or fill (0) b", "1:1 filling in missing series not allowed for set operators"),
        ("1 + a[5m]", "1:5 binary expression must contain only scalar and instant vector types"),
        ("a[5m][5m:1m]", "1:1 subquery is only allowed on instant vector, got matrix instead"),
    ];
    assert_errors(Features::ALL, &cases);
    let everything = parse_selector("{}").map(|matchers| matchers.len());
    assert_eq!(everything, Ok(0), "what a selector alone may be is not for types to say");
}

#[test]
fn what_is_experimental_must_be_enabled() {
    const FLAG: &str = "must be enabled with --enable-feature=promql-experimental-functions";
    let cases = [
        ("info(a)", "1:1 function \"info\" is not enabled"),
        ("limitk(1, a)", &format!("1:1 limitk() is experimental and {FLAG}")),
        ("a[5m] anchored", "1:1 anchored modifier is experimental and not enabled"),
        ("a + fill (0) b", "1:1 binop fill modifiers are experimental and not enabled"),
    ];
    assert_errors(Features::default(), &cases);
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
        "[step() + 1m]",
        "[-(1m) ^ 2:min_of(5, range())]",
        "[",
        "offset -(1m)",
        "offset (5) * 2",
        "anchored",
        "fill(1)",
        "and{b='\\xff'}",
        "{'m', a=''}",
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
            prop_assert_eq!(&again.to_string(), &printed);
            prop_assert_eq!(parse(&expr.pretty()).map(|expr| expr.to_string()), Ok(printed));
        }
    }
}
