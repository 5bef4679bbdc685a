//! Which series have a sample within a range. Segments and heads know their series and the time of all of them together:
//! where that lies within the range, each series has; else the series that nothing else speaks for are looked at.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::UInt32Type;
use futures::StreamExt;
use model::labels::Labels;
use model::{Matcher, TimeRange};

use super::BatchStream;
use super::memory::Held;
use super::metrics::{MetricsSnapshot, SeriesSet};
use super::select::{Selected, picked};
use super::snapshot::Source;
use crate::error::StorageError;
use crate::head::HeadView;
use crate::manifest::SegmentMeta;
use crate::segment::picked::Told;
use crate::signal::Table;

/// Series between two that are looked at are read with them where there are no more than these.
const GAP: usize = 64;

/// What a label set takes besides its bytes, about.
const SET_BYTES: usize = 48;

impl MetricsSnapshot {
    /// The label sets of the series that meet all matchers of any of the sets and have a sample or histogram within the
    /// snapshot's range, sorted and once each.
    ///
    /// # Errors
    /// When the store fails, or there is no memory for them; a damaged segment is left out.
    pub async fn present(&self, sets: &[Vec<Matcher>]) -> Result<BTreeSet<Labels>, StorageError> {
        let mut found = Present {
            range: self.range(),
            sets: BTreeSet::new(),
            bytes: 0,
            held: self.source().memory.hold(),
        };
        let (segments, heads) = found.certain(self.source(), sets).await?;
        for matchers in sets {
            let source = Arc::clone(self.source());
            let selected = Selected::of(source, segments.clone(), heads.clone(), matchers).await?;
            found.look(&SeriesSet::new(selected, self.range())).await?;
        }
        Ok(found.sets)
    }
}

/// The series that are known to have a row.
struct Present {
    range: TimeRange,
    sets: BTreeSet<Labels>,
    bytes: usize,
    held: Held,
}

impl Present {
    fn add(&mut self, labels: &Labels) {
        if !self.sets.contains(labels) {
            self.bytes += labels.as_bytes().len() + SET_BYTES;
            self.sets.insert(labels.clone());
        }
    }

    /// Adds the series that have a row for certain; gives the segments and heads that must be looked at for the others.
    async fn certain(
        &mut self,
        source: &Arc<Source>,
        sets: &[Vec<Matcher>],
    ) -> Result<(Vec<SegmentMeta>, Vec<HeadView>), StorageError> {
        let range = self.range;
        let is_within = |all: TimeRange| range.start_ns <= all.start_ns && all.end_ns <= range.end_ns;
        let metas = source.segments(range).cloned();
        let (whole, mut segments): (Vec<_>, Vec<_>) = metas.partition(|meta| is_within(meta.range()));
        for meta in whole {
            if !self.add_segment(source, &meta, sets).await? {
                segments.push(meta);
            }
        }
        let mut heads = Vec::new();
        for view in source.heads(range) {
            // An exemplar may be all that a head has of a series, and some may not be seen.
            let all = (0..view.series_count()).collect();
            let is_certain = view.time_range().is_some_and(is_within) && !view.has(Table::Exemplars);
            if !is_certain || source.head_veil(view, &all).is_some() {
                heads.push(view.clone());
                continue;
            }
            for matchers in sets {
                let list = view.series().select(matchers, view.series_count());
                list.iter().for_each(|(_, labels)| self.add(labels));
            }
            self.held.resize(self.bytes)?;
        }
        Ok((segments, heads))
    }

    /// Adds the series of a segment all of whose rows are within the range; no if that says nothing, because some of its rows
    /// may not be seen.
    async fn add_segment(
        &mut self,
        source: &Arc<Source>,
        meta: &SegmentMeta,
        sets: &[Vec<Matcher>],
    ) -> Result<bool, StorageError> {
        for matchers in sets {
            let Some((picked, veil, _while_it_is_added)) =
                picked(source, meta, matchers, Told::Labels).await?
            else {
                return Ok(true);
            };
            if veil.is_some() {
                return Ok(false);
            }
            let has_rows = |place: &usize| {
                let tables = [Table::Samples, Table::Histograms];
                tables.iter().any(|table| !picked.places.rows(*table, *place).is_empty())
            };
            (0..picked.labels.len()).filter(has_rows).for_each(|place| self.add(&picked.labels[place]));
            self.held.resize(self.bytes)?;
        }
        Ok(true)
    }

    /// Looks at the series that are not known to have a row.
    async fn look(&mut self, set: &SeriesSet) -> Result<(), StorageError> {
        let mut present = vec![false; set.labels().len()];
        let is_open = set.labels().iter().map(|labels| !self.sets.contains(labels));
        for numbers in runs(is_open) {
            let mut tables = vec![set.samples(numbers.clone(), self.range)];
            if set.has_histograms() {
                tables.push(set.histograms(numbers, self.range));
            }
            for rows in tables {
                mark(rows, &mut present).await?;
            }
        }
        let labels = set.labels().iter().zip(present).filter(|(_, is_present)| *is_present);
        labels.for_each(|(labels, _)| self.add(labels));
        self.held.resize(self.bytes)
    }
}

/// The stretches of series that are to be looked at.
fn runs(is_wanted: impl Iterator<Item = bool>) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (number, _) in is_wanted.enumerate().filter(|(_, is_wanted)| *is_wanted) {
        match runs.last_mut() {
            Some(run) if number - run.end <= GAP => run.end = number + 1,
            _ => runs.push(number..number + 1),
        }
    }
    runs
}

async fn mark(mut rows: BatchStream, present: &mut [bool]) -> Result<(), StorageError> {
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        for stretch in batch.column(0).as_primitive::<UInt32Type>().values().chunk_by(|a, b| a == b) {
            if let Some(present) = present.get_mut(stretch[0] as usize) {
                *present = true;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_looked_at_in_stretches() {
        let wanted = (0..200).map(|number| [3, 5, 150].contains(&number));
        assert_eq!(runs(wanted), [3..6, 150..151]);
        assert!(runs(std::iter::empty()).is_empty());
    }
}
