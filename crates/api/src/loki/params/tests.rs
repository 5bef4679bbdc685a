//! Which parameters of Loki's routes are read, and how.

use super::*;

const NOW_NS: i64 = 1_700_000_000 * NS_PER_S;

fn parameters(query: &str) -> Parameters {
    Parameters::parse(query, b"")
}

#[test]
fn moments_are_nanoseconds_seconds_or_rfc_3339() {
    let cases = [
        ("1700000000", Ok(NOW_NS)),
        ("1700000000000000000", Ok(NOW_NS)),
        ("1700000000.5", Ok(NOW_NS + NS_PER_S / 2)),
        ("1700000000.1239", Ok(NOW_NS + 124_000_000)),
        ("2023-11-14T22:13:20Z", Ok(NOW_NS)),
        ("2023-11-14T22:13:20.000000001Z", Ok(NOW_NS + 1)),
        ("0", Ok(0)),
        ("soon", Err("strconv.ParseInt: parsing \"soon\": invalid syntax")),
        ("1.2.3", Err("strconv.ParseInt: parsing \"1.2.3\": invalid syntax")),
    ];
    for (text, expected) in cases {
        assert_eq!(parse_timestamp(text), expected.map_err(str::to_owned), "{text:?}");
    }
}

#[test]
fn a_range_question_has_defaults() {
    let question = LogQuestion::range(&parameters("query={a=\"b\"}"), NOW_NS).unwrap();
    let request = LogRequest {
        start_ns: NOW_NS - 3_600 * NS_PER_S,
        end_ns: NOW_NS,
        step_ns: Some(14 * NS_PER_S),
        limit: 100,
        direction: Direction::Backward,
        timeout_ns: None,
    };
    assert_eq!(question, LogQuestion { query: "{a=\"b\"}".into(), request });
    let asked = parameters("query=x&start=10&end=20&limit=7&direction=FORWARD&step=2");
    let question = LogQuestion::range(&asked, NOW_NS).unwrap();
    let request = LogRequest {
        start_ns: 10 * NS_PER_S,
        end_ns: 20 * NS_PER_S,
        step_ns: Some(2 * NS_PER_S),
        limit: 7,
        direction: Direction::Forward,
        timeout_ns: None,
    };
    assert_eq!(question, LogQuestion { query: "x".into(), request });
}

#[test]
fn an_instant_question_is_about_one_moment() {
    let request = LogQuestion::instant(&parameters("query=x"), NOW_NS).unwrap().request;
    assert_eq!((request.start_ns, request.end_ns, request.step_ns), (NOW_NS, NOW_NS, None));
    let request = LogQuestion::instant(&parameters("query=x&time=5"), NOW_NS).unwrap().request;
    assert_eq!((request.start_ns, request.end_ns), (5 * NS_PER_S, 5 * NS_PER_S));
}

#[test]
fn since_goes_back_from_the_end_or_from_now() {
    let minute = 60 * NS_PER_S;
    let cases = [
        ("since=5m", NOW_NS - 5 * minute, NOW_NS),
        ("since=5m&end=1699999940", NOW_NS - 6 * minute, NOW_NS - minute),
        ("since=5m&end=1700000060", NOW_NS - 5 * minute, NOW_NS + minute),
        ("since=5m&start=1", NS_PER_S, NOW_NS),
    ];
    for (query, start_ns, end_ns) in cases {
        assert_eq!(bounds(&parameters(query), NOW_NS).unwrap(), TimeRange::new(start_ns, end_ns), "{query}");
    }
}

#[test]
fn wrong_parameters_are_told_in_loki_words() {
    let cases = [
        ("start=x", "could not parse 'start' parameter: strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("end=x", "could not parse 'end' parameter: strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("since=x", "could not parse 'since' parameter: not a valid duration string: \"x\""),
        ("start=20&end=10", "end timestamp must not be before or equal to start time"),
        ("step=x", "cannot parse \"x\" to a valid duration"),
        ("step=-1", "zero or negative query resolution step widths are not accepted. Try a positive integer"),
        (
            "start=0&end=20000&step=1",
            "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter",
        ),
        ("limit=x", "strconv.Atoi: parsing \"x\": invalid syntax"),
        ("limit=0", "limit must be a positive value"),
        ("limit=-3", "limit must be a positive value"),
        ("direction=up", "invalid direction 'up'"),
        ("interval=-1", "interval must be >= 0"),
    ];
    for (query, expected) in cases {
        let error = LogQuestion::range(&parameters(query), NOW_NS).unwrap_err();
        assert_eq!(error.to_string(), expected, "{query:?}");
    }
}

#[test]
fn streams_are_selected_by_any_of_the_sets() {
    let asked = parameters("match[]={a=\"b\"}&match={c=\"d\"}&match[]=&start=1&end=2");
    let question = StreamQuestion::read(&asked, &["match[]", "match"], NOW_NS).unwrap();
    assert_eq!(question.sets, [vec![Matcher::equal("a", "b")], vec![Matcher::equal("c", "d")]]);
    assert_eq!(question.range, TimeRange::new(NS_PER_S, 2 * NS_PER_S));
    assert!(StreamQuestion::read(&parameters("query={"), &["query"], NOW_NS).is_err());
}

proptest::proptest! {
    #[test]
    fn arbitrary_parameters_never_panic(query in ".*", number in "-?[0-9]{1,25}(\\.[0-9]{1,9})?(e[0-9]{1,3})?") {
        let arbitrary = parameters(&query);
        let _ = (LogQuestion::instant(&arbitrary, NOW_NS), LogQuestion::range(&arbitrary, NOW_NS));
        let numbers = format!("query=x&time={number}&start={number}&end={number}&step={number}&limit={number}");
        let numbers = parameters(&numbers);
        let _ = (LogQuestion::instant(&numbers, NOW_NS), LogQuestion::range(&numbers, NOW_NS));
        let _ = bounds(&parameters(&format!("since={number}&start={number}")), NOW_NS);
    }
}
