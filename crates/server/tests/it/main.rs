//! The binary as its users meet it: real processes on real ports, written to and asked through their public
//! protocols, by foreign clients where there are some. What a crate does on its own is tested beside it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![expect(clippy::disallowed_methods, reason = "the tests wait for other processes by the real clock")]
#![expect(clippy::print_stderr, reason = "a failed test shows what its processes said")]

mod client;
#[path = "../../../../tests/emulators.rs"]
mod emulators;
mod server;
mod telemetry;
mod tools;

mod attack;
mod audit;
mod authority;
mod bench;
mod collector;
mod command;
mod differential;
mod doors;
mod grafana;
mod health;
mod hostile;
mod kill;
mod ledger;
mod lifecycle;
mod limits;
mod matrix;
mod memory;
mod own;
mod prometheus;
mod readme;
mod refusals;
mod retention;
mod rotation;
mod sdk;
mod sdk_logs;
mod sdk_metrics;
mod sdk_traces;
mod segment;
mod segments;
mod status;
mod tail;
mod tenants;
mod tls;
