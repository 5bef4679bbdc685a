//! Which parameters of Tempo's routes are read, and how.

use super::*;

const NOW_NS: i64 = 1_700_000_000 * NS_PER_S;

fn parameters(query: &str) -> Parameters {
    Parameters::parse(query, b"")
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_search_has_defaults() {
    let question = TraceQuestion::read(&parameters("q={}"), NOW_NS).unwrap();
    let request = TraceRequest {
        range: TimeRange::new(NOW_NS - 3_600 * NS_PER_S, NOW_NS + NS_PER_S),
        limit: 20,
        spans_per_span_set: 3,
        timeout_ns: None,
    };
    assert_eq!(question, TraceQuestion { sought: Sought::Query("{}".into()), request });
    let question = TraceQuestion::read(&parameters("q={}&start=10&end=20&limit=5&spss=7"), NOW_NS).unwrap();
    let request = TraceRequest {
        range: TimeRange::new(10 * NS_PER_S, 21 * NS_PER_S - 1),
        limit: 5,
        spans_per_span_set: 7,
        timeout_ns: None,
    };
    assert_eq!(question.request, request);
}

#[test]
fn tags_come_in_three_forms() {
    let cases = [
        (
            "tags=service.name%3Dshop%20name%3D%22GET%20%2F%22&minDuration=5ms&maxDuration=1s",
            TagSearch {
                tags: pairs(&[("service.name", "shop"), ("name", "GET /")]),
                min_duration_ns: Some(5_000_000),
                max_duration_ns: Some(NS_PER_S),
            },
        ),
        (
            "service.name=shop&limit=3&empty=",
            TagSearch { tags: pairs(&[("service.name", "shop")]), ..TagSearch::default() },
        ),
        ("start=1&end=2&service.name=shop", TagSearch::default()),
        ("", TagSearch::default()),
    ];
    for (query, expected) in cases {
        let question = TraceQuestion::read(&parameters(query), NOW_NS).unwrap();
        assert_eq!(question.sought, Sought::Tags(expected), "{query}");
    }
}

#[test]
fn wrong_parameters_are_told_in_tempo_words() {
    let cases = [
        ("q={}&tags=a", "invalid request: can't specify tags and q in the same query"),
        ("start=x", "invalid start: strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("end=99999999999", "invalid end: strconv.ParseInt: parsing \"99999999999\": value out of range"),
        ("start=2&end=1", "http parameter start must be before end. received start=2 end=1"),
        ("start=2", "http parameter start must be before end. received start=2 end=0"),
        ("limit=x", "invalid limit: strconv.Atoi: parsing \"x\": invalid syntax"),
        ("limit=0", "invalid limit: must be a positive number"),
        ("limit=10001", "limit 10001 exceeds max limit 10000"),
        ("spss=0", "invalid spss: must be a positive number"),
        ("spss=101", "spans per span set exceeds 100. received 101"),
        ("minDuration=x", "invalid minDuration: time: invalid duration \"x\""),
        ("minDuration=2s&maxDuration=1s", "invalid maxDuration: must be greater than minDuration"),
        ("tags=a%3D1%20a%3D2", "invalid tags: tag a has been set twice"),
    ];
    for (query, expected) in cases {
        let error = TraceQuestion::read(&parameters(query), NOW_NS).unwrap_err();
        assert_eq!(error.to_string(), expected, "{query:?}");
    }
}

#[test]
fn trace_ids_are_padded_at_the_front() {
    let mut short = [0; 16];
    short[14..].copy_from_slice(&[0x0a, 0xbc]);
    let cases = [
        ("abc", Ok(short)),
        ("00000000000000000000000000000ABC", Ok(short)),
        ("0102030405060708090a0b0c0d0e0f10", Ok([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])),
        ("0x1", Err("trace IDs can only contain hex characters: invalid character 'x' at position 2")),
        ("ü", Err("trace IDs can only contain hex characters: invalid character 'ü' at position 1")),
        ("000000000000000000000000000000abc", Err("trace IDs can't be larger than 128 bits")),
    ];
    for (text, expected) in cases {
        assert_eq!(
            trace_id(text).map_err(|error| error.to_string()),
            expected.map_err(str::to_owned),
            "{text}"
        );
    }
}

#[test]
fn tags_have_a_range_a_limit_and_a_scope() {
    assert_eq!(tag_range(&parameters(""), NOW_NS).unwrap(), recent(NOW_NS));
    assert_eq!(
        tag_range(&parameters("start=1&end=2"), NOW_NS).unwrap(),
        TimeRange::new(NS_PER_S, 3 * NS_PER_S - 1)
    );
    assert_eq!(tag_limit(&parameters("limit=0")).unwrap(), None);
    assert_eq!(tag_limit(&parameters("limit=4")).unwrap(), Some(4));
    assert!(tag_limit(&parameters("limit=-4")).is_err());
    assert_eq!(tag_scope(&parameters("scope=span")).unwrap(), Some(TagScope::Span));
    assert_eq!(tag_scope(&parameters("scope=none")).unwrap(), None);
    assert_eq!(tag_scope(&parameters("scope=x")).unwrap_err().to_string(), "invalid scope: x");
    assert_eq!(trace_range(&parameters("")).unwrap(), TimeRange::ALL);
    let hour = 3_600 * NS_PER_S;
    assert_eq!(
        trace_range(&parameters("start=1&end=2")).unwrap(),
        TimeRange::new(NS_PER_S - hour, 3 * NS_PER_S - 1 + hour)
    );
}

proptest::proptest! {
    #[test]
    fn arbitrary_parameters_never_panic(query in ".*", number in "-?[0-9]{1,25}", id in ".*", hex in "[0-9a-fA-F]{0,40}") {
        let _ = TraceQuestion::read(&parameters(&query), NOW_NS);
        let numbers = format!("start={number}&end={number}0&limit={number}&spss={number}&minDuration={number}s");
        let _ = TraceQuestion::read(&parameters(&numbers), NOW_NS);
        let _ = (trace_id(&id), trace_id(&hex), trace_range(&parameters(&numbers)));
    }
}
