//! What a query asks of the store: no listing, no manifest, and few reads, the first time and again; with a cache of bytes
//! hardly any.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use model::trace::{SpanFields, TraceBatchBuilder};
use model::{AttributeRef, Batch, Matcher, Signal, TenantContext, TimeRange};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use storage::read::{LogColumns, LogScan, TraceIds, TraceScan};
use storage::{ByteCacheSettings, Storage};

use crate::fixture::{NOW_NS, World, batch, write};

/// A store that writes down what it is asked.
#[derive(Debug, Default)]
struct Witness {
    inner: InMemory,
    asked: Mutex<Vec<String>>,
}

impl Witness {
    fn note(&self, what: &str, path: Option<&Path>) {
        self.asked.lock().push(format!("{what} {}", path.map_or("", AsRef::as_ref)));
    }

    /// What it was asked since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock())
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("witness")
    }
}

#[async_trait]
impl ObjectStore for Witness {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.note("put", Some(location));
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.note("upload", Some(location));
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.note(if options.head { "head" } else { "get" }, Some(location));
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.note("delete", None);
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.note("list", prefix);
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.note("list", prefix);
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.note("copy", Some(from));
        self.inner.copy_opts(from, to, options).await
    }
}

const SOURCES: u8 = 60;

/// Something of each source: a series, a stream or a trace.
fn of_source(signal: Signal, source: u8, numbers: std::ops::Range<i64>) -> Batch {
    if signal != Signal::Traces {
        return batch(signal, &format!("source {source}"), numbers);
    }
    let mut builder = TraceBatchBuilder::default();
    for number in numbers {
        builder.resource_attribute("service.name", AttributeRef::String("shop"));
        builder.span(SpanFields {
            trace_id: [source; 16],
            span_id: (number + 1).to_be_bytes(),
            name: "work",
            start_ns: NOW_NS + number,
            duration_ns: 5,
            ..SpanFields::default()
        });
    }
    Batch::Traces(builder.finish())
}

/// Reads what there is of one source; how many rows.
async fn read_one(storage: &Storage, ctx: &TenantContext, signal: Signal, source: u8) -> usize {
    let matcher = [Matcher::equal("source", &format!("source {source}"))];
    let batches: Vec<RecordBatch> = match signal {
        Signal::Metrics => {
            let set = storage.metrics(ctx, TimeRange::ALL).await.unwrap().select(&matcher).await.unwrap();
            set.samples(0..set.labels().len(), TimeRange::ALL).try_collect().await.unwrap()
        }
        Signal::Logs => {
            let set = storage.logs(ctx, TimeRange::ALL).await.unwrap().select(&matcher).await.unwrap();
            let columns = LogColumns::ALL;
            let scan = LogScan { range: TimeRange::ALL, needles: Vec::new(), columns };
            set.entries(0..set.labels().len(), scan).try_collect().await.unwrap()
        }
        Signal::Traces => {
            let id = [source; 16];
            let trace_ids = TraceIds::Range { first: id, last: id };
            let scan = TraceScan { trace_ids, range: TimeRange::ALL, service: None };
            storage.traces(ctx, TimeRange::ALL).await.unwrap().scan(scan).try_collect().await.unwrap()
        }
    };
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// A world with three segments of each signal, of many sources each.
async fn filled(witness: &Arc<Witness>) -> World {
    let world = World::on(Arc::clone(witness) as _);
    let storage = world.open().await;
    let ctx = world.context("acme");
    for segment in 0..3 {
        for signal in Signal::ALL {
            for source in 1..=SOURCES {
                let numbers = segment * 50..segment * 50 + 50;
                write(&storage, &ctx, of_source(signal, source, numbers)).await;
            }
        }
        storage.flush().await.unwrap();
    }
    drop(storage);
    world
}

/// Files of segments that a query of the signal may touch.
async fn files(world: &World, signal: Signal) -> usize {
    world.objects(&format!("/{}/segments/", signal.as_str())).await.len()
}

/// The reads of segments; anything else must not be among what was asked.
fn reads(asked: &[String], when: &str) -> usize {
    let is_read = |asked: &String| asked.starts_with("get ") && asked.contains("/segments/");
    assert!(asked.iter().all(is_read), "{when}: {asked:#?}");
    asked.len()
}

#[tokio::test]
async fn a_query_lists_nothing_reads_no_manifest_and_touches_few_ranges() {
    let witness = Arc::new(Witness::default());
    let world = filled(&witness).await;
    for signal in Signal::ALL {
        // Another engine for each signal, so that nothing is known of any file.
        let storage = world.open().await;
        let ctx = world.context("acme");
        let files = files(&world, signal).await;
        witness.asked();
        assert_eq!(read_one(&storage, &ctx, signal, 7).await, 150);
        let cold = reads(&witness.asked(), "cold");
        assert!(cold <= 3 * files, "{signal}: {cold} reads of {files} files");
        assert_eq!(read_one(&storage, &ctx, signal, 7).await, 150);
        let warm = reads(&witness.asked(), "warm");
        assert!(warm < cold && warm <= files, "{signal}: {warm} reads of {files} files");
        // What a new segment brings is known without asking.
        write(&storage, &ctx, of_source(signal, 7, 150..160)).await;
        storage.flush().await.unwrap();
        witness.asked();
        assert_eq!(read_one(&storage, &ctx, signal, 7).await, 160);
        let grown = reads(&witness.asked(), "with one segment more");
        assert!(grown <= warm + 6, "{signal}: {grown}");
        drop(storage);
    }
}

#[tokio::test]
async fn with_a_cache_of_bytes_a_file_is_fetched_once_and_a_restart_finds_it_on_the_disk() {
    let witness = Arc::new(Witness::default());
    let mut world = filled(&witness).await;
    world.settings.read.byte_cache = ByteCacheSettings { memory_bytes: 64 << 20, disk_bytes: 64 << 20 };
    // So small that what was decoded is not kept.
    world.settings.read.cache_bytes = 1;
    let mut all_files = 0;
    for round in 0..3 {
        let storage = world.open().await;
        let ctx = world.context("acme");
        if round > 0 {
            world.until(|| world.metric(&storage, "stella_cache_size_bytes") > 0.0).await;
        }
        for signal in Signal::ALL {
            let files = files(&world, signal).await;
            witness.asked();
            for _ in 0..2 {
                assert_eq!(read_one(&storage, &ctx, signal, 9).await, 150);
            }
            let reads = reads(&witness.asked(), "cached");
            let most = if round == 0 { files } else { 0 };
            assert!(reads <= most, "round {round}, {signal}: {reads} reads of {files} files");
            all_files += usize::from(round == 0) * files;
        }
        drop(storage);
        on_disk(&world, all_files).await;
    }
    // Without a cache nothing of it stays.
    world.settings.read.byte_cache = ByteCacheSettings::default();
    let storage = world.open().await;
    on_disk(&world, 0).await;
    drop(storage);
}

/// Waits until there are so many files in the cache.
async fn on_disk(world: &World, wanted: usize) {
    let count = || {
        let shards = std::fs::read_dir(world.settings.data_dir.join("cache")).unwrap();
        shards.map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().count()).sum::<usize>()
    };
    for _ in 0..2_000 {
        if count() == wanted {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("{} files in the cache, not {wanted}", count());
}
