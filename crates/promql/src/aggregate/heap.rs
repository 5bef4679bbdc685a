//! The best values of a group, in the order in which Prometheus keeps them: of equal ones it depends on that order which
//! stay and which comes first.

use std::cmp::Ordering;

use crate::ast::AggregateOp;

/// How many Go sorts by insertion.
const FEW: usize = 12;

/// A heap of at most so many series with their values; the one that goes next is on top.
pub(super) struct Heap {
    op: AggregateOp,
    most: usize,
    kept: Vec<(usize, f64)>,
}

impl Heap {
    pub(super) fn new(op: AggregateOp) -> Self {
        Self { op, most: 0, kept: Vec::new() }
    }

    /// Forgets what it has, and keeps so many from here on.
    pub(super) fn restart(&mut self, most: usize) {
        self.most = most;
        self.kept.clear();
    }

    /// Whether one goes before another: what is no number goes before everything.
    fn goes(&self, a: f64, b: f64) -> bool {
        a.is_nan() || if self.op == AggregateOp::Topk { a < b } else { a > b }
    }

    pub(super) fn add(&mut self, series: usize, value: f64) {
        if self.kept.len() < self.most {
            self.kept.push((series, value));
            self.up();
            return;
        }
        let Some((_, top)) = self.kept.first().copied() else { return };
        let is_better = if self.op == AggregateOp::Topk { top < value } else { top > value };
        if is_better || (top.is_nan() && !value.is_nan()) {
            self.kept[0] = (series, value);
            self.down();
        }
    }

    /// Moves the last up to its place.
    fn up(&mut self) {
        let mut at = self.kept.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.goes(self.kept[at].1, self.kept[parent].1) {
                break;
            }
            self.kept.swap(at, parent);
            at = parent;
        }
    }

    /// Moves the first down to its place.
    fn down(&mut self) {
        let mut at = 0;
        loop {
            let left = 2 * at + 1;
            if left >= self.kept.len() {
                break;
            }
            let right = left + 1;
            let is_right = right < self.kept.len() && self.goes(self.kept[right].1, self.kept[left].1);
            let child = if is_right { right } else { left };
            if !self.goes(self.kept[child].1, self.kept[at].1) {
                break;
            }
            self.kept.swap(at, child);
            at = child;
        }
    }

    /// The series that stayed, in no order.
    pub(super) fn kept(&self) -> impl Iterator<Item = usize> {
        self.kept.iter().map(|(series, _)| *series)
    }

    /// Puts the best first; equal ones stay as they lie. Few are inserted one by one, so that of what is no number the
    /// last comes first, as there.
    pub(super) fn sort(&mut self) {
        if self.kept.len() > FEW {
            let rank = |(_, a): &(usize, f64), (_, b): &(usize, f64)| {
                let by_value = if self.op == AggregateOp::Topk { b.partial_cmp(a) } else { a.partial_cmp(b) };
                a.is_nan().cmp(&b.is_nan()).then(by_value.unwrap_or(Ordering::Equal))
            };
            self.kept.sort_by(rank);
            return;
        }
        for end in 1..self.kept.len() {
            let mut at = end;
            while at > 0 && self.goes(self.kept[at - 1].1, self.kept[at].1) {
                self.kept.swap(at, at - 1);
                at -= 1;
            }
        }
    }
}
