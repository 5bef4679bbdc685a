//! The only decompressor: every encoding that a client may choose, each capped, so that no body grows beyond
//! the bound that the caller sets.
//!
//! Source: RFC 9110 section 8.4 (content codings), RFC 8878 (zstd), the format descriptions of snappy.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the one place where bodies are decompressed, with a bound"
)]

use std::io::Read;

use bytes::Bytes;

use crate::error::{WireError, shortened};

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// One or more gzip members.
    Gzip,
    /// A zlib stream; a raw deflate stream is tolerated, as some clients send it under this name.
    Deflate,
    /// One or more zstd frames.
    Zstd,
    /// One snappy block, as Prometheus and Loki send it; a framed stream is recognised by its first chunk.
    SnappyBlock,
    /// A framed snappy stream, as OpenTelemetry collectors send it.
    SnappyFramed,
}

/// How many steps of `Content-Encoding` are undone.
const MAX_STEPS: usize = 2;
/// How every framed snappy stream begins.
const SNAPPY_STREAM: &[u8] = b"\xff\x06\x00\x00sNaPpY";
/// A snappy element of 3 bytes yields 64 at most, so a longer claim than this times the input is false.
const SNAPPY_MAX_RATIO: usize = 22;
/// RFC 8878 recommends that decoders support windows of 8 MiB; larger ones only where the bound is larger.
const ZSTD_WINDOW_LOG: std::ops::RangeInclusive<u32> = 23..=27;
/// The size by which output starts to grow.
const FIRST_BYTES: usize = 16 * 1024;

impl Encoding {
    /// Reads the value of `Content-Encoding`: the steps in the order in which the sender took them.
    /// `snappy` means a block; [`decompress`] recognises a framed stream by itself.
    ///
    /// # Errors
    /// [`WireError::UnsupportedEncoding`] for a name that is not known, [`WireError::TooManyEncodings`] for a
    /// list of more than two.
    pub fn parse(header: &str) -> Result<Vec<Self>, WireError> {
        let names = header.split(',').map(str::trim).filter(|name| !name.is_empty());
        let mut steps = Vec::with_capacity(MAX_STEPS);
        for name in names {
            let step = Self::from_name(name)
                .ok_or_else(|| WireError::UnsupportedEncoding { encoding: shortened(name) })?;
            if steps.len() == MAX_STEPS {
                return Err(WireError::TooManyEncodings { max: MAX_STEPS });
            }
            steps.push(step);
        }
        Ok(steps)
    }

    fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "identity" => Self::Identity,
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" | "zlib" => Self::Deflate,
            "zstd" => Self::Zstd,
            "snappy" => Self::SnappyBlock,
            "x-snappy-framed" => Self::SnappyFramed,
            _ => return None,
        })
    }

    /// The name for errors.
    const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
            Self::SnappyBlock => "snappy",
            Self::SnappyFramed => "x-snappy-framed",
        }
    }

    fn broken(self, reason: impl std::fmt::Display) -> WireError {
        WireError::Decompress { encoding: self.name(), reason: format!("{reason}") }
    }
}

/// Undoes what `Content-Encoding` says, the last step first. An absent or empty header changes nothing.
///
/// # Errors
/// Those of [`Encoding::parse`] and [`decompress`].
pub fn decompress_body(
    content_encoding: Option<&str>,
    body: Bytes,
    max_decoded: usize,
) -> Result<Bytes, WireError> {
    let steps = Encoding::parse(content_encoding.unwrap_or_default())?;
    let body = steps.iter().rev().try_fold(body, |body, step| decompress(*step, body, max_decoded))?;
    // Without a step nothing has looked at the size yet.
    decompress(Encoding::Identity, body, max_decoded)
}

/// How long a body says it is once its one encoding is undone, where the encoding says so at its beginning and it can be
/// true. Nothing is decompressed.
#[must_use]
pub fn claimed_len(content_encoding: &str, body: &[u8]) -> Option<usize> {
    match Encoding::parse(content_encoding).ok()?.as_slice() {
        [] | [Encoding::Identity] => Some(body.len()),
        [Encoding::SnappyBlock] if !body.starts_with(SNAPPY_STREAM) => {
            let claimed = snap::raw::decompress_len(body).ok()?;
            (claimed <= body.len().saturating_mul(SNAPPY_MAX_RATIO)).then_some(claimed)
        }
        _ => None,
    }
}

