//! A batch of entries by its typed columns.

use std::fmt::Write as _;
use std::ops::Range;

use arrow::array::{Array, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray};
use model::TimeRange;
use model::attributes::{AttributeRef, AttributesView};

use crate::error::EvalError;
use crate::pipeline::row::{Category, Row};
use crate::pipeline::wanted::Wanted;

/// The columns that a worker reads.
#[derive(Debug)]
pub(crate) struct Entries<'a> {
    timestamps: &'a Int64Array,
    pub(crate) lines: &'a StringArray,
    trace_ids: &'a FixedSizeBinaryArray,
    span_ids: &'a FixedSizeBinaryArray,
    metadata: AttributesView<'a>,
}

impl<'a> Entries<'a> {
    /// Looks at a batch of `ENTRIES_SCHEMA`.
    pub(crate) fn new(batch: &'a RecordBatch) -> Result<Self, EvalError> {
        fn typed<'b, T: 'static>(batch: &'b RecordBatch, column: &'static str) -> Result<&'b T, EvalError> {
            let array = batch.column_by_name(column).and_then(|c| c.as_any().downcast_ref());
            array.ok_or(EvalError::Schema { column })
        }
        let metadata = batch.column_by_name("metadata").and_then(|c| AttributesView::new(&**c));
        Ok(Self {
            timestamps: typed(batch, "timestamp_ns")?,
            lines: typed(batch, "line")?,
            trace_ids: typed(batch, "trace_id")?,
            span_ids: typed(batch, "span_id")?,
            metadata: metadata.ok_or(EvalError::Schema { column: "metadata" })?,
        })
    }

    /// The rows within a range of time.
    pub(crate) fn within(&self, range: TimeRange) -> Range<u32> {
        let times = self.timestamps.values();
        let row = |i: usize| u32::try_from(i).unwrap_or(u32::MAX);
        let start = times.partition_point(|t| *t < range.start_ns);
        let end = times.partition_point(|t| *t <= range.end_ns).max(start);
        row(start)..row(end)
    }

    /// The bytes of consecutive rows' lines.
    pub(crate) fn bytes(&self, rows: &[u32]) -> u64 {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return 0 };
        let offsets = self.lines.value_offsets();
        u64::try_from(offsets[*last as usize + 1] - offsets[*first as usize]).unwrap_or(0)
    }

    /// When the line was written.
    pub(crate) fn timestamp_ns(&self, row: u32) -> i64 {
        self.timestamps.value(row as usize)
    }

    /// The line.
    pub(crate) fn line(&self, row: u32) -> &'a str {
        self.lines.value(row as usize)
    }

    /// Sets up the labels of a line: its stream's and its structured metadata as far as that is wanted, trace and span
    /// ids among it.
    pub(crate) fn load(&self, index: u32, wanted: &Wanted, row: &mut Row, text: &mut String) {
        row.reset(self.timestamp_ns(index));
        for (name, value) in self.metadata.row(index as usize).filter(|(name, _)| wanted.accepts(name)) {
            if let AttributeRef::String(value) = value {
                row.extract(Category::Structured, name, value);
            } else {
                text.clear();
                let _ = write!(text, "{value}");
                row.extract(Category::Structured, name, text);
            }
        }
        for (name, ids) in [("trace_id", self.trace_ids), ("span_id", self.span_ids)] {
            if ids.is_valid(index as usize) && wanted.accepts(name) {
                text.clear();
                for byte in ids.value(index as usize) {
                    let _ = write!(text, "{byte:02x}");
                }
                row.extract(Category::Structured, name, text);
            }
        }
    }
}
