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
    let mut kept: Vec<Range<usize>> = Vec::new();
    let mut rest = places.iter().cloned();
    let mut place = 0..0;
    let mut batches = file.rows(footer, columns, places);
    while let Some(batch) = batches.next().await.transpose()? {
        let mask = file.decode(|| is_wanted(&batch).ok_or_else(|| file.corrupt("columns of other types")))?;
        for stretch in mask.chunk_by(|a, b| a == b) {
            let mut rows = stretch.len();
            while rows > 0 {
                if place.is_empty() {
                    place = rest.next().ok_or_else(|| file.corrupt("more rows than there are places"))?;
                }
                let end = place.end.min(place.start + rows);
                rows -= end - place.start;
                match kept.last_mut().filter(|last| last.end == place.start) {
                    _ if !stretch[0] => {}
                    Some(last) => last.end = end,
                    None => kept.push(place.start..end),
                }
                place.start = end;
            }
        }
    }
    Ok(kept)
}
