//! The engine on buckets: what was written is read by the engine that wrote it, by the next one on its folder, and by
//! others that share the bucket; with and without a cache of bytes.

use futures::TryStreamExt;
use model::limits::Retention;
use model::time::NS_PER_S;
use model::{Signal, TenantContext};
use object_store::{ObjectMeta, ObjectStore};
use storage::{ByteCacheSettings, Storage};

use crate::fixture::{World, batch, lines, write};
use crate::store_contract::{Kind, Subject};

const TENANTS: [&str; 2] = ["acme", "a-B_9.!*'()"];

/// A node with a folder of its own on the bucket.
fn node(subject: &Subject, cache_bytes: u64) -> World {
    let mut world = World::on(subject.another());
    world.settings.read.byte_cache = ByteCacheSettings { memory_bytes: cache_bytes, disk_bytes: cache_bytes };
    world
}

async fn write_all(storage: &Storage, ctx: &TenantContext, source: &str, numbers: std::ops::Range<i64>) {
    for signal in Signal::ALL {
        write(storage, ctx, batch(signal, source, numbers.clone())).await;
    }
}

async fn check(world: &World, storage: &Storage, tenant: &str, wanted: &[String]) {
    for signal in Signal::ALL {
        assert_eq!(world.read(storage, tenant, signal).await, wanted, "{tenant} {signal}");
    }
}

fn both(one: Vec<String>, other: Vec<String>) -> Vec<String> {
    let mut lines = [one, other].concat();
    lines.sort();
    lines
}

async fn what_was_written_is_read_by_every_node(kind: Kind, cache_bytes: u64) {
    let subject = Subject::new(kind);
    let first = node(&subject, cache_bytes);
    let storage = first.open().await;
    for tenant in TENANTS {
        write_all(&storage, &first.context(tenant), tenant, 0..30).await;
    }
    storage.flush().await.unwrap();
    write_all(&storage, &first.context(TENANTS[0]), TENANTS[0], 30..40).await;
    check(&first, &storage, TENANTS[0], &lines(TENANTS[0], 0..40)).await;
    drop(storage);

    // As after kill -9: the log has what the bucket has not.
    let storage = first.open().await;
    check(&first, &storage, TENANTS[0], &lines(TENANTS[0], 0..40)).await;
    check(&first, &storage, TENANTS[1], &lines(TENANTS[1], 0..30)).await;

    // Another node sees what is in the bucket when it opens, and what others commit when it commits itself.
    let second = node(&subject, cache_bytes);
    let other = second.open().await;
    check(&second, &other, TENANTS[0], &lines(TENANTS[0], 0..30)).await;
    write_all(&other, &second.context(TENANTS[0]), "second", 0..5).await;
    check(&second, &other, TENANTS[0], &both(lines(TENANTS[0], 0..30), lines("second", 0..5))).await;
    storage.flush().await.unwrap();
    other.flush().await.unwrap();
    let all = both(lines(TENANTS[0], 0..40), lines("second", 0..5));
    check(&second, &other, TENANTS[0], &all).await;
    write_all(&storage, &first.context(TENANTS[0]), TENANTS[0], 40..41).await;
    storage.flush().await.unwrap();
    check(&first, &storage, TENANTS[0], &both(lines(TENANTS[0], 0..41), lines("second", 0..5))).await;
    check(&first, &storage, TENANTS[1], &lines(TENANTS[1], 0..30)).await;
}

async fn what_has_expired_leaves_the_bucket(kind: Kind) {
    const HOUR_NS: i64 = 3_600 * NS_PER_S;
    let subject = Subject::new(kind);
    let mut world = node(&subject, 16 << 20);
    let period = Some(2 * HOUR_NS);
    world.limits.retention = Retention { metrics_ns: period, logs_ns: period, traces_ns: period };
    let storage = world.open().await;
    write_all(&storage, &world.context("acme"), "old", 0..10).await;
    storage.flush().await.unwrap();
    check(&world, &storage, "acme", &lines("old", 0..10)).await;
    world.clock.advance_ns(3 * HOUR_NS);
    check(&world, &storage, "acme", &[]).await;
    // Out of the manifest, seen by the sweep, and gone.
    for _ in 0..3 {
        storage.retain().await.unwrap();
        world.clock.advance_ns(HOUR_NS);
    }
    let left: Vec<ObjectMeta> = subject.objects().list(None).try_collect().await.unwrap();
    let is_segment = |meta: &&ObjectMeta| meta.location.as_ref().contains("/segments/");
    let segments: Vec<_> = left.iter().filter(is_segment).collect();
    assert!(segments.is_empty(), "{segments:?}");
    assert_eq!(storage.retain().await.unwrap().expired_bytes_present, 0);
}

macro_rules! on_buckets {
    ($($name:ident: $kind:expr,)*) => {
        $(mod $name {
            use crate::store_contract::Kind;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn what_was_written_is_read_by_every_node() {
                super::what_was_written_is_read_by_every_node($kind, 0).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn what_was_written_is_read_by_every_node_through_caches() {
                super::what_was_written_is_read_by_every_node($kind, 16 << 20).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn what_has_expired_leaves_the_bucket() {
                super::what_has_expired_leaves_the_bucket($kind).await;
            }
        })*
    };
}

on_buckets! {
    folder: Kind::Folder,
    s3: Kind::S3,
    azure_blob: Kind::Azure,
    google_storage: Kind::Google,
}
