//! The cache gives what the store has, asks it as seldom as it can, and keeps nothing of what is gone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::time::{ManualClock, TimestampNs};
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, PutMode};
use proptest::prelude::*;

use super::*;
use crate::disk::SystemDisk;
use crate::runtime::{Runtime, Tokio};

/// A store that counts what it is asked, and is slow enough that readers meet.
#[derive(Debug, Default)]
struct Counting {
    inner: InMemory,
    gets: AtomicUsize,
    bytes: AtomicUsize,
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("counting")
    }
}

#[async_trait]
impl ObjectStore for Counting {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(5)).await;
        let result = self.inner.get_opts(location, options).await?;
        self.bytes.fetch_add((result.range.end - result.range.start) as usize, Ordering::Relaxed);
        Ok(result)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

const SEGMENT: &str = "tenants/acme/logs/segments/2026-01-31/01J9Z3W6E8R4T2Y0V7X5A1B3C9.parquet";

/// Tokio, and how much of the work that it was given is not done yet.
#[derive(Clone, Debug, Default)]
struct Watched(Arc<AtomicUsize>);

impl Runtime for Watched {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        Tokio.spawn(task);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        let left = Arc::clone(&self.0);
        left.fetch_add(1, Ordering::SeqCst);
        Tokio.spawn_blocking(Box::new(move || {
            work();
            left.fetch_sub(1, Ordering::SeqCst);
        }));
    }

    fn spawn_thread(&self, name: &str, task: BoxFuture<'static, ()>) -> std::io::Result<()> {
        Tokio.spawn_thread(name, task)
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Tokio.sleep(time)
    }
}

struct Rig {
    runtime: Watched,
    store: Arc<Counting>,
    folder: tempfile::TempDir,
    metrics: CacheMetrics,
}

impl Rig {
    async fn new(bytes: &[u8]) -> Self {
        let store = Arc::new(Counting::default());
        store.inner.put(&Path::from(SEGMENT), bytes.to_vec().into()).await.unwrap();
        let runtime = Watched::default();
        Self { runtime, store, folder: tempfile::tempdir().unwrap(), metrics: CacheMetrics::default() }
    }

    /// A cache on the folder, whose files have been found.
    async fn open(&self, memory_bytes: u64, disk_bytes: u64) -> ByteCache {
        let (disk, runtime) = (Arc::new(SystemDisk), Arc::new(self.runtime.clone()));
        let folder = self.folder.path().join("cache");
        let tier = DiskTier::open(folder, disk_bytes, disk, runtime, self.metrics.clone());
        let tier = (disk_bytes > 0).then_some(tier);
        self.settle().await;
        let clock = Arc::new(ManualClock::new(TimestampNs(1_769_860_800_000_000_000)));
        ByteCache::new(Arc::clone(&self.store) as _, memory_bytes, tier, clock, self.metrics.clone())
    }

