//! The server's side of a WebSocket (RFC 6455): the handshake, and frames of texts to a client that only listens.
//!
//! What a client sends besides pings and its goodbye is read past, within bounds. No extensions, no fragments of ours.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::bounds::MAX_CLIENT_FRAME_BYTES;

/// What the key of a handshake is joined with (RFC 6455, section 1.3).
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The bytes of a handshake's key.
const KEY_BYTES: usize = 16;
/// The longest payload of a frame that controls.
const MAX_CONTROL_BYTES: usize = 125;

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
const RESERVED: u8 = 0x70;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// Why a connection is closed, by the numbers of RFC 6455, section 7.4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// It is over.
    Normal,
    /// The server ends.
    GoingAway,
    /// The client broke the protocol.
    Protocol,
    /// The client may not have this any longer.
    Policy,
    /// The client sends more than it may.
    TooBig,
    /// The server failed.
    Internal,
}

impl Closing {
    const fn number(self) -> u16 {
        match self {
            Self::Normal => 1_000,
            Self::GoingAway => 1_001,
            Self::Protocol => 1_002,
            Self::Policy => 1_008,
            Self::TooBig => 1_009,
            Self::Internal => 1_011,
        }
    }
}

/// A handshake that is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotOne(&'static str);

impl IntoResponse for NotOne {
    fn into_response(self) -> Response {
        let version = [(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))];
        (StatusCode::BAD_REQUEST, version, format!("Bad Request: {}\n", self.0)).into_response()
    }
}

/// The answer to a handshake, after which the connection is a WebSocket.
///
/// # Errors
/// When the request is no handshake.
pub(super) fn accept(headers: &HeaderMap) -> Result<Response, NotOne> {
    if !has_word(headers, CONNECTION, "upgrade") || !has_word(headers, UPGRADE, "websocket") {
        return Err(NotOne("this is a WebSocket: ask to upgrade to it, with HTTP/1.1"));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(NotOne("the version of the WebSocket must be 13"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok()).map(str::trim);
    let is_key = |key: &&str| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == KEY_BYTES);
    let key = key.filter(is_key).ok_or(NotOne("Sec-WebSocket-Key is missing or none"))?;
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{KEY_SUFFIX}").as_bytes());
    let accept = HeaderValue::from_str(&STANDARD.encode(digest)).expect("Base64 is a header's value");
    let headers = [
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (SEC_WEBSOCKET_ACCEPT, accept),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

fn has_word(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
}

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It wants this back.
    Ping(Vec<u8>),
    /// Something that nobody waits for.
    Other,
    /// It goes, or has broken the protocol.
    Over(Closing),
}

/// Reads what a client says next.
///
/// # Errors
/// When the connection breaks off.
pub(super) async fn read(client: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Said> {
    let mut head = [0; 2];
    client.read_exact(&mut head).await?;
    let [first, second] = head;
    let (opcode, length) = (first & 0xf, second & !MASKED);
    let is_control = opcode & 0x8 != 0;
    let is_known = matches!(opcode, 0x0..=0x2 | CLOSE | PING | PONG);
    let is_broken = first & RESERVED != 0
        || second & MASKED == 0
        || !is_known
        || (is_control && (first & FINAL == 0 || usize::from(length) > MAX_CONTROL_BYTES));
    if is_broken {
        return Ok(Said::Over(Closing::Protocol));
    }
    let length = match length {
        126 => u64::from(client.read_u16().await?),
        127 => client.read_u64().await?,
        short => u64::from(short),
    };
    if length > MAX_CLIENT_FRAME_BYTES {
        return Ok(Said::Over(Closing::TooBig));
    }
    let mut mask = [0; 4];
    client.read_exact(&mut mask).await?;
    let mut payload = Vec::new();
    (&mut *client).take(length).read_to_end(&mut payload).await?;
    if payload.len() as u64 != length {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok(match opcode {
        CLOSE => Said::Over(Closing::Normal),
        PING => Said::Ping(payload),
        _ => Said::Other,
    })
}

/// Sends a text.
///
/// # Errors
/// When the client has gone.
pub(super) async fn send(client: &mut (impl AsyncWrite + Unpin), text: &[u8]) -> std::io::Result<()> {
    frame(client, TEXT, text).await
}

/// Asks whether the client is there.
///
/// # Errors
/// When it has gone.
pub(super) async fn ping(client: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    frame(client, PING, &[]).await
}

/// Answers a ping.
///
/// # Errors
/// When the client has gone.
pub(super) async fn pong(client: &mut (impl AsyncWrite + Unpin), payload: &[u8]) -> std::io::Result<()> {
    frame(client, PONG, payload).await
}

/// Says goodbye, and why.
///
/// # Errors
/// When the client has gone before.
pub(super) async fn close(
    client: &mut (impl AsyncWrite + Unpin),
    closing: Closing,
    reason: &str,
) -> std::io::Result<()> {
    let mut payload = closing.number().to_be_bytes().to_vec();
    let mut end = reason.len().min(MAX_CONTROL_BYTES - payload.len());
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    frame(client, CLOSE, &payload).await?;
    client.shutdown().await
}

async fn frame(client: &mut (impl AsyncWrite + Unpin), opcode: u8, payload: &[u8]) -> std::io::Result<()> {
    let mut head = vec![FINAL | opcode];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..=125), _) => head.push(length),
        (_, Ok(length)) => {
            head.push(126);
            head.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            head.push(127);
            head.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    client.write_all(&head).await?;
    client.write_all(payload).await?;
    client.flush().await
}

#[cfg(test)]
mod tests;
