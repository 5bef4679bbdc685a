//! What is kept of segments between reads: footers, tables of series and streams, filters, keys. Bounded by bytes.

use std::fmt;
use std::sync::Arc;

use moka::sync::Cache;
use object_store::path::Path;
use parquet::bloom_filter::Sbbf;
use xxhash_rust::xxh3::Xxh3Builder;

use super::filter::TokenFilter;
use super::keys::AttributeKeys;
use super::reader::Footer;
use super::series::SegmentSeries;

/// What an entry costs besides its value, about.
const ENTRY_BYTES: usize = 256;

/// What a series takes in a table, about.
const SERIES_BYTES: usize = 512;

/// The part of the cache, one in so many, that one table of series may take.
const LARGEST_PART: u64 = 16;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Footer,
    Series,
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
    Series(Arc<SegmentSeries>),
    TokenFilters(Arc<[Option<TokenFilter>]>),
    IdFilter(Arc<Sbbf>),
    Keys(Arc<AttributeKeys>),
}

impl Value {
    fn bytes(&self) -> usize {
        ENTRY_BYTES
            + match self {
                Value::Footer(footer) => footer.bytes(),
                Value::Series(series) => series.bytes(),
                Value::TokenFilters(filters) => {
                    filters.iter().flatten().map(TokenFilter::bytes).sum::<usize>()
                        + size_of_val::<[Option<TokenFilter>]>(filters)
                }
                Value::IdFilter(filter) => filter.num_blocks() * 32,
                Value::Keys(keys) => keys.bytes(),
            }
    }
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

    /// Whether a table of so many series may be kept: one that takes much of the room would push out many others.
    pub(super) fn keeps_series(&self, count: usize) -> bool {
        (count * SERIES_BYTES) as u64 <= self.max_bytes / LARGEST_PART
    }

    pub(super) fn series(&self, path: &Path) -> Option<Arc<SegmentSeries>> {
        match self.values.get(&(path.clone(), Kind::Series))? {
            Value::Series(series) => Some(series),
            _ => None,
        }
    }

    pub(super) fn put_series(&self, path: &Path, series: &Arc<SegmentSeries>) {
        self.values.insert((path.clone(), Kind::Series), Value::Series(Arc::clone(series)));
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
