//! Brings the log's records back into the heads after a start, while the engine serves already. A thread reads and
//! decodes, a task puts into heads; what is damaged is set aside and everything else goes on.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use super::reader::{LogFile, Step};
use super::record::{self, Record};
use super::writer::LastOffsets;
use crate::bounds::{MAX_REPLAY_QUEUE, RESYNC_WINDOW_BYTES};
use crate::disk;
use crate::error::StorageError;
use crate::layout;
use crate::manifest::WalPosition;
use crate::partition::PartitionId;
use crate::room::{Held, Room};
use crate::storage::Engine;

/// How long the replay waits for a flush when the heads are full.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// How far the replay of the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayProgress {
    /// Log files that were there at the start.
    pub segments_total: usize,
    /// Of these, the ones that are done.
    pub segments_done: usize,
    /// Records put into heads.
    pub records: u64,
    /// Records that were in segments already.
    pub records_skipped: u64,
    /// Damaged stretches that were set aside.
    pub damaged: u64,
    /// Whether the replay is over.
    pub done: bool,
}

/// The state of the replay.
#[derive(Debug)]
pub(crate) struct Replay {
    sequences: Vec<u64>,
    progress: watch::Sender<ReplayProgress>,
    /// Every record that begins before it is in a head or in segments. It stays where a file could not be read, so
    /// that no flush ever claims to have that file's records.
    position: Mutex<Option<WalPosition>>,
    /// Memory for records on their way from the log into heads.
    room: Room,
}

impl Replay {
    /// A replay of the files with these sequences, in ascending order.
    pub(crate) fn new(sequences: Vec<u64>, room_bytes: usize) -> Self {
        let progress = ReplayProgress { segments_total: sequences.len(), ..ReplayProgress::default() };
        let position = sequences.first().map(|sequence| WalPosition { sequence: *sequence, offset: 0 });
        let room = Room::new(room_bytes);
        Self { sequences, progress: watch::Sender::new(progress), position: Mutex::new(position), room }
    }

    /// What records that were read take before they are in a head, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.room.used_bytes()
    }

    /// How far it is.
    pub(crate) fn progress(&self) -> ReplayProgress {
        *self.progress.borrow()
    }

    /// Waits for its end.
    pub(crate) async fn finished(&self) {
        // The sender lives as long as this.
        let mut progress = self.progress.subscribe();
        let _never_gone = progress.wait_for(|progress| progress.done).await;
    }

    /// Up to where the log is replayed; none when it is whole.
    pub(crate) fn position(&self) -> Option<WalPosition> {
        *self.position.lock()
    }

    fn update(&self, change: impl FnOnce(&mut ReplayProgress)) {
        self.progress.send_modify(change);
    }
}

/// What the reading thread hands over.
enum Item {
    Record { position: WalPosition, end: WalPosition, record: Box<Record>, held: Held },
    FileDone { sequence: u64 },
    FileFailed,
}

impl Engine {
    /// Replays the log; ends early when the engine stops.
    pub(crate) async fn replay_log(self: &Arc<Self>) {
        let (items, mut queue) = mpsc::channel(MAX_REPLAY_QUEUE);
        let reading = Arc::clone(self);
        let (done, whole) = oneshot::channel();
        let started = self.components.runtime.spawn_thread(
            "replay",
            Box::pin(async move {
                reading.read_log(&items).await;
                let _stopping = done.send(());
            }),
        );
        if let Err(error) = &started {
            tracing::error!(%error, "the log cannot be read: no log file is deleted until it is");
        }
        let mut last = LastOffsets::new();
        let mut is_whole = true;
        let mut is_over = false;
        while let Some(item) = tokio::select! {
            biased;
            () = self.stopping.cancelled() => None,
            item = queue.recv() => { is_over = item.is_none(); item }
        } {
            match item {
                Item::Record { position, end, record, held } => {
                    if !self.wait_for_room().await {
                        return;
                    }
                    let Some(id) = self.replay_record(position, &record) else {
                        is_whole = false;
                        continue;
                    };
                    drop((record, held));
                    last.insert(id, position.offset);
                    if is_whole {
                        *self.replay.position.lock() = Some(end);
                    }
                    self.replay.update(|progress| progress.records += 1);
                    self.metrics.replay_records.inc();
                }
                Item::FileDone { sequence } => {
                    let last = std::mem::take(&mut last);
                    // A file with a record that is in no head must stay, and those after it.
                    if is_whole {
                        self.wal.closed_files().add(sequence, last);
                    }
                    self.replay.update(|progress| progress.segments_done += 1);
                }
                Item::FileFailed => {
                    is_whole = false;
                    last.clear();
                    self.replay.update(|progress| progress.segments_done += 1);
                }
            }
        }
        if !is_over {
            return;
        }
        if whole.await.is_err() {
            tracing::error!("the log was not read to its end: no log file is deleted until it is");
            is_whole = false;
        }
        self.end_replay(is_whole).await;
    }

