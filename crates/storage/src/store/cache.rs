//! Bytes of segments that were read from a store of others, kept in memory and on the disk: a decorator around the store
//! for objects that never change.
//!
//! Segments are cut into chunks of [`CHUNK_BYTES`]. Whoever wants a chunk that another one is fetching waits for that
//! one; neighbours that are missing are fetched with one request, and somebody who reads on gets some chunks ahead. All
//! else goes through as it is: other objects, and reads that begin or end elsewhere than at a byte.
//!
//! Not here: whether bytes are damaged. Checksums above say so, and ask again with [`Fresh`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::future::{BoxFuture, Shared, WeakShared};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use model::Clock;
use moka::sync::Cache;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

use self::ahead::Ahead;
use self::chunk::{Chunk, ChunkKey};
use self::disk::DiskTier;
use super::Fresh;
use crate::bounds::{CHUNK_BYTES, MAX_CACHED_PUT_BYTES, MAX_CACHED_RANGE_BYTES, MAX_FLIGHTS};
use crate::layout;
use crate::metrics::{CacheMetrics, Tier};

mod ahead;

pub(crate) mod chunk;

pub(crate) mod disk;

/// What a chunk in memory costs besides its bytes, about.
const ENTRY_BYTES: usize = 256;

/// What one fetch gives: the chunks that exist of those that were asked for.
type Fetched = std::result::Result<Arc<BTreeMap<u32, Chunk>>, Arc<Error>>;

type Flight = Shared<BoxFuture<'static, Fetched>>;

/// A store whose segments are cached.
#[derive(Debug)]
pub(crate) struct ByteCache {
    tiers: Arc<Tiers>,
}

/// Memory, disk, and the store behind them.
struct Tiers {
    store: Arc<dyn ObjectStore>,
    memory: Cache<ChunkKey, Chunk>,
    disk: Option<Arc<DiskTier>>,
    flights: Mutex<HashMap<ChunkKey, WeakShared<BoxFuture<'static, Fetched>>>>,
    ahead: Mutex<Ahead>,
    clock: Arc<dyn Clock>,
    metrics: CacheMetrics,
}

impl fmt::Debug for Tiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tiers").field("store", &self.store).finish_non_exhaustive()
    }
}

impl fmt::Display for ByteCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.tiers.store)
    }
}

/// An error of a fetch, for each of those that waited for it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Waited(#[source] Arc<Error>);

fn waited(error: Arc<Error>) -> Error {
    let path = match &*error {
        Error::NotFound { path, .. } => Some(path.clone()),
        _ => None,
    };
    let source = Box::new(Waited(error));
    match path {
        Some(path) => Error::NotFound { path, source },
        None => Error::Generic { store: "cache", source },
    }
}

impl ByteCache {
    /// A cache with so many bytes of memory, and a tier on the disk where there is one.
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        memory_bytes: u64,
        disk: Option<Arc<DiskTier>>,
        clock: Arc<dyn Clock>,
        metrics: CacheMetrics,
    ) -> Self {
        let weigher =
            |_: &ChunkKey, chunk: &Chunk| u32::try_from(chunk.bytes.len() + ENTRY_BYTES).unwrap_or(u32::MAX);
        let memory = Cache::builder().max_capacity(memory_bytes).weigher(weigher).build();
        let (flights, ahead) = (Mutex::default(), Mutex::default());
        Self { tiers: Arc::new(Tiers { store, memory, disk, flights, ahead, clock, metrics }) }
    }
}

/// The numbers of the chunks that hold a range.
fn chunks_of(range: &Range<u64>) -> Range<u32> {
    let number = |chunk: u64| u32::try_from(chunk).unwrap_or(u32::MAX);
    number(range.start / CHUNK_BYTES)..number(range.end.div_ceil(CHUNK_BYTES))
}

/// Runs of numbers that follow one another.
fn runs(numbers: impl IntoIterator<Item = u32>) -> Vec<Range<u32>> {
    let mut runs: Vec<Range<u32>> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(run) if run.end == number => run.end += 1,
            _ => runs.push(number..number + 1),
        }
    }
    runs
}

