//! The Bloom filter that Parquet keeps of a column of ids in a row group, read once and kept. Not that of lines: see
//! [`super::filter`].

use std::ops::Range;
use std::sync::Arc;

use parquet::bloom_filter::Sbbf;

use super::reader::{Footer, SegmentFile};
use crate::error::StorageError;

impl SegmentFile {
    /// The Bloom filter of a row group's ids, which lies at the place, from the cache where it is there.
    ///
    /// # Errors
    /// The store's; [`StorageError::Corrupt`] for what is not a filter.
    pub(crate) async fn id_filter(
        &self,
        footer: &Footer,
        row_group: usize,
        place: Range<u64>,
    ) -> Result<Arc<Sbbf>, StorageError> {
        if let Some(filter) = self.cache.id_filter(&self.path, row_group) {
            return Ok(filter);
        }
        let bytes = self.data(&footer.blocks, std::slice::from_ref(&place)).await?.swap_remove(0);
        let filter = self.decode(|| Sbbf::from_bytes(&bytes).map_err(|error| self.corrupt(error)))?;
        if filter.num_blocks() == 0 {
            return Err(self.corrupt("a filter without blocks"));
        }
        let filter = Arc::new(filter);
        self.cache.put_id_filter(&self.path, row_group, &filter);
        Ok(filter)
    }
}
