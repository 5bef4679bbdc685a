//! The wire's bytes into JSON text. Fields that are absent on the wire are absent in JSON, as proto3 leaves
//! defaults out of both.

use std::fmt::Display;
use std::io::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::schema::{Field, Kind, Schema};
use crate::error::WireError;

/// How the mapping's two free choices are made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// OTLP's JSON: ids in hex, enums as numbers.
    Otlp,
    /// The plain mapping, which Tempo answers with: ids in base64, enums by name.
    Plain,
}

/// The deepest nesting that is written; prost refuses deeper messages when it reads.
const MAX_DEPTH: usize = 100;

/// Writes a message that the schema describes as JSON text.
pub(crate) fn encode<M: prost::Message>(
    schema: &'static Schema,
    message: &M,
    style: Style,
) -> Result<String, WireError> {
    let wire = message.encode_to_vec();
    let mut out = Vec::with_capacity(wire.len() * 2);
    Writer { style, out: &mut out }
        .message(schema, &wire, 0)
        .map_err(|Malformed| WireError::Nesting { message: schema.name, max: MAX_DEPTH })?;
    Ok(String::from_utf8(out).expect("serde_json writes strings as UTF-8 and all else here is ASCII"))
}

/// The bytes are nested too deeply, or prost did not write them.
struct Malformed;

impl From<prost::DecodeError> for Malformed {
    fn from(_: prost::DecodeError) -> Self {
        Self
    }
}

struct Writer<'a> {
    style: Style,
    out: &'a mut Vec<u8>,
}

/// One occurrence of a field: its bytes without the key, and how they were written.
struct Occurrence<'a> {
    wire_type: WireType,
    bytes: &'a [u8],
}

impl Writer<'_> {
    fn message(&mut self, schema: &'static Schema, wire: &[u8], depth: usize) -> Result<(), Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed);
        }
        let occurrences = split(schema, wire)?;
        self.out.push(b'{');
        let mut is_first = true;
        for (field, values) in schema.fields.iter().zip(&occurrences).filter(|(_, values)| !values.is_empty())
        {
            if !std::mem::take(&mut is_first) {
                self.out.push(b',');
            }
            self.text(field.name);
            self.out.push(b':');
            if field.is_repeated {
                self.list(field, values, depth)?;
            } else if let Some(last) = values.last() {
                self.value(field, &mut &*last.bytes, depth)?;
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    fn list(&mut self, field: &Field, values: &[Occurrence<'_>], depth: usize) -> Result<(), Malformed> {
        self.out.push(b'[');
        let mut is_first = true;
        for value in values {
            let mut rest = value.bytes;
            // Numbers may be packed: several in one occurrence, behind a length.
            let is_packed = value.wire_type == WireType::LengthDelimited && is_number(field.kind);
            if is_packed {
                rest = delimited(&mut rest)?;
            }
            while !rest.is_empty() {
                if !std::mem::take(&mut is_first) {
                    self.out.push(b',');
                }
                self.value(field, &mut rest, depth)?;
            }
        }
        self.out.push(b']');
        Ok(())
    }

    /// Writes one value and takes its bytes away.
    fn value(&mut self, field: &Field, wire: &mut &[u8], depth: usize) -> Result<(), Malformed> {
        match field.kind {
            Kind::String => {
                let text = std::str::from_utf8(delimited(wire)?).map_err(|_| Malformed)?;
                self.text(text);
            }
            Kind::Bytes => {
                let bytes = delimited(wire)?;
                self.text(&BASE64_STANDARD.encode(bytes));
            }
            Kind::Id => {
                let bytes = delimited(wire)?;
                match self.style {
                    Style::Otlp => self.text(&hex::encode(bytes)),
                    Style::Plain => self.text(&BASE64_STANDARD.encode(bytes)),
                }
            }
            Kind::Message(schema) => {
                let bytes = delimited(wire)?;
                self.message(schema, bytes, depth + 1)?;
            }
            Kind::Bool => self.plain(decode_varint(wire)? != 0),
            Kind::Enum(names) => {
                let number = decode_varint(wire)?.cast_signed();
                let name = usize::try_from(number).ok().and_then(|index| names.get(index));
                match name {
                    Some(name) if self.style == Style::Plain => self.text(name),
                    _ => self.plain(number),
                }
            }
            // The mapping truncates a varint to the field's width, as every decoder does.
            Kind::Uint32 => self.plain(decode_varint(wire)? as u32),
            Kind::Int32 => self.plain(decode_varint(wire)? as i32),
            Kind::Sint32 => {
                let value = decode_varint(wire)? as u32;
                self.plain((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
            Kind::Fixed32 => self.plain(wire.try_get_u32_le().map_err(|_| Malformed)?),
            Kind::Uint64 => self.quoted(decode_varint(wire)?),
            Kind::Int64 => self.quoted(decode_varint(wire)?.cast_signed()),
            Kind::Fixed64 => self.quoted(wire.try_get_u64_le().map_err(|_| Malformed)?),
            Kind::Sfixed64 => self.quoted(wire.try_get_i64_le().map_err(|_| Malformed)?),
            Kind::Double => self.double(wire.try_get_f64_le().map_err(|_| Malformed)?),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        serde_json::to_writer(&mut *self.out, text)
            .expect("a string is written to memory, which does not fail");
    }

    fn plain(&mut self, value: impl Display) {
        write!(self.out, "{value}").expect("memory takes every write");
    }

    /// 64-bit integers are strings, because JavaScript's numbers cannot hold them.
    fn quoted(&mut self, value: impl Display) {
        self.out.push(b'"');
        self.plain(value);
        self.out.push(b'"');
    }

    fn double(&mut self, value: f64) {
        if value.is_nan() {
            self.text("NaN");
        } else if value.is_infinite() {
            self.text(if value > 0.0 { "Infinity" } else { "-Infinity" });
        } else if value == 0.0 || (1e-6..1e21).contains(&value.abs()) {
            self.plain(value);
        } else {
            self.plain(format_args!("{value:e}"));
        }
    }
}

/// Sorts the occurrences by the schema's fields; fields that it does not know are left out.
fn split<'a>(schema: &'static Schema, mut wire: &'a [u8]) -> Result<Vec<Vec<Occurrence<'a>>>, Malformed> {
    let mut occurrences: Vec<Vec<Occurrence<'a>>> = schema.fields.iter().map(|_| Vec::new()).collect();
    while !wire.is_empty() {
        let (number, wire_type) = decode_key(&mut wire)?;
        let start = wire;
        skip_field(wire_type, number, &mut wire, DecodeContext::default())?;
        let bytes = &start[..start.len() - wire.len()];
        if let Some(index) = schema.fields.iter().position(|field| field.number == number) {
            let is_delimited = wire_type == WireType::LengthDelimited;
            let field = &schema.fields[index];
            let fits = if is_number(field.kind) { field.is_repeated || !is_delimited } else { is_delimited };
            if fits {
                occurrences[index].push(Occurrence { wire_type, bytes });
            }
        }
    }
    Ok(occurrences)
}

/// Whether the kind is written without a length.
fn is_number(kind: Kind) -> bool {
    !matches!(kind, Kind::String | Kind::Bytes | Kind::Id | Kind::Message(_))
}

/// Takes a length and as many bytes.
fn delimited<'a>(wire: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let length = usize::try_from(decode_varint(wire)?).map_err(|_| Malformed)?;
    let (bytes, rest) = wire.split_at_checked(length).ok_or(Malformed)?;
    *wire = rest;
    Ok(bytes)
}
