//! Which keys the attributes of a row group have: the dictionary of the column of keys, read once and kept.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use parquet::basic::{Encoding, PageType};
use parquet::column::page::{Page, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

use super::absent::is_absent;
use super::reader::{Footer, SegmentFile};
use crate::error::StorageError;

/// What an entry costs besides its text, about.
const ENTRY_BYTES: usize = 48;

/// The keys of a list of attributes in a row group; none where they are not known.
#[derive(Debug, Default)]
pub(crate) struct AttributeKeys(Option<HashSet<Box<str>>>);

impl AttributeKeys {
    /// Whether a row may have an attribute with the key.
    pub(crate) fn may_have(&self, key: &str) -> bool {
        self.0.as_ref().is_none_or(|keys| keys.contains(key))
    }

    /// All of them, where they are known.
    pub(crate) fn all(&self) -> Option<impl Iterator<Item = &str>> {
        Some(self.0.as_ref()?.iter().map(|key| &**key))
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.iter().flatten().map(|key| key.len() + ENTRY_BYTES).sum()
    }
}

impl SegmentFile {
    /// The keys of a column of attributes in a row group, from the cache where they are there.
    ///
    /// # Errors
    /// The store's; [`StorageError::Corrupt`] for what does not read back.
    pub(crate) async fn attribute_keys(
        &self,
        footer: &Footer,
        row_group: usize,
        list: &str,
    ) -> Result<Arc<AttributeKeys>, StorageError> {
        let columns = footer.parquet().file_metadata().schema_descr().columns();
        let leaf = columns.iter().position(|column| match column.path().parts() {
            [first, .., last] => first == list && last == "key",
            _ => false,
        });
        let leaf = leaf.ok_or_else(|| self.corrupt(format!("the column {list} is missing")))?;
        if let Some(keys) = self.cache.keys(&self.path, row_group, leaf) {
            return Ok(keys);
        }
        let column = footer.parquet().row_group(row_group).column(leaf);
        let keys = match dictionary_place(column) {
            _ if is_absent(column) => AttributeKeys(Some(HashSet::new())),
            Some(place) => {
                let bytes = self.data(&footer.blocks, std::slice::from_ref(&place)).await?.swap_remove(0);
                let piece = Arc::new(Piece { start: place.start, bytes });
                let read = || dictionary(column, piece).map_err(|error| self.corrupt(error));
                AttributeKeys(Some(self.decode(read)?))
            }
            None => AttributeKeys::default(),
        };
        let keys = Arc::new(keys);
        self.cache.put_keys(&self.path, row_group, leaf, &keys);
        Ok(keys)
    }
}

/// Where the dictionary lies; none where some values stand beside it.
fn dictionary_place(column: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let is_alone = match (column.page_encoding_stats_mask(), column.page_encoding_stats()) {
        (Some(mask), _) => mask.is_only(Encoding::RLE_DICTIONARY),
        (None, Some(pages)) => {
            let of_data = |page_type| matches!(page_type, PageType::DATA_PAGE | PageType::DATA_PAGE_V2);
            pages.iter().all(|p| !of_data(p.page_type) || p.encoding == Encoding::RLE_DICTIONARY)
        }
        (None, None) => false,
    };
    let start = u64::try_from(column.dictionary_page_offset()?).ok()?;
    let end = u64::try_from(column.data_page_offset()).ok()?;
    (is_alone && start < end).then_some(start..end)
}

/// The texts of a dictionary: each a length of 4 bytes, little-endian, and so many bytes.
fn dictionary(column: &ColumnChunkMetaData, piece: Arc<Piece>) -> Result<HashSet<Box<str>>, ParquetError> {
    let damaged = || ParquetError::General("a dictionary that does not read back".to_owned());
    let mut pages = SerializedPageReader::new(piece, column, 0, None)?;
    let Some(Page::DictionaryPage { mut buf, num_values, .. }) = pages.get_next_page()? else {
        return Err(damaged());
    };
    let mut texts = HashSet::new();
    for _ in 0..num_values {
        let len = usize::try_from(buf.try_get_u32_le().map_err(|_| damaged())?).map_err(|_| damaged())?;
        if len > buf.len() {
            return Err(damaged());
        }
        texts.insert(std::str::from_utf8(&buf.split_to(len)).map_err(|_| damaged())?.into());
    }
    Ok(texts)
}

/// A piece of a file, by its places in the file.
struct Piece {
    start: u64,
    bytes: Bytes,
}

impl Piece {
    fn from(&self, start: u64) -> Result<Bytes, ParquetError> {
        let at = start.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
        let at = at.filter(|at| *at <= self.bytes.len());
        at.map(|at| self.bytes.slice(at..)).ok_or_else(|| ParquetError::EOF("beyond the piece".to_owned()))
    }
}

impl Length for Piece {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Piece {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.from(start)?;
        if length > bytes.len() {
            return Err(ParquetError::EOF("beyond the piece".to_owned()));
        }
        Ok(bytes.slice(..length))
    }
}