/// Whether the object is known to end before the chunk.
fn ends_before(chunks: &BTreeMap<u32, Chunk>, number: u32) -> bool {
    chunks.values().next().is_some_and(|chunk| chunk.object.size <= u64::from(number) * CHUNK_BYTES)
}

fn is_cached(path: &Path) -> bool {
    layout::is_segment(path)
}

impl Tiers {
    /// The parts of an object at the ranges, and what the store says of it.
    async fn read(
        self: &Arc<Self>,
        path: &Path,
        ranges: &[Range<u64>],
    ) -> Result<(Vec<Bytes>, Arc<ObjectMeta>)> {
        let wanted: BTreeSet<u32> = ranges.iter().flat_map(chunks_of).collect();
        let (mut chunks, flights) = self.board(path, wanted);

        let (starts, flights): (Vec<u32>, Vec<Flight>) = flights.into_iter().unzip();
        for (start, fetched) in starts.into_iter().zip(futures::future::join_all(flights).await) {
            match fetched {
                Ok(fetched) => chunks.extend(fetched.iter().map(|(number, chunk)| (*number, chunk.clone()))),
                // A run that begins beyond the object is refused by the store, and nobody misses it.
                Err(_) if ends_before(&chunks, start) => {}
                Err(error) => return Err(waited(error)),
            }
        }
        let Some(object) = chunks.values().next().map(|chunk| Arc::clone(&chunk.object)) else {
            return Err(beyond(path, ranges.first()));
        };
        let parts = ranges.iter().map(|range| part(path, range, object.size, &chunks));
        Ok((parts.collect::<Result<_>>()?, object))
    }

    /// What is in memory, and the fetches, new or under way, that bring the rest.
    fn board(
        self: &Arc<Self>,
        path: &Path,
        wanted: BTreeSet<u32>,
    ) -> (BTreeMap<u32, Chunk>, Vec<(u32, Flight)>) {
        let (mut chunks, mut joined, mut missing) =
            (BTreeMap::new(), Vec::<(u32, Flight)>::new(), BTreeSet::new());
        let ahead = self.ahead.lock().next(path, &wanted);
        let mut flights = self.flights.lock();
        for number in wanted {
            let key = ChunkKey::new(path, number);
            if let Some(chunk) = self.memory.get(&key) {
                self.metrics.hit(Tier::Memory, chunk.bytes.len());
                chunks.insert(number, chunk);
            } else if let Some(flight) = flights.get(&key).and_then(WeakShared::upgrade) {
                self.metrics.joined();
                if !joined.iter().any(|(_, other)| other.ptr_eq(&flight)) {
                    joined.push((number, flight));
                }
            } else {
                missing.insert(number);
            }
        }
        let (on_disk, mut remote): (BTreeSet<u32>, BTreeSet<u32>) = missing
            .into_iter()
            .partition(|number| self.disk.as_ref().is_some_and(|disk| disk.has(path, *number)));
        if remote.last().is_some_and(|last| last + 1 == ahead.start) {
            let is_absent = |number: &u32| {
                let key = ChunkKey::new(path, *number);
                !self.memory.contains_key(&key) && flights.get(&key).and_then(WeakShared::upgrade).is_none()
            };
            remote.extend(ahead.take_while(is_absent));
        }
        if flights.len() > MAX_FLIGHTS {
            flights.retain(|_, flight| flight.upgrade().is_some());
        }
        let on_disk = on_disk.into_iter().map(|number| (number..number + 1, true));
        for (run, is_on_disk) in on_disk.chain(runs(remote).into_iter().map(|run| (run, false))) {
            let flight = Arc::clone(self).fly(path.clone(), run.clone(), is_on_disk).boxed().shared();
            let start = run.start;
            for number in run {
                if let Some(weak) = flight.downgrade() {
                    flights.insert(ChunkKey::new(path, number), weak);
                }
            }
            joined.push((start, flight));
        }
        joined.sort_unstable_by_key(|(start, _)| *start);
        (chunks, joined)
    }

