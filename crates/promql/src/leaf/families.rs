//! Series that are computed together: the buckets of classic histograms, of which quantiles are wanted. Where all of a
//! histogram's series are read by one worker, it computes the quantiles as soon as it has the last of them, and the buckets
//! do not travel.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use model::Labels;
use model::labels::is_of_metric;

use super::{Leaf, Work};
use crate::aggregate::fold::Folds;
use crate::annotations::Annotations;
use crate::finish::quantile_of;
use crate::vector::GridSeries;

/// The label of a bucket's bound.
pub(crate) const BOUND: &str = "le";

/// Which of the series of a leaf are of one histogram.
#[derive(Debug)]
pub struct Families {
    /// The family of each series.
    of: Vec<usize>,
    /// The first and the last series of each family.
    ends: Vec<(usize, usize)>,
    /// Of the families of each series and of those before it, the last series.
    reach: Vec<usize>,
}

impl Leaf {
    /// Which of these series, all of the leaf, are of one histogram; none where the workers compute no quantiles.
    #[must_use]
    pub fn families(&self, labels: &[Labels]) -> Option<Families> {
        let Work::Kernel { reduce, keep_name, .. } = &self.work else { return None };
        self.quantiles.as_ref()?;
        let keeps = |name: &str| {
            let is_grouped = reduce.as_ref().is_none_or(|reduce| reduce.grouping.keeps(name));
            is_grouped && name != BOUND && (*keep_name || !is_of_metric(name))
        };
        let mut families =
            Families { of: Vec::with_capacity(labels.len()), ends: Vec::new(), reach: Vec::new() };
        let mut numbers: HashMap<Labels, usize> = HashMap::new();
        for (i, one) in labels.iter().enumerate() {
            let before = i.checked_sub(1).filter(|before| labels[*before].is_same_where(one, keeps));
            let family = match before {
                Some(before) => families.of[before],
                None => *numbers.entry(one.filter(keeps)).or_insert(families.ends.len()),
            };
            match families.ends.get_mut(family) {
                Some((_, last)) => *last = i,
                None => families.ends.push((i, i)),
            }
            families.of.push(family);
        }
        let reach = families.of.iter().scan(0, |reach, family| {
            *reach = families.ends[*family].1.max(*reach);
            Some(*reach)
        });
        families.reach = reach.collect();
        Some(families)
    }
}

impl Families {
    /// The place nearest to one, and no further from it than so many series, at which a cut leaves all families whole; the
    /// place itself where there is none.
    #[must_use]
    pub fn cut_near(&self, place: usize, within: usize) -> usize {
        let is_between =
            |place: usize| place == 0 || self.reach.get(place - 1).is_none_or(|reach| *reach < place);
        let nearest =
            (0..=within).flat_map(|away| [place.checked_sub(away), place.checked_add(away)]).flatten();
        nearest.filter(|cut| *cut <= self.of.len()).find(|cut| is_between(*cut)).unwrap_or(place)
    }
}

/// The families that a worker has series of.
#[derive(Debug)]
pub(super) struct Open {
    families: Arc<Families>,
    /// The worker's series.
    part: Range<usize>,
    /// By their last series and their number.
    open: BTreeMap<(usize, usize), Members>,
    /// Quantiles.
    pub(super) done: Vec<GridSeries>,
    /// Buckets of which something is to be said besides the quantile.
    pub(super) left: Vec<GridSeries>,
}

/// The series of a family so far.
#[derive(Debug)]
enum Members {
    Series(Vec<GridSeries>),
    Folds(Folds),
}

impl Open {
    pub(super) fn new(families: Arc<Families>, part: Range<usize>) -> Self {
        Self { families, part, open: BTreeMap::new(), done: Vec::new(), left: Vec::new() }
    }

    /// The family of a series, where all of it is read here: its last series and its number.
    pub(super) fn of(&self, series: usize) -> Option<(usize, usize)> {
        let family = *self.families.of.get(series)?;
        let (first, last) = *self.families.ends.get(family)?;
        (self.part.start <= first && last < self.part.end).then_some((last, family))
    }

    /// Takes a series with its own labels; says how many values more are held.
    pub(super) fn add(
        &mut self,
        leaf: &Leaf,
        family: (usize, usize),
        series: GridSeries,
        notes: &mut Annotations,
    ) -> usize {
        let steps = leaf.windows.steps;
        let Work::Kernel { reduce: Some(reduce), .. } = &leaf.work else {
            let members = self.open.entry(family).or_insert_with(|| Members::Series(Vec::new()));
            let samples = series.samples();
            if let Members::Series(all) = members {
                all.push(series);
            }
            return samples;
        };
        let members = self.open.entry(family).or_insert_with(|| Members::Folds(Folds::new(reduce.op, steps)));
        let Members::Folds(folds) = members else { return 0 };
        let known = folds.groups().len();
        let key = reduce.grouping.key(&leaf.shown(&series.labels));
        folds.add(&key, &series, notes.at(reduce.place));
        (folds.groups().len() - known) * steps.count
    }

    /// Computes the families whose last series is before this one, or all; says how many values less are held.
    pub(super) fn close(&mut self, leaf: &Leaf, before: Option<usize>, notes: &mut Annotations) -> usize {
        let mut given_back = 0;
        while let Some(family) = self.open.first_entry() {
            if before.is_some_and(|series| family.key().0 >= series) {
                break;
            }
            let (held, members) = match family.remove() {
                Members::Series(mut all) => {
                    all.iter_mut().for_each(|series| series.labels = leaf.shown(&series.labels));
                    (all.iter().map(GridSeries::samples).sum(), all)
                }
                Members::Folds(folds) => {
                    (folds.groups().len() * leaf.windows.steps.count, folds.finish(notes).series)
                }
            };
            match leaf.quantiles.as_ref().and_then(|quantiles| quantile_of(quantiles, &members)) {
                Some(quantile) => {
                    given_back += held.saturating_sub(quantile.samples());
                    self.done.push(quantile);
                }
                None => self.left.extend(members.into_iter().filter(|series| !series.is_absent())),
            }
        }
        given_back
    }

    /// How many columns are held, roughly.
    pub(super) fn columns(&self) -> usize {
        let of = |members: &Members| match members {
            Members::Series(all) => all.len(),
            Members::Folds(folds) => 4 * folds.groups().len(),
        };
        self.open.values().map(of).sum::<usize>() + self.done.len() + self.left.len()
    }
}
