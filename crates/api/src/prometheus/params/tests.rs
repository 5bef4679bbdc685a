//! Which parameters of Prometheus' routes are read, and how.

use super::*;

const NOW_MS: i64 = 1_700_000_000_000;

fn parameters(query: &str) -> Parameters {
    Parameters::parse(query, b"")
}

#[test]
fn moments_are_floats_or_rfc_3339() {
    let cases = [
        ("1700000000", Ok(NOW_MS)),
        ("1700000000.1234", Ok(NOW_MS + 123)),
        ("1700000000.9996", Ok(NOW_MS + 1_000)),
        ("-1.5", Ok(-1_500)),
        ("1.7e9", Ok(NOW_MS)),
        ("1_700_000_000.1_2", Ok(NOW_MS + 120)),
        ("1__7", Err("cannot parse \"1__7\" to a valid timestamp")),
        ("_1", Err("cannot parse \"_1\" to a valid timestamp")),
        ("1_", Err("cannot parse \"1_\" to a valid timestamp")),
        ("2023-11-14T22:13:20Z", Ok(NOW_MS)),
        ("2023-11-14T22:13:20.5+00:00", Ok(NOW_MS + 500)),
        ("2023-11-14T23:13:20+01:00", Ok(NOW_MS)),
        ("-292273086-05-16T16:47:06Z", Ok(i64::MIN)),
        ("292277025-08-18T07:12:54.999999999Z", Ok(i64::MAX)),
        ("1e300", Ok(i64::MAX)),
        ("NaN", Err("cannot parse \"NaN\" to a valid timestamp")),
        ("foo", Err("cannot parse \"foo\" to a valid timestamp")),
        ("", Err("cannot parse \"\" to a valid timestamp")),
    ];
    for (text, expected) in cases {
        assert_eq!(parse_time(text), expected.map_err(str::to_owned), "{text:?}");
    }
}

#[test]
fn an_instant_question_has_defaults() {
    let question = PromQuestion::instant(&parameters("query=up"), NOW_MS).unwrap();
    let request = PromRequest {
        start_ms: NOW_MS,
        end_ms: NOW_MS,
        step_ms: None,
        timeout_ns: None,
        lookback_ms: None,
        limit: None,
        counts_samples: false,
    };
    assert_eq!(question, PromQuestion { query: "up".into(), request, stats: None });
    let asked = parameters("query=up&time=5&timeout=1s&limit=7&lookback_delta=2m&stats=all");
    let question = PromQuestion::instant(&asked, NOW_MS).unwrap();
    let request = PromRequest {
        start_ms: 5_000,
        end_ms: 5_000,
        timeout_ns: Some(1_000_000_000),
        lookback_ms: Some(120_000),
        limit: Some(7),
        counts_samples: true,
        ..request
    };
    assert_eq!(question, PromQuestion { query: "up".into(), request, stats: Some(Stats::All) });
}

#[test]
fn a_range_has_at_most_11_000_steps() {
    let question = PromQuestion::range(&parameters("query=up&start=0&end=11000&step=1")).unwrap();
    assert_eq!(
        (question.request.start_ms, question.request.end_ms, question.request.step_ms),
        (0, 11_000_000, Some(1_000))
    );
    let too_many = PromQuestion::range(&parameters("query=up&start=0&end=11001&step=1"));
    assert_eq!(
        too_many.unwrap_err().to_string(),
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"
    );
}

#[test]
fn wrong_parameters_are_named_in_prometheus_words() {
    let cases = [
        ("", "invalid parameter \"start\": cannot parse \"\" to a valid timestamp"),
        ("start=1", "invalid parameter \"end\": cannot parse \"\" to a valid timestamp"),
        ("start=2&end=1", "invalid parameter \"end\": end timestamp must not be before start time"),
        ("start=1&end=2", "invalid parameter \"step\": cannot parse \"\" to a valid duration"),
        (
            "start=1&end=2&step=0",
            "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer",
        ),
        (
            "start=1&end=2&step=1&timeout=x",
            "invalid parameter \"timeout\": cannot parse \"x\" to a valid duration",
        ),
        (
            "start=1&end=2&step=1&lookback_delta=x",
            "error parsing lookback delta duration: cannot parse \"x\" to a valid duration",
        ),
        (
            "start=1&end=2&step=1&limit=x",
            "invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        (
            "start=1&end=2&step=1&limit=99999999999999999999",
            "invalid parameter \"limit\": strconv.Atoi: parsing \"99999999999999999999\": value out of range",
        ),
        ("start=1&end=2&step=1&limit=-1", "invalid parameter \"limit\": limit must be non-negative"),
    ];
    for (query, expected) in cases {
        let error = PromQuestion::range(&parameters(query)).unwrap_err();
        assert_eq!(error.to_string(), expected, "{query:?}");
    }
}

#[test]
fn series_are_selected_by_any_of_the_sets() {
    let question =
        SeriesQuestion::read(&parameters("match[]=up&match[]={job=\"a\"}&start=1&end=2&limit=0")).unwrap();
    assert_eq!(question.sets.len(), 2);
    assert_eq!(question.range, TimeRange::from_ms(1_000, 2_000));
    assert_eq!(question.limit, None);
    let everything = SeriesQuestion::read(&parameters("")).unwrap();
    assert_eq!(everything.sets, Vec::<Vec<Matcher>>::new());
    assert_eq!((everything.range.start_ns, everything.range.end_ns), (i64::MIN, i64::MAX));
    let empty = SeriesQuestion::read(&parameters("match[]={job=~\".*\"}")).unwrap_err();
    assert_eq!(empty.to_string(), "match[] must contain at least one non-empty matcher");
    let broken = SeriesQuestion::read(&parameters("match[]={")).unwrap_err().to_string();
    assert!(broken.starts_with("1:"), "{broken}");
}

#[test]
fn names_of_any_characters_fit_into_an_address() {
    let cases = [
        ("job", "job"),
        ("U__http_2e_status", "http.status"),
        ("U__a__b", "a_b"),
        ("U___1F600_", "\u{1F600}"),
        ("U__plain", "plain"),
        ("U__bad_zz_", "U__bad_zz_"),
        ("U__open_2e", "U__open_2e"),
        ("U__surrogate_d800_", "U__surrogate_d800_"),
        ("U__long_0000041_", "U__long_0000041_"),
    ];
    for (name, expected) in cases {
        assert_eq!(unescape_name(name), expected, "{name:?}");
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_parameters_never_panic(query in ".*", number in "-?[0-9]{1,25}(\\.[0-9]{1,9})?(e[0-9]{1,3})?", name in "U__[_0-9a-f]{0,12}") {
        let arbitrary = parameters(&query);
        let _ = (PromQuestion::instant(&arbitrary, NOW_MS), PromQuestion::range(&arbitrary));
        let numbers = parameters(&format!("query=x&time={number}&start={number}&end={number}&step={number}&limit={number}"));
        let _ = (PromQuestion::instant(&numbers, NOW_MS), PromQuestion::range(&numbers));
        let _ = (SeriesQuestion::read(&numbers), unescape_name(&name), unescape_name(&query));
    }
}
