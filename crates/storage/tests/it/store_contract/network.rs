//! What stores of others must bear: lost requests and replies, silence, servers that are busy, replies that break off.

use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutPayload};
use storage::{Store, StoreConfig};

use super::proxy::{Fault, Plan, Proxy};
use super::{Kind, create, hasty, is_missing, is_taken, listed, open, text};

/// A store behind a line that can be made bad.
struct Line {
    proxy: Proxy,
    config: StoreConfig,
    store: Store,
    _folder: tempfile::TempDir,
}

impl Line {
    async fn new(kind: Kind) -> Self {
        Self::with(kind, |_| {}).await
    }

    async fn with(kind: Kind, change: impl FnOnce(&mut StoreConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let proxy = Proxy::before(kind.port()).await;
        let mut config = kind.config(folder.path(), proxy.address.port());
        change(&mut config);
        Self { proxy, store: open(&config), config, _folder: folder }
    }

    fn plan(&self, method: &'static str, contains: &'static str, fault: Fault, times: usize) {
        self.proxy.plan(Plan { method, contains, fault, times });
    }

    fn requests(&self) -> usize {
        self.proxy.lines().len()
    }
}

const REMOTE: [Kind; 3] = [Kind::S3, Kind::Azure, Kind::Google];

const PATH: &str = "tenants/acme/logs/manifest/1.json";

/// What every error of the store says.
fn check_words(error: &Error, kind: Kind, operation: &str, path: &str, attempts: usize) {
    let scheme = match kind {
        Kind::S3 => "s3",
        Kind::Azure => "az",
        _ => "gs",
    };
    let text = error.to_string();
    let words = [
        &format!("store={scheme}"),
        &format!("{operation} did not succeed"),
        &path.to_owned(),
        &format!("attempts={attempts}"),
    ];
    for word in words {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains("test\n") && !text.contains(super::azure::KEY), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_whose_reply_was_lost_succeeded() {
    for kind in REMOTE {
        let line = Line::new(kind).await;
        let store = line.store.objects();
        let path = Path::from(PATH);
        for fault in [Fault::LostReply, Fault::LostRequest, Fault::Status(503)] {
            line.plan("PUT", "manifest", fault, 2);
            create(&*store, &path, "ours").await.unwrap();
            assert_eq!(text(&*store, &path).await, "ours");
            store.delete(&path).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_another_won_is_lost_whatever_the_line_does() {
    for kind in REMOTE {
        let line = Line::new(kind).await;
        let store = line.store.objects();
        let path = Path::from(PATH);
        // As long as ours, and longer.
        for theirs in ["them", "theirs"] {
            create(&*store, &path, theirs).await.unwrap();
            for fault in [Fault::LostReply, Fault::LostRequest, Fault::Status(500)] {
                line.plan("PUT", "manifest", fault, 1);
                let result = create(&*store, &path, "ours").await;
                assert!(is_taken(&result), "{kind:?} {fault:?}: {result:?}");
                assert_eq!(text(&*store, &path).await, theirs);
            }
            store.delete(&path).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_does_not_answer_is_asked_a_few_times_and_the_error_says_so() {
    for kind in REMOTE {
        let line = Line::new(kind).await;
        let store = line.store.objects();
        let path = Path::from(PATH);
        for fault in [Fault::Status(503), Fault::Status(429), Fault::LostRequest] {
            line.plan("", "", fault, usize::MAX);
            check_words(&store.get(&path).await.unwrap_err(), kind, "get", PATH, 4);
            assert_eq!(line.requests(), 4, "{kind:?} {fault:?}");
            line.plan("", "", fault, usize::MAX);
            check_words(&create(&*store, &path, "x").await.unwrap_err(), kind, "put", PATH, 4);
            assert_eq!(line.requests(), 4, "{kind:?} {fault:?}");
            line.plan("", "", fault, usize::MAX);
            let listed = store.list_with_delimiter(Some(&Path::from("tenants"))).await;
            check_words(&listed.unwrap_err(), kind, "list", "tenants", 4);
            assert_eq!(line.requests(), 4, "{kind:?} {fault:?}");
            line.plan("", "", fault, usize::MAX);
            check_words(&store.delete(&path).await.unwrap_err(), kind, "delete", PATH, 4);
            assert_eq!(line.requests(), 4, "{kind:?} {fault:?}");
            line.plan("", "", fault, 3);
            create(&*store, &path, "there at last").await.unwrap();
            assert_eq!(text(&*store, &path).await, "there at last");
            line.plan("", "", fault, 3);
            assert_eq!(listed_of(&*store).await, [PATH]);
            line.plan("", "", fault, 3);
            store.delete(&path).await.unwrap();
            assert!(listed_of(&*store).await.is_empty());
        }
    }
}

async fn listed_of(store: &dyn ObjectStore) -> Vec<String> {
    listed(store, Some("tenants")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_not_asked_for_again() {
    for kind in REMOTE {
        let line = Line::new(kind).await;
        let store = line.store.objects();
        let path = Path::from(PATH);
        for (status, is_as_wanted) in [
            (404, (|error| matches!(error, Error::NotFound { .. })) as fn(&Error) -> bool),
            (403, |error| matches!(error, Error::PermissionDenied { .. })),
            (401, |error| matches!(error, Error::Unauthenticated { .. })),
            (416, |error| matches!(error, Error::Generic { .. })),
            (400, |error| matches!(error, Error::Generic { .. })),
        ] {
            line.plan("", "", Fault::Status(status), usize::MAX);
            let error = store.get(&path).await.unwrap_err();
            assert!(is_as_wanted(&error), "{status}: {error:?}");
            check_words(&error, kind, "get", PATH, 1);
            assert_eq!(line.requests(), 1, "{kind:?} {status}");
        }
        // A range beyond the end is an answer too.
        line.plan("PATCH", "", Fault::Silence, 0);
        create(&*store, &path, "0123456789").await.unwrap();
        line.plan("PATCH", "", Fault::Silence, 0);
        store.get_range(&path, 20..30).await.unwrap_err();
        assert_eq!(line.requests(), 1, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_ends_after_the_time_that_a_request_has() {
    for kind in REMOTE {
        let line = Line::with(kind, |config| config.patience.request_timeout_ms = 150).await;
        let store = line.store.objects();
        let path = Path::from(PATH);
        line.plan("", "", Fault::Silence, usize::MAX);
        check_words(&store.get(&path).await.unwrap_err(), kind, "get", PATH, 4);
        assert_eq!(line.requests(), 4);
        line.plan("", "", Fault::Silence, 1);
        create(&*store, &path, "x").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_breaks_off_is_read_on() {
    for kind in REMOTE {
        let line = Line::new(kind).await;
        let store = line.store.objects();
        let path = Path::from("tenants/acme/logs/segments/x.parquet");
        let bytes: Vec<u8> =
            (0..500_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        store.put(&path, bytes.clone().into()).await.unwrap();
        for cut in [0, 1, 100_000, 499_999] {
            line.plan("GET", "segments", Fault::CutReply(cut), 2);
            assert!(store.get(&path).await.unwrap().bytes().await.unwrap() == bytes, "{kind:?} {cut}");
            line.plan("GET", "segments", Fault::CutReply(cut), 2);
            assert!(
                store.get_range(&path, 1_000..400_000).await.unwrap() == bytes[1_000..400_000],
                "{kind:?} {cut}"
            );
        }
        line.plan("GET", "segments", Fault::CutReply(1_000), usize::MAX);
        let broken = store.get(&path).await.unwrap().bytes().await.unwrap_err();
        check_words(&broken, kind, "get", "segments/x.parquet", 4);
        line.plan("HEAD", "", Fault::CutReply(0), 0);
        // Another object of that name is not read on.
        let got = store.get(&path).await.unwrap();
        store.put(&path, vec![0; 500_000].into()).await.unwrap();
        assert_eq!(got.bytes().await.unwrap().len(), 500_000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_of_an_upload_is_tried_again_by_itself() {
    for kind in REMOTE {
        let line = Line::new(kind).await;
        let store = line.store.objects();
        let path = Path::from("tenants/acme/logs/segments/big.parquet");
        let (part_of, whole) = match kind {
            Kind::Azure => ("comp=block&", "comp=blocklist"),
            _ => ("partNumber=", "uploadId="),
        };
        for (fault, is_last) in [
            (Fault::LostReply, false),
            (Fault::Status(503), false),
            (Fault::LostReply, true),
            (Fault::Status(500), true),
        ] {
            let mut upload = store.put_multipart(&path).await.unwrap();
            if !is_last {
                line.plan("PUT", part_of, fault, 2);
            }
            for fill in [1_u8, 2] {
                let part = PutPayload::from(vec![fill; if fill == 1 { 5 << 20 } else { 10 }]);
                upload.put_part(part).await.unwrap();
            }
            if is_last {
                line.plan(if kind == Kind::Azure { "PUT" } else { "POST" }, whole, fault, 2);
            }
            upload.complete().await.unwrap();
            let bytes = store.get(&path).await.unwrap().bytes().await.unwrap();
            assert_eq!(
                (bytes.len(), bytes[0], bytes[bytes.len() - 1]),
                ((5 << 20) + 10, 1, 2),
                "{kind:?} {fault:?}"
            );
            store.delete(&path).await.unwrap();
        }
        let mut upload = store.put_multipart(&path).await.unwrap();
        line.plan("PUT", part_of, Fault::Status(503), usize::MAX);
        let failed = upload.put_part(vec![1; 10].into()).await.unwrap_err();
        check_words(&failed, kind, "put_part", "segments/big.parquet", 4);
        line.plan("PATCH", "", Fault::Silence, 0);
        assert!(upload.complete().await.is_err(), "a part is missing");
        upload.abort().await.unwrap();
        assert!(is_missing(&store.head(&path).await));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_overlooks_the_condition_is_refused_at_the_start() {
    // Azurite would refuse the signature that no longer fits.
    for kind in [Kind::S3, Kind::Google] {
        let line = Line::new(kind).await;
        line.plan("PUT", "", Fault::Unconditional, usize::MAX);
        let error = line.store.probe().await.unwrap_err().to_string();
        assert!(error.contains("put-if-absent") && error.contains("upgrade the server"), "{error}");
        assert!(error.contains(&line.config.url), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_not_there_is_an_error_that_says_what_to_look_at() {
    for kind in REMOTE {
        // A port that nobody listens on.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let config = kind.config(folder.path(), free);
        let error = open(&config).probe().await.unwrap_err().to_string();
        assert!(error.contains("can be reached") && error.contains("attempts=4"), "{error}");

        let line = Line::with(kind, |config| config.patience = hasty()).await;
        for (status, hint) in
            [(404, "bucket"), (403, "credentials must allow"), (401, "check the credentials")]
        {
            line.plan("", "", Fault::Status(status), usize::MAX);
            let error = line.store.probe().await.unwrap_err().to_string();
            assert!(error.contains(hint), "{status}: {error}");
        }
    }
}