    /// Brings a run of chunks.
    async fn fly(self: Arc<Self>, path: Path, run: Range<u32>, is_on_disk: bool) -> Fetched {
        let mut found = None;
        if let Some(disk) = self.disk.as_ref().filter(|_| is_on_disk) {
            found = disk.read(&path, run.start).await.map(|chunk| BTreeMap::from([(run.start, chunk)]));
        }
        let fetched = match found {
            Some(chunks) => {
                chunks.values().for_each(|chunk| self.metrics.hit(Tier::Disk, chunk.bytes.len()));
                Ok(chunks)
            }
            None => self.fetch(&path, run.clone()).await,
        };
        if let Ok(chunks) = &fetched {
            for (number, chunk) in chunks {
                self.memory.insert(ChunkKey::new(&path, *number), chunk.clone());
            }
            self.metrics.memory_bytes(self.memory.weighted_size());
        }
        let mut flights = self.flights.lock();
        for number in run {
            flights.remove(&ChunkKey::new(&path, number));
        }
        fetched.map(Arc::new).map_err(Arc::new)
    }

    /// Asks the store for a run of chunks, with one request.
    async fn fetch(&self, path: &Path, run: Range<u32>) -> Result<BTreeMap<u32, Chunk>> {
        let range = u64::from(run.start) * CHUNK_BYTES..u64::from(run.end) * CHUNK_BYTES;
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let result = self.store.get_opts(path, options).await?;
        let (object, got) = (Arc::new(result.meta.clone()), result.range.clone());
        let bytes = result.bytes().await?;
        if bytes.len() as u64 != got.end - got.start {
            let reason = format!("the reply is cut: path=`{path}`, bytes={}, of={got:?}", bytes.len());
            return Err(Error::Generic { store: "cache", source: reason.into() });
        }
        let chunks = self.cut(path, run.start, &object, &bytes);
        self.metrics.fetched(chunks.len(), bytes.len());
        Ok(chunks)
    }

    /// Cuts bytes that begin at a chunk into chunks, which go to the disk too. Each has memory of its own, so that one of
    /// them does not hold all of them.
    fn cut(&self, path: &Path, first: u32, object: &Arc<ObjectMeta>, bytes: &Bytes) -> BTreeMap<u32, Chunk> {
        let mut chunks = BTreeMap::new();
        let pieces = bytes.chunks(usize::try_from(CHUNK_BYTES).unwrap_or(usize::MAX));
        for (number, piece) in (first..).zip(pieces) {
            let chunk = Chunk { bytes: Bytes::copy_from_slice(piece), object: Arc::clone(object) };
            if let Some(disk) = &self.disk {
                disk.write(path, number, &chunk);
            }
            chunks.insert(number, chunk);
        }
        chunks
    }

    /// Puts what was just written into the cache: it is asked for next.
    fn keep(&self, path: &Path, payload: &PutPayload, made: &PutResult) {
        let size = payload.content_length() as u64;
        if !is_cached(path) || size > MAX_CACHED_PUT_BYTES {
            return;
        }
        let object = Arc::new(ObjectMeta {
            location: path.clone(),
            last_modified: chunk::moment(self.clock.now().0 / 1_000_000),
            size,
            e_tag: made.e_tag.clone(),
            version: made.version.clone(),
        });
        let mut bytes = BytesMut::with_capacity(payload.content_length());
        payload.iter().for_each(|piece| bytes.extend_from_slice(piece));
        self.ahead.lock().kept(path, chunks_of(&(0..size)).end);
        for (number, chunk) in self.cut(path, 0, &object, &bytes.freeze()) {
            self.memory.insert(ChunkKey::new(path, number), chunk);
        }
        self.metrics.memory_bytes(self.memory.weighted_size());
    }

    /// Drops what there is of an object; one that is gone for good does not come back by a fetch that is under way.
    fn forget(&self, path: &Path, is_gone: bool) {
        let last = self.ahead.lock().forget(path);
        let known = self.disk.as_ref().and_then(|disk| disk.forget(path, is_gone));
        for number in 0..last.max(known.unwrap_or(0)) {
            self.memory.invalidate(&ChunkKey::new(path, number));
        }
    }
}

