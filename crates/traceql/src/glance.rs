//! What a first look at single spans tells of traces: which of them may answer. What it leaves out certainly does not.

use crate::ast::{
    Aggregate, BinaryOp, CompareOp, FieldExpr, Intrinsic, ScalarExpr, ScalarFilter, SpansetExpr, SpansetOp,
    Stage, Static, StructuralMode,
};
use crate::error::PlanError;
use crate::eval::condition::Condition;
use crate::eval::trace::Trace;
use crate::mentions;

/// How many conditions are looked at; a truth each has a bit. Others let every trace pass.
const MAX_CONDITIONS: usize = 32;

/// What a trace that answers has.
#[derive(Debug)]
pub(crate) enum Need {
    /// So many spans.
    Spans(usize),
    /// A span that meets the condition of this number.
    Span(usize),
    /// All of these.
    All(Vec<Need>),
    /// One of the two.
    Either(Box<Need>, Box<Need>),
}

/// What is looked for, and what a trace must have of it.
#[derive(Debug)]
pub(crate) struct Glance {
    conditions: Vec<Condition>,
    need: Need,
}

impl Glance {
    /// What to look for on behalf of the stages; adds the fields that are looked at.
    pub(crate) fn new<'q>(stages: &'q [Stage], fields: &mut Vec<&'q FieldExpr>) -> Result<Self, PlanError> {
        let mut seeker = Seeker { conditions: Vec::new(), fields };
        let need = seeker.of_stages(stages)?;
        Ok(Self { conditions: seeker.conditions, need })
    }

    /// The conditions that each of the spans meets, a bit each.
    pub(crate) fn marks(&self, spans: &Trace<'_>) -> Vec<u32> {
        let mut marks = vec![0; spans.rows()];
        let all = vec![true; spans.rows()];
        for (bit, condition) in self.conditions.iter().enumerate() {
            for (mark, is_met) in marks.iter_mut().zip(condition.mask(spans, &all)) {
                *mark |= u32::from(is_met) << bit;
            }
        }
        marks
    }

    /// Whether a trace of so many spans that meet these conditions together may answer.
    pub(crate) fn passes(&self, marks: u32, spans: usize) -> bool {
        self.need.is_met(marks, spans)
    }

    /// Whether spans without marks count for more than that there is one.
    pub(crate) fn counts_spans(&self) -> bool {
        self.need.counts_spans()
    }
}

impl Need {
    fn is_met(&self, marks: u32, spans: usize) -> bool {
        match self {
            Need::Spans(least) => spans >= *least,
            Need::Span(bit) => marks >> bit & 1 == 1,
            Need::All(needs) => needs.iter().all(|need| need.is_met(marks, spans)),
            Need::Either(a, b) => a.is_met(marks, spans) || b.is_met(marks, spans),
        }
    }

    fn counts_spans(&self) -> bool {
        match self {
            Need::Spans(least) => *least > 1,
            Need::Span(_) => false,
            Need::All(needs) => needs.iter().any(Need::counts_spans),
            Need::Either(a, b) => a.counts_spans() || b.counts_spans(),
        }
    }
}

struct Seeker<'s, 'q> {
    conditions: Vec<Condition>,
    fields: &'s mut Vec<&'q FieldExpr>,
}

impl<'q> Seeker<'_, 'q> {
    /// Each stage works on spans that the stages before it left: what it needs, the trace needs.
    fn of_stages(&mut self, stages: &'q [Stage]) -> Result<Need, PlanError> {
        let mut needs = Vec::new();
        for stage in stages {
            match stage {
                Stage::Spanset(expr) => needs.push(self.of_spanset(expr)?),
                Stage::Scalar(filter) => needs.extend(of_count(filter)),
                Stage::By(_) | Stage::Coalesce | Stage::Select(_) => {}
            }
        }
        Ok(Need::All(needs))
    }

    fn of_spanset(&mut self, expr: &'q SpansetExpr) -> Result<Need, PlanError> {
        let (op, lhs, rhs) = match expr {
            SpansetExpr::Filter(condition) => return self.of_condition(condition),
            SpansetExpr::Pipeline(stages) => return self.of_stages(stages),
            SpansetExpr::Binary { op, lhs, rhs } => (op, lhs, rhs),
        };
        Ok(match op {
            SpansetOp::Or => Need::Either(Box::new(self.of_spanset(lhs)?), Box::new(self.of_spanset(rhs)?)),
            SpansetOp::Structural { mode: StructuralMode::Negated, .. } => self.of_spanset(rhs)?,
            SpansetOp::And | SpansetOp::Structural { .. } => {
                Need::All(vec![self.of_spanset(lhs)?, self.of_spanset(rhs)?])
            }
        })
    }

    /// One span must meet all parts of a condition: those that can be judged by a span alone are.
    fn of_condition(&mut self, condition: &'q FieldExpr) -> Result<Need, PlanError> {
        let mut parts = Vec::new();
        conjuncts(condition, &mut parts);
        let mut met: Option<Condition> = None;
        if self.conditions.len() < MAX_CONDITIONS {
            for part in parts {
                let mut fields = Vec::new();
                mentions::of_field(part, &mut fields);
                if !fields.iter().all(is_of_the_span_alone) {
                    continue;
                }
                self.fields.append(&mut fields);
                let part = Condition::new(part)?;
                met = Some(match met.take() {
                    Some(before) => Condition::And(Box::new(before), Box::new(part)),
                    None => part,
                });
            }
        }
        Ok(match met {
            None | Some(Condition::Constant(true)) => Need::Spans(1),
            Some(condition) => {
                self.conditions.push(condition);
                Need::Span(self.conditions.len() - 1)
            }
        })
    }
}

fn conjuncts<'q>(condition: &'q FieldExpr, parts: &mut Vec<&'q FieldExpr>) {
    match condition {
        FieldExpr::Binary { op: BinaryOp::And, lhs, rhs } => {
            conjuncts(lhs, parts);
            conjuncts(rhs, parts);
        }
        other => parts.push(other),
    }
}

fn is_of_the_span_alone(field: &&FieldExpr) -> bool {
    match field {
        FieldExpr::Attribute(attribute) => !attribute.parent,
        FieldExpr::Intrinsic(intrinsic) => matches!(
            intrinsic,
            Intrinsic::Name
                | Intrinsic::Status
                | Intrinsic::StatusMessage
                | Intrinsic::Duration
                | Intrinsic::Kind
                | Intrinsic::EventName
                | Intrinsic::EventTimeSinceStart
                | Intrinsic::LinkSpanId
                | Intrinsic::LinkTraceId
                | Intrinsic::InstrumentationName
                | Intrinsic::InstrumentationVersion
        ),
        _ => false,
    }
}

/// The number of spans that `count() > 2` and its like ask for.
fn of_count(filter: &ScalarFilter) -> Option<Need> {
    let (ScalarExpr::Aggregate(Aggregate::Count), ScalarExpr::Static(Static::Int(number))) =
        (&filter.lhs, &filter.rhs)
    else {
        return None;
    };
    let least = match filter.op {
        CompareOp::Greater => number.saturating_add(1),
        CompareOp::GreaterEqual | CompareOp::Equal => *number,
        _ => return None,
    };
    Some(Need::Spans(usize::try_from(least).unwrap_or(0)))
}
