//! Bodies within bounds: read, decompressed and decoded, with the bytes that all requests hold counted.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::WireError;

use super::shape::{self, Shape};
use crate::bounds::{EXPANSION_GUESS, INLINE_DECODE_BYTES, MAX_MAPPED_BYTES, MAX_MESSAGE_BYTES};
use crate::error::CollectorError;
use crate::settings::BodySettings;

/// A flag and a length before each message of gRPC.
const FRAME_HEADER_BYTES: usize = 5;

/// What one permit stands for, so that their number fits 32 bits.
const PERMIT_BYTES: usize = 1 << 10;

/// The bytes that requests may hold together.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    permits: Arc<Semaphore>,
    settings: BodySettings,
}

/// Bytes that a request holds until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    permit: OwnedSemaphorePermit,
}

impl Held {
    /// How many, rounded up to whole permits.
    pub(crate) fn bytes(&self) -> usize {
        self.permit.num_permits() * PERMIT_BYTES
    }

    /// Gives back what is over `bytes`.
    fn shrink(&mut self, bytes: usize) {
        let surplus = self.permit.num_permits().saturating_sub(bytes.div_ceil(PERMIT_BYTES));
        drop(self.permit.split(surplus));
    }
}

impl Budget {
    pub(crate) fn new(settings: &BodySettings) -> Self {
        let permits = (settings.max_in_flight_bytes / PERMIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        Self { permits: Arc::new(Semaphore::new(permits)), settings: settings.clone() }
    }

    /// Takes bytes, or says that the process is busy.
    ///
    /// # Errors
    /// [`CollectorError::Busy`].
    pub(crate) fn hold(&self, bytes: usize) -> Result<Held, CollectorError> {
        let busy = || CollectorError::Busy { max_bytes: self.settings.max_in_flight_bytes };
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).map_err(|_| busy())?;
        let permit = Arc::clone(&self.permits).try_acquire_many_owned(permits).map_err(|_| busy())?;
        Ok(Held { permit })
    }

    /// Room for what a body becomes once it is decoded.
    ///
    /// # Errors
    /// [`CollectorError::MessageTooLarge`], or [`CollectorError::Busy`].
    pub(crate) fn message(&self, bytes: usize) -> Result<Held, CollectorError> {
        if bytes > MAX_MESSAGE_BYTES {
            return Err(CollectorError::MessageTooLarge { bytes, max_bytes: MAX_MESSAGE_BYTES });
        }
        self.hold(bytes)
    }

    /// Room for what a request becomes once it is mapped.
    ///
    /// # Errors
    /// [`CollectorError::MappedTooLarge`], or [`CollectorError::Busy`].
    pub(crate) fn room(&self, bytes: usize) -> Result<Held, CollectorError> {
        if bytes > MAX_MAPPED_BYTES {
            return Err(CollectorError::MappedTooLarge { bytes, max_bytes: MAX_MAPPED_BYTES });
        }
        self.hold(bytes)
    }