    /// Lets what runs on other threads end.
    async fn settle(&self) {
        while self.runtime.0.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn gets(&self) -> usize {
        self.store.gets.swap(0, Ordering::Relaxed)
    }

    fn files(&self) -> Vec<std::path::PathBuf> {
        let Ok(shards) = std::fs::read_dir(self.folder.path().join("cache")) else { return Vec::new() };
        let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
        files.map(|file| file.unwrap().path()).collect()
    }
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

const MIB: usize = 1 << 20;

#[tokio::test]
async fn what_was_read_is_not_asked_for_again_and_neighbours_come_together() {
    let bytes = pattern(5 * MIB + 17);
    let rig = Rig::new(&bytes).await;
    let cache = rig.open(64 << 20, 0).await;
    let path = Path::from(SEGMENT);
    let read = async |range: Range<usize>| {
        let got = cache.get_range(&path, range.start as u64..range.end as u64).await.unwrap();
        assert!(got == bytes[range.clone()], "{range:?}");
    };
    read(10..20).await;
    read(0..MIB).await;
    assert_eq!(rig.gets(), 1, "one chunk");
    read(3 * MIB - 1..5 * MIB + 17).await;
    assert_eq!(rig.gets(), 1, "a run of chunks with one request");
    read(0..5 * MIB + 17).await;
    assert_eq!(rig.gets(), 1, "the chunk that was missing");
    read(0..5 * MIB + 17).await;
    let many = [0..5, 4_000_000..4_000_001, 2 * MIB as u64 - 3..2 * MIB as u64 + 3];
    let parts = cache.get_ranges(&path, &many).await.unwrap();
    for (range, part) in many.iter().zip(parts) {
        assert!(part == bytes[range.start as usize..range.end as usize]);
    }
    assert_eq!(rig.gets(), 0);
}

#[tokio::test]
async fn ends_are_those_of_the_store() {
    let bytes = pattern(MIB + 100);
    let rig = Rig::new(&bytes).await;
    let cache = rig.open(64 << 20, 0).await;
    let path = Path::from(SEGMENT);
    let part = |range| GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
    for round in 0..2 {
        let end = MIB as u64 + 100;
        let got = cache.get_opts(&path, part(end - 10..end + 10)).await.unwrap();
        assert_eq!((got.range.clone(), got.meta.size), (end - 10..end, end), "{round}");
        assert_eq!(got.bytes().await.unwrap(), bytes[bytes.len() - 10..]);
        assert!(cache.get_range(&path, end..end + 1).await.is_err());
        assert!(cache.get_range(&path, end * 9..end * 9 + 1).await.is_err());
    }
    let absent = Path::from(SEGMENT.replace("01J9", "01J8"));
    assert!(matches!(cache.get_range(&absent, 0..1).await, Err(Error::NotFound { .. })));
    assert_eq!(cache.head(&path).await.unwrap().size, MIB as u64 + 100);
    assert_eq!(cache.get(&path).await.unwrap().bytes().await.unwrap(), bytes);
}

#[tokio::test]
async fn readers_of_one_chunk_wait_for_one_request_and_share_its_failure() {
    let rig = Rig::new(&pattern(3 * MIB)).await;
    let cache = rig.open(64 << 20, 0).await;
    let path = Path::from(SEGMENT);
    let reads = (0..20).map(|at| cache.get_range(&path, at * 100..at * 100 + 100));
    assert!(futures::future::join_all(reads).await.into_iter().all(|read| read.is_ok()));
    assert_eq!(rig.gets(), 1);
    let absent = Path::from(SEGMENT.replace("01J9", "01J8"));
    let reads = (0..20).map(|_| cache.get_range(&absent, 0..100));
    let reads = futures::future::join_all(reads).await;
    assert!(reads.iter().all(|read| matches!(read, Err(Error::NotFound { .. }))), "{reads:?}");
    assert_eq!(rig.gets(), 1);
    // A failure is not kept.
    rig.store.inner.put(&absent, "there now".into()).await.unwrap();
    assert_eq!(cache.get_range(&absent, 0..5).await.unwrap(), "there");

    // Who goes away leaves the others what was begun.
    let path = Path::from(SEGMENT);
    let mut first = Box::pin(cache.get_range(&path, 2 * MIB as u64..2 * MIB as u64 + 1));
    assert!(futures::poll!(&mut first).is_pending());
    drop(first);
    assert!(cache.get_range(&path, 2 * MIB as u64..2 * MIB as u64 + 1).await.is_ok());
}

#[tokio::test]
async fn who_reads_on_is_fetched_ahead_for() {
    let bytes = pattern(30 * MIB);
    let rig = Rig::new(&bytes).await;
    let cache = rig.open(256 << 20, 0).await;
    let path = Path::from(SEGMENT);
    for at in 0..30 {
        let start = (at * MIB) as u64;
        let got = cache.get_range(&path, start..start + MIB as u64).await.unwrap();
        assert!(got == bytes[at * MIB..(at + 1) * MIB]);
    }
    let gets = rig.gets();
    assert!(gets <= 8, "{gets} requests for 30 chunks in order");
    assert_eq!(rig.store.bytes.load(Ordering::Relaxed), 30 * MIB, "nothing twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_remembers_what_memory_has_lost_and_a_restart_too() {
    let bytes = pattern(3 * MIB + 5);
    let rig = Rig::new(&bytes).await;
    let path = Path::from(SEGMENT);
    for round in 0..3 {
        // Hardly any memory: everything comes from the disk.
        let cache = rig.open(1, 64 << 20).await;
        assert!(cache.get_range(&path, 0..3 * MIB as u64 + 5).await.unwrap() == bytes);
        rig.settle().await;
        assert!(cache.get_range(&path, 5..3 * MIB as u64).await.unwrap() == bytes[5..3 * MIB]);
        assert_eq!(rig.gets(), usize::from(round == 0), "round {round}");
        assert_eq!(rig.files().len(), 4);
    }
    rig.open(1, 0).await;
    rig.settle().await;
    assert!(rig.files().is_empty(), "a cache that is switched off leaves nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_tier_stays_within_its_bytes() {
    let rig = Rig::new(&pattern(9 * MIB)).await;
    let path = Path::from(SEGMENT);
    let cache = rig.open(1, 3 << 20).await;
    for at in [0, 4, 2, 7, 0, 8, 5, 3] {
        let start = at * MIB as u64;
        cache.get_range(&path, start..start + 10).await.unwrap();
        rig.settle().await;
        let sizes: u64 = rig.files().iter().map(|file| file.metadata().unwrap().len()).sum();
        assert!(sizes <= 3 << 20, "{sizes}");
    }
    assert_eq!(rig.files().len(), 2, "a chunk and its head are a little more than a third");
    drop(cache);
    rig.open(1, 1 << 21).await;
    rig.settle().await;
    assert_eq!(rig.files().len(), 1, "less room than before");
}

#[tokio::test(flavor = "multi_thread")]
async fn torn_and_foreign_files_are_never_served() {
    let bytes = pattern(4 * MIB);
    let rig = Rig::new(&bytes).await;
    let path = Path::from(SEGMENT);
    let cache = rig.open(1, 64 << 20).await;
    cache.get_range(&path, 0..4 * MIB as u64).await.unwrap();
    rig.settle().await;
    let mut files = rig.files();
    files.sort();
    assert_eq!(files.len(), 4);
    // Cut, flipped, swapped with another, and gone.
    let third = std::fs::read(&files[2]).unwrap();
    std::fs::write(&files[0], &std::fs::read(&files[0]).unwrap()[..1_000]).unwrap();
    let mut flipped = std::fs::read(&files[1]).unwrap();
    flipped[500_000] ^= 1;
    std::fs::write(&files[1], flipped).unwrap();
    std::fs::write(&files[2], std::fs::read(&files[3]).unwrap()).unwrap();
    std::fs::remove_file(&files[3]).unwrap();
    std::fs::write(files[0].with_extension("new"), "half of one").unwrap();
    rig.gets();
    let cache = rig.open(1, 64 << 20).await;
    assert!(cache.get_range(&path, 0..4 * MIB as u64).await.unwrap() == bytes);
    assert!(rig.gets() > 0);
    rig.settle().await;
    assert!(cache.get_range(&path, 0..4 * MIB as u64).await.unwrap() == bytes);
    assert_eq!(rig.gets(), 0, "what was bad has been replaced");
    assert_eq!(std::fs::read(&files[2]).unwrap(), third);
    assert_eq!(rig.files().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_leaves_memory_and_disk() {
    let bytes = pattern(2 * MIB + 1);
    let rig = Rig::new(&bytes).await;
    let path = Path::from(SEGMENT);
    let cache = rig.open(64 << 20, 64 << 20).await;
    cache.get_range(&path, 0..2 * MIB as u64 + 1).await.unwrap();
    rig.settle().await;
    assert_eq!(rig.files().len(), 3);
    cache.delete(&path).await.unwrap();
    rig.settle().await;
    assert!(rig.files().is_empty());
    for at in [0, MIB as u64, 2 * MIB as u64] {
        let got = cache.get_range(&path, at..at + 1).await;
        assert!(matches!(got, Err(Error::NotFound { .. })), "{at}: {got:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_read_drops_what_was_cached() {
    let rig = Rig::new(&pattern(MIB)).await;
    let path = Path::from(SEGMENT);
    let cache = rig.open(64 << 20, 64 << 20).await;
    cache.get_range(&path, 0..100).await.unwrap();
    rig.settle().await;
    rig.gets();
    let mut options = GetOptions { range: Some(GetRange::Bounded(0..100)), ..GetOptions::default() };
    options.extensions.insert(Fresh);
    cache.get_opts(&path, options).await.unwrap().bytes().await.unwrap();
    assert_eq!(rig.gets(), 1);
    rig.settle().await;
    assert!(rig.files().is_empty());
    cache.get_range(&path, 0..100).await.unwrap();
    assert_eq!(rig.gets(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_just_written_is_there_and_other_objects_are_left_alone() {
    let rig = Rig::new(&[]).await;
    let cache = rig.open(64 << 20, 64 << 20).await;
    let path = Path::from(SEGMENT.replace("01J9", "01J7"));
    let bytes = pattern(MIB + 10);
    let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    cache.put_opts(&path, bytes.clone().into(), create.clone()).await.unwrap();
    assert!(cache.get_range(&path, 0..MIB as u64 + 10).await.unwrap() == bytes);
    assert_eq!(rig.gets(), 0);
    assert!(cache.put_opts(&path, "other".into(), create).await.is_err());
    assert!(cache.get_range(&path, 0..10).await.unwrap() == bytes[..10]);
    cache.delete(&path).await.unwrap();
    assert!(cache.get_range(&path, 0..10).await.is_err());

    let manifest = Path::from("tenants/acme/logs/manifest/00000000000000000001.json");
    for text in ["one", "two"] {
        cache.put(&manifest, text.into()).await.unwrap();
        assert_eq!(cache.get_range(&manifest, 0..3).await.unwrap(), text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_reads_in_any_order_give_the_bytes(
        size in 0..3 * MIB as u64 + 5,
        reads in prop::collection::vec((0..3 * MIB as u64, 1..MIB as u64 * 2), 1..12),
        memory in prop::sample::select(vec![1_u64, 2 << 20, 64 << 20]),
    ) {
        let bytes = pattern(size as usize);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let rig = Rig::new(&bytes).await;
            let cache = rig.open(memory, 0).await;
            let path = Path::from(SEGMENT);
            for pair in reads.chunks(3) {
                let ranges = pair.iter().map(|(start, length)| *start..start + length);
                let results = ranges.clone().map(|range| cache.get_range(&path, range));
                for (range, got) in ranges.clone().zip(futures::future::join_all(results).await) {
                    match got {
                        Ok(got) => assert!(got == bytes[range.start as usize..range.end.min(size) as usize]),
                        Err(_) => assert!(range.start >= size, "{range:?} of {size}"),
                    }
                }
            }
        });
    }
}
