//! A push in protobuf as views into its body: no line is copied.

use std::borrow::Cow;

use super::{Timestamp, labels};
use crate::error::WireError;
use crate::protobuf::{Fields, Malformed};

fn malformed(source: Malformed) -> WireError {
    WireError::protobuf("logproto.PushRequest", source)
}

/// A decompressed body.
#[derive(Debug, Clone, Copy)]
pub struct PushView<'a>(Fields<'a>);

impl<'a> PushView<'a> {
    /// Looks at a body.
    #[must_use]
    pub const fn new(body: &'a [u8]) -> Self {
        Self(Fields::new(body))
    }

    /// The streams, in any order.
    pub fn streams(self) -> impl Iterator<Item = Result<StreamView<'a>, WireError>> {
        let mut fields = self.0;
        let mut next = move || -> Result<Option<StreamView<'a>>, Malformed> {
            while let Some(field) = fields.next()? {
                if field.number == 1 {
                    return StreamView::read(Fields::new(field.bytes()?)).map(Some);
                }
            }
            Ok(None)
        };
        std::iter::from_fn(move || next().map_err(malformed).transpose())
    }
}

/// One stream and its entries.
#[derive(Debug, Clone, Copy)]
pub struct StreamView<'a> {
    fields: Fields<'a>,
    /// The labels as text: `{name="value", …}`.
    pub labels: &'a str,
    /// How many entries there are.
    pub entries: usize,
}

impl<'a> StreamView<'a> {
    fn read(fields: Fields<'a>) -> Result<Self, Malformed> {
        let mut stream = Self { fields, labels: "", entries: 0 };
        let mut fields = fields;
        while let Some(field) = fields.next()? {
            match field.number {
                1 => stream.labels = field.text()?,
                2 => {
                    field.bytes()?;
                    stream.entries += 1;
                }
                3 => drop(field.varint()?),
                _ => {}
            }
        }
        Ok(stream)
    }

    /// The names and values that the text of the labels spells, in its order.
    ///
    /// # Errors
    /// [`WireError::Labels`] with the place at which the text goes wrong.
    pub fn label_pairs(self) -> Result<Vec<(String, String)>, WireError> {
        labels::parse(self.labels)
    }

    /// The lines, in any order.
    pub fn entries(self) -> impl Iterator<Item = EntryView<'a>> {
        let mut fields = self.fields;
        std::iter::from_fn(move || {
            // What is malformed was refused when the stream was read.
            while let Ok(Some(field)) = fields.next() {
                if field.number == 2 {
                    return field.bytes().ok().map(EntryView);
                }
            }
            None
        })
    }
}

/// One line that was not read yet.
#[derive(Debug, Clone, Copy)]
pub struct EntryView<'a>(&'a [u8]);

impl<'a> EntryView<'a> {
    /// Reads the entry; `pair` is called for each pair of its structured metadata, then for those that the sender parsed
    /// from the line.
    ///
    /// # Errors
    /// [`WireError::Protobuf`] when the bytes are none, and what `pair` gives.
    pub fn read<E: From<WireError>>(
        self,
        mut pair: impl FnMut(&'a str, &'a str) -> Result<(), E>,
    ) -> Result<Line<'a>, E> {
        let mut line = Line { timestamp: None, bytes: &[] };
        let mut has_parsed = false;
        let mut fields = Fields::new(self.0);
        while let Some(field) = fields.next().map_err(malformed)? {
            match field.number {
                1 => merge_timestamp(
                    line.timestamp.get_or_insert_default(),
                    field.bytes().map_err(malformed)?,
                )?,
                2 => line.bytes = field.bytes().map_err(malformed)?,
                3 => {
                    let (name, value) = field.bytes().and_then(label_pair).map_err(malformed)?;
                    pair(name, value)?;
                }
                4 => has_parsed = true,
                _ => {}
            }
        }
        let mut fields = Fields::new(self.0);
        while has_parsed && let Some(field) = fields.next().map_err(malformed)? {
            if field.number == 4 {
                let (name, value) = field.bytes().and_then(label_pair).map_err(malformed)?;
                pair(name, value)?;
            }
        }
        Ok(line)
    }
}

/// An entry without its metadata.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// When the line was written.
    pub timestamp: Option<Timestamp>,
    /// The line's bytes: Loki takes lines that are not UTF-8, see [`Line::text`].
    pub bytes: &'a [u8],
}

impl<'a> Line<'a> {
    /// The line as text; bytes that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn text(self) -> Cow<'a, str> {
        // To look at whether it is text is several times faster than to look for what is not.
        std::str::from_utf8(self.bytes).map_or_else(|_| String::from_utf8_lossy(self.bytes), Cow::Borrowed)
    }

    /// The time in nanoseconds since the epoch; `None` when it is absent or beyond 64 bits.
    #[must_use]
    pub fn timestamp_ns(self) -> Option<i64> {
        self.timestamp.as_ref().and_then(Timestamp::nanoseconds)
    }
}

fn merge_timestamp(timestamp: &mut Timestamp, message: &[u8]) -> Result<(), WireError> {
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next().map_err(malformed)? {
        match field.number {
            1 => timestamp.seconds = field.int64().map_err(malformed)?,
            2 => timestamp.nanos = field.int32().map_err(malformed)?,
            _ => {}
        }
    }
    Ok(())
}

fn label_pair(message: &[u8]) -> Result<(&str, &str), Malformed> {
    let (mut name, mut value) = ("", "");
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => name = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    Ok((name, value))
}
