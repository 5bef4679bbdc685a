//! Remote write 1.0: every series spells out its labels. Requests are read as views into the body; the messages are for
//! those who send.

use super::{Histogram, HistogramView};
use crate::error::WireError;
use crate::protobuf::{Fields, Malformed};

const MESSAGE: &str = "prometheus.WriteRequest";

fn malformed(source: Malformed) -> WireError {
    WireError::protobuf(MESSAGE, source)
}

/// The error of labels that are not UTF-8, for the reader who finds that out.
#[must_use]
pub fn not_utf8() -> WireError {
    malformed(Malformed::Utf8)
}

/// A decompressed body, field by field. Nothing of it is copied.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a>(Fields<'a>);

/// What a request consists of.
#[derive(Debug, Clone, Copy)]
pub enum RequestField<'a> {
    /// A series with its values.
    Series(SeriesView<'a>),
    /// What is known of a metric family.
    Metadata(MetadataView<'a>),
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
                1 => return Ok(Some(RequestField::Series(SeriesView(Fields::new(field.bytes()?))))),
                3 => return Ok(Some(RequestField::Metadata(MetadataView(Fields::new(field.bytes()?))))),
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

/// One series, field by field: labels first, as all senders write them, but not necessarily.
#[derive(Debug, Clone, Copy)]
pub struct SeriesView<'a>(Fields<'a>);

/// What a series consists of.
#[derive(Debug, Clone, Copy)]
pub enum SeriesField<'a> {
    /// A label's name and value. That they are UTF-8 is for the reader to check: it can look at a whole set at once.
    Label(&'a [u8], &'a [u8]),
    /// A value at a time.
    Sample(Sample),
    /// One observation that stands for many.
    Exemplar(ExemplarView<'a>),
    /// A native histogram.
    Histogram(HistogramView<'a>),
}

impl<'a> SeriesView<'a> {
    #[inline]
    fn read(&mut self) -> Result<Option<SeriesField<'a>>, Malformed> {
        while let Some(field) = self.0.next()? {
            return Ok(Some(match field.number {
                1 => {
                    let (name, value) = label(field.bytes()?)?;
                    SeriesField::Label(name, value)
                }
                2 => SeriesField::Sample(sample(field.bytes()?)?),
                3 => SeriesField::Exemplar(ExemplarView::read(field.bytes()?)?),
                4 => SeriesField::Histogram(HistogramView { bytes: field.bytes()?, message: MESSAGE }),
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
fn label(message: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    // As every sender writes it: name, then value, both shorter than 128 bytes, and nothing else.
    if let [0x0a, name_len @ 0..0x80, rest @ ..] = message
        && let Some((name, [0x12, value_len @ 0..0x80, value @ ..])) =
            rest.split_at_checked((*name_len).into())
        && value.len() == usize::from(*value_len)
    {
        return Ok((name, value));
    }
    any_label(message)
}

fn any_label(message: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (mut name, mut value) = (&[][..], &[][..]);
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        let text = match field.number {
            1 => &mut name,
            2 => &mut value,
            _ => continue,
        };
        if !text.is_empty() {
            // What stands twice is text both times, though only the last one counts.
            std::str::from_utf8(text).map_err(|_| Malformed::Utf8)?;
        }
        *text = field.bytes()?;
    }
    Ok((name, value))
}

#[inline]
fn sample(message: &[u8]) -> Result<Sample, Malformed> {
    let mut sample = Sample::default();
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => sample.value = field.double()?,
            2 => sample.timestamp = field.int64()?,
            _ => {}
        }
    }
    Ok(sample)
}

/// An exemplar that was read once, and has labels to be read again.
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
                1 => drop(text_label(field.bytes()?)?),
                2 => exemplar.value = field.double()?,
                3 => exemplar.timestamp = field.int64()?,
                _ => {}
            }
        }
        Ok(exemplar)
    }

    /// How many bytes the message has.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.message.len()
    }

    /// The labels, such as `trace_id`.
    pub fn labels(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut fields = Fields::new(self.message);
        std::iter::from_fn(move || {
            // What is malformed was refused when the exemplar was read.
            while let Ok(Some(field)) = fields.next() {
                if field.number == 1 {
                    return field.bytes().and_then(text_label).ok();
                }
            }
            None
        })
    }
}

