//! The series of a range aggregation that a worker builds, window by window.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, Float64Builder, Int64Builder, ListBuilder, RecordBatch};
use hashbrown::HashMap;
use model::Labels;

use super::SERIES_SCHEMA;
use super::entries::Entries;
use crate::ast::{Grouping, RangeOp};
use crate::error::EvalError;
use crate::pipeline::Pipeline;
use crate::pipeline::row::{Row, push_part};
use crate::range::{Accumulator, Kernel, Windows};

/// How many bytes of the ways in which one stream's lines are labelled are remembered.
const MAX_KEY_BYTES: usize = 8 << 20;

/// What a metric leaf computes.
#[derive(Debug)]
pub(crate) struct SampleSpec {
    pub(crate) op: RangeOp,
    /// The φ of a quantile; 0 elsewhere.
    pub(crate) param: f64,
    pub(crate) unwrapped: bool,
    pub(crate) windows: Windows,
    /// The labels of its series; all when absent.
    pub(crate) grouping: Option<Grouping>,
}

impl SampleSpec {
    /// Whether the aggregation itself reads the text.
    pub(crate) fn reads_line(&self) -> bool {
        matches!(self.op, RangeOp::BytesOverTime | RangeOp::BytesRate)
    }

    /// Whether the series depend on labels at all.
    pub(crate) fn reads_labels(&self) -> bool {
        self.grouping.as_ref().is_none_or(|g| g.without || !g.labels.is_empty())
    }

    /// What is kept per window.
    pub(crate) fn kernel(&self) -> Kernel {
        if self.unwrapped { Kernel::of(self.op) } else { Kernel::Sum }
    }

    /// Whether all lines of the stream belong to one series.
    fn is_fixed(&self, pipeline: &Pipeline, row: &Row) -> bool {
        let by_stream = |g: &Grouping| !g.without && g.labels.iter().all(|name| row.stream_has(name));
        pipeline.is_columnar() && self.grouping.as_ref().is_some_and(by_stream)
    }

    fn empty(&self) -> Accumulator {
        if self.unwrapped {
            Accumulator::states(self.kernel(), self.windows.count)
        } else {
            Accumulator::counts(self.windows.count, self.reads_line())
        }
    }

    fn series_labels(&self, row: &Row) -> Labels {
        match &self.grouping {
            None => Labels::from_pairs(row.all()),
            Some(g) => {
                Labels::from_pairs(row.all().filter(|(n, _)| g.labels.iter().any(|l| l == n) != g.without))
            }
        }
    }
}

/// The series so far.
#[derive(Debug, Default)]
pub(crate) struct SeriesSamples {
    numbers: HashMap<Labels, usize>,
    series: Vec<Accumulator>,
    keys: HashMap<Box<[u8]>, usize>,
    stream: Option<Labels>,
    key_bytes: usize,
    key: Vec<u8>,
    /// The key before, and its number: neighbours mostly have the same.
    last_key: Vec<u8>,
    last: Option<usize>,
    bytes: usize,
}

