//! What a segment's files say of themselves, without a manifest: for finding segments again whose manifest is lost, and
//! for showing a file to a person.
//!
//! The length of a file's tail comes from the footer itself here, and its checksum is taken, not compared: only a
//! manifest can say that a footer is the one that was written.

use std::ops::Range;

use arrow::array::UInt64Array;
use bytes::Bytes;
use model::{Signal, TimeRange};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use parquet::file::statistics::Statistics;

use super::blocks::{Checksum, Tail};
use super::reader::Footer;
use super::schema::{BLOCKS_KEY, ONLY_PART, SERIES_PART, TIMES_KEY, part};
use crate::bounds::MAX_FOOTER_BYTES;
use crate::error::StorageError;
use crate::layout;
use crate::manifest::{PartMeta, Quarantined, SegmentMeta};
use crate::signal::Table;
use crate::signal::metrics::COUNT_COLUMNS;

/// The bytes at a Parquet file's very end: the length of its metadata, and the magic.
const END_BYTES: u64 = 8;

/// A file's footer and where it lies.
pub(crate) struct Surveyed {
    /// The footer with the page index.
    pub(crate) footer: Footer,
    /// The tail, with the checksum that it has now.
    pub(crate) tail: Tail,
}

/// Reads a file's footer.
///
/// # Errors
/// The store's; [`StorageError::Corrupt`] for what is not a file of ours.
pub(crate) async fn file(store: &dyn ObjectStore, path: &Path, bytes: u64) -> Result<Surveyed, StorageError> {
    let corrupt = |reason: &str| StorageError::corrupt(path, reason);
    let end = range(store, path, bytes.saturating_sub(END_BYTES)..bytes).await?;
    let (length, magic) = end.split_first_chunk::<4>().ok_or_else(|| corrupt("no Parquet file"))?;
    let metadata_bytes = u64::from(u32::from_le_bytes(*length)) + END_BYTES;
    if magic != b"PAR1" || metadata_bytes > bytes.min(MAX_FOOTER_BYTES as u64) {
        return Err(corrupt("no Parquet file"));
    }
    let metadata = range(store, path, bytes - metadata_bytes..bytes).await?;
    let data_bytes = Footer::guarded(path, || data_bytes(path, &metadata, bytes))?;
    if data_bytes > bytes - metadata_bytes {
        return Err(corrupt("the data are longer than the file"));
    }
    let tail = range(store, path, data_bytes..bytes).await?;
    let footer = Footer::parse(path, &tail, bytes)?;
    Ok(Surveyed { footer, tail: Tail { bytes: bytes - data_bytes, checksum: Checksum::of(&tail) } })
}

async fn range(store: &dyn ObjectStore, path: &Path, range: Range<u64>) -> Result<Bytes, StorageError> {
    let want = range.end - range.start;
    let bytes = store.get_range(path, range).await?;
    if bytes.len() as u64 == want { Ok(bytes) } else { Err(StorageError::corrupt(path, "the file is cut")) }
}

fn data_bytes(path: &Path, metadata: &Bytes, file_bytes: u64) -> Result<u64, StorageError> {
    let corrupt = |error: parquet::errors::ParquetError| StorageError::corrupt(path, error);
    let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip);
    reader.try_parse_sized(metadata, file_bytes).map_err(corrupt)?;
    let metadata = reader.finish().map_err(corrupt)?;
    let pairs = metadata.file_metadata().key_value_metadata();
    let blocks = pairs.into_iter().flatten().find(|pair| pair.key == BLOCKS_KEY);
    let blocks = blocks.and_then(|pair| pair.value.as_deref());
    let blocks = blocks.ok_or_else(|| StorageError::corrupt(path, "the footer has no checksums"))?;
    let blocks = super::blocks::Blocks::parse(blocks).map_err(|error| StorageError::corrupt(path, error))?;
    Ok(blocks.data_bytes())
}

/// The table whose rows a part has; none for the series.
pub(crate) fn table_of(signal: Signal, name: &str) -> Option<Table> {
    Table::of(signal).iter().copied().find(|table| part(*table) == name)
}

/// The time of a file's rows, as its footer or its statistics have it.
pub(crate) fn time_range(footer: &Footer, table: Table) -> Option<TimeRange> {
    if table == Table::Samples {
        let groups: Vec<(i64, i64)> = serde_json::from_str(footer.value(TIMES_KEY)?).ok()?;
        let ranges = groups.into_iter().map(|(first, last)| table.range(first, last));
        return ranges.reduce(|a, b| crate::head::union(Some(a), b));
    }
    let mut range: Option<TimeRange> = None;
    for group in footer.parquet().row_groups() {
        let column = group.columns().get(table.time_column())?;
        let Some(Statistics::Int64(times)) = column.statistics() else { return None };
        let of_group = table.range(*times.min_opt()?, *times.max_opt()?);
        range = Some(crate::head::union(range, of_group));
    }
    range
}

