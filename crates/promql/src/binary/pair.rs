//! Operators between series that pair by their labels: one and one, or many and one.

use hashbrown::HashMap;
use model::Labels;
use model::labels::{METRIC_NAME, is_of_metric};

use super::drops_name;
use super::element::{self, Operand, Outcome};
use crate::annotations::Annotations;
use crate::ast::{BinaryOp, Cardinality, Fill, Matching};
use crate::error::EvalError;
use crate::histogram;
use crate::vector::{Grid, GridSeries, Present};

/// The labels by which a series pairs.
pub(super) fn signature(matching: &Matching, labels: &Labels) -> Labels {
    let named = |name: &str| matching.labels.iter().any(|label| label == name);
    if matching.on { labels.filter(named) } else { labels.filter(|name| name != METRIC_NAME && !named(name)) }
}

/// Series that are filled in, of either side.
struct StandIns {
    many: Vec<GridSeries>,
    one: Vec<GridSeries>,
}

/// For each signature of `there`, a series of this number where `missing` has none of that signature.
fn stand_ins(matching: &Matching, value: f64, there: &Grid, missing: &Grid) -> Vec<GridSeries> {
    let steps = there.steps.count;
    let mut absent: HashMap<Labels, Present> = HashMap::new();
    let mut order = Vec::new();
    for series in &there.series {
        let signature = signature(matching, &series.labels);
        if !absent.contains_key(&signature) {
            order.push(signature.clone());
            absent.insert(signature, Present::all(steps));
        }
    }
    for series in &missing.series {
        if let Some(absent) = absent.get_mut(&signature(matching, &series.labels)) {
            absent.subtract(&series.presence());
        }
    }
    let filled = order.into_iter().filter_map(|labels| {
        let present = absent.remove(&labels)?;
        let mut series = GridSeries::full(labels, vec![value; steps]);
        series.present = present;
        Some(series)
    });
    filled.collect()
}

/// The series of one signature on the side of one, and what paired with them.
#[derive(Default)]
struct Ones<'a> {
    series: Vec<&'a GridSeries>,
    /// Per result labels (one entry where the side of many may have one only): the steps that have a result.
    matched: HashMap<Labels, Present>,
}

pub(super) fn join(
    op: BinaryOp,
    matching: &Matching,
    bool_modifier: bool,
    lhs: &Grid,
    rhs: &Grid,
    notes: &mut Annotations,
) -> Result<Grid, EvalError> {
    let swapped = matching.card == Cardinality::OneToMany;
    let one_to_one = matching.card == Cardinality::OneToOne;
    let (many, one) = if swapped { (rhs, lhs) } else { (lhs, rhs) };
    // The words name the sides as Prometheus evaluates them: `fill_left` is always the side of many.
    let Fill { left, right } = matching.fill;
    let stand_ins = StandIns {
        many: left.map(|value| stand_ins(matching, value, one, many)).unwrap_or_default(),
        one: right.map(|value| stand_ins(matching, value, many, one)).unwrap_or_default(),
    };
    let mut ones = ones_of(matching, many, one)?;
    for series in &stand_ins.one {
        ones.entry(series.labels.clone()).or_default().series.push(series);
    }
    let mut out = Grid::empty(many.steps);
    for series in many.series.iter().chain(&stand_ins.many) {
        let Some(ones) = ones.get_mut(&signature(matching, &series.labels)) else { continue };
        let Ones { series: partners, matched } = ones;
        for partner in partners.iter() {
            let is_other = drops_name(op, false);
            let labels = result_labels(matching, is_other, &series.labels, &partner.labels);
            let mut result = GridSeries::absent(labels, many.steps.count);
            result.name_dropped = bool_modifier;
            let key = if one_to_one { Labels::empty() } else { result.labels.clone() };
            let matched = matched.entry(key).or_insert_with(|| Present::none(many.steps.count));
            for step in 0..many.steps.count {
                let (Some(a), Some(b)) = (Operand::of(series, step), Operand::of(partner, step)) else {
                    continue;
                };
                // That two of one signature meet is an error even where neither passes a filter.
                claim(matching.card, matched, step)?;
                let (a, b) = if swapped { (b, a) } else { (a, b) };
                match element::apply(op, a, b, notes) {
                    Outcome::Compared(holds) if bool_modifier => {
                        result.set_float(step, f64::from(u8::from(holds)));
                    }
                    Outcome::Compared(true) => a.put(&mut result, step),
                    Outcome::Compared(false) | Outcome::Unjoined | Outcome::Nothing => continue,
                    Outcome::Float(value) => result.set_float(step, value),
                    // What is in conflict is said, and left out.
                    Outcome::Histogram(_) if in_conflict(a, b) => {}
                    Outcome::Histogram(histogram) => result.set_histogram(step, *histogram),
                }
            }
            out.series.push(result);
        }
    }
    out.unite()
}

