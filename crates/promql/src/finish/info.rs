//! `info`: series get the labels of the info series that share their `instance` and `job`.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use model::Labels;
use model::labels::METRIC_NAME;

use crate::error::EvalError;
use crate::plan::info::InfoSelector;
use crate::vector::{Grid, GridSeries};

/// The labels by which a series and its info series know each other.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// The info series by their identifying labels: what they are worth at each step, and since when.
struct InfoSeries<'a> {
    values: &'a [GridSeries],
    moments: &'a [GridSeries],
    by_identity: HashMap<Labels, Vec<usize>>,
}

pub(super) fn enrich(
    selector: &InfoSelector,
    base: Grid,
    values: &Grid,
    moments: &Grid,
) -> Result<Grid, EvalError> {
    let info = InfoSeries::new(values, moments)?;
    let is_optional = selector.labels.iter().all(model::Matcher::matches_empty);
    let mut out = Grid::empty(base.steps);
    for series in base.series {
        let name = series.labels.metric_name().unwrap_or_default();
        if selector.is_named && selector.names.iter().all(|matcher| matcher.matches(name)) {
            out.series.push(series);
            continue;
        }
        let identity = identity(&series.labels);
        let members = info.by_identity.get(&identity).filter(|_| !identity.is_empty());
        let members = members.map_or(&[][..], Vec::as_slice);
        let mut enriched: HashMap<Vec<usize>, GridSeries> = HashMap::new();
        for step in (0..base.steps.count).filter(|step| series.has(*step)) {
            let chosen = info.at(members, step)?;
            if chosen.is_empty() && !is_optional {
                continue;
            }
            let target = match enriched.entry(chosen) {
                hashbrown::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                hashbrown::hash_map::Entry::Vacant(entry) => {
                    let labels = added(selector, &series.labels, &info, entry.key())?;
                    let mut target = GridSeries::absent(labels, base.steps.count);
                    target.name_dropped = series.name_dropped;
                    entry.insert(target)
                }
            };
            match series.histogram(step) {
                Some(histogram) => target.set_histogram(step, histogram.clone()),
                None => target.set_float(step, series.values[step]),
            }
        }
        out.series.extend(enriched.into_values());
    }
    out.sort();
    out.unite()
}

fn identity(labels: &Labels) -> Labels {
    labels.filter(|name| IDENTIFYING.contains(&name))
}

impl<'a> InfoSeries<'a> {
    fn new(values: &'a Grid, moments: &'a Grid) -> Result<Self, EvalError> {
        let mut by_identity: HashMap<Labels, Vec<usize>> = HashMap::new();
        for (i, series) in values.series.iter().enumerate() {
            if series.has_histograms() {
                let message = format!("this should be an info metric, with float samples: {}", series.labels);
                return Err(EvalError::Matching(message));
            }
            let is_same = moments.series.get(i).is_some_and(|moment| moment.labels == series.labels);
            if !is_same {
                let what = "the times of info series are not those of their values".to_owned();
                return Err(EvalError::Batch { leaf: i, what });
            }
            by_identity.entry(identity(&series.labels)).or_default().push(i);
        }
        Ok(Self { values: &values.series, moments: &moments.series, by_identity })
    }

    /// The series that hold at a step: of each metric the one whose sample is the newest.
    fn at(&self, members: &[usize], step: usize) -> Result<Vec<usize>, EvalError> {
        let mut newest: BTreeMap<&str, usize> = BTreeMap::new();
        for i in members.iter().copied().filter(|i| self.values[*i].present.get(step)) {
            let name = self.values[i].labels.metric_name().unwrap_or_default();
            let Some(other) = newest.get(name).copied() else {
                newest.insert(name, i);
                continue;
            };
            let (known, new) = (self.moments[other].values[step], self.moments[i].values[step]);
            if new > known {
                newest.insert(name, i);
            } else if new.to_bits() == known.to_bits() {
                return Err(EvalError::Matching(format!(
                    "found duplicate series for info metric: existing {} @ {:.0}, new {} @ {:.0}",
                    self.values[other].labels,
                    known * 1_000.0,
                    self.values[i].labels,
                    new * 1_000.0,
                )));
            }
        }
        Ok(newest.into_values().collect())
    }
}

/// The labels of a series and those that its info series add.
fn added(
    selector: &InfoSelector,
    base: &Labels,
    info: &InfoSeries<'_>,
    chosen: &[usize],
) -> Result<Labels, EvalError> {
    let is_wanted = |name: &str| {
        let is_named = || selector.labels.iter().any(|matcher| matcher.name == name);
        name != METRIC_NAME
            && !IDENTIFYING.contains(&name)
            && (selector.labels.is_empty() || is_named())
            && base.get(name).is_none()
    };
    let mut new: BTreeMap<&str, &str> = BTreeMap::new();
    for i in chosen {
        for (name, value) in info.values[*i].labels.iter().filter(|(name, _)| is_wanted(name)) {
            if new.insert(name, value).is_some_and(|other| other != value) {
                return Err(EvalError::Matching(format!("conflicting label: {name}")));
            }
        }
    }
    Ok(Labels::from_pairs(base.iter().chain(new)))
}
