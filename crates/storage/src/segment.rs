//! Segments: immutable Parquet files, written once by a flush or a compaction and read by ranges.
//!
//! `docs/format/` has a page for each kind of file.

pub(crate) mod schema;

pub(crate) mod filter;
mod id_filter;

pub(crate) mod scale;

pub(crate) mod packed;

pub(crate) mod blocks;

pub(crate) mod parquet_file;

pub(crate) mod writer;

pub(crate) mod cache;

pub(crate) mod keys;

pub(crate) mod absent;

mod cost;

pub(crate) mod reader;

pub(crate) mod survey;

pub(crate) mod series;

pub(crate) mod texts;

mod columns;

mod decoder;

pub(crate) mod picked;

pub(crate) mod source;

pub(crate) mod build;

pub(crate) mod upload;
