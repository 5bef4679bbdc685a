//! What happens to a line between its stream and the answer: the stages of a query, compiled. A file per stage.
//!
//! Filters on the text that see the line as it was written run first, on a whole column; the rest line by line.

pub(crate) mod decolorize;
pub(crate) mod drop;
pub(crate) mod ip;
pub(crate) mod json;
pub(crate) mod keep;
pub(crate) mod label_filter;
pub(crate) mod label_format;
pub(crate) mod line_filter;
pub(crate) mod line_format;
pub(crate) mod logfmt;
pub(crate) mod pattern;
pub(crate) mod pattern_text;
pub(crate) mod regexp;
pub(crate) mod row;
pub(crate) mod unpack;
pub(crate) mod unwrap;
pub(crate) mod wanted;

use std::borrow::Cow;

use arrow::array::StringArray;

use crate::ast::{Selection, Stage, Unwrap};
use crate::template::Template;
use json::Json;
use label_filter::LabelFilter;
use label_format::LabelFormat;
use line_filter::LineFilter;
use logfmt::Logfmt;
use pattern::Pattern;
use regexp::Regexp;
use row::Row;
use wanted::Wanted;

/// The stages of one query.
#[derive(Debug)]
pub(crate) struct Pipeline {
    columns: Vec<LineFilter>,
    steps: Vec<Step>,
    needles: Vec<String>,
    reads_line: bool,
    metadata: Wanted,
}

#[derive(Debug)]
enum Step {
    LineFilter(LineFilter),
    LabelFilter(LabelFilter),
    Json(Json),
    Logfmt(Logfmt),
    Regexp(Regexp),
    Pattern(Pattern),
    Unpack(Wanted),
    LineFormat(Template),
    LabelFormat(LabelFormat),
    Decolorize,
    Drop(Vec<Selection>),
    Keep(Vec<Selection>),
    Unwrap(Unwrap),
}

/// A line that went through: its text, and its sample where the query unwraps one.
#[derive(Debug)]
pub(crate) struct Passed<'l> {
    /// The text.
    pub(crate) line: Cow<'l, str>,
    /// The unwrapped number.
    pub(crate) sample: Option<f64>,
}

impl Pipeline {
    /// Compiles stages; `labels` are those that the answer reads, all where absent. The error says what is wrong.
    pub(crate) fn new(stages: &[Stage], labels: Option<Vec<String>>) -> Result<Self, String> {
        let mut columns = Vec::new();
        let mut needles = Vec::new();
        let mut steps = Vec::with_capacity(stages.len());
        let unchanged = stages.iter().position(changes_line).unwrap_or(stages.len());
        let mut needed = labels;
        for (i, stage) in stages.iter().enumerate().rev() {
            if let (Stage::LineFilter(filter), true) = (stage, i < unchanged) {
                needles.extend(line_filter::needles(filter));
                columns.push(LineFilter::new(filter)?);
                continue;
            }
            let wanted = needed.as_deref().map_or_else(Wanted::all, Wanted::only);
            let step = Step::new(stage, wanted)?;
            if let Some(names) = &mut needed
                && !step.names(names)
            {
                needed = None;
            }
            steps.push(step);
        }
        columns.reverse();
        needles.reverse();
        steps.reverse();
        let reads_line = stages.iter().any(reads_line);
        let metadata = needed.as_deref().map_or_else(Wanted::all, Wanted::only);
        Ok(Self { columns, steps, needles, reads_line, metadata })
    }

    /// Texts that every line that passes has in it as it is stored.
    pub(crate) fn needles(&self) -> &[String] {
        &self.needles
    }

    /// Which of a line's structured metadata a stage or the answer reads.
    pub(crate) fn metadata(&self) -> &Wanted {
        &self.metadata
    }

    /// Whether a stage reads the line.
    pub(crate) fn reads_line(&self) -> bool {
        self.reads_line
    }

    /// Whether nothing is left to do line by line.
    pub(crate) fn is_columnar(&self) -> bool {
        self.steps.is_empty()
    }

    /// Keeps of the rows, which ascend, those that pass the filters on the stored text.
    pub(crate) fn select(&self, lines: &StringArray, rows: &mut Vec<u32>) {
        for filter in &self.columns {
            if rows.is_empty() {
                return;
            }
            filter.retain(lines, rows);
        }
    }