fn beyond(path: &Path, range: Option<&Range<u64>>) -> Error {
    let reason = format!("a range beyond the object: path=`{path}`, range={range:?}");
    Error::Generic { store: "cache", source: reason.into() }
}

/// One range out of chunks; what lies beyond the object is left off.
fn part(path: &Path, range: &Range<u64>, size: u64, chunks: &BTreeMap<u32, Chunk>) -> Result<Bytes> {
    let end = range.end.min(size);
    if range.start >= end {
        return if range.is_empty() { Ok(Bytes::new()) } else { Err(beyond(path, Some(range))) };
    }
    let numbers = chunks_of(&(range.start..end));
    let is_one = numbers.len() == 1;
    let mut bytes =
        BytesMut::with_capacity(if is_one { 0 } else { usize::try_from(end - range.start).unwrap_or(0) });
    for number in numbers {
        let start = u64::from(number) * CHUNK_BYTES;
        let within =
            |at: u64| usize::try_from(at.saturating_sub(start).min(CHUNK_BYTES)).unwrap_or(usize::MAX);
        let within = within(range.start)..within(end);
        let chunk = chunks.get(&number).filter(|chunk| chunk.bytes.len() >= within.end);
        let chunk = chunk.ok_or_else(|| beyond(path, Some(range)))?;
        if is_one {
            return Ok(chunk.bytes.slice(within));
        }
        bytes.extend_from_slice(&chunk.bytes[within]);
    }
    Ok(bytes.freeze())
}

/// The range of a read that the cache can answer.
fn plain_range(options: &GetOptions) -> Option<Range<u64>> {
    let GetOptions {
        if_match,
        if_none_match,
        if_modified_since,
        if_unmodified_since,
        range,
        version,
        head,
        ..
    } = options;
    let is_plain = if_match.is_none()
        && if_none_match.is_none()
        && if_modified_since.is_none()
        && if_unmodified_since.is_none()
        && version.is_none()
        && !head;
    match range {
        Some(GetRange::Bounded(range)) if is_plain => {
            let bytes = range.end.checked_sub(range.start)?;
            (bytes > 0 && bytes <= MAX_CACHED_RANGE_BYTES).then(|| range.clone())
        }
        _ => None,
    }
}

#[async_trait]
impl ObjectStore for ByteCache {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let made = self.tiers.store.put_opts(location, payload.clone(), opts).await?;
        self.tiers.keep(location, &payload, &made);
        Ok(made)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.tiers.store.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if !is_cached(location) {
            return self.tiers.store.get_opts(location, options).await;
        }
        if options.extensions.get::<Fresh>().is_some() {
            self.tiers.forget(location, false);
            return self.tiers.store.get_opts(location, options).await;
        }
        let Some(range) = plain_range(&options) else {
            return self.tiers.store.get_opts(location, options).await;
        };
        let (parts, object) = self.tiers.read(location, std::slice::from_ref(&range)).await?;
        let bytes = parts.into_iter().next().unwrap_or_default();
        let range = range.start..range.start + bytes.len() as u64;
        let stream = futures::stream::once(futures::future::ready(Ok(bytes))).boxed();
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream),
            meta: ObjectMeta::clone(&object),
            range,
            attributes: object_store::Attributes::default(),
        })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let bytes: u64 = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
        if ranges.is_empty() || bytes > MAX_CACHED_RANGE_BYTES || !is_cached(location) {
            return self.tiers.store.get_ranges(location, ranges).await;
        }
        Ok(self.tiers.read(location, ranges).await?.0)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let tiers = Arc::clone(&self.tiers);
        // Whatever comes of it: nobody reads it any more.
        let forgotten = locations.inspect(move |path| {
            if let Ok(path) = path {
                tiers.forget(path, true);
            }
        });
        self.tiers.store.delete_stream(forgotten.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.tiers.store.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.tiers.store.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.tiers.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.tiers.store.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests;
