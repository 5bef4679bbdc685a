//! What the engine relies on in an object store, checked on each kind of store: memory, a folder, S3 (moto), Azure Blob
//! (Azurite) and Google Cloud Storage (a server of our own). What only a network can do (lost replies, silence, servers
//! that are busy) is checked on the last three.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{StreamExt, TryStreamExt, stream};
use model::time::{ManualClock, TimestampNs};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    PutResult, Result,
};
use storage::{Patience, Store, StoreConfig, StoreParts};

use crate::emulators::{BUCKET, s3};

mod azure;

mod google;

mod proxy;

mod network;

/// Clients that race.
const RACERS: usize = 16;

/// Which kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Folder,
    S3,
    Azure,
    Google,
}

/// A store of its own for one test.
pub(crate) struct Subject {
    kind: Kind,
    config: StoreConfig,
    store: Store,
    folder: tempfile::TempDir,
}

/// Short waits, so that giving up is quick.
fn hasty() -> Patience {
    Patience {
        max_attempts: 4,
        connect_timeout_ms: 2_000,
        request_timeout_ms: 10_000,
        total_timeout_ms: 30_000,
        backoff_ms: 2,
        max_backoff_ms: 10,
    }
}

impl Kind {
    fn port(self) -> u16 {
        match self {
            Kind::S3 => s3().port,
            Kind::Azure => azure::azure().port,
            Kind::Google => google::google(),
            Kind::Memory | Kind::Folder => 0,
        }
    }

    /// The configuration of a place of its own, reached by the port.
    fn config(self, folder: &std::path::Path, port: u16) -> StoreConfig {
        static PLACES: AtomicUsize = AtomicUsize::new(0);
        let place = PLACES.fetch_add(1, Ordering::Relaxed);
        let below = format!("{BUCKET}/place {place}/ü");
        let url = match self {
            Kind::Memory => "memory://".to_owned(),
            Kind::Folder => folder.join("store").display().to_string(),
            Kind::S3 => format!("s3://{below}"),
            Kind::Azure => format!("az://{below}"),
            Kind::Google => format!("gs://{below}"),
        };
        let mut config = StoreConfig { patience: hasty(), ..StoreConfig::new(url) };
        let credentials = |text: &str| {
            let path = folder.join("credentials");
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        config.allow_http = port != 0;
        match self {
            Kind::S3 => {
                config.endpoint = Some(format!("http://127.0.0.1:{port}"));
                let text = "[default]\naws_access_key_id = test\naws_secret_access_key = test\n";
                config.credentials_file = credentials(text);
            }
            Kind::Azure => {
                let (account, key) = (azure::ACCOUNT, azure::KEY);
                let endpoint = format!("http://127.0.0.1:{port}/{account}");
                let text = format!("AccountName={account};AccountKey={key};BlobEndpoint={endpoint}\n");
                config.credentials_file = credentials(&text);
            }
            Kind::Google => {
                config.endpoint = Some(format!("http://127.0.0.1:{port}"));
                config.anonymous = true;
            }
            Kind::Memory | Kind::Folder => {}
        }
        config
    }
}

fn open(config: &StoreConfig) -> Store {
    let clock = Arc::new(ManualClock::new(TimestampNs(0)));
    Store::open(config, &StoreParts { clock, seed: 7, environment: Vec::new() }).unwrap()
}

impl Subject {
    pub(crate) fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = kind.config(folder.path(), kind.port());
        Self { kind, store: open(&config), config, folder }
    }

    pub(crate) fn objects(&self) -> Arc<dyn ObjectStore> {
        self.store.objects()
    }

    /// A client of its own to the same place; memory has one client.
    pub(crate) fn another(&self) -> Arc<dyn ObjectStore> {
        if self.kind == Kind::Memory { self.objects() } else { open(&self.config).objects() }
    }
}

async fn create(store: &dyn ObjectStore, path: &Path, text: impl Into<PutPayload>) -> Result<PutResult> {
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    store.put_opts(path, text.into(), options).await
}

