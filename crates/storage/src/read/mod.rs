//! Reads: consistent snapshots of a tenant's signal, from heads and segments together.

pub(crate) mod merge;
