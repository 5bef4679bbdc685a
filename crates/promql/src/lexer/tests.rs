//! Which tokens a text has, and where they stop.

use super::*;
use crate::ast::AggregateOp;

/// The tokens' texts, and what is wrong where they stop with the byte at which that starts.
fn read(source: &str) -> (Vec<&str>, Option<(usize, String)>) {
    let lexed = lex(source);
    let texts = lexed.tokens.iter().filter(|token| token.kind != Tok::Error);
    let error = lexed.error.map(|error| (error.span.start, error.message));
    (texts.map(|token| token.span.text(source)).collect(), error)
}

fn error(source: &str) -> (usize, String) {
    read(source).1.unwrap_or_default()
}

#[test]
fn words_are_keywords_only_outside_of_braces() {
    let kinds = |source| lex(source).tokens.iter().map(|token| token.kind).collect::<Vec<_>>();
    let braces = [Tok::LeftBrace, Tok::Identifier, Tok::Identifier, Tok::RightBrace, Tok::Op(BinaryOp::And)];
    assert_eq!(kinds("{and sum} and"), braces);
    assert_eq!(kinds("SUM Inf a:b"), [Tok::Aggregate(AggregateOp::Sum), Tok::Number, Tok::MetricIdentifier]);
    assert_eq!(
        kinds("fill fill ("),
        [Tok::Identifier, Tok::Keyword(Keyword::Fill), Tok::LeftParen, Tok::Error]
    );
    assert_eq!(kinds("[STEP"), [Tok::LeftBracket, Tok::Special(Special::Step), Tok::Error]);
}

#[test]
fn numbers_and_durations_reach_as_far_as_they_can() {
    let cases = ["1", "1_000", ".5", "5.", "1e-3", "0x1F", "1m30s", "1hs", "1.5m", ".5.5"];
    for text in cases {
        assert_eq!(read(text), (vec![text], None));
    }
    let cases = [
        ("1 5x", 2, "5"),
        ("0b1", 0, "0"),
        ("0x1p4", 0, "0x1"),
        ("0x1.8", 0, "0x1."),
        ("1.2.3", 0, "1.2."),
        ("1__0", 0, "1__"),
        ("1e", 0, "1e"),
        ("1e5e", 0, "1e5e"),
        ("5mm", 0, "5mm"),
        ("5mss", 0, "5mss"),
        ("1h5y", 0, "1h5"),
    ];
    for (text, at, shown) in cases {
        assert_eq!(error(text), (at, wrong(shown)), "{text}");
    }
}

fn wrong(shown: &str) -> String {
    format!("bad number or duration syntax: \"{shown}\"")
}

#[test]
fn what_is_wrong_with_a_string_is_told_at_its_start() {
    let cases = [
        ("1 'a", (2, "unterminated quoted string")),
        ("'a\nb'", (0, "unterminated quoted string")),
        ("`a", (0, "unterminated raw string")),
        ("'\u{fffd}'", (0, "invalid UTF-8 rune")),
        (r#""\q""#, (0, "unknown escape sequence U+0071 'q'")),
        (r#""\'""#, (0, "unknown escape sequence U+0027 '''")),
        ("'\\\u{a0}'", (0, "unknown escape sequence U+00A0")),
        (r#""\x1g""#, (0, "illegal character U+0067 'g' in escape sequence")),
        (r#""\19""#, (0, "illegal character U+0039 '9' in escape sequence")),
        (r#""\400""#, (0, "escape sequence is an invalid Unicode code point")),
        (r#""\ud800""#, (0, "escape sequence is an invalid Unicode code point")),
        (r#""\UFFFFFFFF""#, (0, "escape sequence is an invalid Unicode code point")),
        (r#""\u00"#, (0, "escape sequence not terminated")),
        ("'\\", (0, "escape sequence not terminated")),
    ];
    for (text, (at, message)) in cases {
        assert_eq!(error(text), (at, message.to_owned()), "{text}");
    }
    for text in [r#""\a\"\\\xff\377\u00e4\U0001f600""#, r"'\''", "`\\\n\"`"] {
        assert_eq!(read(text), (vec![text], None));
    }
}

#[test]
fn characters_that_begin_nothing_are_told_as_go_quotes_them() {
    let cases = [
        ("a $", (2, "unexpected character: '$'")),
        ("\0", (0, "unexpected character: '\\x00'")),
        ("\u{a0}", (0, "unexpected character: '\\u00a0'")),
        ("a ! b", (2, "unexpected character after '!': ' '")),
        ("a !", (2, "unexpected character after '!': '\u{fffd}'")),
        ("a =~ 'b'", (2, "unexpected character after '=': '~'")),
        ("a{b>1}", (3, "unexpected character inside braces: '>'")),
        ("a{b!1}", (3, "unexpected character after '!' inside braces: '1'")),
        ("a{{", (2, "unexpected left brace '{'")),
        ("a{", (2, "unexpected end of input inside braces")),
        ("a)", (2, "unexpected right parenthesis ')'")),
        ("a]", (1, "unexpected right bracket ']'")),
        ("a[1m[", (4, "unexpected left bracket '['")),
        ("a[[", (2, "unexpected character in duration expression: '['")),
        ("a[#1m]", (2, "unexpected character in duration expression: '#'")),
        ("((a)", (4, "unclosed left parenthesis")),
    ];
    for (text, (at, message)) in cases {
        assert_eq!(error(text), (at, message.to_owned()), "{text}");
    }
}