    /// Reads a body as it arrives. What has not arrived is not held, so that a slow sender keeps nobody out.
    async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        max_bytes: usize,
    ) -> Result<(Bytes, Held), CollectorError> {
        let told = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        let told = told.or_else(|| body.size_hint().exact());
        if told.is_some_and(|len| usize::try_from(len).map_or(true, |len| len > max_bytes)) {
            return Err(CollectorError::BodyTooLarge { max_bytes });
        }
        let mut held = self.hold(0)?;
        let mut counted = 0;
        let mut read = BytesMut::new();
        let mut chunks = body.into_data_stream();
        while let Some(chunk) =
            chunks.try_next().await.map_err(|error| CollectorError::Body(error.to_string()))?
        {
            if read.len() + chunk.len() > max_bytes {
                return Err(CollectorError::BodyTooLarge { max_bytes });
            }
            read.extend_from_slice(&chunk);
            let needed = read.len().next_multiple_of(PERMIT_BYTES);
            if needed > counted {
                held.permit.merge(self.hold(needed - counted)?.permit);
                counted = needed;
            }
        }
        Ok((read.freeze(), held))
    }

    /// Reads, decompresses and decodes a body; `size` tells what the decoded message will take. Large ones are worked on by a blocking thread.
    ///
    /// # Errors
    /// When the body is over a bound, broken, or the process is busy.
    pub(crate) async fn decoded<T: Send + 'static>(
        &self,
        headers: &HeaderMap,
        body: Body,
        encoding: Option<&str>,
        size: impl FnOnce(&Bytes) -> usize + Send + 'static,
        decode: impl FnOnce(Bytes) -> Result<T, CollectorError> + Send + 'static,
    ) -> Result<(T, Held), CollectorError> {
        let named = headers.get_all(CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let named = named.collect::<Vec<_>>().join(",");
        let encoding = if named.is_empty() { encoding.unwrap_or_default().to_owned() } else { named };
        let (raw, mut held) = self.read(headers, body, self.settings.max_body_bytes).await?;
        let budget = self.clone();
        // A few bytes of gzip or zstd may hold megabytes; what snappy may hold is bounded by its length.
        let is_bounded = ["", "identity", "snappy"].iter().any(|name| encoding.eq_ignore_ascii_case(name));
        let is_small = is_bounded && raw.len() <= INLINE_DECODE_BYTES;
        let work = move || {
            let body = budget.decompress(&encoding, raw, &mut held)?;
            held.permit.merge(budget.message(size(&body))?.permit);
            Ok((decode(body)?, held))
        };
        if is_small {
            return work();
        }
        run(work).await
    }

    /// Reads the one frame of a unary gRPC request and decompresses its message, so that `shape` can tell what the
    /// decoded message will take. Gives the frame anew; what is no frame goes on as it is, for gRPC to refuse.
    ///
    /// Source: "gRPC over HTTP2", section "Length-Prefixed-Message".
    ///
    /// # Errors
    /// When the message is over a bound, broken, or the process is busy.
    pub(crate) async fn frame(
        &self,
        headers: &HeaderMap,
        body: Body,
        shape: &'static Shape,
    ) -> Result<(Bytes, Held), CollectorError> {
        let max_bytes = self.settings.max_decoded_bytes.saturating_add(FRAME_HEADER_BYTES);
        let (raw, mut held) = self.read(headers, body, max_bytes).await?;
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
        let (budget, encoding) = (self.clone(), encoding.to_owned());
        let is_small = flag == 0 && message.len() <= INLINE_DECODE_BYTES;
        let work = move || {
            let (message, frame) = match flag {
                0 => (message, raw),
                _ => {
                    let message = budget.decompress(&encoding, message, &mut held)?;
                    (message.clone(), framed(&message))
                }
            };
            held.permit.merge(budget.message(shape::protobuf_bytes(&message, shape))?.permit);
            Ok((frame, held))
        };
        if is_small { work() } else { run(work).await }
    }

    fn decompress(&self, encoding: &str, raw: Bytes, held: &mut Held) -> Result<Bytes, CollectorError> {
        let max = self.settings.max_decoded_bytes;
        if encoding.is_empty() || encoding.eq_ignore_ascii_case("identity") {
            return Ok(wire::decompress_body(None, raw, max)?);
        }
        let guess = raw.len().saturating_mul(EXPANSION_GUESS).max(PERMIT_BYTES).min(max);
        held.permit.merge(self.hold(guess)?.permit);
        let body = match wire::decompress_body(Some(encoding), raw.clone(), guess) {
            Err(WireError::TooLarge { .. }) if guess < max => {
                held.permit.merge(self.hold(max - guess)?.permit);
                wire::decompress_body(Some(encoding), raw, max)?
            }
            decided => decided?,
        };
        held.shrink(body.len());
        Ok(body)
    }
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
