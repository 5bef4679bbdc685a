//! Canonical label bytes: what is accepted is canonical.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(labels) = model::Labels::from_bytes(data) {
        assert_eq!(model::Labels::from_pairs(labels.iter()), labels);
    }
});
