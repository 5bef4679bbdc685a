//! Reads one Parquet file of a segment by ranges: footer and page index (cached), then the rows that are wanted, of the
//! columns that are wanted.
//!
//! No byte reaches a decoder before its checksum was compared: the tail's with the manifest's, the data's block by block
//! with the footer's. What does not fit is read once more past every cache, and is then [`StorageError::Corrupt`]. So is
//! what a decoder panics at.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::error::ArrowError;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, RowFilter, RowSelection,
};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use prometheus_client::metrics::counter::Counter;

use super::absent::Present;
use super::blocks::{Blocks, Checksum, Tail, joined};
use super::cache::SegmentCache;
use super::cost::{self, Cost, InGroup};
use super::schema::{BLOCKS_KEY, FORMAT, FORMAT_KEY};
use crate::bounds::{MAX_FOOTER_BYTES, MAX_SEARCHED_BYTES, VERIFY_WINDOW_BYTES};
use crate::error::StorageError;
use crate::read::memory::Bounded;
use crate::runtime::Runtime;
use crate::store::Fresh;

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
    /// Its end, as the manifest has it.
    pub(crate) tail: Tail,
    /// What is kept of it.
    pub(crate) cache: Arc<SegmentCache>,
    /// Counts the bytes that are read.
    pub(crate) read_bytes: Counter,
    /// Where decoding takes memory.
    pub(crate) memory: Bounded,
    /// What a decoded batch has at most, about.
    pub(crate) batch_bytes: usize,
}

/// Says which rows of a batch meet a condition.
type IsMet = dyn Fn(&RecordBatch) -> Result<BooleanArray, ArrowError> + Send + Sync;

/// What rows must meet to be read.
#[derive(Clone)]
pub(crate) struct Condition {
    /// The column at the top level that it looks at.
    pub(crate) column: usize,
    /// Which rows of a batch with this column alone meet it.
    pub(crate) is_met: Arc<IsMet>,
}

/// A file's footer, read and checked.
#[derive(Debug)]
pub(crate) struct Footer {
    /// The schema and where everything is.
    pub(crate) metadata: ArrowReaderMetadata,
    /// The checksums of the data.
    pub(crate) blocks: Blocks,
}

fn panicked(path: &Path, panic: &(dyn Any + Send)) -> StorageError {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    StorageError::corrupt(path, format!("the decoder gave up: {text}"))
}

impl Footer {
    /// Runs a decoder over bytes of a file.
    ///
    /// # Errors
    /// The decoder's; a panic of it too.
    pub(super) fn guarded<T>(
        path: &Path,
        decoder: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        catch_unwind(AssertUnwindSafe(decoder)).unwrap_or_else(|panic| Err(panicked(path, &*panic)))
    }

    /// The footer in a file's tail; `file_bytes` is the size of the whole file.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] for what is not the footer of a file of ours.
    pub(super) fn parse(path: &Path, tail: &Bytes, file_bytes: u64) -> Result<Self, StorageError> {
        Self::guarded(path, || Self::parse_unguarded(path, tail, file_bytes))
    }

    fn parse_unguarded(path: &Path, tail: &Bytes, file_bytes: u64) -> Result<Self, StorageError> {
        let corrupt = |reason: &dyn std::fmt::Display| StorageError::corrupt(path, reason);
        let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
        reader.try_parse_sized(tail, file_bytes).map_err(|error| corrupt(&error))?;
        let metadata = reader.finish().map_err(|error| corrupt(&error))?;
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), options);
        let metadata = metadata.map_err(|error| corrupt(&error))?;
        let mut footer = Footer { metadata, blocks: Blocks::default() };
        match footer.value(FORMAT_KEY) {
            Some(FORMAT) => {}
            Some(other) => return Err(corrupt(&format!("format {other} is not known"))),
            None => return Err(corrupt(&"the footer does not name a format")),
        }
        let blocks = footer.value(BLOCKS_KEY).ok_or_else(|| corrupt(&"the footer has no checksums"))?;
        footer.blocks = Blocks::parse(blocks).map_err(|error| corrupt(&error))?;
        if footer.blocks.data_bytes() + tail.len() as u64 != file_bytes {
            return Err(corrupt(&"data and footer are not the whole file"));
        }
        Ok(footer)
    }

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
        self.parquet().memory_size() + self.blocks.memory_bytes()
    }
}

