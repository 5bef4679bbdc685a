//! What decoding rows of a file takes, by what its footer says of the columns and their pages: estimates, made before a byte
//! is read. And in how many parts rows are read, so that it does not take too much.

use std::ops::Range;

use parquet::arrow::ProjectionMask;
use parquet::basic::Type;
use parquet::file::metadata::ColumnChunkMetaData;

use super::reader::Footer;
use crate::bounds::{MIN_READ_BATCH_ROWS, READ_BATCH_ROWS, SAMPLE_PAGE_ROWS};
use crate::read::prune;

/// Batches that the bytes of a part have at most, about: the rest of a row group is read when they are decoded.
const PART_BATCHES: usize = 2;

/// What an offset of a text or a list takes when it is decoded.
const OFFSET_BYTES: usize = 4;

/// A row group, and places in it.
pub(super) type InGroup = (usize, Vec<Range<usize>>);

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
    /// What reading the columns of the mask takes in the row groups, each with the wanted rows as places in it, in batches
    /// of about so many bytes.
    pub(super) fn of(footer: &Footer, groups: &[InGroup], mask: &ProjectionMask, batch_bytes: usize) -> Self {
        let mut widest = 1;
        for (group, _) in groups {
            let decoded: usize = columns(footer, *group, mask).map(|(_, column)| decoded_bytes(column)).sum();
            let rows = size(footer.parquet().row_group(*group).num_rows());
            widest = widest.max(decoded.div_ceil(rows.max(1)));
        }
        let batch_rows = (batch_bytes / widest).clamp(MIN_READ_BATCH_ROWS, READ_BATCH_ROWS);
        let of_group = |(group, wanted): &InGroup| {
            let columns = columns(footer, *group, mask);
            columns.map(|(leaf, column)| Pages::of(footer, *group, leaf, column).bytes(wanted)).sum()
        };
        let encoded: usize = groups.iter().map(of_group).max().unwrap_or(0);
        // A batch has rows of one row group.
        let wanted = groups.iter().map(|(_, wanted)| wanted.iter().map(Range::len).sum::<usize>());
        let most_rows = wanted.max().unwrap_or(0).min(batch_rows);
        Self { batch_rows, row_bytes: widest, held_bytes: encoded + 2 * most_rows.saturating_mul(widest) }
    }
}

/// The columns of the mask in a row group.
fn columns<'a>(
    footer: &'a Footer,
    group: usize,
    mask: &'a ProjectionMask,
) -> impl Iterator<Item = (usize, &'a ColumnChunkMetaData)> {
    let all = footer.parquet().row_group(group).columns().iter().enumerate();
    all.filter(|(leaf, _)| mask.leaf_included(*leaf))
}

/// Places of a file as parts that are read one after the other, so that the bytes of one of them are not many more than those
/// of some batches; a page is the least. Row groups that are small enough stay in one part.
pub(super) fn parts(
    footer: &Footer,
    places: &[Range<usize>],
    mask: &ProjectionMask,
    batch_bytes: usize,
) -> Vec<Vec<Range<usize>>> {
    let most = batch_bytes.saturating_mul(PART_BATCHES);
    let mut parts: Vec<Vec<Range<usize>>> = vec![Vec::new()];
    for (group, rows) in footer.row_groups().enumerate() {
        let of_group = prune::intersection(places, std::slice::from_ref(&rows));
        if of_group.is_empty() {
            continue;
        }
        let encoded: usize =
            columns(footer, group, mask).map(|(_, column)| size(column.compressed_size())).sum();
        let widest = columns(footer, group, mask).max_by_key(|(_, column)| column.compressed_size());
        let starts = match widest {
            Some((leaf, column)) if encoded > most => Pages::of(footer, group, leaf, column).starts,
            _ => Vec::new(),
        };
        let share = |pages: &Range<usize>| scaled(encoded, pages.len(), rows.len());
        let mut piece = rows.start..rows.start;
        for end in starts.into_iter().skip(1).map(|start| rows.start + start).chain([rows.end]) {
            if !piece.is_empty() && share(&(piece.start..end)) > most {
                parts.push(prune::intersection(&of_group, std::slice::from_ref(&piece)));
                parts.push(Vec::new());
                piece.start = piece.end;
            }
            piece.end = end;
        }
        let last = prune::intersection(&of_group, std::slice::from_ref(&piece));
        parts.last_mut().expect("there is one at the least").extend(last);
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// The pages of a column in a row group.
struct Pages {
    /// The rows at which they begin; none where that is not known.
    starts: Vec<usize>,
    /// The bytes of each.
    packed: Vec<usize>,
    rows: usize,
    all_packed: usize,
    /// What a column that is being decoded holds: its dictionary and a page.
    open: usize,
}

impl Pages {
    fn of(footer: &Footer, group: usize, leaf: usize, column: &ColumnChunkMetaData) -> Self {
        let index = footer.parquet().offset_index().and_then(|groups| groups.get(group)?.get(leaf));
        let pages = index.map(|index| index.page_locations().as_slice()).unwrap_or_default();
        let (packed, whole) = (size(column.compressed_size()), size(column.uncompressed_size()));
        let dictionary = match column.dictionary_page_offset() {
            Some(start) => scaled(size(column.data_page_offset() - start), whole, packed).min(whole),
            None => 0,
        };
        let count = match pages.len() {
            0 => size(column.num_values()).div_ceil(SAMPLE_PAGE_ROWS).max(1),
            count => count,
        };
        Self {
            starts: pages.iter().map(|page| size(page.first_row_index)).collect(),
            packed: pages.iter().map(|page| size(i64::from(page.compressed_page_size))).collect(),
            rows: size(footer.parquet().row_group(group).num_rows()),
            all_packed: packed,
            open: dictionary + (whole - dictionary) / count,
        }
    }

    /// What reading the rows at the places takes: the bytes of their pages, and what decodes them.
    fn bytes(&self, wanted: &[Range<usize>]) -> usize {
        if self.starts.is_empty() {
            let rows = wanted.iter().map(Range::len).sum::<usize>() + SAMPLE_PAGE_ROWS;
            return scaled(self.all_packed, rows.min(self.rows), self.rows) + self.open;
        }
        let ends = self.starts.iter().skip(1).copied().chain([self.rows]);
        let pages = self.starts.iter().zip(ends).zip(&self.packed);
        let is_wanted = |start: usize, end: usize| {
            let first = wanted.partition_point(|place| place.end <= start);
            wanted.get(first).is_some_and(|place| place.start < end)
        };
        let of_pages = pages.filter(|((start, end), _)| is_wanted(**start, *end)).map(|(_, packed)| packed);
        of_pages.sum::<usize>() + self.open
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
