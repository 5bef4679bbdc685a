//! One merge: the inputs become one segment, and one manifest transaction puts it in their place.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::labels::Labels;
use model::{Signal, TimeRange};

use super::{CompactionReport, Due};
use crate::bounds::{MERGE_SOURCES_BYTES, READ_BATCH_BYTES};
use crate::building::{Built, Failure, Pace};
use crate::error::StorageError;
use crate::head::series::Info;
use crate::hidden::Unseen;
use crate::manifest::commit::Change;
use crate::manifest::{Manifest, SegmentMeta};
use crate::metrics::BySignal;
use crate::partition::PartitionId;
use crate::read::Source as ReadSource;
use crate::read::select::{merged_picked, seen, series_part};
use crate::read::union::Union;
use crate::retry::retried;
use crate::segment::build::Build;
use crate::segment::picked::Picked;
use crate::segment::reader::{Footer, SegmentFile};
use crate::segment::schema::part;
use crate::segment::source::{NO_NUMBER, SegmentRows, Source, WantedRows};
use crate::segment::writer::SegmentWriter;
use crate::signal::Table;
use crate::storage::Engine;

/// Fewer than these are no merge.
const MIN_INPUTS: usize = 2;

impl Engine {
    /// Merges, and reports what was done: nothing where an input is gone or does not read back.
    pub(crate) async fn merge(&self, mut due: Due) -> Result<CompactionReport, StorageError> {
        let start_ns = self.clock().monotonic_ns();
        let (manifest, confirmed_ns) = (Arc::clone(&due.manifest), due.partition.confirmed_ns());
        let PartitionId { tenant, signal } = due.partition.id.clone();
        let hidden = due.hidden.clone();
        let source = self.read_from((tenant, signal), manifest, confirmed_ns, Vec::new(), hidden);
        let built = match self.prepare(&mut due, &source).await {
            Ok(build) => self.build_merged(&due, build).await,
            Err(failure) => Err(failure),
        };
        let due = &due;
        let mut built = match built {
            Ok(built) => built,
            Err(Failure { file: None, error }) => return Err(error),
            Err(Failure { file: Some(file), error }) => {
                self.lost(due, &source, &file, error).await?;
                return Ok(CompactionReport::default());
            }
        };
        if let Some(meta) = &mut built.meta {
            // The inputs are of one kind: what clears the first of them clears all.
            if let Some(input) = due.inputs.first() {
                (meta.cleared, meta.cleared_also) = due.hidden.clearable(input.clearance());
            }
            meta.looked = due.hidden.dividing_periods_ns().next().map(|_| due.hidden.look());
        }
        if !self.commit_merge(due, &built).await? {
            self.metrics.compaction_failures.get_or_create(&BySignal::new(signal)).inc();
            return Ok(CompactionReport::default());
        }
        let report = CompactionReport {
            merges: 1,
            erased: 0,
            segments_in: due.inputs.len(),
            bytes_in: due.inputs.iter().map(SegmentMeta::bytes).sum(),
            bytes_out: built.meta.as_ref().map_or(0, SegmentMeta::bytes),
            rows_in: built.rows_in,
            rows_dropped: built.rows_in.saturating_sub(built.meta.as_ref().map_or(0, |meta| meta.rows)),
            peak_bytes: built.peak_bytes,
        };
        self.count_merge(signal, &report, self.clock().monotonic_ns().saturating_sub(start_ns));
        Ok(report)
    }

    /// What one merge may take of the room: half of it is left to flushes.
    pub(super) fn merge_share_bytes(&self) -> usize {
        self.settings.memory.merge_bytes / 2 / self.settings.compaction.max_concurrent.max(1)
    }

    /// Builds the segment when there is room for it. Two inputs that need more than the share are merged all the same.
    async fn build_merged(&self, due: &Due, build: Build) -> Result<Built, Failure> {
        let _room = self.merges.take(build.expected_bytes().min(self.merge_share_bytes())).await?;
        let day = due.inputs.first().map_or("", |input| input.day.as_str());
        self.build_segment(&due.partition, day, due.level, build, Pace::Last).await
    }

