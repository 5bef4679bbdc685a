//! OTLP logs and traces as views into their body: what stands once a resource or scope is decoded, what stands once a record
//! or span is shown as slices.

use super::common::{AnyValue, InstrumentationScope};
use super::resource::Resource;
use crate::error::WireError;
use crate::protobuf::{Field, Fields, Malformed};

/// A request of logs or traces: what its resources have in common for both.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a> {
    fields: Fields<'a>,
    message: &'static str,
}

impl<'a> RequestView<'a> {
    /// Looks at a body in protobuf; `message` names it in errors.
    pub(super) const fn new(body: &'a [u8], message: &'static str) -> Self {
        Self { fields: Fields::new(body), message }
    }

    /// The resources with their scopes.
    pub fn resources(self) -> impl Iterator<Item = Result<ResourceView<'a>, WireError>> {
        let message = self.message;
        messages(self.fields, 1, message)
            .map(move |of| Ok(ResourceView(Holder { message_name: message, bytes: of? })))
    }
}

/// The messages of a repeated field, in their order.
fn messages<'a>(
    mut fields: Fields<'a>,
    number: u32,
    message: &'static str,
) -> impl Iterator<Item = Result<&'a [u8], WireError>> {
    let mut next = move || -> Result<Option<&'a [u8]>, Malformed> {
        while let Some(field) = fields.next()? {
            if field.number == number {
                return field.bytes().map(Some);
            }
        }
        Ok(None)
    };
    std::iter::from_fn(move || next().map_err(|source| WireError::protobuf(message, source)).transpose())
}

/// A message of one owner in field 1, items in field 2, and the address of their schema in field 3.
#[derive(Debug, Clone, Copy)]
struct Holder<'a> {
    bytes: &'a [u8],
    message_name: &'static str,
}

impl<'a> Holder<'a> {
    /// The bytes of the owner, where it stands once.
    fn owner_bytes(self) -> impl Iterator<Item = Result<&'a [u8], WireError>> {
        messages(Fields::new(self.bytes), 1, self.message_name)
    }

    fn owner<M: prost::Message + Default>(self) -> Result<Option<M>, WireError> {
        let mut owner: Option<M> = None;
        for bytes in self.owner_bytes() {
            let merged = owner.get_or_insert_default().merge(bytes?);
            merged.map_err(|source| WireError::protobuf(self.message_name, source))?;
        }
        Ok(owner)
    }

    fn items(self) -> impl Iterator<Item = Result<&'a [u8], WireError>> {
        let mut fields = Fields::new(self.bytes);
        let mut next = move || -> Result<Option<&'a [u8]>, Malformed> {
            while let Some(field) = fields.next()? {
                match field.number {
                    2 => return field.bytes().map(Some),
                    3 => drop(field.text()?),
                    _ => {}
                }
            }
            Ok(None)
        };
        std::iter::from_fn(move || {
            next().map_err(|source| WireError::protobuf(self.message_name, source)).transpose()
        })
    }
}

/// What one resource sent.
#[derive(Debug, Clone, Copy)]
pub struct ResourceView<'a>(Holder<'a>);

impl<'a> ResourceView<'a> {
    /// The messages in which the resource stands: one, as senders write it.
    pub fn resource_bytes(self) -> impl Iterator<Item = Result<&'a [u8], WireError>> {
        self.0.owner_bytes()
    }

    /// The resource.
    ///
    /// # Errors
    /// [`WireError::Protobuf`] when the bytes are none.
    pub fn resource(self) -> Result<Option<Resource>, WireError> {
        self.0.owner()
    }

    /// The scopes with their items.
    pub fn scopes(self) -> impl Iterator<Item = Result<ScopeView<'a>, WireError>> {
        let message_name = self.0.message_name;
        self.0.items().map(move |bytes| Ok(ScopeView(Holder { bytes: bytes?, message_name })))
    }
}

/// What one instrumentation scope sent.
#[derive(Debug, Clone, Copy)]
pub struct ScopeView<'a>(Holder<'a>);

