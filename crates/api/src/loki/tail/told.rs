//! Which lines a tail has told of the time that it looks at again, so that each is told once.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use query::LogStream;

/// Lines by time and what they are.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// What is before this moment is not looked at again.
    floor_ns: i64,
    newest_ns: i64,
    lines: BTreeSet<(i64, u64)>,
}

impl Told {
    /// Nothing before a moment is told from now on.
    pub(super) fn begin(&mut self, floor_ns: i64) {
        self.forget_before(floor_ns);
        self.newest_ns = self.newest_ns.max(floor_ns);
    }

    /// The first moment that is looked at again.
    pub(super) const fn floor_ns(&self) -> i64 {
        self.floor_ns
    }

    /// The time of the newest line that was told, or of the beginning.
    pub(super) const fn newest_ns(&self) -> i64 {
        self.newest_ns
    }

    /// Looks no more at what is before a moment.
    pub(super) fn forget_before(&mut self, ns: i64) {
        if ns > self.floor_ns {
            self.floor_ns = ns;
            self.lines = self.lines.split_off(&(ns, 0));
        }
    }

    /// Takes out what was told, and notes the rest, of which at most `most` lines are remembered: so many that the next look
    /// has room for others.
    pub(super) fn note(&mut self, streams: &mut Vec<LogStream>, most: usize) {
        for stream in streams.iter_mut() {
            let labels = stream.labels.clone();
            stream.entries.retain(|entry| {
                let mut hasher = DefaultHasher::new();
                (labels.as_bytes(), &entry.line, &entry.structured).hash(&mut hasher);
                self.newest_ns = self.newest_ns.max(entry.timestamp_ns);
                self.lines.insert((entry.timestamp_ns, hasher.finish()))
            });
        }
        streams.retain(|stream| !stream.entries.is_empty());
        while self.lines.len() > most {
            let Some((oldest_ns, _)) = self.lines.first().copied() else { return };
            self.forget_before(oldest_ns.saturating_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Labels;
    use query::LogEntry;

    use super::*;

    fn stream(app: &str, lines: &[(i64, &str)]) -> LogStream {
        let entry = |(timestamp_ns, line): &(i64, &str)| LogEntry {
            timestamp_ns: *timestamp_ns,
            line: (*line).to_owned(),
            structured: Vec::new(),
            parsed: Vec::new(),
        };
        LogStream { labels: Labels::from_pairs([("app", app)]), entries: lines.iter().map(entry).collect() }
    }

    fn noted(told: &mut Told, streams: &[LogStream], most: usize) -> Vec<String> {
        let mut streams = streams.to_vec();
        told.note(&mut streams, most);
        let entries = streams.into_iter().flat_map(|stream| stream.entries);
        entries.map(|entry| entry.line).collect()
    }

    #[test]
    fn each_line_is_told_once_also_one_that_comes_late() {
        let mut told = Told::default();
        told.begin(10);
        assert_eq!(noted(&mut told, &[stream("a", &[(10, "x"), (12, "y")])], 10), ["x", "y"]);
        assert_eq!(
            noted(&mut told, &[stream("a", &[(10, "x"), (11, "late"), (12, "y"), (12, "z")])], 10),
            ["late", "z"]
        );
        assert_eq!(noted(&mut told, &[stream("b", &[(12, "y")])], 10), ["y"], "of another stream");
        told.forget_before(12);
        assert_eq!((told.floor_ns(), told.newest_ns()), (12, 12));
        assert!(noted(&mut told, &[stream("a", &[(12, "y")])], 10).is_empty());
    }

    #[test]
    fn so_many_lines_are_remembered_and_older_ones_are_not_looked_at_again() {
        let mut told = Told::default();
        let lines: Vec<(i64, &str)> = (1..=9).map(|n| (n, "x")).collect();
        assert_eq!(noted(&mut told, &[stream("a", &lines)], 4).len(), 9);
        assert_eq!((told.floor_ns(), told.lines.len()), (6, 4));
        // All of one moment: the next look begins behind it.
        let same = [(20, "a"), (20, "b"), (20, "c"), (20, "d"), (20, "e")];
        assert_eq!(noted(&mut told, &[stream("a", &same)], 4).len(), 5);
        assert_eq!((told.floor_ns(), told.lines.len()), (21, 0));
    }
}
