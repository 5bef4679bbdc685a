//! LogQL: what parses reads back from what it prints. Operators are printed with parentheses, so that what is nearly too
//! deep may be too deep then.
#![cfg_attr(feature = "libfuzzer", no_main)]

stella_fuzz::target!(|text: &str| {
    if let Ok(expr) = logql::parse(text) {
        let printed = expr.to_string();
        match logql::parse(&printed) {
            Ok(again) => assert_eq!(again.to_string(), printed),
            Err(error) => assert!(error.to_string().contains("too complex"), "{printed}: {error}"),
        }
    }
});
