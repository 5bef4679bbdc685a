//! What expressions match, and what is said of those that are none.

use super::*;

fn compiled(text: &str) -> regex::Regex {
    let inner = translated(text, true).unwrap_or_else(|error| panic!("{text}: {error}"));
    regex::Regex::new(&format!("^(?:{inner})$")).unwrap_or_else(|error| panic!("{text}: {inner}: {error}"))
}

#[test]
fn expressions_match_what_they_match_in_go() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("a.c", &["abc", "a\nc", "aüc"], &["ac"]),
        ("(?-s:a.c)", &["abc"], &["a\nc"]),
        (r"\w+", &["a_1"], &["ü", ""]),
        (r"\d\D\s\S\W", &["1x y-"], &["٣x y-"]),
        (r"[\w-.]+", &["a-b.c"], &["a/b"]),
        (r"[^\w]", &["ü", "-"], &["a"]),
        (r"[\W]", &["ü"], &["a"]),
        ("a{", &["a{"], &["a"]),
        ("a{,3}", &["a{,3}"], &["aa"]),
        ("x{foo}", &["x{foo}"], &["x"]),
        ("a{2}b{1,}c{0,2}", &["aab", "aabbcc"], &["ab"]),
        (r"\Qa.b|\Ec", &["a.b|c"], &["axbc"]),
        (r"\Qa.b", &["a.b"], &["axb"]),
        (r"\141\x62\x{63}\n\t\.", &["abc\n\t."], &["abc"]),
        ("[a&&b]+", &["a&b"], &["c"]),
        ("[[a]b]", &["[b]", "ab]"], &["a"]),
        ("[]a]+", &["]a"], &["b"]),
        ("[^]a]", &["b"], &["]"]),
        ("[a-]+", &["a-"], &["b"]),
        (r"[\]\-\\]+", &["]-\\"], &["a"]),
        ("[[:alpha:][:^word:]]+", &["ab-"], &["1"]),
        (r"\<a", &["<a"], &["a"]),
        (r"\bfoo\b.*", &["foo bar", "foo"], &["foobar"]),
        (r"foo\B.*", &["foobar"], &["foo"]),
        (r"\pL+|\p{Greek}\PL|\p{^L}", &["aü", "α1", "1"], &["11"]),
        ("^a$|b", &["a", "b"], &["ab"]),
        ("(?m)a$\n^b", &["a\nb"], &["ab"]),
        ("(?i)aB(?-i)c", &["ABc", "abc"], &["abC"]),
        ("(?i:a)b", &["Ab"], &["AB"]),
        ("(?s-m)a.b", &["a\nb"], &[]),
        ("(?U)a+", &["aa"], &["b"]),
        ("(?P<x>a)|(?<y>b)", &["a", "b"], &["c"]),
        ("(?P<x>a)(?P<x>b)|(?P<1>c)(?P<1>d)(?P<1>e)", &["ab", "cde"], &["c"]),
        ("a(?i)*b", &["aaB", "b"], &["Ab"]),
        ("a*(?i)(?s)+b(?i){2}", &["aabb", "BB"], &["Abb", "ab"]),
        ("(a(?i))*(?-i)", &["aa"], &["A"]),
        ("(a|b)*?c", &["abc", "c"], &["a"]),
        ("#~ -/", &["#~ -/"], &["#~-/"]),
        ("", &[""], &["a"]),
    ];
    for (text, hits, misses) in cases {
        let regex = compiled(text);
        hits.iter().for_each(|hit| assert!(regex.is_match(hit), "{text} {hit}"));
        misses.iter().for_each(|miss| assert!(!regex.is_match(miss), "{text} {miss}"));
    }
}

#[test]
fn what_is_wrong_is_said_as_go_says_it() {
    let cases = [
        ("(", "missing closing ): `(`"),
        ("(?i", "invalid or unsupported Perl syntax: `(?i`"),
        ("a(?", "invalid or unsupported Perl syntax: `(?`"),
        ("(?i)*", "missing argument to repetition operator: `*`"),
        ("a(?i)**", "invalid nested repetition operator: `**`"),
        ("a)", "unexpected ): `a)`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a|{2}", "missing argument to repetition operator: `{2}`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a*?+", "invalid nested repetition operator: `*?+`"),
        ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("a{0,2000}", "invalid repeat count: `{0,2000}`"),
        ("a{3,2}", "invalid repeat count: `{3,2}`"),
        ("(a{100}b){100}", "invalid repeat count: `{100}`"),
        ("[b-a]", "invalid character class range: `b-a`"),
        ("[a--b]", "invalid character class range: `a--`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        ("[a", "missing closing ]: `[a`"),
        ("x[", "missing closing ]: `[`"),
        (r"\k", r"invalid escape sequence: `\k`"),
        (r"\1", r"invalid escape sequence: `\1`"),
        (r"\u0061", r"invalid escape sequence: `\u`"),
        (r"\xg", r"invalid escape sequence: `\xg`"),
        (r"[\b]", r"invalid escape sequence: `\b`"),
        (r"a\", "trailing backslash at end of expression: ``"),
        (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
        ("(?x)", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?i-)", "invalid or unsupported Perl syntax: `(?i-)`"),
        ("(?P<n", "invalid named capture: `(?P<n`"),
        ("(?P<n!>a)", "invalid named capture: `(?P<n!>`"),
    ];
    for (text, wanted) in cases {
        let said = translated(text, true).map_err(|error| error.to_string());
        assert_eq!(said, Err(format!("error parsing regexp: {wanted}")), "{text}");
    }
}

mod any {
    use proptest::prelude::*;

    use super::translated;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_taken_compiles(text in r"([ab().*+?|\\{}\[\]^$:dwspPLQEx&~-]|\(\?|[0-9,]|ü){0,20}") {
            if let Ok(inner) = translated(&text, true) {
                prop_assert!(regex::Regex::new(&format!("^(?:{inner})$")).is_ok(), "{} {}", text, inner);
            }
        }
    }
}
