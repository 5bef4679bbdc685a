//! Checks log lines.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, BinaryArray, Int64Array, ListArray, RecordBatch, StringArray, StructArray, UInt32Array,
};
use model::Signal;
use model::ingest::Reason;
use model::log::{DETECTED_LEVEL, ENTRIES_SCHEMA, LogBatch, STREAMS_SCHEMA};

use super::guards::column_bytes;
use super::window::{Window, Windows};
use super::{Check, Kept, Verdicts, check_schema, column, compact, name_of};

pub(super) fn validate(batch: LogBatch, check: &mut Check<'_>) -> Result<LogBatch, String> {
    let LogBatch { streams, entries } = batch;
    check_schema(&streams, &STREAMS_SCHEMA)?;
    check_schema(&entries, &ENTRIES_SCHEMA)?;
    let labels: &BinaryArray = column(&streams, 0);
    let verdicts = Verdicts::new(labels, check, false);
    let windows = Windows::new(Signal::Logs, labels, check);
    let numbers: &UInt32Array = column(&entries, 0);
    let lines = Lines {
        timestamps: column(&entries, 1),
        texts: column(&entries, 2),
        metadata: Metadata::new(column(&entries, 6))?,
    };
    let mut kept = Kept::default();
    for (row, number) in numbers.values().iter().enumerate() {
        if let Err(bad) = verdicts.verdict(*number, "stream") {
            check.receipt.reject(bad.reason, 1, || bad.text);
            kept.drop_row(row);
        } else if let Some((reason, text)) = lines.verdict(row, windows.of(*number), check) {
            let example = || format!("{}: {text}", name_of(labels.value(*number as usize)));
            check.receipt.reject(reason, 1, example);
            kept.drop_row(row);
        }
    }
    let (streams, entries) = if kept.is_all() && verdicts.is_all_good() {
        (streams, entries)
    } else {
        check.known = None;
        let (streams, mut rows) = compact(&streams, vec![kept.apply(entries)?])?;
        (streams, rows.pop().ok_or("one table stays one")?)
    };
    let entries = if check.limits.logs.truncates_lines { truncated(entries, check)? } else { entries };
    Ok(LogBatch { streams, entries })
}

/// The bytes of the lines of a batch and of their structured metadata.
pub(super) fn text_bytes(batch: &LogBatch) -> Result<usize, String> {
    let metadata = Metadata::new(column(&batch.entries, 6))?;
    let lines = column_bytes(column(&batch.entries, 2));
    Ok((0..batch.entries.num_rows()).fold(lines, |bytes, row| bytes + metadata.bytes(row)))
}

/// Entries whose lines are as long as they may be: longer ones are cut, and end with the mark.
fn truncated(entries: RecordBatch, check: &mut Check<'_>) -> Result<RecordBatch, String> {
    let limits = &check.limits.logs;
    let texts: &StringArray = column(&entries, 2);
    let is_long = |text: Option<&str>| text.is_some_and(|text| text.len() > limits.max_line_bytes);
    let long = texts.iter().filter(|text| is_long(*text)).count();
    if long == 0 {
        return Ok(entries);
    }
    let mark_bytes = limits.truncation_mark.floor_char_boundary(limits.max_line_bytes);
    let mark = &limits.truncation_mark[..mark_bytes];
    let lines = texts.iter().map(|text| {
        let text = text.unwrap_or_default();
        if text.len() <= limits.max_line_bytes {
            return Cow::Borrowed(text);
        }
        let head = &text[..text.floor_char_boundary(limits.max_line_bytes - mark.len())];
        Cow::Owned(format!("{head}{mark}"))
    });
    let lines: StringArray = lines.map(Some).collect();
    let mut columns = entries.columns().to_vec();
    columns[2] = Arc::new(lines);
    check.truncated = long;
    RecordBatch::try_new(entries.schema(), columns).map_err(|error| error.to_string())
}

