//! The plan's promises, over lists of segments that nobody wrote.

use proptest::prelude::*;

use super::*;
use crate::manifest::{EarlierLog, PartMeta};
use crate::segment::blocks::Checksum;

const RULES: Rules =
    Rules { fan_in: 8, max_segment_bytes: 1 << 30, max_segment_series: 1 << 20, settle_ms: 3_600_000 };
const MINUTE_NS: i64 = 60 * 1_000_000_000;
/// A Tuesday.
const START_NS: i64 = 20_500 * NS_PER_DAY;

fn segment(made_ns: i64, start_ns: i64, end_ns: i64, level: u8, bytes: u64) -> SegmentMeta {
    let made_ms = u64::try_from(made_ns / NS_PER_MS).unwrap();
    let part =
        PartMeta { name: String::new(), bytes, rows: 1, tail_bytes: 1, tail_xxh3: Checksum::default() };
    SegmentMeta {
        id: ulid::Ulid::from_parts(made_ms, 1).to_string(),
        day: start_ns.div_euclid(NS_PER_DAY).to_string(),
        start_ns,
        end_ns,
        rows: 1,
        level,
        parts: vec![part],
        after: None,
        cleared: 0,
        looked: None,
        cleared_also: Vec::new(),
    }
}

/// What a simulated partition went through.
#[derive(Default)]
struct Partition {
    segments: Vec<SegmentMeta>,
    flushed_bytes: u64,
    rewritten_bytes: u64,
}

impl Partition {
    fn flush(&mut self, now_ns: i64, start_ns: i64, bytes: u64) {
        self.segments.push(segment(now_ns, start_ns, start_ns + MINUTE_NS, 0, bytes));
        self.flushed_bytes += bytes;
    }

    /// Merges until nothing is due.
    fn compact(&mut self, rules: Rules, moment: Moment) {
        loop {
            let list: Vec<&SegmentMeta> = self.segments.iter().collect();
            let Some(task) = rules.next(&list, &|_| false, &|_| Vec::new(), moment) else { break };
            check(rules, &list, &task);
            let inputs: Vec<&SegmentMeta> = task.inputs.iter().map(|place| list[*place]).collect();
            let bytes = inputs.iter().map(|input| input.bytes()).sum();
            let start_ns = inputs.iter().map(|input| input.start_ns).min().unwrap();
            let end_ns = inputs.iter().map(|input| input.end_ns).max().unwrap();
            let start_ns = start_ns.max(moment.expired_before_ns());
            let merged = segment(moment.now_ns, start_ns, end_ns, task.level, bytes);
            self.rewritten_bytes += bytes;
            let first = task.inputs[0];
            let merged = SegmentMeta { day: self.segments[first].day.clone(), ..merged };
            task.inputs.iter().rev().for_each(|place| drop(self.segments.remove(*place)));
            self.segments.insert(first, merged);
        }
    }

    fn of_day(&self, day: i64) -> usize {
        self.segments.iter().filter(|segment| segment.day == day.to_string()).count()
    }

    /// Bytes that were written for each byte that was flushed.
    fn amplification(&self) -> f64 {
        (self.flushed_bytes + self.rewritten_bytes) as f64 / self.flushed_bytes as f64
    }
}

/// What holds for every task.
fn check(rules: Rules, list: &[&SegmentMeta], task: &Task) {
    let inputs: Vec<&SegmentMeta> = task.inputs.iter().map(|place| list[*place]).collect();
    assert!(task.inputs.is_sorted() && inputs.len() <= rules.fan_in, "{task:?}");
    assert!(inputs.iter().all(|input| input.day == inputs[0].day), "{task:?}");
    if task.reason == Reason::Expired {
        assert_eq!(inputs.len(), 1);
        return;
    }
    assert!(inputs.len() >= 2, "{task:?}");
    assert!(inputs.iter().map(|input| input.bytes()).sum::<u64>() <= rules.max_segment_bytes, "{task:?}");
    // Between the first and the last there is nothing else of the day: what is later stays later.
    let (first, last) = (task.inputs[0], task.inputs[inputs.len() - 1]);
    let of_day = (first..=last).filter(|place| list[*place].day == inputs[0].day).count();
    assert_eq!(of_day, inputs.len(), "{task:?}");
}

const fn at(now_ns: i64) -> Moment {
    Moment { now_ns, kept_ns: None }
}

