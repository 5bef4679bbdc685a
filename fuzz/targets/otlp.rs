//! OTLP bodies, protobuf and JSON, of the three signals.
#![no_main]

use libfuzzer_sys::fuzz_target;

use bytes::Bytes;
use wire::otlp::{Format, decode_logs, decode_metrics, decode_traces};

fuzz_target!(|data: &[u8]| {
    let body = Bytes::copy_from_slice(data);
    for format in [Format::Protobuf, Format::Json] {
        let _ = decode_metrics(format, &body);
        let _ = decode_logs(format, &body);
        let _ = decode_traces(format, &body);
    }
});
