//! Remote write 2.0: strings stand once, in a table of symbols, and are referred to by number. Requests are read as views
//! into the body; the messages are for those who send.

use super::{Histogram, HistogramView};
use crate::error::WireError;
use crate::protobuf::{Field, Fields, Malformed};

const MESSAGE: &str = "io.prometheus.write.v2.Request";

fn malformed(source: Malformed) -> WireError {
    WireError::protobuf(MESSAGE, source)
}

/// A decompressed body, field by field. Nothing of it is copied.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a>(Fields<'a>);

/// What a request consists of.
#[derive(Debug, Clone, Copy)]
pub enum RequestField<'a> {
    /// The next string of the table.
    Symbol(SymbolView<'a>),
    /// A series with its values.
    Series(SeriesView<'a>),
}

impl<'a> RequestView<'a> {
    /// Looks at a decompressed body.
    #[must_use]
    pub const fn new(body: &'a [u8]) -> Self {
        Self(Fields::new(body))
    }

    fn read(&mut self) -> Result<Option<RequestField<'a>>, Malformed> {
        while let Some(field) = self.0.next()? {
            match field.number {
                4 => return Ok(Some(RequestField::Symbol(SymbolView(field.bytes()?)))),
                5 => return Ok(Some(RequestField::Series(SeriesView(Fields::new(field.bytes()?))))),
                _ => {}
            }
        }
        Ok(None)
    }
}

impl<'a> Iterator for RequestView<'a> {
    type Item = Result<RequestField<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().map_err(malformed).transpose()
    }
}

/// A string of the table.
#[derive(Debug, Clone, Copy)]
pub struct SymbolView<'a>(&'a [u8]);

impl<'a> SymbolView<'a> {
    /// The text.
    ///
    /// # Errors
    /// [`WireError::Protobuf`] when it is not UTF-8.
    pub fn text(self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.0).map_err(|_| malformed(Malformed::Utf8))
    }
}

/// The strings of a request, by number.
#[derive(Debug, Default, Clone)]
pub struct Symbols<'a>(Vec<&'a str>);

impl<'a> Symbols<'a> {
    /// Adds the next string.
    pub fn push(&mut self, text: &'a str) {
        self.0.push(text);
    }

    /// The string that a reference stands for.
    ///
    /// # Errors
    /// [`WireError::Symbols`] when the table is shorter.
    pub fn get(&self, reference: u32) -> Result<&'a str, WireError> {
        let symbol = usize::try_from(reference).ok().and_then(|index| self.0.get(index));
        symbol.copied().ok_or_else(|| WireError::Symbols {
            reason: format!("reference=`{reference}` is beyond the `{}` symbols", self.0.len()),
        })
    }

    /// The names and values that pairs of references stand for, in their order.
    ///
    /// # Errors
    /// [`WireError::Symbols`] when a name has no value; each item, when a reference points nowhere.
    pub fn pairs<'s>(
        &'s self,
        references: &'s [u32],
    ) -> Result<impl Iterator<Item = Result<(&'a str, &'a str), WireError>> + 's, WireError> {
        let (pairs, rest) = references.as_chunks::<2>();
        if !rest.is_empty() {
            let reason = format!("`{}` references are no pairs of name and value", references.len());
            return Err(WireError::Symbols { reason });
        }
        Ok(pairs.iter().map(|&[name, value]| Ok((self.get(name)?, self.get(value)?))))
    }
}

/// Numbers of symbols, as one field brings them.
#[derive(Debug, Clone, Copy)]
pub struct References<'a>(Field<'a>);

impl References<'_> {
    /// How many there are at most.
    #[must_use]
    pub const fn most(self) -> usize {
        match self.0.bytes() {
            Ok(packed) => packed.len(),
            Err(_) => 1,
        }
    }

    /// Adds them to a list.
    ///
    /// # Errors
    /// [`WireError::Protobuf`] when the bytes are no numbers.
    pub fn append_to(self, references: &mut Vec<u32>) -> Result<(), WireError> {
        self.0.varints(|number| references.push(number as u32)).map_err(malformed)
    }
}

/// One series, field by field.
#[derive(Debug, Clone, Copy)]
pub struct SeriesView<'a>(Fields<'a>);

/// What a series consists of.
#[derive(Debug, Clone, Copy)]
pub enum SeriesField<'a> {
    /// Names and values of labels in turn; more may follow.
    Labels(References<'a>),
    /// A value at a time.
    Sample(Sample),
    /// A native histogram.
    Histogram(HistogramView<'a>),
    /// One observation that stands for many.
    Exemplar(ExemplarView<'a>),
    /// What is known of the series' metric family; what stands later adds to it.
    Metadata(MetadataView<'a>),
    /// When counting began, as drafts of 2.0 wrote it.
    CreatedTimestamp(i64),
}

impl<'a> SeriesView<'a> {
    #[inline]
    fn read(&mut self) -> Result<Option<SeriesField<'a>>, Malformed> {
        while let Some(field) = self.0.next()? {
            return Ok(Some(match field.number {
                1 => SeriesField::Labels(References(field)),
                2 => SeriesField::Sample(sample(field.bytes()?)?),
                3 => SeriesField::Histogram(HistogramView { bytes: field.bytes()?, message: MESSAGE }),
                4 => SeriesField::Exemplar(ExemplarView::read(field.bytes()?)?),
                5 => SeriesField::Metadata(MetadataView(Fields::new(field.bytes()?))),
                6 => SeriesField::CreatedTimestamp(field.int64()?),
                _ => continue,
            }));
        }
        Ok(None)
    }
}

impl<'a> Iterator for SeriesView<'a> {
    type Item = Result<SeriesField<'a>, WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.read().map_err(malformed).transpose()
    }
}

#[inline]
fn sample(message: &[u8]) -> Result<Sample, Malformed> {
    let mut sample = Sample::default();
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => sample.value = field.double()?,
            2 => sample.timestamp = field.int64()?,
            3 => sample.start_timestamp = field.int64()?,
            _ => {}
        }
    }
    Ok(sample)
}

