//! One whole trace: its spans, and what is known of them only together: parents, depth, the root, the time it took.

use std::cell::OnceCell;

use arrow::array::RecordBatch;
use hashbrown::HashMap;
use model::trace::SpansView;

use crate::error::EvalError;

/// The spans of one trace.
pub(crate) struct Trace<'a> {
    pub(crate) view: SpansView<'a>,
    bounds_ns: OnceCell<(i64, i64)>,
    root: OnceCell<Option<usize>>,
    tree: OnceCell<Tree>,
}

/// How the spans of a trace hang together. Spans whose parent did not arrive are roots of their own here.
pub(crate) struct Tree {
    /// The row of each span's parent. There are no cycles: spans in one have no parent here.
    pub(crate) parents: Vec<Option<usize>>,
    /// All rows, parents before their children.
    pub(crate) order: Vec<usize>,
    /// How many children each span has.
    pub(crate) child_counts: Vec<i64>,
    /// Left and right numbers of the nested set model and the left number of the parent (-1 for a root). All are 0
    /// for spans that do not hang below a root without a parent.
    pub(crate) nested: Vec<[i64; 3]>,
}

impl<'a> Trace<'a> {
    /// Looks at a batch that holds all spans of one trace and no others.
    ///
    /// # Errors
    /// When the columns are not those of spans.
    pub(crate) fn new(spans: &'a RecordBatch) -> Result<Self, EvalError> {
        let view = SpansView::new(spans).ok_or(EvalError::Columns)?;
        Ok(Self { view, bounds_ns: OnceCell::new(), root: OnceCell::new(), tree: OnceCell::new() })
    }

    pub(crate) fn rows(&self) -> usize {
        self.view.rows()
    }

    /// When the first span began and the last one ended.
    pub(crate) fn bounds_ns(&self) -> (i64, i64) {
        let bounds = |(start, end): (i64, i64), row| {
            let began = self.view.start_ns(row);
            (start.min(began), end.max(began.saturating_add(self.view.duration_ns(row))))
        };
        *self.bounds_ns.get_or_init(|| (0..self.rows()).fold((i64::MAX, i64::MIN), bounds))
    }

    /// From the first start to the last end.
    pub(crate) fn duration_ns(&self) -> i64 {
        let (start, end) = self.bounds_ns();
        end.saturating_sub(start).max(0)
    }

    /// The span without a parent; the earliest where there are several.
    pub(crate) fn root(&self) -> Option<usize> {
        let is_root = |row: &usize| self.view.parent_span_id(*row).is_none();
        let find = || (0..self.rows()).filter(is_root).min_by_key(|row| self.view.start_ns(*row));
        *self.root.get_or_init(find)
    }

    pub(crate) fn tree(&self) -> &Tree {
        self.tree.get_or_init(|| Tree::new(&self.view))
    }
}

impl Tree {
    fn new(view: &SpansView<'_>) -> Self {
        let rows = view.rows();
        let mut by_id: HashMap<[u8; 8], usize> = HashMap::with_capacity(rows);
        for row in 0..rows {
            by_id.entry(view.span_id(row)).or_insert(row);
        }
        let parent =
            |row| view.parent_span_id(row).and_then(|id| by_id.get(&id)).copied().filter(|p| *p != row);
        let mut parents: Vec<Option<usize>> = (0..rows).map(parent).collect();
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); rows];
        for (row, parent) in parents.iter().enumerate() {
            if let Some(parent) = parent {
                children[*parent].push(row);
            }
        }
        for of_one in &mut children {
            of_one.sort_by_key(|row| (view.start_ns(*row), *row));
        }
        let child_counts = children.iter().map(|c| i64::try_from(c.len()).unwrap_or(i64::MAX)).collect();
        let mut order: Vec<usize> = (0..rows).filter(|row| parents[*row].is_none()).collect();
        let mut at = 0;
        while let Some(row) = order.get(at) {
            order.extend_from_slice(&children[*row]);
            at += 1;
        }
        if order.len() < rows {
            let mut reached = vec![false; rows];
            order.iter().for_each(|row| reached[*row] = true);
            for row in (0..rows).filter(|row| !reached[*row]) {
                parents[row] = None;
                order.push(row);
            }
        }
        let nested = nested_sets(view, &children);
        Self { parents, order, child_counts, nested }
    }
}

/// Numbers the spans below true roots in the order of a walk: a number on the way in, one on the way out.
fn nested_sets(view: &SpansView<'_>, children: &[Vec<usize>]) -> Vec<[i64; 3]> {
    let mut nested = vec![[0_i64; 3]; view.rows()];
    let mut next = 1;
    let mut roots: Vec<usize> = (0..view.rows()).filter(|row| view.parent_span_id(*row).is_none()).collect();
    roots.sort_by_key(|row| (view.start_ns(*row), *row));
    for root in roots {
        nested[root] = [next, 0, -1];
        next += 1;
        // The way from the root, with the number of each span's children that were visited.
        let mut path = vec![(root, 0)];
        while let Some((row, visited)) = path.last_mut() {
            let row = *row;
            match children[row].get(*visited) {
                Some(child) => {
                    *visited += 1;
                    nested[*child] = [next, 0, nested[row][0]];
                    path.push((*child, 0));
                }
                None => {
                    nested[row][1] = next;
                    path.pop();
                }
            }
            next += 1;
        }
    }
    nested
}