/// What a manifest says of a segment, from its files; none where files are missing that its series name.
///
/// # Errors
/// The store's; [`StorageError::Corrupt`] for files that are not ours or do not fit together.
pub(crate) async fn segment(
    store: &dyn ObjectStore,
    signal: Signal,
    id: &str,
    files: &[ObjectMeta],
) -> Result<Option<SegmentMeta>, StorageError> {
    let mut parts = Vec::new();
    let mut range: Option<TimeRange> = None;
    let mut expected = None;
    let mut rows = 0;
    for object in files {
        let path = &object.location;
        let corrupt = |reason: &str| StorageError::corrupt(path, reason);
        let name = layout::segment_part(path).ok_or_else(|| corrupt("no name of a segment's file"))?;
        let surveyed = file(store, path, object.size).await?;
        let part_rows = surveyed.footer.rows() as u64;
        if name == SERIES_PART && signal == Signal::Metrics {
            let all = range_of_all(store, path, object.size).await?;
            expected = Some(Footer::guarded(path, || series_rows(path, &surveyed.footer, all))?);
        } else {
            let table = table_of(signal, name).ok_or_else(|| corrupt("no part of this signal"))?;
            let of_file =
                time_range(&surveyed.footer, table).ok_or_else(|| corrupt("no statistics of time"))?;
            range = Some(crate::head::union(range, of_file));
            rows += part_rows;
        }
        let Tail { bytes: tail_bytes, checksum: tail_xxh3 } = surveyed.tail;
        let (name, bytes) = (name.to_owned(), object.size);
        parts.push(PartMeta { name, bytes, rows: part_rows, tail_bytes, tail_xxh3 });
    }
    parts.sort_by_key(|part: &PartMeta| (part.name != SERIES_PART, part.name.clone()));
    let rows_of = |name: &str| parts.iter().find(|part| part.name == name).map_or(0, |part| part.rows);
    let is_complete = match (signal, expected) {
        (Signal::Metrics, Some(expected)) => {
            COUNT_COLUMNS.iter().zip(expected).all(|((table, _), rows)| rows_of(part(*table)) == rows)
        }
        (Signal::Metrics, None) => false,
        (Signal::Logs | Signal::Traces, _) => rows_of(ONLY_PART) > 0,
    };
    let day = files.first().and_then(|object| layout::segment_day(&object.location));
    let (true, Some(range), Some(day)) = (is_complete, range, day) else { return Ok(None) };
    let TimeRange { start_ns, end_ns } = range;
    // How often the rows were rewritten is not known; compaction may rewrite them once more than it would have.
    Ok(Some(SegmentMeta {
        id: id.to_owned(),
        day: day.to_owned(),
        start_ns,
        end_ns,
        rows,
        level: 0,
        parts,
        after: None,
        cleared: 0,
        looked: None,
        cleared_also: Vec::new(),
    }))
}

async fn range_of_all(store: &dyn ObjectStore, path: &Path, bytes: u64) -> Result<Bytes, StorageError> {
    if bytes > MAX_FOOTER_BYTES as u64 {
        return Err(StorageError::corrupt(path, format!("a series file of {bytes} bytes")));
    }
    range(store, path, 0..bytes).await
}

/// How many rows the series say that there are of each table of [`COUNT_COLUMNS`].
fn series_rows(path: &Path, footer: &Footer, all: Bytes) -> Result<[u64; 3], StorageError> {
    let data_bytes = usize::try_from(footer.blocks.data_bytes()).unwrap_or(usize::MAX);
    let data = all.get(..data_bytes).ok_or_else(|| StorageError::corrupt(path, "the file is cut"))?;
    if !footer.blocks.damaged(0, data).is_empty() {
        return Err(StorageError::corrupt(path, "blocks do not have their checksums"));
    }
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(all, footer.metadata.clone()).build();
    let mut rows = [0_u64; 3];
    for batch in reader.map_err(|error| StorageError::corrupt(path, error))? {
        let batch = batch.map_err(|error| StorageError::corrupt(path, error))?;
        for ((_, name), rows) in COUNT_COLUMNS.iter().zip(&mut rows) {
            let column = batch.column_by_name(name).and_then(|c| c.as_any().downcast_ref::<UInt64Array>());
            let column = column.ok_or_else(|| StorageError::corrupt(path, format!("no column {name}")))?;
            *rows = column.values().iter().fold(*rows, |sum, count| sum.saturating_add(*count));
        }
    }
    Ok(rows)
}

/// A segment of which nothing is known but its paths. Of its day all is taken to be its own, so that it expires.
pub(crate) fn unread(id: &str, files: &[ObjectMeta], reason: String) -> Option<Quarantined> {
    let day = layout::segment_day(&files.first()?.location)?.to_owned();
    let date: jiff::civil::Date = day.parse().ok()?;
    let start = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    let start_ns = i64::try_from(start.as_nanosecond()).ok()?;
    let end_ns = start_ns.saturating_add(86_400 * model::time::NS_PER_S - 1);
    let parts = files.iter().filter_map(|object| {
        let name = layout::segment_part(&object.location)?.to_owned();
        Some(PartMeta { name, bytes: object.size, rows: 0, tail_bytes: 0, tail_xxh3: Checksum::default() })
    });
    let parts = parts.collect();
    let segment = SegmentMeta {
        id: id.to_owned(),
        day,
        start_ns,
        end_ns,
        rows: 0,
        level: 0,
        parts,
        after: None,
        cleared: 0,
        looked: None,
        cleared_also: Vec::new(),
    };
    Some(Quarantined { segment, reason })
}