/// An exemplar that was read once, and has references to be read again.
#[derive(Debug, Clone, Copy)]
pub struct ExemplarView<'a> {
    message: &'a [u8],
    /// The observed value.
    pub value: f64,
    /// Milliseconds since the epoch; 0 when unknown.
    pub timestamp: i64,
}

impl<'a> ExemplarView<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut exemplar = Self { message, value: 0.0, timestamp: 0 };
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => field.varints(drop)?,
                2 => exemplar.value = field.double()?,
                3 => exemplar.timestamp = field.int64()?,
                _ => {}
            }
        }
        Ok(exemplar)
    }

    /// How many bytes the message has: no fewer than it has references.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.message.len()
    }

    /// Adds the references of the labels, names and values in turn, to a list.
    pub fn append_labels_to(self, references: &mut Vec<u32>) {
        let mut fields = Fields::new(self.message);
        // What is malformed was refused when the exemplar was read.
        while let Ok(Some(field)) = fields.next() {
            if field.number == 1 {
                let _read_before = field.varints(|number| references.push(number as u32));
            }
        }
    }
}

/// What is known of a series' metric family, as it stands in a body.
#[derive(Debug, Clone, Copy)]
pub struct MetadataView<'a>(Fields<'a>);

impl MetadataView<'_> {
    /// Writes the fields that there are over those of the message.
    ///
    /// # Errors
    /// [`WireError::Protobuf`] when the bytes are no such message.
    pub fn merge_into(self, metadata: &mut Metadata) -> Result<(), WireError> {
        let mut fields = self.0;
        let mut read = || -> Result<(), Malformed> {
            while let Some(field) = fields.next()? {
                match field.number {
                    1 => metadata.r#type = field.int32()?,
                    3 => metadata.help_ref = field.uint32()?,
                    4 => metadata.unit_ref = field.uint32()?,
                    _ => {}
                }
            }
            Ok(())
        };
        read().map_err(malformed)
    }
}

/// `io.prometheus.write.v2.Request`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    /// Every string of the request once; the first is empty.
    #[prost(string, repeated, tag = "4")]
    pub symbols: Vec<String>,
    /// The series with their samples, in any order.
    #[prost(message, repeated, tag = "5")]
    pub timeseries: Vec<TimeSeries>,
}

/// One series and its values.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeSeries {
    /// Pairs of references to a name and a value; `__name__` is the metric's name.
    #[prost(uint32, repeated, tag = "1")]
    pub labels_refs: Vec<u32>,
    /// The samples, oldest first.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    /// Native histograms, instead of samples.
    #[prost(message, repeated, tag = "3")]
    pub histograms: Vec<Histogram>,
    /// Exemplars of the samples.
    #[prost(message, repeated, tag = "4")]
    pub exemplars: Vec<Exemplar>,
    /// What is known of the series' metric family.
    #[prost(message, optional, tag = "5")]
    pub metadata: Option<Metadata>,
    /// When counting began, in milliseconds since the epoch, as drafts of 2.0 wrote it; 0 when unknown.
    /// Samples and histograms carry it themselves since.
    #[prost(int64, tag = "6")]
    pub created_timestamp: i64,
}

/// A value at a time.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Sample {
    /// The value; a certain NaN marks a series as stale.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
    /// When counting began, in milliseconds since the epoch; 0 when unknown.
    #[prost(int64, tag = "3")]
    pub start_timestamp: i64,
}

/// One observation that stands for many, usually with a trace id.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Exemplar {
    /// Pairs of references to labels such as `trace_id`.
    #[prost(uint32, repeated, tag = "1")]
    pub labels_refs: Vec<u32>,
    /// The observed value.
    #[prost(double, tag = "2")]
    pub value: f64,
    /// Milliseconds since the epoch; 0 when unknown.
    #[prost(int64, tag = "3")]
    pub timestamp: i64,
}

/// What is known of a series' metric family.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Metadata {
    /// The family's type.
    #[prost(enumeration = "super::v1::MetricType", tag = "1")]
    pub r#type: i32,
    /// A reference to the help text.
    #[prost(uint32, tag = "3")]
    pub help_ref: u32,
    /// A reference to the unit.
    #[prost(uint32, tag = "4")]
    pub unit_ref: u32,
}