impl SeriesSamples {
    /// Takes the lines of a stream that its column filters kept.
    pub(crate) fn entries(
        &mut self,
        spec: &SampleSpec,
        pipeline: &Pipeline,
        stream: &Labels,
        entries: &Entries<'_>,
        rows: &[u32],
    ) -> Result<(), EvalError> {
        if self.stream.as_ref() != Some(stream) {
            self.forget();
            self.stream = Some(stream.clone());
        }
        let Some(first) = rows.first() else { return Ok(()) };
        let mut row = Row::new(stream);
        if spec.is_fixed(pipeline, &row) {
            row.reset(entries.timestamp_ns(*first));
            let series = self.number(spec, &row);
            self.series[series].add_stretches(spec, entries, rows);
            return Ok(());
        }
        let mut text = String::new();
        let kernel = spec.kernel();
        let (mut windows, mut last_ns) = spec.windows.stretch(entries.timestamp_ns(*first));
        for index in rows {
            entries.load(*index, pipeline.metadata(), &mut row, &mut text);
            let Some(passed) = pipeline.process(entries.line(*index), &mut row) else { continue };
            if let Some(error) = row.error() {
                let series = Labels::from_pairs(row.all()).to_string();
                return Err(EvalError::Pipeline { error: error.to_owned(), series });
            }
            let series = self.number(spec, &row);
            let accumulator = &mut self.series[series];
            match passed.sample {
                Some(value) => accumulator.add_value(kernel, &spec.windows, row.timestamp_ns, value),
                None => {
                    if row.timestamp_ns > last_ns {
                        (windows, last_ns) = spec.windows.stretch(row.timestamp_ns);
                    }
                    accumulator.add_lines(&windows, 1, byte_length(&passed.line));
                }
            }
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.keys.clear();
        self.last = None;
        self.key_bytes = 0;
    }

    /// The number of the series that a line belongs to.
    fn number(&mut self, spec: &SampleSpec, row: &Row) -> usize {
        self.key.clear();
        match &spec.grouping {
            Some(g) if !g.without => {
                g.labels.iter().for_each(|name| push_part(&mut self.key, row.get(name).unwrap_or_default()));
            }
            _ => row.fingerprint(&mut self.key),
        }
        if let Some(number) = self.last.filter(|_| self.key == self.last_key) {
            return number;
        }
        let number = self.number_of_key(spec, row);
        self.last = Some(number);
        std::mem::swap(&mut self.key, &mut self.last_key);
        number
    }

    fn number_of_key(&mut self, spec: &SampleSpec, row: &Row) -> usize {
        if let Some(number) = self.keys.get(self.key.as_slice()) {
            return *number;
        }
        let labels = spec.series_labels(row);
        let number = *self.numbers.entry(labels).or_insert_with_key(|labels| {
            let accumulator = spec.empty();
            self.bytes += accumulator.memory_bytes() + labels.as_bytes().len() + 128;
            self.series.push(accumulator);
            self.series.len() - 1
        });
        if self.key_bytes > MAX_KEY_BYTES {
            self.forget();
        }
        self.key_bytes += self.key.len() + 64;
        self.keys.insert(self.key.as_slice().into(), number);
        number
    }

    /// How much memory it holds.
    pub(crate) fn memory_bytes(&self) -> usize {
        let samples: usize = self
            .series
            .iter()
            .map(|a| match a {
                Accumulator::Samples(_) => a.memory_bytes(),
                _ => 0,
            })
            .sum();
        self.bytes + samples + self.key_bytes
    }

    /// The series, of `SERIES_SCHEMA`.
    pub(crate) fn finish(self, spec: &SampleSpec) -> Result<RecordBatch, EvalError> {
        let mut labels = BinaryBuilder::new();
        let mut times = ListBuilder::new(Int64Builder::new());
        let mut values = ListBuilder::new(Float64Builder::new());
        let width = spec.kernel().width();
        let mut numbers: Vec<(Labels, usize)> = self.numbers.into_iter().collect();
        numbers.sort();
        for (series, number) in numbers {
            labels.append_value(series.as_bytes());
            match &self.series[number] {
                Accumulator::Samples(samples) => {
                    for (timestamp_ns, value) in samples {
                        times.values().append_value(*timestamp_ns);
                        values.values().append_value(*value);
                    }
                }
                accumulator => accumulator.for_each_window(width, |state| match state {
                    Some(state) => values.values().append_slice(state),
                    None => values.values().append_nulls(width),
                }),
            }
            times.append(true);
            values.append(true);
        }
        let columns: Vec<ArrayRef> =
            vec![Arc::new(labels.finish()), Arc::new(times.finish()), Arc::new(values.finish())];
        RecordBatch::try_new(Arc::clone(&SERIES_SCHEMA), columns)
            .map_err(|_| EvalError::Schema { column: "values" })
    }
}

impl Accumulator {
    /// Adds lines, which ascend in time, stretch by stretch of those that belong to the same windows.
    fn add_stretches(&mut self, spec: &SampleSpec, entries: &Entries<'_>, mut rows: &[u32]) {
        while let Some(first) = rows.first() {
            let (windows, last_ns) = spec.windows.stretch(entries.timestamp_ns(*first));
            let count = rows.partition_point(|row| entries.timestamp_ns(*row) <= last_ns);
            let (stretch, rest) = rows.split_at(count);
            let amount = if spec.reads_line() {
                stretch.iter().map(|row| byte_length(entries.line(*row))).sum()
            } else {
                0
            };
            self.add_lines(&windows, i64::try_from(count).unwrap_or(i64::MAX), amount);
            rows = rest;
        }
    }
}

fn byte_length(line: &str) -> i64 {
    i64::try_from(line.len()).unwrap_or(i64::MAX)
}
