//! The series or streams of a segment, decoded once and kept: labels with postings, and where each one's rows are.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, StringArray, UInt64Array};
use model::labels::Labels;
use model::metric::MetricType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use roaring::RoaringBitmap;

use super::reader::{Footer, SegmentFile};
use super::schema::{LABEL_PREFIX, OTHER_LABELS, STREAMS_KEY};
use crate::bounds::MAX_FOOTER_BYTES;
use crate::error::StorageError;
use crate::head::index::LabelIndex;
use crate::head::series::Info;
use crate::runtime::blocking;
use crate::signal::Table;
use crate::signal::logs::StreamMeta;
use crate::signal::metrics::COUNT_COLUMNS;

/// Series or streams in the order of their labels.
#[derive(Debug, Default)]
pub(crate) struct SegmentSeries {
    /// Labels and postings.
    pub(crate) index: LabelIndex,
    /// What is known of each besides its labels; empty for streams.
    pub(crate) infos: Vec<Info>,
    /// Where each one's rows are.
    pub(crate) places: Arc<Places>,
    /// Those that no row was left of when the segment was rewritten.
    pub(crate) empty: RoaringBitmap,
}

/// For each table where each one's rows begin, and at the end how many rows there are.
#[derive(Debug, Default)]
pub(crate) struct Places(Vec<(Table, Vec<u64>)>);

impl Places {
    /// The rows of one of them in a table's file.
    pub(crate) fn rows(&self, table: Table, number: u32) -> Range<usize> {
        let Some((_, starts)) = self.0.iter().find(|(t, _)| *t == table) else {
            return 0..0;
        };
        let at = |i: usize| starts.get(i).map_or(0, |start| usize::try_from(*start).unwrap_or(usize::MAX));
        let number = number as usize;
        at(number)..at(number + 1)
    }
}

impl SegmentSeries {
    /// Whether one of them has rows in any table.
    pub(crate) fn has_rows(&self, number: u32) -> bool {
        self.places.0.iter().any(|(table, _)| !self.places.rows(*table, number).is_empty())
    }

    /// Takes up where the rows are.
    fn place(&mut self, places: Places) {
        self.places = Arc::new(places);
        self.empty = (0..self.count()).filter(|number| !self.has_rows(*number)).collect();
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.index.labels().len()).expect("an index numbers with 32 bits")
    }

    pub(super) fn bytes(&self) -> usize {
        self.index.bytes()
            + self.infos.len() * size_of::<Info>()
            + self.places.0.len() * self.count() as usize * 8
    }

    fn push_labels(&mut self, file: &SegmentFile, labels: Labels) -> Result<(), StorageError> {
        if self.index.labels().last().is_some_and(|last| *last >= labels) {
            return Err(file.corrupt("series or streams are not in the order of their labels"));
        }
        self.index.push(labels);
        Ok(())
    }
}

fn prefix_sums(counts: impl Iterator<Item = u64>) -> Option<Vec<u64>> {
    let mut starts = vec![0_u64];
    for count in counts {
        starts.push(starts.last()?.checked_add(count)?);
    }
    Some(starts)
}

impl SegmentFile {
    /// The series of a metrics segment, from its `series` file.
    ///
    /// # Errors
    /// The store's; [`StorageError::Corrupt`] for what does not read back.
    pub(crate) async fn series(&self) -> Result<Arc<SegmentSeries>, StorageError> {
        if let Some(series) = self.cache.series(&self.path) {
            return Ok(series);
        }
        if self.bytes > MAX_FOOTER_BYTES as u64 {
            return Err(self.corrupt(format!("a series file of {} bytes", self.bytes)));
        }
        let footer = self.footer().await?;
        let all = 0..footer.blocks.data_bytes();
        let data = self.data(&footer.blocks, std::slice::from_ref(&all)).await?.swap_remove(0);
        let file = self.clone();
        let decode = move || file.decode(|| file.decode_series(&footer, data));
        let decoded = blocking(&*self.runtime, decode).await?;
        let series = Arc::new(decoded?);
        self.cache.put_series(&self.path, &series);
        Ok(series)
    }