#[test]
fn a_steady_stream_leaves_few_segments_and_rewrites_each_byte_a_few_times() {
    for (every_ns, bytes, today, amplification) in
        [(10 * MINUTE_NS, 300_000, 16, 4.0), (MINUTE_NS, 4 << 20, 24, 5.0), (MINUTE_NS / 6, 4 << 20, 64, 5.0)]
    {
        let mut partition = Partition::default();
        let mut most = 0;
        let mut now_ns = START_NS;
        while now_ns < START_NS + 3 * NS_PER_DAY {
            now_ns += every_ns;
            partition.flush(now_ns, now_ns - every_ns, bytes);
            partition.compact(RULES, at(now_ns));
            let day = (now_ns - 1).div_euclid(NS_PER_DAY);
            most = most.max(partition.of_day(day));
            // A day of 36 GB has its 36 to 72 full segments.
            let full = usize::try_from(partition.flushed_bytes / (RULES.max_segment_bytes / 2)).unwrap();
            let finished = if now_ns > START_NS + NS_PER_DAY + 3 * 60 * MINUTE_NS { 3 + full } else { 200 };
            assert!(partition.of_day(START_NS / NS_PER_DAY) <= finished.max(today));
        }
        partition.compact(RULES, at(now_ns + 2 * 60 * MINUTE_NS));
        assert!(most <= today, "{most} segments of today with a flush every {} s", every_ns / 1_000_000_000);
        assert!(partition.amplification() <= amplification, "{}", partition.amplification());
    }
}

#[test]
fn late_rows_do_not_rewrite_a_large_segment_each_time() {
    let mut partition = Partition::default();
    let mut now_ns = START_NS + 2 * NS_PER_DAY;
    partition.segments.push(segment(now_ns, START_NS, START_NS + NS_PER_DAY - 1, 3, 400 << 20));
    for _ in 0..500 {
        now_ns += 2 * 60 * MINUTE_NS;
        partition.flush(now_ns, START_NS + 5 * MINUTE_NS, 100_000);
        partition.compact(RULES, at(now_ns));
        assert!(partition.of_day(START_NS / NS_PER_DAY) <= RULES.fan_in + MAX_SETTLED);
    }
    now_ns += 2 * 60 * MINUTE_NS;
    partition.compact(RULES, at(now_ns));
    assert!(partition.segments.len() <= MAX_SETTLED);
    // 50 MB came late; without a rule each of the 500 flushes would have rewritten 400 MB.
    assert!(partition.rewritten_bytes < 2 << 30, "{}", partition.rewritten_bytes);
}

#[test]
fn a_segment_that_has_expired_mostly_is_rewritten_where_the_rest_would_stay_for_long() {
    let hour_ns = 60 * MINUTE_NS;
    let day = segment(START_NS + NS_PER_DAY, START_NS, START_NS + NS_PER_DAY - 1, 2, 1 << 20);
    for (now_hours, kept_hours, is_due) in
        [(3, 2, false), (15, 2, true), (25, 2, true), (27, 2, false), (24 * 30 + 15, 24 * 30, false)]
    {
        let moment = Moment { now_ns: START_NS + now_hours * hour_ns, kept_ns: Some(kept_hours * hour_ns) };
        let task = RULES.next(&[&day], &|_| false, &|_| Vec::new(), moment);
        assert_eq!(
            task.map(|task| task.reason),
            is_due.then_some(Reason::Expired),
            "{now_hours} {kept_hours}"
        );
    }
}