impl SegmentFile {
    /// A failure that says that the file is damaged.
    pub(crate) fn corrupt(&self, reason: impl ToString) -> StorageError {
        StorageError::corrupt(&self.path, reason)
    }

    /// Runs a decoder over bytes from the store.
    ///
    /// # Errors
    /// The decoder's; a panic of it too.
    pub(crate) fn decode<T>(
        &self,
        decoder: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        Footer::guarded(&self.path, decoder)
    }

    fn parquet_error(&self, error: ParquetError) -> StorageError {
        match error {
            ParquetError::External(error) => match error.downcast::<StorageError>() {
                Ok(error) => *error,
                Err(error) => self.corrupt(error),
            },
            error => self.corrupt(error),
        }
    }

    /// Bytes of the file, as they come from the store.
    async fn range(&self, range: Range<u64>) -> Result<Bytes, StorageError> {
        self.whole(range.clone(), self.store.get_range(&self.path, range).await).await
    }

    /// Bytes of the file that no cache had.
    async fn fresh_range(&self, range: Range<u64>) -> Result<Bytes, StorageError> {
        let mut options = GetOptions::new().with_range(Some(range.clone()));
        options.extensions.insert(Fresh);
        let bytes = match self.store.get_opts(&self.path, options).await {
            Ok(result) => result.bytes().await,
            Err(error) => Err(error),
        };
        self.whole(range, bytes).await
    }

