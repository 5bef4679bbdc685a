//! Checks log lines.

use arrow::array::{Array, BinaryArray, Int64Array, ListArray, StringArray, StructArray, UInt32Array};
use model::ingest::Reason;
use model::log::{ENTRIES_SCHEMA, LogBatch, STREAMS_SCHEMA};

use super::{Check, Kept, Verdicts, check_schema, column, compact, name_of};

pub(super) fn validate(batch: LogBatch, check: &mut Check<'_>) -> Result<LogBatch, String> {
    let LogBatch { streams, entries } = batch;
    check_schema(&streams, &STREAMS_SCHEMA)?;
    check_schema(&entries, &ENTRIES_SCHEMA)?;
    let labels: &BinaryArray = column(&streams, 0);
    let verdicts = Verdicts::new(labels, check, false);
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
        } else if let Some((reason, text)) = lines.verdict(row, check) {
            let example = || format!("{}: {text}", name_of(labels.value(*number as usize)));
            check.receipt.reject(reason, 1, example);
            kept.drop_row(row);
        }
    }
    if kept.is_all() && verdicts.is_all_good() {
        return Ok(LogBatch { streams, entries });
    }
    check.known = None;
    let (streams, mut rows) = compact(&streams, vec![kept.apply(entries)?])?;
    let entries = rows.pop().ok_or("one table stays one")?;
    Ok(LogBatch { streams, entries })
}

struct Lines<'a> {
    timestamps: &'a Int64Array,
    texts: &'a StringArray,
    metadata: Metadata<'a>,
}

impl Lines<'_> {
    fn verdict(&self, row: usize, check: &Check<'_>) -> Option<(Reason, String)> {
        let timestamp_ns = self.timestamps.value(row);
        if let Some(reason) = check.window.verdict(timestamp_ns) {
            return Some((reason, check.window.explain(reason, timestamp_ns)));
        }
        let (bytes, most) = (self.texts.value(row).len(), check.limits.max_line_bytes);
        if bytes > most {
            let text = format!("a line has {bytes} bytes, at most {most} are allowed");
            return Some((Reason::LineTooLong, text));
        }
        let (pairs, most) = (self.metadata.pairs(row), check.limits.max_metadata_pairs);
        if pairs > most {
            let text = format!("a line has {pairs} pairs of structured metadata, at most {most} are allowed");
            return Some((Reason::MetadataTooLarge, text));
        }
        let (bytes, most) = (self.metadata.bytes(row), check.limits.max_metadata_bytes);
        (bytes > most).then(|| {
            let text = format!("a line has {bytes} bytes of structured metadata, at most {most} are allowed");
            (Reason::MetadataTooLarge, text)
        })
    }
}

/// The sizes of structured metadata, from the columns' offsets alone.
struct Metadata<'a> {
    offsets: &'a [i32],
    keys: &'a [i32],
    texts: &'a [i32],
}

impl<'a> Metadata<'a> {
    fn new(column: &'a ListArray) -> Result<Self, String> {
        let values = column.values().as_any().downcast_ref::<StructArray>();
        let texts = |index: usize| {
            let array = values?.columns().get(index)?.as_any().downcast_ref::<StringArray>()?;
            Some(array.value_offsets())
        };
        let of_another_type = "a metadata column is of another type";
        Ok(Self {
            offsets: column.value_offsets(),
            keys: texts(0).ok_or(of_another_type)?,
            texts: texts(2).ok_or(of_another_type)?,
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
        span(self.keys) + texts + 8 * numbers
    }
}
