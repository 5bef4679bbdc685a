//! Reads metrics: series by matchers, and their samples, histograms and exemplars.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use futures::{StreamExt, TryStreamExt};
use model::labels::Labels;
use model::metric::MetricType;
use model::{Matcher, TimeRange};

use super::listing;
use super::look;
use super::merge::merge_all;
use super::select::{Among, Numbers, Scan, SegmentPart, Selected, picked, renumbered};
use super::snapshot::{Age, Source};
use super::{BatchStream, common};
use crate::error::StorageError;
use crate::head::series::Info;
use crate::manifest::SegmentMeta;
use crate::segment::packed::{self, START_COLUMN, TIME_BASE_COLUMN, TIME_OFFSET_COLUMN};
use crate::segment::picked::Told;
use crate::segment::reader::{Footer, SegmentFile};
use crate::signal::Table;

/// A range of less than one part in so many of a segment's time is narrow.
const NARROW: i64 = 4;

/// A tenant's metrics at one moment.
#[derive(Clone, Debug)]
pub struct MetricsSnapshot {
    source: Arc<Source>,
    range: TimeRange,
}

/// What is known of a metric besides its series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricMetadata {
    /// The metric's name.
    pub name: String,
    /// What it is.
    pub metric_type: MetricType,
    /// The unit, empty where not told.
    pub unit: String,
    /// The description, empty where not told.
    pub help: String,
}

/// Series that meet matchers; cheap to clone.
#[derive(Clone, Debug)]
pub struct SeriesSet {
    selected: Arc<Selected>,
    range: TimeRange,
}

impl MetricsSnapshot {
    pub(crate) fn new(source: Source, range: TimeRange) -> Self {
        Self { source: Arc::new(source), range }
    }

    pub(super) const fn range(&self) -> TimeRange {
        self.range
    }

    pub(super) const fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// The series that meet all matchers; no matcher means all of them. Series are known by segment and by head: one
    /// may have no sample in the snapshot's range.
    ///
    /// # Errors
    /// When the store fails; a damaged segment is left out.
    pub async fn select(&self, matchers: &[Matcher]) -> Result<SeriesSet, StorageError> {
        let selected = Selected::resolve(Arc::clone(&self.source), self.range, matchers).await?;
        Ok(SeriesSet::new(selected, self.range))
    }

    /// What is known of every metric with data in the range, by name; what was told last holds.
    ///
    /// # Errors
    /// When the store fails; a damaged segment is left out.
    pub async fn metadata(&self) -> Result<Vec<MetricMetadata>, StorageError> {
        let mut known: BTreeMap<String, MetricMetadata> = BTreeMap::new();
        let mut tell = |labels: &Labels, info: &Info| {
            let Some(name) = labels.metric_name() else { return };
            if !known.contains_key(name) {
                known.insert(name.to_owned(), MetricMetadata::unknown(name));
            }
            if let Some(metadata) = known.get_mut(name) {
                metadata.learn(info);
            }
        };
        for age in Age::ALL {
            for meta in self.source.segments(self.range).filter(|meta| self.source.segment_age(meta) == age) {
                if let Some((picked, ..)) = picked(&self.source, meta, &[], Told::Infos).await? {
                    picked.labels.iter().zip(&picked.infos).for_each(|(labels, info)| tell(labels, info));
                }
            }
            for view in self.source.heads(self.range).filter(|view| view.age() == age) {
                let gone = self.source.head_veil(view, &(0..view.series_count()).collect());
                let gone = gone.map(|veil| veil.gone).unwrap_or_default();
                let mut number = 0;
                view.series().for_each(view.series_count(), |labels, info| {
                    if !gone.contains(number) {
                        tell(labels, info);
                    }
                    number += 1;
                });
            }
        }
        Ok(known.into_values().collect())
    }

    /// The names of the labels of the series that meet all matchers of any of the sets, sorted: of all that a segment or head
    /// with data in the snapshot's range knows.
    ///
    /// # Errors
    /// When the store fails; a damaged segment is left out.
    pub async fn label_names(&self, sets: &[Vec<Matcher>]) -> Result<Vec<Arc<str>>, StorageError> {
        listing::label_names(&self.source, self.range, sets).await
    }

    /// The values of a label of the series that meet all matchers of any of the sets, sorted: of all that a segment or head
    /// with data in the snapshot's range knows.
    ///
    /// # Errors
    /// When the store fails; a damaged segment is left out.
    pub async fn label_values(
        &self,
        name: &str,
        sets: &[Vec<Matcher>],
    ) -> Result<Vec<Arc<str>>, StorageError> {
        listing::label_values(&self.source, self.range, name, sets).await
    }

    /// How many segments of the snapshot's range are missing from what it gives out, because they are damaged. It grows
    /// while damage is found.
    #[must_use]
    pub fn missing_segments(&self) -> usize {
        self.source.missing(self.range)
    }

    /// The segments with data in the snapshot's range, the oldest commit first.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentMeta> {
        self.source.segments(self.range).cloned().collect()
    }

    /// The time that the data covers, by segments and heads, within the snapshot's range.
    #[must_use]
    pub fn time_bounds(&self) -> Option<TimeRange> {
        self.source.time_bounds(self.range).map(|all| common(all, self.range))
    }
}

impl MetricMetadata {
    fn unknown(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            metric_type: MetricType::Unknown,
            unit: String::new(),
            help: String::new(),
        }
    }

    fn learn(&mut self, info: &Info) {
        if info.metric_type != MetricType::Unknown as u8 {
            self.metric_type = MetricType::from_u8(info.metric_type);
        }
        if !info.unit.is_empty() && *info.unit != *self.unit {
            (*info.unit).clone_into(&mut self.unit);
        }
        if !info.help.is_empty() && *info.help != *self.help {
            (*info.help).clone_into(&mut self.help);
        }
    }
}

