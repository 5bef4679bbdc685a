//! Loki pushes, protobuf and JSON, and the labels in them.
#![cfg_attr(feature = "libfuzzer", no_main)]

use wire::WireError;
use wire::loki::{JsonPush, PushView};

stella_fuzz::target!(|data: &[u8]| {
    let _ = JsonPush::from_body(data);
    for stream in PushView::new(data).streams().map_while(Result::ok) {
        let _ = stream.label_pairs();
        for entry in stream.entries() {
            let line = entry.read(|_, _| Ok::<(), WireError>(()));
            let _ = line.map(|line| (line.text(), line.timestamp_ns()));
        }
    }
});
