//! The position that a flush claims never passes a record that is not in its heads.

use model::log::{Entry, LogBatchBuilder};
use object_store::memory::InMemory;

use super::*;

fn partition() -> Arc<Partition> {
    let manifests = Manifests {
        store: Arc::new(InMemory::new()),
        tenant: TenantId::parse("a").unwrap(),
        signal: Signal::Logs,
        metrics: Arc::default(),
    };
    let manifest = Manifest::empty(&manifests.tenant, Signal::Logs);
    Arc::new(Partition::new(manifests, manifest, Arc::default()))
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
        partition.append(Some(done), &line(), None, 5);
        partition.freeze(|| at(100), || replayed_to);
        let frozen = partition.oldest_frozen().unwrap();
        assert_eq!(frozen.flushed_to, claim, "{in_flight:?} {replayed_to:?}");
        assert_eq!(
            partition.state().active.bytes(),
            Head::new(Signal::Logs, HeadCharge::new(&Arc::default())).bytes()
        );
        partition.append(ticket, &line(), None, 6);
        partition.freeze(|| at(120), || None);
        assert_eq!(partition.state().frozen[1].flushed_to, at(120));
    }
}

#[test]
fn memory_is_counted_until_the_commit_and_empty_heads_are_not_frozen() {
    let partition = partition();
    partition.freeze(|| at(1), || None);
    assert!(partition.oldest_frozen().is_none());
    for round in 0..3 {
        partition.append(None, &line(), None, 5 + round);
    }
    let (bytes, since_ns) = partition.active();
    assert_eq!((since_ns, partition.memory.bytes()), (Some(5), bytes));
    for _ in 0..2 * MAX_FROZEN_HEADS {
        partition.freeze(|| at(1), || None);
        partition.append(None, &line(), None, 9);
    }
    assert_eq!(partition.state().frozen.len(), MAX_FROZEN_HEADS);
    while let Some(frozen) = partition.oldest_frozen() {
        let manifest = Arc::clone(&partition.state().manifest);
        partition.committed(manifest, Some(&frozen));
    }
    let read = partition.state().head_views();
    let (held, rest) = (partition.active().0, partition.memory.bytes());
    partition.freeze(|| at(1), || None);
    let frozen = partition.oldest_frozen().unwrap();
    partition.committed(Arc::clone(&partition.state().manifest), Some(&frozen));
    drop(frozen);
    assert_eq!((partition.memory.bytes(), held), (rest, rest), "a read holds what is in segments already");
    drop(read);
    assert_eq!(partition.memory.bytes(), 0);
}
