//! Reads one Parquet file of a segment by ranges: footer and page index (cached), then the rows that are wanted, of the
//! columns that are wanted.
//!
//! Damaged bytes become [`StorageError::Corrupt`], also where the decoder would panic.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::bloom_filter::Sbbf;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use prometheus_client::metrics::counter::Counter;

use super::cache::SegmentCache;
use super::schema::{FORMAT, FORMAT_KEY};
use crate::bounds::{MAX_FOOTER_BYTES, READ_BATCH_ROWS};
use crate::error::StorageError;
use crate::runtime::Runtime;

/// What is read of a file's end at first: enough for most footers with their page indexes.
const TAIL_BYTES: u64 = 64 << 10;

/// A file of a segment in the store.
#[derive(Clone, Debug)]
pub(crate) struct SegmentFile {
    /// Where it is.
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Where long work runs.
    pub(crate) runtime: Arc<dyn Runtime>,
    /// Its path.
    pub(crate) path: Path,
    /// Its size, as the manifest has it.
    pub(crate) bytes: u64,
    /// What is kept of it.
    pub(crate) cache: Arc<SegmentCache>,
    /// Counts the bytes that are read.
    pub(crate) read_bytes: Counter,
}

/// A file's footer, read and checked.
#[derive(Debug)]
pub(crate) struct Footer {
    /// The schema and where everything is.
    pub(crate) metadata: ArrowReaderMetadata,
}

impl Footer {
    /// What Parquet says of the file.
    pub(crate) fn parquet(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    /// A value of the pairs in the footer.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        let pairs = self.parquet().file_metadata().key_value_metadata()?;
        pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
    }

    /// The rows of each row group, as places in the file.
    pub(crate) fn row_groups(&self) -> impl Iterator<Item = Range<usize>> {
        self.parquet().row_groups().iter().scan(0, |at, group| {
            let start = *at;
            *at += usize::try_from(group.num_rows()).unwrap_or(0);
            Some(start..*at)
        })
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.row_groups().last().map_or(0, |rows| rows.end)
    }

    pub(super) fn bytes(&self) -> usize {
        self.parquet().memory_size()
    }
}

impl SegmentFile {
    /// A failure that says that the file is damaged.
    pub(crate) fn corrupt(&self, reason: impl ToString) -> StorageError {
        StorageError::corrupt(&self.path, reason)
    }

    fn panicked(&self, panic: &(dyn Any + Send)) -> StorageError {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        self.corrupt(format!("the decoder gave up: {text}"))
    }

    /// Runs a decoder over bytes from the store.
    ///
    /// # Errors
    /// The decoder's; a panic of it too.
    pub(crate) fn decode<T>(
        &self,
        decoder: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        catch_unwind(AssertUnwindSafe(decoder)).unwrap_or_else(|panic| Err(self.panicked(&*panic)))
    }

    fn parquet_error(&self, error: ParquetError) -> StorageError {
        match error {
            ParquetError::External(error) => match error.downcast::<object_store::Error>() {
                Ok(error) => StorageError::Store(*error),
                Err(error) => self.corrupt(error),
            },
            error => self.corrupt(error),
        }
    }

    /// Bytes of the file.
    ///
    /// # Errors
    /// The store's; a range beyond the file is damage.
    pub(crate) async fn range(&self, range: Range<u64>) -> Result<Bytes, StorageError> {
        if range.start > range.end || range.end > self.bytes {
            return Err(self.corrupt(format!("a range beyond the file: {range:?}")));
        }
        let want = range.end - range.start;
        match self.store.get_range(&self.path, range).await {
            Ok(bytes) if bytes.len() as u64 == want => {
                self.read_bytes.inc_by(want);
                Ok(bytes)
            }
            Ok(_) => Err(self.corrupt("the file is shorter than the manifest says")),
            Err(error @ object_store::Error::NotFound { .. }) => Err(error.into()),
            Err(error) => match self.store.head(&self.path).await {
                Ok(meta) if meta.size != self.bytes => {
                    Err(self.corrupt(format!("size is {}, the manifest says {}", meta.size, self.bytes)))
                }
                _ => Err(error.into()),
            },
        }
    }

    /// The footer with the page index, from the cache where it is there.
    ///
    /// # Errors
    /// The store's; [`StorageError::Corrupt`] for what is not a footer of ours.
    pub(crate) async fn footer(&self) -> Result<Arc<Footer>, StorageError> {
        if let Some(footer) = self.cache.footer(&self.path) {
            return Ok(footer);
        }
        let mut tail_bytes = TAIL_BYTES.min(self.bytes);
        loop {
            let tail = self.range(self.bytes - tail_bytes..self.bytes).await?;
            let parsed = self.decode(|| self.parse_footer(&tail))?;
            match parsed {
                Ok(footer) => {
                    let footer = Arc::new(footer);
                    self.cache.put_footer(&self.path, &footer);
                    return Ok(footer);
                }
                Err(needed) if needed > tail_bytes && needed <= self.bytes.min(MAX_FOOTER_BYTES as u64) => {
                    tail_bytes = needed;
                }
                Err(needed) => return Err(self.corrupt(format!("the footer claims {needed} bytes"))),
            }
        }
    }