/// Notes that a step has a result; an error where it had one.
fn claim(card: Cardinality, matched: &mut Present, step: usize) -> Result<(), EvalError> {
    if matched.get(step) {
        return Err(EvalError::Matching(ambiguous(card).to_owned()));
    }
    matched.set(step);
    Ok(())
}

const fn ambiguous(card: Cardinality) -> &'static str {
    match card {
        Cardinality::OneToOne => {
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
        }
        _ => "multiple matches for labels: grouping labels must ensure unique matches",
    }
}

/// The series of the side of one by signature; no two of a signature have a value at a step at which the other side
/// has any.
fn ones_of<'a>(
    matching: &Matching,
    many: &Grid,
    one: &'a Grid,
) -> Result<HashMap<Labels, Ones<'a>>, EvalError> {
    let mut ones: HashMap<Labels, Ones<'a>> = HashMap::with_capacity(one.series.len());
    for series in &one.series {
        let signature = signature(matching, &series.labels);
        ones.entry(signature).or_default().series.push(series);
    }
    if ones.len() == one.series.len() {
        return Ok(ones);
    }
    let mut others = Present::none(many.steps.count);
    if matching.fill.left.or(matching.fill.right).is_some() {
        others = Present::all(many.steps.count);
    }
    many.series.iter().for_each(|series| others.unite(&series.presence()));
    for (signature, group) in ones.iter().filter(|(_, group)| group.series.len() > 1) {
        for (i, second) in group.series.iter().enumerate() {
            for first in &group.series[..i] {
                let mut both = first.presence();
                both.intersect(&second.presence());
                both.intersect(&others);
                if both.any() {
                    return Err(EvalError::Matching(duplicate(matching.card, signature, first, second)));
                }
            }
        }
    }
    Ok(ones)
}

fn duplicate(card: Cardinality, signature: &Labels, first: &GridSeries, second: &GridSeries) -> String {
    let side = if card == Cardinality::OneToMany { "left" } else { "right" };
    let mut pair = [&first.labels, &second.labels];
    pair.sort();
    format!(
        "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];\
         many-to-many matching not allowed: matching labels must be unique on one side",
        braced(signature),
        braced(pair[0]),
        braced(pair[1]),
    )
}

/// All labels within braces, the name among them.
fn braced(labels: &Labels) -> String {
    let pairs: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={}", syntax::string::quote(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// Whether one of two histograms began anew and the other did not.
fn in_conflict(a: Operand<'_>, b: Operand<'_>) -> bool {
    match (a, b) {
        (Operand::Histogram(a), Operand::Histogram(b)) => histogram::is_conflict(a, b),
        _ => false,
    }
}

/// The name of the side of many goes where the result is another metric; it may be taken from the side of one.
fn result_labels(matching: &Matching, is_other: bool, many: &Labels, one: &Labels) -> Labels {
    let named = |name: &str| matching.labels.iter().any(|label| label == name);
    let kept = many.filter(|name| {
        !(is_other && is_of_metric(name))
            && (matching.card != Cardinality::OneToOne || named(name) == matching.on)
    });
    if matching.include.is_empty() {
        return kept;
    }
    let included = |name: &str| matching.include.iter().any(|label| label == name);
    let taken = one.iter().filter(|(name, _)| included(name));
    Labels::from_pairs(kept.iter().filter(|(name, _)| !included(name)).chain(taken))
}
