//! Which series have a sample within a range. Segments and heads know their series and the time of all of them together:
//! where that lies within the range, each series has; else the series that nothing else speaks for are looked at.

use std::ops::Range;

use arrow::array::AsArray;
use arrow::datatypes::UInt32Type;
use futures::StreamExt;
use model::TimeRange;
use model::labels::Labels;

use super::BatchStream;
use super::metrics::SeriesSet;
use super::select::Selected;
use crate::error::StorageError;
use crate::signal::Table;

/// Series between two that are looked at are read with them where there are no more than these.
const GAP: usize = 64;

impl SeriesSet {
    /// For each series whether it is asked about and has a sample or histogram within the snapshot's range.
    ///
    /// # Errors
    /// When the store fails; a damaged segment is left out.
    pub async fn present(&self, is_asked: impl Fn(&Labels) -> bool) -> Result<Vec<bool>, StorageError> {
        let range = self.range();
        let asked: Vec<bool> = self.labels().iter().map(is_asked).collect();
        let mut present = self.selected().certain(range);
        for numbers in runs(asked.iter().zip(&present).map(|(is_asked, is_present)| *is_asked && !is_present))
        {
            let mut tables = vec![self.samples(numbers.clone(), range)];
            if self.has_histograms() {
                tables.push(self.histograms(numbers, range));
            }
            for rows in tables {
                mark(rows, &mut present).await?;
            }
        }
        present.iter_mut().zip(asked).for_each(|(present, is_asked)| *present &= is_asked);
        Ok(present)
    }
}

impl Selected {
    /// The series that have a row within the range for certain.
    fn certain(&self, range: TimeRange) -> Vec<bool> {
        let is_within = |all: TimeRange| range.start_ns <= all.start_ns && all.end_ns <= range.end_ns;
        let mut certain = vec![false; self.labels.len()];
        let whole = self.segments.iter().filter(|segment| segment.veil.is_none());
        for segment in whole.filter(|segment| is_within(segment.meta.range())) {
            segment.with_rows([Table::Samples, Table::Histograms]).for_each(|number| certain[number] = true);
        }
        for head in self.heads.iter().filter(|head| head.view.time_range().is_some_and(is_within)) {
            // An exemplar may be all that a head has of a series, and some may not be seen.
            if !head.view.has(Table::Exemplars) && head.is_whole() {
                head.numbers().for_each(|number| certain[number] = true);
            }
        }
        certain
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
