//! The lines that a worker keeps: the first or the last so many of all that pass.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, Int64Builder, RecordBatch, StringBuilder};
use hashbrown::HashMap;
use model::attributes::{AttributeRef, AttributesBuilder};
use model::{Labels, TimeRange};

use super::LINES_SCHEMA;
use super::entries::Entries;
use crate::error::EvalError;
use crate::pipeline::Pipeline;
use crate::pipeline::row::{Category, ERROR, ERROR_DETAILS, Row};
use crate::value::Direction;

/// How many bytes of label sets of one stream are remembered.
const MAX_INTERNED_BYTES: usize = 4 << 20;

/// The labels of a line, shared by all that have the same.
#[derive(Debug)]
struct LineLabels {
    labels: Labels,
    structured: Vec<(String, String)>,
    parsed: Vec<(String, String)>,
}

/// Keeps the best lines; the worst of them is on top of the heap.
#[derive(Debug)]
pub(crate) struct KeptLines {
    limit: usize,
    direction: Direction,
    heap: BinaryHeap<Kept>,
    taken: u64,
    text_bytes: usize,
    interned: HashMap<Box<[u8]>, Arc<LineLabels>>,
    interned_bytes: usize,
    key: Vec<u8>,
}

#[derive(Debug)]
struct Kept {
    rank: (i64, u64),
    timestamp_ns: i64,
    line: String,
    labels: Arc<LineLabels>,
}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Kept {}

impl KeptLines {
    /// Keeps at most `limit` lines.
    pub(crate) fn new(limit: usize, direction: Direction) -> Self {
        Self {
            limit,
            direction,
            heap: BinaryHeap::new(),
            taken: 0,
            text_bytes: 0,
            interned: HashMap::new(),
            interned_bytes: 0,
            key: Vec::new(),
        }
    }

    /// Smaller is better.
    fn rank(&self, timestamp_ns: i64) -> i64 {
        match self.direction {
            Direction::Forward => timestamp_ns,
            Direction::Backward => !timestamp_ns,
        }
    }

    /// Whether no line of the time, nor any that comes after it in this stream, can be kept.
    fn is_out(&self, timestamp_ns: i64) -> bool {
        let worst = self.heap.peek().map(|kept| kept.rank.0);
        self.heap.len() >= self.limit && worst.is_none_or(|worst| self.rank(timestamp_ns) >= worst)
    }

    /// Takes the lines of a stream that its column filters kept.
    pub(crate) fn entries(
        &mut self,
        pipeline: &Pipeline,
        stream: &Labels,
        entries: &Entries<'_>,
        rows: &[u32],
    ) {
        self.forget();
        let mut row = Row::new(stream);
        let mut text = String::new();
        let backward = self.direction == Direction::Backward;
        for i in 0..rows.len() {
            let index = rows[if backward { rows.len() - 1 - i } else { i }];
            let timestamp_ns = entries.timestamp_ns(index);
            if self.is_out(timestamp_ns) {
                return;
            }
            entries.load(index, pipeline.metadata(), &mut row, &mut text);
            let Some(passed) = pipeline.process(entries.line(index), &mut row) else { continue };
            let labels = self.intern(stream, &row);
            let line = passed.line.into_owned();
            self.text_bytes += line.len() + 2 * labels.labels.as_bytes().len();
            self.taken += 1;
            let rank = (self.rank(timestamp_ns), self.taken);
            self.heap.push(Kept { rank, timestamp_ns, line, labels });
            if self.heap.len() > self.limit
                && let Some(worst) = self.heap.pop()
            {
                self.text_bytes -= worst.line.len() + 2 * worst.labels.labels.as_bytes().len();
            }
        }
    }

    fn intern(&mut self, stream: &Labels, row: &Row) -> Arc<LineLabels> {
        self.key.clear();
        row.fingerprint(&mut self.key);
        if let Some(known) = self.interned.get(self.key.as_slice()) {
            return Arc::clone(known);
        }
        let of = |category| {
            let pairs = row.fields().filter(move |(c, ..)| *c == category);
            pairs.map(|(_, n, v)| (n.to_owned(), v.to_owned())).collect::<Vec<_>>()
        };
        let mut parsed = of(Category::Parsed);
        for name in [ERROR, ERROR_DETAILS] {
            parsed.extend(row.get(name).map(|value| (name.to_owned(), value.to_owned())));
        }
        let labels = if row.is_plain() { stream.clone() } else { Labels::from_pairs(row.all()) };
        let made = Arc::new(LineLabels { labels, structured: of(Category::Structured), parsed });
        if self.interned_bytes > MAX_INTERNED_BYTES {
            self.forget();
        }
        self.interned_bytes += self.key.len() + 64;
        self.interned.insert(self.key.as_slice().into(), Arc::clone(&made));
        made
    }

    fn forget(&mut self) {
        self.interned.clear();
        self.interned_bytes = 0;
    }

    /// Whether a line of a time may be kept.
    pub(crate) fn is_wanted(&self, time: TimeRange) -> bool {
        !self.is_out(match self.direction {
            Direction::Forward => time.start_ns,
            Direction::Backward => time.end_ns,
        })
    }

    /// How much memory it holds at most: label sets that lines share are counted for each. A set is held as bytes, as
    /// pairs and as a key.
    pub(crate) fn memory_bytes(&self) -> usize {
        let sets = self.interned_bytes * 3;
        self.text_bytes + self.heap.capacity() * (size_of::<Kept>() + size_of::<LineLabels>()) + sets
    }

    /// The lines, best first.
    pub(crate) fn finish(self) -> Result<RecordBatch, EvalError> {
        let (mut labels, mut times, mut lines) =
            (BinaryBuilder::new(), Int64Builder::new(), StringBuilder::new());
        let (mut structured, mut parsed) = (AttributesBuilder::default(), AttributesBuilder::default());
        for kept in self.heap.into_sorted_vec() {
            labels.append_value(kept.labels.labels.as_bytes());
            times.append_value(kept.timestamp_ns);
            lines.append_value(&kept.line);
            for (builder, pairs) in
                [(&mut structured, &kept.labels.structured), (&mut parsed, &kept.labels.parsed)]
            {
                for (name, value) in pairs {
                    builder.push(name, AttributeRef::String(value));
                }
                builder.end_row();
            }
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(labels.finish()),
            Arc::new(times.finish()),
            Arc::new(lines.finish()),
            Arc::new(structured.finish()),
            Arc::new(parsed.finish()),
        ];
        RecordBatch::try_new(Arc::clone(&LINES_SCHEMA), columns)
            .map_err(|_| EvalError::Schema { column: "line" })
    }
}
