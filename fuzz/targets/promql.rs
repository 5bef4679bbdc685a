//! PromQL: what parses reads back from what it prints.
#![cfg_attr(feature = "libfuzzer", no_main)]

stella_fuzz::target!(|text: &str| {
    if let Ok(expr) = promql::parse(text, promql::Features::ALL) {
        let printed = expr.to_string();
        let again = promql::parse(&printed, promql::Features::ALL).expect("what is printed parses");
        assert_eq!(again.to_string(), printed);
        let split =
            promql::parse(&expr.pretty(), promql::Features::ALL).expect("what is split over lines parses");
        assert_eq!(split.to_string(), printed);
    }
});
