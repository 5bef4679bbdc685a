//! Every hard bound of the doors in, with its reason. What an operator may change is in [`crate::settings`].

/// Compressed size of one body, in bytes (the collector's default for OTLP over HTTP).
pub(crate) const MAX_BODY_BYTES: usize = 20 << 20;

/// Size of one body after decompression, in bytes.
pub(crate) const MAX_DECODED_BYTES: usize = 64 << 20;

/// Size of one request once it is decoded, in bytes: structs and text. Some four times the largest body, as spans with
/// many short attributes need.
pub(crate) const MAX_MESSAGE_BYTES: usize = 256 << 20;

/// Size of one request once it is mapped, in bytes: every item with what its resource says. A record of the store's log
/// must be able to hold it.
pub(crate) const MAX_MAPPED_BYTES: usize = 96 << 20;

/// Bytes that all requests together may hold where nobody says otherwise: bodies, decoded and mapped.
pub(crate) const MAX_IN_FLIGHT_BYTES: usize = 512 << 20;

/// Tenants whose requests are counted apart, before those that have none are forgotten.
pub(crate) const MAX_SHARES: usize = 1_024;

/// Bodies above this size are decoded on a blocking thread: some 500 µs of work.
pub(crate) const INLINE_DECODE_BYTES: usize = 32 << 10;

/// First guess of how much larger a body becomes by decompression; a second try takes the whole bound.
pub(crate) const EXPANSION_GUESS: usize = 16;

/// Seconds after which a client may try again when the process is full.
pub(crate) const RETRY_AFTER_S: u32 = 1;

/// Tenants that one request may carry: each holds a set of column builders.
pub(crate) const MAX_TENANTS_PER_REQUEST: usize = 64;

/// Metric families of one tenant whose type, help and unit are remembered from metadata-only requests.
pub(crate) const MAX_FAMILIES_PER_TENANT: usize = 10_000;

/// Bytes of names, helps and units remembered for all tenants together.
pub(crate) const MAX_FAMILY_BYTES: usize = 32 << 20;

/// Rejected series that a reply to a remote write or Loki push names.
pub(crate) const MAX_NAMED_REJECTIONS: usize = 10;

/// Bytes of a rejected item that a reply repeats.
pub(crate) const MAX_EXAMPLE_BYTES: usize = 200;

/// Bytes of a line in which its level is looked for.
pub(crate) const MAX_LEVEL_SCAN_BYTES: usize = 4 << 10;

/// Depth of a JSON line at which level fields are looked for (Loki's `log_level_from_json_max_depth`).
pub(crate) const MAX_LEVEL_JSON_DEPTH: usize = 2;

/// Characters of one exemplar's labels, names and values together (OpenMetrics 1.0, section "Exemplars").
pub(crate) const MAX_EXEMPLAR_CHARS: usize = 128;

/// The head of a text, for messages: at most [`MAX_EXAMPLE_BYTES`], cut at a character.
pub(crate) fn shortened(text: &str) -> &str {
    cut(text, MAX_EXAMPLE_BYTES)
}

/// The head of a text of at most so many bytes, cut at a character.
pub(crate) fn cut(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}