proptest! {
    #[test]
    fn every_plan_comes_to_an_end_and_keeps_its_bounds(
        flushes in prop::collection::vec((0_i64..4, 0_u64..5, 0_u8..3), 1..120),
        fan_in in 2_usize..10,
        kept_hours in prop::option::of(1_i64..100),
        hours in 0_i64..200,
    ) {
        let rules = Rules { fan_in, max_segment_bytes: 10_000_000, ..RULES };
        let mut partition = Partition::default();
        for (number, (day, size, level)) in (0_i64..).zip(&flushes) {
            let start_ns = START_NS + day * NS_PER_DAY + number * MINUTE_NS;
            let bytes = 10_u64.pow(2 + u32::try_from(*size).unwrap()) + number as u64;
            partition.segments.push(segment(start_ns, start_ns, start_ns + 60 * MINUTE_NS, *level, bytes));
        }
        let before: u64 = partition.segments.iter().map(SegmentMeta::bytes).sum();
        let now_ns = START_NS + hours * 60 * MINUTE_NS;
        let kept_ns = kept_hours.map(|hours| hours * 60 * MINUTE_NS);
        partition.compact(rules, Moment { now_ns, kept_ns });
        prop_assert_eq!(partition.segments.iter().map(SegmentMeta::bytes).sum::<u64>(), before);
        for day in 0..4 {
            let of_day: Vec<&SegmentMeta> = partition
                .segments
                .iter()
                .filter(|segment| segment.day == (START_NS / NS_PER_DAY + day).to_string())
                .collect();
            let is_full = |segment: &&SegmentMeta| rules.is_full(segment);
            for stretch in of_day.split(is_full) {
                for same in stretch.chunk_by(|a, b| a.level == b.level) {
                    prop_assert!(same.len() < fan_in);
                }
                if now_ns > START_NS + (day + 2) * NS_PER_DAY {
                    prop_assert!(stretch.len() <= MAX_SETTLED);
                }
            }
        }
    }
}

#[test]
fn what_waits_for_older_rows_is_not_taken_and_stays_between_its_neighbours() {
    let rules = Rules { fan_in: 2, ..RULES };
    let moment = Moment { now_ns: START_NS + 10 * NS_PER_DAY, kept_ns: Some(20 * NS_PER_DAY) };
    let segments: Vec<SegmentMeta> =
        (0..5).map(|at| segment(START_NS + at, START_NS, START_NS + MINUTE_NS, 0, 1_000)).collect();
    let waiting = SegmentMeta {
        after: Some(EarlierLog { node: "n".to_owned(), before: 3 }),
        id: ulid::Ulid::from_parts(1, 2).to_string(),
        ..segments[0].clone()
    };
    let is_waiting = |segment: &SegmentMeta| segment.after.is_some();
    let inputs = |list: &[&SegmentMeta]| {
        rules.next(list, &is_waiting, &|_| Vec::new(), moment).map(|task| task.inputs)
    };
    assert_eq!(inputs(&[&segments[0], &waiting, &segments[1]]), None);
    assert_eq!(inputs(&[&waiting, &waiting, &waiting]), None);
    assert_eq!(inputs(&[&segments[0], &waiting, &segments[1], &segments[2]]), Some(vec![2, 3]));
    let long = SegmentMeta { start_ns: START_NS - 30 * NS_PER_DAY, ..waiting };
    assert_eq!(inputs(&[&long]), None, "not even for what has expired in it");
}

#[test]
fn only_neighbours_of_one_kind_become_one() {
    let rules = Rules { fan_in: 2, ..RULES };
    let moment = at(START_NS + MINUTE_NS);
    let inputs = |kinds: [u64; 4]| {
        let of_kind =
            |cleared| SegmentMeta { cleared, ..segment(START_NS, START_NS, START_NS + MINUTE_NS, 0, 1_000) };
        let segments = kinds.map(of_kind);
        let task = rules.next(&segments.each_ref(), &|_| false, &|segment| vec![segment.cleared], moment);
        task.map(|task| task.inputs)
    };
    assert_eq!(inputs([0, 0, 1, 1]), Some(vec![0, 1]));
    assert_eq!(inputs([0, 1, 1, 2]), Some(vec![1, 2]));
    assert_eq!(inputs([0, 1, 0, 1]), None);
}

#[test]
fn what_has_many_series_is_full() {
    let rules = Rules { fan_in: 2, max_segment_series: 100, ..RULES };
    let inputs = |series: [u64; 4]| {
        let of_series = |rows| {
            let mut segment = segment(START_NS, START_NS, START_NS + MINUTE_NS, 0, 1_000);
            segment.parts[0].name = SERIES_PART.to_owned();
            segment.parts[0].rows = rows;
            segment
        };
        let segments = series.map(of_series);
        let task = rules.next(&segments.each_ref(), &|_| false, &|_| Vec::new(), at(START_NS + MINUTE_NS));
        task.map(|task| task.inputs)
    };
    assert_eq!(inputs([50, 50, 50, 50]), Some(vec![0, 1]));
    assert_eq!(inputs([50, 51, 20, 20]), Some(vec![2, 3]));
    assert_eq!(inputs([51, 51, 51, 20]), None);
}