async fn text(store: &dyn ObjectStore, path: &Path) -> String {
    let bytes = store.get(path).await.unwrap().bytes().await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn listed(store: &dyn ObjectStore, prefix: Option<&str>) -> Vec<String> {
    let prefix = prefix.map(Path::from);
    let metas: Vec<ObjectMeta> = store.list(prefix.as_ref()).try_collect().await.unwrap();
    let mut paths: Vec<String> = metas.into_iter().map(|meta| meta.location.to_string()).collect();
    paths.sort();
    paths
}

fn is_missing(result: &Result<impl Sized>) -> bool {
    matches!(result, Err(Error::NotFound { .. }))
}

fn is_taken(result: &Result<PutResult>) -> bool {
    matches!(result, Err(Error::AlreadyExists { .. }))
}

async fn of_many_creators_one_wins(subject: &Subject) {
    let clients: Vec<_> = (0..RACERS).map(|_| subject.another()).collect();
    for round in 0..5 {
        let path = Path::from(format!("tenants/a/logs/manifest/{round:020}.json"));
        let path = &path;
        let races = clients
            .iter()
            .enumerate()
            .map(|(racer, client)| async move { create(&**client, path, format!("racer {racer}")).await });
        let results = futures::future::join_all(races).await;
        let winners: Vec<usize> = (0..RACERS).filter(|racer| results[*racer].is_ok()).collect();
        assert_eq!(winners.len(), 1, "round {round}: {results:?}");
        assert_eq!(results.iter().filter(|result| is_taken(result)).count(), RACERS - 1, "{results:?}");
        assert_eq!(text(&*clients[0], path).await, format!("racer {}", winners[0]));
    }
}

async fn an_object_is_created_once_and_overwritten_only_when_that_is_meant(subject: &Subject) {
    let store = subject.objects();
    let path = Path::from("tenants/a/logs/manifest/1.json");
    create(&*store, &path, "one").await.unwrap();
    let again = create(&*store, &path, "two").await;
    assert!(is_taken(&again), "{again:?}");
    // The same bytes are no excuse.
    assert!(is_taken(&create(&*store, &path, "one").await));
    assert_eq!(text(&*store, &path).await, "one");
    store.put(&path, "three".into()).await.unwrap();
    assert_eq!(text(&*subject.another(), &path).await, "three");
    let meta = store.head(&path).await.unwrap();
    assert_eq!((meta.size, &meta.location), (5, &path));
    store.delete(&path).await.unwrap();
    create(&*store, &path, "four").await.unwrap();
    assert_eq!(text(&*store, &path).await, "four");
    let empty = Path::from("tenants/a/empty");
    create(&*store, &empty, "").await.unwrap();
    assert_eq!(text(&*store, &empty).await, "");
}

async fn listings_are_whole(subject: &Subject) {
    let store = subject.objects();
    let path =
        |number: usize| Path::from(format!("tenants/a/logs/segments/{:02}/{number:04}.parquet", number % 3));
    let puts = stream::iter(0..1_100).map(|number| {
        let (store, path) = (&store, path(number));
        async move { store.put(&path, "x".into()).await }
    });
    puts.buffer_unordered(16).try_collect::<Vec<_>>().await.unwrap();
    store.put(&Path::from("tenants/ab/logs/x"), "x".into()).await.unwrap();
    store.put(&Path::from("tenants/top"), "x".into()).await.unwrap();

    let all: BTreeSet<String> = listed(&*store, Some("tenants/a")).await.into_iter().collect();
    assert_eq!(all, (0..1_100).map(|number| path(number).to_string()).collect());
    assert_eq!(listed(&*store, None).await.len(), 1_102);
    assert_eq!(listed(&*store, Some("tenants/a/logs/segments/01")).await.len(), 367);
    assert!(listed(&*store, Some("tenants/absent")).await.is_empty());

    let offset = path(2);
    let prefix = Path::from("tenants/a/logs/segments");
    let after: Vec<ObjectMeta> = store.list_with_offset(Some(&prefix), &offset).try_collect().await.unwrap();
    let after: BTreeSet<String> = after.into_iter().map(|meta| meta.location.to_string()).collect();
    assert_eq!(after, all.iter().filter(|path| *path > &offset.to_string()).cloned().collect());

    let folders = store.list_with_delimiter(Some(&Path::from("tenants"))).await.unwrap();
    let names: BTreeSet<&str> = folders.common_prefixes.iter().map(AsRef::as_ref).collect();
    assert_eq!(names, BTreeSet::from(["tenants/a", "tenants/ab"]));
    assert_eq!(folders.objects.len(), 1);
    assert_eq!(folders.objects[0].location.as_ref(), "tenants/top");

    // Many are deleted with a few requests.
    let doomed = stream::iter((0..1_100).map(path).map(Ok).collect::<Vec<_>>()).boxed();
    let deleted: Vec<Path> = store.delete_stream(doomed).try_collect().await.unwrap();
    assert_eq!(deleted.len(), 1_100);
    assert_eq!(listed(&*store, None).await, ["tenants/ab/logs/x", "tenants/top"]);
}

async fn ranges_are_exact(subject: &Subject) {
    let store = subject.objects();
    let path = Path::from("tenants/a/logs/segments/x.parquet");
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    store.put(&path, bytes.clone().into()).await.unwrap();
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), bytes);
    for range in [0..1, 0..10, 2_999_999..3_000_000, 1_000..2_500_000, 0..3_000_000] {
        let got = store.get_range(&path, range.clone()).await.unwrap();
        assert!(got == bytes[range.start as usize..range.end as usize], "{range:?}");
    }
    let many = [5..10, 2_000_000..2_000_100, 7..8, 2_999_990..3_000_000];
    let got = store.get_ranges(&path, &many).await.unwrap();
    for (range, got) in many.iter().zip(got) {
        assert_eq!(got, bytes[range.start as usize..range.end as usize], "{range:?}");
    }
    let part = |range| GetOptions { range: Some(range), ..GetOptions::default() };
    let beyond = store.get_opts(&path, part(GetRange::Bounded(2_999_990..4_000_000))).await.unwrap();
    assert_eq!((beyond.range.clone(), beyond.meta.size), (2_999_990..3_000_000, 3_000_000));
    assert_eq!(beyond.bytes().await.unwrap(), bytes[2_999_990..]);
    let rest = store.get_opts(&path, part(GetRange::Offset(2_999_000))).await.unwrap();
    assert_eq!(rest.bytes().await.unwrap(), bytes[2_999_000..]);
    // Azure does not know how to count from the end; the engine knows each file's size.
    if subject.kind != Kind::Azure {
        let end = store.get_opts(&path, part(GetRange::Suffix(16))).await.unwrap();
        assert_eq!(end.bytes().await.unwrap(), bytes[2_999_984..]);
    }
    assert!(store.get_range(&path, 3_000_000..3_000_001).await.is_err());
    assert!(store.get_range(&path, 9_000_000..9_000_001).await.is_err());
}

