//! What was measured, as a table and as JSON.

use serde::Serialize;

use crate::commands::table::table;

/// A distribution of durations, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Durations {
    /// The shortest.
    pub(super) min_ms: f64,
    /// Half are shorter.
    pub(super) p50_ms: f64,
    /// Of a hundred, one is longer.
    pub(super) p99_ms: f64,
    /// The longest.
    pub(super) max_ms: f64,
}

impl Durations {
    /// The distribution of these; zeros where there are none.
    pub(super) fn of(took_ns: &mut [u64]) -> Self {
        took_ns.sort_unstable();
        // The nearest rank: the smallest that at least this share is not above.
        let at = |share: f64| {
            let rank = (took_ns.len() as f64 * share).ceil() as usize;
            took_ns.get(rank.saturating_sub(1)).map_or(0.0, |ns| *ns as f64 / 1e6)
        };
        Self { min_ms: at(0.0), p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1.0) }
    }
}

/// A load and what it cost.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct IngestReport {
    /// What was sent: samples, lines or spans.
    pub(super) items: String,
    /// How it was encoded.
    pub(super) format: String,
    /// Items that were acknowledged.
    pub(super) acknowledged: u64,
    /// Requests that they came in.
    pub(super) requests: u64,
    /// Requests under way at once.
    pub(super) concurrency: usize,
    /// Time of sending, in seconds; making the requests is not in it.
    pub(super) seconds: f64,
    /// Items a second.
    pub(super) per_second: f64,
    /// The server's processor time per item while sending, in microseconds.
    pub(super) cpu_us_per_item: f64,
    /// The same with everything that the server did afterwards, until it was calm.
    pub(super) settled_cpu_us_per_item: Option<f64>,
    /// The sender's own processor time per item, in microseconds, making the requests included.
    pub(super) sender_cpu_us_per_item: f64,
    /// Bytes per item as sent.
    pub(super) wire_bytes_per_item: f64,
    /// Bytes of the log per item.
    pub(super) wal_bytes_per_item: Option<f64>,
    /// Bytes of segments per item, settled.
    pub(super) segment_bytes_per_item: Option<f64>,
    /// Bytes that the data folder grew by per item, settled.
    pub(super) folder_bytes_per_item: Option<f64>,
    /// Segments, settled.
    pub(super) segments: Option<f64>,
    /// The server's memory at the end, in MiB.
    pub(super) memory_mib: Option<f64>,
    /// The most memory that the server had since its start, in MiB.
    pub(super) peak_memory_mib: Option<f64>,
    /// How long requests took that were taken.
    pub(super) latency: Durations,
    /// Requests that were refused with 429 or 503 and sent again.
    pub(super) refusals: u64,
    /// How many items queries find of those that were acknowledged, and of how many.
    pub(super) found: Option<Found>,
}

/// What queries find of what was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Found {
    /// Items that are there.
    pub(super) items: u64,
    /// Items that were looked for.
    pub(super) of: u64,
}

impl IngestReport {
    /// The report as a table.
    pub(super) fn table(&self) -> comfy_table::Table {
        let optional = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "not told".to_owned(), |value| format!("{value:.digits$}"))
        };
        let unit = self.items.trim_end_matches('s');
        let mut table = table(&[&format!("{} by {}", self.items, self.format), ""]);
        let latency = &self.latency;
        let found = self
            .found
            .map_or_else(|| "not looked for".to_owned(), |found| format!("{} of {}", found.items, found.of));
        let rows = [
            ("acknowledged", format!("{} in {} requests", self.acknowledged, self.requests)),
            ("found by queries", found),
            ("time", format!("{:.2} s, {} requests at once", self.seconds, self.concurrency)),
            ("rate", format!("{:.0} {}/s", self.per_second, self.items)),
            ("server CPU", format!("{:.2} µs/{unit}", self.cpu_us_per_item)),
            ("server CPU, settled", format!("{} µs/{unit}", optional(self.settled_cpu_us_per_item, 2))),
            ("sender CPU", format!("{:.2} µs/{unit}", self.sender_cpu_us_per_item)),
            ("sent", format!("{:.1} bytes/{unit}", self.wire_bytes_per_item)),
            ("log", format!("{} bytes/{unit}", optional(self.wal_bytes_per_item, 1))),
            ("segments", format!("{} bytes/{unit}", optional(self.segment_bytes_per_item, 2))),
            ("folder", format!("{} bytes/{unit}", optional(self.folder_bytes_per_item, 2))),
            ("number of segments", optional(self.segments, 0)),
            (
                "server memory",
                format!(
                    "{} MiB, at most {} MiB",
                    optional(self.memory_mib, 0),
                    optional(self.peak_memory_mib, 0)
                ),
            ),
            (
                "latency",
                format!(
                    "p50 {:.1} ms, p99 {:.1} ms, at most {:.1} ms",
                    latency.p50_ms, latency.p99_ms, latency.max_ms
                ),
            ),
            ("refused and sent again", self.refusals.to_string()),
        ];
        for (name, value) in rows {
            table.add_row([name.to_owned(), value]);
        }
        table
    }
}

/// A question and how it was answered.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Answered {
    /// What kind of question it is.
    pub(super) kind: String,
    /// How long answers took, once it had been asked before.
    #[serde(flatten)]
    pub(super) durations: Durations,
    /// How long the first answer took.
    pub(super) first_ms: f64,
    /// The server's processor time for one answer.
    pub(super) cpu_ms: Option<f64>,
    /// Series, points, lines, traces or spans in the answer.
    pub(super) size: usize,
    /// How long another server's answers took.
    pub(super) compared: Option<Durations>,
    /// The size of the other server's answer.
    pub(super) compared_size: Option<usize>,
}

/// The answers to the questions of one signal.
#[derive(Clone, Debug, Serialize)]
pub(super) struct QueryReport {
    /// What was asked about.
    pub(super) signal: String,
    /// The answers.
    pub(super) answers: Vec<Answered>,
}

impl QueryReport {
    /// The report as a table.
    pub(super) fn table(&self) -> comfy_table::Table {
        let mut columns =
            vec![self.signal.as_str(), "p50 ms", "p99 ms", "min ms", "first ms", "CPU ms", "size"];
        let is_compared = self.answers.iter().any(|answered| answered.compared.is_some());
        if is_compared {
            columns.extend(["compared p50 ms", "times as fast", "compared size"]);
        }
        let mut table = table(&columns);
        for answered in &self.answers {
            let times = answered.durations;
            let mut row = vec![answered.kind.clone()];
            let figures = [times.p50_ms, times.p99_ms, times.min_ms, answered.first_ms];
            row.extend(figures.map(|ms| format!("{ms:.2}")));
            row.push(answered.cpu_ms.map_or_else(String::new, |ms| format!("{ms:.1}")));
            row.push(answered.size.to_string());
            if let Some(compared) = answered.compared {
                row.push(format!("{:.2}", compared.p50_ms));
                row.push(format!("{:.2}", compared.p50_ms / times.p50_ms));
                row.extend(answered.compared_size.map(|size| size.to_string()));
            }
            table.add_row(row);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_of_the_nearest_rank() {
        let mut took: Vec<u64> = (1..=200).rev().map(|ms| ms * 1_000_000).collect();
        let durations = Durations::of(&mut took);
        assert_eq!(durations, Durations { min_ms: 1.0, p50_ms: 100.0, p99_ms: 198.0, max_ms: 200.0 });
        assert_eq!(Durations::of(&mut []), Durations::default());
        assert_eq!(Durations::of(&mut [5_000_000]).p99_ms, 5.0);
    }
}
