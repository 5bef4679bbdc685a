//! Which columns are read where: a list of attributes only in row groups that have one of the keys that are wanted.

use std::ops::Range;

use arrow::datatypes::Schema;

use super::prune;
use crate::error::StorageError;
use crate::segment::reader::{Footer, SegmentFile};

/// Places of a file and the columns to read there, a bit each.
pub(crate) type Piece = (u64, Vec<Range<usize>>);

/// Whether a column is among them.
pub(crate) const fn has(columns: u64, column: usize) -> bool {
    columns >> column & 1 == 1
}

/// The places, with the columns that are read there: those that are named, and each list of attributes where a row may have
/// the key that is named with it.
///
/// # Errors
/// The store's; [`StorageError::Corrupt`] for what does not read back.
pub(crate) async fn pieces(
    file: &SegmentFile,
    footer: &Footer,
    schema: &Schema,
    (columns, lists): (u64, &[(usize, String)]),
    places: Vec<Range<usize>>,
) -> Result<Vec<Piece>, StorageError> {
    if lists.is_empty() {
        return Ok(vec![(columns, places)]);
    }
    let mut pieces: Vec<Piece> = Vec::new();
    for (group, rows) in footer.row_groups().enumerate() {
        let of_group = prune::intersection(&places, std::slice::from_ref(&rows));
        if of_group.is_empty() {
            continue;
        }
        let mut read = columns;
        for (column, key) in lists {
            if !has(read, *column) {
                let keys = file.attribute_keys(footer, group, schema.field(*column).name()).await?;
                read |= u64::from(keys.may_have(key)) << column;
            }
        }
        match pieces.last_mut().filter(|(last, _)| *last == read) {
            Some((_, places)) => places.extend(of_group),
            None => pieces.push((read, of_group)),
        }
    }
    Ok(pieces)
}
