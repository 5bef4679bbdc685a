//! Builds a segment and puts it into the store: steps of computing on threads that may block, fetching and uploading in
//! between. Flush and compaction differ in their sources and in who gives way to whom.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;

use crate::bounds::{GIVE_WAY_MS, GIVE_WAY_TIMES, MERGE_CONCURRENCY};
use crate::error::StorageError;
use crate::layout;
use crate::manifest::SegmentMeta;
use crate::partition::{Claim, Partition};
use crate::runtime::blocking;
use crate::segment::build::{Build, Step};
use crate::segment::reader::SegmentFile;
use crate::segment::upload::Upload;
use crate::segment::writer::{Piece, Summary};
use crate::storage::Engine;

/// Who goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The build: writers wait for the memory that it frees.
    First,
    /// Everybody else, and the end of the process.
    Last,
}

/// A segment in the store that no manifest names yet. The sweep leaves it alone while this lives.
pub(crate) struct Built {
    /// What the manifest will say; none when there were no rows.
    pub(crate) meta: Option<SegmentMeta>,
    /// Rows that came out of the sources.
    pub(crate) rows_in: u64,
    /// The most memory that the build took, about.
    pub(crate) peak_bytes: usize,
    /// The monotonic time at which its first file was sent to the store; others may have seen it since.
    visible_ns: u64,
    _claim: Claim,
}

/// Why a build failed.
pub(crate) struct Failure {
    /// The file that did not read, where it was one.
    pub(crate) file: Option<SegmentFile>,
    /// What happened.
    pub(crate) error: StorageError,
}

impl Built {
    /// Whether a manifest may still name it. Other nodes sweep what nobody has named for the grace; half of it is left to
    /// the commit.
    ///
    /// # Errors
    /// [`StorageError::Limited`] when it is too late: it must be built again.
    pub(crate) fn in_time(&self, engine: &Engine) -> Result<(), StorageError> {
        let grace_ms = engine.settings.retention.sweep_grace_ms;
        if grace_ms == 0 || engine.age_ms(self.visible_ns) < grace_ms.div_ceil(2) {
            return Ok(());
        }
        let message =
            "a segment was not named in time: another node may have swept it, it is built again later";
        Err(StorageError::Limited(message.to_owned()))
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self { file: None, error }
    }
}

impl Engine {
    /// Builds one segment under a new id. What a failure leaves in the store is for the sweep.
    ///
    /// # Errors
    /// The store's, a damaged source's, or [`StorageError::Closed`] when a build that gives way has to end.
    pub(crate) async fn build_segment(
        &self,
        partition: &Arc<Partition>,
        day: &str,
        level: u8,
        build: Build,
        pace: Pace,
    ) -> Result<Built, Failure> {
        let mut meta = SegmentMeta {
            id: self.ids.next(self.clock()),
            day: day.to_owned(),
            start_ns: 0,
            end_ns: 0,
            rows: 0,
            level,
            parts: Vec::new(),
            after: None,
            cleared: 0,
            looked: None,
            cleared_also: Vec::new(),
        };
        let claim = partition.claim(&meta.id);
        let path = |part: &str| layout::segment(&partition.id.tenant, partition.id.signal, &meta, part);
        let mut upload = Upload::new(Arc::clone(&self.components.store), path);
        match self.steps(build, &mut upload, pace).await {
            Ok((build, summary, visible_ns)) => {
                let (rows_in, peak_bytes) = (build.rows_in(), build.peak_bytes());
                let parts = upload.finish();
                let meta = summary.map(|Summary { range, rows }| {
                    (meta.start_ns, meta.end_ns, meta.rows) = (range.start_ns, range.end_ns, rows);
                    meta.parts = parts;
                    meta
                });
                Ok(Built { meta, rows_in, peak_bytes, visible_ns, _claim: claim })
            }
            Err(failure) => {
                partition.is_sweep_due.store(true, Ordering::Relaxed);
                upload.abort().await;
                Err(failure)
            }
        }
    }

    async fn steps<F: Fn(&str) -> Path>(
        &self,
        mut build: Build,
        upload: &mut Upload<F>,
        pace: Pace,
    ) -> Result<(Build, Option<Summary>, u64), Failure> {
        let mut visible_ns = None;
        loop {
            let (stepped, step) = blocking(self.runtime(), move || {
                let step = build.step();
                (build, step)
            })
            .await?;
            build = stepped;
            for piece in build.pieces() {
                if matches!(piece, Piece::Last(..)) {
                    visible_ns.get_or_insert(self.clock().monotonic_ns());
                }
                upload.put(piece).await?;
            }
            match step? {
                Step::Hungry(sources) => self.fetch(&mut build, &sources).await?,
                Step::Unreadable(source, error) => {
                    let file = build.segment_rows(source).map(|rows| rows.file.clone());
                    return Err(Failure { file, error });
                }
                Step::Paused => {}
                Step::Done(summary) => {
                    let visible_ns = visible_ns.unwrap_or_else(|| self.clock().monotonic_ns());
                    return Ok((build, summary, visible_ns));
                }
            }
            if pace == Pace::Last {
                self.give_way().await?;
            }
        }
    }

    /// Fetches the next row group of each of the sources.
    async fn fetch(&self, build: &mut Build, sources: &[usize]) -> Result<(), Failure> {
        let mut wanted = Vec::with_capacity(sources.len());
        for source in sources {
            let Some(rows) = build.segment_rows(*source) else { continue };
            let file = rows.file.clone();
            match rows.next_range() {
                Ok(Some(range)) => wanted.push((*source, file, Arc::clone(rows.footer()), range)),
                Ok(None) => {}
                Err(error) => return Err(Failure { file: Some(file), error }),
            }
        }
        let fetches = wanted.into_iter().map(|(source, file, footer, range)| async move {
            let start = range.start;
            match file.data(&footer.blocks, &[range]).await {
                Ok(mut bytes) => Ok((source, start, bytes.swap_remove(0))),
                Err(error) => Err(Failure { file: Some(file), error }),
            }
        });
        let fetched: Vec<_> = stream::iter(fetches).buffer_unordered(MERGE_CONCURRENCY).try_collect().await?;
        for (source, start, bytes) in fetched {
            if let Some(rows) = build.segment_rows(source)
                && let Err(error) = rows.feed(start, bytes)
            {
                return Err(Failure { file: Some(rows.file.clone()), error });
            }
        }
        Ok(())
    }

    /// Waits while the heads are near their bound: their flush needs the processor and the store more. It does not wait
    /// for ever, because the heads may stay full for other reasons.
    async fn give_way(&self) -> Result<(), StorageError> {
        for _ in 0..GIVE_WAY_TIMES {
            if self.stopping.is_cancelled() {
                return Err(StorageError::Closed);
            }
            if self.tenants.memory().bytes() < self.settings.flush.max_total_head_bytes / 4 * 3 {
                break;
            }
            self.runtime().sleep(Duration::from_millis(GIVE_WAY_MS)).await;
        }
        Ok(())
    }
}
