//! What is done next to the data: which series to read, which kernel to run on each, and how to reduce them before
//! they travel.

mod columns;

mod families;

mod raw;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use model::histogram::NativeHistogram;
use model::{Labels, Matcher, TimeRange};

use crate::aggregate::fold::Folds;
use crate::annotations::Annotations;
use crate::ast::{AggregateOp, Grouping, Place};
use crate::error::EvalError;
use crate::functions::quantile::check_quantile;
use crate::histogram;
use crate::kernels::{self, Kernel, RangeFunction, SeriesSamples, Windows};
use crate::plan::RangePlaces;
use crate::vector::{Grid, GridSeries};

pub(crate) use columns::{quantiles_schema, schema as values_schema};
pub(crate) use families::BOUND;
pub use families::Families;
pub(crate) use raw::{RawSeries, schema as raw_schema};

use families::Open;

/// One reading of series. Cheap to share; a [`Worker`] per partition does the work.
#[derive(Debug)]
pub struct Leaf {
    pub(crate) number: usize,
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) windows: Windows,
    pub(crate) work: Work,
    pub(crate) places: RangePlaces,
    /// Whether only counts and sums of histograms are wanted: then each is compared with the one before it, and says
    /// itself whether the counter began anew.
    pub(crate) tells_resets: bool,
    /// Whether names that are to go stay among the labels until the query's end.
    pub(crate) delayed_names: bool,
    /// Whether it counts since when samples count.
    pub(crate) start_timestamps: bool,
    /// Whether the samples of each step are counted.
    pub(crate) is_counted: bool,
    pub(crate) lookback_ms: i64,
    pub(crate) max_samples: usize,
    /// The quantiles, one per step, that the workers compute of classic histograms.
    pub(crate) quantiles: Option<Vec<f64>>,
    pub(crate) schema: SchemaRef,
}

/// What becomes of the samples.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    /// They travel as they are.
    Raw,
    /// A value per step.
    Kernel {
        kernel: Kernel,
        keep_name: bool,
        /// Groups are folded before they travel.
        reduce: Option<Reduce>,
    },
}

/// How groups are folded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reduce {
    pub(crate) op: AggregateOp,
    pub(crate) grouping: Grouping,
    /// Where what is folded stands in the text.
    pub(crate) place: Place,
}

