//! One batch of metrics under construction, in which each series stands once.

use hashbrown::HashMap;
use model::Labels;
use model::ingest::Batch;
use model::metric::{MetricBatchBuilder, SeriesInfo};

/// A [`MetricBatchBuilder`] that finds a series again by its labels.
#[derive(Debug, Default)]
pub(crate) struct SeriesBatch {
    /// The columns; add samples through it.
    pub(crate) columns: MetricBatchBuilder,
    numbers: HashMap<Labels, u32>,
}

impl SeriesBatch {
    /// The number of the series; the information of the first mention stays.
    pub(crate) fn series(&mut self, labels: Labels, info: SeriesInfo<'_>) -> u32 {
        if let Some(number) = self.numbers.get(&labels) {
            return *number;
        }
        let number = self.columns.series(&labels, info);
        self.numbers.insert(labels, number);
        number
    }

    /// The batch.
    pub(crate) fn finish(mut self) -> Batch {
        Batch::Metrics(self.columns.finish())
    }
}