async fn what_is_missing_is_said_to_be(subject: &Subject) {
    let store = subject.objects();
    let path = Path::from("tenants/a/logs/absent");
    assert!(is_missing(&store.get(&path).await));
    assert!(is_missing(&store.head(&path).await));
    assert!(is_missing(&store.get_range(&path, 0..1).await));
    let error = store.get(&path).await.unwrap_err().to_string();
    assert!(error.contains("tenants/a/logs/absent"), "{error}");
    // Deleting what is gone does no harm, alone and among others.
    let deleted = store.delete(&path).await;
    assert!(deleted.is_ok() || is_missing(&deleted), "{deleted:?}");
    let there = Path::from("tenants/a/logs/there");
    store.put(&there, "x".into()).await.unwrap();
    let doomed = stream::iter([path.clone(), there.clone()].map(Ok)).boxed();
    let results: Vec<Result<Path>> = store.delete_stream(doomed).collect().await;
    assert!(results.iter().all(|result| result.is_ok() || is_missing(result)), "{results:?}");
    assert!(is_missing(&store.head(&there).await));
}

async fn names_keep_their_characters(subject: &Subject) {
    let store = subject.objects();
    let names = [
        "a b",
        "ü-é-日本",
        "100%",
        "a+b=c&d",
        "q?x",
        "star*",
        "it's (fine)!",
        "per%20cent",
        "semi;colon,comma",
        "~tilde",
        "back\\slash",
        "<angle>",
        "hash#tag",
        "col:on",
        "quote\"d",
        "tab\tbed",
    ];
    let paths: BTreeSet<Path> =
        names.iter().map(|name| Path::from_iter(["tenants", name, "logs", *name])).collect();
    for path in &paths {
        create(&*store, path, path.to_string()).await.unwrap();
    }
    let metas: Vec<ObjectMeta> = store.list(Some(&Path::from("tenants"))).try_collect().await.unwrap();
    assert_eq!(metas.into_iter().map(|meta| meta.location).collect::<BTreeSet<_>>(), paths);
    for path in &paths {
        assert_eq!(text(&*store, path).await, path.to_string());
        store.delete(path).await.unwrap();
    }
    assert!(listed(&*store, None).await.is_empty());
}

