//! A first look at few columns of a file, for the rows that are worth reading whole.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::StreamExt;

use crate::error::StorageError;
use crate::segment::reader::{Footer, SegmentFile};

/// The rows of the places that are wanted by what stands in the columns; `is_wanted` says it of each row of a batch, and
/// nothing where the columns are others.
///
/// # Errors
/// The store's; [`StorageError::Corrupt`] for what does not read back.
pub(crate) async fn wanted(
    file: &SegmentFile,
    footer: &Arc<Footer>,
    columns: impl IntoIterator<Item = usize>,
    places: &[Range<usize>],
    mut is_wanted: impl FnMut(&RecordBatch) -> Option<Vec<bool>>,
) -> Result<Vec<Range<usize>>, StorageError> {
    let mut rows = places.iter().cloned().flatten();
    let mut kept: Vec<Range<usize>> = Vec::new();
    let mut batches = file.rows(footer, columns, places);
    while let Some(batch) = batches.next().await.transpose()? {
        let mask = file.decode(|| is_wanted(&batch).ok_or_else(|| file.corrupt("columns of other types")))?;
        for is_wanted in mask {
            let row = rows.next().ok_or_else(|| file.corrupt("more rows than there are places"))?;
            match kept.last_mut().filter(|last| last.end == row) {
                _ if !is_wanted => {}
                Some(last) => last.end = row + 1,
                None => kept.push(row..row + 1),
            }
        }
    }
    Ok(kept)
}
