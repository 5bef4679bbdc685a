//! What templates make of a line, and which are refused.

use model::Labels;
use proptest::prelude::*;

use super::*;

fn rendered(template: &str) -> Result<String, String> {
    let labels = Labels::from_pairs([
        ("app", "web"),
        ("n", "7"),
        ("took", "1m30s"),
        ("msg", "Hello World"),
        ("json", r#"{"a":{"b":[1,"x"]}}"#),
        ("size", "2KB"),
    ]);
    let mut row = Row::new(&labels);
    row.timestamp_ns = 1_700_000_000_123_000_000;
    Template::parse(template)?.render("the line", &row)
}

#[test]
fn templates_are_filled_in() {
    for (template, expected) in [
        ("plain", "plain"),
        ("{{.app}}-{{ .missing }}!", "web-!"),
        ("{{ .msg | lower | replace \" \" \"_\" }}", "hello_world"),
        ("{{ __line__ | upper }} {{ __timestamp__ | unixEpochMillis }}", "THE LINE 1700000000123"),
        ("{{ if eq .app \"web\" }}yes{{ else }}no{{ end }}", "yes"),
        ("{{ if eq .app \"x\" }}a{{ else if hasPrefix \"we\" .app }}b{{ else }}c{{ end }}", "b"),
        ("{{ if and (contains \"ell\" .msg) (not .missing) }}ok{{ end }}", "ok"),
        ("a  {{- \" b \" -}}  c", "a b c"),
        ("{{/* nothing */}}x", "x"),
        (
            "{{ $x := add .n 5 }}{{ $x }} {{ mul 2 $x }} {{ sub $x 1 }} {{ div 7 2 }} {{ mod 7 4 }}",
            "12 24 11 3 3",
        ),
        (
            "{{ addf 1.5 .n }} {{ round 3.14159 2 }} {{ ceil 1.2 }} {{ floor 1.8 }} {{ int \"12.9\" }}",
            "8.5 3.14 2 1 12",
        ),
        ("{{ max 1 5 3 }} {{ minf 2.5 1.5 }} {{ float64 \"3.5\" }}", "5 1.5 3.5"),
        (
            "{{ printf \"%05d|%-6s|%6.2f|%q|%v|%x%%\" 42 .app 3.14159 .app true 255 }}",
            "00042|web   |  3.14|\"web\"|true|ff%",
        ),
        ("{{ trunc 3 .msg }}|{{ trunc -3 .msg }}|{{ substr 1 4 .msg }}", "Hel|rld|ell"),
        (
            "{{ alignLeft 5 .app }}|{{ alignRight 5 .app }}|{{ alignLeft 2 .app }}|{{ alignRight 2 .app }}",
            "web  |  web|we|eb",
        ),
        (
            "{{ .app | b64enc }} {{ \"d2Vi\" | b64dec }} {{ \"a b&c\" | urlencode }} {{ \"a+b%26c\" | urldecode }}",
            "d2Vi web a+b%26c a b&c",
        ),
        (
            "{{ trim \" x \" }}{{ trimAll \"$\" \"$y$\" }}{{ trimPrefix \"a\" \"abc\" }}{{ trimSuffix \"c\" \"abc\" }}",
            "xybcab",
        ),
        ("{{ repeat 3 \"ab\" }} {{ title \"one two\" }} {{ indent 2 \"x\" }}", "ababab One Two   x"),
        (
            "{{ regexReplaceAll \"(w)(e)\" .app \"${2}${1}\" }} {{ regexReplaceAllLiteral \"w\" .app \"$1\" }} {{ count \"o\" .msg }}",
            "ewb $1eb 2",
        ),
        (
            "{{ $j := fromJson .json }}{{ $j.a.b }} {{ (index $j \"a\").b | len }} {{ index $j.a.b 1 }}",
            "[1 x] 2 x",
        ),
        ("{{ range $i, $x := (fromJson .json).a.b }}{{ $i }}={{ $x }};{{ end }}", "0=1;1=x;"),
        ("{{ range (fromJson \"[]\") }}x{{ else }}empty{{ end }}", "empty"),
        ("{{ with .app }}<{{ . }}>{{ end }}{{ with .missing }}x{{ else }}none{{ end }}", "<web>none"),
        (
            "{{ duration .took }} {{ bytes .size }} {{ default \"d\" .missing }} {{ default \"d\" .app }}",
            "90 2000 d web",
        ),
        (
            "{{ __timestamp__ | date \"2006-01-02T15:04:05.000Z07:00 Mon Jan _2 3:04PM\" }}",
            "2023-11-14T22:13:20.123Z Tue Nov 14 10:13PM",
        ),
        ("{{ toDate \"2006-01-02 15:04\" \"2023-11-14 22:13\" | unixEpoch }}", "1699999980"),
        (
            "{{ toDateInZone \"2006-01-02\" \"UTC\" \"1970-01-02\" | unixEpoch }} {{ unixToTime \"1700000000\" | date \"06\" }}",
            "86400 23",
        ),
    ] {
        assert_eq!(rendered(template).unwrap(), expected, "{template}");
    }
}

#[test]
fn refusals_name_what_is_not_understood() {
    for (template, error) in [
        ("{{ nope .x }}", "invalid template: function \"nope\" not defined"),
        ("{{ .x", "invalid template: unclosed action"),
        ("{{ if .x }}a", "invalid template: unexpected EOF in {{if}}"),
        ("{{ end }}", "invalid template: unexpected {{end}}"),
        ("{{ template \"x\" }}", "invalid template: {{template}} is not supported"),
        ("{{ lower }}", "invalid template: wrong number of args for lower: want 1 got 0"),
        ("{{ (lower .x }}", "invalid template: unclosed left paren"),
        ("{{ }}", "invalid template: missing value for command"),
        ("{{ div 1 0 }}", "div: integer divide by zero"),
        ("{{ $x }}", "undefined variable \"$x\""),
        ("{{ fromJson .app }}", "fromJson: expected value at line 1 column 1"),
    ] {
        assert_eq!(rendered(template).unwrap_err(), error, "{template}");
    }
    assert!(rendered(&format!("{{{{ {}1{} }}}}", "(".repeat(5_000), ")".repeat(5_000))).is_err());
    assert!(rendered(&"{{ if true }}".repeat(5_000)).is_err());
    assert!(rendered("{{ repeat 1000000000 .msg }}").is_err());
}

#[test]
fn the_labels_that_it_reads() {
    for (template, all, expected) in [
        ("{{ .a }} {{ if .b }}{{ .c | lower }}{{ end }}", true, "a b c"),
        ("{{ $.d }} {{ (fromJson .e).f }}", true, "d e"),
        ("{{ . }}", false, ""),
    ] {
        let mut names = Vec::new();
        assert_eq!(Template::parse(template).unwrap().names(&mut names), all, "{template}");
        assert_eq!(names.join(" "), expected, "{template}");
    }
}

proptest! {
    #[test]
    fn no_template_panics(text in "\\PC*", pieces in prop::collection::vec(0_usize..20, 0..20)) {
        let words = ["{{", "}}", "if", "end", "else", " ", ".a", "\"x\"", "|", "(", ")", "lower", "1", "$x", ":=", "range",
            "printf", "-", "trunc", "2.5"];
        let _ = rendered(&text);
        let joined: Vec<&str> = pieces.iter().map(|i| words[*i]).collect();
        let _ = rendered(&joined.join(" "));
    }

    #[test]
    fn times_come_back(seconds in 0_i64..4_000_000_000, text in "\\PC{0,20}") {
        let ns = seconds * 1_000_000_000;
        for layout in ["2006-01-02T15:04:05Z07:00", "Jan _2 2006 3:04:05PM", "02/01/2006 15:04:05 -0700 MST"] {
            prop_assert_eq!(time::parse(layout, None, &time::format(ns, layout)), Ok(ns), "{}", layout);
        }
        let _ = time::parse(&text, None, &text);
        let _ = time::format(ns, &text);
    }
}
