//! Canonical label bytes: what is accepted is canonical.
#![cfg_attr(feature = "libfuzzer", no_main)]

stella_fuzz::target!(|data: &[u8]| {
    if let Ok(labels) = model::Labels::from_bytes(data) {
        assert_eq!(model::Labels::from_pairs(labels.iter()), labels);
    }
});