impl Leaf {
    /// The conditions on the series; all must hold.
    #[must_use]
    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    /// The time of the samples that any step needs.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        let (before_ms, last_ms) = self.windows.hull();
        TimeRange::from_ms(before_ms.saturating_add(1), last_ms)
    }

    /// The time of the histograms that any step needs. It begins before that of the samples where the first of them is
    /// compared with the one before it.
    #[must_use]
    pub fn histogram_range(&self) -> TimeRange {
        let (before_ms, last_ms) = self.windows.hull();
        let more_ms = if self.shows_hints() { self.lookback_ms } else { 0 };
        TimeRange::from_ms(before_ms.saturating_sub(more_ms).saturating_add(1), last_ms)
    }

    /// Whether the result may have histograms with their own hints.
    const fn shows_hints(&self) -> bool {
        use RangeFunction::{Avg, First, Last, Sum};
        let shows = match &self.work {
            Work::Raw => true,
            Work::Kernel { kernel, .. } => {
                matches!(kernel, Kernel::Instant | Kernel::Range(Sum | Avg | First | Last, _))
            }
        };
        shows && !self.tells_resets
    }

    /// Whether the result has no metric's name from here on.
    pub(crate) const fn drops_names_at_once(&self) -> bool {
        matches!(self.work, Work::Kernel { keep_name: false, .. }) && !self.delayed_names
    }

    /// The labels of a series as they are in the result.
    fn shown(&self, labels: &Labels) -> Labels {
        if self.drops_names_at_once() { labels.without_metric() } else { labels.clone() }
    }

    /// The histograms of a series with their hints, where these count.
    fn told(&self, histograms: &[NativeHistogram]) -> Option<Vec<NativeHistogram>> {
        if histograms.is_empty() {
            None
        } else if self.tells_resets {
            Some(histogram::with_resets(histograms))
        } else {
            self.shows_hints().then(|| histogram::with_continuations(histograms))
        }
    }

    /// The columns that the workers give: `labels` (canonical bytes), `values`, and what this leaf needs besides.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// A worker for one partition of the series. Where it is known which of them are of one histogram, it computes the
    /// quantiles of those that are all of them in its part.
    #[must_use]
    pub fn worker(self: &Arc<Self>, families: Option<(Arc<Families>, Range<usize>)>) -> Worker {
        let state = match &self.work {
            Work::Raw => State::Raw(Vec::new()),
            Work::Kernel { reduce: Some(reduce), .. } => {
                State::Folds(Folds::new(reduce.op, self.windows.steps), Vec::new())
            }
            Work::Kernel { reduce: None, .. } => State::Series(Vec::new()),
        };
        Worker {
            leaf: Arc::clone(self),
            families: families.map(|(families, part)| Open::new(families, part)),
            state,
            notes: Annotations::default(),
            samples: 0,
            counted: Vec::new(),
            most_held: 0,
            any: false,
        }
    }

    /// Reads what all workers gave, sorted by labels.
    pub(crate) fn gather(&self, batches: &[RecordBatch], notes: &mut Annotations) -> Result<Grid, EvalError> {
        Ok(self.gather_quantiles(batches, notes)?.0)
    }

    /// The same of a leaf whose workers compute quantiles: buckets of which they did not, and the quantiles.
    pub(crate) fn gather_quantiles(
        &self,
        batches: &[RecordBatch],
        notes: &mut Annotations,
    ) -> Result<(Grid, Vec<GridSeries>), EvalError> {
        let Work::Kernel { reduce, .. } = &self.work else {
            return Err(columns::error(self.number, "it gives samples, not values"));
        };
        let mut grid = Grid::empty(self.windows.steps);
        let mut folds = reduce.as_ref().map(|reduce| Folds::new(reduce.op, self.windows.steps));
        notes.at(reduce.as_ref().map_or(self.places.samples, |reduce| reduce.place));
        let mut whole = columns::Whole::default();
        for batch in batches {
            columns::read(self, batch, folds.as_mut(), &mut grid.series, &mut whole, notes)?;
        }
        if let Some(mut folds) = folds {
            // Series of histograms travel unfolded.
            grid.sort();
            let key = |series: &GridSeries| {
                reduce.as_ref().map_or_else(Labels::empty, |reduce| reduce.grouping.key(&series.labels))
            };
            grid.series.iter().for_each(|series| folds.add(&key(series), series, notes));
            grid = folds.finish(notes);
        }
        grid.series.append(&mut whole.buckets);
        grid.sort();
        let grid = grid.unite()?;
        let samples = grid.samples() + whole.quantiles.iter().map(GridSeries::samples).sum::<usize>();
        if samples > self.max_samples { Err(EvalError::TooManySamples) } else { Ok((grid, whole.quantiles)) }
    }

    /// Reads the samples that all workers gave, sorted by labels.
    pub(crate) fn gather_raw(
        &self,
        batches: &[RecordBatch],
        notes: &mut Annotations,
    ) -> Result<Vec<RawSeries>, EvalError> {
        let mut series = Vec::new();
        for batch in batches {
            raw::read(self, batch, &mut series, notes)?;
        }
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        let samples: usize = series.iter().map(|series| series.samples().len()).sum();
        if samples > self.max_samples { Err(EvalError::TooManySamples) } else { Ok(series) }
    }
}

/// Takes the series of one partition and gives one batch.
#[derive(Debug)]
pub struct Worker {
    leaf: Arc<Leaf>,
    /// Histograms whose series are all of them here; the others are in the state.
    families: Option<Open>,
    state: State,
    notes: Annotations,
    /// Values held so far.
    samples: usize,
    /// The samples of each step, where they are counted.
    counted: Vec<u64>,
    most_held: usize,
    /// Whether there was a series.
    any: bool,
}

#[derive(Debug)]
enum State {
    Raw(Vec<RawSeries>),
    Series(Vec<GridSeries>),
    /// Groups, and series that could not be folded.
    Folds(Folds, Vec<GridSeries>),
}

