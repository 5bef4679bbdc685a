//! Remote write 1.0 and 2.0 to series: labels are checked, histograms made absolute, the rest is kept as it came.
//!
//! Bodies are read once, from their bytes into the columns. A series that stands twice has two rows that name the same
//! labels: the store finds out.

use model::Labels;
use model::ingest::{Batch, Reason, Receipt};
use model::labels::{BadSet, LabelsBuilder};
use model::metric::{MetricBatchBuilder, MetricType, SeriesInfo};
use wire::WireError;
use wire::remote_write::{Histogram, HistogramView, v1, v2};

use super::families::Known;
use super::histograms;
use super::size::{COPIES_OF_LABELS, SAMPLE_BYTES, SERIES_BYTES};
use crate::bounds::shortened;
use crate::error::CollectorError;
use crate::receivers::Room;

/// What a histogram's bytes become at most: deltas of one byte are numbers of eight.
const HISTOGRAM_EXPANSION: usize = 8;

/// What an exemplar's bytes become at most: empty labels of two bytes are rows of six columns.
const EXEMPLAR_EXPANSION: usize = 16;

/// Items of a request by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Floating-point samples.
    pub(crate) samples: usize,
    /// Native histograms.
    pub(crate) histograms: usize,
    /// Exemplars.
    pub(crate) exemplars: usize,
}

impl Written {
    /// What remains after the store rejected some. The store does not tell of which kind they were: invalid
    /// histograms are histograms, the others are taken for samples first.
    #[must_use]
    pub(crate) fn without(mut self, receipt: &Receipt) -> Self {
        for rejection in &receipt.rejections {
            let mut left = rejection.items;
            let kinds = match rejection.reason {
                Reason::InvalidHistogram => [&mut self.histograms, &mut self.samples, &mut self.exemplars],
                _ => [&mut self.samples, &mut self.histograms, &mut self.exemplars],
            };
            for kind in kinds {
                let taken = left.min(*kind);
                *kind -= taken;
                left -= taken;
            }
        }
        self
    }

    /// All kinds together.
    pub(crate) const fn all(self) -> usize {
        self.samples + self.histograms + self.exemplars
    }
}

/// What a request became.
#[derive(Debug)]
pub(crate) struct Series {
    /// What to write.
    pub(crate) batch: Batch,
    /// What the batch holds.
    pub(crate) written: Written,
    /// Items that were rejected before the store saw them.
    pub(crate) receipt: Receipt,
}