fn text_label(message: &[u8]) -> Result<(&str, &str), Malformed> {
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Malformed::Utf8);
    let (name, value) = label(message)?;
    Ok((text(name)?, text(value)?))
}

/// What is known of one metric family, as it stands in a body.
#[derive(Debug, Clone, Copy)]
pub struct MetadataView<'a>(Fields<'a>);

impl<'a> MetadataView<'a> {
    /// Reads the fields.
    ///
    /// # Errors
    /// [`WireError::Protobuf`] when the bytes are no such message.
    pub fn read(self) -> Result<Family<'a>, WireError> {
        let mut fields = self.0;
        let mut family = Family::default();
        let mut read = || -> Result<(), Malformed> {
            while let Some(field) = fields.next()? {
                match field.number {
                    1 => family.r#type = field.int32()?,
                    2 => family.name = field.text()?,
                    4 => family.help = field.text()?,
                    5 => family.unit = field.text()?,
                    _ => {}
                }
            }
            Ok(())
        };
        read().map_err(malformed)?;
        Ok(family)
    }
}

/// What is known of one metric family.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Family<'a> {
    /// The number of a [`MetricType`].
    pub r#type: i32,
    /// The family's name, without suffixes such as `_bucket`.
    pub name: &'a str,
    /// The help text.
    pub help: &'a str,
    /// The unit.
    pub unit: &'a str,
}

/// `prometheus.WriteRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WriteRequest {
    /// The series with their samples, in any order.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
    /// What is known of metric families; senders repeat it now and then.
    #[prost(message, repeated, tag = "3")]
    pub metadata: Vec<MetricMetadata>,
}

/// One series and its values.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeSeries {
    /// Sorted by name by well-behaved senders; `__name__` is the metric's name.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// The samples, oldest first.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    /// Exemplars of the samples.
    #[prost(message, repeated, tag = "3")]
    pub exemplars: Vec<Exemplar>,
    /// Native histograms, instead of samples.
    #[prost(message, repeated, tag = "4")]
    pub histograms: Vec<Histogram>,
}

/// A label of a series or exemplar.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Label {
    /// The label's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The label's value.
    #[prost(string, tag = "2")]
    pub value: String,
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
}

/// One observation that stands for many, usually with a trace id.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Exemplar {
    /// Labels such as `trace_id`.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// The observed value.
    #[prost(double, tag = "2")]
    pub value: f64,
    /// Milliseconds since the epoch; 0 when unknown.
    #[prost(int64, tag = "3")]
    pub timestamp: i64,
}

/// What is known of one metric family.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MetricMetadata {
    /// The family's type.
    #[prost(enumeration = "MetricType", tag = "1")]
    pub r#type: i32,
    /// The family's name, without suffixes such as `_bucket`.
    #[prost(string, tag = "2")]
    pub metric_family_name: String,
    /// The help text.
    #[prost(string, tag = "4")]
    pub help: String,
    /// The unit.
    #[prost(string, tag = "5")]
    pub unit: String,
}

/// The types of metric families in 1.0; 2.0 numbers them alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum MetricType {
    /// Not known.
    Unknown = 0,
    /// Only ever grows, save for resets.
    Counter = 1,
    /// Goes up and down.
    Gauge = 2,
    /// A classic or native histogram.
    Histogram = 3,
    /// A histogram whose buckets go up and down.
    GaugeHistogram = 4,
    /// Quantiles with count and sum.
    Summary = 5,
    /// Labels that describe, with value 1.
    Info = 6,
    /// One of several states.
    Stateset = 7,
}
