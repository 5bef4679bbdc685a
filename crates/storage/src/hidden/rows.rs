//! Rows of series and streams that may not be seen, by their numbers.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use memchr::memmem::Finder;
use model::TimeRange;
use regex::{Regex, RegexBuilder};
use roaring::RoaringBitmap;

use crate::bounds::MAX_LINE_REGEX_BYTES;
use crate::error::StorageError;
use crate::manifest::keeping::{LineOp, LineTest};
use crate::signal::{Keys, Table};

/// The column of the line's text.
const LINE_COLUMN: usize = 2;

/// A condition on a line's text, ready to be used.
#[derive(Debug)]
pub(crate) struct Test {
    texts: Vec<Finder<'static>>,
    expressions: Vec<Regex>,
    /// Whether none may fit instead of one.
    is_negative: bool,
}

impl Test {
    /// Compiles a condition.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] where an expression is none or is too large.
    pub(crate) fn new(of: &LineTest) -> Result<Self, StorageError> {
        let is_negative = matches!(of.op, LineOp::Lacks | LineOp::Differs);
        if matches!(of.op, LineOp::Contains | LineOp::Lacks) {
            let texts = of.texts.iter().map(|text| Finder::new(text).into_owned()).collect();
            return Ok(Self { texts, expressions: Vec::new(), is_negative });
        }
        let compile = |text: &String| RegexBuilder::new(text).size_limit(MAX_LINE_REGEX_BYTES).build();
        let expressions: Result<Vec<Regex>, regex::Error> = of.texts.iter().map(compile).collect();
        let expressions =
            expressions.map_err(|error| StorageError::corrupt("a line filter of a manifest", error))?;
        Ok(Self { texts: Vec::new(), expressions, is_negative })
    }

    fn is_met(&self, line: &str) -> bool {
        let fits = self.texts.iter().any(|text| text.find(line.as_bytes()).is_some())
            || self.expressions.iter().any(|expression| expression.is_match(line));
        fits != self.is_negative
    }
}

/// Rows of one series or stream.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    /// The first and the last value of the time column.
    pub(crate) bounds: (i64, i64),
    /// What their lines meet, all of it.
    pub(crate) tests: Arc<[Test]>,
}

impl Cut {
    fn has(&self, time: i64) -> bool {
        (self.bounds.0..=self.bounds.1).contains(&time)
    }
}

/// What may not be seen of a head or segment.
#[derive(Clone, Debug)]
pub(crate) struct Veil {
    cuts: HashMap<u32, Vec<Cut>>,
    /// The numbers that have nothing to be seen.
    pub(crate) gone: RoaringBitmap,
}

impl Veil {
    /// The veil of rows that all lie between two values of the time column.
    pub(crate) fn new(cuts: HashMap<u32, Vec<Cut>>, (first, last): (i64, i64)) -> Self {
        let is_whole = |cut: &Cut| cut.tests.is_empty() && cut.bounds.0 <= first && last <= cut.bounds.1;
        let gone = cuts.iter().filter(|(_, cuts)| cuts.iter().any(is_whole)).map(|(number, _)| *number);
        let gone = gone.collect();
        Self { cuts, gone }
    }

    /// The veil under a reader's numbers, each given with the source's.
    pub(crate) fn renumbered(mut self, numbers: &[(u32, u32)]) -> Option<Self> {
        let cuts = numbers.iter().filter_map(|(reader, own)| Some((*reader, self.cuts.remove(own)?)));
        let cuts: HashMap<u32, Vec<Cut>> = cuts.collect();
        (!cuts.is_empty()).then(|| Self { cuts, gone: RoaringBitmap::new() })
    }

    /// Whether lines must be looked at.
    pub(crate) fn reads_lines(&self) -> bool {
        self.cuts.values().flatten().any(|cut| !cut.tests.is_empty())
    }

    /// The rows of a batch of the table's schema that may be seen.
    ///
    /// # Errors
    /// When Arrow cannot copy the rows.
    pub(crate) fn visible(&self, table: Table, batch: RecordBatch) -> Result<RecordBatch, StorageError> {
        let keys = Keys::new(table, &batch);
        let numbers = keys.numbers();
        let mut stretches = numbers.chunk_by(|a, b| a == b);
        if !stretches.clone().any(|stretch| self.cuts.contains_key(&stretch[0])) {
            return Ok(batch);
        }
        let lines = (table == Table::Entries).then(|| batch.column(LINE_COLUMN).as_string::<i32>());
        let mut keep = Vec::with_capacity(batch.num_rows());
        for stretch in stretches.by_ref() {
            let cuts = self.cuts.get(&stretch[0]).map(Vec::as_slice).unwrap_or_default();
            for row in keep.len()..keep.len() + stretch.len() {
                let is_cut = |cut: &Cut| {
                    let line = || lines.map_or("", |lines| lines.value(row));
                    cut.has(keys.times()[row]) && cut.tests.iter().all(|test| test.is_met(line()))
                };
                keep.push(!cuts.iter().any(is_cut));
            }
        }
        if keep.iter().all(|keep| *keep) {
            return Ok(batch);
        }
        Ok(filter_record_batch(&batch, &BooleanArray::from(keep))?)
    }
}

/// What is left of a range without others.
pub(crate) fn without(range: TimeRange, others: impl Iterator<Item = TimeRange>) -> Vec<TimeRange> {
    let mut left = vec![range];
    for other in others {
        let around = |range: TimeRange| {
            if !range.overlaps(other) {
                return vec![range];
            }
            let before = other.start_ns.checked_sub(1).map(|end_ns| TimeRange::new(range.start_ns, end_ns));
            let after = other.end_ns.checked_add(1).map(|start_ns| TimeRange::new(start_ns, range.end_ns));
            let parts = [before, after].into_iter().flatten();
            parts.filter(|part| part.start_ns <= part.end_ns).collect()
        };
        left = left.into_iter().flat_map(around).collect();
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(op: LineOp, texts: &[&str]) -> Test {
        Test::new(&LineTest { op, texts: texts.iter().map(|text| (*text).to_owned()).collect() }).unwrap()
    }

    #[test]
    fn lines_are_looked_at_as_line_filters_do() {
        assert!(test(LineOp::Contains, &["b", "x"]).is_met("abc"));
        assert!(!test(LineOp::Contains, &["x"]).is_met("abc"));
        assert!(test(LineOp::Lacks, &["x", "y"]).is_met("abc"));
        assert!(!test(LineOp::Lacks, &["x", "b"]).is_met("abc"));
        assert!(test(LineOp::Matches, &["^a.c$"]).is_met("abc"));
        assert!(!test(LineOp::Matches, &["^b"]).is_met("abc"));
        assert!(test(LineOp::Differs, &["^b"]).is_met("abc"));
    }

    #[test]
    fn ranges_are_taken_out_of_a_range() {
        let range = |start, end| TimeRange::new(start, end);
        let cases: [(&[TimeRange], &[TimeRange]); 5] = [
            (&[], &[range(0, 9)]),
            (&[range(3, 4)], &[range(0, 2), range(5, 9)]),
            (&[range(-5, 0), range(9, 20)], &[range(1, 8)]),
            (&[range(i64::MIN, i64::MAX)], &[]),
            (&[range(20, 30)], &[range(0, 9)]),
        ];
        for (others, left) in cases {
            assert_eq!(without(range(0, 9), others.iter().copied()), left, "{others:?}");
        }
    }
}
