//! Where the rows of each series or stream of a segment are; and the streams of a logs segment, decoded once and kept:
//! labels with postings.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use model::labels::Labels;
use roaring::RoaringBitmap;

use super::reader::{Footer, SegmentFile};
use super::schema::STREAMS_KEY;
use crate::bounds::MAX_FOOTER_BYTES;
use crate::error::StorageError;
use crate::head::index::LabelIndex;
use crate::signal::Table;
use crate::signal::logs::StreamMeta;

/// What is wrong where the streams of a file have other numbers of rows than the file.
const MISCOUNTED: &str = "the streams' rows are not the file's";

/// Streams in the order of their labels.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// Labels and postings.
    pub(crate) index: LabelIndex,
    /// Where each one's rows are.
    pub(crate) places: Places,
    /// Those that no row was left of when the segment was rewritten.
    pub(crate) empty: RoaringBitmap,
}

/// For each table that has rows, where each one's rows are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(Vec<(Table, Vec<Range<usize>>)>);

impl Places {
    /// The places of some tables; those without rows are left out.
    pub(crate) fn new(tables: impl Iterator<Item = (Table, Vec<Range<usize>>)>) -> Self {
        Self(tables.filter(|(_, ranges)| ranges.iter().any(|rows| !rows.is_empty())).collect())
    }

    /// The rows of one of them in a table's file.
    pub(crate) fn rows(&self, table: Table, number: usize) -> Range<usize> {
        let of_table = self.0.iter().find(|(of, _)| *of == table);
        of_table.and_then(|(_, ranges)| ranges.get(number)).cloned().unwrap_or_default()
    }

    /// Whether one of them has rows in any table.
    pub(crate) fn has_rows(&self, number: usize) -> bool {
        self.0.iter().any(|(_, ranges)| ranges.get(number).is_some_and(|rows| !rows.is_empty()))
    }

    /// The places of some, in the order in which they are given.
    pub(crate) fn of(&self, numbers: &(impl Iterator<Item = usize> + Clone)) -> Self {
        Self::new(self.0.iter().map(|(table, ranges)| {
            let picked = numbers.clone().map(|number| ranges.get(number).cloned().unwrap_or_default());
            (*table, picked.collect())
        }))
    }

    /// Memory that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|(_, ranges)| ranges.len() * size_of::<Range<usize>>()).sum()
    }
}

impl Streams {
    fn new(labels: Vec<Labels>, places: Places) -> Self {
        let mut streams = Self { places, ..Self::default() };
        labels.into_iter().for_each(|labels| {
            streams.index.push(labels);
        });
        streams.empty =
            (0..streams.count()).filter(|number| !streams.places.has_rows(*number as usize)).collect();
        streams
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.index.labels().len()).expect("an index numbers with 32 bits")
    }

    /// Memory that they take, about.
    pub(crate) fn bytes(&self) -> usize {
        self.index.bytes() + self.places.bytes()
    }
}

impl SegmentFile {
    /// The bytes of a `series` file before its footer.
    pub(super) async fn series_data(&self, footer: &Footer) -> Result<Bytes, StorageError> {
        if self.bytes > MAX_FOOTER_BYTES as u64 {
            return Err(self.corrupt(format!("a series file of {} bytes", self.bytes)));
        }
        let all = 0..footer.blocks.data_bytes();
        Ok(self.data(&footer.blocks, std::slice::from_ref(&all)).await?.swap_remove(0))
    }

    /// The streams of a logs segment, from its footer.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] for what does not read back.
    pub(crate) fn streams(&self, footer: &Footer) -> Result<Arc<Streams>, StorageError> {
        if let Some(streams) = self.cache.streams(&self.path) {
            return Ok(streams);
        }
        let json = footer.value(STREAMS_KEY).ok_or_else(|| self.corrupt("the footer has no streams"))?;
        let told: Vec<StreamMeta> = serde_json::from_str(json).map_err(|error| self.corrupt(error))?;
        let mut all: Vec<Labels> = Vec::with_capacity(told.len());
        let (mut at, mut places) = (0_usize, Vec::with_capacity(told.len()));
        for stream in &told {
            let pairs = stream.labels.iter().map(|(name, value)| (name, value.as_str().unwrap_or_default()));
            let labels = Labels::from_pairs(pairs);
            if all.last().is_some_and(|last| *last >= labels) {
                return Err(self.corrupt("streams are not in the order of their labels"));
            }
            all.push(labels);
            let rows = usize::try_from(stream.rows).ok();
            let end = rows.and_then(|rows| at.checked_add(rows)).filter(|end| *end <= footer.rows());
            let start = std::mem::replace(&mut at, end.ok_or_else(|| self.corrupt(MISCOUNTED))?);
            places.push(start..at);
        }
        if at != footer.rows() {
            return Err(self.corrupt(MISCOUNTED));
        }
        let places = Places::new([(Table::Entries, places)].into_iter());
        let streams = Arc::new(Streams::new(all, places));
        self.cache.put_streams(&self.path, &streams);
        Ok(streams)
    }
}