impl Worker {
    /// Takes the samples of a series, which has this number among those of the leaf: those of [`Leaf::range`], ascending
    /// in time. Other samples do no harm. The numbers ascend from call to call.
    ///
    /// # Errors
    /// When the query holds more values than it may, or times and values are not of one number.
    pub fn series(
        &mut self,
        number: usize,
        labels: &Labels,
        samples: SeriesSamples<'_>,
    ) -> Result<(), EvalError> {
        if samples.timestamps_ms.len() != samples.values.len()
            || samples.histogram_timestamps_ms.len() != samples.histograms.len()
            || ![0, samples.values.len()].contains(&samples.starts_ms.len())
            || ![0, samples.histograms.len()].contains(&samples.histogram_starts_ms.len())
        {
            return Err(columns::error(self.leaf.number, "times and values are not of one number"));
        }
        self.most_held = self.most_held.max(self.samples + samples.len());
        let told = self.leaf.told(samples.histograms);
        let samples = SeriesSamples { histograms: told.as_deref().unwrap_or(samples.histograms), ..samples };
        let samples = if self.leaf.start_timestamps { samples } else { samples.without_starts() };
        let (kernel, keep_name, reduce) = match (&self.leaf.work, &mut self.state) {
            (Work::Kernel { kernel, keep_name, reduce }, _) => (kernel, *keep_name, reduce),
            (Work::Raw, State::Raw(all)) => {
                let series = RawSeries::within(labels, samples, self.leaf.windows.hull());
                self.samples += series.samples().len();
                if !series.samples().is_empty() {
                    all.push(series);
                }
                return self.check();
            }
            (Work::Raw, _) => return Err(columns::error(self.leaf.number, "it keeps no samples")),
        };

        if let (Kernel::Range(RangeFunction::Quantile, params), false) = (kernel, self.any) {
            self.notes.at(self.leaf.places.param);
            params.iter().flatten().for_each(|q| check_quantile(*q, &mut self.notes));
        }
        self.any = true;
        self.notes.at(self.leaf.places.samples);
        kernels::check(kernel, &self.leaf.windows, samples)?;
        let mut result = kernels::run(kernel, &self.leaf.windows, labels.clone(), samples, &mut self.notes);
        result.name_dropped = !keep_name && self.leaf.delayed_names;
        if self.leaf.is_counted {
            kernels::count(kernel, &self.leaf.windows, samples, &result, &mut self.counted);
        }
        if result.is_absent() {
            return Ok(());
        }
        if let Some(families) = &mut self.families {
            self.samples =
                self.samples.saturating_sub(families.close(&self.leaf, Some(number), &mut self.notes));
            if let Some(family) = families.of(number) {
                self.samples += families.add(&self.leaf, family, result, &mut self.notes);
                return self.check();
            }
        }
        result.labels = self.leaf.shown(labels);
        match &mut self.state {
            State::Folds(folds, unfolded) => {
                let key =
                    reduce.as_ref().map_or_else(Labels::empty, |reduce| reduce.grouping.key(&result.labels));
                self.notes.at(reduce.as_ref().map_or(self.leaf.places.samples, |reduce| reduce.place));
                let histograms = std::mem::take(&mut result.histograms);
                let known = folds.groups().len();
                folds.add(&key, &result, &mut self.notes);
                self.samples += (folds.groups().len() - known) * result.values.len();
                if !histograms.is_empty() {
                    let mut left = GridSeries::absent(result.labels, result.values.len());
                    left.histograms = histograms;
                    self.samples += left.samples();
                    unfolded.push(left);
                }
            }
            State::Series(all) => {
                self.samples += result.samples();
                all.push(result);
            }
            State::Raw(_) => return Err(columns::error(self.leaf.number, "it keeps samples, not values")),
        }
        self.check()
    }

    fn check(&self) -> Result<(), EvalError> {
        if self.samples > self.leaf.max_samples { Err(EvalError::TooManySamples) } else { Ok(()) }
    }

    /// How many samples each step looked at; empty where that is not counted.
    #[must_use]
    pub fn counted(&self) -> &[u64] {
        &self.counted
    }

    /// The most values that were held at once, those of the series that was looked at included.
    #[must_use]
    pub const fn most_held(&self) -> usize {
        self.most_held
    }

    /// Bytes that the worker holds, roughly.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let column_bytes = self.leaf.windows.steps.count * 9 + 256;
        let of_series = |all: &[GridSeries]| all.len() * column_bytes;
        let of_families = self.families.as_ref().map_or(0, Open::columns) * column_bytes;
        of_families
            + match &self.state {
                State::Raw(all) => all.len() * 256 + self.samples * 16,
                State::Series(all) => of_series(all),
                State::Folds(folds, unfolded) => folds.memory_bytes() + of_series(unfolded),
            }
    }

    /// What the partition gives, in the leaf's schema.
    ///
    /// # Errors
    /// When the columns cannot be built.
    pub fn finish(mut self) -> Result<RecordBatch, EvalError> {
        let whole = match self.families.take() {
            Some(mut families) => {
                families.close(&self.leaf, None, &mut self.notes);
                columns::Whole { buckets: families.left, quantiles: families.done }
            }
            None => columns::Whole::default(),
        };
        match self.state {
            State::Raw(all) => raw::write(&self.leaf, &all, &self.notes),
            State::Series(all) => columns::write(&self.leaf, &[], &all, &whole, &self.notes),
            State::Folds(folds, unfolded) => {
                columns::write(&self.leaf, folds.groups(), &unfolded, &whole, &self.notes)
            }
        }
    }
}
