//! The JSON mapping of protobuf, driven by a table of fields: JSON text becomes the wire's bytes, and
//! the wire's bytes become JSON text. It knows no message by itself.
//!
//! Source: "ProtoJSON Format" of the protobuf documentation, with OTLP's exceptions (section "JSON Protobuf
//! Encoding" of the OTLP specification): trace and span ids in hex, enums as numbers, unknown fields ignored.

mod decode;
mod encode;
pub(crate) mod schema;

pub(crate) use decode::to_protobuf;
pub(crate) use encode::{Style, encode};