struct Lines<'a> {
    timestamps: &'a Int64Array,
    texts: &'a StringArray,
    metadata: Metadata<'a>,
}

impl Lines<'_> {
    fn verdict(&self, row: usize, window: Window, check: &Check<'_>) -> Option<(Reason, String)> {
        let timestamp_ns = self.timestamps.value(row);
        if let Some(reason) = window.verdict(timestamp_ns) {
            return Some((reason, window.explain(reason, timestamp_ns)));
        }
        let limits = &check.limits.logs;
        let (bytes, most) = (self.texts.value(row).len(), limits.max_line_bytes);
        if bytes > most && !limits.truncates_lines {
            let text = format!("a line has {bytes} bytes, at most {most} are allowed");
            return Some((Reason::LineTooLong, text));
        }
        let (all_pairs, all_bytes) = (self.metadata.pairs(row), self.metadata.bytes(row));
        let is_good = limits.allows_metadata
            && all_pairs <= limits.max_metadata_pairs
            && all_bytes <= limits.max_metadata_bytes;
        if is_good || all_pairs == 0 {
            return None;
        }
        let (added_pairs, added_bytes) = self.metadata.added(row);
        let (pairs, most) = (all_pairs - added_pairs, limits.max_metadata_pairs);
        if pairs > 0 && !limits.allows_metadata {
            let text = format!("a line has {pairs} pairs of structured metadata, none are allowed");
            return Some((Reason::MetadataNotAllowed, text));
        }
        if pairs > most {
            let text = format!("a line has {pairs} pairs of structured metadata, at most {most} are allowed");
            return Some((Reason::MetadataTooLarge, text));
        }
        let (bytes, most) = (all_bytes - added_bytes, limits.max_metadata_bytes);
        (bytes > most).then(|| {
            let text = format!("a line has {bytes} bytes of structured metadata, at most {most} are allowed");
            (Reason::MetadataTooLarge, text)
        })
    }
}

/// The sizes of structured metadata, from the columns' offsets alone.
struct Metadata<'a> {
    offsets: &'a [i32],
    keys: &'a StringArray,
    texts: &'a [i32],
}

impl<'a> Metadata<'a> {
    fn new(column: &'a ListArray) -> Result<Self, String> {
        let values = column.values().as_any().downcast_ref::<StructArray>();
        let texts = |index: usize| values?.columns().get(index)?.as_any().downcast_ref::<StringArray>();
        let of_another_type = "a metadata column is of another type";
        Ok(Self {
            offsets: column.value_offsets(),
            keys: texts(0).ok_or(of_another_type)?,
            texts: texts(2).ok_or(of_another_type)?.value_offsets(),
        })
    }

    fn ends(&self, row: usize) -> (usize, usize) {
        let at = |i: usize| usize::try_from(self.offsets[i]).expect("offsets are not negative");
        (at(row), at(row + 1))
    }

    fn pairs(&self, row: usize) -> usize {
        let (start, end) = self.ends(row);
        end - start
    }

    /// Names and values together; numbers and truth values count as eight bytes.
    fn bytes(&self, row: usize) -> usize {
        let (start, end) = self.ends(row);
        let span = |offsets: &[i32]| usize::try_from(offsets[end] - offsets[start]).unwrap_or(0);
        let texts = span(self.texts);
        // A value that is no text has an empty one.
        let numbers = (start..end).filter(|i| self.texts[*i] == self.texts[*i + 1]).count();
        span(self.keys.value_offsets()) + texts + 8 * numbers
    }

    /// The pairs, and their bytes, that receivers have added.
    fn added(&self, row: usize) -> (usize, usize) {
        let (start, end) = self.ends(row);
        let level = (start..end).rev().find(|pair| self.keys.value(*pair) == DETECTED_LEVEL);
        level.map_or((0, 0), |pair| {
            let text = usize::try_from(self.texts[pair + 1] - self.texts[pair]).unwrap_or(0);
            (1, DETECTED_LEVEL.len() + text)
        })
    }
}
