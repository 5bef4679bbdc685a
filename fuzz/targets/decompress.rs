//! Every content encoding: no panic, and never more than the bound.
#![cfg_attr(feature = "libfuzzer", no_main)]

use bytes::Bytes;
use wire::Encoding;

const MAX_DECODED: usize = 1 << 20;

stella_fuzz::target!(|data: &[u8]| {
    for name in ["identity", "gzip", "deflate", "zstd", "snappy"] {
        let encodings = Encoding::parse(name).expect("the name is one of an encoding");
        for encoding in encodings {
            if let Ok(body) = wire::decompress(encoding, Bytes::copy_from_slice(data), MAX_DECODED) {
                assert!(body.len() <= MAX_DECODED);
            }
        }
    }
});
