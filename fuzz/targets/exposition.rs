//! Prometheus text and OpenMetrics.
#![no_main]

use libfuzzer_sys::fuzz_target;

use collector::exposition::{Format, Target, parse};

fuzz_target!(|text: &str| {
    for format in [Format::PrometheusText, Format::OpenMetrics] {
        let _ = parse(text, &Target { format, labels: &[("job", "j")], timestamp_ms: 0 });
    }
});
