//! The engine through its own door, over the real store in memory.

mod fixture;

mod logs;

mod metrics;

mod traces;