    /// Opens the inputs: as many of them, from the first on, as fit into the share of a merge.
    async fn prepare(&self, due: &mut Due, source: &ReadSource) -> Result<Build, Failure> {
        let signal = due.partition.id.signal;
        let range = TimeRange::new(due.hidden.floor_ns(), i64::MAX);
        let mut opened = Vec::with_capacity(due.inputs.len());
        for input in &due.inputs {
            opened.push(opened_tables(source, input).await?);
        }
        let unnumbered = vec![InputRows::default(); due.inputs.len()];
        while due.inputs.len() > MIN_INPUTS {
            let tables = tables(signal, &opened, &unnumbered, range);
            let build = Build::new(tables, SegmentWriter::new(signal, Vec::new(), true));
            if build.expected_bytes() <= self.merge_share_bytes() {
                break;
            }
            let count = due.inputs.len();
            due.inputs.truncate((count - count.div_ceil(4)).max(MIN_INPUTS));
            opened.truncate(due.inputs.len());
        }
        let mut numbering = Numbering::default();
        let mut unseen = Vec::with_capacity(due.inputs.len());
        for input in &due.inputs {
            if signal == Signal::Traces {
                let veil = source.segment_span_veil(input);
                unseen.push(veil.map_or(Unseen::Nothing, |veil| Unseen::Spans(Arc::new(veil))));
            } else {
                let file = open(source, input, series_part(signal))?;
                let file =
                    file.ok_or_else(|| StorageError::corrupt(&input.id, "it has no list of series"))?;
                let picked = merged_picked(signal, &file, &source.memory).await;
                let (mut picked, _held) = picked.map_err(|error| Failure { file: Some(file), error })?;
                let veil = seen(source, input, &mut picked);
                numbering.add(picked);
                unseen.push(veil.map_or(Unseen::Nothing, |veil| Unseen::Rows(Arc::new(veil))));
            }
        }
        let (series, mut numbers) = numbering.finish();
        numbers.resize(due.inputs.len(), Arc::default());
        let rows = numbers.into_iter().zip(unseen);
        let rows: Vec<_> = rows.map(|(numbers, unseen)| InputRows { numbers, unseen }).collect();
        let tables = tables(signal, &opened, &rows, range);
        Ok(Build::new(tables, SegmentWriter::new(signal, series, true)))
    }

    /// Finds out why a file did not read. Where its segment is gone, somebody else has merged or removed it; otherwise it
    /// is damaged, and the next plan leaves it out.
    async fn lost(
        &self,
        due: &Due,
        source: &ReadSource,
        file: &SegmentFile,
        error: StorageError,
    ) -> Result<(), StorageError> {
        let partition = &due.partition;
        self.catch_up(partition).await?;
        if !has_all(&partition.manifest(), &due.inputs) {
            return Ok(());
        }
        let message = error.to_string();
        let source = ReadSource { confirmed_ns: partition.confirmed_ns(), ..source.clone() };
        source.readable::<()>(file, Err(error))?;
        // It may have been looked at and set aside already.
        if self.suspects.contains(&file.path) || !has_all(&partition.manifest(), &due.inputs) {
            return Ok(());
        }
        Err(StorageError::corrupt(&file.path, message))
    }

    /// Puts the new segment in the place of the inputs; says whether they were still there.
    async fn commit_merge(&self, due: &Due, built: &Built) -> Result<bool, StorageError> {
        let partition = &due.partition;
        // Dropped or replaced, some objects have no name from now on.
        partition.is_sweep_due.store(true, Ordering::Relaxed);
        let turn = partition.turn().await?;
        let transaction = self.ids.next(self.clock());
        let apply = |manifest: &mut Manifest| match self.is_still_so(due, manifest) {
            true => replace(manifest, &due.inputs, built.meta.as_ref()),
            false => Change::Nothing,
        };
        let commit = || async {
            built.in_time(self)?;
            partition.manifests.commit(partition.manifest(), &transaction, &apply).await
        };
        let manifest = retried(self.runtime(), self.settings.store.retry_backoff_ms, commit).await?;
        let is_named = |meta: &SegmentMeta| manifest.segments.iter().any(|segment| segment.id == meta.id);
        let is_done = built.meta.as_ref().map_or(!has_all(&manifest, &due.inputs), is_named);
        partition.committed(manifest, None);
        // Once more: a sweep that began before the commit has not seen what it replaced.
        partition.is_sweep_due.store(true, Ordering::Relaxed);
        drop(turn);
        Ok(is_done)
    }

    /// Whether what the merge has left behind may still go: no hold came, no deletion was taken back, and the periods are
    /// the same.
    fn is_still_so(&self, due: &Due, manifest: &Manifest) -> bool {
        let planned =
            due.manifest.deletions.iter().filter(|deletion| !due.hidden.is_blocked(deletion.number));
        let is_there = |id: &str| manifest.deletions.iter().any(|deletion| deletion.id == id);
        let id = &due.partition.id;
        let policy = |manifest: &Manifest| self.policy(&id.tenant, id.signal, manifest);
        manifest.holds == due.manifest.holds
            && planned
                .filter(|deletion| deletion.processed_ns.is_none())
                .all(|deletion| is_there(&deletion.id))
            && policy(manifest).keeps_all_of(&policy(&due.manifest))
            && policy(&due.manifest).keeps_all_of(&policy(manifest))
    }

    fn count_merge(&self, signal: Signal, report: &CompactionReport, elapsed_ns: u64) {
        let labels = BySignal::new(signal);
        let metrics = &self.metrics;
        metrics.compactions.get_or_create(&labels).inc();
        metrics.compaction_rows_in.get_or_create(&labels).inc_by(report.rows_in);
        metrics.compaction_rows_dropped.get_or_create(&labels).inc_by(report.rows_dropped);
        metrics.compaction_bytes_in.get_or_create(&labels).inc_by(report.bytes_in);
        metrics.compaction_bytes_out.get_or_create(&labels).inc_by(report.bytes_out);
        metrics.compaction_seconds.observe(Duration::from_nanos(elapsed_ns).as_secs_f64());
    }
}

