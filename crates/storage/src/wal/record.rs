//! The log's record: a header with a checksum over everything, the tenant's name, and the tables of one batch as Arrow
//! IPC streams, compressed together: what repeats takes next to nothing, and to compress it costs less than to hand it to
//! the kernel. Encoding and decoding only; files are the business of the writer and the
//! reader.
//!
//! All numbers are little-endian:
//! ```text
//! 0  magic "SREC"          12  kind: 1 a batch
//! 4  u32 length            13  signal: 0 metrics, 1 logs, 2 traces
//! 8  u32 CRC-32C           14  u8 length of the tenant's name
//!                          15  zero
//! 16 the tenant's name
//!    u32 bytes of the labels of series, unpacked
//!    a snappy block: for each table of the batch u32 length and an Arrow IPC stream; length 0 for a table without rows.
//!    The labels of series are packed.
//! ```
//! The length counts what follows the header; the checksum covers the length and all bytes from 12 on.

mod labels;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use model::log::{ENTRIES_SCHEMA, LogBatch, STREAMS_SCHEMA};
use model::metric::{EXEMPLARS_SCHEMA, HISTOGRAMS_SCHEMA, MetricBatch, SAMPLES_SCHEMA, SERIES_SCHEMA};
use model::trace::{SPANS_SCHEMA, TraceBatch};
use model::{Batch, Signal, TenantId};

use crate::bounds::MAX_RECORD_BYTES;
use crate::error::StorageError;

/// The bytes that every record begins with.
pub(crate) const MAGIC: [u8; 4] = *b"SREC";

/// The size of a record's header.
pub(crate) const HEADER_BYTES: usize = 16;

const KIND_BATCH: u8 = 1;

/// What a table's schema and the padding of its buffers take in an Arrow IPC stream, about.
const IPC_TABLE_BYTES: usize = 4 << 10;

/// What a record holds.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Whose batch it is.
    pub(crate) tenant: TenantId,
    /// The batch.
    pub(crate) batch: Batch,
}

/// Encodes a batch with header and checksum.
///
/// # Errors
/// [`StorageError::TooLarge`] when the record would be over `max_bytes` or [`MAX_RECORD_BYTES`], compressed or not.
pub(crate) fn encode(tenant: &TenantId, batch: &Batch, max_bytes: usize) -> Result<Vec<u8>, StorageError> {
    let max_bytes = max_bytes.min(MAX_RECORD_BYTES);
    let (tables, labels_bytes) = encode_tables(batch, max_bytes)?;
    let name = tenant.as_str().as_bytes();
    let mut bytes =
        Vec::with_capacity(HEADER_BYTES + name.len() + 4 + snap::raw::max_compress_len(tables.len()));
    bytes.extend_from_slice(&[0; HEADER_BYTES]);
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(&labels_bytes.to_le_bytes());
    let block = bytes.len();
    bytes.resize(bytes.capacity(), 0);
    let compressed = snap::raw::Encoder::new()
        .compress(&tables, &mut bytes[block..])
        .map_err(|e| StorageError::Internal(format!("a record cannot be compressed: {e}")))?;
    bytes.truncate(block + compressed);
    let length = checked_len(bytes.len(), max_bytes)? - u32::try_from(HEADER_BYTES).expect("sixteen fits");
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    bytes[12] = KIND_BATCH;
    bytes[13] = signal_number(batch.signal());
    bytes[14] = u8::try_from(name.len()).expect("a tenant id is at most 150 bytes");
    let checksum = checksum(&bytes);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    Ok(bytes)
}

fn checked_len(len: usize, max_bytes: usize) -> Result<u32, StorageError> {
    let fits = u32::try_from(len).ok().filter(|_| len <= max_bytes);
    fits.ok_or(StorageError::TooLarge { bytes: len, max_bytes })
}

