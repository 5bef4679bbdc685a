//! What a query computes over one whole trace.

pub(crate) mod trace;

pub(crate) mod field;

pub(crate) mod condition;

pub(crate) mod structure;

pub(crate) mod scalar;

pub(crate) mod pipeline;

/// A truth per span of a trace, in the order of the rows.
pub(crate) type Mask = Vec<bool>;

/// Whether nothing is selected.
pub(crate) fn is_empty(mask: &[bool]) -> bool {
    !mask.contains(&true)
}

/// Selects what either selects.
pub(crate) fn join(mut left: Mask, right: &[bool]) -> Mask {
    left.iter_mut().zip(right).for_each(|(l, r)| *l |= r);
    left
}

/// The rows that are selected.
pub(crate) fn rows(mask: &[bool]) -> impl Iterator<Item = usize> + '_ {
    mask.iter().enumerate().filter(|(_, selected)| **selected).map(|(row, _)| row)
}
