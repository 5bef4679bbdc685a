//! Bodies within bounds: read, decompressed and decoded, with the bytes that their requests hold counted.

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use wire::WireError;

use super::budget::Held;
use super::shape::{self, Shape};
use crate::bounds::{EXPANSION_GUESS, INLINE_DECODE_BYTES, MAX_MAPPED_BYTES, MAX_MESSAGE_BYTES};
use crate::error::CollectorError;

/// A flag and a length before each message of gRPC.
const FRAME_HEADER_BYTES: usize = 5;

/// Bytes that are counted at once while a body arrives.
const STEP_BYTES: usize = 4 << 10;

/// Room for what a body becomes once it is decoded.
///
/// # Errors
/// [`CollectorError::MessageTooLarge`], or those of [`Held::take`].
fn take_message(held: &mut Held, bytes: usize) -> Result<(), CollectorError> {
    if bytes > MAX_MESSAGE_BYTES {
        return Err(CollectorError::MessageTooLarge { bytes, max_bytes: MAX_MESSAGE_BYTES });
    }
    held.take(bytes)
}

/// Room for what a request becomes once it is mapped.
///
/// # Errors
/// [`CollectorError::MappedTooLarge`], or those of [`Held::take`].
pub(crate) fn take_mapped(held: &mut Held, bytes: usize) -> Result<(), CollectorError> {
    if bytes > MAX_MAPPED_BYTES {
        return Err(CollectorError::MappedTooLarge { bytes, max_bytes: MAX_MAPPED_BYTES });
    }
    held.take(bytes)
}

/// Reads a body as it arrives. What has not arrived is not held, so that a slow sender keeps nobody out.
async fn read(
    held: &mut Held,
    headers: &HeaderMap,
    body: Body,
    max_bytes: usize,
) -> Result<Bytes, CollectorError> {
    let told = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let told = told.or_else(|| body.size_hint().exact());
    if told.is_some_and(|len| usize::try_from(len).map_or(true, |len| len > max_bytes)) {
        return Err(CollectorError::BodyTooLarge { max_bytes });
    }
    let mut counted = 0;
    let mut read = BytesMut::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) =
        chunks.try_next().await.map_err(|error| CollectorError::Body(error.to_string()))?
    {
        if read.len() + chunk.len() > max_bytes {
            return Err(CollectorError::BodyTooLarge { max_bytes });
        }
        let needed = (read.len() + chunk.len()).next_multiple_of(STEP_BYTES);
        if needed > counted {
            held.take(needed - counted)?;
            counted = needed;
        }
        read.extend_from_slice(&chunk);
    }
    Ok(read.freeze())
}

