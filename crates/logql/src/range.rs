//! Aggregation over windows of time: which windows a moment belongs to, and what each keeps of its samples.

pub(crate) mod accumulator;
pub(crate) mod kernel;
pub(crate) mod window;

pub(crate) use accumulator::Accumulator;
pub(crate) use kernel::Kernel;
pub(crate) use window::Windows;