impl<'a> ScopeView<'a> {
    /// The messages in which the scope stands: one, as senders write it.
    pub fn scope_bytes(self) -> impl Iterator<Item = Result<&'a [u8], WireError>> {
        self.0.owner_bytes()
    }

    /// The scope.
    ///
    /// # Errors
    /// [`WireError::Protobuf`] when the bytes are none.
    pub fn scope(self) -> Result<Option<InstrumentationScope>, WireError> {
        self.0.owner()
    }

    /// The messages of the scope's items.
    pub fn items(self) -> impl Iterator<Item = Result<ItemView<'a>, WireError>> {
        let message_name = self.0.message_name;
        self.0.items().map(move |bytes| Ok(ItemView(Holder { bytes: bytes?, message_name })))
    }
}

/// A log record or span that was not read yet.
#[derive(Debug, Clone, Copy)]
pub struct ItemView<'a>(Holder<'a>);

impl<'a> ItemView<'a> {
    /// How many bytes the message has.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0.bytes.len()
    }

    /// Reads a log record; `attribute` is called for each of its attributes.
    ///
    /// # Errors
    /// [`WireError::Protobuf`] when the bytes are none, and what `attribute` gives.
    pub fn record<E: From<WireError>>(
        self,
        mut attribute: impl FnMut(PairView<'a>) -> Result<(), E>,
    ) -> Result<RecordView<'a>, E> {
        let mut record = RecordView::default();
        let mut fields = Fields::new(self.0.bytes);
        while let Some(field) = self.known(fields.next())? {
            if field.number == 6 {
                attribute(self.known(PairView::read(field))?)?;
            } else {
                self.known(record.take(field))?;
            }
        }
        Ok(record)
    }

    /// Reads a span; `part` is called for each attribute, event and link.
    ///
    /// # Errors
    /// [`WireError::Protobuf`] when the bytes are none, and what `part` gives.
    pub fn span<E: From<WireError>>(
        self,
        mut part: impl FnMut(SpanPart<'a>) -> Result<(), E>,
    ) -> Result<SpanView<'a>, E> {
        let mut span = SpanView::default();
        let mut fields = Fields::new(self.0.bytes);
        while let Some(field) = self.known(fields.next())? {
            match field.number {
                9 => part(SpanPart::Attribute(self.known(PairView::read(field))?))?,
                11 => part(SpanPart::Event(self.child(self.known(field.bytes())?)))?,
                13 => part(SpanPart::Link(self.child(self.known(field.bytes())?)))?,
                _ => self.known(span.take(field))?,
            }
        }
        Ok(span)
    }

    /// Reads an event of a span; `attribute` is called for each of its attributes.
    ///
    /// # Errors
    /// [`WireError::Protobuf`] when the bytes are none, and what `attribute` gives.
    pub fn event<E: From<WireError>>(
        self,
        mut attribute: impl FnMut(PairView<'a>) -> Result<(), E>,
    ) -> Result<EventView<'a>, E> {
        let mut event = EventView::default();
        let mut fields = Fields::new(self.0.bytes);
        while let Some(field) = self.known(fields.next())? {
            match field.number {
                1 => event.time_unix_nano = self.known(field.fixed64())?,
                2 => event.name = self.known(field.text())?,
                3 => attribute(self.known(PairView::read(field))?)?,
                4 => event.dropped_attributes_count = self.known(field.uint32())?,
                _ => {}
            }
        }
        Ok(event)
    }

    /// Reads a link of a span; `attribute` is called for each of its attributes.
    ///
    /// # Errors
    /// [`WireError::Protobuf`] when the bytes are none, and what `attribute` gives.
    pub fn link<E: From<WireError>>(
        self,
        mut attribute: impl FnMut(PairView<'a>) -> Result<(), E>,
    ) -> Result<LinkView<'a>, E> {
        let mut link = LinkView::default();
        let mut fields = Fields::new(self.0.bytes);
        while let Some(field) = self.known(fields.next())? {
            match field.number {
                1 => link.trace_id = self.known(field.bytes())?,
                2 => link.span_id = self.known(field.bytes())?,
                3 => link.trace_state = self.known(field.text())?,
                4 => attribute(self.known(PairView::read(field))?)?,
                5 => link.dropped_attributes_count = self.known(field.uint32())?,
                6 => link.flags = self.known(field.fixed32())?,
                _ => {}
            }
        }
        Ok(link)
    }

    const fn child(self, bytes: &'a [u8]) -> Self {
        Self(Holder { bytes, ..self.0 })
    }

    fn known<T>(self, result: Result<T, Malformed>) -> Result<T, WireError> {
        result.map_err(|source| WireError::protobuf(self.0.message_name, source))
    }
}

