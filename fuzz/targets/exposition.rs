//! Prometheus text and OpenMetrics.
#![cfg_attr(feature = "libfuzzer", no_main)]

use collector::exposition::{Format, Target, parse};

stella_fuzz::target!(|text: &str| {
    for format in [Format::PrometheusText, Format::OpenMetrics] {
        let _ = parse(text, &Target { format, labels: &[("job", "j")], timestamp_ms: 0 });
    }
});