    fn decode_series(&self, footer: &Footer, data: bytes::Bytes) -> Result<SegmentSeries, StorageError> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(data, footer.metadata.clone());
        let mut series = SegmentSeries::default();
        let mut counts: [Vec<u64>; 3] = Default::default();
        for batch in builder.build().map_err(|error| self.corrupt(error))? {
            let batch = batch.map_err(|error| self.corrupt(error))?;
            self.take_series(&batch, &mut series, &mut counts)?;
        }
        let mut places = Places::default();
        for ((table, _), counts) in COUNT_COLUMNS.into_iter().zip(counts) {
            let starts = prefix_sums(counts.into_iter()).ok_or_else(|| self.corrupt("too many rows"))?;
            places.0.push((table, starts));
        }
        series.place(places);
        Ok(series)
    }

    fn take_series(
        &self,
        batch: &RecordBatch,
        series: &mut SegmentSeries,
        counts: &mut [Vec<u64>; 3],
    ) -> Result<(), StorageError> {
        let missing = |name: &str| self.corrupt(format!("column {name} is not there or of another type"));
        let text = |name: &str| -> Result<&StringArray, StorageError> {
            let column = batch.column_by_name(name).and_then(|c| c.as_any().downcast_ref::<StringArray>());
            column.ok_or_else(|| missing(name))
        };
        let schema = batch.schema();
        let mut columns: Vec<(&str, &StringArray)> = Vec::new();
        for field in schema.fields() {
            if let Some(name) = field.name().strip_prefix(LABEL_PREFIX) {
                columns.push((name, text(field.name())?));
            }
        }
        columns.sort_unstable_by_key(|(name, _)| *name);
        let others = batch.column_by_name(OTHER_LABELS).map(|_| text(OTHER_LABELS)).transpose()?;
        let (types, units, helps) = (text("type")?, text("unit")?, text("help")?);
        // Neighbours mostly share their texts.
        let (mut unit, mut help): (Arc<str>, Arc<str>) = ("".into(), "".into());
        for row in 0..batch.num_rows() {
            let present = columns.iter().filter(|(_, c)| c.is_valid(row)).map(|(n, c)| (*n, c.value(row)));
            let labels = match others.filter(|column| column.is_valid(row)) {
                None => Labels::from_pairs(present),
                Some(column) => {
                    let rest: std::collections::BTreeMap<String, String> =
                        serde_json::from_str(column.value(row)).map_err(|error| self.corrupt(error))?;
                    let rest = rest.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                    Labels::from_pairs(present.chain(rest))
                }
            };
            series.push_labels(self, labels)?;
            share(&mut unit, units.value(row));
            share(&mut help, helps.value(row));
            let metric_type = metric_type(types.value(row));
            series.infos.push(Info { metric_type, unit: Arc::clone(&unit), help: Arc::clone(&help) });
        }
        for ((_, name), counts) in COUNT_COLUMNS.into_iter().zip(counts) {
            let column = batch.column_by_name(name).and_then(|c| c.as_any().downcast_ref::<UInt64Array>());
            counts.extend_from_slice(column.ok_or_else(|| missing(name))?.values());
        }
        Ok(())
    }

    /// The streams of a logs segment, from its footer.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] for what does not read back.
    pub(crate) fn streams(&self, footer: &Footer) -> Result<Arc<SegmentSeries>, StorageError> {
        if let Some(series) = self.cache.series(&self.path) {
            return Ok(series);
        }
        let json = footer.value(STREAMS_KEY).ok_or_else(|| self.corrupt("the footer has no streams"))?;
        let streams: Vec<StreamMeta> = serde_json::from_str(json).map_err(|error| self.corrupt(error))?;
        let mut series = SegmentSeries::default();
        for stream in &streams {
            let pairs = stream.labels.iter().map(|(name, value)| (name, value.as_str().unwrap_or_default()));
            series.push_labels(self, Labels::from_pairs(pairs))?;
        }
        let starts = prefix_sums(streams.iter().map(|stream| stream.rows));
        let starts = starts.filter(|starts| starts.last() == Some(&(footer.rows() as u64)));
        let starts = starts.ok_or_else(|| self.corrupt("the streams' rows are not the file's"))?;
        series.place(Places(vec![(Table::Entries, starts)]));
        let series = Arc::new(series);
        self.cache.put_series(&self.path, &series);
        Ok(series)
    }
}

fn share(last: &mut Arc<str>, text: &str) {
    if &**last != text {
        *last = text.into();
    }
}

fn metric_type(name: &str) -> u8 {
    (0..8).find(|number| MetricType::from_u8(*number).as_str() == name).unwrap_or(0)
}
