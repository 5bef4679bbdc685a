//! The doors as clients meet them: requests through the routers, with a store that keeps what it is given.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod door;

mod shown;

mod otlp;

mod metrics;

mod logs;

mod traces;

mod otlp_http;

mod otlp_grpc;

mod remote_write;

mod loki_push;

mod amplified;

mod arbitrary;
