//! TraceQL: what parses reads back from what it prints; unfinished text gives a filter or none.
#![cfg_attr(feature = "libfuzzer", no_main)]

stella_fuzz::target!(|text: &str| {
    let _ = traceql::parse_valid_matchers(text);
    if let Ok(query) = traceql::parse(text) {
        let printed = query.to_string();
        let again = traceql::parse(&printed).expect("what is printed parses");
        assert_eq!(again.to_string(), printed);
    }
});
