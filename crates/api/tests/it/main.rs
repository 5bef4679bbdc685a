//! The query doors over a real engine and a real store in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod compressed;

mod fixture;

mod loki;

mod prometheus;

mod remote_read;

mod status;

mod sql;

mod refusals;

mod tempo;