    /// Takes a line that [`Pipeline::select`] kept through the other stages; none when one of them drops it.
    pub(crate) fn process<'l>(&self, line: &'l str, row: &mut Row) -> Option<Passed<'l>> {
        let mut passed = Passed { line: Cow::Borrowed(line), sample: None };
        for step in &self.steps {
            let line = std::mem::take(&mut passed.line);
            passed.line = match step {
                Step::LineFilter(filter) => filter.keeps(&line).then_some(line)?,
                Step::LabelFilter(filter) => filter.keeps(row).then_some(line)?,
                Step::Unpack(wanted) => unpack::unpack(line, row, wanted),
                Step::LineFormat(template) => line_format::line_format(template, line, row),
                Step::Decolorize => decolorize::decolorize(line),
                Step::Unwrap(unwrap) => {
                    passed.sample = Some(unwrap::unwrap(unwrap, row)?);
                    line
                }
                labels => {
                    labels.label(&line, row);
                    line
                }
            };
        }
        Some(passed)
    }
}

impl Step {
    fn new(stage: &Stage, wanted: Wanted) -> Result<Self, String> {
        Ok(match stage {
            Stage::LineFilter(filter) => Step::LineFilter(LineFilter::new(filter)?),
            Stage::LabelFilter(filter) => Step::LabelFilter(LabelFilter::new(filter)?),
            Stage::Json(extractions) => Step::Json(Json::new(extractions, wanted)?),
            Stage::Logfmt(logfmt) => Step::Logfmt(Logfmt::new(logfmt, wanted)?),
            Stage::Regexp(text) => Step::Regexp(Regexp::new(text, &wanted)?),
            Stage::Pattern(text) => Step::Pattern(Pattern::new(text, wanted)?),
            Stage::Unpack => Step::Unpack(wanted),
            Stage::LineFormat(text) => Step::LineFormat(Template::parse(text)?),
            Stage::LabelFormat(formats) => Step::LabelFormat(LabelFormat::new(formats)?),
            Stage::Decolorize => Step::Decolorize,
            Stage::Drop(selections) => Step::Drop(selections.clone()),
            Stage::Keep(selections) => Step::Keep(selections.clone()),
            Stage::Unwrap(unwrap) => Step::Unwrap(unwrap.clone()),
        })
    }

    /// The steps that change labels and nothing else.
    fn label(&self, line: &str, row: &mut Row) {
        match self {
            Step::Json(json) => json.apply(line, row),
            Step::Logfmt(logfmt) => logfmt.apply(line, row),
            Step::Regexp(regexp) => regexp.apply(line, row),
            Step::Pattern(pattern) => pattern.apply(line, row),
            Step::LabelFormat(format) => format.apply(line, row),
            Step::Drop(selections) => drop::drop(selections, row),
            Step::Keep(selections) => keep::keep(selections, row),
            Step::LineFilter(_)
            | Step::LabelFilter(_)
            | Step::Unpack(_)
            | Step::LineFormat(_)
            | Step::Decolorize
            | Step::Unwrap(_) => {}
        }
    }

    /// Adds the labels that the step reads; false when it may read any.
    fn names(&self, out: &mut Vec<String>) -> bool {
        match self {
            Step::LabelFilter(filter) => filter.names(out),
            Step::LineFormat(template) => return template.names(out),
            Step::LabelFormat(format) => return format.names(out),
            Step::Drop(selections) | Step::Keep(selections) => {
                out.extend(selections.iter().filter_map(|s| match s {
                    Selection::Matcher(matcher) => Some(matcher.name.clone()),
                    Selection::Name(_) => None,
                }));
            }
            Step::Unwrap(unwrap) => out.push(unwrap.label.clone()),
            _ => {}
        }
        true
    }
}

fn changes_line(stage: &Stage) -> bool {
    matches!(stage, Stage::LineFormat(_) | Stage::Unpack | Stage::Decolorize)
}

fn reads_line(stage: &Stage) -> bool {
    !matches!(
        stage,
        Stage::LabelFilter(_) | Stage::LabelFormat(_) | Stage::Drop(_) | Stage::Keep(_) | Stage::Unwrap(_)
    )
}