async fn uploads_in_parts_are_all_or_nothing(subject: &Subject) {
    let store = subject.objects();
    let path = Path::from("tenants/a/logs/segments/big.parquet");
    let part = |fill: u8, bytes: usize| PutPayload::from(vec![fill; bytes]);
    let mut upload = store.put_multipart(&path).await.unwrap();
    let parts =
        [upload.put_part(part(1, 5 << 20)), upload.put_part(part(2, 5 << 20)), upload.put_part(part(3, 100))];
    for put in parts {
        put.await.unwrap();
    }
    assert!(is_missing(&store.head(&path).await), "nothing is there before the end");
    upload.complete().await.unwrap();
    let bytes = store.get(&path).await.unwrap().bytes().await.unwrap();
    assert_eq!(bytes.len(), (10 << 20) + 100);
    let is_right = |range: std::ops::Range<usize>, fill: u8| bytes[range].iter().all(|byte| *byte == fill);
    assert!(is_right(0..5 << 20, 1) && is_right(5 << 20..10 << 20, 2) && is_right(10 << 20..bytes.len(), 3));

    let path = Path::from("tenants/a/logs/segments/aborted.parquet");
    let mut upload = store.put_multipart(&path).await.unwrap();
    upload.put_part(part(1, 5 << 20)).await.unwrap();
    upload.abort().await.unwrap();
    assert!(is_missing(&store.head(&path).await));
    assert_eq!(listed(&*store, None).await, ["tenants/a/logs/segments/big.parquet"]);
}

async fn objects_are_copied(subject: &Subject) {
    let store = subject.objects();
    let (from, to) = (Path::from("tenants/a b/ü*"), Path::from("quarantine/tenants/a b/ü*"));
    store.put(&from, "damaged".into()).await.unwrap();
    store.copy(&from, &to).await.unwrap();
    assert_eq!(text(&*store, &to).await, "damaged");
    store.put(&from, "damaged again".into()).await.unwrap();
    store.copy(&from, &to).await.unwrap();
    assert_eq!(text(&*store, &to).await, "damaged again");
    let copied = store.copy(&Path::from("absent"), &to).await;
    assert!(is_missing(&copied), "{copied:?}");
    assert_eq!(text(&*store, &to).await, "damaged again");
}

async fn the_probe_is_content_and_leaves_one_object(subject: &Subject) {
    for _ in 0..3 {
        subject.store.probe().await.unwrap();
    }
    assert_eq!(listed(&*subject.objects(), None).await, ["probe/put-if-absent"]);
    assert!(subject.folder.path().exists());
}

macro_rules! contract {
    ($name:ident, $kind:expr, [$($check:ident),* $(,)?]) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $check() {
                    super::$check(&super::Subject::new($kind)).await;
                }
            )*
        }
    };
}

macro_rules! contracts {
    ($($name:ident: $kind:expr,)*) => {
        $(contract!($name, $kind, [
            of_many_creators_one_wins,
            an_object_is_created_once_and_overwritten_only_when_that_is_meant,
            listings_are_whole,
            ranges_are_exact,
            what_is_missing_is_said_to_be,
            names_keep_their_characters,
            uploads_in_parts_are_all_or_nothing,
            objects_are_copied,
            the_probe_is_content_and_leaves_one_object,
        ]);)*
    };
}

contracts! {
    memory: crate::store_contract::Kind::Memory,
    folder: crate::store_contract::Kind::Folder,
    s3: crate::store_contract::Kind::S3,
    azure_blob: crate::store_contract::Kind::Azure,
    google_storage: crate::store_contract::Kind::Google,
}