impl SeriesSet {
    pub(super) fn new(selected: Selected, range: TimeRange) -> Self {
        Self { selected: Arc::new(selected), range }
    }

    /// The series' labels, sorted and once each; a place in this list is the `series` number of rows.
    #[must_use]
    pub fn labels(&self) -> &[Labels] {
        &self.selected.labels
    }

    /// Floating-point samples of the series within the range: [`model::metric::SAMPLES_SCHEMA`], sorted by series and
    /// time. Of two samples with the same series and time the one written last is given. A series' rows may cross
    /// the borders of batches.
    #[must_use]
    pub fn samples(&self, series: Range<usize>, range: TimeRange) -> BatchStream {
        self.rows(Table::Samples, series, range)
    }

    /// Native histograms: as [`SeriesSet::samples`], of [`model::metric::HISTOGRAMS_SCHEMA`].
    #[must_use]
    pub fn histograms(&self, series: Range<usize>, range: TimeRange) -> BatchStream {
        self.rows(Table::Histograms, series, range)
    }

    /// Exemplars, equal ones once, of [`model::metric::EXEMPLARS_SCHEMA`], sorted by series and time.
    #[must_use]
    pub fn exemplars(&self, series: Range<usize>, range: TimeRange) -> BatchStream {
        self.rows(Table::Exemplars, series, range)
    }

    /// Whether there may be native histograms of the series; readers may skip them otherwise.
    #[must_use]
    pub fn has_histograms(&self) -> bool {
        self.selected.has(Table::Histograms)
    }

    fn rows(&self, table: Table, numbers: Range<usize>, range: TimeRange) -> BatchStream {
        let scan = Scan { table, numbers, among: Among::All, range: common(range, self.range) };
        let source = &self.selected.source;
        let mut sources: Vec<(Age, BatchStream)> = Vec::new();
        for segment in &self.selected.segments {
            if let Some((file, numbers)) = segment.wanted(source, &scan) {
                let rows = self.segment_rows(segment.clone(), file, numbers, scan.clone());
                sources.push((source.segment_age(&segment.meta), rows));
            }
        }
        let segments = sources.len();
        for head in &self.selected.heads {
            sources
                .extend(head.sources(&scan, &source.memory).into_iter().map(|rows| (head.view.age(), rows)));
        }
        // Of one age they are in their order already.
        sources.sort_by_key(|(age, _)| *age);
        let mut sources: Vec<BatchStream> = sources.into_iter().map(|(_, rows)| rows).collect();
        if sources.len() == 1 && segments == 1 {
            // A segment has no duplicates within itself.
            return sources.remove(0);
        }
        merge_all(table, sources, table.duplicates(), &source.memory)
    }

    fn segment_rows(
        &self,
        part: SegmentPart,
        file: SegmentFile,
        numbers: Numbers,
        scan: Scan,
    ) -> BatchStream {
        let source = Arc::clone(&self.selected.source);
        let reported = file.clone();
        let rows = async move {
            let footer = file.footer().await?;
            let mut places = part.places(&file, &footer, &scan, &numbers)?;
            if scan.table == Table::Samples && is_narrow(scan.range, part.meta.range()) {
                places = in_time(&file, &footer, scan.range, &places).await?;
            }
            let columns = 0..footer.metadata.schema().fields().len();
            let rows = file.rows(&footer, columns, &places);
            Ok::<_, StorageError>(rows.map(move |batch| {
                file.decode(|| {
                    let batch = table_rows(&file, scan.table, &batch?)?;
                    renumbered(&file, &scan, (&numbers, part.veil.as_deref()), &batch)
                })
            }))
        };
        let rows = futures::stream::once(rows).try_flatten();
        rows.filter_map(move |batch| {
            let batch = source.readable(&reported, batch).transpose();
            futures::future::ready(batch)
        })
        .boxed()
    }
}

/// Whether so little of a segment's time is wanted that its times are worth a look of their own. A page has samples of
/// many series, and of each of them all of the segment's time.
fn is_narrow(wanted: TimeRange, all: TimeRange) -> bool {
    let length = |range: TimeRange| range.end_ns.saturating_sub(range.start_ns).max(0);
    length(wanted) < length(all) / NARROW
}

/// The places of the samples in the range.
async fn in_time(
    file: &SegmentFile,
    footer: &Arc<Footer>,
    range: TimeRange,
    places: &[Range<usize>],
) -> Result<Vec<Range<usize>>, StorageError> {
    let (first, last) = Table::Samples.bounds(range);
    let is_wanted = |batch: &RecordBatch| {
        let times = packed::times(batch.columns())?;
        Some(times.map(|time| (first..=last).contains(&time)).collect())
    };
    look::wanted(file, footer, [TIME_BASE_COLUMN, TIME_OFFSET_COLUMN], places, is_wanted).await
}

/// Rows of a file as rows of the table.
///
/// # Errors
/// [`StorageError::Corrupt`] where the columns are others.
pub(crate) fn table_rows(
    file: &SegmentFile,
    table: Table,
    batch: &RecordBatch,
) -> Result<RecordBatch, StorageError> {
    let columns: Vec<ArrayRef> = match table {
        Table::Samples => {
            let wrong = || file.corrupt("columns or scales are not those of samples");
            let (times, values) = packed::unpack(batch).ok_or_else(wrong)?;
            let column = |column: usize| Arc::clone(batch.column(column));
            vec![column(0), Arc::new(times), column(START_COLUMN), Arc::new(values)]
        }
        _ => batch.columns().to_vec(),
    };
    RecordBatch::try_new(Arc::clone(table.schema()), columns).map_err(|error| file.corrupt(error))
}
