//! What is kept of segments between reads: footers, streams, columns of series, filters, keys. Bounded by bytes.

use std::fmt;
use std::sync::Arc;

use model::labels::Labels;
use moka::sync::Cache;
use object_store::path::Path;
use parquet::bloom_filter::Sbbf;
use xxhash_rust::xxh3::Xxh3Builder;

use super::columns::{Column, LABELS_BYTES, Part};
use super::filter::TokenFilter;
use super::keys::AttributeKeys;
use super::reader::Footer;
use super::series::Streams;
use super::texts::Listing;

/// What an entry costs besides its value, about.
const ENTRY_BYTES: usize = 256;

/// What the labels of a series take, about.
const SERIES_BYTES: usize = 256;

/// The part of the cache, one in so many, that one column of series or their labels may take: what is larger would push out
/// many others.
const LARGEST_PART: u64 = 16;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Footer,
    Streams,
    /// A column of a `series` file.
    Column(Part),
    /// The labels of a `series` file.
    Labels,
    /// The texts in columns of this name, of all files of a folder.
    Known(Box<str>),
    /// The token filters of a row group.
    TokenFilters(usize),
    /// The filter of a row group's ids.
    IdFilter(usize),
    /// The attributes' keys of a row group, by the column.
    Keys(usize, usize),
}

#[derive(Clone)]
enum Value {
    Footer(Arc<Footer>),
    Streams(Arc<Streams>),
    Column(Column),
    Labels(Arc<[Labels]>),
    Known(Arc<[Arc<str>]>),
    TokenFilters(Arc<[Option<TokenFilter>]>),
    IdFilter(Arc<Sbbf>),
    Keys(Arc<AttributeKeys>),
}

impl Value {
    fn bytes(&self) -> usize {
        ENTRY_BYTES
            + match self {
                Value::Footer(footer) => footer.bytes(),
                Value::Streams(streams) => streams.bytes(),
                Value::Column(column) => column.bytes(),
                Value::Labels(labels) => {
                    labels.iter().map(|labels| labels.as_bytes().len() + LABELS_BYTES).sum()
                }
                Value::TokenFilters(filters) => {
                    filters.iter().flatten().map(TokenFilter::bytes).sum::<usize>()
                        + size_of_val::<[Option<TokenFilter>]>(filters)
                }
                Value::Known(texts) => Listing::bytes(texts),
                Value::IdFilter(filter) => filter.num_blocks() * 32,
                Value::Keys(keys) => keys.bytes(),
            }
    }
}

/// Where the files of all days of a tenant's signal are.
fn folder(path: &Path) -> Path {
    let parts: Vec<_> = path.parts().collect();
    parts.iter().take(parts.len().saturating_sub(2)).cloned().collect()
}

/// The cache of one process.
pub(crate) struct SegmentCache {
    max_bytes: u64,
    values: Cache<(Path, Kind), Value, Xxh3Builder>,
}

impl fmt::Debug for SegmentCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentCache").field("bytes", &self.values.weighted_size()).finish_non_exhaustive()
    }
}

impl SegmentCache {
    /// A cache of at most so many bytes.
    pub(crate) fn new(max_bytes: u64) -> Self {
        let weigher = |_: &(Path, Kind), value: &Value| u32::try_from(value.bytes()).unwrap_or(u32::MAX);
        Self {
            max_bytes,
            values: Cache::builder()
                .max_capacity(max_bytes)
                .weigher(weigher)
                // The same every time: what is kept decides which requests the store sees.
                .build_with_hasher(Xxh3Builder::new()),
        }
    }