    async fn end_replay(&self, is_whole: bool) {
        if is_whole {
            *self.replay.position.lock() = None;
        }
        self.replay.update(|progress| progress.done = true);
        self.metrics.replay_done.set(1);
        let progress = self.replay.progress();
        if progress.segments_total > 0 {
            tracing::info!(
                files = progress.segments_total,
                records = progress.records,
                skipped = progress.records_skipped,
                damaged = progress.damaged,
                "the log is replayed"
            );
        }
        if let Err(error) = self.trim().await {
            tracing::warn!(%error, "a log file that is no longer needed stays until the next flush");
        }
    }

    fn replay_record(&self, position: WalPosition, record: &Record) -> Option<PartitionId> {
        let id = PartitionId { tenant: record.tenant.clone(), signal: record.batch.signal() };
        match self.tenants.get_or_create(&id) {
            Ok(partition) => {
                partition.replay(position, &record.batch, self.clock().monotonic_ns());
                Some(id)
            }
            Err(error) => {
                tracing::error!(tenant = %id.tenant, signal = %id.signal, %error, "a record stays in the log");
                None
            }
        }
    }

    /// Waits while the heads have no room; false when the engine stops.
    async fn wait_for_room(&self) -> bool {
        while self.tenants.memory().bytes() >= self.settings.flush.max_total_head_bytes {
            self.flush_wanted.notify_one();
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return false,
                () = self.components.runtime.sleep(FULL_PAUSE) => {}
            }
        }
        true
    }

    /// Reads all files in order; ends early when nobody takes the items any more.
    async fn read_log(&self, items: &mpsc::Sender<Item>) {
        let last = self.replay.sequences.last().copied();
        for sequence in &self.replay.sequences {
            let item = match self.read_file(*sequence, last == Some(*sequence), items).await {
                Ok(true) => Item::FileDone { sequence: *sequence },
                Ok(false) => return,
                Err(error) => {
                    tracing::error!(
                        %error, sequence,
                        "a log file cannot be read: its records are missing, no log file after it is deleted until it can"
                    );
                    Item::FileFailed
                }
            };
            if items.send(item).await.is_err() {
                return;
            }
        }
    }

    /// Reads one file; false when nobody takes the items any more.
    async fn read_file(
        &self,
        sequence: u64,
        is_last: bool,
        items: &mpsc::Sender<Item>,
    ) -> Result<bool, StorageError> {
        let path = layout::wal_file(&self.settings.data_dir, sequence);
        let failed = |error| StorageError::io("read log file", path.clone(), error);
        // The process that wrote it may have ended before its sync: what readers see from now on must not vanish with the
        // power. A disk that cannot promise this is no reason to withhold what it gives.
        if let Err(error) = self.components.disk.sync_file(&path) {
            tracing::warn!(%error, sequence, "a log file cannot be synced before its replay");
        }
        let mut log = LogFile::open(&*self.components.disk, &path, sequence).map_err(failed)?;
        loop {
            match log.step().map_err(failed)? {
                Step::Record { offset, bytes } => {
                    if !self.hand_over(WalPosition { sequence, offset }, &bytes, items).await {
                        return Ok(false);
                    }
                }
                Step::Damaged { start, end } => self.set_aside(&mut log, sequence, start, end),
                Step::Tail { start, is_torn } => {
                    if !(is_last && is_torn) {
                        self.set_aside(&mut log, sequence, start, u64::MAX);
                    }
                    if is_last {
                        self.cut(&path, start, log.offset() - start).map_err(failed)?;
                    }
                    return Ok(true);
                }
                Step::End => return Ok(true),
            }
        }
    }

    /// Decodes a record and hands it over, unless it is in segments already; false when nobody takes it.
    async fn hand_over(&self, position: WalPosition, bytes: &[u8], items: &mpsc::Sender<Item>) -> bool {
        let is_flushed = |(tenant, signal): (model::TenantId, model::Signal)| {
            let partition = self.tenants.get(&tenant, signal);
            partition.is_some_and(|p| position < p.state().manifest.flushed_to(&self.node))
        };
        if record::owner(bytes).is_ok_and(is_flushed) {
            self.replay.update(|progress| progress.records_skipped += 1);
            return true;
        }
        // For the bytes, the tables in them, and the batch that is read from those. It ends when nobody puts records
        // into heads any more.
        let decoded_bytes = record::tables_bytes(bytes).saturating_mul(2);
        let Some(held) = self.replay_room(bytes.len().saturating_add(decoded_bytes), items).await else {
            return false;
        };
        match record::decode(bytes) {
            Ok(record) => {
                let end = WalPosition { offset: position.offset + bytes.len() as u64, ..position };
                items.send(Item::Record { position, end, record: Box::new(record), held }).await.is_ok()
            }
            Err(reason) => {
                let target =
                    layout::quarantined_record(&self.settings.data_dir, position.sequence, position.offset);
                let mut chunks = [Ok(bytes.to_vec())].into_iter();
                let copied = self.copy_aside(&target, || chunks.next().unwrap_or(Ok(Vec::new())));
                self.report_damage(position, bytes.len() as u64, &target, &copied, &reason);
                true
            }
        }
    }

    /// Memory for a record; none when nobody takes records any more.
    async fn replay_room(&self, bytes: usize, items: &mpsc::Sender<Item>) -> Option<Held> {
        tokio::select! {
            biased;
            () = items.closed() => None,
            held = self.replay.room.take(bytes) => held.ok(),
        }
    }

    fn set_aside(&self, log: &mut LogFile, sequence: u64, start: u64, end: u64) {
        let target = layout::quarantined_record(&self.settings.data_dir, sequence, start);
        let mut from = start;
        let copied = self.copy_aside(&target, || {
            let chunk = log.bytes(from, end, RESYNC_WINDOW_BYTES)?;
            from += chunk.len() as u64;
            Ok(chunk)
        });
        let position = WalPosition { sequence, offset: start };
        self.report_damage(position, from - start, &target, &copied, "no whole record begins here");
    }

    /// Writes chunks up to an empty one into a file, in place of what an earlier replay may have left there.
    fn copy_aside(&self, target: &Path, mut next: impl FnMut() -> io::Result<Vec<u8>>) -> io::Result<()> {
        let disk = &*self.components.disk;
        let mut file = disk::replace(disk, target)?;
        loop {
            let chunk = next()?;
            if chunk.is_empty() {
                file.sync()?;
                return disk.sync_folder(&layout::quarantine_dir(&self.settings.data_dir));
            }
            file.append(&chunk)?;
        }
    }

    fn report_damage(
        &self,
        position: WalPosition,
        bytes: u64,
        target: &Path,
        copied: &io::Result<()>,
        reason: &str,
    ) {
        self.metrics.wal_corrupt_records.inc();
        self.replay.update(|progress| progress.damaged += 1);
        tracing::error!(
            sequence = position.sequence, offset = position.offset, bytes, reason,
            copy = %target.display(), copied = copied.is_ok(),
            "a stretch of the log is damaged: it is set aside, the records around it are replayed"
        );
    }

    /// Cuts the torn end off the file that was being written when the process ended.
    fn cut(&self, path: &Path, len: u64, bytes: u64) -> io::Result<()> {
        self.components.disk.truncate(path, len)?;
        self.metrics.wal_torn_bytes.inc_by(bytes);
        tracing::warn!(path = %path.display(), bytes, "the torn end of the log was cut off");
        Ok(())
    }
}