/// The tables, and what the labels of series take that are packed in them.
fn encode_tables(batch: &Batch, max_bytes: usize) -> Result<(Vec<u8>, u32), StorageError> {
    let mut tables: Vec<RecordBatch> = tables(batch).into_iter().cloned().collect();
    let mut labels_bytes = 0;
    if batch.signal() == Signal::Metrics {
        labels_bytes = labels::unpacked_bytes(&tables[0]);
        tables[0] = labels::packed(&tables[0]);
    }
    let size = |table: &RecordBatch| IPC_TABLE_BYTES + crate::head::runs::batch_bytes(table);
    let mut bytes = Vec::with_capacity(tables.iter().map(size).sum());
    for table in &tables {
        let at = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        if table.num_rows() > 0 {
            let mut writer = StreamWriter::try_new(&mut bytes, table.schema_ref())?;
            writer.write(table)?;
            writer.finish()?;
        }
        let length = checked_len(bytes.len() - at - 4, max_bytes)?;
        bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }
    checked_len(bytes.len().saturating_add(labels_bytes), max_bytes)?;
    Ok((bytes, checked_len(labels_bytes, max_bytes)?))
}

/// What the first bytes of a record say, before anything is known to be true.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    length: u32,
}

impl Header {
    /// Reads a header; none where these bytes cannot be one.
    pub(crate) fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let length = u32_at(bytes, 4)?;
        let plausible = bytes[..4] == MAGIC
            && length as usize <= MAX_RECORD_BYTES - HEADER_BYTES
            && usize::from(bytes[14]) <= model::tenant::MAX_TENANT_ID_BYTES
            && bytes[15] == 0;
        plausible.then_some(Self { length })
    }

    /// The whole record's size, header included.
    pub(crate) const fn record_bytes(self) -> usize {
        HEADER_BYTES + self.length as usize
    }
}

/// Whether the bytes are one whole record as it was written.
pub(crate) fn is_intact(record: &[u8]) -> bool {
    record.first_chunk::<HEADER_BYTES>().and_then(Header::parse).is_some_and(|header| {
        header.record_bytes() == record.len() && u32_at(record, 8) == Some(checksum(record))
    })
}

/// Whether the bytes are one whole record but for the length in its header.
pub(crate) fn is_intact_of_length(record: &[u8]) -> bool {
    let length = record.len().checked_sub(HEADER_BYTES).and_then(|length| u32::try_from(length).ok());
    let Some(length) = length else { return false };
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), &record[12..]);
    u32_at(record, 8) == Some(checksum)
}

/// Decodes a whole record.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn decode(record: &[u8]) -> Result<Record, String> {
    let Opened { tenant, signal, labels_bytes, block } = open(record)?;
    let tables = decompress(block)?;
    let mut rest = tables.as_slice();
    let mut next = |schema: &SchemaRef| {
        let length = u32_at(rest, 0).ok_or("a table's length is missing")? as usize;
        let body = rest.get(4..4 + length).ok_or("a table runs over the end")?;
        rest = &rest[4 + length..];
        table(body, schema)
    };
    let batch = match signal {
        Signal::Metrics => Batch::Metrics(MetricBatch {
            series: labels::unpacked(&next(&SERIES_SCHEMA)?, labels_bytes)?,
            samples: next(&SAMPLES_SCHEMA)?,
            histograms: next(&HISTOGRAMS_SCHEMA)?,
            exemplars: next(&EXEMPLARS_SCHEMA)?,
        }),
        Signal::Logs => {
            Batch::Logs(LogBatch { streams: next(&STREAMS_SCHEMA)?, entries: next(&ENTRIES_SCHEMA)? })
        }
        Signal::Traces => Batch::Traces(TraceBatch { spans: next(&SPANS_SCHEMA)? }),
    };
    if rest.is_empty() { Ok(Record { tenant, batch }) } else { Err("bytes follow the last table".to_owned()) }
}