/// An input's files of rows, with their footers.
type Opened = Vec<(Table, SegmentFile, Arc<Footer>)>;

/// The files of the tables that an input has.
async fn opened_tables(source: &ReadSource, input: &SegmentMeta) -> Result<Opened, Failure> {
    let mut opened = Vec::new();
    for table in Table::of(source.signal) {
        let Some(file) = open(source, input, part(*table))? else { continue };
        match file.footer().await {
            Ok(footer) => opened.push((*table, file, footer)),
            Err(error) => return Err(Failure { file: Some(file), error }),
        }
    }
    Ok(opened)
}

/// The tables of the inputs, each with its sources in the order of the inputs.
fn tables(
    signal: Signal,
    inputs: &[Opened],
    rows: &[InputRows],
    range: TimeRange,
) -> Vec<(Table, Vec<Source>)> {
    let batch_bytes = (MERGE_SOURCES_BYTES / inputs.len().max(1)).min(READ_BATCH_BYTES);
    let of_table = |table: Table| {
        let inputs = inputs.iter().zip(rows);
        let files = inputs.flat_map(|(files, rows)| files.iter().map(move |file| (file, rows)));
        let sources = files.filter(|((of, ..), _)| *of == table).map(|((_, file, footer), rows)| {
            let InputRows { numbers, unseen } = rows.clone();
            let wanted = WantedRows { numbers, range, unseen };
            let rows = SegmentRows::new(file.clone(), Arc::clone(footer), table, wanted, batch_bytes);
            Source::Segment(Box::new(rows))
        });
        (table, sources.collect())
    };
    Table::of(signal).iter().copied().map(of_table).collect()
}

/// A file of an input; none where it has no such part.
fn open(source: &ReadSource, input: &SegmentMeta, name: &str) -> Result<Option<SegmentFile>, StorageError> {
    if input.part(name).is_none() {
        return Ok(None);
    }
    // Found damaged after the plan was made: the next one leaves it out.
    let damaged = || StorageError::corrupt(&input.id, format!("part `{name}` was found damaged"));
    source.file(input, name).map(Some).ok_or_else(damaged)
}

/// For each of an input's numbers the merge's.
type NumbersOfInput = Arc<[u32]>;

/// What a merge takes of an input.
#[derive(Clone, Default)]
struct InputRows {
    numbers: NumbersOfInput,
    unseen: Unseen,
}

/// The series or streams of all inputs under one numbering. Of an input's table nothing stays but what is new in it.
#[derive(Default)]
struct Numbering {
    union: Union,
    /// What each input tells of each of its own.
    infos: Vec<Vec<Info>>,
}

impl Numbering {
    fn add(&mut self, picked: Picked) {
        self.infos.push(picked.infos);
        self.union.add(picked.numbers.into_iter().zip(picked.labels));
    }

    /// The series or streams, and for each input the numbers of its own. Of what is told twice the later input holds.
    fn finish(self) -> (Vec<(Labels, Info)>, Vec<NumbersOfInput>) {
        let (labels, places) = self.union.finish();
        let empty: Arc<str> = "".into();
        let unknown = Info { metric_type: 0, unit: Arc::clone(&empty), help: empty };
        let mut all: Vec<(Labels, Info)> =
            labels.into_iter().map(|labels| (labels, unknown.clone())).collect();
        let mut numbers = Vec::with_capacity(places.len());
        for (infos, places) in self.infos.iter().zip(places) {
            let count = places.last().map_or(0, |(_, own)| *own as usize + 1);
            let mut of_input = vec![NO_NUMBER; count];
            for (at, (number, own)) in places.iter().enumerate() {
                of_input[*own as usize] = *number;
                if let Some(told) = infos.get(at) {
                    all[*number as usize].1.learn(told);
                }
            }
            numbers.push(of_input.into());
        }
        (all, numbers)
    }
}

fn has_all(manifest: &Manifest, inputs: &[SegmentMeta]) -> bool {
    let named: HashSet<&str> = manifest.segments.iter().map(|segment| segment.id.as_str()).collect();
    inputs.iter().all(|input| named.contains(input.id.as_str()))
}

/// Puts a segment in the place of the first of its inputs, where all of them are still there.
fn replace(manifest: &mut Manifest, inputs: &[SegmentMeta], merged: Option<&SegmentMeta>) -> Change {
    if !has_all(manifest, inputs) {
        return Change::Nothing;
    }
    let is_input = |segment: &SegmentMeta| inputs.iter().any(|input| input.id == segment.id);
    let first = manifest.segments.iter().position(is_input).unwrap_or(0);
    manifest.segments.retain(|segment| !is_input(segment));
    manifest.segments.splice(first..first, merged.cloned());
    Change::Changed
}