/// Maps a request of 1.0 in one pass over its series. `learn` takes the request's own metadata and gives what is known of
/// the families; `room` is asked for everything before it is written.
///
/// # Errors
/// When the body is no request, or there is no room for what it becomes.
pub(crate) fn from_v1(
    body: &[u8],
    learn: impl FnOnce(&[v1::Family<'_>]) -> Known,
    room: &mut Room<'_>,
) -> Result<Series, CollectorError> {
    let mut told = Vec::new();
    for field in v1::RequestView::new(body) {
        if let v1::RequestField::Metadata(metadata) = field? {
            room.take(size_of::<v1::Family<'_>>())?;
            told.push(metadata.read()?);
        }
    }
    let known = learn(&told);
    let mut mapping = Mapping::new(room);
    for field in v1::RequestView::new(body) {
        if let v1::RequestField::Series(series) = field? {
            mapping.series_v1(series, &known)?;
        }
    }
    Ok(mapping.finish())
}

/// Maps a request of 2.0; `known` stands in where a series brings no metadata.
///
/// # Errors
/// When the body is no request, or there is no room for what it becomes.
pub(crate) fn from_v2(body: &[u8], known: &Known, room: &mut Room<'_>) -> Result<Series, CollectorError> {
    let mut symbols = v2::Symbols::default();
    for field in v2::RequestView::new(body) {
        if let v2::RequestField::Symbol(symbol) = field? {
            room.take(size_of::<&str>())?;
            symbols.push(symbol.text()?);
        }
    }
    let mut mapping = Mapping::new(room);
    for field in v2::RequestView::new(body) {
        if let v2::RequestField::Series(series) = field? {
            mapping.series_v2(series, &symbols, known)?;
        }
    }
    Ok(mapping.finish())
}

/// What is kept while a request is mapped. The lists hold what one series brings, and are used again.
struct Mapping<'a, 'r, 'h> {
    room: &'r mut Room<'h>,
    columns: MetricBatchBuilder,
    labels: LabelsBuilder,
    /// Time, start and value.
    samples: Vec<(i64, i64, f64)>,
    histograms: Vec<HistogramView<'a>>,
    exemplars_v1: Vec<v1::ExemplarView<'a>>,
    exemplars_v2: Vec<v2::ExemplarView<'a>>,
    references: Vec<u32>,
    written: Written,
    receipt: Receipt,
}

impl<'a, 'r, 'h> Mapping<'a, 'r, 'h> {
    fn new(room: &'r mut Room<'h>) -> Self {
        Self {
            room,
            columns: MetricBatchBuilder::default(),
            labels: LabelsBuilder::default(),
            samples: Vec::new(),
            histograms: Vec::new(),
            exemplars_v1: Vec::new(),
            exemplars_v2: Vec::new(),
            references: Vec::new(),
            written: Written::default(),
            receipt: Receipt::default(),
        }
    }

    fn begin(&mut self) -> Result<(), CollectorError> {
        self.labels.begin();
        self.samples.clear();
        self.histograms.clear();
        self.exemplars_v1.clear();
        self.exemplars_v2.clear();
        self.references.clear();
        self.room.take(SERIES_BYTES)
    }

    fn series_v1(&mut self, series: v1::SeriesView<'a>, known: &Known) -> Result<(), CollectorError> {
        self.begin()?;
        for field in series {
            match field? {
                v1::SeriesField::Label(name, value) => {
                    self.room.take(COPIES_OF_LABELS * (name.len() + value.len()))?;
                    self.labels.push(name, value);
                }
                v1::SeriesField::Sample(sample) => {
                    self.room.take(SAMPLE_BYTES)?;
                    self.samples.push((sample.timestamp, 0, sample.value));
                }
                v1::SeriesField::Histogram(histogram) => self.keep_histogram(histogram)?,
                v1::SeriesField::Exemplar(exemplar) => {
                    self.room.take(SAMPLE_BYTES + EXEMPLAR_EXPANSION * exemplar.bytes())?;
                    self.exemplars_v1.push(exemplar);
                }
            }
        }
        let info = known.info(self.labels.metric_name());
        let Some(number) = self.number(info)? else { return Ok(()) };
        self.add_values(number, 0)?;
        for exemplar in &self.exemplars_v1 {
            self.columns.exemplar(number, exemplar.timestamp, exemplar.value, exemplar.labels());
        }
        self.written.exemplars += self.exemplars_v1.len();
        Ok(())
    }

    fn series_v2(
        &mut self,
        series: v2::SeriesView<'a>,
        symbols: &v2::Symbols<'a>,
        known: &Known,
    ) -> Result<(), CollectorError> {
        self.begin()?;
        let (mut metadata, mut created_ms) = (v2::Metadata::default(), 0);
        for field in series {
            match field? {
                v2::SeriesField::Labels(references) => {
                    self.room.take(size_of::<u32>() * references.most())?;
                    references.append_to(&mut self.references)?;
                }
                v2::SeriesField::Sample(sample) => {
                    self.room.take(SAMPLE_BYTES)?;
                    self.samples.push((sample.timestamp, sample.start_timestamp, sample.value));
                }
                v2::SeriesField::Histogram(histogram) => self.keep_histogram(histogram)?,
                v2::SeriesField::Exemplar(exemplar) => {
                    self.room.take(SAMPLE_BYTES + EXEMPLAR_EXPANSION * exemplar.bytes())?;
                    self.exemplars_v2.push(exemplar);
                }
                v2::SeriesField::Metadata(told) => told.merge_into(&mut metadata)?,
                v2::SeriesField::CreatedTimestamp(told_ms) => created_ms = told_ms,
            }
        }
        if let Err(error) = self.push_labels(symbols)? {
            self.receipt.reject(Reason::InvalidLabels, self.items(), || error.to_string());
            return Ok(());
        }
        let info = match metadata {
            v2::Metadata { r#type: 0, help_ref: 0, unit_ref: 0 } => known.info(self.labels.metric_name()),
            told => SeriesInfo {
                metric_type: MetricType::from_u8(u8::try_from(told.r#type).unwrap_or(0)),
                unit: symbols.get(told.unit_ref).unwrap_or_default(),
                help: symbols.get(told.help_ref).unwrap_or_default(),
            },
        };
        let Some(number) = self.number(info)? else { return Ok(()) };
        self.add_values(number, created_ms)?;
        for index in 0..self.exemplars_v2.len() {
            self.exemplar_v2(number, self.exemplars_v2[index], symbols)?;
        }
        Ok(())
    }

    /// Puts the labels that the references name into the set; what is wrong with them concerns this series only.
    fn push_labels(&mut self, symbols: &v2::Symbols<'_>) -> Result<Result<(), WireError>, CollectorError> {
        let pairs = match symbols.pairs(&self.references) {
            Ok(pairs) => pairs,
            Err(error) => return Ok(Err(error)),
        };
        for pair in pairs {
            let (name, value) = match pair {
                Ok(pair) => pair,
                Err(error) => return Ok(Err(error)),
            };
            self.room.take(COPIES_OF_LABELS * (name.len() + value.len()))?;
            self.labels.push(name.as_bytes(), value.as_bytes());
        }
        Ok(Ok(()))
    }

    fn keep_histogram(&mut self, histogram: HistogramView<'a>) -> Result<(), CollectorError> {
        self.room.take(size_of::<Histogram>() + HISTOGRAM_EXPANSION * histogram.bytes())?;
        self.histograms.push(histogram);
        Ok(())
    }

    fn items(&self) -> usize {
        self.samples.len() + self.histograms.len() + self.exemplars_v1.len() + self.exemplars_v2.len()
    }

    /// Adds the series and gives its number; none when its labels are rejected, with all its items.
    fn number(&mut self, info: SeriesInfo<'_>) -> Result<Option<u32>, CollectorError> {
        self.room.take(info.help.len() + info.unit.len())?;
        if !self.labels.is_ordered() {
            self.room.take(self.labels.count() * size_of::<(&str, &str)>())?;
        }
        let items = self.items();
        match self.labels.finish() {
            Ok(labels) => Ok(Some(self.columns.series(labels, info))),
            Err(BadSet::NotUtf8) => Err(v1::not_utf8().into()),
            Err(BadSet::Twice(twice)) => {
                let name = shortened(twice).to_owned();
                self.receipt.reject(Reason::InvalidLabels, items, || {
                    let shown = Labels::from_pairs(self.labels.pairs().flatten()).to_string();
                    format!("series=`{}`: label=`{name}` stands twice", shortened(&shown))
                });
                Ok(None)
            }
        }
    }

    /// Adds samples and histograms of a series; `created_ms` is the start of those that tell none.
    fn add_values(&mut self, number: u32, created_ms: i64) -> Result<(), CollectorError> {
        let start = |own_ms: i64| if own_ms == 0 { created_ms } else { own_ms };
        for (timestamp_ms, start_ms, value) in &self.samples {
            self.columns.sample(number, *timestamp_ms, start(*start_ms), *value);
        }
        self.written.samples += self.samples.len();
        for view in &self.histograms {
            let histogram = view.read()?;
            match histograms::remote_write(&histogram) {
                Ok(native) => {
                    let start_ms = start(histogram.start_timestamp);
                    self.columns.histogram(number, histogram.timestamp, start_ms, &native);
                    self.written.histograms += 1;
                }
                Err(why) => {
                    let name = self.labels.metric_name();
                    self.receipt.reject(Reason::InvalidHistogram, 1, || {
                        format!("histogram of series=`{}`: {why}", shortened(name))
                    });
                }
            }
        }
        Ok(())
    }

    fn exemplar_v2(
        &mut self,
        number: u32,
        exemplar: v2::ExemplarView<'a>,
        symbols: &v2::Symbols<'a>,
    ) -> Result<(), CollectorError> {
        self.references.clear();
        exemplar.append_labels_to(&mut self.references);
        let pairs: Result<Vec<(&str, &str)>, WireError> =
            symbols.pairs(&self.references).and_then(Iterator::collect);
        match pairs {
            Ok(pairs) => {
                let texts = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
                self.room.take(texts)?;
                self.columns.exemplar(number, exemplar.timestamp, exemplar.value, pairs);
                self.written.exemplars += 1;
            }
            Err(error) => {
                let name = self.labels.metric_name();
                self.receipt.reject(Reason::InvalidLabels, 1, || {
                    format!("exemplar of series=`{}`: {error}", shortened(name))
                });
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Series {
        let batch = Batch::Metrics(self.columns.finish());
        Series { batch, written: self.written, receipt: self.receipt }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Array as _;
    use prost::Message as _;

    use super::*;
    use crate::receivers::Budget;
    use crate::settings::BodySettings;

    fn bytes(batch: &Batch) -> usize {
        let Batch::Metrics(batch) = batch else { return 0 };
        let tables = [&batch.series, &batch.samples, &batch.histograms, &batch.exemplars];
        let columns = tables.into_iter().flat_map(|table| table.columns());
        columns.map(|column| column.to_data().get_slice_memory_size().unwrap()).sum()
    }

    /// The smallest items are those whose columns weigh most against their bytes.
    #[test]
    fn the_smallest_items_take_no_more_than_is_asked_for() {
        let exemplar = v1::Exemplar { labels: vec![v1::Label::default(); 3], ..v1::Exemplar::default() };
        let series = |number: usize| v1::TimeSeries {
            labels: vec![v1::Label { name: "__name__".to_owned(), value: number.to_string() }],
            samples: vec![v1::Sample::default()],
            exemplars: vec![exemplar.clone()],
            ..v1::TimeSeries::default()
        };
        let request = v1::WriteRequest { timeseries: (0..2_000).map(series).collect(), metadata: Vec::new() };
        let mut held = Budget::new(&BodySettings::default()).request(None);
        let mut room = Room::new(&mut held);
        let written = from_v1(&request.encode_to_vec(), |_| Known::default(), &mut room).unwrap();
        assert_eq!(written.written.all(), 4_000);
        assert!(bytes(&written.batch) <= room.bytes(), "{} of {}", bytes(&written.batch), room.bytes());
    }
}
