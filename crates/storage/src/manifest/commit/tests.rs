//! Races, lost replies and damaged versions.

use std::collections::HashSet;

use object_store::ObjectStoreExt;
use object_store::memory::InMemory;

use super::*;
use crate::manifest::{PartMeta, SegmentMeta, WalPosition};
use crate::segment::blocks::Checksum;

fn manifests(store: &Arc<InMemory>) -> Manifests {
    Manifests {
        store: Arc::clone(store) as Arc<dyn ObjectStore>,
        tenant: TenantId::parse("acme").unwrap(),
        signal: Signal::Logs,
        metrics: Arc::default(),
    }
}

fn segment(number: usize) -> SegmentMeta {
    SegmentMeta {
        id: format!("01J9Z3W6E8R4T2Y0V7X5A{number:05}"),
        day: "2026-01-31".to_owned(),
        start_ns: 1,
        end_ns: 2,
        rows: 3,
        level: 0,
        after: None,
        cleared: 0,
        looked: None,
        cleared_also: Vec::new(),
        parts: vec![PartMeta {
            name: String::new(),
            bytes: 10,
            rows: 3,
            tail_bytes: 8,
            tail_xxh3: Checksum(1),
        }],
    }
}

fn adding(number: usize) -> impl Fn(&mut Manifest) -> Change + Send + Sync {
    move |manifest| {
        if manifest.segments.contains(&segment(number)) {
            return Change::Nothing;
        }
        manifest.segments.push(segment(number));
        Change::Changed
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_committers_each_change_is_kept_once() {
    let store = Arc::new(InMemory::new());
    let empty = Arc::new(manifests(&store).load().await.unwrap());
    let committers = (0..8).map(|number| {
        let (manifests, empty) = (manifests(&store), Arc::clone(&empty));
        tokio::spawn(async move {
            let mut current = empty;
            for step in 0..4 {
                let transaction = format!("transaction-{number}-{step}");
                let apply = adding(number * 10 + step);
                current = manifests.commit(current, &transaction, &apply).await.unwrap();
            }
        })
    });
    futures::future::try_join_all(committers).await.unwrap();
    let newest = manifests(&store).load().await.unwrap();
    assert_eq!(newest.version, 32);
    let ids: HashSet<&str> = newest.segments.iter().map(|segment| segment.id.as_str()).collect();
    assert_eq!(ids.len(), 32);
}

#[tokio::test]
async fn a_transaction_that_is_tried_again_is_known_by_its_name() {
    let store = Arc::new(InMemory::new());
    let manifests = manifests(&store);
    let empty = Arc::new(manifests.load().await.unwrap());
    let first = manifests.commit(Arc::clone(&empty), "one", &adding(1)).await.unwrap();
    manifests.commit(first, "two", &adding(2)).await.unwrap();
    // As after a reply that was lost: the committer still stands at the empty state.
    let again = manifests.commit(empty, "one", &adding(1)).await.unwrap();
    assert_eq!((again.version, again.segments.len()), (2, 2));
}

#[tokio::test]
async fn who_stood_still_while_versions_were_swept_commits_to_the_newest_all_the_same() {
    for stands_at in [0, 2] {
        let store = Arc::new(InMemory::new());
        let manifests = manifests(&store);
        let mut current = Arc::new(manifests.load().await.unwrap());
        let mut stale = Arc::clone(&current);
        for number in 1..=20 {
            current = manifests.commit(current, &format!("t{number}"), &adding(number)).await.unwrap();
            if number == stands_at {
                stale = Arc::clone(&current);
            }
        }
        for version in 1..12 {
            store.delete(&manifests.path(version)).await.unwrap();
        }
        assert_eq!(manifests.catch_up(Arc::clone(&stale)).await.unwrap(), current);
        let late = manifests.commit(Arc::clone(&stale), "late", &adding(99)).await.unwrap();
        assert_eq!((late.version, late.segments.len()), (21, 21), "{stands_at}");
        assert_eq!(manifests.load().await.unwrap(), *late);
        // And the next one that stood still, which meets the version in the gap.
        let later = manifests.commit(stale, "later", &adding(100)).await.unwrap();
        assert_eq!((later.version, later.segments.len()), (22, 22), "{stands_at}");
        assert_eq!(manifests.load().await.unwrap(), *later);
    }
}

#[tokio::test]
async fn nothing_to_do_makes_no_version_and_broken_rules_make_none_either() {
    let store = Arc::new(InMemory::new());
    let manifests = manifests(&store);
    let empty = Arc::new(manifests.load().await.unwrap());
    let same = manifests.commit(Arc::clone(&empty), "none", &|_| Change::Nothing).await.unwrap();
    assert_eq!(same.version, 0);
    let first = manifests
        .commit(empty, "one", &|manifest| {
            manifest.flushed.insert("n".to_owned(), WalPosition { sequence: 3, offset: 0 });
            manifest.segments.push(segment(1));
            Change::Changed
        })
        .await
        .unwrap();
    let broken: [fn(&mut Manifest); 5] = [
        |manifest| manifest.segments.push(segment(1)),
        |manifest| manifest.flushed.clear(),
        |manifest| manifest.segments[0].end_ns = 0,
        |manifest| manifest.segments[0].day = "today".to_owned(),
        |manifest| manifest.segments[0].parts.clear(),
    ];
    for (i, change) in broken.into_iter().enumerate() {
        let apply = move |manifest: &mut Manifest| {
            change(manifest);
            Change::Changed
        };
        let result = manifests.commit(Arc::clone(&first), "broken", &apply).await;
        assert!(matches!(result, Err(StorageError::Invariant(_))), "{i}: {result:?}");
    }
    assert_eq!(manifests.load().await.unwrap().version, 1);
}

#[tokio::test]
async fn a_damaged_version_is_set_aside_and_the_one_before_holds() {
    let store = Arc::new(InMemory::new());
    let manifests = manifests(&store);
    let empty = Arc::new(manifests.load().await.unwrap());
    let first = manifests.commit(empty, "one", &adding(1)).await.unwrap();
    let path = manifests.path(2);
    store.put(&path, "{ not json".into()).await.unwrap();
    let loaded = Arc::new(manifests.load().await.unwrap());
    assert_eq!((loaded.version, &loaded.segments, &loaded.damaged), (2, &first.segments, &vec![2]));
    assert!(store.get(&layout::quarantined(&path)).await.is_ok());
    let next = manifests.commit(loaded, "two", &adding(2)).await.unwrap();
    assert_eq!((next.version, next.segments.len(), next.damaged.clone()), (3, 2, vec![2]));
    assert_eq!(manifests.load().await.unwrap(), *next);

    let newer = Manifest { format: FORMAT + 1, ..Manifest::clone(&next) };
    store.put(&manifests.path(4), json::encode(&newer).unwrap().into()).await.unwrap();
    let newer = manifests.load().await.unwrap_err().to_string();
    assert!(newer.contains("newer version"), "{newer}");
}
