//! What decoding rows of a file takes, by what its footer says of the columns: estimates, made before a byte is read.

use std::ops::Range;

use parquet::arrow::ProjectionMask;
use parquet::basic::Type;
use parquet::file::metadata::ColumnChunkMetaData;

use super::reader::Footer;
use crate::bounds::{MIN_READ_BATCH_ROWS, READ_BATCH_ROWS, SAMPLE_PAGE_ROWS};

/// What an offset of a text or a list takes when it is decoded.
const OFFSET_BYTES: usize = 4;

/// What a read of rows takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    /// Rows of a batch, so that it is of a bounded size when it is decoded.
    pub(super) batch_rows: usize,
    /// What a row takes when it is decoded, where rows are the largest.
    pub(super) row_bytes: usize,
    /// Bytes that are held at once: those of a row group, what decodes them, a batch and the one before it.
    pub(super) held_bytes: usize,
}

impl Cost {
    /// What reading the columns of the mask takes in the row groups, each with the place of the wanted rows, in batches of
    /// about so many bytes.
    pub(super) fn of(
        footer: &Footer,
        groups: &[(usize, Range<usize>)],
        mask: &ProjectionMask,
        batch_bytes: usize,
    ) -> Self {
        let mut widest = 1;
        for (group, _) in groups {
            let group = footer.parquet().row_group(*group);
            let columns = group.columns().iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf));
            let decoded: usize = columns.map(|(_, column)| decoded_bytes(column)).sum();
            widest = widest.max(decoded.div_ceil(size(group.num_rows()).max(1)));
        }
        let batch_rows = (batch_bytes / widest).clamp(MIN_READ_BATCH_ROWS, READ_BATCH_ROWS);
        let of_group = |(group, wanted): &(usize, Range<usize>)| {
            let group = footer.parquet().row_group(*group);
            let rows = size(group.num_rows()).max(1);
            let wanted = (wanted.len() + SAMPLE_PAGE_ROWS).min(rows);
            let columns = group.columns().iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf));
            columns
                .map(|(_, column)| scaled(size(column.compressed_size()), wanted, rows) + open_bytes(column))
                .sum()
        };
        let encoded: usize = groups.iter().map(of_group).max().unwrap_or(0);
        Self { batch_rows, row_bytes: widest, held_bytes: encoded + 2 * batch_rows.saturating_mul(widest) }
    }
}

/// Bytes of the file, with what is not a size as nothing.
fn size(bytes: i64) -> usize {
    usize::try_from(bytes).unwrap_or(0)
}

fn scaled(bytes: usize, part: usize, whole: usize) -> usize {
    usize::try_from(bytes as u128 * part as u128 / whole.max(1) as u128).unwrap_or(usize::MAX)
}

/// What all values of a column take when they are decoded.
fn decoded_bytes(column: &ColumnChunkMetaData) -> usize {
    let values = size(column.num_values());
    let width = match column.column_type() {
        Type::BOOLEAN => 1,
        Type::INT32 | Type::FLOAT => 4,
        Type::INT64 | Type::DOUBLE => 8,
        Type::INT96 => 12,
        Type::FIXED_LEN_BYTE_ARRAY => size(i64::from(column.column_descr().type_length())),
        Type::BYTE_ARRAY => {
            let texts = column.unencoded_byte_array_data_bytes();
            return size(texts.unwrap_or_else(|| column.uncompressed_size())) + values * OFFSET_BYTES;
        }
    };
    values * width
}

/// What a column that is being decoded holds: its dictionary and a page.
fn open_bytes(column: &ColumnChunkMetaData) -> usize {
    let (packed, whole) = (size(column.compressed_size()), size(column.uncompressed_size()));
    let dictionary = match column.dictionary_page_offset() {
        Some(start) => scaled(size(column.data_page_offset() - start), whole, packed).min(whole),
        None => 0,
    };
    let pages = size(column.num_values()).div_ceil(SAMPLE_PAGE_ROWS).max(1);
    dictionary + (whole - dictionary) / pages
}
