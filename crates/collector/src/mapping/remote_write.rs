//! Remote write 1.0 and 2.0 to series: labels are checked, histograms made absolute, the rest is kept as it came.

use model::Labels;
use model::ingest::{Batch, Reason, Receipt};
use model::labels::METRIC_NAME;
use model::metric::{MetricType, SeriesInfo};
use wire::remote_write::{Histogram, v1, v2};

use super::families::Known;
use super::histograms;
use super::series::SeriesBatch;
use crate::bounds::shortened;

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

#[derive(Default)]
struct Mapping {
    batch: SeriesBatch,
    written: Written,
    receipt: Receipt,
}

/// Maps a request of 1.0. `known` is what is known of the families, the request's own metadata included.
pub(crate) fn from_v1(request: &v1::WriteRequest, known: &Known) -> Series {
    let mut mapping = Mapping::default();
    for of in &request.timeseries {
        let items = of.samples.len() + of.histograms.len() + of.exemplars.len();
        let pairs = of.labels.iter().map(|label| (label.name.as_str(), label.value.as_str())).collect();
        let Some((labels, name)) = mapping.labels(Ok(pairs), items) else { continue };
        let series = mapping.batch.series(labels, known.info(&name));
        for sample in &of.samples {
            mapping.sample(series, sample.timestamp, 0, sample.value);
        }
        for histogram in &of.histograms {
            mapping.histogram(series, histogram, 0, &name);
        }
        for exemplar in &of.exemplars {
            let labels = exemplar.labels.iter().map(|label| (label.name.as_str(), label.value.as_str()));
            mapping.exemplar(series, exemplar.timestamp, exemplar.value, labels);
        }
    }
    mapping.finish()
}

/// Maps a request of 2.0; `known` stands in where a series brings no metadata.
pub(crate) fn from_v2(request: &v2::Request, known: &Known) -> Series {
    let mut mapping = Mapping::default();
    for of in &request.timeseries {
        let items = of.samples.len() + of.histograms.len() + of.exemplars.len();
        let pairs = request.labels(&of.labels_refs).map_err(|error| error.to_string());
        let Some((labels, name)) = mapping.labels(pairs, items) else { continue };
        let info = match &of.metadata {
            Some(told) if told.r#type != 0 || told.help_ref != 0 || told.unit_ref != 0 => SeriesInfo {
                metric_type: MetricType::from_u8(u8::try_from(told.r#type).unwrap_or(0)),
                unit: request.symbol(told.unit_ref).unwrap_or_default(),
                help: request.symbol(told.help_ref).unwrap_or_default(),
            },
            _ => known.info(&name),
        };
        let series = mapping.batch.series(labels, info);
        let start = |own: i64| if own == 0 { of.created_timestamp } else { own };
        for sample in &of.samples {
            mapping.sample(series, sample.timestamp, start(sample.start_timestamp), sample.value);
        }
        for histogram in &of.histograms {
            mapping.histogram(series, histogram, start(histogram.start_timestamp), &name);
        }
        for exemplar in &of.exemplars {
            match request.labels(&exemplar.labels_refs) {
                Ok(labels) => mapping.exemplar(series, exemplar.timestamp, exemplar.value, labels),
                Err(error) => mapping.receipt.reject(Reason::InvalidLabels, 1, || {
                    format!("exemplar of series=`{}`: {error}", shortened(&name))
                }),
            }
        }
    }
    mapping.finish()
}

impl Mapping {
    /// A series' labels and its metric's name; none when they are rejected, with all the series' items.
    fn labels(&mut self, pairs: Result<Vec<(&str, &str)>, String>, items: usize) -> Option<(Labels, String)> {
        let checked = pairs.and_then(|mut pairs| {
            pairs.sort_by_key(|(name, _)| *name);
            let twice = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0);
            match twice {
                Some(pair) => {
                    let shown = Labels::from_pairs(pairs.iter().copied()).to_string();
                    let name = shortened(pair[0].0);
                    Err(format!("series=`{}`: label=`{name}` stands twice", shortened(&shown)))
                }
                None => Ok(Labels::from_pairs(pairs)),
            }
        });
        match checked {
            Ok(labels) => {
                let name = labels.get(METRIC_NAME).unwrap_or_default().to_owned();
                Some((labels, name))
            }
            Err(why) => {
                self.receipt.reject(Reason::InvalidLabels, items, || why);
                None
            }
        }
    }

    fn sample(&mut self, series: u32, timestamp_ms: i64, start_ms: i64, value: f64) {
        self.batch.columns.sample(series, timestamp_ms, start_ms, value);
        self.written.samples += 1;
    }

    fn histogram(&mut self, series: u32, histogram: &Histogram, start_ms: i64, name: &str) {
        match histograms::remote_write(histogram) {
            Ok(native) => {
                self.batch.columns.histogram(series, histogram.timestamp, start_ms, &native);
                self.written.histograms += 1;
            }
            Err(why) => self.receipt.reject(Reason::InvalidHistogram, 1, || {
                format!("histogram of series=`{}`: {why}", shortened(name))
            }),
        }
    }

    fn exemplar<'l>(
        &mut self,
        series: u32,
        timestamp_ms: i64,
        value: f64,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
    ) {
        self.batch.columns.exemplar(series, timestamp_ms, value, labels);
        self.written.exemplars += 1;
    }

    fn finish(self) -> Series {
        Series { batch: self.batch.finish(), written: self.written, receipt: self.receipt }
    }
}
