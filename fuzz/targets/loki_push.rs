//! Loki pushes, protobuf and JSON, and the labels in them.
#![no_main]

use libfuzzer_sys::fuzz_target;

use bytes::Bytes;
use wire::loki::{JsonPush, PushRequest};

fuzz_target!(|data: &[u8]| {
    let _ = JsonPush::from_body(data);
    if let Ok(push) = PushRequest::from_body(Bytes::copy_from_slice(data)) {
        for stream in &push.streams {
            let _ = stream.label_pairs();
        }
    }
});