/// `opentelemetry.proto.logs.v1.LogRecord` without its attributes.
#[derive(Debug, Default, Clone, Copy)]
pub struct RecordView<'a> {
    /// When it happened, 0 where unknown.
    pub time_unix_nano: u64,
    /// When it was seen, 0 where unknown.
    pub observed_time_unix_nano: u64,
    /// The number of the severity, 0 where unknown.
    pub severity_number: i32,
    /// The severity as its source calls it.
    pub severity_text: &'a str,
    /// What was logged.
    pub body: ValueView<'a>,
    /// Attributes that the sender dropped.
    pub dropped_attributes_count: u32,
    /// W3C trace flags.
    pub flags: u32,
    /// The trace that it belongs to.
    pub trace_id: &'a [u8],
    /// The span that it belongs to.
    pub span_id: &'a [u8],
    /// The name of the event, where it is one.
    pub event_name: &'a str,
}

impl<'a> RecordView<'a> {
    fn take(&mut self, field: Field<'a>) -> Result<(), Malformed> {
        match field.number {
            1 => self.time_unix_nano = field.fixed64()?,
            2 => self.severity_number = field.int32()?,
            3 => self.severity_text = field.text()?,
            5 => self.body = ValueView::read(field.bytes()?)?,
            7 => self.dropped_attributes_count = field.uint32()?,
            8 => self.flags = field.fixed32()?,
            9 => self.trace_id = field.bytes()?,
            10 => self.span_id = field.bytes()?,
            11 => self.observed_time_unix_nano = field.fixed64()?,
            12 => self.event_name = field.text()?,
            _ => {}
        }
        Ok(())
    }
}

