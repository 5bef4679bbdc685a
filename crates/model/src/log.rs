//! A batch of log lines: the streams that it names, and columns of lines that point to them by number.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryBuilder, FixedSizeBinaryBuilder, Int64Builder, RecordBatch,
    StringBuilder, UInt8Builder, UInt32Builder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::attributes::{AttributeRef, AttributesBuilder, attributes_type};
use crate::labels::Labels;

/// `labels` (canonical bytes): a row per stream.
pub static STREAMS_SCHEMA: LazyLock<SchemaRef> =
    LazyLock::new(|| Arc::new(Schema::new(vec![Field::new("labels", DataType::Binary, false)])));

/// A row per line: `stream` (row number in the streams), `timestamp_ns`, `line`, `severity` (OpenTelemetry's number,
/// 0 where unknown), `trace_id`, `span_id` (null where absent), `metadata` (structured metadata, typed).
pub static ENTRIES_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("stream", DataType::UInt32, false),
        Field::new("timestamp_ns", DataType::Int64, false),
        Field::new("line", DataType::Utf8, false),
        Field::new("severity", DataType::UInt8, false),
        Field::new("trace_id", DataType::FixedSizeBinary(16), true),
        Field::new("span_id", DataType::FixedSizeBinary(8), true),
        Field::new("metadata", attributes_type(), false),
    ]))
});

/// The label that names a stream's service. Receivers add it: limits of a tenant do not count it.
pub const SERVICE_NAME: &str = "service_name";

/// The structured metadata that carries a line's level. Receivers add it: limits of a tenant do not count it.
pub const DETECTED_LEVEL: &str = "detected_level";

/// Lines of one tenant, in any order.
#[derive(Clone, Debug)]
pub struct LogBatch {
    /// The streams that the entries point to.
    pub streams: RecordBatch,
    /// The lines.
    pub entries: RecordBatch,
}

impl LogBatch {
    /// The canonical label bytes of the streams.
    #[must_use]
    pub fn label_bytes(&self) -> &BinaryArray {
        let column = self.streams.column(0).as_any().downcast_ref();
        column.expect("a log batch is built with its schema")
    }
}

/// A line's fields besides its structured metadata.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry<'a> {
    /// When it happened.
    pub timestamp_ns: i64,
    /// The text.
    pub line: &'a str,
    /// OpenTelemetry's severity number, 0 where unknown.
    pub severity: u8,
    /// The trace that it belongs to.
    pub trace_id: Option<[u8; 16]>,
    /// The span that it belongs to.
    pub span_id: Option<[u8; 8]>,
}

/// Builds a [`LogBatch`]. It does not look for equal streams: a caller that may meet a stream twice keeps its number.
#[derive(Debug)]
pub struct LogBatchBuilder {
    stream_count: u32,
    labels: BinaryBuilder,
    streams: UInt32Builder,
    timestamps: Int64Builder,
    lines: StringBuilder,
    severities: UInt8Builder,
    trace_ids: FixedSizeBinaryBuilder,
    span_ids: FixedSizeBinaryBuilder,
    metadata: AttributesBuilder,
}

impl Default for LogBatchBuilder {
    fn default() -> Self {
        Self {
            stream_count: 0,
            labels: BinaryBuilder::new(),
            streams: UInt32Builder::new(),
            timestamps: Int64Builder::new(),
            lines: StringBuilder::new(),
            severities: UInt8Builder::new(),
            trace_ids: FixedSizeBinaryBuilder::new(16),
            span_ids: FixedSizeBinaryBuilder::new(8),
            metadata: AttributesBuilder::default(),
        }
    }
}

impl LogBatchBuilder {
    /// Adds a stream and gives its number.
    pub fn stream(&mut self, labels: &Labels) -> u32 {
        self.labels.append_value(labels.as_bytes());
        self.stream_count += 1;
        self.stream_count - 1
    }

    /// Adds a pair to the structured metadata of the line that comes next.
    pub fn metadata(&mut self, name: &str, value: AttributeRef<'_>) {
        self.metadata.push(name, value);
    }

    /// Adds a line with the metadata pushed since the last one.
    pub fn entry(&mut self, stream: u32, entry: Entry<'_>) {
        self.streams.append_value(stream);
        self.timestamps.append_value(entry.timestamp_ns);
        self.lines.append_value(entry.line);
        self.severities.append_value(entry.severity);
        match entry.trace_id {
            Some(id) => self.trace_ids.append_value(id).expect("the width is the builder's"),
            None => self.trace_ids.append_null(),
        }
        match entry.span_id {
            Some(id) => self.span_ids.append_value(id).expect("the width is the builder's"),
            None => self.span_ids.append_null(),
        }
        self.metadata.end_row();
    }

    /// Lines so far.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.metadata.rows()
    }

    /// The batch; the builder is empty afterwards.
    pub fn finish(&mut self) -> LogBatch {
        self.stream_count = 0;
        let streams = RecordBatch::try_new(Arc::clone(&STREAMS_SCHEMA), vec![Arc::new(self.labels.finish())]);
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.streams.finish()),
            Arc::new(self.timestamps.finish()),
            Arc::new(self.lines.finish()),
            Arc::new(self.severities.finish()),
            Arc::new(self.trace_ids.finish()),
            Arc::new(self.span_ids.finish()),
            Arc::new(self.metadata.finish()),
        ];
        // It stays in memory for a while, and the builders have grown by doubling.
        columns.iter_mut().for_each(|column| column.shrink_to_fit());
        let entries = RecordBatch::try_new(Arc::clone(&ENTRIES_SCHEMA), columns);
        LogBatch {
            streams: streams.expect("the builders are of the schema's types"),
            entries: entries.expect("the builders are of the schema's types"),
        }
    }
}
