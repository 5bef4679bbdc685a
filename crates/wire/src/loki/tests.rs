//! Both forms of a push request, and that no bytes panic.

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::WireError;

/// The message that the views of a body show.
fn shown(body: &[u8]) -> Result<PushRequest, WireError> {
    let mut request = PushRequest::default();
    for view in PushView::new(body).streams() {
        let view = view?;
        let mut stream = StreamAdapter { labels: view.labels.to_owned(), ..StreamAdapter::default() };
        for entry in view.entries() {
            let mut structured_metadata = Vec::new();
            let line = entry.read(|name, value| {
                structured_metadata.push(LabelPairAdapter { name: name.to_owned(), value: value.to_owned() });
                Ok::<(), WireError>(())
            })?;
            stream.entries.push(EntryAdapter {
                timestamp: line.timestamp,
                line: Bytes::copy_from_slice(line.bytes),
                structured_metadata,
                parsed: Vec::new(),
            });
        }
        assert_eq!(view.entries, stream.entries.len());
        request.streams.push(stream);
    }
    Ok(request)
}

/// The message that prost decodes, as the views show it: all pairs in one list, and no hash.
fn decoded(body: &[u8]) -> Option<PushRequest> {
    let mut request = PushRequest::decode(body).ok()?;
    for stream in &mut request.streams {
        stream.hash = 0;
        for entry in &mut stream.entries {
            let parsed = std::mem::take(&mut entry.parsed);
            entry.structured_metadata.extend(parsed);
        }
    }
    Some(request)
}

fn line(entry: &EntryAdapter) -> Line<'_> {
    Line { timestamp: entry.timestamp, bytes: &entry.line }
}

