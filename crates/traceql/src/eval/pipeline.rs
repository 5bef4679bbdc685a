//! Pipelines of stages over the spansets of one trace, ready to run.

use hashbrown::HashMap;

use super::condition::{Condition, Operand};
use super::scalar::Comparison;
use super::trace::Trace;
use super::{Mask, is_empty, join, rows, structure};
use crate::ast::{SpansetExpr, SpansetOp, Stage};
use crate::error::PlanError;
use crate::value::{GroupKey, Value};

/// Spans of one trace that belong together, of which there is at least one.
#[derive(Clone, Debug)]
pub(crate) struct Spanset {
    /// The rows of the spans, ascending.
    pub(crate) rows: Vec<usize>,
    /// What is known of them together: the values of `by` and of aggregates, by their texts; none is `nil`.
    pub(crate) attributes: Vec<(String, Option<Value<'static>>)>,
}

/// Stages, one after the other.
#[derive(Debug)]
pub(crate) struct Pipeline(Vec<Step>);

#[derive(Debug)]
enum Step {
    Select(Selection),
    Compare(Comparison),
    By { operand: Operand, text: String },
    Coalesce,
}

#[derive(Debug)]
enum Selection {
    Filter(Condition),
    Binary(SpansetOp, Box<Selection>, Box<Selection>),
    Pipeline(Pipeline),
}

impl Pipeline {
    /// Makes stages ready to run. `select` is for who shows the spans: nothing is left of it here.
    pub(crate) fn new(stages: &[Stage]) -> Result<Self, PlanError> {
        let mut steps = Vec::with_capacity(stages.len());
        for stage in stages {
            steps.push(match stage {
                Stage::Spanset(expr) => Step::Select(Selection::new(expr)?),
                Stage::Scalar(filter) => Step::Compare(Comparison::new(filter)?),
                Stage::By(field) => Step::By { operand: Operand::new(field)?, text: format!("by({field})") },
                Stage::Coalesce => Step::Coalesce,
                Stage::Select(_) => continue,
            });
        }
        Ok(Self(steps))
    }

    /// The spansets that are left of the spans.
    pub(crate) fn run(&self, trace: &Trace<'_>, rows: Vec<usize>) -> Vec<Spanset> {
        let mut sets = vec![Spanset { rows, attributes: Vec::new() }];
        for step in &self.0 {
            sets = match step {
                Step::Select(selection) => {
                    sets.iter_mut().for_each(|set| selection.retain(trace, &mut set.rows));
                    sets.retain(|set| !set.rows.is_empty());
                    sets
                }
                Step::Compare(comparison) => compared(comparison, trace, sets),
                Step::By { operand, text } => {
                    sets.iter().flat_map(|set| grouped(operand, text, trace, set)).collect()
                }
                Step::Coalesce => coalesced(sets),
            };
            if sets.is_empty() {
                break;
            }
        }
        sets
    }
}

fn compared(comparison: &Comparison, trace: &Trace<'_>, sets: Vec<Spanset>) -> Vec<Spanset> {
    let mut kept = Vec::with_capacity(sets.len());
    for mut set in sets {
        if let Some(shown) = comparison.test(trace, &set.rows) {
            for (text, value) in shown {
                if !set.attributes.iter().any(|(known, _)| *known == text) {
                    set.attributes.push((text, Some(value)));
                }
            }
            kept.push(set);
        }
    }
    kept
}

/// A spanset per value, in the order in which the values come up; spans without one are together.
fn grouped(operand: &Operand, text: &str, trace: &Trace<'_>, set: &Spanset) -> Vec<Spanset> {
    let mut groups: Vec<Spanset> = Vec::new();
    let mut indexes: HashMap<Option<GroupKey>, usize> = HashMap::new();
    for row in &set.rows {
        let mut found = None;
        operand.any(trace, *row, &mut |value| {
            found = Some(value.clone().into_static());
            true
        });
        let index = *indexes.entry(found.as_ref().map(Value::group_key)).or_insert_with(|| {
            let mut attributes = set.attributes.clone();
            attributes.push((text.to_owned(), found.clone()));
            groups.push(Spanset { rows: Vec::new(), attributes });
            groups.len() - 1
        });
        groups[index].rows.push(*row);
    }
    groups
}

fn coalesced(sets: Vec<Spanset>) -> Vec<Spanset> {
    let rows = union(sets);
    if rows.is_empty() { Vec::new() } else { vec![Spanset { rows, attributes: Vec::new() }] }
}

/// The rows of all spansets, each once, ascending.
pub(crate) fn union(sets: Vec<Spanset>) -> Vec<usize> {
    let mut rows: Vec<usize> = sets.into_iter().flat_map(|set| set.rows).collect();
    rows.sort_unstable();
    rows.dedup();
    rows
}

impl Selection {
    fn new(expr: &SpansetExpr) -> Result<Self, PlanError> {
        Ok(match expr {
            SpansetExpr::Filter(condition) => Selection::Filter(Condition::new(condition)?),
            SpansetExpr::Binary { op, lhs, rhs } => {
                Selection::Binary(*op, Box::new(Selection::new(lhs)?), Box::new(Selection::new(rhs)?))
            }
            SpansetExpr::Pipeline(stages) => Selection::Pipeline(Pipeline::new(stages)?),
        })
    }

    fn mask(&self, trace: &Trace<'_>, within: &[bool]) -> Mask {
        match self {
            Selection::Filter(condition) => condition.mask(trace, within),
            Selection::Binary(SpansetOp::Or, lhs, rhs) => {
                join(lhs.mask(trace, within), &rhs.mask(trace, within))
            }
            Selection::Binary(SpansetOp::And, lhs, rhs) => {
                let left = lhs.mask(trace, within);
                if is_empty(&left) {
                    return left;
                }
                let right = rhs.mask(trace, within);
                if is_empty(&right) { right } else { join(left, &right) }
            }
            Selection::Binary(SpansetOp::Structural { relation, mode }, lhs, rhs) => {
                let right = rhs.mask(trace, within);
                if is_empty(&right) {
                    return right;
                }
                structure::select(trace, *relation, *mode, &lhs.mask(trace, within), &right)
            }
            Selection::Pipeline(pipeline) => {
                let mut mask = vec![false; within.len()];
                union(pipeline.run(trace, rows(within).collect()))
                    .into_iter()
                    .for_each(|row| mask[row] = true);
                mask
            }
        }
    }

    /// Keeps the rows that are selected.
    fn retain(&self, trace: &Trace<'_>, kept: &mut Vec<usize>) {
        let mut within = vec![false; trace.rows()];
        kept.iter().for_each(|row| within[*row] = true);
        let mask = self.mask(trace, &within);
        kept.retain(|row| mask[*row]);
    }
}