/// The size of a whole record's tables once they are decompressed and unpacked; 0 where they cannot be.
pub(crate) fn tables_bytes(record: &[u8]) -> usize {
    open(record).and_then(|opened| Ok(tables_len(opened.block)? + opened.labels_bytes)).unwrap_or(0)
}

/// The tenant and signal of a whole record, without its tables.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn owner(record: &[u8]) -> Result<(TenantId, Signal), String> {
    open(record).map(|opened| (opened.tenant, opened.signal))
}

/// Undoes the compression, within the size that a record may have.
#[expect(
    clippy::disallowed_methods,
    reason = "the size is looked at before, and the block is the engine's own"
)]
fn decompress(block: &[u8]) -> Result<Vec<u8>, String> {
    tables_len(block)?;
    snap::raw::Decoder::new().decompress_vec(block).map_err(|e| e.to_string())
}

fn tables_len(block: &[u8]) -> Result<usize, String> {
    match snap::raw::decompress_len(block) {
        Ok(length) if length <= MAX_RECORD_BYTES => Ok(length),
        Ok(length) => Err(format!("the tables are too large: bytes={length}, at most {MAX_RECORD_BYTES}")),
        Err(error) => Err(error.to_string()),
    }
}

/// A whole record, before its tables are decompressed.
struct Opened<'a> {
    tenant: TenantId,
    signal: Signal,
    labels_bytes: usize,
    block: &'a [u8],
}

fn open(record: &[u8]) -> Result<Opened<'_>, String> {
    if !is_intact(record) {
        return Err("the checksum does not fit".to_owned());
    }
    if record[12] != KIND_BATCH {
        return Err(format!("kind={} is not known to this version", record[12]));
    }
    let signal = match record[13] {
        0 => Signal::Metrics,
        1 => Signal::Logs,
        2 => Signal::Traces,
        other => return Err(format!("signal={other} is not known to this version")),
    };
    let body = &record[HEADER_BYTES..];
    let (tenant, rest) = body.split_at_checked(usize::from(record[14])).ok_or("the tenant's name is cut")?;
    let tenant = std::str::from_utf8(tenant).map_err(|e| e.to_string())?;
    let tenant = TenantId::parse(tenant).map_err(|e| e.to_string())?;
    let (labels_bytes, block) = rest.split_first_chunk().ok_or("the size of the labels is cut")?;
    let labels_bytes = u32::from_le_bytes(*labels_bytes) as usize;
    if labels_bytes > MAX_RECORD_BYTES {
        return Err(format!("the labels are too large: bytes={labels_bytes}, at most {MAX_RECORD_BYTES}"));
    }
    Ok(Opened { tenant, signal, labels_bytes, block })
}

fn table(stream: &[u8], schema: &SchemaRef) -> Result<RecordBatch, String> {
    if stream.is_empty() {
        return Ok(RecordBatch::new_empty(Arc::clone(schema)));
    }
    let mut reader = StreamReader::try_new(stream, None).map_err(|e| e.to_string())?;
    let batch = reader.next().ok_or("a table has no rows")?.map_err(|e| e.to_string())?;
    if batch.schema_ref().fields() != schema.fields() {
        return Err("a table's columns are not those of this version".to_owned());
    }
    batch.with_schema(Arc::clone(schema)).map_err(|e| e.to_string())
}

fn tables(batch: &Batch) -> Vec<&RecordBatch> {
    match batch {
        Batch::Metrics(batch) => vec![&batch.series, &batch.samples, &batch.histograms, &batch.exemplars],
        Batch::Logs(batch) => vec![&batch.streams, &batch.entries],
        Batch::Traces(batch) => vec![&batch.spans],
    }
}

const fn signal_number(signal: Signal) -> u8 {
    match signal {
        Signal::Metrics => 0,
        Signal::Logs => 1,
        Signal::Traces => 2,
    }
}

fn checksum(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[4..8]), &record[12..])
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests;