    /// What the store answered for a range, where it is all of it.
    async fn whole(
        &self,
        range: Range<u64>,
        answer: object_store::Result<Bytes>,
    ) -> Result<Bytes, StorageError> {
        let want = range.end - range.start;
        match answer {
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

    /// Bytes of the file's data, a piece for each range, with their checksums compared.
    ///
    /// # Errors
    /// The store's; [`StorageError::Corrupt`] for a range beyond the data and for blocks that changed.
    pub(crate) async fn data(
        &self,
        blocks: &Blocks,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, StorageError> {
        let widened: Option<Vec<_>> = ranges.iter().map(|range| blocks.widened(range)).collect();
        let beyond = || self.corrupt(format!("ranges beyond the data: {ranges:?}"));
        let fetched = joined(widened.ok_or_else(beyond)?);
        let pieces = self.ranges(&fetched).await?;
        let mut verified = Vec::with_capacity(pieces.len());
        for (range, bytes) in fetched.iter().zip(pieces) {
            verified.push(self.verified(blocks, range, bytes).await?);
        }
        let wanted: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        // Small pieces do not keep the blocks that they lie in.
        let are_small = wanted < fetched.iter().map(|range| range.end - range.start).sum::<u64>() / 2;
        let slices = ranges.iter().map(|range| {
            let place = fetched.partition_point(|piece| piece.end < range.end);
            let start = usize::try_from(range.start - fetched[place].start).ok()?;
            let len = usize::try_from(range.end - range.start).ok()?;
            let slice = verified[place].slice(start..start + len);
            Some(if are_small { Bytes::copy_from_slice(&slice) } else { slice })
        });
        slices.collect::<Option<_>>().ok_or_else(beyond)
    }

    async fn ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StorageError> {
        let is_whole = |pieces: &[Bytes]| {
            let lengths = ranges.iter().map(|range| range.end - range.start);
            pieces.len() == ranges.len() && pieces.iter().map(|piece| piece.len() as u64).eq(lengths)
        };
        match self.store.get_ranges(&self.path, ranges).await {
            Ok(pieces) if is_whole(&pieces) => {
                self.read_bytes.inc_by(pieces.iter().map(|piece| piece.len() as u64).sum());
                Ok(pieces)
            }
            // One range after the other tells damage from a store that fails.
            _ => {
                let mut pieces = Vec::with_capacity(ranges.len());
                for range in ranges {
                    pieces.push(self.range(range.clone()).await?);
                }
                Ok(pieces)
            }
        }
    }

    async fn verified(
        &self,
        blocks: &Blocks,
        range: &Range<u64>,
        bytes: Bytes,
    ) -> Result<Bytes, StorageError> {
        if blocks.damaged(range.start, &bytes).is_empty() {
            return Ok(bytes);
        }
        let again = self.fresh_range(range.clone()).await?;
        let damaged = blocks.damaged(range.start, &again);
        if damaged.is_empty() {
            return Ok(again);
        }
        Err(self.corrupt(format!("blocks that do not have their checksums: numbers={damaged:?}")))
    }

    /// The footer with the page index, from the cache where it is there.
    ///
    /// # Errors
    /// The store's; [`StorageError::Corrupt`] for what is not a footer of ours.
    pub(crate) async fn footer(&self) -> Result<Arc<Footer>, StorageError> {
        if let Some(footer) = self.cache.footer(&self.path) {
            return Ok(footer);
        }
        let footer = Arc::new(self.read_footer().await?);
        self.cache.put_footer(&self.path, &footer);
        Ok(footer)
    }

    async fn read_footer(&self) -> Result<Footer, StorageError> {
        if self.tail.bytes > self.bytes.min(MAX_FOOTER_BYTES as u64) {
            return Err(self.corrupt(format!("a footer of {} bytes", self.tail.bytes)));
        }
        let range = self.bytes - self.tail.bytes..self.bytes;
        let mut tail = self.range(range.clone()).await?;
        if Checksum::of(&tail) != self.tail.checksum {
            tail = self.fresh_range(range).await?;
            if Checksum::of(&tail) != self.tail.checksum {
                return Err(self.corrupt("the footer does not have the checksum that the manifest names"));
            }
        }
        Footer::parse(&self.path, &tail, self.bytes)
    }

    /// Compares every checksum of the file; what is wrong with it, in words, where something is.
    ///
    /// # Errors
    /// The store's, where it does not answer.
    pub(crate) async fn damage(&self) -> Result<Option<String>, StorageError> {
        match self.compare().await {
            Ok(()) => Ok(None),
            Err(StorageError::Corrupt { reason, .. }) => Ok(Some(reason)),
            Err(StorageError::Store(object_store::Error::NotFound { .. })) => {
                Ok(Some("the file is missing".to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    async fn compare(&self) -> Result<(), StorageError> {
        // What is kept of the footer says nothing of the bytes in the store.
        let footer = self.read_footer().await?;
        let mut start = 0;
        while start < footer.blocks.data_bytes() {
            let end = footer.blocks.data_bytes().min(start + VERIFY_WINDOW_BYTES);
            self.data(&footer.blocks, std::slice::from_ref(&(start..end))).await?;
            start = end;
        }
        Ok(())
    }

    /// The rows at the places, of the columns at the top level, as batches of at most [`READ_BATCH_ROWS`] rows, fewer
    /// where rows are large. The memory that decoding takes is held from when the stream is first asked to its end.
    pub(crate) fn rows(
        &self,
        footer: &Arc<Footer>,
        columns: impl IntoIterator<Item = usize>,
        places: &[Range<usize>],
    ) -> BoxStream<'static, Result<RecordBatch, StorageError>> {
        self.rows_where(footer, columns, places, None)
    }

    /// As [`SegmentFile::rows`], of the rows alone that meet a condition on the first of the columns that it names; the other
    /// columns are read where rows meet it.
    pub(crate) fn rows_where(
        &self,
        footer: &Arc<Footer>,
        columns: impl IntoIterator<Item = usize>,
        places: &[Range<usize>],
        condition: Option<Condition>,
    ) -> BoxStream<'static, Result<RecordBatch, StorageError>> {
        let groups: Vec<usize> = select(footer, places).0.into_iter().map(|(group, _)| group).collect();
        if groups.is_empty() {
            return futures::stream::empty().boxed();
        }
        let present = Arc::new(Present::of(footer, columns, &groups));
        let parts = cost::parts(footer, places, &present.mask, self.batch_bytes);
        let (file, footer) = (self.clone(), Arc::clone(footer));
        let mut is_over = false;
        futures::stream::iter(parts)
            .flat_map(move |part| file.part_rows(&footer, &present, &part, condition.clone()))
            .take_while(move |batch| {
                // A decoder that failed is not asked again.
                let goes_on = !is_over;
                is_over |= batch.is_err();
                futures::future::ready(goes_on)
            })
            .boxed()
    }

    /// The rows of places that are read at once.
    fn part_rows(
        &self,
        footer: &Arc<Footer>,
        present: &Arc<Present>,
        places: &[Range<usize>],
        condition: Option<Condition>,
    ) -> BoxStream<'static, Result<RecordBatch, StorageError>> {
        let (groups, selection) = select(footer, places);
        let cost = Cost::of(footer, &groups, &present.mask, self.batch_bytes);
        let rows_of = |places: &[Range<usize>]| match (places.first(), places.last()) {
            (Some(first), Some(last)) => last.end - first.start,
            _ => 0,
        };
        let searched = match &condition {
            Some(_) => groups.iter().map(|(_, rows)| rows_of(rows).saturating_mul(cost.row_bytes)).max(),
            None => None,
        };
        let mut held = self.memory.hold();
        if let Err(error) = held.resize(cost.held_bytes + searched.unwrap_or(0).min(MAX_SEARCHED_BYTES)) {
            return futures::stream::once(async { Err(error) }).boxed();
        }
        let reader = RangeReader { file: self.clone(), footer: Arc::clone(footer) };
        let built = self.decode(|| {
            let mut builder =
                ParquetRecordBatchStreamBuilder::new_with_metadata(reader, footer.metadata.clone())
                    .with_batch_size(cost.batch_rows)
                    .with_row_groups(groups.into_iter().map(|(group, _)| group).collect())
                    .with_row_selection(selection)
                    .with_projection(present.mask.clone());
            if let Some(Condition { column, is_met }) = condition {
                let looked_at = ProjectionMask::roots(footer.metadata.parquet_schema(), [column]);
                let predicate = ArrowPredicateFn::new(looked_at, move |rows| is_met(&rows));
                builder = builder
                    .with_row_filter(RowFilter::new(vec![Box::new(predicate)]))
                    .with_max_predicate_cache_size(MAX_SEARCHED_BYTES);
            }
            builder.build().map_err(|error| self.parquet_error(error))
        });
        let batches = match built {
            Ok(batches) => batches,
            Err(error) => return futures::stream::once(async { Err(error) }).boxed(),
        };
        let (file, present) = (self.clone(), Arc::clone(present));
        AssertUnwindSafe(batches)
            .catch_unwind()
            .map(move |batch| {
                let _until_the_last = &held;
                match batch {
                    Ok(batch) => present.whole(batch.map_err(|error| file.parquet_error(error))?),
                    Err(panic) => Err(panicked(&file.path, &*panic)),
                }
            })
            .boxed()
    }
}

/// The row groups of the places, each with the wanted rows as places in it, and the rows to select in all of them.
fn select(footer: &Footer, places: &[Range<usize>]) -> (Vec<InGroup>, RowSelection) {
    let mut groups = Vec::new();
    let mut within = Vec::new();
    let mut at = 0;
    for (index, rows) in footer.row_groups().enumerate() {
        let first = places.partition_point(|place| place.end <= rows.start);
        let of_group = places[first..].iter().take_while(|place| place.start < rows.end);
        let of_group =
            of_group.map(|p| p.start.max(rows.start) - rows.start..p.end.min(rows.end) - rows.start);
        let of_group: Vec<Range<usize>> = of_group.filter(|place| place.start < place.end).collect();
        if !of_group.is_empty() {
            within.extend(of_group.iter().map(|place| at + place.start..at + place.end));
            groups.push((index, of_group));
            at += rows.len();
        }
    }
    (groups, RowSelection::from_consecutive_ranges(within.into_iter(), at))
}

/// Gives Parquet's reader the ranges that it asks for.
struct RangeReader {
    file: SegmentFile,
    footer: Arc<Footer>,
}

fn external(error: StorageError) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for RangeReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move {
            let mut bytes = self.file.data(&self.footer.blocks, &[range]).await.map_err(external)?;
            Ok(bytes.swap_remove(0))
        }
        .boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move { self.file.data(&self.footer.blocks, &ranges).await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move { Ok(Arc::clone(self.footer.metadata.metadata())) }.boxed()
    }
}