#[test]
fn the_protobuf_form_has_the_specified_numbers() {
    let pair = [0x0a, 1, b'n', 0x12, 1, b'v'];
    let entry = [
        vec![0x0a, 4, 0x08, 5, 0x10, 7],
        vec![0x12, 2, b'h', 0xff],
        [vec![0x1a, 6], pair.to_vec()].concat(),
        [vec![0x22, 6], pair.to_vec()].concat(),
    ]
    .concat();
    let labels = br#"{a="b"}"#;
    let stream = [vec![0x0a, 7], labels.to_vec(), vec![0x12, 26], entry, vec![0x18, 9]].concat();
    let wire = [vec![0x0a, u8::try_from(stream.len()).unwrap()], stream].concat();
    let request = PushRequest::decode(wire.as_slice()).unwrap();
    assert_eq!(shown(&wire).ok(), decoded(&wire));
    let pair = LabelPairAdapter { name: "n".to_owned(), value: "v".to_owned() };
    let entry = EntryAdapter {
        timestamp: Some(Timestamp { seconds: 5, nanos: 7 }),
        line: Bytes::from_static(b"h\xff"),
        structured_metadata: vec![pair.clone()],
        parsed: vec![pair],
    };
    assert_eq!(line(&entry).text(), "h\u{fffd}");
    assert_eq!(line(&entry).timestamp_ns(), Some(5_000_000_007));
    let stream = StreamAdapter { labels: r#"{a="b"}"#.to_owned(), entries: vec![entry], hash: 9 };
    assert_eq!(request, PushRequest { streams: vec![stream] });
}

fn label_pairs(labels: &str) -> Result<Vec<(String, String)>, WireError> {
    labels::parse(labels)
}

#[test]
fn labels_are_read_from_their_text() {
    let cases: [(&str, &[(&str, &str)]); 8] = [
        ("{}", &[]),
        (r#"{a="b"}"#, &[("a", "b")]),
        (r#" { z = "1" , a="2", } "#, &[("z", "1"), ("a", "2")]),
        (r#"{a_1:b="ü\"\\\n\t"}"#, &[("a_1:b", "ü\"\\\n\t")]),
        (r#"{a='it\'s', b=`raw\n`}"#, &[("a", "it's"), ("b", "raw\\n")]),
        (r#"{a="\xc3\xbc\u00fc\U0001F600\101"}"#, &[("a", "üü😀A")]),
        (r#"{a=","}"#, &[("a", ",")]),
        (r#"{a=""}"#, &[("a", "")]),
    ];
    for (text, expected) in cases {
        let pairs = label_pairs(text).unwrap();
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(pairs, expected, "{text}");
    }
}

#[test]
fn broken_labels_are_refused_with_their_place() {
    let cases = [
        ("", "at=`0`, `{` is expected"),
        ("{", "at=`1`, a label's name is expected"),
        (r#"{1="b"}"#, "at=`1`, a label's name is expected"),
        (r#"{a!="b"}"#, "at=`2`, `=` is expected"),
        (r#"{a=b}"#, "a quoted value is expected"),
        (r#"{a="b}"#, "the value has no closing quote"),
        (r#"{a="b" c="d"}"#, "at=`7`, `}` is expected"),
        (r#"{a="b"} | json"#, "at=`8`, nothing may follow"),
        (r#"{a="\q"}"#, "the escape is not known"),
        (r#"{a="\x1"}"#, "the escape has too few digits"),
        (r#"{a="\ud800"}"#, "the escape is no character"),
        (r#"{a="\777"}"#, "an octal escape is at most"),
        (r#"{a="\xff"}"#, "the value's escapes are not UTF-8"),
    ];
    for (text, expected) in cases {
        let error = label_pairs(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn timestamps_fit_or_are_none() {
    for nanoseconds in [0, -1, i64::MIN, i64::MAX, 1_700_000_000_123_456_789] {
        assert_eq!(Timestamp::from_nanoseconds(nanoseconds).nanoseconds(), Some(nanoseconds));
    }
    assert_eq!(Timestamp { seconds: i64::MAX, nanos: 0 }.nanoseconds(), None);
    assert_eq!(line(&EntryAdapter::default()).timestamp_ns(), None);
}

#[test]
fn the_json_form_is_read_as_leniently_as_loki_reads_it() {
    let body = br#"{"foreign": 1, "streams": [
        {"stream": {"z": "1", "a": "2"}, "values": [
            ["1700000000000000001", "first", {"trace_id": "abc"}],
            [1700000000000000002, "second"],
            ["-3", "third", null, "foreign"]
        ]},
        {"values": null}
    ]}"#;
    let push = JsonPush::from_body(body).unwrap();
    let stream = &push.streams[0];
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(stream.stream, [pair("z", "1"), pair("a", "2")]);
    let lines: Vec<(i64, &str, usize)> = stream
        .values
        .iter()
        .map(|entry| (entry.timestamp_ns, entry.line.as_str(), entry.structured_metadata.len()))
        .collect();
    assert_eq!(
        lines,
        [(1_700_000_000_000_000_001, "first", 1), (1_700_000_000_000_000_002, "second", 0), (-3, "third", 0)]
    );
    assert_eq!(push.streams[1], JsonStream { stream: Vec::new(), values: Vec::new() });
}

#[test]
fn broken_json_is_refused_with_its_place() {
    let stream = |values: &str| format!(r#"{{"streams": [{{"stream": {{}}, "values": [{values}]}}]}}"#);
    let cases = [
        ("{".to_owned(), "EOF"),
        ("{}".to_owned(), "missing field `streams`"),
        (r#"{"streams": [{"stream": {"a": 1}}]}"#.to_owned(), "expected a string"),
        (r#"{"streams": [{"stream": "a"}]}"#.to_owned(), "a flat object of strings"),
        (stream(r#"["x", "line"]"#), "nanoseconds since the epoch"),
        (stream(r#"[18446744073709551615, "line"]"#), "nanoseconds since the epoch"),
        (stream(r#"["1"]"#), "invalid length 1"),
        (stream("[]"), "invalid length 0"),
        (stream(r#"["1", 2]"#), "expected a string"),
        (stream(r#"["1", "line", {"a": {}}]"#), "expected a string"),
    ];
    for (body, expected) in cases {
        let error = JsonPush::from_body(body.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("line 1 column"), "{body}: {error}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = JsonPush::from_body(&bytes);
        prop_assert_eq!(shown(&bytes).ok(), decoded(&bytes));
    }

    #[test]
    fn views_show_what_prost_decodes(
        lines in prop::collection::vec((any::<i64>(), prop::collection::vec(any::<u8>(), 0..9), ".{0,5}"), 0..4),
        bends in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let entries = lines.into_iter().map(|(timestamp_ns, line, text)| EntryAdapter {
            timestamp: Some(Timestamp::from_nanoseconds(timestamp_ns)),
            line: line.into(),
            structured_metadata: vec![LabelPairAdapter { name: text.clone(), value: "v".to_owned() }],
            parsed: vec![LabelPairAdapter { name: "p".to_owned(), value: text }],
        });
        let stream = StreamAdapter { labels: "{a=\"b\"}".to_owned(), entries: entries.collect(), hash: 7 };
        let mut body = PushRequest { streams: vec![stream.clone(), stream] }.encode_to_vec();
        prop_assert_eq!(shown(&body).ok(), decoded(&body));
        for (at, byte) in bends {
            let at = at.index(body.len());
            body[at] = byte;
        }
        prop_assert_eq!(shown(&body).ok(), decoded(&body));
    }

    #[test]
    fn arbitrary_labels_never_panic(labels in "[{}a=\"'`\\\\,xuü0-9 ]{0,24}") {
        let _ = label_pairs(&labels);
        let _ = label_pairs(&format!("{{a=\"{labels}"));
    }

    #[test]
    fn labels_survive_their_text(value in any::<String>()) {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        let pairs = label_pairs(&format!("{{a=\"{quoted}\"}}")).unwrap();
        prop_assert_eq!(pairs, [("a".to_owned(), value)]);
    }

    #[test]
    fn lines_survive_both_forms(line in any::<String>(), timestamp_ns in any::<i64>(), value in any::<String>()) {
        let entry = EntryAdapter {
            timestamp: Some(Timestamp::from_nanoseconds(timestamp_ns)),
            line: Bytes::from(line.clone()),
            structured_metadata: vec![LabelPairAdapter { name: "n".to_owned(), value: value.clone() }],
            parsed: Vec::new(),
        };
        let decoded = EntryAdapter::decode(entry.encode_to_vec().as_slice()).unwrap();
        let view = Line { timestamp: decoded.timestamp, bytes: &decoded.line };
        prop_assert_eq!(view.text(), line.as_str());
        prop_assert_eq!(view.timestamp_ns(), Some(timestamp_ns));

        let json = serde_json::json!({"streams": [{"values": [[timestamp_ns.to_string(), line, {"n": value}]]}]});
        let push = JsonPush::from_body(json.to_string().as_bytes()).unwrap();
        let expected = JsonEntry { timestamp_ns, line, structured_metadata: vec![("n".to_owned(), value)] };
        prop_assert_eq!(&push.streams[0].values[0], &expected);
    }
}
