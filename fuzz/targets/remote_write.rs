//! Remote write 1.0 and 2.0 messages.
#![no_main]

use libfuzzer_sys::fuzz_target;

use bytes::Bytes;
use wire::remote_write::{v1, v2};

fuzz_target!(|data: &[u8]| {
    let _ = v1::WriteRequest::from_body(Bytes::copy_from_slice(data));
    if let Ok(request) = v2::Request::from_body(Bytes::copy_from_slice(data)) {
        for series in &request.timeseries {
            let _ = request.labels(&series.labels_refs);
        }
    }
});
