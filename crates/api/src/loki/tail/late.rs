//! Lines that came late: which times are to be asked for, and what of the answers is meant.

use std::collections::BTreeSet;

use model::time::NS_PER_S;
use query::LogStream;
use query::late::{Moment, stream_hash};

/// Lines that are closer than this are asked for at once.
const GAP_NS: i64 = NS_PER_S;

/// The time of the first moments that lie close, the end left out.
pub(super) fn first_range(moments: &BTreeSet<Moment>) -> Option<(i64, i64)> {
    let mut times = moments.iter().map(|(time_ns, _)| *time_ns);
    let start_ns = times.next()?;
    let mut last_ns = start_ns;
    for time_ns in times {
        if time_ns.saturating_sub(GAP_NS) > last_ns {
            break;
        }
        last_ns = time_ns;
    }
    Some((start_ns, last_ns.saturating_add(1)))
}

/// Leaves the lines of these moments: of their streams, or, where the query changes labels so that none is known again, of their
/// times.
pub(super) fn keep(streams: &mut Vec<LogStream>, moments: &BTreeSet<Moment>) {
    let hashes: BTreeSet<u64> = moments.iter().map(|(_, hash)| *hash).collect();
    let times: BTreeSet<i64> = moments.iter().map(|(time_ns, _)| *time_ns).collect();
    let are_known = streams.iter().any(|stream| hashes.contains(&stream_hash(stream.labels.as_bytes())));
    for stream in streams.iter_mut() {
        let hash = stream_hash(stream.labels.as_bytes());
        stream.entries.retain(|entry| {
            if are_known {
                moments.contains(&(entry.timestamp_ns, hash))
            } else {
                times.contains(&entry.timestamp_ns)
            }
        });
    }
    streams.retain(|stream| !stream.entries.is_empty());
}

#[cfg(test)]
mod tests {
    use model::Labels;
    use query::LogEntry;

    use super::*;

    fn stream(app: &str, times: &[i64]) -> LogStream {
        let entry = |timestamp_ns: &i64| LogEntry {
            timestamp_ns: *timestamp_ns,
            line: String::new(),
            structured: Vec::new(),
            parsed: Vec::new(),
        };
        LogStream { labels: Labels::from_pairs([("app", app)]), entries: times.iter().map(entry).collect() }
    }

    fn hash(app: &str) -> u64 {
        stream_hash(Labels::from_pairs([("app", app)]).as_bytes())
    }

    #[test]
    fn moments_that_lie_close_are_one_range() {
        let of = |times: &[i64]| first_range(&times.iter().map(|time_ns| (*time_ns, 1)).collect());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7]), Some((7, 8)));
        assert_eq!(of(&[7, NS_PER_S, 2 * NS_PER_S, 9 * NS_PER_S]), Some((7, 2 * NS_PER_S + 1)));
        assert_eq!(of(&[i64::MAX]), Some((i64::MAX, i64::MAX)));
    }

    #[test]
    fn lines_of_other_streams_at_the_same_time_are_not_meant() {
        let kept = |moments: &[Moment]| {
            let mut streams = vec![stream("a", &[1, 2]), stream("b", &[1, 3])];
            keep(&mut streams, &moments.iter().copied().collect());
            let times = |stream: LogStream| stream.entries.into_iter().map(|e| e.timestamp_ns).collect();
            streams.into_iter().map(times).collect::<Vec<Vec<i64>>>()
        };
        assert_eq!(kept(&[(1, hash("a"))]), [[1]]);
        assert_eq!(kept(&[(1, hash("b")), (2, hash("a")), (9, hash("a"))]), [[2], [1]]);
        // Their labels are not those that the streams came with.
        assert_eq!(kept(&[(1, hash("before a label_format"))]), [[1], [1]]);
    }
}
