//! Every encoding there and back, bombs, truncation, wrong names, and that no bytes panic.

use std::io::Write;

use flate2::Compression;
use proptest::prelude::*;

use super::*;

const ALL: [Encoding; 6] = [
    Encoding::Identity,
    Encoding::Gzip,
    Encoding::Deflate,
    Encoding::Zstd,
    Encoding::SnappyBlock,
    Encoding::SnappyFramed,
];

fn compress(encoding: Encoding, bytes: &[u8]) -> Bytes {
    match encoding {
        Encoding::Identity => bytes.to_vec(),
        Encoding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Encoding::Deflate => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Encoding::Zstd => zstd::stream::encode_all(bytes, 1).unwrap(),
        Encoding::SnappyBlock => snap::raw::Encoder::new().compress_vec(bytes).unwrap(),
        Encoding::SnappyFramed => {
            let mut encoder = snap::write::FrameEncoder::new(Vec::new());
            encoder.write_all(bytes).unwrap();
            encoder.into_inner().unwrap()
        }
    }
    .into()
}

fn is_too_large(result: &Result<Bytes, WireError>) -> bool {
    matches!(result, Err(WireError::TooLarge { .. }))
}

#[test]
fn the_bound_is_exact() {
    let bytes = b"0123456789abcdef".repeat(5_000);
    for encoding in ALL {
        let body = compress(encoding, &bytes);
        assert_eq!(decompress(encoding, body.clone(), bytes.len()).unwrap(), bytes, "{encoding:?}");
        assert!(is_too_large(&decompress(encoding, body, bytes.len() - 1)), "{encoding:?}");
    }
}

#[test]
fn bombs_are_refused() {
    let bomb = vec![0; 64 << 20];
    for encoding in ALL.into_iter().filter(|encoding| *encoding != Encoding::Identity) {
        let body = compress(encoding, &bomb);
        assert!(body.len() < 4 << 20, "{encoding:?}: {}", body.len());
        assert!(is_too_large(&decompress(encoding, body, 1 << 20)), "{encoding:?}");
    }
}

#[test]
fn false_claims_are_refused_before_memory_is_taken() {
    // A snappy block whose header claims 4 GiB less one byte, and one that claims more than it could hold.
    let body = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
    assert!(is_too_large(&decompress(Encoding::SnappyBlock, body.clone(), 1 << 30)));
    let error = decompress(Encoding::SnappyBlock, body, usize::MAX).unwrap_err().to_string();
    assert!(error.contains("`6` bytes cannot yield `4294967295`"), "{error}");
    // A zstd frame whose header asks for a window of 2 GiB.
    let body = Bytes::from_static(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00]);
    let error = decompress(Encoding::Zstd, body, 1 << 20).unwrap_err();
    assert!(matches!(error, WireError::Decompress { .. }), "{error}");
}

#[test]
fn truncated_bodies_are_refused() {
    let bytes: Vec<u8> = (0..40_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    for encoding in ALL.into_iter().filter(|encoding| *encoding != Encoding::Identity) {
        let body = compress(encoding, &bytes);
        let result = decompress(encoding, body.slice(..body.len() - 9), usize::MAX);
        assert!(matches!(result, Err(WireError::Decompress { .. })), "{encoding:?}: {result:?}");
    }
}

#[test]
fn clients_own_readings_are_tolerated() {
    let bytes = b"some telemetry, some telemetry".as_slice();
    let framed = compress(Encoding::SnappyFramed, bytes);
    assert_eq!(decompress(Encoding::SnappyBlock, framed, 100).unwrap(), bytes);
    let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), Compression::fast());
    raw.write_all(bytes).unwrap();
    assert_eq!(decompress(Encoding::Deflate, raw.finish().unwrap().into(), 100).unwrap(), bytes);
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let twice = [compress(encoding, bytes), compress(encoding, bytes)].concat();
        assert_eq!(decompress(encoding, twice.into(), 100).unwrap(), bytes.repeat(2), "{encoding:?}");
    }
}

#[test]
fn headers_name_the_steps() {
    let cases = [
        ("", vec![]),
        ("identity", vec![Encoding::Identity]),
        ("GZIP", vec![Encoding::Gzip]),
        ("x-gzip", vec![Encoding::Gzip]),
        ("deflate", vec![Encoding::Deflate]),
        ("zstd", vec![Encoding::Zstd]),
        ("snappy", vec![Encoding::SnappyBlock]),
        (" gzip , zstd ", vec![Encoding::Gzip, Encoding::Zstd]),
    ];
    for (header, expected) in cases {
        assert_eq!(Encoding::parse(header).unwrap(), expected, "{header}");
    }
    let error = Encoding::parse("gzip, br").unwrap_err();
    assert_eq!(error.http_status(), 415);
    assert!(error.to_string().contains("encoding=`br`"), "{error}");
    assert!(error.to_string().contains("gzip, deflate, zstd or snappy"), "{error}");
    assert!(matches!(Encoding::parse("gzip,gzip,gzip"), Err(WireError::TooManyEncodings { max: 2 })));
}

#[test]
fn steps_are_undone_from_the_last() {
    let bytes = b"text".as_slice();
    let body = compress(Encoding::Zstd, &compress(Encoding::Gzip, bytes));
    assert_eq!(decompress_body(Some("gzip, zstd"), body, 1000).unwrap(), bytes);
    assert_eq!(decompress_body(None, Bytes::from_static(bytes), 4).unwrap(), bytes);
    assert!(is_too_large(&decompress_body(None, Bytes::from_static(bytes), 3)));
}

proptest! {
    #[test]
    fn bytes_survive_every_encoding(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        for encoding in ALL {
            let back = decompress(encoding, compress(encoding, &bytes), bytes.len()).unwrap();
            prop_assert_eq!(&back, &bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_never_exceed_the_bound(
        bytes in proptest::collection::vec(any::<u8>(), 0..512),
        max_decoded in 0_usize..2048,
    ) {
        for encoding in ALL {
            if let Ok(out) = decompress(encoding, Bytes::from(bytes.clone()), max_decoded) {
                prop_assert!(out.len() <= max_decoded);
            }
        }
    }

    #[test]
    fn damaged_bodies_never_panic_and_never_exceed_the_bound(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let bytes = b"0123456789abcdef".repeat(300);
        for encoding in ALL {
            let mut body = compress(encoding, &bytes).to_vec();
            let at = at.index(body.len());
            body[at] = byte;
            if let Ok(out) = decompress(encoding, body.into(), 5000) {
                prop_assert!(out.len() <= 5000);
            }
        }
    }

    #[test]
    fn arbitrary_headers_never_panic(header in any::<String>()) {
        let _ = Encoding::parse(&header);
    }

    #[test]
    fn a_claimed_length_is_the_real_one(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let snappy = compress(Encoding::SnappyBlock, &bytes);
        prop_assert_eq!(claimed_len("snappy", &snappy), Some(bytes.len()));
        prop_assert_eq!(claimed_len("", &bytes), Some(bytes.len()));
        prop_assert_eq!(claimed_len("gzip", &snappy), None);
        let _never_panics = claimed_len("snappy", &bytes);
    }
}
