//! The lines of all partitions as streams.

use std::collections::BTreeMap;

use arrow::array::{Array, BinaryArray, Int64Array, RecordBatch, StringArray};
use model::Labels;
use model::attributes::AttributesView;

use crate::error::EvalError;
use crate::value::{Direction, LogEntry, Stream};

struct Columns<'a> {
    labels: &'a BinaryArray,
    times: &'a Int64Array,
    lines: &'a StringArray,
    structured: AttributesView<'a>,
    parsed: AttributesView<'a>,
}

impl<'a> Columns<'a> {
    fn new(batch: &'a RecordBatch) -> Result<Self, EvalError> {
        fn typed<'b, T: 'static>(batch: &'b RecordBatch, column: &'static str) -> Result<&'b T, EvalError> {
            let array = batch.column_by_name(column).and_then(|c| c.as_any().downcast_ref());
            array.ok_or(EvalError::Schema { column })
        }
        let pairs = |column: &'static str| {
            let view = batch.column_by_name(column).and_then(|c| AttributesView::new(&**c));
            view.ok_or(EvalError::Schema { column })
        };
        Ok(Self {
            labels: typed(batch, "labels")?,
            times: typed(batch, "timestamp_ns")?,
            lines: typed(batch, "line")?,
            structured: pairs("structured")?,
            parsed: pairs("parsed")?,
        })
    }

    fn entry(&self, row: usize) -> LogEntry {
        let texts =
            |view: &AttributesView<'_>| view.row(row).map(|(n, v)| (n.to_owned(), v.to_string())).collect();
        LogEntry {
            timestamp_ns: self.times.value(row),
            line: self.lines.value(row).to_owned(),
            structured: texts(&self.structured),
            parsed: texts(&self.parsed),
        }
    }
}

/// The first or the last `limit` lines of all batches, by their labels.
pub(super) fn join(
    batches: &[RecordBatch],
    limit: usize,
    direction: Direction,
) -> Result<Vec<Stream>, EvalError> {
    let columns: Vec<Columns<'_>> = batches.iter().map(Columns::new).collect::<Result<_, _>>()?;
    let mut order: Vec<(i64, usize, usize)> = Vec::new();
    for (number, batch) in columns.iter().enumerate() {
        order.extend(batch.times.values().iter().enumerate().map(|(row, time)| {
            let rank = if direction == Direction::Forward { *time } else { !*time };
            (rank, number, row)
        }));
    }
    order.sort_unstable();
    order.truncate(limit);
    let mut streams: BTreeMap<Labels, Vec<LogEntry>> = BTreeMap::new();
    let mut known: hashbrown::HashMap<&[u8], Labels> = hashbrown::HashMap::new();
    for (_, number, row) in order {
        let batch = &columns[number];
        let bytes = batch.labels.value(row);
        let labels = match known.get(bytes) {
            Some(labels) => labels.clone(),
            None => {
                let labels = Labels::from_bytes(bytes).map_err(|_| EvalError::Schema { column: "labels" })?;
                known.insert(bytes, labels.clone());
                labels
            }
        };
        streams.entry(labels).or_default().push(batch.entry(row));
    }
    Ok(streams.into_iter().map(|(labels, entries)| Stream { labels, entries }).collect())
}
