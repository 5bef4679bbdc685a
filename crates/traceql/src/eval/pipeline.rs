//! Pipelines of stages over the spansets of one trace, ready to run.

use super::condition::{Condition, Operand};
use super::scalar::Comparison;
use super::trace::Trace;
use super::{Mask, is_empty, join, rows, structure};
use crate::ast::{SpansetExpr, SpansetOp, Stage};
use crate::error::PlanError;
use crate::value::Value;

/// Spans of one trace that belong together, of which there is at least one.
#[derive(Clone, Debug)]
pub(crate) struct Spanset {
    /// Which spans.
    pub(crate) mask: Mask,
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

    /// The spansets that are left of the spans within the mask.
    pub(crate) fn run(&self, trace: &Trace<'_>, within: Mask) -> Vec<Spanset> {
        let mut sets = vec![Spanset { mask: within, attributes: Vec::new() }];
        for step in &self.0 {
            sets = match step {
                Step::Select(selection) => {
                    sets.iter_mut().for_each(|set| set.mask = selection.mask(trace, &set.mask));
                    sets.retain(|set| !is_empty(&set.mask));
                    sets
                }
                Step::Compare(comparison) => compared(comparison, trace, sets),
                Step::By { operand, text } => {
                    sets.into_iter().flat_map(|set| grouped(operand, text, trace, &set)).collect()
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
        let rows: Vec<usize> = rows(&set.mask).collect();
        if let Some(shown) = comparison.test(trace, &rows) {
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
    let mut groups: Vec<(Option<Value<'static>>, Spanset)> = Vec::new();
    for row in rows(&set.mask) {
        let mut key = None;
        operand.any(trace, row, &mut |value| {
            key = Some(value.clone().into_static());
            true
        });
        let index = groups.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            let mut attributes = set.attributes.clone();
            attributes.push((text.to_owned(), key.clone()));
            groups.push((key, Spanset { mask: vec![false; set.mask.len()], attributes }));
            groups.len() - 1
        });
        groups[index].1.mask[row] = true;
    }
    groups.into_iter().map(|(_, set)| set).collect()
}

fn coalesced(sets: Vec<Spanset>) -> Vec<Spanset> {
    let mask = sets.into_iter().map(|set| set.mask).reduce(|a, b| join(a, &b));
    mask.map(|mask| Spanset { mask, attributes: Vec::new() }).into_iter().collect()
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
                let sets = pipeline.run(trace, within.to_vec());
                let masks = sets.into_iter().map(|set| set.mask);
                masks.reduce(|a, b| join(a, &b)).unwrap_or_else(|| vec![false; within.len()])
            }
        }
    }
}
