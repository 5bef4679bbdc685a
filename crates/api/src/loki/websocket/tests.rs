//! Handshakes and frames, those of RFC 6455 and broken ones.

use proptest::prelude::*;

use super::*;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pairs = pairs
        .iter()
        .map(|(name, value)| (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap()));
    pairs.collect()
}

const HANDSHAKE: [(&str, &str); 4] = [
    ("connection", "keep-alive, Upgrade"),
    ("upgrade", "WebSocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

#[test]
fn a_handshake_is_answered_as_the_standard_says() {
    let answer = accept(&headers(&HANDSHAKE)).unwrap();
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(answer.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    for (name, value) in [
        ("connection", "keep-alive"),
        ("upgrade", "h2c"),
        ("sec-websocket-version", "8"),
        ("sec-websocket-key", "short"),
        ("sec-websocket-key", ""),
    ] {
        let mut changed = headers(&HANDSHAKE);
        changed.insert(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
        assert!(accept(&changed).is_err(), "{name}: {value}");
    }
}

/// A frame as clients send it.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u8::try_from(payload.len()) {
        Ok(length @ 0..=125) => frame.push(MASKED | length),
        _ => {
            frame.push(MASKED | 126);
            frame.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[tokio::test]
async fn what_clients_say_is_read_within_bounds() {
    let mut all = masked(FINAL | PING, b"Hello");
    all.extend(masked(FINAL | TEXT, &[b'x'; 300]));
    all.extend(masked(TEXT, b"a part"));
    all.extend(masked(FINAL | CLOSE, &[3, 232]));
    let mut client = all.as_slice();
    assert_eq!(read(&mut client).await.unwrap(), Said::Ping(b"Hello".to_vec()));
    assert_eq!(read(&mut client).await.unwrap(), Said::Other);
    assert_eq!(read(&mut client).await.unwrap(), Said::Other);
    assert_eq!(read(&mut client).await.unwrap(), Said::Over(Closing::Normal));
    assert!(read(&mut client).await.is_err());
    for (bytes, closing) in [
        (vec![FINAL | PING, 0], Closing::Protocol),
        (vec![FINAL | 0x40 | TEXT, MASKED], Closing::Protocol),
        (vec![PING, MASKED], Closing::Protocol),
        (vec![FINAL | 0x3, MASKED], Closing::Protocol),
        (vec![FINAL | PING, MASKED | 126, 0, 126], Closing::Protocol),
        (vec![FINAL | TEXT, MASKED | 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Closing::TooBig),
    ] {
        assert_eq!(read(&mut bytes.as_slice()).await.unwrap(), Said::Over(closing), "{bytes:?}");
    }
}

#[tokio::test]
async fn frames_have_the_lengths_of_the_standard() {
    for (length, head) in [
        (5, vec![0x81, 5]),
        (125, vec![0x81, 125]),
        (126, vec![0x81, 126, 0, 126]),
        (70_000, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]),
    ] {
        let mut sent = Vec::new();
        send(&mut sent, &vec![b'x'; length]).await.unwrap();
        assert_eq!((&sent[..head.len()], sent.len()), (head.as_slice(), head.len() + length));
    }
    let mut sent = Vec::new();
    close(&mut sent, Closing::Policy, &"ä".repeat(200)).await.unwrap();
    assert_eq!((sent[0], sent[1], &sent[2..4]), (0x88, 124, [3, 240].as_slice()));
    assert!(std::str::from_utf8(&sent[4..]).is_ok());
}

proptest! {
    #[test]
    fn no_bytes_are_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _ = runtime.block_on(read(&mut bytes.as_slice()));
    }
}