/// Undoes one encoding. The output buffer never grows beyond `max_decoded` and one byte; zstd's window, of up to
/// 8 MiB or the bound, comes on top while it runs.
///
/// # Errors
/// [`WireError::TooLarge`] beyond the bound, [`WireError::Decompress`] when the bytes are not what the
/// encoding says, or end too early.
pub fn decompress(encoding: Encoding, body: Bytes, max_decoded: usize) -> Result<Bytes, WireError> {
    match encoding {
        Encoding::Identity if body.len() > max_decoded => Err(WireError::TooLarge { max_bytes: max_decoded }),
        Encoding::Identity => Ok(body),
        Encoding::Gzip => {
            read_bounded(encoding, flate2::bufread::MultiGzDecoder::new(&*body), &body, max_decoded)
        }
        Encoding::Deflate => deflate(&body, max_decoded),
        Encoding::Zstd => zstd_frames(&body, max_decoded),
        Encoding::SnappyBlock if body.starts_with(SNAPPY_STREAM) => {
            decompress(Encoding::SnappyFramed, body, max_decoded)
        }
        Encoding::SnappyBlock => snappy_block(&body, max_decoded),
        Encoding::SnappyFramed => {
            read_bounded(encoding, snap::read::FrameDecoder::new(&*body), &body, max_decoded)
        }
    }
}

fn deflate(body: &Bytes, max_decoded: usize) -> Result<Bytes, WireError> {
    // RFC 1950: the low half of the first byte is 8, and the first two bytes divide by 31. A raw stream never
    // begins so: its first byte would open a stored block with a padding bit set.
    let is_zlib = body.first_chunk().is_none_or(|&[first, second]| {
        first & 0x0f == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31)
    });
    if is_zlib {
        let stream = flate2::bufread::ZlibDecoder::new(&**body);
        return read_bounded(Encoding::Deflate, stream, body, max_decoded);
    }
    let stream = flate2::bufread::DeflateDecoder::new(&**body);
    read_bounded(Encoding::Deflate, stream, body, max_decoded)
}

fn zstd_frames(body: &Bytes, max_decoded: usize) -> Result<Bytes, WireError> {
    let needed = max_decoded.checked_next_power_of_two().map_or(u32::MAX, usize::trailing_zeros);
    let window_log = needed.clamp(*ZSTD_WINDOW_LOG.start(), *ZSTD_WINDOW_LOG.end());
    let mut frames =
        zstd::stream::read::Decoder::with_buffer(&**body).map_err(|error| Encoding::Zstd.broken(error))?;
    frames.window_log_max(window_log).map_err(|error| Encoding::Zstd.broken(error))?;
    read_bounded(Encoding::Zstd, frames, body, max_decoded)
}

fn snappy_block(body: &Bytes, max_decoded: usize) -> Result<Bytes, WireError> {
    let encoding = Encoding::SnappyBlock;
    let claimed = snap::raw::decompress_len(body).map_err(|error| encoding.broken(error))?;
    if claimed > max_decoded {
        return Err(WireError::TooLarge { max_bytes: max_decoded });
    }
    if claimed > body.len().saturating_mul(SNAPPY_MAX_RATIO) {
        return Err(encoding.broken(format_args!("`{}` bytes cannot yield `{claimed}`", body.len())));
    }
    let mut out = vec![0; claimed];
    let written =
        snap::raw::Decoder::new().decompress(body, &mut out).map_err(|error| encoding.broken(error))?;
    out.truncate(written);
    Ok(out.into())
}

/// Reads to the end, or to one byte beyond the bound.
fn read_bounded(
    encoding: Encoding,
    mut decoder: impl Read,
    body: &Bytes,
    max_decoded: usize,
) -> Result<Bytes, WireError> {
    let too_large = WireError::TooLarge { max_bytes: max_decoded };
    let mut out = Vec::new();
    let mut filled = 0;
    loop {
        if filled == out.len() {
            if filled > max_decoded {
                return Err(too_large);
            }
            // One byte more than the bound tells a body that fills it from one that exceeds it.
            let wanted = (filled * 2).max(body.len().saturating_mul(2)).max(FIRST_BYTES);
            let wanted = wanted.min(max_decoded.saturating_add(1));
            out.reserve_exact(wanted - filled);
            out.resize(wanted, 0);
        }
        match decoder.read(&mut out[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(encoding.broken(error)),
        }
    }
    if filled > max_decoded {
        return Err(too_large);
    }
    out.truncate(filled);
    Ok(out.into())
}

#[cfg(test)]
mod tests;
