//! The engine through its own door, over the real store in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage up fails")]

mod fixture;

mod federation;

mod logs;

mod many;

mod metrics;

mod promqltest;

mod quantiles;

mod splits;

mod sql;

mod sql_guard;

mod traces;