    /// What is in it now, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        usize::try_from(self.values.weighted_size()).unwrap_or(usize::MAX)
    }

    pub(super) fn footer(&self, path: &Path) -> Option<Arc<Footer>> {
        match self.values.get(&(path.clone(), Kind::Footer))? {
            Value::Footer(footer) => Some(footer),
            _ => None,
        }
    }

    pub(super) fn put_footer(&self, path: &Path, footer: &Arc<Footer>) {
        self.values.insert((path.clone(), Kind::Footer), Value::Footer(Arc::clone(footer)));
    }

    pub(super) fn streams(&self, path: &Path) -> Option<Arc<Streams>> {
        match self.values.get(&(path.clone(), Kind::Streams))? {
            Value::Streams(streams) => Some(streams),
            _ => None,
        }
    }

    pub(super) fn put_streams(&self, path: &Path, streams: &Arc<Streams>) {
        self.values.insert((path.clone(), Kind::Streams), Value::Streams(Arc::clone(streams)));
    }

    pub(super) fn column(&self, path: &Path, part: Part) -> Option<Column> {
        match self.values.get(&(path.clone(), Kind::Column(part)))? {
            Value::Column(column) => Some(column),
            _ => None,
        }
    }

    /// Keeps a column; no where it is too large.
    pub(super) fn put_column(&self, path: &Path, part: Part, column: &Column) -> bool {
        let is_kept = self.may_keep(column.bytes());
        if is_kept {
            self.values.insert((path.clone(), Kind::Column(part)), Value::Column(column.clone()));
        }
        is_kept
    }

    /// The texts, sorted and once each, that columns of a name have had in the files of this one's folder.
    pub(super) fn known(&self, path: &Path, name: &str) -> Option<Arc<[Arc<str>]>> {
        match self.values.get(&(folder(path), Kind::Known(name.into())))? {
            Value::Known(texts) => Some(texts),
            _ => None,
        }
    }

    /// Keeps these, or begins anew where they are too many.
    pub(super) fn put_known(&self, path: &Path, name: &str, texts: Arc<[Arc<str>]>) {
        let key = (folder(path), Kind::Known(name.into()));
        if self.may_keep(Listing::bytes(&texts)) {
            self.values.insert(key, Value::Known(texts));
        } else {
            self.values.invalidate(&key);
        }
    }

    fn may_keep(&self, bytes: usize) -> bool {
        bytes as u64 <= self.max_bytes / LARGEST_PART
    }

    /// Whether the labels of so many series are kept.
    pub(super) fn keeps_labels(&self, count: usize) -> bool {
        self.may_keep(count.saturating_mul(SERIES_BYTES))
    }

    pub(super) fn labels(&self, path: &Path) -> Option<Arc<[Labels]>> {
        match self.values.get(&(path.clone(), Kind::Labels))? {
            Value::Labels(labels) => Some(labels),
            _ => None,
        }
    }

    pub(super) fn put_labels(&self, path: &Path, labels: &Arc<[Labels]>) {
        self.values.insert((path.clone(), Kind::Labels), Value::Labels(Arc::clone(labels)));
    }

    pub(super) fn token_filters(&self, path: &Path, row_group: usize) -> Option<Arc<[Option<TokenFilter>]>> {
        match self.values.get(&(path.clone(), Kind::TokenFilters(row_group)))? {
            Value::TokenFilters(filters) => Some(filters),
            _ => None,
        }
    }

    pub(super) fn put_token_filters(&self, path: &Path, group: usize, filters: &Arc<[Option<TokenFilter>]>) {
        let key = (path.clone(), Kind::TokenFilters(group));
        self.values.insert(key, Value::TokenFilters(Arc::clone(filters)));
    }

    pub(super) fn id_filter(&self, path: &Path, row_group: usize) -> Option<Arc<Sbbf>> {
        match self.values.get(&(path.clone(), Kind::IdFilter(row_group)))? {
            Value::IdFilter(filter) => Some(filter),
            _ => None,
        }
    }

    pub(super) fn put_id_filter(&self, path: &Path, row_group: usize, filter: &Arc<Sbbf>) {
        self.values.insert((path.clone(), Kind::IdFilter(row_group)), Value::IdFilter(Arc::clone(filter)));
    }

    pub(super) fn keys(&self, path: &Path, row_group: usize, column: usize) -> Option<Arc<AttributeKeys>> {
        match self.values.get(&(path.clone(), Kind::Keys(row_group, column)))? {
            Value::Keys(keys) => Some(keys),
            _ => None,
        }
    }

    pub(super) fn put_keys(&self, path: &Path, row_group: usize, column: usize, keys: &Arc<AttributeKeys>) {
        self.values.insert((path.clone(), Kind::Keys(row_group, column)), Value::Keys(Arc::clone(keys)));
    }
}