/// Reads, decompresses and decodes a body; `size` tells what the decoded message will take. Large ones are worked on by
/// a blocking thread. What `decode` takes is held on; the body and what it was decoded to are gone by then.
///
/// # Errors
/// When the body is over a bound, broken, or the process is busy.
pub(crate) async fn decoded<T: Send + 'static>(
    mut held: Held,
    headers: &HeaderMap,
    body: Body,
    encoding: Option<&str>,
    size: impl FnOnce(&Bytes) -> usize + Send + 'static,
    decode: impl FnOnce(Bytes, &mut Held) -> Result<T, CollectorError> + Send + 'static,
) -> Result<(T, Held), CollectorError> {
    let named = headers.get_all(CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let named = named.collect::<Vec<_>>().join(",");
    let encoding = if named.is_empty() { encoding.unwrap_or_default().to_owned() } else { named };
    let max_bytes = held.settings().max_body_bytes();
    let raw = read(&mut held, headers, body, max_bytes).await?;
    // A few bytes of gzip or zstd may hold megabytes; what snappy may hold is bounded by its length.
    let is_bounded = ["", "identity", "snappy"].iter().any(|name| encoding.eq_ignore_ascii_case(name));
    let is_small = is_bounded && raw.len() <= INLINE_DECODE_BYTES;
    let work = move || {
        let body = decompress(&mut held, &encoding, raw)?;
        take_message(&mut held, size(&body))?;
        let before = held.bytes();
        let decoded = decode(body, &mut held)?;
        held.give_back(before);
        Ok((decoded, held))
    };
    if is_small {
        return work();
    }
    run(work).await
}

/// Reads the one frame of a unary gRPC request and decompresses its message, so that `shape` can tell what the
/// decoded message will take, where it is decoded at all. Gives the frame anew; what is no frame goes on as it is, for gRPC to refuse.
///
/// Source: "gRPC over HTTP2", section "Length-Prefixed-Message".
///
/// # Errors
/// When the message is over a bound, broken, or the process is busy.
pub(crate) async fn frame(
    mut held: Held,
    headers: &HeaderMap,
    body: Body,
    shape: Option<&'static Shape>,
) -> Result<(Bytes, Held), CollectorError> {
    let max_bytes = held.settings().max_decoded_bytes().saturating_add(FRAME_HEADER_BYTES);
    let raw = read(&mut held, headers, body, max_bytes).await?;
    let Some(header) = raw.first_chunk::<FRAME_HEADER_BYTES>() else { return Ok((raw, held)) };
    let [flag, length @ ..] = *header;
    let message = raw.slice(FRAME_HEADER_BYTES..);
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > message.len() {
        return Ok((raw, held));
    }
    if length < message.len() {
        return Err(CollectorError::Invalid("a unary request has one message, send one".to_owned()));
    }
    let encoding = headers.get("grpc-encoding").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_known = ["gzip", "zstd", "deflate"].contains(&encoding);
    if flag != 0 && !is_known {
        return Ok((raw, held));
    }
    let encoding = encoding.to_owned();
    let is_small = flag == 0 && message.len() <= INLINE_DECODE_BYTES;
    let work = move || {
        let (message, frame) = match flag {
            0 => (message, raw),
            _ => {
                let message = decompress(&mut held, &encoding, message)?;
                (message.clone(), framed(&message))
            }
        };
        take_message(&mut held, shape.map_or(0, |shape| shape::protobuf_bytes(&message, shape)))?;
        Ok((frame, held))
    };
    if is_small { work() } else { run(work).await }
}

fn decompress(held: &mut Held, encoding: &str, raw: Bytes) -> Result<Bytes, CollectorError> {
    let max = held.settings().max_decoded_bytes();
    if encoding.is_empty() || encoding.eq_ignore_ascii_case("identity") {
        return Ok(wire::decompress_body(None, raw, max)?);
    }
    // Never more than the request may still take: beyond that it is too large, not unlucky.
    let max = max.min(held.left());
    let guess =
        wire::claimed_len(encoding, &raw).unwrap_or_else(|| raw.len().saturating_mul(EXPANSION_GUESS));
    let guess = guess.max(STEP_BYTES).min(max);
    held.take(guess)?;
    let (body, taken) = match wire::decompress_body(Some(encoding), raw.clone(), guess) {
        Err(WireError::TooLarge { .. }) if guess < max => {
            held.take(max - guess)?;
            (wire::decompress_body(Some(encoding), raw, max)?, max)
        }
        decided => (decided?, guess),
    };
    held.give_back(taken.saturating_sub(body.len()));
    Ok(body)
}

/// A message as an uncompressed frame.
fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(FRAME_HEADER_BYTES + message.len());
    frame.extend_from_slice(&[0]);
    let length = u32::try_from(message.len()).expect("decompressed messages are bounded far below 2^32");
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(message);
    frame.freeze()
}

/// Runs work over 500 µs where it holds nobody up.
///
/// # Errors
/// The work's own, or [`CollectorError::Internal`] when it panicked.
pub(crate) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CollectorError> + Send + 'static,
) -> Result<T, CollectorError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| CollectorError::Internal(format!("decoding did not finish: {error}")))?
}
