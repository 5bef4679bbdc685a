//! The query doors over a real engine and a real store in memory.

mod fixture;

mod loki;

mod prometheus;

mod refusals;

mod tempo;
