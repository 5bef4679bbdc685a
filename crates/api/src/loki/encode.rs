//! Results of LogQL as Loki's API shows them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use model::Labels;
use query::{Direction, LogAnswer, LogEntry, LogStream, LogValue, QueryStats};

use crate::json::Json;

/// How a client wants its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Encoding {
    /// Whether each line tells its structured metadata and its parsed labels apart from those of its stream.
    pub(crate) categorize_labels: bool,
    /// The order of lines.
    pub(crate) direction: Direction,
}

/// How many lines or samples a result has.
pub(crate) fn items(value: &LogValue) -> usize {
    match value {
        LogValue::Streams(streams) => streams.iter().map(|stream| stream.entries.len()).sum(),
        LogValue::Matrix(series) => series.iter().map(|one| one.points.len()).sum(),
        LogValue::Vector(samples) => samples.len(),
        LogValue::Scalar(..) => 1,
    }
}

/// Writes an answer with its envelope.
pub(crate) fn write_answer(json: &mut Json, answer: LogAnswer, encoding: Encoding) {
    let entries = match &answer.value {
        LogValue::Streams(_) => items(&answer.value),
        _ => 0,
    };
    json.raw("{\"status\":\"success\",\"data\":{\"resultType\":");
    json.text(match &answer.value {
        LogValue::Streams(_) => "streams",
        LogValue::Matrix(_) => "matrix",
        LogValue::Vector(_) => "vector",
        LogValue::Scalar(..) => "scalar",
    });
    if encoding.categorize_labels {
        json.raw(",\"encodingFlags\":[\"categorize-labels\"]");
    }
    json.raw(",\"result\":");
    write_value(json, answer.value, encoding);
    json.raw(",\"stats\":");
    write_stats(json, &answer.stats, entries);
    json.raw("}}");
}

/// Writes a frame of a tail: lines in the order of their time, and those that were left out.
pub(crate) fn write_tail(
    json: &mut Json,
    lines: Vec<LogStream>,
    dropped: &[LogStream],
    categorize_labels: bool,
) {
    json.raw("{\"streams\":");
    let encoding = Encoding { categorize_labels, direction: Direction::Forward };
    write_value(json, LogValue::Streams(lines), encoding);
    if categorize_labels {
        json.raw(",\"encodingFlags\":[\"categorize-labels\"]");
    }
    if !dropped.is_empty() {
        json.raw(",\"dropped_entries\":");
        let entries =
            dropped.iter().flat_map(|stream| stream.entries.iter().map(|entry| (&stream.labels, entry)));
        json.list(entries, |json, (labels, entry)| {
            json.raw("{\"labels\":");
            json.labels(labels);
            json.raw(",\"timestamp\":");
            json.quoted(entry.timestamp_ns);
            json.raw("}");
        });
    }
    json.raw("}");
}

fn write_value(json: &mut Json, value: LogValue, encoding: Encoding) {
    match value {
        LogValue::Streams(streams) if encoding.categorize_labels => {
            json.list(by_stream_labels(streams, encoding.direction), |json, (labels, entries)| {
                write_stream(json, &labels, &entries, true);
            });
        }
        LogValue::Streams(streams) => json.list(streams, |json, stream| {
            write_stream(json, &stream.labels, &stream.entries, false);
        }),
        LogValue::Matrix(series) => json.list(series, |json, one| {
            json.raw("{\"metric\":");
            json.labels(&one.labels);
            json.raw(",\"values\":");
            json.list(one.points, |json, (timestamp_ms, value)| write_point(json, timestamp_ms, value));
            json.raw("}");
        }),
        LogValue::Vector(samples) => json.list(samples, |json, (labels, timestamp_ms, value)| {
            json.raw("{\"metric\":");
            json.labels(&labels);
            json.raw(",\"value\":");
            write_point(json, timestamp_ms, value);
            json.raw("}");
        }),
        LogValue::Scalar(timestamp_ms, value) => write_point(json, timestamp_ms, value),
    }
}

/// Brings the lines together that came from one stream, whatever was found in them; in the query's order.
fn by_stream_labels(streams: Vec<LogStream>, direction: Direction) -> BTreeMap<Labels, Vec<LogEntry>> {
    let mut merged: BTreeMap<Labels, Vec<LogEntry>> = BTreeMap::new();
    for stream in streams {
        merged.entry(stream.stream_labels()).or_default().extend(stream.entries);
    }
    for entries in merged.values_mut() {
        match direction {
            Direction::Forward => entries.sort_by_key(|entry| entry.timestamp_ns),
            Direction::Backward => entries.sort_by_key(|entry| Reverse(entry.timestamp_ns)),
        }
    }
    merged
}

fn write_stream(json: &mut Json, labels: &Labels, entries: &[LogEntry], categorize_labels: bool) {
    json.raw("{\"stream\":");
    json.labels(labels);
    json.raw(",\"values\":");
    json.list(entries, |json, entry| {
        json.raw("[");
        json.quoted(entry.timestamp_ns);
        json.raw(",");
        json.text(&entry.line);
        if categorize_labels {
            json.raw(",");
            write_categories(json, entry);
        }
        json.raw("]");
    });
    json.raw("}");
}

/// `{"structuredMetadata":{…},"parsed":{…}}`; an empty category is left out.
fn write_categories(json: &mut Json, entry: &LogEntry) {
    json.raw("{");
    let mut separator = "";
    for (name, pairs) in [("structuredMetadata", &entry.structured), ("parsed", &entry.parsed)] {
        if !pairs.is_empty() {
            json.raw(separator);
            json.text(name);
            json.raw(":");
            json.text_object(pairs.iter().map(|(name, value)| (name, value)));
            separator = ",";
        }
    }
    json.raw("}");
}

fn write_point(json: &mut Json, timestamp_ms: i64, value: f64) {
    json.raw("[");
    json.seconds(timestamp_ms);
    json.raw(",");
    json.float(value);
    json.raw("]");
}

/// The summary of Loki's statistics: what was measured, by Loki's names. A query is neither split nor sharded here,
/// and its waiting is part of its time.
fn write_stats(json: &mut Json, stats: &QueryStats, entries: usize) {
    let seconds = stats.exec_ns as f64 / 1e9;
    let per_second = |amount: u64| if seconds > 0.0 { (amount as f64 / seconds) as u64 } else { 0 };
    let whole: [(&str, u64); 8] = [
        ("bytesProcessedPerSecond", per_second(stats.bytes)),
        ("linesProcessedPerSecond", per_second(stats.items)),
        ("totalBytesProcessed", stats.bytes),
        ("totalLinesProcessed", stats.items),
        ("totalEntriesReturned", entries as u64),
        ("subqueries", 0),
        ("splits", 0),
        ("shards", 0),
    ];
    json.raw("{\"summary\":{");
    for (name, number) in whole {
        json.text(name);
        json.raw(":");
        json.plain(number);
        json.raw(",");
    }
    json.raw("\"execTime\":");
    json.plain(seconds);
    json.raw(",\"queueTime\":0}}");
}

#[cfg(test)]
mod tests;
