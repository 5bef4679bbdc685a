//! The structural operators: which spans stand where in the tree.

use hashbrown::HashMap;

use super::trace::Trace;
use super::{Mask, join};
use crate::ast::{Relation, StructuralMode};

/// The spans that a structural operator selects from its two sides.
pub(crate) fn select(
    trace: &Trace<'_>,
    relation: Relation,
    mode: StructuralMode,
    left: &[bool],
    right: &[bool],
) -> Mask {
    let placed = placed(trace, relation, left);
    match mode {
        StructuralMode::Right => both(right, &placed),
        StructuralMode::Negated => {
            right.iter().zip(&placed).map(|(right, placed)| *right && !placed).collect()
        }
        StructuralMode::Union => {
            let givers = self::placed(trace, inverse(relation), right);
            join(both(right, &placed), &both(left, &givers))
        }
    }
}

fn both(a: &[bool], b: &[bool]) -> Mask {
    a.iter().zip(b).map(|(a, b)| *a && *b).collect()
}

fn inverse(relation: Relation) -> Relation {
    match relation {
        Relation::Child => Relation::Parent,
        Relation::Parent => Relation::Child,
        Relation::Descendant => Relation::Ancestor,
        Relation::Ancestor => Relation::Descendant,
        Relation::Sibling => Relation::Sibling,
    }
}

/// All spans that have the place, seen from any of the given ones.
fn placed(trace: &Trace<'_>, relation: Relation, from: &[bool]) -> Mask {
    let tree = trace.tree();
    let mut placed = vec![false; from.len()];
    match relation {
        Relation::Child => {
            for (row, parent) in tree.parents.iter().enumerate() {
                placed[row] = parent.is_some_and(|parent| from[parent]);
            }
        }
        Relation::Descendant => {
            for row in &tree.order {
                placed[*row] = tree.parents[*row].is_some_and(|parent| from[parent] || placed[parent]);
            }
        }
        Relation::Parent => {
            for (row, parent) in tree.parents.iter().enumerate() {
                if let Some(parent) = parent {
                    placed[*parent] |= from[row];
                }
            }
        }
        Relation::Ancestor => {
            for row in tree.order.iter().rev() {
                if let Some(parent) = tree.parents[*row] {
                    placed[parent] |= from[*row] || placed[*row];
                }
            }
        }
        Relation::Sibling => {
            // By the parent's id, so that the children of a parent that did not arrive are siblings too.
            let parents: Vec<_> = (0..from.len()).map(|row| trace.view.parent_span_id(row)).collect();
            let mut counts: HashMap<[u8; 8], usize> = HashMap::new();
            for parent in super::rows(from).filter_map(|row| parents[row]) {
                *counts.entry(parent).or_default() += 1;
            }
            for (row, parent) in parents.iter().enumerate() {
                let count = parent.and_then(|parent| counts.get(&parent)).copied().unwrap_or_default();
                placed[row] = count > usize::from(from[row]);
            }
        }
    }
    placed
}