    /// The footer, or how many bytes of the file's end are needed.
    fn parse_footer(&self, tail: &Bytes) -> Result<Result<Footer, u64>, StorageError> {
        let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
        match reader.try_parse_sized(tail, self.bytes) {
            Ok(()) => {}
            Err(ParquetError::NeedMoreData(needed)) => return Ok(Err(needed as u64)),
            Err(error) => return Err(self.corrupt(error)),
        }
        let metadata = reader.finish().map_err(|error| self.corrupt(error))?;
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), options);
        let footer = Footer { metadata: metadata.map_err(|error| self.corrupt(error))? };
        match footer.value(FORMAT_KEY) {
            Some(FORMAT) => Ok(Ok(footer)),
            Some(other) => Err(self.corrupt(format!("format {other} is not known"))),
            None => Err(self.corrupt("the footer does not name a format")),
        }
    }

    /// A Bloom filter that lies in the file, by row group, from the cache where it is there.
    ///
    /// # Errors
    /// The store's; [`StorageError::Corrupt`] for what is not a filter.
    pub(crate) async fn filter(
        &self,
        row_group: usize,
        place: Range<u64>,
    ) -> Result<Arc<Sbbf>, StorageError> {
        if let Some(filter) = self.cache.filter(&self.path, row_group) {
            return Ok(filter);
        }
        let bytes = self.range(place).await?;
        let filter = self.decode(|| Sbbf::from_bytes(&bytes).map_err(|error| self.corrupt(error)))?;
        if filter.num_blocks() == 0 {
            return Err(self.corrupt("a filter without blocks"));
        }
        let filter = Arc::new(filter);
        self.cache.put_filter(&self.path, row_group, &filter);
        Ok(filter)
    }

    /// The rows at the places, of the columns at the top level, as batches of at most [`READ_BATCH_ROWS`] rows.
    pub(crate) fn rows(
        &self,
        footer: &Footer,
        columns: impl IntoIterator<Item = usize>,
        places: &[Range<usize>],
    ) -> BoxStream<'static, Result<RecordBatch, StorageError>> {
        let (groups, selection) = select(footer, places);
        if groups.is_empty() {
            return futures::stream::empty().boxed();
        }
        let file = self.clone();
        let mask = ProjectionMask::roots(footer.metadata.parquet_schema(), columns);
        let reader = RangeReader { file: self.clone(), metadata: Arc::clone(footer.metadata.metadata()) };
        let built = self.decode(|| {
            ParquetRecordBatchStreamBuilder::new_with_metadata(reader, footer.metadata.clone())
                .with_batch_size(READ_BATCH_ROWS)
                .with_row_groups(groups)
                .with_row_selection(selection)
                .with_projection(mask)
                .build()
                .map_err(|error| self.parquet_error(error))
        });
        let batches = match built {
            Ok(batches) => batches,
            Err(error) => return futures::stream::once(async { Err(error) }).boxed(),
        };
        let mut is_over = false;
        AssertUnwindSafe(batches)
            .catch_unwind()
            .map(move |batch| match batch {
                Ok(batch) => batch.map_err(|error| file.parquet_error(error)),
                Err(panic) => Err(file.panicked(&*panic)),
            })
            .take_while(move |batch| {
                // A decoder that failed is not asked again.
                let goes_on = !is_over;
                is_over |= batch.is_err();
                futures::future::ready(goes_on)
            })
            .boxed()
    }
}

/// The row groups of the places and the rows to select in them.
fn select(footer: &Footer, places: &[Range<usize>]) -> (Vec<usize>, RowSelection) {
    let mut groups = Vec::new();
    let mut within = Vec::new();
    let mut at = 0;
    for (index, rows) in footer.row_groups().enumerate() {
        let first = places.partition_point(|place| place.end <= rows.start);
        let mut is_used = false;
        for place in places[first..].iter().take_while(|place| place.start < rows.end) {
            let (start, end) = (place.start.max(rows.start), place.end.min(rows.end));
            if start < end {
                within.push(at + start - rows.start..at + end - rows.start);
                is_used = true;
            }
        }
        if is_used {
            groups.push(index);
            at += rows.len();
        }
    }
    (groups, RowSelection::from_consecutive_ranges(within.into_iter(), at))
}

/// Gives Parquet's reader the ranges that it asks for.
struct RangeReader {
    file: SegmentFile,
    metadata: Arc<ParquetMetaData>,
}

fn external(error: StorageError) -> ParquetError {
    match error {
        StorageError::Store(error) => ParquetError::External(Box::new(error)),
        error => ParquetError::General(error.to_string()),
    }
}

impl AsyncFileReader for RangeReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move { self.file.range(range).await.map_err(external) }.boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move {
            if ranges.iter().any(|range| range.start > range.end || range.end > self.file.bytes) {
                return Err(ParquetError::General("a page lies beyond the file".to_owned()));
            }
            self.file.read_bytes.inc_by(ranges.iter().map(|range| range.end - range.start).sum());
            match self.file.store.get_ranges(&self.file.path, &ranges).await {
                Ok(bytes) => Ok(bytes),
                // One range after the other tells damage from a store that fails.
                Err(_) => {
                    let mut bytes = Vec::with_capacity(ranges.len());
                    for range in ranges {
                        bytes.push(self.file.range(range).await.map_err(external)?);
                    }
                    Ok(bytes)
                }
            }
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move { Ok(Arc::clone(&self.metadata)) }.boxed()
    }
}
