//! The position that a flush claims never passes a record that is not in its heads.

use model::log::{Entry, LogBatchBuilder};
use object_store::memory::InMemory;

use super::*;
use crate::head::Head;

fn partition() -> Arc<Partition> {
    let manifests = Manifests {
        store: Arc::new(InMemory::new()),
        tenant: TenantId::parse("a").unwrap(),
        signal: Signal::Logs,
        metrics: Arc::default(),
    };
    let manifest = Manifest::empty(&manifests.tenant, Signal::Logs);
    Arc::new(Partition::new(manifests, manifest, 0, Arc::default()))
}

fn line() -> Batch {
    let mut builder = LogBatchBuilder::default();
    let stream = builder.stream(&model::Labels::from_pairs([("app", "x")]));
    builder.entry(stream, Entry { timestamp_ns: 1, line: "l", ..Entry::default() });
    Batch::Logs(builder.finish())
}

const fn at(offset: u64) -> WalPosition {
    WalPosition { sequence: 1, offset }
}

fn write(partition: &Arc<Partition>, now_ns: u64) {
    partition.append(partition.begin(|| at(10)), at(10), &line(), None, now_ns);
}

#[test]
fn a_flush_claims_up_to_the_first_record_in_flight() {
    // The log's end when the record in flight began (none where there is none), the replay's position, the claim.
    let cases = [
        (None, None, at(100)),
        (Some(at(40)), None, at(40)),
        (None, Some(at(7)), at(7)),
        (Some(at(40)), Some(at(70)), at(40)),
        (Some(at(40)), Some(at(7)), at(7)),
    ];
    for (in_flight, replayed_to, claim) in cases {
        let partition = partition();
        let done = partition.begin(|| at(10));
        let ticket = in_flight.map(|position| partition.begin(|| position));
        partition.append(done, at(10), &line(), None, 5);
        partition.freeze("n", || at(100), || replayed_to);
        let frozen = partition.oldest_frozen().unwrap();
        assert_eq!(frozen.flushed_to, claim, "{in_flight:?} {replayed_to:?}");
        assert_eq!(
            partition.state().active.head.bytes(),
            Head::new(Signal::Logs, Origin::Writers, HeadCharge::new(&Arc::default())).bytes()
        );
        drop(ticket);
        write(&partition, 6);
        partition.freeze("n", || at(120), || None);
        assert_eq!(partition.state().frozen[1].flushed_to, at(120));
    }
}

#[test]
fn memory_is_counted_until_the_commit_and_empty_heads_are_not_frozen() {
    let partition = partition();
    partition.freeze("n", || at(1), || None);
    assert!(partition.oldest_frozen().is_none());
    for round in 0..3 {
        write(&partition, 5 + round);
    }
    let (bytes, since_ns) = partition.active();
    assert_eq!((since_ns, partition.memory.bytes()), (Some(5), bytes));
    for _ in 0..2 * MAX_FROZEN_HEADS {
        partition.freeze("n", || at(1), || None);
        write(&partition, 9);
    }
    assert_eq!(partition.state().frozen.len(), MAX_FROZEN_HEADS);
    while let Some(frozen) = partition.oldest_frozen() {
        let manifest = Arc::clone(&partition.state().manifest);
        partition.committed(manifest, Some(&frozen));
    }
    let read = partition.state().head_views();
    let (held, rest) = (partition.active().0, partition.memory.bytes());
    partition.freeze("n", || at(1), || None);
    let frozen = partition.oldest_frozen().unwrap();
    partition.committed(Arc::clone(&partition.state().manifest), Some(&frozen));
    drop(frozen);
    assert_eq!((partition.memory.bytes(), held), (rest, rest), "a read holds what is in segments already");
    drop(read);
    assert_eq!(partition.memory.bytes(), 0);
}

#[test]
fn what_is_replayed_is_older_than_what_writers_bring_and_becomes_segments_first() {
    let partition = partition();
    partition.replay(at(3), &line(), 1);
    write(&partition, 2);
    assert!(partition.freeze("n", || at(100), || Some(at(7))));
    partition.replay(at(8), &line(), 3);
    write(&partition, 4);
    let state = partition.state();
    let frozen = |frozen: &Arc<Frozen>| (frozen.head.origin(), frozen.flushed_to, frozen.awaits_older);
    let two = [(Origin::Replay, WalPosition::default(), false), (Origin::Writers, at(7), true)];
    assert_eq!(state.frozen.iter().map(frozen).collect::<Vec<_>>(), two);
    let origins: Vec<Origin> = state.head_views().iter().map(HeadView::origin).collect();
    assert_eq!(origins, [Origin::Replay, Origin::Replay, Origin::Writers, Origin::Writers]);
    assert!(partition.freeze("n", || at(100), || Some(at(9))));
    write(&partition, 5);
    assert!(!partition.freeze("n", || at(100), || Some(at(9))), "there are too many to take what comes next");
    while let Some(frozen) = partition.oldest_frozen() {
        partition.committed(partition.manifest(), Some(&frozen));
    }
    // The rest of the replay, when writers have been flushed.
    assert!(partition.freeze("n", || at(100), || Some(at(9))));
    partition.committed(partition.manifest(), partition.oldest_frozen().as_ref());
    partition.replay(at(9), &line(), 5);
    assert!(partition.freeze("n", || at(100), || None));
    assert_eq!(frozen(&partition.state().frozen[0]), (Origin::Replay, at(100), false));
}

#[test]
fn a_position_that_is_behind_when_all_rows_are_in_segments_is_brought_on_once() {
    let partition = partition();
    let flush = |replayed_to: Option<WalPosition>| {
        assert!(partition.freeze("n", || at(100), || replayed_to));
        let mut flushed = Vec::new();
        while let Some(frozen) = partition.oldest_frozen() {
            let mut manifest = Manifest::clone(&partition.manifest());
            manifest.flushed.insert("n".to_owned(), frozen.flushed_to);
            partition.committed(Arc::new(manifest), Some(&frozen));
            flushed.push((frozen.rows, frozen.flushed_to));
        }
        flushed
    };
    assert!(!partition.is_behind("n"), "nothing was ever written");
    write(&partition, 1);
    assert_eq!(flush(Some(at(3))), [(1, at(3))]);
    assert!(partition.is_behind("n"));
    assert_eq!(flush(Some(at(5))), [], "a replay that runs on would only cost commits");
    let ticket = partition.begin(|| at(3));
    assert_eq!(flush(None), [], "a record before it is on its way");
    drop(ticket);
    assert_eq!(flush(None), [(0, at(100))]);
    assert!(!partition.is_behind("n"));
    assert_eq!(flush(None), []);
}
