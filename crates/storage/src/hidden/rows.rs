//! Rows of series and streams that may not be seen, by their numbers.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, FixedSizeBinaryArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use memchr::memmem::Finder;
use model::attributes::AttributesView;
use model::{AttributeRef, Labels, Matcher, TimeRange};
use regex::{Regex, RegexBuilder};
use roaring::RoaringBitmap;

use crate::bounds::MAX_LINE_REGEX_BYTES;
use crate::error::StorageError;
use crate::manifest::keeping::{LineOp, LineTest};
use crate::signal::{Keys, Table};

/// Columns of [`model::log::ENTRIES_SCHEMA`].
const LINE_COLUMN: usize = 2;
const TRACE_ID_COLUMN: usize = 4;
const SPAN_ID_COLUMN: usize = 5;
const METADATA_COLUMN: usize = 6;

/// What follows the name of structured metadata that the stream has a label of, where label filters name it.
const EXTRACTED: &str = "_extracted";

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

/// A condition on a line's labels, ready to be used.
#[derive(Clone, Debug)]
pub(crate) struct LabelTest {
    matcher: Matcher,
    /// The name of the structured metadata that it looks at.
    key: String,
}

impl LabelTest {
    /// A condition as label filters name it.
    pub(crate) fn new(matcher: Matcher) -> Self {
        Self { key: matcher.name.clone(), matcher }
    }
}

/// What of some conditions is left to be looked at in the lines of a stream; none where no line of it can meet them.
/// Labels of the stream go before structured metadata, which has another name then.
pub(crate) fn left(tests: &Arc<[LabelTest]>, stream: &Labels) -> Option<Arc<[LabelTest]>> {
    let of_stream = |test: &LabelTest| stream.get(&test.matcher.name);
    if tests.iter().all(|test| of_stream(test).is_none() && renamed(test, stream).is_none()) {
        return Some(Arc::clone(tests));
    }
    let mut left = Vec::new();
    for test in tests.iter() {
        match (of_stream(test), renamed(test, stream)) {
            (Some(value), _) if test.matcher.matches(value) => {}
            (Some(_), _) => return None,
            (None, Some(base)) => left.push(LabelTest { key: base.to_owned(), ..test.clone() }),
            (None, None) => left.push(test.clone()),
        }
    }
    Some(left.into())
}

/// The structured metadata that a condition is about, where the stream has a label of its name.
fn renamed<'a>(test: &'a LabelTest, stream: &Labels) -> Option<&'a str> {
    test.key.strip_suffix(EXTRACTED).filter(|base| stream.get(base).is_some())
}

/// The columns of lines that conditions look at.
struct Lines<'a> {
    texts: &'a StringArray,
    ids: [(&'static str, &'a FixedSizeBinaryArray); 2],
    metadata: AttributesView<'a>,
}

impl<'a> Lines<'a> {
    fn new(batch: &'a RecordBatch) -> Result<Self, StorageError> {
        let metadata = AttributesView::new(&**batch.column(METADATA_COLUMN));
        let metadata =
            metadata.ok_or_else(|| StorageError::Internal("a batch is none of lines".to_owned()))?;
        let ids = |name, column| (name, batch.column(column).as_fixed_size_binary());
        Ok(Self {
            texts: batch.column(LINE_COLUMN).as_string(),
            ids: [ids("trace_id", TRACE_ID_COLUMN), ids("span_id", SPAN_ID_COLUMN)],
            metadata,
        })
    }

    fn meets(&self, row: usize, test: &LabelTest) -> bool {
        let mut ids = self.ids.iter();
        let id = ids.find(|(name, ids)| *name == test.key && ids.is_valid(row));
        if let Some((_, ids)) = id {
            let mut text = String::with_capacity(32);
            ids.value(row)
                .iter()
                .for_each(|byte| write!(text, "{byte:02x}").expect("a text takes what is written"));
            return test.matcher.matches(&text);
        }
        match self.metadata.row(row).filter(|(key, _)| *key == test.key).last() {
            None => test.matcher.matches(""),
            Some((_, AttributeRef::String(value))) => test.matcher.matches(value),
            Some((_, value)) => test.matcher.matches(&value.to_string()),
        }
    }
}

/// Rows of one series or stream.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    /// The first and the last value of the time column.
    pub(crate) bounds: (i64, i64),
    /// What their text meets, all of it.
    pub(crate) lines: Arc<[Test]>,
    /// What their labels meet, all of it.
    pub(crate) labels: Arc<[LabelTest]>,
}

impl Cut {
    fn has(&self, time: i64) -> bool {
        (self.bounds.0..=self.bounds.1).contains(&time)
    }

    /// Whether it has all rows of its time.
    fn is_whole(&self) -> bool {
        self.lines.is_empty() && self.labels.is_empty()
    }

    fn has_line(&self, lines: Option<&Lines<'_>>, row: usize) -> bool {
        self.is_whole()
            || lines.is_some_and(|lines| {
                self.lines.iter().all(|test| test.is_met(lines.texts.value(row)))
                    && self.labels.iter().all(|test| lines.meets(row, test))
            })
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
        let is_whole = |cut: &Cut| cut.is_whole() && cut.bounds.0 <= first && last <= cut.bounds.1;
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

    /// The columns of lines that must be looked at, a bit each.
    pub(crate) fn columns(&self) -> u64 {
        let mut cuts = self.cuts.values().flatten();
        let lines = cuts.clone().any(|cut| !cut.lines.is_empty());
        let labels = cuts.any(|cut| !cut.labels.is_empty());
        let of_labels = 1 << TRACE_ID_COLUMN | 1 << SPAN_ID_COLUMN | 1 << METADATA_COLUMN;
        u64::from(lines) << LINE_COLUMN | if labels { of_labels } else { 0 }
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
        let lines = (table == Table::Entries).then(|| Lines::new(&batch)).transpose()?;
        let mut keep = Vec::with_capacity(batch.num_rows());
        for stretch in stretches.by_ref() {
            let cuts = self.cuts.get(&stretch[0]).map(Vec::as_slice).unwrap_or_default();
            for row in keep.len()..keep.len() + stretch.len() {
                let is_cut = |cut: &Cut| cut.has(keys.times()[row]) && cut.has_line(lines.as_ref(), row);
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
