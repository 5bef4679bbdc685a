//! Every hard limit of the query doors, with its reason.

use std::time::Duration;

/// The largest body of a form: queries are text that people or dashboards write.
pub(crate) const MAX_FORM_BYTES: usize = 4 << 20;

/// Points of one series that a range query may ask for: Prometheus' and Loki's limit, which Grafana knows.
pub(crate) const MAX_POINTS_PER_SERIES: i64 = 11_000;

/// Queries in one request of remote read; a Prometheus sends one.
pub(crate) const MAX_READ_QUERIES: usize = 100;

/// Bytes of chunks in one frame of a streamed remote read: Prometheus' default.
pub(crate) const MAX_FRAME_BYTES: usize = 1 << 20;

/// Names that one search answers with at most: Prometheus' default.
pub(crate) const MAX_SEARCH_NAMES: usize = 10_000;

/// Names in one line of a search's answer.
pub(crate) const MAX_SEARCH_BATCH: usize = 1_000;

/// Terms of one search: Prometheus' limit.
pub(crate) const MAX_SEARCH_TERMS: usize = 32;

/// Names that each list of `status/tsdb` may have: Prometheus' limit.
pub(crate) const MAX_STATUS_LIMIT: usize = 10_000;

/// Tails of all tenants at once: each looks for lines once a second.
pub(crate) const MAX_TAILS: usize = 512;

/// Lines of one frame of a tail.
pub(crate) const MAX_TAIL_FRAME_LINES: usize = 2_000;

/// How long a tail is open: Loki's default. Clients connect again.
pub(crate) const MAX_TAIL_TIME: Duration = Duration::from_secs(3_600);

/// What a client of a tail says at once; it has nothing to say.
pub(crate) const MAX_CLIENT_FRAME_BYTES: u64 = 4 << 10;

/// Traces that one search may ask for.
pub(crate) const MAX_SEARCH_LIMIT: usize = 10_000;

/// Spans of a set that one search may ask for: Tempo's limit.
pub(crate) const MAX_SPANS_PER_SPAN_SET: usize = 100;

/// Answers with more items than this are written on a thread that may block: writing them takes longer than half
/// a millisecond.
pub(crate) const MAX_INLINE_ITEMS: usize = 2_000;

/// Large answers are written in so many pieces at most, beside each other: few, since others want the processors too.
pub(crate) const MAX_ANSWER_PIECES: usize = 4;

/// Samples of a piece of an answer, at least: a millisecond's work.
pub(crate) const MIN_PIECE_SAMPLES: usize = 20_000;

/// Answers up to this size are not counted while their readers fetch them.
pub(crate) const MAX_UNCOUNTED_ANSWER_BYTES: usize = 64 << 10;

/// What a refused client is asked to wait before it tries again, in seconds.
pub(crate) const RETRY_AFTER_S: u32 = 5;

/// Of an answer that is streamed, so much is made before its status is sent: what goes wrong until then is an error
/// with a message, and not a body that breaks off.
pub(crate) const MAX_BUFFERED_ANSWER_BYTES: usize = 256 << 10;