/// What a span has any number of.
#[derive(Debug, Clone, Copy)]
pub enum SpanPart<'a> {
    /// An attribute.
    Attribute(PairView<'a>),
    /// An event, to be read with [`ItemView::event`].
    Event(ItemView<'a>),
    /// A link, to be read with [`ItemView::link`].
    Link(ItemView<'a>),
}

/// `opentelemetry.proto.trace.v1.Span` without its attributes, events and links.
#[derive(Debug, Default, Clone, Copy)]
pub struct SpanView<'a> {
    /// The trace that it belongs to.
    pub trace_id: &'a [u8],
    /// Its id within the trace.
    pub span_id: &'a [u8],
    /// W3C trace state.
    pub trace_state: &'a str,
    /// The span that caused it; empty for a root.
    pub parent_span_id: &'a [u8],
    /// W3C trace flags.
    pub flags: u32,
    /// What was done.
    pub name: &'a str,
    /// The number of the kind.
    pub kind: i32,
    /// When it began.
    pub start_time_unix_nano: u64,
    /// When it ended.
    pub end_time_unix_nano: u64,
    /// Attributes that the sender dropped.
    pub dropped_attributes_count: u32,
    /// Events that the sender dropped.
    pub dropped_events_count: u32,
    /// Links that the sender dropped.
    pub dropped_links_count: u32,
    /// The number of the status, 0 where unset.
    pub status_code: i32,
    /// The text of the status.
    pub status_message: &'a str,
}

impl<'a> SpanView<'a> {
    fn take(&mut self, field: Field<'a>) -> Result<(), Malformed> {
        match field.number {
            1 => self.trace_id = field.bytes()?,
            2 => self.span_id = field.bytes()?,
            3 => self.trace_state = field.text()?,
            4 => self.parent_span_id = field.bytes()?,
            5 => self.name = field.text()?,
            6 => self.kind = field.int32()?,
            7 => self.start_time_unix_nano = field.fixed64()?,
            8 => self.end_time_unix_nano = field.fixed64()?,
            10 => self.dropped_attributes_count = field.uint32()?,
            12 => self.dropped_events_count = field.uint32()?,
            14 => self.dropped_links_count = field.uint32()?,
            15 => self.take_status(field.bytes()?)?,
            16 => self.flags = field.fixed32()?,
            _ => {}
        }
        Ok(())
    }

    fn take_status(&mut self, status: &'a [u8]) -> Result<(), Malformed> {
        let mut fields = Fields::new(status);
        while let Some(field) = fields.next()? {
            match field.number {
                2 => self.status_message = field.text()?,
                3 => self.status_code = field.int32()?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// An event of a span without its attributes.
#[derive(Debug, Default, Clone, Copy)]
pub struct EventView<'a> {
    /// When it happened.
    pub time_unix_nano: u64,
    /// What happened.
    pub name: &'a str,
    /// Attributes that the sender dropped.
    pub dropped_attributes_count: u32,
}

/// A link of a span without its attributes.
#[derive(Debug, Default, Clone, Copy)]
pub struct LinkView<'a> {
    /// The trace linked to.
    pub trace_id: &'a [u8],
    /// The span linked to.
    pub span_id: &'a [u8],
    /// W3C trace state of the link.
    pub trace_state: &'a str,
    /// Attributes that the sender dropped.
    pub dropped_attributes_count: u32,
    /// W3C trace flags of the link.
    pub flags: u32,
}

/// An attribute.
#[derive(Debug, Default, Clone, Copy)]
pub struct PairView<'a> {
    /// The key.
    pub key: &'a str,
    /// The value.
    pub value: ValueView<'a>,
}

impl<'a> PairView<'a> {
    #[inline]
    fn read(field: Field<'a>) -> Result<Self, Malformed> {
        let mut pair = Self::default();
        let mut fields = Fields::new(field.bytes()?);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => pair.key = field.text()?,
                // A value that stands twice is taken as it stands last.
                2 => pair.value = ValueView::read(field.bytes()?)?,
                3 => drop(field.int32()?),
                _ => {}
            }
        }
        Ok(pair)
    }
}

/// A value. What holds other values is left to be decoded by who wants it.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub enum ValueView<'a> {
    /// No value, or one that a later version of the protocol may know.
    #[default]
    Nothing,
    /// Text.
    Text(&'a str),
    /// True or false.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// Raw bytes.
    Bytes(&'a [u8]),
    /// A list or a map.
    Nested(NestedView<'a>),
}

/// A value that holds others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NestedView<'a>(&'a [u8]);

impl<'a> NestedView<'a> {
    /// The bytes of the value's message.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Decodes the value.
    ///
    /// # Errors
    /// [`WireError::Protobuf`] when the bytes are none.
    pub fn read(self) -> Result<AnyValue, WireError> {
        prost::Message::decode(self.0)
            .map_err(|source| WireError::protobuf("opentelemetry.proto.common.v1.AnyValue", source))
    }
}

impl<'a> ValueView<'a> {
    #[inline]
    fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut value = Self::Nothing;
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            value = match field.number {
                1 => Self::Text(field.text()?),
                2 => Self::Bool(field.varint()? != 0),
                3 => Self::Int(field.int64()?),
                4 => Self::Double(field.double()?),
                // Lists and maps that stand twice become one: that is the decoder's to do.
                5 | 6 => return field.bytes().map(|_| Self::Nested(NestedView(message))),
                7 => Self::Bytes(field.bytes()?),
                8 => field.int32().map(|_| Self::Nothing)?,
                _ => continue,
            };
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
